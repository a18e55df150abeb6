//! Sealing over stores that fail: every write of a history with every kind of
//! block fails, without and with effect, once or for good (as a kill does).
//! What would be lost if this failed: a checkpoint that somebody holds would be
//! of a log that nobody can show any more.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

use webwallet_blockstack::rebuild::{self, LogFolder};
use webwallet_blockstack::{Folder, Seal, Store as _};
use webwallet_ledger::block::{AtHeight, Block};
use webwallet_ledger::checkpoint::Checkpoint;
use webwallet_ledger::leaf::Leaf;
use webwallet_ledger::merkle::{Node, Range, Sha256, TreeHash as _};
use webwallet_ledger::note::{Note, SignatureLine, VerifierKey};
use webwallet_proto::blockstack::v1::{
    ReceiptRequest, RotateLogKeyRequest, SealReply, SealRequest, StackRequest, StatusReply,
    StatusRequest,
};

use crate::standin::{DOMAIN, Fault, Running, Stores};

async fn seal(running: &mut Running, stack: bool) -> Result<SealReply, tonic::Status> {
    Ok(running.client.seal(SealRequest { stack }).await?.into_inner())
}

async fn status(running: &mut Running) -> StatusReply {
    running.client.status(StatusRequest {}).await.expect("status").into_inner()
}

/// Waits until the status is so.
async fn until(running: &mut Running, done: &dyn Fn(&StatusReply) -> bool) {
    let started = std::time::Instant::now();
    loop {
        let now = status(running).await;
        if done(&now) {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "{now:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// What the history is made of; each step may be taken twice.
const STEPS: usize = 6;

async fn step(stores: &Stores, running: &mut Running, step: usize) -> Result<(), tonic::Status> {
    let upto = |stores: &Stores, number: u64| {
        let there = stores.lock().records.len() as u64;
        stores.pay_often(number.saturating_sub(there));
    };
    match step {
        0 => drop(seal(running, false).await?),
        1 => {
            upto(stores, 3);
            seal(running, false).await?;
        }
        2 => drop(running.client.rotate_log_key(RotateLogKeyRequest {}).await?),
        3 => {
            // Over the end of a bundle, so that a tile becomes full.
            upto(stores, 270);
            seal(running, true).await?;
        }
        4 => {
            stores.advance(86_400_000);
            upto(stores, 275);
            seal(running, false).await?;
        }
        _ => drop(seal(running, false).await?),
    }
    Ok(())
}

/// A whole log as a stranger reads it: each block fits what is before it, each
/// checkpoint that was ever signed is one of its beginnings, and no size was
/// signed with two roots.
fn check(dir: &Path, stores: &Stores) -> Vec<Block> {
    let folder = LogFolder::open(&dir.join("log")).expect("a log");
    let (mut tree, mut roots) = (Range::<Sha256>::new(), HashMap::new());
    let (mut blocks, mut keys): (Vec<Block>, Vec<VerifierKey>) = Default::default();
    let mut number = 0;
    roots.insert(0, tree.root());
    for leaf in folder.leaves() {
        let (index, bytes) = leaf.expect("a leaf");
        match Leaf::parse(&bytes, DOMAIN).expect("a leaf that is one") {
            Leaf::Genesis(genesis) => keys.push(genesis.key),
            Leaf::Keys(change) => {
                assert!(change.verify() && keys.last() == Some(&change.old));
                keys.push(change.new);
            }
            Leaf::Stack(stack) => {
                let held: Vec<Node> = blocks[stack.first as usize..]
                    .iter()
                    .map(|block| webwallet_ledger::merkle::Sha3::leaf(&block.hash.0))
                    .collect();
                assert_eq!(stack.blocks, held.len() as u64);
                assert_eq!(
                    stack.root,
                    webwallet_ledger::merkle::root::<webwallet_ledger::merkle::Sha3>(&held)
                );
            }
            Leaf::Record(entry) => {
                number += 1;
                assert_eq!(entry.record.number, number);
            }
            Leaf::Block(block) => {
                let header = &block.header;
                assert_eq!(header.height, blocks.len() as u64);
                if let Some(before) = blocks.last() {
                    assert_eq!(header.previous, before.hash);
                }
                assert_eq!((header.first, header.cleared), (index - header.leaves, number));
                assert_eq!(Some(&header.log), roots.get(&header.first));
                let origin = DOMAIN.to_owned();
                let text = Checkpoint { origin, size: header.first, root: header.log }.text();
                let line = SignatureLine::parse(&header.signature).expect("a line");
                assert!(keys.iter().any(|key| key.verify(&text, &line)), "block {}", header.height);
                blocks.push(*block);
            }
        }
        tree.push(Sha256::leaf(&bytes));
        roots.insert(tree.size(), tree.root());
    }
    assert_eq!(folder.checkpoint().root, tree.root());
    let mut signed: BTreeMap<u64, Node> = BTreeMap::new();
    for note in &stores.lock().signed {
        let (checkpoint, _) = Checkpoint::open(note.as_bytes(), &keys).expect("signed by a key");
        assert_eq!(roots.get(&checkpoint.size), Some(&checkpoint.root), "not reproducible");
        assert_eq!(*signed.entry(checkpoint.size).or_insert(checkpoint.root), checkpoint.root);
    }
    blocks
}

/// All files of a folder, by relative path.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(dir: &Path, at: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
        for entry in std::fs::read_dir(at).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => walk(dir, &path, found),
                false => {
                    let name = path.strip_prefix(dir).expect("inside").display().to_string();
                    found.insert(name, std::fs::read(&path).expect("read"));
                }
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(dir, dir, &mut found);
    found
}

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

#[tokio::test]
async fn the_log_is_rebuilt_from_the_other_stores_byte_for_byte() {
    let dir = tempfile::tempdir().expect("a folder");
    let stores = Stores::default();
    let mut running = stores.start(dir.path()).await;
    for at in 0..STEPS {
        step(&stores, &mut running, at).await.expect("sealed");
    }
    running.blockstack.stop().await;
    let log = dir.path().join("log");
    let before = files(&log);
    // Everything, by going on as after any crash.
    std::fs::remove_dir_all(&log).expect("removed");
    let mut running = stores.start(dir.path()).await;
    let now = status(&mut running).await;
    assert_eq!(now.size, 285, "{now:?}");
    running.blockstack.stop().await;
    assert_eq!(files(&log), before);
    // The tiles only: that is said, and done by command under the checkpoint.
    std::fs::remove_dir_all(log.join("tile")).expect("removed");
    let mut running = stores.start(dir.path()).await;
    let why = running.blockstack.read_only().expect("read-only");
    assert!(why.contains("run `webwallet rebuild log`"), "{why}");
    let refused = seal(&mut running, false).await.expect_err("refused");
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    running.blockstack.stop().await;
    let (config, store, key) = stores.parts(dir.path(), Seal::Manual, 20);
    let (graphstore, hashtable) = stores.clients();
    let size = rebuild::log(config, store, key, graphstore, hashtable).await.expect("rebuilt");
    assert_eq!(size, 285);
    assert_eq!(files(&log), before);
}

#[tokio::test]
async fn stores_that_went_back_are_not_sealed_over() {
    let dir = tempfile::tempdir().expect("a folder");
    let stores = Stores::default();
    let mut running = stores.start(dir.path()).await;
    stores.pay_often(3);
    seal(&mut running, false).await.expect("sealed");
    seal(&mut running, true).await.expect("sealed");
    let keys = status(&mut running).await.keys;
    assert_eq!(keys.len(), 1);
    running.blockstack.stop().await;
    let refused = async |part: &str| {
        let mut running = stores.start(dir.path()).await;
        let why = status(&mut running).await.read_only.expect("read-only");
        assert!(why.contains(part) && why.contains("webwallet rebuild"), "{why}");
        let now = status(&mut running).await;
        assert_eq!((now.number, &now.keys), (3, &keys), "what is published is still answered");
        // Nothing clears, and everybody can still prove what he has.
        let call = ReceiptRequest { number: 3, wait_ms: 0 };
        let reply = running.client.receipt(call).await.expect("receipt").into_inner();
        assert!(reply.receipt.is_some());
        let reply = running.client.stack(StackRequest { height: Some(0) }).await.expect("stack");
        assert!(reply.into_inner().stack.is_some());
        running.blockstack.stop().await;
    };
    let intent = stores.lock().intents.pop().expect("an intent");
    refused("Graphstore is behind the published log").await;
    let mut other = intent.clone();
    other.block = stores.lock().intents[0].block.clone();
    stores.lock().intents.push(other);
    refused("two histories").await;
    stores.lock().intents[2] = intent;
    let record = stores.lock().records.pop().expect("a record");
    refused("lost records").await;
    stores.lock().records.push(record);
    stores.lock().numbers.insert(4, webwallet_ledger::Hash::sha3(b"x"));
    refused("behind Hashtable").await;
    stores.lock().numbers.remove(&4);
    // As many records, and not the same ones: of another server, or of a Graphstore that was
    // put back and has gone on, which the newest of them need not show.
    let name = stores.lock().numbers.insert(3, webwallet_ledger::Hash::sha3(b"x")).expect("a name");
    refused("Hashtable and the log are of two histories: record 3").await;
    stores.lock().numbers.insert(3, name);
    stores.pay_often(2);
    {
        let mut inner = stores.lock();
        let newest = inner.records.last().expect("paid").hash;
        inner.numbers.extend([(4, webwallet_ledger::Hash::sha3(b"x")), (5, newest)]);
    }
    refused("Graphstore and Hashtable are of two histories: record 4").await;
    {
        let mut inner = stores.lock();
        inner.records.truncate(3);
        inner.numbers.retain(|number, _| *number <= 3);
    }
    // Hashtable alone is filled again without a word.
    stores.lock().numbers.clear();
    stores.lock().documents.clear();
    let mut running = stores.start(dir.path()).await;
    assert_eq!(status(&mut running).await.read_only, None);
    assert_eq!(stores.lock().numbers.len(), 3);
    running.blockstack.stop().await;
    // Also where a payment came in while it was filled, and the rest never did.
    let gone = stores.lock().numbers.remove(&1).expect("a name");
    stores.lock().documents.remove(&gone);
    let running = stores.start(dir.path()).await;
    assert_eq!(stores.lock().numbers.get(&1), Some(&gone));
    assert!(stores.lock().documents.contains_key(&gone));
    running.blockstack.stop().await;
    // Another key must not sign this log.
    std::fs::rename(dir.path().join("log-key"), dir.path().join("old")).expect("moved");
    let mut running = stores.start(dir.path()).await;
    let why = status(&mut running).await.read_only.expect("read-only");
    assert!(why.contains("is not the log's newest"), "{why}");
    running.blockstack.stop().await;
    std::fs::rename(dir.path().join("old"), dir.path().join("log-key")).expect("moved");
    let running = stores.start(dir.path()).await;
    assert_eq!(running.blockstack.read_only(), None);
    running.blockstack.stop().await;
}

/// Whoever restores Graphstore from a backup under a living log would have money spent
/// twice, and numbers given twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_graphstore_that_goes_back_under_a_living_log_is_noticed() {
    let quiet = Duration::from_secs(3600);
    for seal in [Seal::Manual, Seal::Interval { records: Duration::ZERO, quiet }] {
        let dir = tempfile::tempdir().expect("a folder");
        let stores = Stores::default();
        let mut running = stores.start_with(dir.path(), seal, 20).await;
        for _ in 0..2 {
            stores.pay_often(1);
            self::seal(&mut running, false).await.expect("sealed");
        }
        let (record, intent) = {
            let mut inner = stores.lock();
            inner.trimmed = 1;
            (inner.records.pop().expect("a record"), inner.intents.pop().expect("an intent"))
        };
        if matches!(seal, Seal::Manual) {
            // Once this never ended.
            let refused = self::seal(&mut running, false).await.expect_err("refused");
            assert_eq!(refused.code(), tonic::Code::FailedPrecondition, "{refused}");
        }
        until(&mut running, &|now| now.read_only.is_some()).await;
        // With the right one back nobody has to be told.
        {
            let mut inner = stores.lock();
            inner.trimmed = 2;
            inner.records.push(record);
            inner.intents.push(intent);
        }
        until(&mut running, &|now| now.read_only.is_none()).await;
        stores.pay_often(1);
        self::seal(&mut running, false).await.expect("sealed");
        assert_eq!(status(&mut running).await.number, 3);
        running.blockstack.stop().await;
        check(dir.path(), &stores);
    }
}

/// An operator who reads of a block that is not the next one does not know what to do.
#[tokio::test]
async fn a_graphstore_that_went_back_and_on_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let stores = Stores::default();
    let mut running = stores.start(dir.path()).await;
    for _ in 0..2 {
        stores.pay_often(1);
        seal(&mut running, false).await.expect("sealed");
    }
    {
        let mut inner = stores.lock();
        inner.records.pop();
        inner.intents.pop();
    }
    stores.pay("cay", "dan", 1);
    stores.pay("cay", "dan", 1);
    let refused = seal(&mut running, false).await.expect_err("refused");
    let why = refused.message();
    assert!(why.contains("Graphstore has gone back: it has 3 records and 2 blocks"), "{why}");
    assert!(why.contains("rebuild graphstore"), "{why}");
    running.blockstack.stop().await;
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

/// A log from last night under a Graphstore that is lost or as old: another block would be
/// signed where one was published already.
#[tokio::test]
async fn a_height_that_hashtable_knows_is_not_made_anew() {
    let dir = tempfile::tempdir().expect("a folder");
    let stores = Stores::default();
    let mut running = stores.start(dir.path()).await;
    stores.pay_often(3);
    seal(&mut running, false).await.expect("sealed");
    let old = std::fs::read(dir.path().join("log/checkpoint")).expect("read");
    stores.pay_often(2);
    seal(&mut running, false).await.expect("sealed");
    running.blockstack.stop().await;
    let newest = std::fs::read(dir.path().join("log/checkpoint")).expect("read");
    std::fs::write(dir.path().join("log/checkpoint"), old).expect("put back");
    let intent = stores.lock().intents.pop().expect("an intent");
    let mut running = stores.start(dir.path()).await;
    let refused = seal(&mut running, false).await.expect_err("it may be published");
    assert!(refused.message().contains("it has block 2"), "{}", refused.message());
    running.blockstack.stop().await;
    // As `webwallet rebuild graphstore` gives it back.
    stores.lock().intents.push(intent);
    let running = stores.start(dir.path()).await;
    running.blockstack.stop().await;
    let again = std::fs::read(dir.path().join("log/checkpoint")).expect("read");
    assert_eq!(again, newest);
    check(dir.path(), &stores);
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

/// Gateways clear while Blockstack starts: what they have stored by then is no sign of a loss.
#[tokio::test]
async fn a_start_beside_payments_is_no_loss() {
    let dir = tempfile::tempdir().expect("a folder");
    let stores = Stores::default();
    stores.lock().meanwhile = Some(|stores| {
        let number = stores.pay("ann", "ben", 1);
        let mut inner = stores.lock();
        let record = inner.records.last().expect("just paid");
        let (name, bytes) = (record.hash, record.bytes.clone());
        inner.documents.insert(name, bytes.into());
        inner.numbers.insert(number, name);
    });
    let mut running = stores.start(dir.path()).await;
    assert_eq!(status(&mut running).await.read_only, None);
    assert_eq!(seal(&mut running, false).await.expect("sealed").records, 1);
    running.blockstack.stop().await;
}

/// Two histories under one key, both signed, are what a log exists to rule out.
#[tokio::test]
async fn a_rebuilt_log_that_would_pass_by_the_published_one_is_not_written() {
    let dir = tempfile::tempdir().expect("a folder");
    let history = async |payments: &[u64]| {
        let stores = Stores::default();
        let mut running = stores.start(dir.path()).await;
        for count in payments {
            stores.pay_often(*count);
            seal(&mut running, false).await.expect("sealed");
        }
        running.blockstack.stop().await;
        stores
    };
    let log = dir.path().join("log");
    // What older backups of the stores would have gone on with: another number of records,
    // and as many others.
    let mut others = Vec::new();
    for payments in [[4, 5], [3, 3]] {
        others.push(history(&payments).await);
        for folder in [&log, &dir.path().join("state")] {
            std::fs::remove_dir_all(folder).expect("removed");
        }
    }
    history(&[4, 2]).await;
    let before = files(&log);
    let said = [
        "10 leaves, and no block of Graphstore's ends there, but one at 13",
        "log of 10 leaves that the stores give is not the one that was published",
    ];
    for (other, said) in others.iter().zip(said) {
        let (config, store, key) = other.parts(dir.path(), Seal::Manual, 20);
        let (graphstore, hashtable) = other.clients();
        let refused = rebuild::log(config, store, key, graphstore, hashtable).await;
        let why = refused.expect_err("refused").to_string();
        assert!(why.contains(said) && why.contains("rebuild graphstore"), "{why}");
        assert_eq!(files(&log), before, "nothing was written over");
    }
}

/// Heights of the snapshots there are.
fn snapshots(dir: &Path) -> Vec<u64> {
    let names = std::fs::read_dir(dir.join("state")).expect("a folder").map(|entry| {
        let name = entry.expect("an entry").file_name().into_string().expect("a name");
        name.strip_prefix("accounts-").and_then(|height| height.parse().ok())
    });
    let mut heights: Vec<u64> = names.flatten().collect();
    heights.sort_unstable();
    heights
}

/// Else a server of many records is down for as long as it takes to read them
/// all again; and receipts are refused meanwhile, because their key is unknown.
#[tokio::test]
async fn a_long_log_is_served_with_all_its_keys_before_it_is_read() {
    let dir = tempfile::tempdir().expect("a folder");
    let stores = Stores::default();
    let seldom = 100_000;
    let mut running = stores.start_with(dir.path(), Seal::Manual, seldom).await;
    stores.pay_often(16_500);
    seal(&mut running, false).await.expect("sealed");
    let keys = status(&mut running).await.keys;
    running.blockstack.stop().await;
    // The next start reads nothing again.
    assert_eq!(snapshots(dir.path()).len(), 1);

    for keep in [true, false] {
        if !keep {
            std::fs::remove_dir_all(dir.path().join("state")).expect("removed");
        }
        let mut running = stores.start_with(dir.path(), Seal::Manual, seldom).await;
        let now = status(&mut running).await;
        assert_eq!((now.number, &now.keys, now.read_only), (16_500, &keys, None));
        // Not waited for: nobody needs the rest.
        running.blockstack.stop().await;
    }
    let mut running = stores.start_with(dir.path(), Seal::Manual, seldom).await;
    running.client.rotate_log_key(RotateLogKeyRequest {}).await.expect("rotated");
    stores.pay_often(5_000);
    seal(&mut running, false).await.expect("sealed");
    let keys = status(&mut running).await.keys;
    assert_eq!(keys.len(), 2);
    running.blockstack.stop().await;
    for _ in 0..2 {
        let mut running = stores.start_with(dir.path(), Seal::Manual, seldom).await;
        assert_eq!(status(&mut running).await.keys, keys);
        stores.pay_often(5_000);
        seal(&mut running, false).await.expect("sealed");
        running.blockstack.stop().await;
    }
    // Of three that stand close together the one in the middle is of no use.
    assert_eq!(snapshots(dir.path()).len(), 2);
    // Without a snapshot only the whole log says which keys signed it.
    std::fs::remove_dir_all(dir.path().join("state")).expect("removed");
    let mut running = stores.start_with(dir.path(), Seal::Manual, seldom).await;
    assert_eq!(status(&mut running).await.keys, keys);
    running.blockstack.stop().await;
    check(dir.path(), &stores);
}

/// Else the balances of long ago could only be proved by reading the whole log.
#[tokio::test]
async fn snapshots_of_every_size_are_kept_while_accounts_become_more() {
    let dir = tempfile::tempdir().expect("a folder");
    let stores = Stores::default();
    let mut running = stores.start(dir.path()).await;
    for holder in 0..240 {
        stores.pay("ann", &format!("holder {holder}"), 1);
        if holder % 30 == 29 {
            seal(&mut running, false).await.expect("sealed");
        }
    }
    running.blockstack.stop().await;
    assert_eq!(snapshots(dir.path()), [1, 2, 4, 8]);
}

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
    let (config, store, key) = stores.parts(dir.path(), Seal::Manual, 20);
    let (graphstore, hashtable) = stores.clients();
    let refused = rebuild::log(config, store, key, graphstore, hashtable).await;
    let why = refused.expect_err("no room").to_string();
    assert!(why.contains("No space left") && why.contains("rebuild log` again"), "{why}");
}

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
    let why = status(&mut running).await.read_only.expect("not compared");
    assert!(why.contains("has not been compared with the stores yet"), "{why}");
    stores.lock().unavailable = false;
    until(&mut running, &|now| now.height == Some(0) && now.trouble.is_none()).await;
    assert_eq!(status(&mut running).await.read_only, None);
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
