// The accounts of a unit, a page of them in the order of addresses. The unit stands in the order too, though there is but
// one: without it the planner sorts all that follow instead of reading in order from the index (unit, address).
MATCH (a:Account) WHERE a.unit = $unit AND a.address > $after
RETURN a.address AS address, a.net AS net, a.min AS min, a.max AS max
ORDER BY a.unit, a.address SKIP $skip LIMIT $limit
