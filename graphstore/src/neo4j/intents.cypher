// Intents in order, from a height on.
MATCH (b:Block) WHERE b.height >= $from
RETURN b.intent AS intent
ORDER BY b.height LIMIT $limit
