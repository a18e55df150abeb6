// The last twenty outputs of an account, newest first, found by position: fast on any account.
// cypher-shell -P "{unit: 'ww...', address: 'ww...'}" -f /explore/history.cypher
MATCH (a:Account {k: $unit + '|' + $address})
WITH a.no * 2147483648 + a.s AS newest, CASE WHEN a.s < 20 THEN a.s ELSE 20 END AS many
MATCH (t:Transaction)-[:OUTPUTS]->(o:Output) WHERE o.p > newest - many AND o.p <= newest
RETURN t.n AS number, toString(datetime({epochMillis: t.time})) AS time, o.net AS net, t.id AS record
ORDER BY number DESC;
