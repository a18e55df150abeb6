// The twenty biggest holders of a unit, and after them its issuer's debt.
// cypher-shell -P "{unit: 'ww...'}" -f /explore/biggest.cypher
MATCH (a:Account) WHERE a.k STARTS WITH $unit + '|'
WITH a, a.address = $unit AS issuer, a.net STARTS WITH '-' AS owes, size(split(a.net, '.')[0]) AS digits
// As numbers: their digits before the point, and then as texts, since they are longer than any number of Neo4j's.
ORDER BY issuer, owes, CASE WHEN owes THEN -digits ELSE digits END DESC,
         CASE WHEN owes THEN '' ELSE a.net END DESC, CASE WHEN owes THEN a.net ELSE '' END
WITH collect({address: a.address, net: a.net, issuer: issuer}) AS accounts
UNWIND [x IN accounts WHERE NOT x.issuer][..20] + [x IN accounts WHERE x.issuer] AS x
RETURN x.address AS address, x.net AS net, x.issuer AS issuer;
