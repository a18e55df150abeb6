// Locks in the order of their names, used or not; the same walk.
MATCH (l:Lock) WHERE l.id > $after
RETURN l.id AS id, l:Open AS open, l.output AS output
ORDER BY l.id LIMIT $limit
