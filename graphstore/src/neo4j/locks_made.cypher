// Locked outputs; each row: number of the record, index, name, unit, target, source, the output.
UNWIND $rows AS r
MATCH (t:Transaction {n: r[0]})
CREATE (t)-[:LOCKS]->(:Lock:Open {i: r[1], id: r[2], unit: r[3], address: r[4], source: r[5], output: r[6]})
