//! What is particular to this engine: lists that many ask for, files that cannot be begun,
//! writes that fail. What every engine promises is in `tests/all/conformance.rs`.

use std::cell::Cell;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::*;
use crate::log::Fault;
use webwallet_ledger::clear::{Cleared, clear};
use webwallet_ledger::signature::public_of;
use webwallet_ledger::{Draft, Request};

fn payment(number: u64) -> Batch {
    // Each of a unit of its own.
    let secret = [number as u8; 32];
    let issuer = Address::of_public(&public_of(&secret));
    let draft = Draft {
        domain: "example.net".into(),
        source: issuer,
        target: Address::of_public(&number.to_be_bytes()),
        symbol: issuer,
        amount: "1".into(),
        random: format!("payment {number}"),
        expiry: "2027-01-01T00:00:00.000Z".parse().expect("time"),
        active: None,
        credit: None,
        locker: None,
        solver: None,
    };
    let request = Request::from_inputs(&[draft.sign(&secret)], "example.net").expect("good");
    let time = "2026-01-01T00:00:00.000Z".parse().expect("time");
    match clear(&request, number, time, &Loaded::default()).expect("clears") {
        Cleared::Now(record) => Batch::new(vec![Arc::new(record)]),
        Cleared::Before(_) => panic!("nothing has cleared"),
    }
}

/// A list of who holds a unit that is half from before a payment and half from after
/// it does not sum to zero.
#[tokio::test]
async fn what_takes_many_steps_is_read_again_when_something_commits() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Embedded::open(dir.path()).expect("open");
    let reads = Cell::new(0);
    let found = store.inner.at_one_moment(|| {
        reads.set(reads.get() + 1);
        let before = store.inner.index.place(1)?.is_some();
        if reads.get() == 1 {
            let batch = payment(1);
            // It waits for nothing.
            let commit = pin!(store.commit(&batch)).poll(&mut Context::from_waker(Waker::noop()));
            assert!(matches!(commit, Poll::Ready(Ok(Committed::Yes))));
        }
        Ok((before, store.inner.index.place(1)?.is_some()))
    });
    assert_eq!((found.expect("read"), reads.get()), ((true, true), 2));
}

/// Some hundred questions for a far page of a long history once kept payments waiting
/// for a minute, also after whoever asked had gone.
#[tokio::test]
async fn lists_have_their_turns_and_end_with_whoever_asked() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Embedded::open(dir.path()).expect("open");
    let turns = store.inner.lists.available_permits() as u32;
    let (begun, has_begun) = oneshot::channel();
    {
        let mut endless = pin!(store.list(|_, asked| -> Result<(), Error> {
            let _ = begun.send(());
            let since = Instant::now();
            // As good as without end, and no test that hangs.
            while since.elapsed() < Duration::from_secs(30) {
                asked.still()?;
                std::thread::yield_now();
            }
            Ok(())
        }));
        tokio::select! {
            ended = &mut endless => panic!("{ended:?}"),
            begun = has_begun => begun.expect("begun"),
        }
    }
    let freed = store.inner.lists.acquire_many(turns);
    let all = timeout(Duration::from_secs(20), freed).await.expect("in time");
    // Whoever pays, and whoever asks for one record, waits for no list.
    assert_eq!(store.commit(&payment(1)).await.expect("commit"), Committed::Yes);
    assert!(store.numbered(1).await.expect("readable").is_some());
    let account = payment(1).records[0].outputs[0].account;
    let page = Page { before: 0, skip: 0, limit: 1 };
    let mut listed = pin!(store.outputs(account, page));
    assert!(listed.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(all);
    assert_eq!(listed.await.expect("listed").len(), 1);
}

/// A full disk, or a server without file descriptors for a moment, once stopped all
/// payments for good where the next file of the log was to be begun.
#[tokio::test]
async fn a_file_that_cannot_be_begun_is_begun_when_it_can() {
    let dir = tempfile::tempdir().expect("a folder");
    let sizes = Sizes { segment_bytes: 1, ..Sizes::default() };
    let store = Embedded::open_sized(dir.path(), sizes).expect("open");
    assert_eq!(store.commit(&payment(1)).await.expect("commit"), Committed::Yes);
    let next = dir.path().join(format!("log/{:020}.log", 2));
    std::fs::create_dir(&next).expect("in its way");
    let failed = store.commit(&payment(2)).await;
    assert!(matches!(&failed, Err(Error::Unavailable(why)) if why.contains("2.log")));
    assert_eq!(store.head().await.expect("head").number, 1);
    std::fs::remove_dir(&next).expect("out of its way");
    assert_eq!(store.commit(&payment(2)).await.expect("commit"), Committed::Yes);
    drop(store);
    let store = Embedded::open_sized(dir.path(), sizes).expect("open");
    assert_eq!(store.head().await.expect("head").number, 2);
}

/// What was begun while the disk was full, and never written, once kept the server
/// from ever starting again, though every payment was there.
#[tokio::test]
async fn a_file_that_was_begun_in_vain_is_passed_over() {
    let dir = tempfile::tempdir().expect("a folder");
    let sizes = Sizes { segment_bytes: 8_192, ..Sizes::default() };
    let logs = dir.path().join("log");
    let mut number = 0;
    // Beside the file in use, between two, and after all.
    for blank in [(2, 0), (3, 8_192), (9, 0), (12, 4_096), (13, 1)] {
        let store = Embedded::open_sized(dir.path(), sizes).expect("open");
        for _ in 0..3 {
            number += 1;
            let committed = store.commit(&payment(number)).await.expect("commit");
            assert_eq!(committed, Committed::Yes, "record {number}");
        }
        drop(store);
        let (first, bytes) = blank;
        let path = logs.join(format!("{first:020}.log"));
        if !path.exists() {
            std::fs::write(path, vec![0; bytes]).expect("a file");
        }
        if first == 9 {
            std::fs::remove_dir_all(dir.path().join("index")).expect("no index");
        }
        let store = Embedded::open_sized(dir.path(), sizes).expect("open");
        assert_eq!(store.head().await.expect("head").number, number, "{blank:?}");
        for number in 1..=number {
            assert!(store.numbered(number).await.expect("readable").is_some());
        }
    }
    let full = crate::log::create(&logs, 99, 1 << 62).expect_err("no disk has that");
    assert!(!logs.join(format!("{:020}.log", 99)).exists(), "{full}");
}

/// A write that failed may or may not be on disk. Going on as if either
/// were known would lose a payment or clear it twice.
#[tokio::test]
async fn a_failed_write_stops_the_writer_and_the_same_batch_again_tells() {
    for fault in [Fault::Without, Fault::With] {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Embedded::open(dir.path()).expect("open");
        *store.inner.log.fault.lock() = Some(fault);
        let batch = payment(1);
        assert!(matches!(store.commit(&batch).await, Err(Error::Broken(_))), "{fault:?}");
        assert!(matches!(store.commit(&batch).await, Err(Error::Broken(_))), "for good");
        assert!(store.head().await.is_err(), "and readiness shows it");
        drop(store);
        let store = Embedded::open(dir.path()).expect("open");
        let there = store.head().await.expect("head").number == 1;
        assert_eq!(there, fault == Fault::With);
        assert_eq!(store.commit(&batch).await.expect("commit"), Committed::Yes);
        assert_eq!(store.head().await.expect("head").number, 1);
    }
}
