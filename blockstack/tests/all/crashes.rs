//! Sealing over stores that fail: every write of a history with every kind of
//! block fails, without and with effect, once or for good (as a kill does).
//! What would be lost if this failed: a checkpoint that somebody holds would be
//! of a log that nobody can show any more.

use std::collections::BTreeMap;
use std::time::Duration;

use webwallet_ledger::block::AtHeight;

use crate::history::{STEPS, check, files, seal, status, step, until};
use crate::standin::{DOMAIN, Fault, Stores};

/// The history with one write failing; answers what it was, if there are that
/// many.
async fn with_fault(write: u64, fault: Fault, dies: bool) -> Option<&'static str> {
    let dir = tempfile::tempdir().expect("a folder");
    let stores = Stores::default();
    stores.fail_at(write, fault, dies);
    let mut running = stores.start(dir.path()).await;
    for at in 0..STEPS {
        loop {
            let killed = async {
                while !stores.is_dead() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            let outcome = tokio::select! {
                biased;
                outcome = step(&stores, &mut running, at) => Some(outcome),
                () = killed => None,
            };
            match outcome {
                Some(outcome) => {
                    outcome.expect("sealed");
                    break;
                }
                None => {
                    running.blockstack.stop().await;
                    stores.revive();
                    running = stores.start(dir.path()).await;
                    assert_eq!(running.blockstack.read_only(), None);
                }
            }
        }
    }
    assert_eq!(status(&mut running).await.number, 275);
    running.blockstack.stop().await;
    stores.revive();
    check(dir.path(), &stores);
    // From nothing but the log: every block follows from the one before.
    std::fs::remove_dir_all(dir.path().join("state")).expect("removed");
    let running = stores.start(dir.path()).await;
    assert_eq!(running.blockstack.read_only(), None);
    running.blockstack.stop().await;
    stores.lock().writes.hit
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_at_any_write_loses_no_checkpoint_and_signs_none_twice() {
    for dies in [true, false] {
        for fault in [Fault::Without, Fault::With] {
            let mut hits: BTreeMap<&str, u64> = BTreeMap::new();
            let (mut runs, mut write) = (tokio::task::JoinSet::new(), 0);
            let mut ended = false;
            // Several at a time: they wait for the disk more than they work.
            while !ended || !runs.is_empty() {
                while !ended && runs.len() < 8 {
                    runs.spawn(with_fault(write, fault, dies));
                    write += 1;
                }
                match runs.join_next().await.expect("a run").expect("no panic") {
                    Some(kind) => *hits.entry(kind).or_default() += 1,
                    None => ended = true,
                }
            }
            println!("{fault:?}, {}: {hits:?}", if dies { "killed" } else { "tried again" });
            for kind in ["intent", "tile", "entries", "document", "checkpoint", "trim"] {
                assert!(hits.get(kind).is_some_and(|hits| *hits >= 6), "{kind}: {hits:?}");
            }
        }
    }
}

/// An auditor would reject an honest log for tiles of a block that was never published.
#[tokio::test]
async fn what_a_crash_left_of_a_block_that_came_out_otherwise_goes() {
    let dir = tempfile::tempdir().expect("a folder");
    let stores = Stores::default();
    let mut running = stores.start(dir.path()).await;
    stores.pay_often(250);
    seal(&mut running, false).await.expect("sealed");
    stores.pay_often(10);
    // Beyond the end of a tile; the process dies before Hashtable has the block, and Graphstore
    // is lost with what it intended, and rebuilt.
    let checkpoint = std::fs::read(dir.path().join("log/checkpoint")).expect("read");
    seal(&mut running, false).await.expect("sealed");
    running.blockstack.stop().await;
    std::fs::write(dir.path().join("log/checkpoint"), checkpoint).expect("written");
    std::fs::remove_dir_all(dir.path().join("state")).expect("removed");
    stores.lock().intents.pop();
    stores.lock().signed.pop();
    stores.lock().documents.remove(&AtHeight::name(DOMAIN, 2));
    let mut running = stores.start(dir.path()).await;
    stores.pay_often(20);
    seal(&mut running, false).await.expect("sealed");
    running.blockstack.stop().await;
    check(dir.path(), &stores);
    let tiles = |folder: &str| {
        let names = files(&dir.path().join("log/tile"));
        names.into_keys().filter(|name| name.starts_with(folder)).collect::<Vec<_>>()
    };
    // Genesis, three blocks and all records: 284 leaves.
    assert_eq!(tiles("0/"), ["0/000", "0/001.p/28"]);
    assert_eq!(tiles("entries/"), ["entries/000", "entries/001.p/28"]);
}

/// A log of which a part is damaged would be signed on; or what can be made again stop all
/// payments.
#[tokio::test]
async fn a_damaged_tile_stops_the_start_and_a_damaged_snapshot_does_not() {
    let dir = tempfile::tempdir().expect("a folder");
    let stores = Stores::default();
    let mut running = stores.start(dir.path()).await;
    for _ in 0..4 {
        stores.pay_often(25);
        seal(&mut running, false).await.expect("sealed");
    }
    running.blockstack.stop().await;
    let snapshots: Vec<_> = std::fs::read_dir(dir.path().join("state"))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.display().to_string().contains("accounts-"))
        .collect();
    assert!(snapshots.len() >= 3, "{snapshots:?}");
    for snapshot in snapshots {
        let mut bytes = std::fs::read(&snapshot).expect("read");
        let middle = bytes.len() * 3 / 4;
        bytes[middle] ^= 1;
        std::fs::write(&snapshot, bytes).expect("written");
    }
    let mut running = stores.start(dir.path()).await;
    assert_eq!(running.blockstack.read_only(), None);
    stores.pay_often(1);
    seal(&mut running, false).await.expect("sealed");
    running.blockstack.stop().await;
    check(dir.path(), &stores);

    let log = files(&dir.path().join("log"));
    let widest = log.keys().filter(|name| name.starts_with("tile/")).max_by_key(|name| {
        let width = name.rsplit('/').next().and_then(|width| width.parse::<u32>().ok());
        (name.starts_with("tile/entries"), width)
    });
    let widest = dir.path().join("log").join(widest.expect("a bundle"));
    let mut bytes = std::fs::read(&widest).expect("read");
    bytes[1000] ^= 1;
    std::fs::write(&widest, bytes).expect("written");
    let running = stores.start(dir.path()).await;
    let why = running.blockstack.read_only().expect("read-only");
    assert!(why.contains("damaged") && why.contains("rebuild log"), "{why}");
    running.blockstack.stop().await;
}

/// Most files are read only when somebody asks for a proof out of them: the log would be signed
/// on for years, and the receipts of what is in a lost one be gone when the others are too.
#[tokio::test]
async fn a_file_that_the_start_does_not_read_is_missed_all_the_same() {
    let dir = tempfile::tempdir().expect("a folder");
    let stores = Stores::default();
    let mut running = stores.start(dir.path()).await;
    for _ in 0..3 {
        stores.pay_often(250);
        seal(&mut running, false).await.expect("sealed");
    }
    running.blockstack.stop().await;
    for lost in ["tile/entries/000", "tile/0/001"] {
        let file = dir.path().join("log").join(lost);
        let bytes = std::fs::read(&file).expect("read");
        std::fs::remove_file(&file).expect("removed");
        let running = stores.start(dir.path()).await;
        let why = running.blockstack.read_only().expect("read-only");
        assert!(why.contains(lost) && why.contains("`webwallet rebuild log`"), "{why}");
        running.blockstack.stop().await;
        std::fs::write(&file, bytes).expect("written");
    }
    let running = stores.start(dir.path()).await;
    assert_eq!(running.blockstack.read_only(), None);
    running.blockstack.stop().await;
    check(dir.path(), &stores);
}

/// An operator who is told of damage rebuilds what is whole, where room is all it needs.
#[tokio::test]
async fn a_disk_that_fails_at_a_start_is_no_damage_and_is_waited_for() {
    let dir = tempfile::tempdir().expect("a folder");
    let stores = Stores::default();
    let mut running = stores.start(dir.path()).await;
    stores.pay_often(30);
    seal(&mut running, false).await.expect("sealed");
    running.blockstack.stop().await;
    stores.lock().unreadable = true;
    let mut running = stores.start(dir.path()).await;
    let trouble = status(&mut running).await.trouble.expect("trouble");
    assert!(trouble.starts_with("the log cannot be read or written: tile/"), "{trouble}");
    stores.lock().unreadable = false;
    until(&mut running, &|now| now.read_only.is_none() && now.trouble.is_none()).await;
    stores.pay_often(1);
    assert_eq!(seal(&mut running, false).await.expect("sealed").records, 1);
    running.blockstack.stop().await;
    check(dir.path(), &stores);

    // The index of blocks finds no room: payments clear all the same.
    let index = dir.path().join("state/blocks");
    std::fs::remove_file(&index).expect("removed");
    std::os::unix::fs::symlink("/dev/full", &index).expect("made");
    let mut running = stores.start(dir.path()).await;
    let now = status(&mut running).await;
    let trouble = now.trouble.expect("trouble");
    assert!(trouble.contains("the index of blocks: No space left"), "{trouble}");
    assert_eq!(now.read_only, None);
    running.blockstack.stop().await;
    // Whoever looks on is told, and not left waiting.
    let refused = stores.rebuild_log(dir.path()).await;
    let why = refused.expect_err("no room").to_string();
    assert!(why.contains("No space left") && why.contains("rebuild log` again"), "{why}");
}
