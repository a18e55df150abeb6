// Where the graph stands once nothing is on its way any more. It locks the Shard, so that a commit whose answer was lost
// has ended by then; only then does it look.
MATCH (h:Shard {id: $shard})
SET h.lock = 'settle'
WITH h
RETURN h.epoch AS epoch, h.n AS n, h.time AS time, h.height AS height
