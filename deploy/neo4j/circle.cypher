// Who of a unit's holders has been paid together with an address: its neighbours, by how often.
// Whom a lock was for is no neighbour by that.
// cypher-shell -P "{unit: 'ww...', address: 'ww...'}" -f /explore/circle.cypher
MATCH (a:Account {k: $unit + '|' + $address})
WITH a.no * 2147483648 AS zero, a.s AS s
MATCH (x:Output)<-[:OUTPUTS]-(t:Transaction) WHERE x.p > zero + CASE WHEN s > 1000 THEN s - 1000 ELSE 0 END AND x.p <= zero + s
MATCH (t)-[:OUTPUTS]->(y:Output) WHERE y.p < zero OR y.p > zero + 2147483647
MATCH (b:Account {no: y.p / 2147483648}) WHERE b.unit = $unit
RETURN b.address AS address, count(*) AS together
ORDER BY together DESC LIMIT 20;
