// Whose graph this is. Counts come from the count store: they cost nothing on any size.
CALL () { MATCH (t:Transaction) RETURN count(t) AS transactions }
CALL () { MATCH (a:Account) RETURN count(a) AS accounts }
OPTIONAL MATCH (h:Shard)
RETURN transactions, accounts, h.domain AS domain, h.format AS format
