// What an address holds: one row for each unit. Amounts are decimal texts of any length.
// cypher-shell -P "{address: 'ww...'}" -f /explore/balances.cypher
MATCH (a:Account) WHERE a.address = $address
RETURN a.unit AS unit, a.net AS net, a.min AS min, a.max AS max, a.s AS outputs
ORDER BY unit;
