// What one transaction did: for each account its net before and after.
// What is locked has left its payer here, and comes to whoever uses the lock in the transaction that does.
// cypher-shell -P "{number: 7}" -f /explore/transaction.cypher
MATCH (t:Transaction {n: $number})-[r:OUTPUTS]->(o:Output)
MATCH (a:Account {no: o.p / 2147483648})
OPTIONAL MATCH (before:Output {p: o.p - 1}) WHERE before.p > a.no * 2147483648
RETURN a.unit AS unit, a.address AS address, coalesce(before.net, '0') AS before, o.net AS after, toString(datetime({epochMillis: t.time})) AS time
ORDER BY unit, address;
