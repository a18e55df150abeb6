//! One lie for each rule, told by somebody who holds the log's key and makes
//! everything else fit: tiles, blocks and checkpoints are right, only the
//! meaning is not. Each must be found, at its place, as the first.

use serde_json::{Value, json};
use webwallet_audit::{Audit, Code, Report};
use webwallet_ledger::draft::add_signature;
use webwallet_ledger::puzzle::{Identity, Puzzle};
use webwallet_ledger::signature::{Scheme, public_of};
use webwallet_ledger::{Draft, Record, Time};

use crate::chain::{Log, canonical, edited, secret};
use crate::{ask, audited, first, question, written};

/// A log with money in it, one record in block 1, block 2 open.
pub fn begun() -> Log {
    let mut log = Log::new();
    log.pay("alice", "bob", "100", "alice");
    log.seal();
    log
}

/// The open block holds this leaf as record 2; then honest ones follow.
pub fn continued(mut log: Log, record: Vec<u8>) -> Report {
    log.record(record);
    log.pay("alice", "carol", "1", "alice");
    log.seal();
    audited(&log)
}

/// The first finding is at record 2, in block 2, and has this code.
pub fn found_in_record(report: &Report, code: &str) {
    assert_eq!(first(report), (code, Some(2), Some(2)), "{:#?}", report.findings);
}

/// The record of bob paying carol, with his IOU changed before he signs it.
pub fn paid(log: &mut Log, change: impl FnOnce(&mut Draft)) -> Vec<u8> {
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
fn puzzle() {
    // Two of three, and one of them is taken away from what was cleared.
    let identity = |name| {
        let public = public_of(&secret(name)).to_vec();
        Identity { scheme: Scheme::EddsaEd25519, public, weight: 1 }
    };
    let puzzle = Puzzle::new(2, &["bob", "carol", "dave"].map(identity)).expect("a puzzle");
    let mut log = begun();
    let mut draft = log.draft("alice", "carol", "10", "alice");
    (draft.source, draft.symbol) = (puzzle.address(), puzzle.address());
    let one = add_signature(&draft.unsigned_with(&[&puzzle]), &secret("bob")).expect("signed");
    let two = add_signature(&one, &secret("dave")).expect("signed");
    let record = log.cleared(std::slice::from_ref(&two)).bytes;
    log.record(record.clone());
    log.seal();
    assert_eq!(first(&audited(&log)).0, "accepted");

    let [one, two] = [one, two].map(|iou| String::from_utf8(iou).expect("UTF-8"));
    let record = String::from_utf8(record).expect("UTF-8");
    let mut log = begun();
    log.draft("alice", "carol", "10", "alice");
    let unsolved = record.replace(&two, &one).into_bytes();
    found_in_record(&continued(log, unsolved), "A-SIG");
    // Another threshold than the address was made from.
    let lower = record.replace("\"threshold\":2", "\"threshold\":1").into_bytes();
    found_in_record(&continued(begun(), lower), "A-HASH");
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
    let changes: [Change; 6] = [
        |outputs| outputs[1]["balance"]["net"] = json!("1000000"),
        |outputs| outputs[0]["balance"]["min"] = json!("-1000000"),
        |outputs| outputs[0]["sources"] = json!([]),
        |outputs| outputs.as_array_mut().expect("a list").reverse(),
        |outputs| {
            outputs.as_array_mut().expect("a list").pop();
        },
        // The same value, which would give the record another name.
        |outputs| outputs[1]["balance"]["net"] = json!("10.0"),
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
