// What units come to; each row: unit, accounts, what is locked and what credit is granted.
UNWIND $rows AS r
MERGE (u:Unit {id: r[0]})
SET u.accounts = r[1], u.locked = r[2], u.credit = r[3]
