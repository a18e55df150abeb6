// The accounts of an address, a page of them in the order of units. The address stands in the order too, though there is
// but one: without it the planner sorts all that follow instead of reading in order from the index (address, unit).
// As for the heads, what each has is taken from its output; one that is not found yet must not make the page shorter.
MATCH (a:Account) WHERE a.address = $address AND a.unit > $after
WITH a ORDER BY a.address, a.unit SKIP $skip LIMIT $limit
OPTIONAL MATCH (t:Transaction)-[r:OUTPUTS]->(o:Output {p: a.no * 2147483648 + a.s})
RETURN a.unit AS unit, a.address AS address, a.no AS no, o.p AS p,
       o.net AS net, o.min AS min, o.max AS max, t.id AS record, r.i AS index
ORDER BY unit
