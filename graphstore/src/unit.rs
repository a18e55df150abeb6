//! What the accounts and locks of a unit come to.
//!
//! An engine keeps these totals, because anybody may ask for them and a unit may
//! have a million accounts. They change seldom: with an account's first output,
//! with credit, with a lock made or used. What a unit's issuer owes is in the
//! issuer's account.

use std::collections::BTreeMap;

use webwallet_ledger::{Address, Amount, Lock, Pointer, Record};

/// A unit as the last commit left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// What its issuer owes: all that others hold, and all that is locked.
    pub supply: Amount,
    /// What its accounts and locks come to.
    pub totals: Totals,
}

/// What the accounts and locks of a unit come to; or, of a change, by how much
/// they come to more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totals {
    /// Accounts ever made, the issuer's included.
    pub accounts: u64,
    /// What is in open locks.
    pub locked: Amount,
    /// Credit now granted: the sum of -min over all accounts but the issuer's.
    pub credit: Amount,
}

impl Default for Totals {
    fn default() -> Totals {
        Totals { accounts: 0, locked: Amount::zero(), credit: Amount::zero() }
    }
}

impl Totals {
    /// After this change.
    pub fn plus(&self, change: &Totals) -> Totals {
        Totals {
            accounts: self.accounts + change.accounts,
            locked: self.locked.plus(&change.locked),
            credit: self.credit.plus(&change.credit),
        }
    }

    /// What a record changes, by unit. It follows from the record alone and the
    /// locks that it uses, which never change: so it is the same at every replay.
    pub(crate) fn changes<'l>(
        record: &Record,
        used: impl Fn(&Pointer) -> Option<&'l Lock>,
    ) -> BTreeMap<Address, Totals> {
        let mut changes: BTreeMap<Address, Totals> = BTreeMap::new();
        for output in record.outputs.iter().filter(|output| record.spent(output).is_none()) {
            changes.entry(output.account.unit).or_default().accounts += 1;
        }
        for (unit, credit) in &record.credits {
            let change = changes.entry(*unit).or_default();
            change.credit = change.credit.minus(credit);
        }
        for lock in &record.locks {
            let change = changes.entry(lock.account.unit).or_default();
            change.locked = change.locked.plus(&lock.amount);
        }
        for lock in record.collects.iter().filter_map(used) {
            let change = changes.entry(lock.account.unit).or_default();
            change.locked = change.locked.minus(&lock.amount);
        }
        changes
    }
}
