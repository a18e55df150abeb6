// A record by its number.
MATCH (t:Transaction {n: $n}) RETURN t.n AS n, t.id AS id, t.record AS record, t.sum AS sum
