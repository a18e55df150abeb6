//! Rehearsing: a server that has just been started plans and compiles each
//! statement when it sees it first, and the first commit of all can take longer
//! than a caller waits. So whoever opens the graph has every statement run once
//! before anybody waits for one.
//!
//! What is written is undone, lies below every number that is ever given, and
//! hangs on a Shard of its own: nobody who works with the graph meets a lock.

use std::time::Instant;

use neo4rs::{BoltType, Query, query};
use webwallet_ledger::signature::public_of;
use webwallet_ledger::{AccountId, Address, Hash, Pointer};

use super::Inner;
use super::bolt::{Failure, Transaction, list, packed};
use super::read::CHAIN_MAX;
use crate::store::{Error, Page};

/// How often it is tried: what has been planned stays so, and each try that the
/// server cuts off gets further.
const TRIES_MAX: u32 = 4;

impl Inner {
    /// Has the server run every statement once. Nothing of it stays.
    pub(super) async fn rehearse(&self, epoch: u64) -> Result<(), Error> {
        let begun = Instant::now();
        let mut tries = 0;
        loop {
            tries += 1;
            let mut transaction = self.bolt.begin().await?;
            let ran = self.rehearse_writes(&mut transaction, epoch).await;
            transaction.rollback().await;
            match ran {
                Err(Failure::Transient(why)) if tries < TRIES_MAX => {
                    tracing::info!(why, "Neo4j is still warming up");
                }
                ran => break ran?,
            }
        }
        self.rehearse_reads().await?;
        tracing::debug!(took = ?begun.elapsed(), tries, "every statement has run once");
        Ok(())
    }

    /// In the order of a commit, because the server plans a statement anew for a
    /// transaction that has written before it.
    async fn rehearse_writes(
        &self,
        transaction: &mut Transaction,
        epoch: u64,
    ) -> Result<(), Failure> {
        let statements = &self.statements;
        // No two processes have the same epoch, so neither waits for the other.
        let name = format!("rehearsal {epoch}");
        let number = -i64::try_from(epoch).unwrap_or(i64::MAX);
        let place = number.saturating_mul(CHAIN_MAX as i64);
        let text = |text: &str| BoltType::from(text);
        let [net, min, max] = ["0", "0", "Infinity"].map(text);
        let on_shard = |statement: &str| query(statement).param("shard", name.clone());
        let row = |statement: &str, row: Vec<BoltType>| -> Vec<Query> {
            packed(statement, vec![list(row)]).into_iter().map(|(query, _)| query).collect()
        };
        let balance = || [net.clone(), min.clone(), max.clone()];
        let account = [text(&name), number.into(), text(&name), text(&name), 1.into()];
        let output = [BoltType::from(0), (place + 1).into()].into_iter().chain(balance());
        let ious = list(vec![text(&name)]);
        let outputs = list(vec![list(output.collect())]);
        let record = BoltType::from(&b"{}"[..]);
        let moved = [number.into(), BoltType::from(1)].into_iter().chain(balance());
        // A lock of the first account, made and used.
        let lock =
            [number.into(), BoltType::from(0)].into_iter().chain((0..5).map(|_| text(&name)));
        let used = vec![number.into(), text(&name)];
        let keys = || packed(&statements.heads, vec![text(&name)]).into_iter().map(|(q, _)| q);
        let unit = vec![text(&name), BoltType::from(0), text("0"), text("0")];
        let units = || packed(&statements.units, vec![text(&name)]).into_iter().map(|(q, _)| q);
        let locks = || packed(&statements.locks, vec![text(&name)]).into_iter().map(|(q, _)| q);
        let fence = on_shard(&statements.fence)
            .param("batch", name.clone())
            .param("epoch", 0)
            .param("n0", 0)
            .param("n1", number)
            .param("time", 0);
        let intend = on_shard(&statements.intend)
            .param("epoch", 0)
            .param("height", number)
            .param("cleared", 0)
            .param("time", 0)
            .param("quiet", false)
            .param("intent", &b"{}"[..]);
        let trim = on_shard(&statements.trim).param("after", number - 1).param("upto", number);
        let transactions =
            vec![number.into(), text(&name), 0.into(), record, 0.into(), ious, outputs];
        let settle = on_shard(&statements.settle);
        let mut queries = vec![on_shard(&statements.rehearsal), settle, fence];
        queries.extend(keys().chain(locks()).chain(units()));
        queries
            .extend(row(&statements.accounts_new, account.into_iter().chain(balance()).collect()));
        queries.push(on_shard(&statements.accounts_counted).param("accounts", number));
        queries.extend(row(&statements.transactions, transactions));
        queries.extend(row(&statements.locks_made, lock.collect()));
        // Now that they find something.
        queries.extend(keys().chain(locks()));
        queries.extend(row(&statements.locks_used, used));
        queries.extend(row(&statements.accounts_moved, moved.collect()));
        queries.extend(row(&statements.units_counted, unit));
        queries.extend(units().chain([intend, trim]));
        for query in queries {
            transaction.rows(query).await?;
        }
        Ok(())
    }

    async fn rehearse_reads(&self) -> Result<(), Error> {
        // Nobody's: whose secret is known to all.
        let nobody = Address::of_public(&public_of(&[0; 32]));
        let account = AccountId { unit: nobody, address: nobody };
        let hash = Hash([0; 32]);
        self.head().await?;
        self.load(&[account], &[hash]).await?;
        self.locks(&[Pointer { record: hash, index: 0 }]).await?;
        self.locks_of(account, None, 1).await?;
        self.numbered(0).await?;
        self.named(hash).await?;
        self.accounts(nobody, None, 0, 1).await?;
        self.unit(nobody).await?;
        self.holders(nobody, None, 0, 1).await?;
        self.outputs(account, Page { before: 0, skip: 0, limit: 1 }).await?;
        self.intents(u64::MAX, 1).await?;
        self.cleared(u64::MAX, 1).await.map(drop)
    }
}
