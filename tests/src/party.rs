//! People of the tests. Their keys come from their names, so that two runs
//! make the same bytes.

use webwallet_ledger::request::body_of;
use webwallet_ledger::signature::public_of;
use webwallet_ledger::{Address, Draft, Hash, Locker, Pointer, Solver, Time};

/// The domain of every server of the tests.
pub const DOMAIN: &str = "example.net";

/// Somebody with a key.
#[derive(Clone)]
pub struct Party {
    /// Seed of the key.
    pub secret: [u8; 32],
    /// Where others pay to.
    pub address: Address,
}

/// The party of this name.
pub fn party(name: &str) -> Party {
    let secret = Hash::sha3(format!("webwallet test key of {name}").as_bytes()).0;
    Party { secret, address: Address::of_public(&public_of(&secret)) }
}

/// A payment to be signed by its source; good until 2030.
pub fn draft(source: &Party, target: &Party, unit: &Party, amount: &str, random: &str) -> Draft {
    Draft {
        domain: DOMAIN.into(),
        source: source.address,
        target: target.address,
        symbol: unit.address,
        amount: amount.into(),
        random: format!("{random:0>16}"),
        expiry: time("2030-01-01T00:00:00.000Z"),
        active: None,
        credit: None,
        locker: None,
        solver: None,
    }
}

/// A time written out.
pub fn time(text: &str) -> Time {
    text.parse().unwrap_or_else(|_| panic!("not a time: {text}"))
}

/// The time by the clock of this machine.
pub fn now() -> Time {
    let now = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_millis();
    Time::from_unix_ms(now.try_into().expect("it fits"))
}

/// The body of a request with one payment of the source's own unit.
pub fn issue(source: &Party, target: &Party, amount: &str, random: &str) -> Vec<u8> {
    let iou = draft(source, target, source, amount, random).sign(&source.secret);
    body_of([iou.as_slice()])
}

/// The body of a request that locks an amount of the source's own unit until 2028.
pub fn lock(source: &Party, target: &Party, amount: &str, random: &str) -> Vec<u8> {
    let mut iou = draft(source, target, source, amount, random);
    let expiry = time("2028-01-01T00:00:00.000Z");
    iou.locker = Some(Locker { active: None, expiry, puzzle: None, script: None });
    body_of([iou.sign(&source.secret).as_slice()])
}

/// The body of a request by which somebody takes a lock of an issuer's unit.
pub fn take(by: &Party, issuer: &Party, output: Pointer, random: &str) -> Vec<u8> {
    let mut iou = draft(by, issuer, issuer, "0", random);
    iou.solver = Some(Solver { output, hashee: None });
    body_of([iou.sign(&by.secret).as_slice()])
}

/// The body of a request with one payment in somebody's unit.
pub fn pay(source: &Party, target: &Party, unit: &Party, amount: &str, random: &str) -> Vec<u8> {
    let iou = draft(source, target, unit, amount, random).sign(&source.secret);
    body_of([iou.as_slice()])
}
