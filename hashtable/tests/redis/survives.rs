//! What was confirmed is there after whatever happens to the server, and where
//! it cannot be, the loss is noticed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use redis::Value;

use super::*;

/// The whole point of the settings: a confirmed document survives a kill.
#[tokio::test(flavor = "multi_thread")]
async fn no_confirmed_document_is_lost_to_a_kill() {
    let server = private();
    let store = open(&server.url).await;
    let next = Arc::new(AtomicU64::new(1));
    let mut confirmed = Vec::new();
    for round in 1..=5 {
        let mut puts = tokio::task::JoinSet::new();
        let begun = next.load(Ordering::SeqCst);
        for _ in 0..8 {
            let (store, next) = (store.clone(), next.clone());
            puts.spawn(async move {
                let mut confirmed = Vec::new();
                // Until the server is gone.
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    match store.put(vec![record(number)]).await {
                        Ok(()) => confirmed.push(number),
                        Err(_) => break confirmed,
                    }
                }
            });
        }
        while next.load(Ordering::SeqCst) < begun + 500 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        server.kill();
        let numbers: Vec<u64> = puts.join_all().await.into_iter().flatten().collect();
        assert!(numbers.len() >= 400, "round {round} confirmed {}", numbers.len());
        confirmed.extend(numbers);
        server.start();
        while store.get(&[]).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for number in &confirmed {
            let document = record(*number);
            let found = got(&store, &document).await.expect("readable");
            assert_eq!(found.as_ref(), Some(document.bytes()), "{number} in round {round}");
        }
    }
}

/// A server short of memory says so; it does not make room.
#[tokio::test]
async fn nothing_is_evicted_when_memory_runs_short() {
    let server = private();
    let store = open(&server.url).await;
    say(&server, "CONFIG SET maxmemory 16mb");
    let mut confirmed = Vec::new();
    let refused = loop {
        let document = sized(confirmed.len() as u64 + 1, 20_000);
        match store.put(vec![document.clone()]).await {
            Ok(()) => confirmed.push(document),
            Err(error) => break error,
        }
        assert!(confirmed.len() < 10_000, "memory has no limit");
    };
    assert!(chain(&refused).contains("OOM"), "{}", chain(&refused));
    assert!(confirmed.len() > 100, "{} documents", confirmed.len());
    for document in &confirmed {
        let found = got(&store, document).await.expect("readable");
        assert_eq!(found.as_ref(), Some(document.bytes()));
    }
    say(&server, "CONFIG SET maxmemory 0");
    store.put(vec![sized(0, 20_000)]).await.expect("stored again");
}

async fn doubted(store: &Redis) -> webwallet_hashtable::redis::Doubt {
    tokio::time::timeout(Duration::from_secs(10), store.doubted()).await.expect("noticed")
}

/// Nobody doubts it now.
async fn trusted(store: &Redis) {
    store.get(&[]).await.expect("ready");
    tokio::time::timeout(Duration::from_millis(10), store.doubted()).await.expect_err("no doubt");
}

/// Puts from the first that is missing, as the service does.
async fn refill(store: &Redis, upto: u64) -> Option<u64> {
    let mut doubt = doubted(store).await;
    let first = store.first_missing(&mut doubt, upto).await.expect("answered");
    if let Some(first) = first {
        store.put((first..=upto).map(record).collect()).await.expect("stored");
    }
    store.settle(&doubt, 0).await.expect("settled");
    first
}

/// Records would stay without their second copy, on a server that says all is well.
#[tokio::test]
async fn an_emptied_server_is_noticed_and_filled_again() {
    let server = private();
    let store = open(&server.url).await;
    assert_eq!(refill(&store, 2_500).await, Some(1), "a new server is empty");
    trusted(&store).await;

    say(&server, "FLUSHALL");
    // Newer ones do not hide that older ones are gone.
    store.put((2_001..=2_500).map(record).collect()).await.expect("stored");
    assert_eq!(refill(&store, 2_500).await, Some(1));
    trusted(&store).await;
    assert_eq!(store.numbered(2_400, 1_000).await.expect("readable").len(), 100);

    // Emptied again while it is filled: the first doubt must not settle the second.
    say(&server, "FLUSHALL");
    let mut doubt = doubted(&store).await;
    assert_eq!(store.first_missing(&mut doubt, 2_500).await.expect("answered"), Some(1));
    say(&server, "FLUSHALL");
    store.settle(&doubt, 0).await.expect("answered");
    assert_eq!(refill(&store, 2_500).await, Some(1));
    trusted(&store).await;

    // Left in the middle: whoever opens it next goes on.
    say(&server, "FLUSHALL");
    let mut doubt = doubted(&store).await;
    store.first_missing(&mut doubt, 2_500).await.expect("answered");
    store.put((2_000..=2_500).map(record).collect()).await.expect("stored");
    drop(store);
    let store = open(&server.url).await;
    assert_eq!(refill(&store, 2_500).await, Some(1));
}

/// What a crash took from the end would never be missed, nor put back.
#[tokio::test]
async fn after_a_new_start_the_newest_are_looked_for() {
    let server = private();
    let store = open(&server.url).await;
    refill(&store, 3_000).await;
    server.kill();
    server.start();
    assert_eq!(refill(&store, 3_000).await, None, "nothing was lost");
    trusted(&store).await;

    // As after a start on older files: the end is missing.
    let all: Vec<_> = (1_700..=3_000).map(record).collect();
    for document in &all {
        say(&server, &format!("DEL example.net:{}", document.name()));
    }
    server.kill();
    server.start();
    assert_eq!(refill(&store, 3_000).await, Some(1_700));
    for document in &all {
        let found = got(&store, document).await.expect("readable");
        assert_eq!(found.as_ref(), Some(document.bytes()));
    }
}

/// What was lost would be missing for ever: payments go on while those who could put it again
/// are away, and soon the newest are all there.
#[tokio::test]
async fn a_gap_is_not_hidden_by_what_clears_before_it_is_filled() {
    let server = private();
    let store = open(&server.url).await;
    refill(&store, 1_500).await;
    for number in 1_200..=1_500 {
        say(&server, &format!("DEL example.net:{}", record(number).name()));
    }
    server.kill();
    server.start();
    let mut doubt = doubted(&store).await;
    assert_eq!(store.first_missing(&mut doubt, 1_500).await.expect("answered"), Some(1_200));
    store.put((1_501..=3_000).map(record).collect()).await.expect("stored");
    let mut doubt = doubted(&store).await;
    assert_eq!(store.first_missing(&mut doubt, 3_000).await.expect("answered"), Some(1_200));
    // And whoever opens it next goes on.
    drop(store);
    let store = open(&server.url).await;
    assert_eq!(refill(&store, 3_000).await, Some(1_200));
    trusted(&store).await;
    server.kill();
    server.start();
    assert_eq!(refill(&store, 3_000).await, None, "it is settled");
}

/// Whatever stands in Redis: either the bytes that were put, or an error.
#[tokio::test]
async fn a_wrong_value_is_an_error_and_a_repeat_mends_it() {
    let server = private();
    let store = open(&server.url).await;
    let (good, other) = (record(1), record(2));
    store.put(vec![good.clone(), other.clone()]).await.expect("stored");
    let client = redis::Client::open(&*server.url).expect("an address");
    let mut connection = client.get_connection().expect("it answers");
    let key = |document: &Document| format!("example.net:{}", document.name());
    let mut get = |document| -> Vec<u8> {
        redis::cmd("GET").arg(key(document)).query(&mut connection).expect("a value")
    };
    let (value, another) = (get(&good), get(&other));
    let mut wrong = vec![Vec::new(), value[..32].to_vec(), another];
    wrong.push(value[..value.len() - 1].to_vec());
    // A name covers `data` alone: only the checksum notices a changed `meta`.
    let meta = [&good.bytes()[..good.bytes().len() - 2], br#""a":"b"}}"#].concat();
    wrong.push([&value[..32], &meta[..]].concat());
    for at in (0..value.len()).step_by(7) {
        let mut flipped = value.clone();
        flipped[at] ^= 1;
        wrong.push(flipped);
    }
    for value in wrong {
        redis::cmd("SET").arg(key(&good)).arg(value).exec(&mut connection).expect("put by hand");
        let error = got(&store, &good).await.expect_err("damaged");
        assert!(matches!(error, Error::Damaged(name) if name == good.name()));
        // One of several: none of them is answered.
        assert!(store.get(&[other.name(), good.name()]).await.is_err());
        assert!(store.numbered(0, 10).await.is_err());
        store.put(vec![good.clone()]).await.expect("mended");
        let found = got(&store, &good).await.expect("readable");
        assert_eq!(found.as_ref(), Some(good.bytes()));
    }
    assert_eq!(store.numbered(0, 10).await.expect("readable"), [good, other]);
}

/// A server that hangs must not hang whoever asks it.
#[tokio::test]
async fn a_server_that_hangs_is_an_error_and_then_goes_on() {
    let server = private();
    let store = open(&server.url).await;
    store.put(vec![record(1)]).await.expect("stored");
    server.pause();
    let begun = Instant::now();
    store.get(&[]).await.expect_err("not ready");
    assert!(begun.elapsed() < Duration::from_secs(2), "readiness took {:?}", begun.elapsed());
    store.put(vec![record(2)]).await.expect_err("no answer");
    assert!(begun.elapsed() < Duration::from_secs(15), "a put took {:?}", begun.elapsed());
    server.resume();
    while store.get(&[]).await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it does not come back");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    store.put(vec![record(2)]).await.expect("stored");
    assert_eq!(store.numbered(0, 10).await.expect("readable").len(), 2);
    assert_eq!(say(&server, "GET example.net:highest"), Value::BulkString(b"2".to_vec()));
}

/// The gateway must not wait for one sync after the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_shares_round_trips_and_syncs() {
    let server = private();
    let store = open(&server.url).await;
    let mut puts = tokio::task::JoinSet::new();
    let begun = Instant::now();
    for number in 1..=5_000 {
        let store = store.clone();
        puts.spawn(async move { store.put(vec![record(number)]).await.expect("stored") });
    }
    puts.join_all().await;
    let took = begun.elapsed();
    // One at a time, 5,000 syncs take many times as long on any disk; the bound is
    // for the slowest machine that tests run on.
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(store.highest().await.expect("readable"), 5_000);
}
