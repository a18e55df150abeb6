//! The books: what the records leave of accounts, locks and units, by the rules alone.

use std::collections::{BTreeMap, HashMap};

use webwallet_graphstore::store::{Totals, Unit};
use webwallet_ledger::account::Balance;
use webwallet_ledger::{
    Account, AccountId, Address, Amount, Hash, History, Lock, Output, Pointer, Record, RecordOf,
    Time,
};

/// Everything that the records so far leave.
#[derive(Default)]
pub struct Books {
    /// Every account that a record has touched.
    pub accounts: HashMap<AccountId, Line>,
    ious: HashMap<Hash, RecordOf>,
    /// Those that nobody has used.
    pub locks: BTreeMap<Pointer, Lock>,
    /// Of the newest record.
    pub time: Option<Time>,
}

/// An account, and all its outputs as one sum that does not depend on their order.
pub struct Line {
    /// As its last record leaves it.
    pub account: Account,
    /// That record's number.
    pub number: u64,
    /// How many outputs it has had.
    pub outputs: u64,
    /// Their marks.
    pub sum: u128,
}

impl History for Books {
    fn account(&self, account: &AccountId) -> Option<Account> {
        self.accounts.get(account).map(|line| line.account.clone())
    }

    fn record_of(&self, iou: &Hash) -> Option<RecordOf> {
        self.ious.get(iou).copied()
    }

    fn lock(&self, pointer: &Pointer) -> Option<Lock> {
        self.locks.get(pointer).cloned()
    }
}

impl Books {
    /// After the next record.
    pub fn apply(&mut self, record: &Record) {
        self.time = self.time.max(Some(record.time));
        for ((id, account), output) in record.accounts().zip(&record.outputs) {
            let mark = mark(&account.output, record.number, output);
            let (outputs, sum) = self.accounts.get(&id).map_or((0, 0), |l| (l.outputs, l.sum));
            let (outputs, sum) = (outputs + 1, sum.wrapping_add(mark));
            self.accounts.insert(id, Line { account, number: record.number, outputs, sum });
        }
        record.collects.iter().for_each(|used| drop(self.locks.remove(used)));
        self.locks.extend(record.locked().map(|(pointer, lock)| (pointer, lock.clone())));
        let at = record.cleared();
        for iou in &record.inputs {
            self.ious.entry(*iou).or_insert(at);
        }
    }

    /// What each unit comes to, and who holds it, in the order of addresses.
    pub fn units(&self) -> BTreeMap<Address, (Unit, BTreeMap<Address, Balance>)> {
        let mut units: BTreeMap<Address, (Unit, BTreeMap<Address, Balance>)> = BTreeMap::new();
        let nothing =
            || (Unit { supply: Amount::zero(), totals: Totals::default() }, BTreeMap::new());
        for (id, line) in &self.accounts {
            let (unit, holders) = units.entry(id.unit).or_insert_with(nothing);
            let balance = &line.account.balance;
            unit.totals.accounts += 1;
            match &balance.min {
                Some(min) if !id.is_issuer() => {
                    unit.totals.credit = unit.totals.credit.minus(min);
                }
                _ => unit.supply = balance.net.negated(),
            }
            holders.insert(id.address, balance.clone());
        }
        for lock in self.locks.values() {
            let (unit, _) = units.entry(lock.account.unit).or_insert_with(nothing);
            unit.totals.locked = unit.totals.locked.plus(&lock.amount);
        }
        units
    }

    /// What everybody holds of each unit, its issuer too, and what is locked: by the rules 0.
    pub fn sums(&self) -> BTreeMap<Address, Amount> {
        let held = self.accounts.iter().map(|(id, line)| (id.unit, &line.account.balance.net));
        let locked = self.locks.values().map(|lock| (lock.account.unit, &lock.amount));
        let mut sums: BTreeMap<Address, Amount> = BTreeMap::new();
        for (unit, amount) in held.chain(locked) {
            let sum = sums.entry(unit).or_insert_with(Amount::zero);
            *sum = sum.plus(amount);
        }
        sums
    }
}

/// One output as a number: pointer, number and content.
pub fn mark(pointer: &Pointer, number: u64, output: &Output) -> u128 {
    let mut bytes = pointer.to_string().into_bytes();
    bytes.extend(number.to_be_bytes());
    output.write(&mut bytes);
    let digest = Hash::sha3(&bytes);
    let half: [u8; 16] = std::array::from_fn(|i| digest.0[i]);
    u128::from_be_bytes(half)
}
