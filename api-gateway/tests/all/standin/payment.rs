//! People with keys, and what they sign.

use webwallet_ledger::signature::public_of;
use webwallet_ledger::{Address, Draft, Time, request};

use super::DOMAIN;

/// Somebody with a key.
#[derive(Clone, Copy)]
pub struct Person {
    pub secret: [u8; 32],
    pub address: Address,
}

pub fn person(n: u8) -> Person {
    let secret = [n; 32];
    let address = Address::of_public(&public_of(&secret));
    Person { secret, address }
}

pub fn time(text: &str) -> Time {
    text.parse().expect("a time")
}

/// An IOU of the payer's own unit.
pub fn draft(from: Person, to: Person, amount: &str, random: u64) -> Draft {
    Draft {
        domain: DOMAIN.to_owned(),
        source: from.address,
        target: to.address,
        symbol: from.address,
        amount: amount.to_owned(),
        random: format!("{random:032}"),
        expiry: time("2027-01-01T00:00:00.000Z"),
        active: None,
        credit: None,
        locker: None,
        solver: None,
    }
}

/// The body that issues an amount of the payer's own unit.
pub fn issue(from: Person, to: Person, amount: &str, random: u64) -> Vec<u8> {
    body(&[draft(from, to, amount, random).sign(&from.secret)])
}

pub fn body(ious: &[Vec<u8>]) -> Vec<u8> {
    request::body_of(ious.iter().map(Vec::as_slice))
}
