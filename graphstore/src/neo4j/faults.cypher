// What the Shard counts, beside what is there. Counts come from the count store; what is beyond comes from the indexes.
MATCH (h:Shard {id: $shard})
CALL () { MATCH (t:Transaction) RETURN count(t) AS transactions }
CALL () { MATCH (a:Account) RETURN count(a) AS all }
CALL () { MATCH (b:Block) RETURN count(b) AS blocks }
CALL (h) { MATCH (t:Transaction) WHERE t.n > h.n RETURN count(t) AS beyond }
RETURN h.n AS n, transactions, beyond, h.accounts AS accounts, all, coalesce(h.height + 1, 0) AS heights, blocks
