// The units with the most holders.
// cypher-shell -f /explore/units.cypher
MATCH (a:Account)
RETURN a.unit AS unit, count(*) AS accounts, sum(a.s) AS outputs
ORDER BY accounts DESC LIMIT 20;
