// Which of these IOUs are in a record, and in which.
UNWIND $rows AS id
MATCH (:IOU {id: id})<-[:INPUTS]-(t:Transaction)
RETURN id, t.n AS n, t.id AS record, COUNT { (t)-[:INPUTS]->() } AS inputs
