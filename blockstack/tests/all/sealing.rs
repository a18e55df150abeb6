//! Which blocks are made, when, and of what. What would be lost if this failed: a payment
//! that is in no block, or a log that does not grow any more.

use std::time::Duration;

use webwallet_blockstack::{Folder, Seal, Store as _};
use webwallet_ledger::note::Note;
use webwallet_proto::blockstack::v1::RotateLogKeyRequest;

use crate::history::{STEPS, check, seal, status, step, until};
use crate::standin::Stores;

#[tokio::test]
async fn every_kind_of_block_is_sealed_and_checks_out() {
    let dir = tempfile::tempdir().expect("a folder");
    let stores = Stores::default();
    let mut running = stores.start(dir.path()).await;
    assert_eq!(status(&mut running).await.height, None, "nothing is sealed before it is asked");
    for at in 0..STEPS {
        step(&stores, &mut running, at).await.expect("sealed");
    }
    let now = status(&mut running).await;
    assert_eq!((now.number, now.read_only, now.trouble), (275, None, None));
    let blocks = check(dir.path(), &stores);
    let records: Vec<u64> = blocks.iter().map(|block| block.header.records).collect();
    assert_eq!(records, [0, 3, 0, 267, 5, 0]);
    let leaves: Vec<u64> = blocks.iter().map(|block| block.header.leaves).collect();
    assert_eq!(leaves, [1, 3, 1, 268, 6, 0], "genesis, keys, stack by command, stack of the day");
    assert_eq!(now.keys.len(), 2);
    assert_eq!(stores.lock().trimmed, 275);
    let partial = dir.path().join("log/tile/0/000.p");
    assert!(!partial.exists(), "a partial tile is there beside the full one");
}

/// Each try of an operator who is told that the log does not answer would change its key once.
#[tokio::test]
async fn a_key_is_not_changed_for_somebody_who_has_gone() {
    let dir = tempfile::tempdir().expect("a folder");
    let stores = Stores::default();
    let mut running = stores.start(dir.path()).await;
    seal(&mut running, false).await.expect("sealed");
    stores.lock().unavailable = true;
    for _ in 0..3 {
        let rotated = running.client.rotate_log_key(RotateLogKeyRequest {});
        let gone = tokio::time::timeout(Duration::from_millis(100), rotated).await;
        assert!(gone.is_err(), "{gone:?}");
    }
    stores.lock().unavailable = false;
    seal(&mut running, false).await.expect("sealed");
    let now = status(&mut running).await;
    assert_eq!((now.keys.len(), now.height), (1, Some(1)));
    running.blockstack.stop().await;
}

/// The first payment of a server that is tried out for a moment would be in no block, and
/// its log speak of a wrong key.
#[tokio::test]
async fn a_payment_in_the_first_moment_is_sealed_at_the_end() {
    let dir = tempfile::tempdir().expect("a folder");
    let stores = Stores::default();
    let hour = Duration::from_secs(3600);
    let running = stores.start_with(dir.path(), Seal::Interval { records: hour, quiet: hour }, 20);
    let running = running.await;
    stores.pay_often(1);
    running.blockstack.stop().await;
    let blocks = check(dir.path(), &stores);
    assert_eq!(blocks.iter().map(|block| block.header.records).collect::<Vec<_>>(), [0, 1]);
}

/// A payment at that moment must not keep the log from growing ever again.
#[tokio::test]
async fn a_record_that_clears_while_an_empty_block_is_made_comes_along() {
    let dir = tempfile::tempdir().expect("a folder");
    let stores = Stores::default();
    let mut running = stores.start(dir.path()).await;
    stores.pay_often(1);
    seal(&mut running, false).await.expect("sealed");
    stores.lock().meanwhile = Some(|stores| {
        stores.pay("ann", "ben", 1);
    });
    let sealed = seal(&mut running, false).await.expect("sealed");
    assert_eq!((sealed.blocks, sealed.records), (1, 1));
    running.blockstack.stop().await;
}

/// A store that was away for a moment would stop the log until somebody restarts it.
#[tokio::test(flavor = "multi_thread")]
async fn blocks_come_by_themselves_and_go_on_when_a_store_is_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let stores = Stores::default();
    stores.lock().unavailable = true;
    let seal =
        Seal::Interval { records: Duration::from_secs(1), quiet: Duration::from_millis(700) };
    let mut running = stores.start_with(dir.path(), seal, 20).await;
    let trouble = status(&mut running).await.trouble.expect("trouble");
    assert!(trouble.starts_with("Hashtable"), "{trouble}");
    // Gateways take silence for a permission.
    assert!(!status(&mut running).await.compared);
    stores.lock().unavailable = false;
    until(&mut running, &|now| now.height == Some(0) && now.trouble.is_none()).await;
    assert!(status(&mut running).await.compared);
    let paid = std::time::Instant::now();
    stores.pay_often(2);
    until(&mut running, &|now| now.number == 2).await;
    let waited = paid.elapsed();
    println!("two records were sealed after {waited:?}");
    // They count from the last look that found nothing, which a busy machine puts off.
    assert!(waited >= Duration::from_millis(500), "not at once: {waited:?}");
    let height = status(&mut running).await.height;
    until(&mut running, &|now| now.height > height).await;
    running.blockstack.stop().await;
    let blocks = check(dir.path(), &stores);
    assert_eq!(blocks.last().expect("a block").header.records, 0, "an empty one after a while");
}

/// A log that stands still looks like one that is lost, and one that grows for nothing takes the
/// disk of everybody who keeps a copy.
#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_log_grows_by_itself_and_no_sooner_after_records() {
    let dir = tempfile::tempdir().expect("a folder");
    let stores = Stores::default();
    let quiet = Duration::from_millis(600);
    let seal = Seal::Interval { records: Duration::ZERO, quiet };
    let mut running = stores.start_with(dir.path(), seal, 20).await;
    until(&mut running, &|now| now.height == Some(1)).await;
    // Counted from the empty block, the next one would now come in half the time. A machine that
    // is slow only makes all of it later.
    tokio::time::sleep(quiet / 2).await;
    let paid = std::time::Instant::now();
    stores.pay_often(1);
    until(&mut running, &|now| now.number == 1).await;
    let height = status(&mut running).await.height;
    until(&mut running, &|now| now.height > height).await;
    let waited = paid.elapsed();
    assert!(waited >= quiet, "{waited:?}");
    running.blockstack.stop().await;
    let records = check(dir.path(), &stores);
    let records: Vec<u64> = records.iter().map(|block| block.header.records).collect();
    assert_eq!((records[..2].to_vec(), records.iter().sum()), (vec![0, 0], 1), "{records:?}");
}

/// What has waited through an outage would be one block, too large for whoever seals it.
#[tokio::test]
async fn blocks_have_no_more_records_than_they_may() {
    let dir = tempfile::tempdir().expect("a folder");
    let stores = Stores::default();
    let mut running = stores.start(dir.path()).await;
    stores.pay_often(4_100);
    let made = seal(&mut running, true).await.expect("sealed");
    running.blockstack.stop().await;
    assert_eq!((made.records, made.blocks, made.height), (4_100, 3, 2));
    let blocks = check(dir.path(), &stores);
    let sizes: Vec<usize> = blocks.iter().map(|block| block.header.records as usize).collect();
    println!("{sizes:?}");
    assert!(sizes.iter().all(|records| *records <= 4_096));
    let bytes = |from: u64, count: u64| -> usize {
        let inner = stores.lock();
        let records = inner.records.iter().skip(from as usize).take(count as usize);
        records.map(|record| record.bytes.len()).sum()
    };
    for block in &blocks {
        let header = &block.header;
        assert!(bytes(header.cleared - header.records, header.records) <= 4 << 20);
    }
}

/// Two processes on one log would sign two heads, and nobody could believe either.
#[tokio::test]
async fn nobody_else_publishes_in_between() {
    let dir = tempfile::tempdir().expect("a folder");
    let stores = Stores::default();
    let mut running = stores.start(dir.path()).await;
    seal(&mut running, false).await.expect("sealed");
    let folder = Folder::open(&dir.path().join("log")).expect("a folder");
    let note = folder.checkpoint().expect("read").expect("a checkpoint");
    let text = Note::parse(note.as_bytes()).expect("a note").text;
    let other = note.replace(&text, "other\n1\n\n");
    folder.publish(Some(&note), &other).expect("published");
    let refused = seal(&mut running, false).await.expect_err("refused");
    assert!(refused.message().contains("somebody else publishes"), "{refused}");
    assert_eq!(folder.checkpoint().expect("read"), Some(other), "and it stays");
}
