// Makes the Shard of an empty graph, and takes it: the next epoch deposes whoever has an earlier one.
MERGE (h:Shard {id: $shard})
ON CREATE SET h.domain = $domain, h.format = $format, h.epoch = 0, h.n = 0, h.accounts = 0
SET h.epoch = h.epoch + 1
RETURN h.domain AS domain, h.format AS format, h.epoch AS epoch
