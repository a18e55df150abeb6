//! Payments among people who are their names.

#![allow(dead_code, reason = "each test binary takes what it needs")]

use std::sync::Arc;

use webwallet_graphstore::store::{Batch, Loaded, Store};
use webwallet_ledger::clear::{Cleared, clear};
use webwallet_ledger::signature::public_of;
use webwallet_ledger::{AccountId, Address, Draft, Hash, Pointer, Record, Request, Time};

/// The domain of all tests.
pub const DOMAIN: &str = "example.net";

pub fn secret(name: &str) -> [u8; 32] {
    Hash::sha3(name.as_bytes()).0
}

pub fn address(name: &str) -> Address {
    Address::of_public(&public_of(&secret(name)))
}

pub fn account(unit: &str, holder: &str) -> AccountId {
    AccountId { unit: address(unit), address: address(holder) }
}

pub fn time() -> Time {
    "2026-01-01T00:00:00.000Z".parse().expect("time")
}

pub fn draft(from: &str, to: &str, unit: &str, amount: &str, note: &str) -> Draft {
    Draft {
        domain: DOMAIN.into(),
        source: address(from),
        target: address(to),
        symbol: address(unit),
        amount: amount.into(),
        random: format!("random-{note}"),
        expiry: "2027-01-01T00:00:00.000Z".parse().expect("time"),
        active: None,
        credit: None,
        locker: None,
        solver: None,
    }
}

/// A request of this IOU alone.
pub fn signed(draft: &Draft, by: &str) -> Request {
    Request::from_inputs(&[draft.sign(&secret(by))], DOMAIN).expect("a good IOU")
}

pub fn pay(from: &str, to: &str, unit: &str, amount: &str, note: &str) -> Request {
    signed(&draft(from, to, unit, amount, note), from)
}

/// What a writer knows who is about to clear these requests.
pub async fn loaded(store: &impl Store, more: &[AccountId], requests: &[Request]) -> Loaded {
    let ious: Vec<Hash> = requests.iter().flat_map(Request::ious).collect();
    let ids = requests.iter().flat_map(|request| &request.inputs);
    let accounts = ids.flat_map(|iou| {
        [iou.source, iou.target].map(|address| AccountId { unit: iou.symbol, address })
    });
    let accounts: Vec<AccountId> = accounts.chain(more.iter().copied()).collect();
    let locks: Vec<Pointer> = requests.iter().flat_map(Request::collects).collect();
    let loaded = store.load(&accounts, &ious).await.expect("load");
    Loaded { locks: store.locks(&locks).await.expect("locks"), ..loaded }
}

/// The records of requests that clear one after the other, from this number.
pub fn cleared(loaded: &mut Loaded, first: u64, requests: &[Request]) -> Vec<Record> {
    let mut records = Vec::new();
    for (number, request) in (first..).zip(requests) {
        match clear(request, number, time(), loaded).expect("clears") {
            Cleared::Now(record) => {
                loaded.apply(&record);
                records.push(record);
            }
            Cleared::Before(at) => panic!("cleared before as {at:?}"),
        }
    }
    records
}

/// Clears requests against what the store holds, one batch, from this number.
pub async fn batch(store: &impl Store, first: u64, requests: &[Request]) -> Batch {
    let mut loaded = loaded(store, &[], requests).await;
    let records = cleared(&mut loaded, first, requests);
    Batch::new(records.into_iter().map(Arc::new).collect())
}
