// A record by its name.
MATCH (t:Transaction {id: $id}) RETURN t.n AS n, t.id AS id, t.record AS record, t.sum AS sum
