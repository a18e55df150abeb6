// A page of the open locks of an account, as their target or as their source, in the order of records and indexes.
CALL () {
  MATCH (l:Open) WHERE l.unit = $unit AND l.address = $address RETURN l
  UNION
  MATCH (l:Open) WHERE l.unit = $unit AND l.source = $address RETURN l
}
WITH l, split(l.id, '::')[0] AS record
WHERE record > $record OR (record = $record AND l.i > $index)
RETURN l.id AS id, l.output AS output
ORDER BY record, l.i LIMIT $limit
