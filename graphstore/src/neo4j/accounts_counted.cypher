// The number of the newest account.
MATCH (h:Shard {id: $shard}) SET h.accounts = $accounts
