// Each row: number, name, time, bytes, their checksum, IOUs, outputs; each output: index, position, net, min, max, and the locks
// that it consumed, where there are any.
// What forbids a double spend is the position: two spenders of one output both make the next one.
UNWIND $rows AS r
CREATE (t:Transaction {n: r[0], id: r[1], time: r[2], record: r[3], sum: r[4]})
FOREACH (i IN r[5] | CREATE (t)-[:INPUTS]->(:IOU {id: i}))
FOREACH (o IN r[6] | CREATE (t)-[:OUTPUTS {i: o[0]}]->(:Output {p: o[1], net: o[2], min: o[3], max: o[4], locks: o[5]}))
