//! Writing: a batch in one transaction, behind the fence.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use neo4rs::query;
use webwallet_ledger::{AccountId, Address, Time};

use super::bolt::{Failure, Transaction, first, get, integer};
use super::plan::{Known, changed, plan, touched, used};
use super::read::{Chain, lock, parsed, totals};
use super::statements::SHARD;
use super::{Inner, Stopped};
use crate::store::{Batch, Committed, Error, Head, Intended, Intent};
use crate::unit::Totals;

/// How often a batch is tried while locks or memory are short: with two seconds
/// for a lock, less than a caller waits.
const TRIES_MAX: u32 = 4;
/// Longer after every try, so that whoever holds them can end.
const PAUSE: Duration = Duration::from_millis(50);
/// Numbers in one transaction that drops bytes: at most 4 MiB of the largest
/// records, which the server must hold in memory.
const TRIM_NUMBERS: u64 = 64;
/// Such transactions in one call: more than a block needs, and less than a caller
/// waits. The call of the next block goes on.
const TRIM_STEPS: u64 = 128;

/// How a try ended.
enum Tried {
    /// As it will stay.
    Done(Committed),
    /// Nothing was written; why.
    Failed(Failure),
    /// Nothing will be written any more; why.
    Stopped(Error),
}

impl From<Failure> for Tried {
    fn from(failure: Failure) -> Tried {
        Tried::Failed(failure)
    }
}

impl Inner {
    pub(super) async fn commit(&self, batch: &Batch) -> Result<Committed, Error> {
        let mut tries = 0;
        loop {
            let epoch = self.writable()?;
            tries += 1;
            let failure = match self.attempt(batch, epoch).await {
                Tried::Done(committed) => {
                    if committed != Committed::Yes {
                        // Something in it was stale, or may be.
                        self.chains.clear();
                    }
                    return Ok(committed);
                }
                Tried::Stopped(error) => return Err(error),
                Tried::Failed(failure) => failure,
            };
            self.chains.clear();
            match failure {
                Failure::Taken(why) => {
                    tracing::warn!(why, "a constraint refused a batch");
                    return Ok(Committed::Deposed);
                }
                Failure::Transient(why) if tries < TRIES_MAX => {
                    tracing::warn!(why, tries, "a batch is tried again");
                    tokio::time::sleep(PAUSE * tries).await;
                }
                Failure::Unexplained(why) => return Err(self.broken(why)),
                failure => return Err(failure.into()),
            }
        }
    }

    /// Nothing can be relied on any more.
    fn broken(&self, why: String) -> Error {
        let why = format!("writing has stopped, because Neo4j did what it never should: {why}");
        self.stop(Stopped::Broken(why.clone()));
        Error::Broken(why)
    }

    /// Tries once, from BEGIN to COMMIT or ROLLBACK.
    async fn attempt(&self, batch: &Batch, epoch: u64) -> Tried {
        let mut transaction = match self.bolt.begin().await {
            Ok(transaction) => transaction,
            Err(failure) => return failure.into(),
        };
        let chains = match self.write(&mut transaction, batch, epoch).await {
            Ok(chains) => chains,
            Err(tried) => {
                transaction.rollback().await;
                return tried;
            }
        };
        let turn = self.moments.commit();
        match transaction.commit().await {
            Ok(()) => {
                self.moments.settle(turn);
                chains.into_iter().for_each(|(id, chain)| self.chains.insert(id, chain));
                Tried::Done(Committed::Yes)
            }
            // Whatever was answered, only the same batch again tells what it did.
            Err(failure) => {
                tracing::warn!(?failure, "the answer to a COMMIT was lost");
                Tried::Done(Committed::Unknown)
            }
        }
    }

    /// Everything between BEGIN and COMMIT. `Err`: it is to be rolled back.
    async fn write(
        &self,
        transaction: &mut Transaction,
        batch: &Batch,
        epoch: u64,
    ) -> Result<HashMap<AccountId, Chain>, Tried> {
        let Some(accounts) = self.fence(transaction, batch, epoch).await? else {
            return Err(Tried::Done(Committed::Deposed));
        };
        let ids = touched(batch);
        let mut chains = self.cached(&ids);
        let missing: Vec<_> = ids.into_iter().filter(|id| !chains.contains_key(id)).collect();
        // Behind the fence: nobody else moves them now.
        for keys in self.heads(&missing) {
            chains.extend(self.chains_in(&transaction.rows(keys).await?)?);
        }
        // A lock that is not there would be no constraint's to refuse.
        let Some(used) = used(batch) else { return Err(Tried::Done(Committed::Deposed)) };
        let mut locks = HashMap::new();
        for (asked, count) in self.locks_query(&used) {
            let open = transaction.rows(asked).await?;
            if open.len() as u64 != count {
                return Err(Tried::Done(Committed::Deposed));
            }
            for row in &open {
                locks.insert(parsed(row, "id")?, lock(row)?);
            }
        }
        let changes = changed(batch, &locks);
        let units = self.units(transaction, &changes).await?;
        let known = Known { chains, accounts, units };
        let plan = match plan(&self.statements, batch, &known, &changes) {
            Ok(Some(plan)) => plan,
            Ok(None) => return Err(Tried::Done(Committed::Deposed)),
            Err(error) => return Err(Tried::Stopped(error)),
        };
        for (query, effect) in plan.statements {
            transaction.run(query, &effect).await?;
        }
        Ok(plan.chains)
    }

    /// What the units of a batch come to before it.
    async fn units(
        &self,
        transaction: &mut Transaction,
        changes: &BTreeMap<Address, Totals>,
    ) -> Result<HashMap<Address, Totals>, Failure> {
        let mut units = HashMap::new();
        for asked in self.units_query(changes.keys().copied()) {
            for row in &transaction.rows(asked).await? {
                units.insert(parsed(row, "id")?, totals(row)?);
            }
        }
        Ok(units)
    }

    /// Locks the Shard, then looks whether this batch is there, whether this
    /// process may write and whether the numbers follow. Answers the number of
    /// the newest account; `None`: the numbers do not follow.
    async fn fence(
        &self,
        transaction: &mut Transaction,
        batch: &Batch,
        epoch: u64,
    ) -> Result<Option<u64>, Tried> {
        let (Some(head), Some(last)) = (batch.records.first(), batch.records.last()) else {
            return Ok(None);
        };
        let follows = (head.number..).zip(&batch.records).all(|(n, record)| record.number == n);
        let Some(before) = head.number.checked_sub(1).filter(|_| follows) else { return Ok(None) };
        let fence = query(&self.statements.fence)
            .param("shard", SHARD)
            .param("batch", batch.id.to_string())
            .param("epoch", integer(epoch))
            .param("n0", integer(before))
            .param("n1", integer(last.number))
            .param("time", last.time.unix_ms());
        let turn = self.moments.turn();
        let rows = transaction.rows(fence).await?;
        let row = first(&rows)?;
        self.moments.settle(turn);
        if get::<u64>(row, "there")? > 0 {
            return Err(Tried::Done(Committed::Yes));
        }
        self.fenced(get(row, "epoch")?).map_err(Tried::Stopped)?;
        if get::<u64>(row, "n")? != before {
            return Ok(None);
        }
        Ok(Some(get(row, "accounts")?))
    }

    /// Where the graph stands when nothing is on its way any more.
    pub(super) async fn settled(&self) -> Result<Head, Error> {
        self.writable()?;
        let turn = self.moments.turn();
        let mut transaction = self.bolt.begin().await?;
        let rows = transaction.rows(self.statements.settle_query()).await;
        // The lock was all it was for.
        transaction.rollback().await;
        let head = self.head_in(&rows?)?;
        self.moments.settle(turn);
        Ok(head)
    }

    pub(super) async fn intend(
        &self,
        intents: Vec<Intent>,
        quiet: bool,
    ) -> Result<Intended, Error> {
        let epoch = self.writable()?;
        let mut transaction = self.bolt.begin().await?;
        match self.write_intents(&mut transaction, intents, quiet, epoch).await {
            Ok(stored @ Intended::Stored(_)) => {
                transaction.commit().await.map(|()| stored).map_err(|failure| {
                    Error::Unavailable(format!(
                        "the answer was lost, and the same again tells: {failure:?}"
                    ))
                })
            }
            other => {
                transaction.rollback().await;
                if let Err(Error::Broken(why)) = &other {
                    self.stop(Stopped::Broken(why.clone()));
                }
                other
            }
        }
    }

    async fn write_intents(
        &self,
        transaction: &mut Transaction,
        intents: Vec<Intent>,
        quiet: bool,
        epoch: u64,
    ) -> Result<Intended, Error> {
        let mut all = Vec::new();
        for intent in intents {
            match self.write_intent(transaction, intent, quiet, epoch).await? {
                Ok(stored) => all.push(stored),
                Err(why) => return Ok(Intended::Refused(why)),
            }
        }
        Ok(Intended::Stored(all))
    }

    /// What is stored for its height, or why it cannot be the next one.
    async fn write_intent(
        &self,
        transaction: &mut Transaction,
        intent: Intent,
        quiet: bool,
        epoch: u64,
    ) -> Result<Result<Intent, String>, Error> {
        let asked = query(&self.statements.intend)
            .param("shard", SHARD)
            .param("epoch", integer(epoch))
            .param("height", integer(intent.height))
            .param("cleared", integer(intent.cleared))
            .param("time", intent.time.unix_ms())
            .param("quiet", quiet)
            .param("intent", intent.encode());
        let rows = transaction.rows(asked).await?;
        let row = first(&rows)?;
        if let Some(stored) = get::<Option<&[u8]>>(row, "stored")? {
            return Intent::decode(stored).map(Ok);
        }
        self.fenced(get(row, "epoch")?)?;
        let head = Head {
            number: get(row, "n")?,
            time: get::<Option<i64>>(row, "time")?.map(Time::from_unix_ms),
            domain: None,
            intent: get(row, "height")?,
        };
        let sealed = get::<Option<u64>>(row, "sealed")?.unwrap_or(0);
        // Two of one mind, or what is answered is not what was written.
        match (get(row, "made")?, intent.refusal(quiet, &head, sealed)) {
            (true, None) => Ok(Ok(intent)),
            (false, Some(why)) => Ok(Err(why)),
            (made, refusal) => Err(Error::Broken(format!(
                "of the intent of block {} it was said that it is stored: {made}, and why not: {refusal:?}",
                intent.height
            ))),
        }
    }

    pub(super) async fn trim(&self, upto: u64) -> Result<(), Error> {
        self.writable()?;
        // One that its caller no longer waits for is still at it.
        let Ok(_turn) = self.trimming.try_lock() else { return Ok(()) };
        let trimmed = query(&self.statements.trimmed).param("shard", SHARD);
        let rows = self.bolt.read(trimmed).await?;
        let row = first(&rows)?;
        let mut after = get::<u64>(row, "trimmed")?;
        let upto = upto.min(get(row, "n")?).min(after + TRIM_STEPS * TRIM_NUMBERS);
        while after < upto {
            let next = upto.min(after + TRIM_NUMBERS);
            let trim = query(&self.statements.trim)
                .param("shard", SHARD)
                .param("after", integer(after))
                .param("upto", integer(next));
            self.bolt.write(trim).await?;
            after = next;
        }
        Ok(())
    }
}
