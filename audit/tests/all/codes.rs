//! One lie for each rule, told by somebody who holds the log's key and makes
//! everything else fit: tiles, blocks and checkpoints are right, only the
//! meaning is not. Each must be found, at its place, as the first.

use serde_json::{Value, json};
use webwallet_audit::{Audit, Code, Report};
use webwallet_ledger::block::{Block, Keys};
use webwallet_ledger::checkpoint::Checkpoint;
use webwallet_ledger::{Draft, Record, Time};

use crate::chain::{DOMAIN, Log, canonical, document, edited, sample, secret};
use crate::{ask, audited, first, question, written};

/// A log with money in it, one record in block 1, block 2 open.
fn begun() -> Log {
    let mut log = Log::new();
    log.pay("alice", "bob", "100", "alice");
    log.seal();
    log
}

/// The open block holds this leaf as record 2; then honest ones follow.
fn continued(mut log: Log, record: Vec<u8>) -> Report {
    log.record(record);
    log.pay("alice", "carol", "1", "alice");
    log.seal();
    audited(&log)
}

/// The first finding is at record 2, in block 2, and has this code.
fn found_in_record(report: &Report, code: &str) {
    assert_eq!(first(report), (code, Some(2), Some(2)), "{:#?}", report.findings);
}

/// The record of bob paying carol, with his IOU changed before he signs it.
fn paid(log: &mut Log, change: impl FnOnce(&mut Draft)) -> Vec<u8> {
    let mut draft = log.draft("bob", "carol", "10", "alice");
    change(&mut draft);
    log.forged(&[draft.sign(&secret("bob"))], json!([]))
}

#[test]
fn encoding() {
    let spaced = |bytes: &[u8]| [&bytes[..1], b" ", &bytes[1..]].concat();
    let cases: [fn(&Value) -> Vec<u8>; 5] = [
        // Another kind, a key too many, a number, a float where a text belongs.
        |record| edited(&canonical(record), |data| data["kind"] = json!("transaction")),
        |record| edited(&canonical(record), |data| data["memo"] = json!("")),
        |record| edited(&canonical(record), |data| data["number"] = json!("02")),
        |record| edited(&canonical(record), |data| data["number"] = json!(2.5)),
        |_| Vec::new(),
    ];
    for case in cases {
        let mut log = begun();
        let iou = log.draft("bob", "carol", "10", "alice").sign(&secret("bob"));
        let record = log.cleared(&[iou]).bytes;
        let broken = case(&serde_json::from_slice(&record).expect("JSON"));
        found_in_record(&continued(log, broken), "A-ENCODING");
    }
    let mut log = begun();
    let iou = log.draft("bob", "carol", "10", "alice").sign(&secret("bob"));
    let record = log.cleared(&[iou]).bytes;
    found_in_record(&continued(log, spaced(&record)), "A-ENCODING");
    // Longer than a leaf may be.
    let mut log = begun();
    let iou = log.draft("bob", "carol", "10", "alice").sign(&secret("bob"));
    let long =
        edited(&log.cleared(&[iou]).bytes, |data| data["domain"] = json!("x".repeat(61_000)));
    found_in_record(&continued(log, long), "A-ENCODING");
}

#[test]
fn hash() {
    // A document that says another amount than its name.
    let mut log = begun();
    let iou = log.draft("bob", "carol", "10", "alice").sign(&secret("bob"));
    let mut record: Value = serde_json::from_slice(&log.cleared(&[iou]).bytes).expect("JSON");
    record["data"]["outputs"][1]["balance"]["net"] = json!("11");
    found_in_record(&continued(log, canonical(&record)), "A-HASH");
    // An IOU that does.
    let mut log = begun();
    let iou = log.draft("bob", "carol", "10", "alice").sign(&secret("bob"));
    let mut record: Value = serde_json::from_slice(&log.cleared(&[iou]).bytes).expect("JSON");
    record["meta"]["inputs"][0]["data"]["amount"] = json!("11");
    found_in_record(&continued(log, canonical(&record)), "A-HASH");
    // A record that names another IOU than it holds.
    let mut log = begun();
    let ious = ["10", "11"].map(|a| log.draft("bob", "carol", a, "alice").sign(&secret("bob")));
    let other: Value = serde_json::from_slice(&ious[1]).expect("JSON");
    let record = edited(&log.cleared(&ious[..1]).bytes, |data| {
        data["inputs"][0]["hash"] = other["hash"]["value"].clone();
    });
    found_in_record(&continued(log, record), "A-HASH");
    // A hash function outside the list.
    let mut log = begun();
    let iou = log.draft("bob", "carol", "10", "alice").sign(&secret("bob"));
    let mut record: Value = serde_json::from_slice(&log.cleared(&[iou]).bytes).expect("JSON");
    record["hash"]["types"] = json!("sha256");
    found_in_record(&continued(log, canonical(&record)), "A-HASH");
}

#[test]
fn header_of_a_block() {
    type Edit = fn(&mut webwallet_ledger::block::Header);
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

fn some_header(log: &Log) -> webwallet_ledger::block::Header {
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
    let hashes: Vec<_> = log.leaves.iter().map(|l| leaf(l)).collect();
    let root = webwallet_ledger::merkle::root::<webwallet_ledger::merkle::Sha256>(&hashes);
    log.checkpoints
        .push(Checkpoint { origin: DOMAIN.into(), size, root }.sign(&secret("log key 1")));
    let report = audited(&log);
    assert_eq!(first(&report), ("A-HEADER", Some(2), Some(2)));
}

fn leaf(bytes: &[u8]) -> webwallet_ledger::merkle::Node {
    use webwallet_ledger::merkle::TreeHash;
    webwallet_ledger::merkle::Sha256::leaf(bytes)
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
fn domain() {
    let mut log = begun();
    let record = paid(&mut log, |draft| draft.domain = "elsewhere.example".into());
    found_in_record(&continued(log, record), "A-DOMAIN");
    let mut log = begun();
    let record = paid(&mut log, |_| {});
    let record = edited(&record, |data| data["domain"] = json!("elsewhere.example"));
    found_in_record(&continued(log, record), "A-DOMAIN");
}

#[test]
fn signature() {
    // By somebody else, over something else, with an address mistyped.
    let mut log = begun();
    let thief = log.draft("bob", "carol", "10", "alice").sign(&secret("thief"));
    let record = log.forged(&[thief], json!([]));
    found_in_record(&continued(log, record), "A-SIG");

    let mut log = begun();
    let ious = ["10", "11"].map(|a| log.draft("bob", "carol", a, "alice").sign(&secret("bob")));
    let [mut iou, other] = ious.map(|iou| serde_json::from_slice::<Value>(&iou).expect("JSON"));
    iou["meta"] = other["meta"].clone();
    let record = log.forged(&[canonical(&iou)], json!([]));
    found_in_record(&continued(log, record), "A-SIG");

    let mut log = begun();
    let iou = log.draft("bob", "carol", "10", "alice").sign(&secret("bob"));
    let iou = edited(&iou, |data| {
        data["target"] = json!(data["target"].as_str().expect("text").replace(['2', '3'], "4"));
    });
    let record = log.forged(&[iou], json!([]));
    found_in_record(&continued(log, record), "A-SIG");
}

#[test]
fn double() {
    let mut log = begun();
    let iou = log.draft("alice", "carol", "10", "alice").sign(&secret("alice"));
    log.clear(std::slice::from_ref(&iou));
    let record = log.cleared(&[iou]).bytes;
    log.record(record);
    log.seal();
    assert_eq!(first(&audited(&log)), ("A-DOUBLE", Some(2), Some(3)));
}

#[test]
fn expiry() {
    let now = crate::chain::START_MS;
    let cases: [(&str, i64, Option<i64>); 3] = [
        ("expired", now - 1, None),
        ("not yet active", now + 1_000, Some(now + 1)),
        ("too far", now + 3_660 * 86_400_000 + 1, None),
    ];
    for (name, expiry, active) in cases {
        let mut log = begun();
        let record = paid(&mut log, |draft| {
            draft.expiry = Time::from_unix_ms(expiry);
            draft.active = active.map(Time::from_unix_ms);
        });
        let report = continued(log, record);
        assert_eq!(first(&report), ("A-EXPIRY", Some(2), Some(2)), "{name}");
    }
}

#[test]
fn grant() {
    let mut log = begun();
    let record = paid(&mut log, |draft| draft.credit = Some("-5".into()));
    found_in_record(&continued(log, record), "A-GRANT");
    let mut log = begun();
    let mut withdrawn = log.draft("alice", "bob", "0", "alice");
    withdrawn.credit = Some("5".into());
    let record = log.forged(&[withdrawn.sign(&secret("alice"))], json!([]));
    found_in_record(&continued(log, record), "A-GRANT");
}

#[test]
fn limit() {
    let mut log = begun();
    let record = paid(&mut log, |draft| draft.amount = "100.01".into());
    found_in_record(&continued(log, record), "A-LIMIT");
}

#[test]
fn output_and_sum() {
    type Change = fn(&mut Value);
    let changes: [Change; 5] = [
        |outputs| outputs[1]["balance"]["net"] = json!("1000000"),
        |outputs| outputs[0]["balance"]["min"] = json!("-1000000"),
        |outputs| outputs[0]["sources"] = json!([]),
        |outputs| outputs.as_array_mut().expect("a list").reverse(),
        |outputs| {
            outputs.as_array_mut().expect("a list").pop();
        },
    ];
    for (i, change) in changes.into_iter().enumerate() {
        let mut log = begun();
        let iou = log.draft("bob", "carol", "10", "alice").sign(&secret("bob"));
        let record = edited(&log.cleared(&[iou]).bytes, |data| change(&mut data["outputs"]));
        let report = continued(log, record);
        found_in_record(&report, "A-OUTPUT");
        let sums = report.findings.iter().any(|finding| finding.code == Code::Sum);
        assert_eq!(sums, i == 0 || i == 4, "money from nowhere: {:#?}", report.findings);
        assert!(!report.findings.iter().any(|finding| finding.code == Code::State));
    }
}

#[test]
fn state() {
    for (field, edit) in [
        ("data.state", (|h| h.state[31] ^= 1) as fn(&mut webwallet_ledger::block::Header)),
        ("data.units", |h| h.units[0] ^= 1),
    ] {
        let mut log = begun();
        log.pay("bob", "carol", "1", "alice");
        log.edit = Some(Box::new(edit));
        log.seal();
        log.seal();
        let report = audited(&log);
        assert_eq!(first(&report), ("A-STATE", Some(2), Some(2)));
        assert_eq!((report.findings.len(), &*report.findings[0].field), (1, field));
    }
}

#[test]
fn note() {
    let log = sample();
    let directory = written(&log);
    let place = directory.path().to_str().expect("a path").to_owned();
    let thief = webwallet_ledger::note::verifier_key(DOMAIN, &secret("thief"));
    let audit = Audit { key: thief, ..question(&log) };
    assert_eq!(first(&ask(&audit, &place)), ("A-NOTE", None, None), "a key it never had");
    let audit = Audit { domain: "elsewhere.example".into(), ..question(&log) };
    assert_eq!(first(&ask(&audit, &place)).0, "A-NOTE", "another log");
    // Signed by a key that gave way long ago, or by nobody, or no note at all.
    let last = log.checkpoints.last().expect("one");
    let note = webwallet_ledger::note::Note::parse(last.as_bytes()).expect("a note");
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

/// Signatures before a checkpoint are believed, everything else is not.
#[test]
fn from_a_checkpoint_on_all_is_checked_and_before_it_all_but_signatures() {
    let mut log = begun();
    let thief = log.draft("bob", "carol", "10", "alice");
    let good = log.cleared(&[thief.sign(&secret("bob"))]).bytes;
    let mut record: Value = serde_json::from_slice(&good).expect("JSON");
    let string = &mut record["meta"]["inputs"][0]["meta"]["signatures"][0]["string"];
    *string = json!("00".repeat(64));
    log.record(canonical(&record));
    log.seal();
    assert_eq!(first(&audited(&log)).0, "A-SIG");
    let directory = written(&log);
    let place = directory.path().to_str().expect("a path");
    let from =
        |i: usize| Audit { from: Some(log.checkpoints[i].clone().into_bytes()), ..question(&log) };
    assert_eq!(first(&ask(&from(2), place)).0, "A-SIG", "the record comes after it");
    assert_eq!(first(&ask(&from(3), place)).0, "accepted", "the record comes before it");
    // A false state before it is found all the same.
    let mut log = begun();
    log.edit = Some(Box::new(|header| header.state[0] ^= 1));
    log.seal();
    log.seal();
    let directory = written(&log);
    let place = directory.path().to_str().expect("a path");
    let from = log.checkpoints.last().expect("one").clone().into_bytes();
    let audit = Audit { from: Some(from), ..question(&log) };
    assert_eq!(first(&ask(&audit, place)), ("A-STATE", Some(2), Some(1)));
}

/// One lie early on must not hide another later.
#[test]
fn the_audit_goes_on_after_a_finding() {
    let mut log = begun();
    let record = paid(&mut log, |draft| draft.amount = "101".into());
    log.record(record);
    log.seal();
    let iou = log.draft("alice", "carol", "1", "alice").sign(&secret("alice"));
    let record = log.cleared(&[iou]);
    log.record(edited(&record.bytes, |data| data["outputs"][1]["balance"]["net"] = json!("2")));
    log.seal();
    let report = audited(&log);
    let codes: Vec<&str> = report.findings.iter().map(|finding| finding.code.as_str()).collect();
    assert_eq!(codes, ["A-LIMIT", "A-OUTPUT", "A-SUM"]);
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

/// What is forged here would be a record if it were true.
#[test]
fn a_forged_record_of_the_truth_is_the_record() {
    let mut log = begun();
    let iou = log.draft("bob", "carol", "10", "alice").sign(&secret("bob"));
    let record = log.cleared(std::slice::from_ref(&iou));
    let outputs: Value = serde_json::from_slice(&record.bytes).expect("JSON");
    let forged = log.forged(&[iou], outputs["data"]["outputs"].clone());
    assert_eq!(Record::parse(&forged).expect("a record"), record);
}
