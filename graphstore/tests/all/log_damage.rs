//! Crashes and bad disks of the embedded engine. If these failed, a payment
//! that was answered could be gone, or a damaged history go on unnoticed.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use webwallet_graphstore::store::{Batch, Committed, Store};
use webwallet_graphstore::{Embedded, Loaded, Sizes};
use webwallet_ledger::clear::{Cleared, clear};
use webwallet_ledger::signature::public_of;
use webwallet_ledger::{Address, Draft, Hash, Request};

use crate::life::{Life, UNITS};
use crate::payments;

/// Batches of one payment each; the last frame is what a crash may tear.
fn batches(count: u64) -> Vec<Batch> {
    let secret = Hash::sha3(b"ann").0;
    let (ann, ben) = (Address::of_public(&public_of(&secret)), Address::of_public(b"ben"));
    let mut loaded = Loaded::default();
    let one = |number: u64| {
        let draft = Draft {
            domain: "example.net".into(),
            source: ann,
            target: ben,
            symbol: ann,
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
        match clear(&request, number, time, &loaded).expect("clears") {
            Cleared::Now(record) => {
                loaded.apply(&record);
                Batch::new(vec![Arc::new(record)])
            }
            Cleared::Before(_) => panic!("every payment is another"),
        }
    };
    (1..=count).map(one).collect()
}

/// Every few payments a new file of the log and a merge of the index: what
/// otherwise happens once in a great many.
fn small() -> Sizes {
    Sizes { segment_bytes: 8 << 10, merge_entries: 16 }
}

async fn fill(dir: &Path, batches: &[Batch]) {
    fill_sized(dir, batches, Sizes::default()).await;
}

async fn fill_sized(dir: &Path, batches: &[Batch], sizes: Sizes) {
    let store = Embedded::open_sized(dir, sizes).expect("open");
    for batch in batches {
        assert_eq!(store.commit(batch).await.expect("commit"), Committed::Yes);
    }
}

fn log(dir: &Path) -> PathBuf {
    dir.join("log").join(format!("{:020}.log", 1))
}

/// Bytes of the log that are in use.
fn used(path: &Path) -> Vec<u8> {
    let bytes = fs::read(path).expect("the log");
    let end = bytes.iter().rposition(|byte| *byte != 0).expect("frames") + 1;
    bytes[..end].to_vec()
}

fn begins(log: &[u8]) -> Vec<usize> {
    memchr::memmem::find_iter(log, b"\xffWWlog1\n").collect()
}

/// A thousand and more starts, each with its syncs: in memory where there is
/// such a file system, because what is shown here is what is read, not kept.
fn in_memory() -> tempfile::TempDir {
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    dir.expect("a folder")
}

async fn numbers(store: &impl Store) -> Vec<u64> {
    let records = store.cleared(0, 1_000).await.expect("cleared");
    records.into_iter().map(|record| record.number).collect()
}

/// A server killed while it wrote would not start again, or forget what it had answered.
#[tokio::test]
async fn the_last_frame_cut_at_every_byte_recovers_what_was_before_it() {
    let whole = tempfile::tempdir().expect("a folder");
    let batches = batches(3);
    fill(whole.path(), &batches).await;
    let bytes = used(&log(whole.path()));
    let last = begins(&bytes)[2];
    let dir = in_memory();
    // The index as a crash during the third payment leaves it: merged up to
    // the second.
    let merged = in_memory();
    let every = Sizes { merge_entries: 1, ..Sizes::default() };
    fill_sized(merged.path(), &batches[..2], every).await;
    fs::create_dir(dir.path().join("log")).expect("a folder");
    let file = fs::File::create(log(dir.path())).expect("a log");
    let mut cuts = 0;
    for cut in last..bytes.len() {
        let _ = fs::remove_dir_all(dir.path().join("index"));
        if cut % 8 == 0 {
            copy(&merged.path().join("index"), &dir.path().join("index"));
        }
        file.set_len(0).expect("emptied");
        file.write_all_at(&bytes[..cut], 0).expect("written");
        let store = Embedded::open(dir.path()).unwrap_or_else(|e| panic!("cut at {cut}: {e}"));
        assert_eq!(numbers(&store).await, [1, 2], "cut at {cut}");
        // And the store goes on from there.
        if cut % 97 == 0 {
            assert_eq!(store.commit(&batches[2]).await.expect("commit"), Committed::Yes);
            drop(store);
            let store = Embedded::open(dir.path()).expect("open");
            assert_eq!(numbers(&store).await, [1, 2, 3]);
        }
        cuts += 1;
    }
    println!("the last frame of {} bytes was cut at {cuts} places", bytes.len() - last);
    assert!(cuts > 1_000);
}

/// Numbers of payments that were answered would go to others, and the evidence be written over.
#[tokio::test]
async fn a_log_that_lost_what_its_index_knows_is_neither_served_nor_touched() {
    let dir = tempfile::tempdir().expect("a folder");
    let every = Sizes { merge_entries: 1, ..Sizes::default() };
    fill_sized(dir.path(), &batches(3), every).await;
    let path = log(dir.path());
    let bytes = used(&path);
    let file = fs::OpenOptions::new().write(true).open(&path).expect("the log");
    for cut in [begins(&bytes)[2] + 100, begins(&bytes)[2]] {
        file.set_len(cut as u64).expect("cut");
        let message = Embedded::open(dir.path()).err().expect("refused").to_string();
        assert!(message.contains("records that were synced are lost"), "{message}");
        assert_eq!(fs::metadata(&path).expect("the log").len(), cut as u64, "evidence is kept");
    }
}

/// A flipped byte under an open store: the answer is an error, not the byte.
#[tokio::test]
async fn damage_is_noticed_on_every_read() {
    let dir = tempfile::tempdir().expect("a folder");
    fill(dir.path(), &batches(2)).await;
    let store = Embedded::open(dir.path()).expect("open");
    let path = log(dir.path());
    let bytes = used(&path);
    let signature = memchr::memmem::find(&bytes, b"\"string\":\"").expect("a signature") + 20;
    let file = fs::OpenOptions::new().write(true).open(&path).expect("the log");
    file.write_all_at(&[bytes[signature] ^ 1], signature as u64).expect("flipped");
    assert!(store.numbered(1).await.is_err());
    assert!(store.numbered(2).await.expect("sound").is_some());
}

/// A history that a bad disk has changed would be served, and paid on.
#[tokio::test]
async fn a_flipped_byte_in_the_middle_stops_the_start_with_a_message() {
    let dir = tempfile::tempdir().expect("a folder");
    fill(dir.path(), &batches(3)).await;
    let path = log(dir.path());
    let bytes = used(&path);
    let (begin, end) = (begins(&bytes)[1], begins(&bytes)[2]);
    let file = fs::OpenOptions::new().write(true).open(&path).expect("the log");
    for at in (begin..end).step_by(13) {
        file.write_all_at(&[bytes[at] ^ 1], at as u64).expect("flipped");
        let _ = fs::remove_dir_all(dir.path().join("index"));
        let error =
            Embedded::open(dir.path()).err().unwrap_or_else(|| panic!("byte {at} unnoticed"));
        let message = error.to_string();
        assert!(message.contains("damaged at byte") && message.contains(".log"), "{message}");
        file.write_all_at(&bytes[at..=at], at as u64).expect("mended");
    }
    let _ = fs::remove_dir_all(dir.path().join("index"));
    assert_eq!(numbers(&Embedded::open(dir.path()).expect("mended")).await, [1, 2, 3]);
}

/// After a crash somebody would see an old balance, or an IOU clear a second time.
#[tokio::test]
async fn an_index_of_any_age_is_brought_up_to_the_log() {
    let dir = tempfile::tempdir().expect("a folder");
    let batches = batches(40);
    fill_sized(dir.path(), &batches[..10], small()).await;
    let old = dir.path().join("index of ten");
    copy(&dir.path().join("index"), &old);
    fill_sized(dir.path(), &batches[10..], small()).await;
    let files = fs::read_dir(dir.path().join("log")).expect("the log").count();
    assert!(files > 5, "{files} files of the log");
    for index in ["as it was left", "none", "of ten"] {
        if index != "as it was left" {
            fs::remove_dir_all(dir.path().join("index")).expect("removed");
        }
        if index == "of ten" {
            copy(&old, &dir.path().join("index"));
        }
        let store = Embedded::open_sized(dir.path(), small()).expect(index);
        assert!(numbers(&store).await.into_iter().eq(1..=40), "index {index}");
        let again = store.commit(&batches[39]).await.expect("commit");
        assert_eq!(again, Committed::Yes, "the last batch is known");
        let account = batches[39].records[0].outputs[1].account;
        let page = webwallet_graphstore::store::Page { before: 0, skip: 0, limit: 100 };
        let chain = store.outputs(account, page).await.expect("outputs");
        assert!(chain.iter().map(|placed| placed.number).eq((1..=40).rev()), "index {index}");
        let iou = batches[3].records[0].inputs[0];
        assert_eq!(store.load(&[], &[iou]).await.expect("load").ious[&iou].number, 4);
        let repeated = Batch::new(vec![batches[3].records[0].clone()]);
        assert_eq!(store.commit(&repeated).await.expect("commit"), Committed::Deposed);
    }
}

/// The tables of an index, opened past the engine.
struct Opened {
    database: Database,
}

impl Opened {
    fn open(index: &Path) -> Opened {
        Opened { database: Database::builder(index).open().expect("an index") }
    }

    fn table(&self, name: &str) -> Keyspace {
        self.database.keyspace(name, KeyspaceCreateOptions::default).expect("a table")
    }

    fn entries(&self, name: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
        let entries = self.table(name).iter().map(|entry| entry.into_inner().expect("an entry"));
        entries.map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
    }

    /// Has these entries and no other from now on.
    fn set(&self, name: &str, entries: &[(Vec<u8>, Vec<u8>)]) {
        let table = self.table(name);
        for (key, _) in self.entries(name) {
            table.remove(key).expect("removed");
        }
        for (key, value) in entries {
            table.insert(key.as_slice(), value.as_slice()).expect("inserted");
        }
        self.database.persist(PersistMode::SyncAll).expect("synced");
    }
}

async fn units_are_right(dir: &Path, life: &Life, case: &str) {
    let store = Embedded::open_sized(dir, small()).expect(case);
    for name in UNITS {
        let (unit, holders) = life.recount(name);
        let address = payments::address(name);
        assert_eq!(store.unit(address).await.expect("unit"), unit, "{name}, {case}");
        let listed = store.holders(address, None, 0, 100).await.expect("holders");
        assert_eq!(listed, holders, "{name}, {case}");
    }
}

/// A crash in the middle of a merge leaves some tables newer than others. A record
/// that is counted twice then, or never, would make money that nobody has.
#[tokio::test]
async fn units_are_counted_once_whatever_a_crash_leaves_of_the_index() {
    let dir = in_memory();
    let index = dir.path().join("index");
    let mut life = Life::new(2);
    let batches: Vec<Batch> = (0..60).map(|_| life.batch(2)).collect();
    fill_sized(dir.path(), &batches[..30], small()).await;
    let old = dir.path().join("old");
    copy(&index, &old);
    fill_sized(dir.path(), &batches[30..], small()).await;
    units_are_right(dir.path(), &life, "as it was left").await;
    let new = dir.path().join("new");
    copy(&index, &new);
    let tables = ["accounts", "locks", "holders", "members", "units"];
    let of_old: Vec<_> = {
        let old = Opened::open(&old);
        tables.iter().chain(&["marks"]).map(|table| (*table, old.entries(table))).collect()
    };
    for case in 0..1 << tables.len() {
        fs::remove_dir_all(&index).expect("removed");
        copy(&new, &index);
        let opened = Opened::open(&index);
        for (i, (table, entries)) in of_old.iter().enumerate() {
            // The mark is always the old one.
            if *table == "marks" || case & (1 << i) != 0 {
                opened.set(table, entries);
            }
        }
        drop(opened);
        units_are_right(dir.path(), &life, &format!("older tables {case:b}")).await;
    }
}

/// A directory of a build that did not count units opens, and has them counted;
/// also after such a build has written to it once more.
#[tokio::test]
async fn an_index_of_a_build_without_units_is_completed_from_the_log() {
    let dir = in_memory();
    let index = dir.path().join("index");
    let mut life = Life::new(3);
    let batches: Vec<Batch> = (0..60).map(|_| life.batch(2)).collect();
    fill_sized(dir.path(), &batches[..30], small()).await;
    let (members, units) = {
        let opened = Opened::open(&index);
        (opened.entries("members"), opened.entries("units"))
    };
    let mark_of = |opened: &Opened| opened.entries("marks");
    let marks = mark_of(&Opened::open(&index));
    fill_sized(dir.path(), &batches[30..], small()).await;
    for (case, members, units, ours) in [
        ("never", Vec::new(), Vec::new(), Vec::new()),
        ("until the thirtieth batch", members, units, marks),
    ] {
        let opened = Opened::open(&index);
        opened.set("members", &members);
        opened.set("units", &units);
        let [(_, last)] = &mark_of(&opened)[..] else { panic!("one mark") };
        let theirs = (b"synced".to_vec(), last.clone());
        opened.set("marks", &ours.into_iter().chain([theirs]).collect::<Vec<_>>());
        drop(opened);
        units_are_right(dir.path(), &life, case).await;
        let opened = Opened::open(&index);
        let all = mark_of(&opened);
        opened.set(
            "marks",
            &all.into_iter().filter(|(name, _)| name != b"synced").collect::<Vec<_>>(),
        );
    }
}

/// A server would go on with half of its history, or its operator not know what to bring back.
#[tokio::test]
async fn a_missing_file_of_the_log_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    fill(dir.path(), &batches(2)).await;
    fs::rename(log(dir.path()), dir.path().join("log").join(format!("{:020}.log", 2)))
        .expect("renamed");
    let _ = fs::remove_dir_all(dir.path().join("index"));
    let message = Embedded::open(dir.path()).err().expect("refused").to_string();
    assert!(message.contains("00000000000000000001.log"), "{message}");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        match entry.file_type().expect("a type").is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).expect("copied")),
        }
    }
}
