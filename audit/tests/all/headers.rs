//! Lies about the log itself, by somebody who holds its key: what blocks and
//! stacks say of what stands before them, their order, keys, times and heads.

use std::rc::Rc;

use serde_json::{Value, json};
use webwallet_audit::Audit;
use webwallet_ledger::Time;
use webwallet_ledger::block::{Block, Header};
use webwallet_ledger::checkpoint::Checkpoint;
use webwallet_ledger::merkle::{self, Sha256, TreeHash as _};
use webwallet_ledger::note::{Note, verifier_key};

use crate::chain::{DOMAIN, Log, canonical, document, edited, sample, secret};
use crate::codes::{begun, paid};
use crate::{ask, audited, first, question, with_key, written};

/// Each field of a block is what somebody relies on who has not the whole log.
#[test]
fn whatever_a_block_says_that_is_not_so_is_found() {
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

/// A log of these leaves, whatever they are, whose head this key signs.
fn of_leaves(leaves: Vec<Vec<u8>>, signer: &str) -> Log {
    let mut log = Log::new();
    log.leaves = leaves;
    log.checkpoints = vec![head(&log, signer)];
    log
}

fn head(log: &Log, signer: &str) -> String {
    let hashes: Vec<_> = log.leaves.iter().map(|leaf| Sha256::leaf(leaf)).collect();
    let (size, root) = (hashes.len() as u64, merkle::root::<Sha256>(&hashes));
    Checkpoint { origin: DOMAIN.into(), size, root }.sign(&secret(signer))
}

/// The same document under a name that is not its own.
fn misnamed(bytes: &[u8]) -> Vec<u8> {
    let mut value: Value = serde_json::from_slice(bytes).expect("JSON");
    value["hash"]["value"] = json!("0".repeat(64));
    canonical(&value)
}

/// What one auditor takes for the log's key, all must: or a server could show
/// each of them another log. The Python auditor says the same:
/// `test_only_good_documents_hand_on_a_key`.
#[test]
fn only_good_documents_hand_on_a_key() {
    let asked = |log: &Log, key: &str| {
        let directory = written(log);
        let audit = with_key(&question(log), verifier_key(DOMAIN, &secret(key)));
        first(&ask(&audit, directory.path().to_str().expect("a path")))
    };
    let leaves = begun().leaves;
    // A genesis that does not bear its name by right.
    let named = |genesis: Vec<u8>| [&[genesis], &leaves[1..]].concat();
    assert_eq!(asked(&of_leaves(named(leaves[0].clone()), "stranger"), "stranger").0, "A-NOTE");
    let bad = of_leaves(named(misnamed(&leaves[0])), "stranger");
    assert_eq!(asked(&bad, "stranger"), ("A-HASH", Some(0), Some(0)));
    // A change of keys that does not.
    let mut log = begun();
    log.rotate("log key 2");
    log.seal();
    let at = log.leaves.len() - 2;
    log.leaves[at] = misnamed(&log.leaves[at]);
    for (signer, found) in
        [("log key 2", ("A-NOTE", None, None)), ("log key 1", ("A-HASH", Some(2), Some(1)))]
    {
        assert_eq!(asked(&of_leaves(log.leaves.clone(), signer), "log key 1"), found, "{signer}");
    }
    // A genesis behind another leaf: a record, and one that nobody can read.
    for (leaf, found) in [
        (leaves[2].clone(), ("A-HEADER", Some(0), Some(1))),
        (b"{}".to_vec(), ("A-ENCODING", Some(0), Some(1))),
    ] {
        let log = of_leaves([&[leaf], &leaves[..]].concat(), "stranger");
        assert_eq!(asked(&log, "stranger"), found);
    }
}

/// Before there is a log, the key of its genesis signs that it is empty; where
/// there is no good one, the key that the caller knows. The Python auditor says
/// the same: `test_who_signs_the_empty_log`.
#[test]
fn the_key_of_the_genesis_signs_the_empty_log() {
    let mut log = Log::new();
    log.rotate("log key 2");
    log.seal();
    let empty = |signer: &str| {
        let checkpoint = Checkpoint { origin: DOMAIN.into(), size: 0, root: Sha256::empty() };
        Some(checkpoint.sign(&secret(signer)).into_bytes())
    };
    let asked = |log: &Log, key: &str, signer: &str| {
        let directory = written(log);
        let audit = with_key(&question(log), verifier_key(DOMAIN, &secret(key)));
        let audit = Audit { from: empty(signer), ..audit };
        first(&ask(&audit, directory.path().to_str().expect("a path")))
    };
    assert_eq!(asked(&log, "log key 2", "log key 1").0, "accepted");
    assert_eq!(asked(&log, "log key 2", "log key 2"), ("A-NOTE", None, None));
    // The genesis has another's place, or is no good one.
    let mut swapped = log.leaves.clone();
    swapped.swap(0, 2);
    let mut broken = log.leaves.clone();
    broken[0] = edited(&broken[0], |data| data["rules"] = json!("2"));
    for leaves in [swapped, broken] {
        let log = of_leaves(leaves, "log key 2");
        for key in ["log key 1", "log key 2"] {
            assert_eq!(asked(&log, key, key).0, "A-HEADER", "{key}");
            let other = if key == "log key 1" { "log key 2" } else { "log key 1" };
            assert_eq!(asked(&log, key, other), ("A-NOTE", None, None), "{key}");
        }
    }
}

fn some_header(log: &Log) -> Header {
    Block::parse(log.leaves.last().expect("a block")).expect("a block").header
}

/// Whoever keeps a log's days by its stacks would hold what the host made up, and not its blocks.
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

/// A host who dates its log ahead could have what expires refused.
#[test]
fn a_log_from_the_future_is_found_and_a_slow_clock_forgiven() {
    // Five minutes ahead is a slow clock; a millisecond more is not.
    let log = sample();
    let directory = written(&log);
    let place = directory.path().to_str().expect("a path");
    let now = |ms| Audit { now: Time::from_unix_ms(log.now_ms + ms), ..question(&log) };
    assert_eq!(first(&ask(&now(-300_000), place)).0, "accepted");
    assert_eq!(first(&ask(&now(-300_001), place)).0, "A-TIME");
}

/// Whoever takes the checkpoint of a thief for the log audits what the thief likes.
#[test]
fn a_checkpoint_that_the_log_has_not_signed_is_found() {
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

/// Whoever has seen a log notices that it was cut or exchanged since.
#[test]
fn a_history_that_was_rewritten_is_found() {
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
    // What is no checkpoint at all hides nothing of the log.
    let report = ask(&Audit { from: Some(b"nothing".to_vec()), ..question(&log) }, place);
    assert_eq!((first(&report), &report.findings[0].field[..]), (("A-NOTE", None, None), "from"));
    assert_eq!((report.findings.len(), report.unread), (1, 0));
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

/// What a record is, its own `data` says and nothing inside it: or records
/// could be numbered twice, and leaves of no kind pass. The Python auditor says
/// the same: `test_structure_reads_the_data_of_records_themselves`.
#[test]
fn structure_reads_the_data_of_records_themselves() {
    let posing = json!([{"a": [], "kind": "record", "number": "2"}]);
    let bad = json!("2025-01-15T12:00:00Z");
    type Change<'c> = &'c dyn Fn(&mut Value);
    let rows: [(&str, Change, &str); 12] = [
        ("as it is", &|_| {}, "accepted"),
        ("a number further in", &|data| data["inputs"] = posing.clone(), "accepted"),
        (
            "and another of its own",
            &|data| (data["inputs"], data["number"]) = (posing.clone(), json!("99")),
            "A-GAP",
        ),
        (
            "a kind further in",
            &|data| (data["inputs"], data["kind"]) = (posing.clone(), json!("poem")),
            "A-ENCODING",
        ),
        (
            "and a known one of its own",
            &|data| (data["inputs"], data["kind"]) = (posing.clone(), json!("stack")),
            "A-HEADER",
        ),
        ("a key before", &|data| data["about"] = json!("x"), "accepted"),
        ("a key between", &|data| data["label"] = json!("x"), "accepted"),
        ("a key behind", &|data| data["zebra"] = json!("x"), "accepted"),
        ("inputs of no kind", &|data| data["inputs"] = json!("x"), "accepted"),
        ("no outputs", &|data| drop(data.as_object_mut().map(|d| d.remove("outputs"))), "accepted"),
        ("a number with a zero", &|data| data["number"] = json!("02"), "A-ENCODING"),
        ("a time of another form", &|data| data["time"] = bad.clone(), "A-ENCODING"),
    ];
    let structure = |leaf: Vec<u8>| {
        let mut log = begun();
        // The block says what an honest one would.
        (log.number, log.open_records) = (2, 1);
        log.leaf(leaf);
        log.seal();
        let directory = written(&log);
        let audit = Audit { structure: true, ..question(&log) };
        first(&ask(&audit, directory.path().to_str().expect("a path"))).0
    };
    let record = paid(&mut begun(), |_| {});
    for (what, change, found) in rows {
        let leaf = edited(&record, |data| change(data));
        assert_eq!(structure(leaf.clone()), found, "{what}");
        let misnamed = misnamed(&leaf);
        let found = if found == "A-ENCODING" { found } else { "A-HASH" };
        assert_eq!(structure(misnamed), found, "{what}, misnamed");
    }
    for meta in [json!([]), json!("x")] {
        let mut value: Value = serde_json::from_slice(&record).expect("JSON");
        value["meta"] = meta;
        assert_eq!(structure(canonical(&value)), "A-ENCODING");
    }
}
