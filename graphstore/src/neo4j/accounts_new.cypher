// Accounts touched for the first time; each row: key, number, unit, address, position, net, min, max.
UNWIND $rows AS r
CREATE (:Account {k: r[0], no: r[1], unit: r[2], address: r[3], s: r[4], net: r[5], min: r[6], max: r[7]})
