//! From a batch to the statements that write it.
//!
//! An output's place in its account's chain is its position: the account's
//! number times 2^31 and a count from 1. A batch says which output each of its
//! outputs consumes; the plan puts the new one right behind that one, and the
//! uniqueness of positions does the rest.

use std::collections::{BTreeMap, HashMap, HashSet};

use neo4rs::summary::Counters;
use neo4rs::{BoltType, Query, query};
use webwallet_ledger::{Account, AccountId, Address, Lock, Output, Pointer, Record};

use super::bolt::{integer, list, packed};
use super::count;
use super::read::{CHAIN_MAX, Chain};
use super::statements::{SHARD, Statements};
use crate::store::{Batch, Error};
use crate::unit::Totals;

/// What a batch finds, behind the fence.
pub(super) struct Known {
    /// The accounts it touches that are there.
    pub(super) chains: HashMap<AccountId, Chain>,
    /// The number of the newest account.
    pub(super) accounts: u64,
    /// The units it changes that are there.
    pub(super) units: HashMap<Address, Totals>,
}

/// What a batch writes.
pub(super) struct Plan {
    /// In this order, each with the only effect it may have.
    pub(super) statements: Vec<(Query, Counters)>,
    /// What it leaves of the accounts it touches.
    pub(super) chains: HashMap<AccountId, Chain>,
}

/// Accounts that a batch touches, in the order of locks.
pub(super) fn touched(batch: &Batch) -> Vec<AccountId> {
    let outputs = batch.records.iter().flat_map(|record| &record.outputs);
    let mut ids: Vec<AccountId> = outputs.map(|output| output.account).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// The locks that a batch uses and does not make. `None`: one is used twice.
pub(super) fn used(batch: &Batch) -> Option<Vec<Pointer>> {
    let (mut used, mut made) = (HashSet::new(), HashSet::new());
    let mut before = Vec::new();
    for record in &batch.records {
        for lock in &record.collects {
            if !used.insert(*lock) {
                return None;
            }
            if !made.contains(lock) {
                before.push(*lock);
            }
        }
        made.extend(record.locked().map(|(pointer, _)| pointer));
    }
    Some(before)
}

/// What a batch changes, by unit. `locks` are those that it uses and does not make.
pub(super) fn changed(batch: &Batch, locks: &HashMap<Pointer, Lock>) -> BTreeMap<Address, Totals> {
    let made: HashMap<Pointer, &Lock> =
        batch.records.iter().flat_map(|record| record.locked()).collect();
    let lock = |pointer: &Pointer| locks.get(pointer).or_else(|| made.get(pointer).copied());
    let mut changed: BTreeMap<Address, Totals> = BTreeMap::new();
    for record in &batch.records {
        for (unit, change) in Totals::changes(record, lock) {
            let totals = changed.entry(unit).or_default();
            *totals = totals.plus(&change);
        }
    }
    changed
}

/// Plans a batch over what is there. `None`: an output that it spends is not the
/// unspent one.
///
/// # Errors
/// A position does not fit its number.
pub(super) fn plan(
    statements: &Statements,
    batch: &Batch,
    known: &Known,
    changes: &BTreeMap<Address, Totals>,
) -> Result<Option<Plan>, Error> {
    let Known { chains: known, accounts, units } = known;
    let mut chains: HashMap<AccountId, Chain> = HashMap::with_capacity(known.len());
    let mut newest = *accounts;
    let mut rows = Vec::with_capacity(batch.records.len());
    for record in &batch.records {
        let mut outputs = Vec::with_capacity(record.outputs.len());
        for (index, output) in (0..).zip(&record.outputs) {
            let before = chains.get(&output.account).or_else(|| known.get(&output.account));
            if record.spent(output) != before.map(|chain| chain.account.output) {
                return Ok(None);
            }
            let (no, s) = match before {
                Some(chain) => (chain.no, chain.s + 1),
                None => {
                    newest += 1;
                    (newest, 1)
                }
            };
            if s >= CHAIN_MAX || no >= CHAIN_MAX {
                return Err(Error::Broken(format!(
                    "account {} has as many outputs as fit, or is one account too many",
                    output.account
                )));
            }
            let output_of = Pointer { record: record.hash, index };
            let account = Account { balance: output.balance.clone(), output: output_of };
            let chain = Chain { no, s, account };
            let locks = &output.sources[usize::from(before.is_some())..];
            outputs.push(output_row(index, &chain, locks));
            chains.insert(output.account, chain);
        }
        rows.push(transaction_row(record, outputs));
    }
    let mut plan = Plan { statements: Vec::new(), chains };
    plan.create_accounts(statements, known, newest - accounts, newest);
    plan.create_transactions(statements, batch, rows);
    plan.make_locks(statements, batch);
    plan.move_accounts(statements, known);
    plan.count_units(statements, units, changes);
    Ok(Some(plan))
}

fn output_row(index: u32, chain: &Chain, locks: &[Pointer]) -> BoltType {
    let [net, min, max] = balance(&chain.account);
    let mut row = vec![integer(u64::from(index)), integer(chain.position()), net, min, max];
    if !locks.is_empty() {
        row.push(list(locks.iter().map(|lock| lock.to_string().into()).collect()));
    }
    list(row)
}

fn transaction_row(record: &Record, outputs: Vec<BoltType>) -> BoltType {
    let ious = record.inputs.iter().map(|iou| iou.to_string().into()).collect();
    list(vec![
        integer(record.number),
        record.hash.to_string().into(),
        record.time.unix_ms().into(),
        record.bytes.as_slice().into(),
        integer(u64::from(crc32c::crc32c(&record.bytes))),
        list(ious),
        list(outputs),
    ])
}

fn balance(account: &Account) -> [BoltType; 3] {
    let balance = &account.balance;
    [balance.net.to_string(), balance.min_text(), balance.max_text()].map(BoltType::from)
}

impl Plan {
    fn create_accounts(
        &mut self,
        statements: &Statements,
        known: &HashMap<AccountId, Chain>,
        new: u64,
        newest: u64,
    ) {
        if new == 0 {
            return;
        }
        let mut ids: Vec<_> =
            self.chains.iter().filter(|(id, _)| !known.contains_key(id)).collect();
        ids.sort_unstable_by_key(|(id, _)| **id);
        let row = |(id, chain): (&AccountId, &Chain)| {
            let mut row = vec![
                id.to_string().into(),
                integer(chain.no),
                id.unit.as_str().into(),
                id.address.as_str().into(),
                integer(chain.s),
            ];
            row.extend(balance(&chain.account));
            list(row)
        };
        let rows = ids.into_iter().map(row).collect();
        let effect = |rows| Counters {
            nodes_created: rows,
            labels_added: rows,
            properties_set: 8 * rows,
            ..Counters::default()
        };
        self.add(packed(&statements.accounts_new, rows), effect);
        let counted = query(&statements.accounts_counted);
        let counted = counted.param("shard", SHARD).param("accounts", integer(newest));
        self.statements.push((counted, Counters { properties_set: 1, ..Counters::default() }));
    }

    fn create_transactions(&mut self, statements: &Statements, batch: &Batch, rows: Vec<BoltType>) {
        let mut records = batch.records.iter();
        for (query, count) in packed(&statements.transactions, rows) {
            let (mut ious, mut outputs, mut collecting) = (0, 0, 0);
            for record in records.by_ref().take(count as usize) {
                ious += record.inputs.len() as u64;
                outputs += record.outputs.len() as u64;
                let collects = |output: &&Output| {
                    output.sources.iter().any(|source| record.collects.contains(source))
                };
                collecting += record.outputs.iter().filter(collects).count() as u64;
            }
            let effect = Counters {
                nodes_created: count + ious + outputs,
                labels_added: count + ious + outputs,
                relationships_created: ious + outputs,
                // Transaction 5, IOU 1, Output 4 and 1 on the way to it,
                // and its locks.
                properties_set: 5 * count + ious + 5 * outputs + collecting,
                ..Counters::default()
            };
            self.statements.push((query, effect));
        }
    }

    /// What the batch locks, and the locks that it uses.
    fn make_locks(&mut self, statements: &Statements, batch: &Batch) {
        let (mut made, mut used) = (Vec::new(), Vec::new());
        for record in &batch.records {
            made.extend(record.locked().map(|(pointer, lock)| {
                list(vec![
                    integer(record.number),
                    integer(u64::from(pointer.index)),
                    pointer.to_string().into(),
                    lock.account.unit.as_str().into(),
                    lock.account.address.as_str().into(),
                    lock.source.as_str().into(),
                    String::from_utf8_lossy(&lock.to_bytes()).into_owned().into(),
                ])
            }));
            let use_ = |lock: &Pointer| list(vec![integer(record.number), lock.to_string().into()]);
            used.extend(record.collects.iter().map(use_));
        }
        let effect = |rows| Counters {
            nodes_created: rows,
            labels_added: 2 * rows,
            relationships_created: rows,
            properties_set: 6 * rows,
            ..Counters::default()
        };
        self.add(packed(&statements.locks_made, made), effect);
        let effect = |rows| Counters {
            nodes_created: rows,
            labels_added: rows,
            labels_removed: rows,
            relationships_created: 2 * rows,
            properties_set: rows,
            ..Counters::default()
        };
        self.add(packed(&statements.locks_used, used), effect);
    }

    fn move_accounts(&mut self, statements: &Statements, known: &HashMap<AccountId, Chain>) {
        let mut moved: Vec<&Chain> = self
            .chains
            .iter()
            .filter_map(|(id, chain)| known.contains_key(id).then_some(chain))
            .collect();
        moved.sort_unstable_by_key(|chain| chain.no);
        let row = |chain: &Chain| {
            let mut row = vec![integer(chain.no), integer(chain.s)];
            row.extend(balance(&chain.account));
            list(row)
        };
        let rows = moved.into_iter().map(row).collect();
        let effect = |rows| Counters { properties_set: 4 * rows, ..Counters::default() };
        self.add(packed(&statements.accounts_moved, rows), effect);
    }

    fn count_units(
        &mut self,
        statements: &Statements,
        known: &HashMap<Address, Totals>,
        changes: &BTreeMap<Address, Totals>,
    ) {
        let (mut new, mut there) = (Vec::new(), Vec::new());
        for (unit, change) in changes {
            match known.get(unit) {
                Some(totals) => there.push(count::row(unit, &totals.plus(change))),
                None => new.push(count::row(unit, change)),
            }
        }
        let effect = |rows| Counters {
            nodes_created: rows,
            labels_added: rows,
            properties_set: 4 * rows,
            ..Counters::default()
        };
        self.add(packed(&statements.units_counted, new), effect);
        let effect = |rows| Counters { properties_set: 3 * rows, ..Counters::default() };
        self.add(packed(&statements.units_counted, there), effect);
    }

    fn add(&mut self, queries: Vec<(Query, u64)>, effect: impl Fn(u64) -> Counters) {
        self.statements.extend(queries.into_iter().map(|(query, rows)| (query, effect(rows))));
    }
}
