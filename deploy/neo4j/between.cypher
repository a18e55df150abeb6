// What flowed between two addresses in one unit: the transactions that moved both, among the last thousand of the first.
// What goes through a lock moves one of them when it is locked and the other when it is used: not seen here.
// cypher-shell -P "{unit: 'ww...', one: 'ww...', other: 'ww...'}" -f /explore/between.cypher
MATCH (a:Account {k: $unit + '|' + $one}), (b:Account {k: $unit + '|' + $other})
WITH a.no * 2147483648 AS a0, a.s AS s, b.no * 2147483648 AS b0
MATCH (x:Output)<-[:OUTPUTS]-(t:Transaction) WHERE x.p > a0 + CASE WHEN s > 1000 THEN s - 1000 ELSE 0 END AND x.p <= a0 + s
MATCH (t)-[:OUTPUTS]->(y:Output) WHERE y.p > b0 AND y.p < b0 + 2147483648
OPTIONAL MATCH (x1:Output {p: x.p - 1}) WHERE x1.p > a0
OPTIONAL MATCH (y1:Output {p: y.p - 1}) WHERE y1.p > b0
RETURN t.n AS number, toString(datetime({epochMillis: t.time})) AS time,
       coalesce(x1.net, '0') + ' -> ' + x.net AS one, coalesce(y1.net, '0') + ' -> ' + y.net AS other
ORDER BY number DESC;
