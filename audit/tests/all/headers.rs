//! Lies about the log itself, by somebody who holds its key: what blocks and
//! stacks say of what stands before them, their order, keys, times and heads.

use serde_json::json;
use webwallet_audit::Audit;
use webwallet_ledger::Time;
use webwallet_ledger::block::{Block, Header, Keys};
use webwallet_ledger::checkpoint::Checkpoint;
use webwallet_ledger::merkle::{self, Sha256, TreeHash as _};
use webwallet_ledger::note::{Note, verifier_key};

use crate::chain::{DOMAIN, Log, document, edited, sample, secret};
use crate::codes::{begun, continued, found_in_record, paid};
use crate::{ask, audited, first, question, written};

#[test]
fn header_of_a_block() {
    type Edit = fn(&mut Header);
    let edits: [(&str, Edit); 10] = [
        ("data.height", |h| h.height += 1),
        ("data.previous", |h| h.previous.0[0] ^= 1),
        ("data.first", |h| h.first += 1),
        ("data.leaves", |h| h.leaves += 1),
        ("data.records", |h| h.records += 1),
        ("data.cleared", |h| h.cleared += 1),
        ("data.root", |h| h.root[0] ^= 1),
        ("data.log", |h| h.log[0] ^= 1),
        ("data.domain", |h| h.domain.push('x')),
        ("data.time", |h| h.time = Time::from_unix_ms(h.time.unix_ms() + 1)),
    ];
    for (field, edit) in edits {
        let mut log = begun();
        log.pay("bob", "carol", "1", "alice");
        log.edit = Some(Box::new(edit));
        log.seal();
        let report = audited(&log);
        assert_eq!(first(&report), ("A-HEADER", Some(2), Some(2)), "{field}");
        assert_eq!(report.findings[0].field, field);
    }
    // The line of a key that signed nothing, and the line on another checkpoint.
    let mut log = begun();
    let other = log.checkpoints[0].trim_end().rsplit('\n').next().expect("a line").to_owned();
    log.edit = Some(Box::new(move |header| header.signature = other.clone()));
    log.seal();
    let report = audited(&log);
    assert_eq!((first(&report).0, &*report.findings[0].field), ("A-HEADER", "data.signature"));
    // A header that cannot be read still ends its block.
    let mut log = begun();
    log.leaf(edited(&Block::new(some_header(&log)).bytes, |data| data["first"] = json!("-1")));
    log.seal();
    assert_eq!(first(&audited(&log)), ("A-HEADER", Some(2), Some(1)));
}

fn some_header(log: &Log) -> Header {
    Block::parse(log.leaves.last().expect("a block")).expect("a block").header
}

#[test]
fn order_of_leaves() {
    // A stack behind a record, a second one, keys behind a record, a second
    // genesis: each at its own leaf.
    let mut log = begun();
    log.stack();
    log.seal();
    let stack = log.leaves[log.leaves.len() - 2].clone();
    log.pay("bob", "carol", "1", "alice");
    log.leaf(stack);
    log.seal();
    assert_eq!(first(&audited(&log)), ("A-HEADER", Some(3), Some(2)));

    let mut log = begun();
    log.pay("bob", "carol", "1", "alice");
    log.rotate("log key 2");
    log.seal();
    assert_eq!(first(&audited(&log)), ("A-HEADER", Some(2), Some(2)));

    let mut log = begun();
    log.leaf(log.leaves[0].clone());
    log.seal();
    assert_eq!(first(&audited(&log)), ("A-HEADER", Some(2), Some(1)));

    // Two keys in one block.
    let mut log = begun();
    log.rotate("log key 2");
    log.rotate("log key 3");
    log.seal();
    assert_eq!(first(&audited(&log)), ("A-HEADER", Some(2), Some(1)));

    // A day without its stack.
    let mut log = begun();
    log.now_ms += 86_400_000;
    log.seal();
    assert_eq!(first(&audited(&log)), ("A-HEADER", Some(2), Some(1)));

    // A log that ends in the middle of a block.
    let mut log = begun();
    let record = paid(&mut log, |_| {});
    log.leaves.push(record);
    let size = log.leaves.len() as u64;
    let hashes: Vec<_> = log.leaves.iter().map(|leaf| Sha256::leaf(leaf)).collect();
    let root = merkle::root::<Sha256>(&hashes);
    log.checkpoints
        .push(Checkpoint { origin: DOMAIN.into(), size, root }.sign(&secret("log key 1")));
    let report = audited(&log);
    assert_eq!(first(&report), ("A-HEADER", Some(2), Some(2)));
}

#[test]
fn stack_that_holds_something_else() {
    for (field, value) in [
        ("height", json!("1")),
        ("first", json!("1")),
        ("blocks", json!("1")),
        ("root", json!("00".repeat(32))),
        ("previous", json!("00".repeat(32))),
        ("time", json!("2025-01-15T12:00:00.001Z")),
    ] {
        let mut log = begun();
        log.stack();
        log.seal();
        let stack = log.leaves[log.leaves.len() - 2].clone();
        let mut log = begun();
        log.leaf(edited(&stack, |data| data[field] = value));
        log.seal();
        let report = audited(&log);
        assert_eq!(first(&report), ("A-HEADER", Some(2), Some(1)), "{field}");
        assert_eq!(report.findings[0].field, format!("data.{field}"));
    }
}

#[test]
fn gap() {
    for number in ["1", "3", "0"] {
        let mut log = begun();
        let iou = log.draft("bob", "carol", "10", "alice").sign(&secret("bob"));
        let record = edited(&log.cleared(&[iou]).bytes, |data| data["number"] = json!(number));
        found_in_record(&continued(log, record), "A-GAP");
    }
}

#[test]
fn keys() {
    // Signed by somebody who is not the old key.
    let mut log = begun();
    let time = log.time();
    let keys = Keys::new(DOMAIN, time, &secret("thief"), &secret("log key 2"));
    log.rotate_by(keys.bytes, "log key 2");
    log.seal();
    assert_eq!(first(&audited(&log)), ("A-KEYS", Some(2), Some(1)));
    // A signature that is not over this document.
    let mut log = begun();
    let good = Keys::new(DOMAIN, time, &secret("log key 1"), &secret("log key 2"));
    let later = "2025-01-15T12:00:00.001Z";
    log.rotate_by(edited(&good.bytes, |data| data["time"] = json!(later)), "log key 2");
    log.seal();
    assert_eq!(first(&audited(&log)), ("A-KEYS", Some(2), Some(1)));
    // Handed over to itself.
    let mut log = begun();
    log.rotate("log key 1");
    log.seal();
    assert_eq!(first(&audited(&log)), ("A-KEYS", Some(2), Some(1)));
}

#[test]
fn time() {
    let mut log = begun();
    let iou = log.draft("bob", "carol", "10", "alice").sign(&secret("bob"));
    log.now_ms -= 1;
    let record = log.cleared(&[iou]).bytes;
    log.now_ms += 1;
    found_in_record(&continued(log, record), "A-TIME");
    // A block without records, before the one before it.
    let mut log = begun();
    log.now_ms -= 1;
    log.seal();
    assert_eq!(first(&audited(&log)), ("A-TIME", Some(2), Some(1)));
    // Five minutes ahead is a slow clock; a millisecond more is not.
    let log = sample();
    let directory = written(&log);
    let place = directory.path().to_str().expect("a path");
    let now = |ms| Audit { now: Time::from_unix_ms(log.now_ms + ms), ..question(&log) };
    assert_eq!(first(&ask(&now(-300_000), place)).0, "accepted");
    assert_eq!(first(&ask(&now(-300_001), place)).0, "A-TIME");
}

#[test]
fn note() {
    let log = sample();
    let directory = written(&log);
    let place = directory.path().to_str().expect("a path").to_owned();
    let thief = verifier_key(DOMAIN, &secret("thief"));
    let audit = Audit { key: thief, ..question(&log) };
    assert_eq!(first(&ask(&audit, &place)), ("A-NOTE", None, None), "a key it never had");
    let audit = Audit { domain: "elsewhere.example".into(), ..question(&log) };
    assert_eq!(first(&ask(&audit, &place)).0, "A-NOTE", "another log");
    // Signed by a key that gave way long ago, or by nobody, or no note at all.
    let last = log.checkpoints.last().expect("one");
    let note = Note::parse(last.as_bytes()).expect("a note");
    let old = Checkpoint::parse(&note.text).expect("a checkpoint").sign(&secret("log key 1"));
    let flipped = last.replace("== ", "=A ").replacen("\n\n", "\n\n\n", 1);
    for bad in [old.as_bytes(), flipped.as_bytes(), b"", b"\xff\n"] {
        std::fs::write(directory.path().join("checkpoint"), bad).expect("written");
        assert_eq!(first(&ask(&question(&log), &place)), ("A-NOTE", None, None));
    }
}

#[test]
fn rewrite() {
    let log = sample();
    let directory = written(&log);
    let place = directory.path().to_str().expect("a path");
    let mut other = Log::new();
    other.pay("alice", "mallory", "1000", "alice");
    other.seal();
    let from = |note: &String| Audit { from: Some(note.clone().into_bytes()), ..question(&log) };
    let seen = other.checkpoints.last().expect("one");
    assert_eq!(first(&ask(&from(seen), place)), ("A-REWRITE", None, None), "another history");
    // A log that was longer.
    let mut longer = sample();
    longer.seal();
    let seen = longer.checkpoints.last().expect("one");
    assert_eq!(first(&ask(&from(seen), place)), ("A-REWRITE", None, None), "cut off");
    // A checkpoint seen before that nobody signed proves nothing.
    let forged =
        Checkpoint { origin: DOMAIN.into(), size: 2, root: [0; 32] }.sign(&secret("thief"));
    assert_eq!(first(&ask(&from(&forged), place)), ("A-NOTE", None, None));
}

/// Structure alone says nothing of what records mean, and everything of the rest.
#[test]
fn structure_alone_finds_what_is_structure() {
    let mut log = begun();
    let record = paid(&mut log, |draft| draft.amount = "101".into());
    log.record(record);
    log.seal();
    let structure = |log: &Log| {
        let directory = written(log);
        let audit = Audit { structure: true, ..question(log) };
        first(&ask(&audit, directory.path().to_str().expect("a path"))).0
    };
    assert_eq!(structure(&log), "accepted");
    let mut log = begun();
    let record = paid(&mut log, |_| {});
    log.record(edited(&record, |data| data["number"] = json!("7")));
    log.seal();
    assert_eq!(structure(&log), "A-GAP");
    let mut log = begun();
    log.record(document(json!({"kind": "record", "number": "2"}), json!({})));
    log.seal();
    assert_eq!(structure(&log), "A-ENCODING");
}
