// A page of an account's outputs, newest first, and one more: the source of the oldest. Found by position alone, so that
// the page behind a million outputs costs what the first one does; and each position has a row, so that none is passed
// over which the index does not show yet.
MATCH (a:Account {k: $k})
WITH a.no * 2147483648 AS zero, a.s AS s
OPTIONAL MATCH (:Transaction {n: $before})-[:OUTPUTS]->(b:Output) WHERE b.p > zero AND b.p <= zero + s
WITH zero, CASE WHEN $before = 0 THEN zero + s ELSE b.p - 1 END - $skip AS top WHERE top > zero
WITH zero, top, CASE WHEN top - $limit > zero THEN top - $limit ELSE zero + 1 END AS bottom
UNWIND range(top, bottom, -1) AS p
OPTIONAL MATCH (t:Transaction)-[r:OUTPUTS]->(o:Output {p: p})
RETURN p - zero AS s, o.net AS net, o.min AS min, o.max AS max, o.locks AS locks, t.id AS record, r.i AS index, t.n AS n
ORDER BY s DESC
