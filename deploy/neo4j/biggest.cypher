// The twenty biggest holders of a unit, and after them its issuer's debt.
// cypher-shell -P "{unit: 'ww...'}" -f /explore/biggest.cypher
MATCH (a:Account) WHERE a.k STARTS WITH $unit + '|'
WITH a, a.address = $unit AS issuer
ORDER BY issuer, toFloat(a.net) DESC
WITH collect({address: a.address, net: a.net, issuer: issuer}) AS accounts
UNWIND [x IN accounts WHERE NOT x.issuer][..20] + [x IN accounts WHERE x.issuer] AS x
RETURN x.address AS address, x.net AS net, x.issuer AS issuer;
