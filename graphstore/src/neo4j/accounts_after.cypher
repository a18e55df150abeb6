// Accounts in the order of their numbers: all of them are walked when a graph of an earlier build is counted.
MATCH (a:Account) WHERE a.no > $after
RETURN a.no AS no, a.unit AS unit, a.address AS address, a.min AS min
ORDER BY a.no LIMIT $limit
