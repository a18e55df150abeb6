//! What a payment costs beside its signature: reading, hashing, clearing.

#![allow(clippy::unwrap_used, missing_docs)]

use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use webwallet_ledger::clear::clear;
use webwallet_ledger::request::body_of;
use webwallet_ledger::signature::public_of;
use webwallet_ledger::{Address, Draft, Hash, Nothing, Record, Request, json};

fn iou(n: usize) -> Vec<u8> {
    let secret = Hash::sha3(&n.to_be_bytes()).0;
    let address = Address::of_public(&public_of(&secret));
    let draft = Draft {
        domain: "example.net".into(),
        source: address,
        target: Address::of_public(&n.to_be_bytes()),
        symbol: address,
        amount: "10".into(),
        random: format!("{n:032}"),
        expiry: "2027-01-01T00:00:00.000Z".parse().unwrap(),
        active: None,
        credit: None,
        locker: None,
        solver: None,
    };
    draft.sign(&secret)
}

fn benches(c: &mut Criterion) {
    let one = body_of([iou(1).as_slice()]);
    let ious: Vec<Vec<u8>> = (0..32).map(iou).collect();
    let many = body_of(ious.iter().map(Vec::as_slice));
    let lists = format!("[{}[]]", "[],".repeat(8_000));
    let time = "2026-01-01T00:00:00.000Z".parse().unwrap();
    c.bench_function("json of one", |b| b.iter(|| json::parse(black_box(&one), 16).is_ok()));
    c.bench_function("json of 8,001 lists", |b| {
        b.iter(|| json::parse(black_box(lists.as_bytes()), 16).is_ok());
    });
    c.bench_function("parse 1", |b| {
        b.iter(|| Request::parse(black_box(&one), "example.net").is_ok())
    });
    c.bench_function("parse 32", |b| {
        b.iter(|| Request::parse(black_box(&many), "example.net").is_ok());
    });
    c.bench_function("parse 32 canonical inputs", |b| {
        b.iter(|| Request::from_inputs(black_box(&ious), "example.net").is_ok());
    });
    for (name, body) in [("clear 1", &one), ("clear 32", &many)] {
        let request = Request::parse(body, "example.net").unwrap();
        c.bench_function(name, |b| {
            b.iter(|| clear(black_box(&request), 1, time, &Nothing).is_ok());
        });
    }
    let request = Request::parse(&one, "example.net").unwrap();
    if let Ok(webwallet_ledger::clear::Cleared::Now(record)) = clear(&request, 1, time, &Nothing) {
        c.bench_function("read a record", |b| {
            b.iter(|| Record::parse(black_box(&record.bytes)).is_ok())
        });
    }
}

criterion_group!(all, benches);
criterion_main!(all);
