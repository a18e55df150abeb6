// What a unit comes to, and what its issuer has.
OPTIONAL MATCH (u:Unit {id: $unit})
OPTIONAL MATCH (a:Account {k: $unit + '|' + $unit})
RETURN u.accounts AS accounts, u.locked AS locked, u.credit AS credit, a.net AS net
