//! Lies about the log itself, by somebody who holds its key: what blocks and
//! stacks say of what stands before them, their order, keys, times and heads.

use std::rc::Rc;

use serde_json::json;
use webwallet_audit::Audit;
use webwallet_ledger::Time;
use webwallet_ledger::block::{Block, Header};
use webwallet_ledger::checkpoint::Checkpoint;
use webwallet_ledger::note::{Note, verifier_key};

use crate::chain::{DOMAIN, Log, document, edited, sample, secret};
use crate::codes::{begun, paid};
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
        log.edit = Some(Rc::new(edit));
        log.seal();
        let report = audited(&log);
        assert_eq!(first(&report), ("A-HEADER", Some(2), Some(2)), "{field}");
        assert_eq!(report.findings[0].field, field);
    }
    // The line of a key that signed nothing, and the line on another checkpoint.
    let mut log = begun();
    let other = log.checkpoints[0].trim_end().rsplit('\n').next().expect("a line").to_owned();
    log.edit = Some(Rc::new(move |header| header.signature = other.clone()));
    log.seal();
    let report = audited(&log);
    assert_eq!((first(&report).0, &*report.findings[0].field), ("A-HEADER", "data.signature"));
    // A header that cannot be read still ends its block.
    let mut log = begun();
    log.leaf(edited(&Block::new(some_header(&log)).bytes, |data| data["first"] = json!("-1")));
    log.seal();
    assert_eq!(first(&audited(&log)), ("A-HEADER", Some(2), Some(1)));
}

/// The Python auditor says the same: `test_in_genesis_and_block_0`.
#[test]
fn genesis_with_a_key_of_another_log() {
    let mut log = Log::beginning_with(verifier_key("other.example", &secret("log key 1")));
    log.seal();
    let report = audited(&log);
    assert_eq!(first(&report), ("A-HEADER", Some(0), Some(0)));
    let fields: Vec<&str> = report.findings.iter().map(|finding| &*finding.field).collect();
    assert_eq!(fields, ["data.key"], "whoever signed is the caller's key all the same");
}

fn some_header(log: &Log) -> Header {
    Block::parse(log.leaves.last().expect("a block")).expect("a block").header
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
fn time() {
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
    // Nor does one of the right root by a key that had given way by then.
    let last = log.checkpoints.last().expect("one");
    assert_eq!(first(&ask(&from(last), place)).0, "accepted");
    let note = Note::parse(last.as_bytes()).expect("a note");
    let old = Checkpoint::parse(&note.text).expect("a checkpoint").sign(&secret("log key 1"));
    assert_eq!(first(&ask(&from(&old), place)), ("A-NOTE", None, None));
    // Every log was empty once, by the key of its genesis.
    assert_eq!(first(&ask(&from(&log.checkpoints[0]), place)).0, "accepted");
    let note = Note::parse(log.checkpoints[0].as_bytes()).expect("a note");
    let later = Checkpoint::parse(&note.text).expect("a checkpoint").sign(&secret("log key 2"));
    assert_eq!(first(&ask(&from(&later), place)), ("A-NOTE", None, None));
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
    // Also where its name covers nothing: no JSON at all, or more than a leaf may have.
    for meta in
        ["{ ".to_owned(), "{true".to_owned(), format!("{{\"x\":\"{}\",", "x".repeat(61_440))]
    {
        let mut log = begun();
        let record = String::from_utf8(paid(&mut log, |_| {})).expect("UTF-8");
        log.record(record.replacen("\"meta\":{", &format!("\"meta\":{meta}"), 1).into_bytes());
        log.seal();
        assert_eq!(structure(&log), "A-ENCODING", "{}", &meta[..2]);
    }
}
