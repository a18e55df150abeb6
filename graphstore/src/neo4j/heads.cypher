// Accounts and their unspent outputs.
UNWIND $rows AS k
MATCH (a:Account {k: k})
MATCH (t:Transaction)-[r:OUTPUTS]->(:Output {p: a.no * 2147483648 + a.s})
RETURN a.unit AS unit, a.address AS address, a.no AS no, a.s AS s,
       a.net AS net, a.min AS min, a.max AS max, t.id AS record, r.i AS index
