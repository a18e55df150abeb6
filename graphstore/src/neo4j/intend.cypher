// Stores what a block is to be, once for its height. It locks the Shard as a commit does: no record clears in between.
MATCH (h:Shard {id: $shard})
SET h.lock = 'intent'
WITH h, h.epoch AS epoch, h.n AS n, h.time AS time, h.height AS height, h.sealed AS sealed
OPTIONAL MATCH (b:Block {height: $height})
WITH *, b IS NULL AND epoch = $epoch AND $height = coalesce(height + 1, 0)
    AND $cleared <= n AND $cleared >= coalesce(sealed, 0)
    AND NOT ($quiet AND ($cleared < n OR $time < coalesce(time, $time))) AS made
FOREACH (_ IN CASE WHEN made THEN [1] ELSE [] END |
  SET h.height = $height, h.sealed = $cleared, h.time = CASE WHEN h.time > $time THEN h.time ELSE $time END
  CREATE (:Block {height: $height, cleared: $cleared, time: $time, intent: $intent}))
RETURN epoch, n, time, height, sealed, b.intent AS stored, made
