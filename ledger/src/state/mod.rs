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

pub use proof::{Proof, ProofError};
pub use tree::{EMPTY, Tree};

use std::collections::BTreeMap;

use sha3::{Digest, Sha3_256};

use crate::account::{Account, AccountId, Balance};
use crate::address::Address;
use crate::amount::Amount;
use crate::hash::Hash;
use crate::json::write_texts;
use crate::merkle::Node;
use crate::record::{Pointer, Record};

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

/// What the tree of units says of a unit: how many accounts it has, and what
/// its issuer owes. No unit has anything locked: there are no locks yet.
pub fn unit_value(unit: &Address, accounts: u64, supply: &Amount) -> Vec<u8> {
    let mut value = Vec::with_capacity(128);
    let members = [
        ("accounts", &*accounts.to_string()),
        ("locked", "0"),
        ("supply", &supply.to_string()),
        ("unit", unit.as_str()),
    ];
    write_texts(&members, &mut value);
    value
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

/// All accounts and all units, after some record.
#[derive(Clone, Debug, Default)]
pub struct State {
    accounts: Tree<Held>,
    /// What is held of a unit is how many accounts it has.
    units: Tree<u64>,
    unbalanced: BTreeMap<Address, Amount>,
}

impl State {
    /// Before the first record.
    pub fn new() -> State {
        State::default()
    }

    /// Takes in what the next record leaves.
    pub fn apply(&mut self, record: &Record) {
        let mut moved: BTreeMap<Address, Amount> = BTreeMap::new();
        let mut changed: BTreeMap<Address, u64> = BTreeMap::new();
        for (id, account) in record.accounts() {
            let key = account_key(&id);
            let before = self.accounts.get(&key).map(Held::net);
            if before.is_none() || id.is_issuer() {
                *changed.entry(id.unit).or_default() += u64::from(before.is_none());
            }
            let moved = moved.entry(id.unit).or_insert_with(Amount::zero);
            let before = before.unwrap_or_else(Amount::zero);
            *moved = moved.plus(&account.balance.net).minus(&before);
            let value = Hash::sha3(&account_value(&id, &account, record.number)).0;
            self.accounts.set(key, value, Held::new(&account, record.number));
        }
        for (unit, sum) in moved.into_iter().filter(|(_, sum)| !sum.is_zero()) {
            let sum = self.unbalanced.remove(&unit).unwrap_or_else(Amount::zero).plus(&sum);
            if !sum.is_zero() {
                self.unbalanced.insert(unit, sum);
            }
        }
        for (unit, made) in changed {
            let key = unit_key(&unit);
            let accounts = self.units.get(&key).copied().unwrap_or_default() + made;
            let value = Hash::sha3(&unit_value(&unit, accounts, &self.supply(&unit))).0;
            self.units.set(key, value, accounts);
        }
    }

    /// The account as the last record left it; `None` if never touched.
    pub fn account(&self, account: &AccountId) -> Option<Account> {
        self.accounts.get(&account_key(account)).map(Held::account)
    }

    /// Number of the last record that touched the account.
    pub fn number(&self, account: &AccountId) -> Option<u64> {
        self.accounts.get(&account_key(account)).map(|held| held.number)
    }

    /// What the issuer of a unit owes.
    pub fn supply(&self, unit: &Address) -> Amount {
        let issuer = AccountId { unit: *unit, address: *unit };
        let held = self.accounts.get(&account_key(&issuer));
        held.map_or_else(Amount::zero, |held| held.net().negated())
    }

    /// How many accounts there are, in all units.
    pub fn accounts(&self) -> u64 {
        self.accounts.len()
    }

    /// Units whose nets do not sum to zero, and what they sum to: none, if
    /// every record should have cleared.
    pub fn unbalanced(&self) -> impl Iterator<Item = (&Address, &Amount)> {
        self.unbalanced.iter()
    }

    /// The roots of the accounts and of the units.
    pub fn roots(&mut self) -> (Node, Node) {
        (self.accounts.root(), self.units.root())
    }

    /// That an account stands so, or that it was never touched.
    pub fn prove_account(&mut self, id: &AccountId) -> Proof {
        let value = |held: &Held| account_value(id, &held.account(), held.number);
        self.accounts.prove(&account_key(id), value)
    }

    /// That a unit stands so, or that it has no accounts.
    pub fn prove_unit(&mut self, unit: &Address) -> Proof {
        let supply = self.supply(unit);
        self.units.prove(&unit_key(unit), |accounts| unit_value(unit, *accounts, &supply))
    }
}
