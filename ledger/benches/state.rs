//! What the state after each record costs a server and an auditor, beside the
//! hash that all of it is made of.

#![allow(clippy::unwrap_used, missing_docs)]

use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use webwallet_ledger::clear::{Cleared, clear};
use webwallet_ledger::leaf::Leaf;
use webwallet_ledger::signature::public_of;
use webwallet_ledger::state::State;
use webwallet_ledger::{
    AccountId, Address, Amount, Balance, Draft, Hash, Nothing, Output, Record, Request,
};

const ACCOUNTS: usize = 10_000;
const RECORDS: usize = 1_000;

fn output(unit: Address, address: Address, net: usize) -> Output {
    let account = AccountId { unit, address };
    let net = Amount::parse(&net.to_string()).unwrap();
    Output { account, balance: Balance { net, ..Balance::initial(&account) }, sources: vec![] }
}

/// Payments between neighbours in one unit.
fn records(first: usize, count: usize) -> Vec<Record> {
    let address = |n: usize| Address::of_public(&(n % ACCOUNTS).to_le_bytes());
    let record = |n: usize| Record {
        number: n as u64,
        time: "2026-01-01T00:00:00.000Z".parse().unwrap(),
        hash: Hash::sha3(&n.to_le_bytes()),
        bytes: vec![],
        inputs: vec![],
        outputs: vec![
            output(address(0), address(n * 7_919), n),
            output(address(0), address(n * 7_919 + 1), n),
        ],
        locks: vec![],
        collects: vec![],
        credits: vec![],
    };
    (first..first + count).map(record).collect()
}

fn leaf() -> Vec<u8> {
    let secret = Hash::sha3(b"ann").0;
    let address = Address::of_public(&public_of(&secret));
    let draft = Draft {
        domain: "example.net".into(),
        source: address,
        target: Address::of_public(b"ben"),
        symbol: address,
        amount: "10".into(),
        random: "0123456789abcdef0123456789abcdef".into(),
        expiry: "2027-01-01T00:00:00.000Z".parse().unwrap(),
        active: None,
        credit: None,
        locker: None,
        solver: None,
    };
    let request = Request::from_inputs(&[draft.sign(&secret)], "example.net").unwrap();
    let time = "2026-01-01T00:00:00.000Z".parse().unwrap();
    match clear(&request, 1, time, &Nothing).unwrap() {
        Cleared::Now(record) => record.bytes,
        Cleared::Before(_) => unreachable!("nothing was before"),
    }
}

fn benches(c: &mut Criterion) {
    let mut state = State::new();
    records(0, ACCOUNTS).iter().for_each(|record| state.apply(record));
    state.roots();
    let block = records(ACCOUNTS, RECORDS);
    // One permutation of Keccak: what a node, a key or a leaf takes.
    c.bench_function("1,000 hashes of 65 bytes", |b| {
        b.iter(|| {
            (0..RECORDS).for_each(|_| {
                black_box(Hash::sha3(black_box(&[7; 65])));
            })
        });
    });
    c.bench_function("apply 1,000 records over 10,000 accounts", |b| {
        b.iter(|| block.iter().for_each(|record| state.apply(black_box(record))));
    });
    c.bench_function("apply 1,000 records over 10,000 accounts, root", |b| {
        b.iter(|| {
            block.iter().for_each(|record| state.apply(black_box(record)));
            state.roots()
        });
    });
    c.bench_function("apply one record over 10,000 accounts, root", |b| {
        b.iter(|| {
            state.apply(black_box(&block[0]));
            state.roots()
        });
    });
    let account = block[0].outputs[0].account;
    c.bench_function("look an account up", |b| b.iter(|| state.account(black_box(&account))));
    let leaf = leaf();
    c.bench_function("read a leaf", |b| {
        b.iter(|| Leaf::parse(black_box(&leaf), "example.net").is_ok());
    });
    c.bench_function("read a record", |b| b.iter(|| Record::parse(black_box(&leaf)).is_ok()));
}

criterion_group!(all, benches);
criterion_main!(all);
