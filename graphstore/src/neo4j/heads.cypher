// Accounts and their unspent outputs. What an account has is taken from the output, which is found whole or not at all;
// the account itself may be seen while a commit is changing it.
UNWIND $rows AS k
MATCH (a:Account {k: k})
OPTIONAL MATCH (t:Transaction)-[r:OUTPUTS]->(o:Output {p: a.no * 2147483648 + a.s})
RETURN a.unit AS unit, a.address AS address, a.no AS no, o.p AS p,
       o.net AS net, o.min AS min, o.max AS max, t.id AS record, r.i AS index
