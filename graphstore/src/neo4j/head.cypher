// Where the graph stands, and who may write.
MATCH (h:Shard {id: $shard})
RETURN h.epoch AS epoch, h.n AS n, h.time AS time, h.height AS height
