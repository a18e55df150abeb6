//! How long readers wait, and how fast Redis is filled again.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use faster_hex::hex_string;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use hdrhistogram::Histogram;
use neo4rs::{Graph, query};
use rand::RngExt as _;
use webwallet_graphstore::store::Page;
use webwallet_graphstore::{Neo4j, Store as _};
use webwallet_hashtable::{Document, Redis, Store as _};
use webwallet_ledger::{AccountId, Hash};

use super::zipf::{Holder, Town};

/// Outputs of the account whose history is read.
pub const HISTORY: i64 = 200_000;
/// On a page.
const PAGE: u32 = 100;
/// Outputs made at a time.
const PIECE: i64 = 5_000;
/// Number of that account, and of the record before its first: beyond all others.
const ACCOUNT: i64 = 1_000_000;
const RECORDS: i64 = 1_000_000_000;
/// Documents of one put while a Redis is filled, and puts under way.
const PUT: u64 = 1_000;
const PUTS: usize = 2;

/// 99th of a hundred times, in milliseconds.
pub async fn p99_ms(
    count: u32,
    mut once: impl AsyncFnMut() -> anyhow::Result<()>,
) -> anyhow::Result<f64> {
    let mut times = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3)?;
    for _ in 0..count {
        let started = Instant::now();
        once().await?;
        times.saturating_record(u64::try_from(started.elapsed().as_micros())?);
    }
    Ok(times.value_at_percentile(99.0) as f64 / 1000.0)
}

/// What the driver alone takes.
pub async fn empty(graph: &Graph, count: u32) -> anyhow::Result<f64> {
    p99_ms(count, async || {
        let mut rows = graph.execute_read(query("RETURN 1")).await?;
        while rows.next().await?.is_some() {}
        Ok(())
    })
    .await
}

/// Balances of anybody.
pub async fn balances(store: &Neo4j, town: &Town, count: u32) -> anyhow::Result<f64> {
    p99_ms(count, async || {
        let id = town.account(town.anybody(&mut rand::rng()).address);
        let loaded = store.load(&[id], &[]).await?;
        ensure!(loaded.accounts.len() == 1, "an account has no balance");
        Ok(())
    })
    .await
}

/// Pages of an account with a long history.
pub async fn pages(store: &Neo4j, graph: &Graph, town: &Town, count: u32) -> anyhow::Result<f64> {
    let id = town.account(Holder::named("long history").address);
    make_history(graph, &id).await?;
    p99_ms(count, async || {
        let before = (RECORDS + rand::rng().random_range(HISTORY / 4..HISTORY)).cast_unsigned();
        let page = Page { before, skip: rand::rng().random_range(0..40_000), limit: PAGE };
        let outputs = store.outputs(id, page).await?;
        ensure!(outputs.len() == PAGE as usize, "a page has {} outputs", outputs.len());
        Ok(())
    })
    .await
}

/// An account with a long history, made without clearing it all.
async fn make_history(graph: &Graph, id: &AccountId) -> anyhow::Result<()> {
    let account = "CREATE (:Account {k: $k, no: $no, unit: $unit, address: $address, s: $s, \
                   net: '1', min: '0', max: 'Infinity'})";
    let account = query(account)
        .param("k", id.to_string())
        .param("no", ACCOUNT)
        .param("unit", id.unit.as_str())
        .param("address", id.address.as_str())
        .param("s", HISTORY);
    graph.run(account).await?;
    let outputs = "UNWIND range($from, $to) AS s \
         CREATE (:Transaction {n: $records + s, id: right($zeros + toString(s), 64), time: 0}) \
         -[:OUTPUTS {i: 0}]->(:Output {p: $no * 2147483648 + s, net: '1', min: '0', max: 'Infinity'})";
    for from in (1..=HISTORY).step_by(PIECE as usize) {
        let outputs = query(outputs)
            .param("from", from)
            .param("to", from + PIECE - 1)
            .param("no", ACCOUNT)
            .param("records", RECORDS)
            .param("zeros", "0".repeat(64));
        graph.run(outputs).await?;
    }
    Ok(())
}

/// Documents a second into a Redis that has none of them; making them not counted.
pub async fn refill(redis: &Redis, documents: u64) -> anyhow::Result<f64> {
    // A number that a record has stays that record's.
    let held = redis.highest().await?;
    let mut making = Duration::ZERO;
    let begun = Instant::now();
    stream::iter((0..documents).step_by(PUT as usize))
        .map(|after| {
            let begun = Instant::now();
            let numbers = after + 1..=documents.min(after + PUT);
            let records = numbers.map(|number| record(held + number));
            let records = records.collect::<anyhow::Result<Vec<_>>>();
            making += begun.elapsed();
            async { anyhow::Ok(redis.put(records?).await?) }
        })
        .buffered(PUTS)
        .try_for_each(|()| async { Ok(()) })
        .await?;
    Ok(documents as f64 / begun.elapsed().saturating_sub(making).as_secs_f64())
}

/// A record of 1.3 KB, most of it without order, as hashes and signatures are.
fn record(number: u64) -> anyhow::Result<Document> {
    let hex = hex_string(&(0..8_u8).flat_map(|n| mix(number, n)).collect::<Vec<u8>>());
    let data = format!(
        r#"{{"domain":"example.net","inputs":["{hex}"],"kind":"record","number":"{number}"}}"#
    );
    let name = Hash::sha3(data.as_bytes());
    let whole = format!(
        r#"{{"data":{data},"hash":{{"steps":"stringify:data","types":"sha3-256","value":"{name}"}},"meta":{{"inputs":["{hex}"]}}}}"#
    );
    Document::new(name, whole.into_bytes().into(), number).context("a document")
}

fn mix(number: u64, n: u8) -> [u8; 32] {
    Hash::sha3(&[&number.to_be_bytes()[..], &[n]].concat()).0
}
