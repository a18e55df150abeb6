// What these units come to: accounts, then decimals.
UNWIND $rows AS id
MATCH (u:Unit {id: id})
RETURN id, u.accounts AS accounts, u.locked AS locked, u.credit AS credit
