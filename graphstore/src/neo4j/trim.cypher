// Drops the bytes of some records. The mark moves with them: there is no number for which both are missing.
MATCH (h:Shard {id: $shard}) SET h.trimmed = $upto
WITH h
MATCH (t:Transaction) WHERE t.n > $after AND t.n <= $upto
REMOVE t.record, t.sum
