// What the batch leaves of accounts that were there; each row: number, position, net, min, max.
UNWIND $rows AS r
MATCH (a:Account {no: r[0]})
SET a.s = r[1], a.net = r[2], a.min = r[3], a.max = r[4]
