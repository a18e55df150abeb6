// The first statement of a commit. It locks the Shard, so that an earlier commit whose answer was lost has ended by then;
// only then does it look: is this batch there already, is this writer's epoch the newest, do its numbers follow.
MATCH (h:Shard {id: $shard})
SET h.lock = $batch
WITH h, h.epoch AS epoch, h.n AS n, h.accounts AS accounts, COUNT { (:Batch {id: $batch, n1: $n1}) } AS there
FOREACH (_ IN CASE WHEN there = 0 AND epoch = $epoch AND n = $n0 THEN [1] ELSE [] END |
  SET h.n = $n1, h.time = CASE WHEN h.time > $time THEN h.time ELSE $time END
  CREATE (:Batch {id: $batch, n0: $n0, n1: $n1}))
RETURN epoch, n, accounts, there
