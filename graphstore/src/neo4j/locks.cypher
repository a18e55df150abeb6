// Those of these locks that nobody has used.
UNWIND $rows AS id
MATCH (l:Lock {id: id}) WHERE l:Open
RETURN id, l.output AS output
