// Uses of locks; each row: number of the record, name of the lock. The name of a Use forbids a second one.
UNWIND $rows AS r
MATCH (t:Transaction {n: r[0]})
MATCH (l:Lock {id: r[1]})
CREATE (t)-[:USES]->(:Use {id: r[1]})-[:OF]->(l)
REMOVE l:Open
