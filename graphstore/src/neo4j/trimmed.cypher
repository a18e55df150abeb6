// Up to which number bytes have been dropped.
MATCH (h:Shard {id: $shard}) RETURN coalesce(h.trimmed, 0) AS trimmed, h.n AS n
