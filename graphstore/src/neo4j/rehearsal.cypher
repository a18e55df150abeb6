// A Shard for the statements that are rehearsed; it is never committed.
CREATE (:Shard {id: $shard, epoch: 0, n: 0, accounts: 0})
