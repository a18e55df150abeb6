// The graph is of this format from now on, unless somebody else has taken it meanwhile.
MATCH (h:Shard {id: $shard}) WHERE h.epoch = $epoch
SET h.format = $format
RETURN h.format AS format
