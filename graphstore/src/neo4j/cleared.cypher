// Records in order, after a number.
MATCH (t:Transaction) WHERE t.n > $after
RETURN t.n AS n, t.id AS id, t.record AS record, t.sum AS sum
ORDER BY t.n LIMIT $limit
