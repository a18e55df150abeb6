//! The state after a record: every account and every unit, each set under one
//! root that blocks sign.
//!
//! So a balance, a missing account and a unit's supply can be proved against
//! any block, and the first wrong one names its block on replay. Accounts are
//! kept here and nowhere else: who clears or replays reads them from here.
//! Records must come in order; whether they should have cleared is not asked.

mod pieces;
mod proof;
mod tree;

pub use proof::{EMPTY, Proof, ProofError};
pub use tree::Tree;

use std::collections::BTreeMap;

use sha3::{Digest, Sha3_256};

use crate::account::{Account, AccountId, Balance};
use crate::address::Address;
use crate::amount::Amount;
use crate::hash::Hash;
use crate::json::write_texts;
use crate::lock::Lock;
use crate::merkle::Node;
use crate::pointer::Pointer;
use crate::record::Record;

/// Where an account stands in the tree of accounts.
pub fn account_key(account: &AccountId) -> Node {
    let (unit, address) = (account.unit.as_str(), account.address.as_str());
    let key = Sha3_256::new().chain_update(b"account\0").chain_update(unit);
    key.chain_update(b"\0").chain_update(address).finalize().into()
}

/// What the tree of accounts says of an account whose last record has this number.
pub fn account_value(id: &AccountId, account: &Account, number: u64) -> Vec<u8> {
    let mut value = Vec::with_capacity(320);
    let members = [
        ("address", id.address.as_str()),
        ("max", &account.balance.max_text()),
        ("min", &account.balance.min_text()),
        ("net", &account.balance.net.to_string()),
        ("number", &number.to_string()),
        ("output", &account.output.to_string()),
        ("unit", id.unit.as_str()),
    ];
    write_texts(&members, &mut value);
    value
}

/// Where a unit stands in the tree of units.
pub fn unit_key(unit: &Address) -> Node {
    Sha3_256::new().chain_update(b"unit\0").chain_update(unit.as_str()).finalize().into()
}

/// What the tree of units says of a unit: how many accounts it has, what is
/// locked of it, and what its issuer owes.
pub fn unit_value(unit: &Address, accounts: u64, locked: &Amount, supply: &Amount) -> Vec<u8> {
    let mut value = Vec::with_capacity(128);
    let members = [
        ("accounts", &*accounts.to_string()),
        ("locked", &locked.to_string()),
        ("supply", &supply.to_string()),
        ("unit", unit.as_str()),
    ];
    write_texts(&members, &mut value);
    value
}

/// Where an open lock stands in the tree of accounts.
pub fn lock_key(pointer: &Pointer) -> Node {
    let pointer = pointer.to_string();
    Sha3_256::new().chain_update(b"lock\0").chain_update(pointer).finalize().into()
}

/// What the tree of accounts says of an open lock.
pub fn lock_value(pointer: &Pointer, lock: &Lock) -> Vec<u8> {
    let mut value = Vec::with_capacity(600);
    value.extend_from_slice(b"{\"output\":");
    lock.write(&mut value);
    value.extend_from_slice(format!(",\"pointer\":\"{pointer}\"}}").as_bytes());
    value
}

/// What is kept under a key of the tree of accounts.
#[derive(Clone, Debug)]
enum Kept {
    Account(Held),
    /// Where the lock is, and its canonical JSON.
    Lock(Box<(Pointer, Vec<u8>)>),
}

impl Kept {
    fn account(&self) -> Option<&Held> {
        match self {
            Kept::Account(held) => Some(held),
            Kept::Lock(_) => None,
        }
    }
}

/// What is kept of a unit.
#[derive(Clone, Debug, Default)]
struct Line {
    accounts: u64,
    /// Of most units nothing is locked.
    locked: Option<Box<Amount>>,
}

impl Line {
    fn locked(&self) -> Amount {
        self.locked.as_deref().cloned().unwrap_or_else(Amount::zero)
    }

    fn lock(&mut self, amount: Amount) {
        self.locked = (!amount.is_zero()).then(|| Box::new(amount));
    }
}

/// An account as it is kept: a third of the size of an [`Account`], and
/// without its id, which whoever asks for it knows.
#[derive(Clone, Debug)]
struct Held {
    /// Net, min and max as documents have them, a space between.
    balance: Box<str>,
    output: Pointer,
    number: u64,
}

impl Held {
    fn new(account: &Account, number: u64) -> Held {
        Held { balance: write_balance(&account.balance), output: account.output, number }
    }

    fn account(&self) -> Account {
        let balance = read_balance(&self.balance).expect("written by `write_balance`");
        Account { balance, output: self.output }
    }

    fn net(&self) -> Amount {
        let net = self.balance.split(' ').next().unwrap_or_default();
        Amount::parse_signed(net).expect("written by `write_balance`")
    }
}

fn write_balance(balance: &Balance) -> Box<str> {
    let (min, max) = (balance.min_text(), balance.max_text());
    format!("{} {min} {max}", balance.net).into_boxed_str()
}

fn read_balance(text: &str) -> Option<Balance> {
    let mut texts = text.split(' ');
    let (net, min, max) = (texts.next()?, texts.next()?, texts.next()?);
    Balance::from_texts(net, min, max).ok()
}

/// What a record changes of a unit.
struct Change {
    accounts: u64,
    locked: Amount,
}

impl Default for Change {
    fn default() -> Change {
        Change { accounts: 0, locked: Amount::zero() }
    }
}

/// All accounts and open locks, and all units, after some record.
#[derive(Clone, Debug, Default)]
pub struct State {
    accounts: Tree<Kept>,
    /// How many of these are locks.
    locks: u64,
    units: Tree<Line>,
    unbalanced: BTreeMap<Address, Amount>,
    /// Units whose sum has changed since [`State::unbalanced`], and what it was.
    disturbed: BTreeMap<Address, Amount>,
    /// See [`State::changes`].
    changes: u64,
}

impl State {
    /// Before the first record.
    pub fn new() -> State {
        State::default()
    }

    /// Takes in what the next record leaves.
    pub fn apply(&mut self, record: &Record) {
        let mut moved: BTreeMap<Address, Amount> = BTreeMap::new();
        let mut changed: BTreeMap<Address, Change> = BTreeMap::new();
        for (id, account) in record.accounts() {
            let key = account_key(&id);
            let before = self.accounts.get(&key).and_then(Kept::account).map(Held::net);
            if before.is_none() || id.is_issuer() {
                changed.entry(id.unit).or_default().accounts += u64::from(before.is_none());
            }
            let moved = moved.entry(id.unit).or_insert_with(Amount::zero);
            let before = before.unwrap_or_else(Amount::zero);
            *moved = moved.plus(&account.balance.net).minus(&before);
            let value = Hash::sha3(&account_value(&id, &account, record.number)).0;
            let held = Held::new(&account, record.number);
            self.accounts.set(key, value, Kept::Account(held));
        }
        self.apply_locks(record, &mut changed);
        self.changes += record.outputs.len() as u64;
        for (unit, change) in &changed {
            let moved = moved.entry(*unit).or_insert_with(Amount::zero);
            *moved = moved.plus(&change.locked);
        }
        for (unit, sum) in moved.into_iter().filter(|(_, sum)| !sum.is_zero()) {
            let before = self.unbalanced.remove(&unit).unwrap_or_else(Amount::zero);
            let sum = before.plus(&sum);
            if !sum.is_zero() {
                self.unbalanced.insert(unit, sum);
            }
            self.disturbed.entry(unit).or_insert(before);
        }
        for (unit, change) in changed {
            let key = unit_key(&unit);
            let mut line = self.units.get(&key).cloned().unwrap_or_default();
            line.accounts += change.accounts;
            line.lock(line.locked().plus(&change.locked));
            let value = unit_value(&unit, line.accounts, &line.locked(), &self.supply(&unit));
            self.units.set(key, Hash::sha3(&value).0, line);
        }
    }

    /// Takes away the locks that a record uses, and puts up those that it makes.
    fn apply_locks(&mut self, record: &Record, changed: &mut BTreeMap<Address, Change>) {
        for pointer in &record.collects {
            if let Some(lock) = self.lock(pointer) {
                self.accounts.remove(&lock_key(pointer));
                self.locks -= 1;
                let locked = &mut changed.entry(lock.account.unit).or_default().locked;
                *locked = locked.minus(&lock.amount);
            }
        }
        for (pointer, lock) in record.locked() {
            let value = Hash::sha3(&lock_value(&pointer, lock)).0;
            let kept = Kept::Lock(Box::new((pointer, lock.to_bytes())));
            self.accounts.set(lock_key(&pointer), value, kept);
            self.locks += 1;
            let locked = &mut changed.entry(lock.account.unit).or_default().locked;
            *locked = locked.plus(&lock.amount);
        }
    }

    /// Outputs taken in since this was made or read: what it costs to do that again.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    fn held(&self, account: &AccountId) -> Option<&Held> {
        self.accounts.get(&account_key(account)).and_then(Kept::account)
    }

    /// The account as the last record left it; `None` if never touched.
    pub fn account(&self, account: &AccountId) -> Option<Account> {
        self.held(account).map(Held::account)
    }

    /// Number of the last record that touched the account.
    pub fn number(&self, account: &AccountId) -> Option<u64> {
        self.held(account).map(|held| held.number)
    }

    /// The lock that stands there, if nobody has used it.
    pub fn lock(&self, pointer: &Pointer) -> Option<Lock> {
        match self.accounts.get(&lock_key(pointer))? {
            Kept::Lock(lock) => Some(Lock::parse(&lock.1).expect("written by `Lock::to_bytes`")),
            Kept::Account(_) => None,
        }
    }

    /// What the issuer of a unit owes.
    pub fn supply(&self, unit: &Address) -> Amount {
        let issuer = AccountId { unit: *unit, address: *unit };
        self.held(&issuer).map_or_else(Amount::zero, |held| held.net().negated())
    }

    /// How many accounts there are, in all units.
    pub fn accounts(&self) -> u64 {
        self.accounts.len() - self.locks
    }

    /// Units whose nets do not sum to zero, and what they sum to: none, if
    /// every record should have cleared. Of those whose sum is another than when this was asked.
    pub fn unbalanced(&mut self) -> Vec<(Address, Amount)> {
        let disturbed = std::mem::take(&mut self.disturbed).into_iter();
        let sum = |(unit, before)| {
            let sum = self.unbalanced.get(&unit).filter(|sum| **sum != before)?;
            Some((unit, sum.clone()))
        };
        disturbed.filter_map(sum).collect()
    }

    /// The roots of the accounts and of the units.
    pub fn roots(&mut self) -> (Node, Node) {
        (self.accounts.root(), self.units.root())
    }

    /// That an account stands so, or that it was never touched.
    pub fn prove_account(&mut self, id: &AccountId) -> Proof {
        let value = |kept: &Kept| match kept {
            Kept::Account(held) => account_value(id, &held.account(), held.number),
            // No lock has the key of an account.
            Kept::Lock(_) => Vec::new(),
        };
        self.accounts.prove(&account_key(id), value)
    }

    /// That a unit stands so, or that it has no accounts.
    pub fn prove_unit(&mut self, unit: &Address) -> Proof {
        let supply = self.supply(unit);
        let value = |line: &Line| unit_value(unit, line.accounts, &line.locked(), &supply);
        self.units.prove(&unit_key(unit), value)
    }
}
