//! Reading: what the graph says of accounts, IOUs, records and outputs.

use std::collections::HashMap;
use std::time::Duration;

use neo4rs::{BoltType, Query, Row, query};
use webwallet_ledger::account::Balance;
use webwallet_ledger::{
    Account, AccountId, Address, Amount, Hash, Lock, Output, Pointer, RecordOf, Time,
};

use super::Inner;
use super::bolt::{Failure, first, get, integer, packed};
use super::statements::SHARD;
use crate::store::{ANSWER_BYTES, Error, Head, Intent, Loaded, Page, Placed, Stored};
use crate::unit::{Totals, Unit};

/// Health asks once a second.
const HEAD_DEADLINE: Duration = Duration::from_secs(1);
/// Records or intents fetched at a time: the largest records are 60 KiB.
const STEP: u32 = 64;
/// Outputs of one account at most: they share the number's lower half.
pub(super) const CHAIN_MAX: u64 = 1 << 31;

/// An account in the graph.
#[derive(Clone)]
pub(super) struct Chain {
    /// Its number.
    pub(super) no: u64,
    /// How many outputs it has had, which is the place of its unspent one.
    pub(super) s: u64,
    /// What the last one left.
    pub(super) account: Account,
}

impl Chain {
    /// Position of the unspent output.
    pub(super) fn position(&self) -> u64 {
        self.no * CHAIN_MAX + self.s
    }
}

impl Inner {
    /// Where the graph stands.
    pub(super) fn head_query(&self) -> Query {
        query(&self.statements.head).param("shard", SHARD)
    }

    pub(super) async fn head(&self) -> Result<Head, Error> {
        self.sound()?;
        self.head_in(&self.bolt.read_within(HEAD_DEADLINE, self.head_query()).await?)
    }

    /// Where the graph stands, after checking who may write.
    pub(super) fn head_in(&self, rows: &[Row]) -> Result<Head, Error> {
        let Some(row) = rows.first() else {
            return Err(Error::Broken(
                "the graph has lost its Shard; restore it from a backup".into(),
            ));
        };
        self.fenced(get(row, "epoch")?)?;
        let number = get(row, "n")?;
        let time = get::<Option<i64>>(row, "time")?.map(Time::from_unix_ms);
        let domain = (number > 0).then(|| self.domain.clone());
        Ok(Head { number, time, domain, intent: get(row, "height")? })
    }

    pub(super) async fn load(
        &self,
        accounts: &[AccountId],
        ious: &[Hash],
    ) -> Result<Loaded, Error> {
        // Readers ask for one or the other, and want to know what is there now;
        // only a writer is about to commit, which finds out what was stale.
        let writes = !accounts.is_empty() && !ious.is_empty();
        let mut known = if writes { self.cached(accounts) } else { HashMap::new() };
        let missing: Vec<_> =
            accounts.iter().filter(|id| !known.contains_key(id)).copied().collect();
        let read = async |asked| match writes {
            true => self.bolt.read_to_write(asked).await,
            false => self.bolt.read(asked).await,
        };
        for keys in self.heads(&missing) {
            if writes {
                // Nothing of his own is on its way by now.
                let found = self.chains_in(&read(keys).await?)?;
                found.iter().for_each(|(id, chain)| self.chains.insert(*id, chain.clone()));
                known.extend(found);
            } else {
                known.extend(self.moments.whole(|| self.chains_of(&keys)).await?);
            }
        }
        let mut loaded = Loaded::default();
        loaded.accounts.extend(known.into_iter().map(|(id, chain)| (id, chain.account)));
        let ids = ious.iter().map(|iou| iou.to_string().into()).collect();
        for (asked, _) in packed(&self.statements.ious, ids) {
            for row in read(asked).await? {
                let at = RecordOf {
                    number: get(&row, "n")?,
                    hash: parsed(&row, "record")?,
                    inputs: get(&row, "inputs")?,
                };
                loaded.ious.insert(parsed(&row, "id")?, at);
            }
        }
        Ok(loaded)
    }

    /// What is in memory of these accounts.
    pub(super) fn cached(&self, ids: &[AccountId]) -> HashMap<AccountId, Chain> {
        ids.iter().filter_map(|id| Some((*id, self.chains.get(id)?))).collect()
    }

    /// Questions for these accounts.
    pub(super) fn heads(&self, ids: &[AccountId]) -> Vec<Query> {
        let keys: Vec<BoltType> = ids.iter().map(|id| id.to_string().into()).collect();
        packed(&self.statements.heads, keys).into_iter().map(|(query, _)| query).collect()
    }

    /// The accounts in an answer.
    pub(super) fn chains_in(&self, rows: &[Row]) -> Result<Vec<(AccountId, Chain)>, Failure> {
        rows.iter()
            .map(|row| {
                let id = AccountId { unit: parsed(row, "unit")?, address: parsed(row, "address")? };
                let position: u64 = get::<Option<u64>>(row, "p")?.ok_or_else(|| {
                    Failure::Unexplained(format!("the unspent output of {id} is missing"))
                })?;
                let account = Account { balance: balance(row)?, output: pointer(row)? };
                Ok((id, Chain { no: get(row, "no")?, s: position % CHAIN_MAX, account }))
            })
            .collect()
    }

    /// The accounts that a reader asks for.
    async fn chains_of(&self, asked: &Query) -> Result<Vec<(AccountId, Chain)>, Error> {
        Ok(self.chains_in(&self.bolt.read(asked.clone()).await?)?)
    }

    pub(super) async fn numbered(&self, number: u64) -> Result<Option<Stored>, Error> {
        let rows = query(&self.statements.numbered).param("n", integer(number));
        self.bolt.read(rows).await?.first().map(stored).transpose()
    }

    pub(super) async fn named(&self, hash: Hash) -> Result<Option<Stored>, Error> {
        let rows = query(&self.statements.named).param("id", hash.to_string());
        self.bolt.read(rows).await?.first().map(stored).transpose()
    }

    pub(super) async fn cleared(&self, after: u64, limit: u32) -> Result<Vec<Stored>, Error> {
        self.moments.whole(|| self.cleared_now(after, limit)).await
    }

    async fn cleared_now(&self, after: u64, limit: u32) -> Result<Vec<Stored>, Error> {
        let (mut found, mut bytes) = (Vec::new(), 0);
        while found.len() < limit as usize && bytes < ANSWER_BYTES {
            let from = after + found.len() as u64;
            let step = STEP.min(limit - found.len() as u32);
            let asked = query(&self.statements.cleared);
            let asked = asked.param("after", integer(from)).param("limit", step);
            let rows = self.bolt.read(asked).await?;
            for row in &rows {
                let stored = stored(row)?;
                let next = after + found.len() as u64 + 1;
                if stored.number != next {
                    let lost = || Error::Broken(format!("record {next} is missing in the graph"));
                    return if found.is_empty() { Err(lost()) } else { Ok(found) };
                }
                if stored.bytes.is_empty() {
                    return self.trimmed(found).await;
                }
                bytes += stored.bytes.len();
                found.push(stored);
            }
            if rows.len() < step as usize {
                break;
            }
        }
        Ok(found)
    }

    /// The answer where the next record's bytes are gone: what was found
    /// before them was read while they were being dropped.
    async fn trimmed(&self, found: Vec<Stored>) -> Result<Vec<Stored>, Error> {
        if !found.is_empty() {
            return Ok(found);
        }
        let rows = self.bolt.read(query(&self.statements.trimmed).param("shard", SHARD)).await?;
        Err(Error::Trimmed(get(first(&rows)?, "trimmed")?))
    }

    pub(super) async fn accounts(
        &self,
        address: Address,
        after: Option<Address>,
        skip: u64,
        limit: u32,
    ) -> Result<Vec<(AccountId, Account)>, Error> {
        let asked = query(&self.statements.accounts_of)
            .param("address", address.as_str())
            .param("after", after.as_ref().map_or("", Address::as_str))
            .param("skip", integer(skip))
            .param("limit", limit);
        let found = self.moments.whole(|| self.chains_of(&asked)).await?;
        Ok(found.into_iter().map(|(id, chain)| (id, chain.account)).collect())
    }

    pub(super) async fn unit(&self, unit: Address) -> Result<Unit, Error> {
        let asked = query(&self.statements.unit).param("unit", unit.as_str());
        let rows = self.quiet(&asked).await?;
        let row = first(&rows)?;
        let supply = match get::<Option<&str>>(row, "net")? {
            Some(net) => Amount::parse_signed(net).map(|net| net.negated()),
            None => Ok(Amount::zero()),
        };
        let supply = supply
            .map_err(|e| Failure::Unexplained(format!("what the issuer of {unit} has: {e}")))?;
        let counted = get::<Option<u64>>(row, "accounts")?.is_some();
        let totals = if counted { totals(row)? } else { Totals::default() };
        Ok(Unit { supply, totals })
    }

    /// Questions for what these units come to.
    pub(super) fn units_query(&self, units: impl Iterator<Item = Address>) -> Vec<Query> {
        let ids = units.map(|unit| unit.as_str().into()).collect();
        packed(&self.statements.units, ids).into_iter().map(|(query, _)| query).collect()
    }

    pub(super) async fn holders(
        &self,
        unit: Address,
        after: Option<Address>,
        skip: u64,
        limit: u32,
    ) -> Result<Vec<(Address, Balance)>, Error> {
        let asked = query(&self.statements.holders)
            .param("unit", unit.as_str())
            .param("after", after.as_ref().map_or("", Address::as_str))
            .param("skip", integer(skip))
            .param("limit", limit);
        let holder = |row| Ok((parsed(row, "address")?, balance(row)?));
        self.quiet(&asked).await?.iter().map(holder).collect()
    }

    /// What a statement answers while nothing is committed.
    async fn quiet(&self, asked: &Query) -> Result<Vec<Row>, Error> {
        if self.moments.ended().await.is_none() {
            // Its answer was lost, and perhaps nobody clears for long. One asks for all who
            // wait, or the writer would have to wait behind them.
            let _turn = self.settling.lock().await;
            if self.moments.turn() % 2 == 1 {
                self.settled().await?;
            }
        }
        let read = || async { Ok(self.bolt.read(asked.clone()).await?) };
        self.moments.quiet(read).await
    }

    pub(super) async fn outputs(
        &self,
        account: AccountId,
        page: Page,
    ) -> Result<Vec<Placed>, Error> {
        self.moments.whole(|| self.outputs_now(account, page)).await
    }

    async fn outputs_now(&self, account: AccountId, page: Page) -> Result<Vec<Placed>, Error> {
        let asked = query(&self.statements.outputs)
            .param("k", account.to_string())
            .param("before", integer(page.before))
            .param("skip", integer(page.skip))
            .param("limit", page.limit);
        let rows = self.bolt.read(asked).await?;
        for row in &rows {
            if get::<Option<&str>>(row, "record")?.is_none() {
                let s: u64 = get(row, "s")?;
                return Err(Error::Broken(format!("output {s} of {account} is missing")));
            }
        }
        let mut placed = Vec::with_capacity(rows.len());
        for (i, row) in rows.iter().take(page.limit as usize).enumerate() {
            // The output before it in the chain is the one it consumed.
            let mut sources = match (get::<u64>(row, "s")?, rows.get(i + 1)) {
                (1, _) => Vec::new(),
                (_, Some(source)) => vec![pointer(source)?],
                (s, None) => {
                    return Err(Error::Broken(format!("output {} of {account} is missing", s - 1)));
                }
            };
            for lock in get::<Option<Vec<String>>>(row, "locks")?.unwrap_or_default() {
                sources.push(lock.parse().map_err(|_| {
                    Error::Broken(format!("a lock in the graph is called {lock:?}"))
                })?);
            }
            let output = Output { account, balance: balance(row)?, sources };
            placed.push(Placed { pointer: pointer(row)?, output, number: get(row, "n")? });
        }
        Ok(placed)
    }

    /// Questions for those of these locks that are open, and how many each asks for.
    pub(super) fn locks_query(&self, pointers: &[Pointer]) -> Vec<(Query, u64)> {
        let names = pointers.iter().map(|pointer| pointer.to_string().into()).collect();
        packed(&self.statements.locks, names)
    }

    /// Asked by the writer.
    pub(super) async fn locks(
        &self,
        pointers: &[Pointer],
    ) -> Result<HashMap<Pointer, Lock>, Error> {
        let mut found = HashMap::new();
        for (asked, _) in self.locks_query(pointers) {
            for row in self.bolt.read_to_write(asked).await? {
                found.insert(parsed(&row, "id")?, lock(&row)?);
            }
        }
        Ok(found)
    }

    pub(super) async fn locks_of(
        &self,
        account: AccountId,
        after: Option<Pointer>,
        limit: u32,
    ) -> Result<Vec<(Pointer, Lock)>, Error> {
        let (record, index) =
            after.map_or((String::new(), 0), |pointer| (pointer.record.to_string(), pointer.index));
        let asked = query(&self.statements.locks_of)
            .param("unit", account.unit.as_str())
            .param("address", account.address.as_str())
            .param("record", record)
            .param("index", index)
            .param("limit", limit);
        // One that is being used would be listed beside the balance that has it already.
        let rows = self.quiet(&asked).await?;
        rows.iter().map(|row| Ok((parsed(row, "id")?, lock(row)?))).collect()
    }

    pub(super) async fn intents(&self, from: u64, limit: u32) -> Result<Vec<Intent>, Error> {
        let (mut found, mut bytes) = (Vec::new(), 0);
        while found.len() < limit as usize && bytes < ANSWER_BYTES {
            let next = from + found.len() as u64;
            // One at a time: each may be as large as the whole answer.
            let asked = query(&self.statements.intents).param("from", integer(next));
            let rows = self.bolt.read(asked.param("limit", 1)).await?;
            let Some(row) = rows.first() else { break };
            let intent = get::<&[u8]>(row, "intent")?;
            bytes += intent.len();
            found.push(Intent::decode(intent)?);
        }
        Ok(found)
    }
}

fn stored(row: &Row) -> Result<Stored, Error> {
    let (number, hash) = (get(row, "n")?, parsed(row, "id")?);
    let bytes = get::<Option<&[u8]>>(row, "record")?.unwrap_or_default().to_vec();
    // A damaged disk must not answer: both are checked on every read. The name covers what is
    // paid, the sum also who signed; what an earlier build wrote has none.
    let sum = get::<Option<u32>>(row, "sum")?;
    let is_right = || {
        webwallet_ledger::document::name(&bytes) == Ok(hash)
            && sum.is_none_or(|sum| crc32c::crc32c(&bytes) == sum)
    };
    if !bytes.is_empty() && !is_right() {
        return Err(Error::Broken(format!("record {number} is damaged in the graph")));
    }
    Ok(Stored { number, hash, bytes })
}

/// What a row says that a unit comes to.
pub(super) fn totals(row: &Row) -> Result<Totals, Failure> {
    let sum = |name: &str| {
        let text: &str = get(row, name)?;
        Amount::parse_sum(text)
            .ok_or_else(|| Failure::Unexplained(format!("{name} of a unit reads {text:?}")))
    };
    Ok(Totals { accounts: get(row, "accounts")?, locked: sum("locked")?, credit: sum("credit")? })
}

pub(super) fn lock(row: &Row) -> Result<Lock, Failure> {
    Lock::parse(get::<&str>(row, "output")?.as_bytes())
        .map_err(|e| Failure::Unexplained(format!("a lock in the graph: {e}")))
}

fn balance(row: &Row) -> Result<Balance, Failure> {
    Balance::from_texts(get(row, "net")?, get(row, "min")?, get(row, "max")?)
        .map_err(|e| Failure::Unexplained(format!("a balance in the graph: {e}")))
}

fn pointer(row: &Row) -> Result<Pointer, Failure> {
    Ok(Pointer { record: parsed(row, "record")?, index: get(row, "index")? })
}

/// A column that is written as text in documents.
pub(super) fn parsed<T: std::str::FromStr>(row: &Row, name: &str) -> Result<T, Failure> {
    let text: &str = get(row, name)?;
    text.parse().map_err(|_| Failure::Unexplained(format!("{name} in the graph reads {text:?}")))
}
