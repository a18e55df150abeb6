//! Lies by somebody who holds the log's key and makes everything else fit:
//! tiles, blocks and checkpoints are right, only the meaning is not. That each
//! is found is for `tests/corruption/`; here is what else is said of them.

use std::rc::Rc;

use serde_json::{Value, json};
use webwallet_audit::{Audit, Code, Report};
use webwallet_ledger::draft::add_signature;
use webwallet_ledger::puzzle::{Identity, Puzzle};
use webwallet_ledger::signature::{Scheme, public_of};
use webwallet_ledger::{Draft, Locker, Pointer, Record, Solver, Time};

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

/// Who takes what is locked for somebody else, or takes it twice, and has it cleared by a host
/// who helps.
#[test]
fn a_lock_used_against_its_terms_is_found() {
    // alice locks 5 for bob in block 1; block 2 is open.
    let begun = || {
        let mut log = Log::new();
        let mut draft = log.draft("alice", "bob", "5", "alice");
        let expiry = Time::from_unix_ms(log.now_ms + 600_000);
        draft.locker = Some(Locker { active: None, expiry, puzzle: None, script: None });
        let record = log.cleared(&[draft.sign(&secret("alice"))]);
        let pointer = record.locked().next().expect("a lock").0;
        log.record(record.bytes);
        log.seal();
        (log, pointer)
    };
    let takes = |log: &mut Log, who: &str, other: &str, output| {
        let mut draft = log.draft(who, other, "0", "alice");
        draft.solver = Some(Solver { output, hashee: None });
        draft.sign(&secret(who))
    };
    let (mut log, pointer) = begun();
    let taken = takes(&mut log, "bob", "alice", pointer);
    let record = log.cleared(&[taken]).bytes;
    assert_eq!(first(&continued(log, record)).0, "accepted");
    // Before its source may, by somebody else, and where there is none.
    for (who, other, index) in [("alice", "bob", 1), ("carol", "bob", 1), ("bob", "alice", 0)] {
        let (mut log, pointer) = begun();
        let output = Pointer { index, ..pointer };
        let taken = takes(&mut log, who, other, output);
        let record = log.forged(&[taken], json!([]));
        found_in_record(&continued(log, record), "A-LOCK");
    }
    // Twice in one record, and again in the next.
    let (mut log, pointer) = begun();
    let twice = [0, 1].map(|_| takes(&mut log, "bob", "alice", pointer));
    let record = log.forged(&twice, json!([]));
    found_in_record(&continued(log, record), "A-DOUBLE");
    let (mut log, pointer) = begun();
    let twice = [0, 1].map(|_| takes(&mut log, "bob", "alice", pointer));
    let record = log.cleared(&twice[..1]).bytes;
    log.record(record);
    let record = log.forged(&twice[1..], json!([]));
    assert_eq!(first(&continued(log, record)), ("A-DOUBLE", Some(2), Some(3)));
}

/// One of three who hold an address together spends alone, and the host lets them.
#[test]
fn a_payment_that_too_few_have_signed_is_found() {
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

/// What clearing would not give is found where it is told; that there is money
/// from nowhere then, at the end of the block; and neither is told again as a
/// false state.
#[test]
fn money_from_nowhere_is_found() {
    let changes: [fn(&mut Value); 2] = [
        |outputs| outputs[1]["balance"]["net"] = json!("1000000"),
        |outputs| drop(outputs.as_array_mut().expect("a list").pop()),
    ];
    for change in changes {
        let mut log = begun();
        let iou = log.draft("bob", "carol", "10", "alice").sign(&secret("bob"));
        let record = edited(&log.cleared(&[iou]).bytes, |data| change(&mut data["outputs"]));
        let report = continued(log, record);
        found_in_record(&report, "A-OUTPUT");
        let [_, sum] = &report.findings[..] else { panic!("{:#?}", report.findings) };
        assert_eq!((sum.code, sum.block, sum.number), (Code::Sum, Some(2), Some(3)));
    }
}

/// Balances and supplies are proved against these two roots.
#[test]
fn a_block_that_signs_another_state_is_found() {
    for (field, edit) in [
        ("data.state", (|h| h.state[31] ^= 1) as fn(&mut webwallet_ledger::block::Header)),
        ("data.units", |h| h.units[0] ^= 1),
    ] {
        let mut log = begun();
        log.pay("bob", "carol", "1", "alice");
        log.edit = Some(Rc::new(edit));
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
    log.edit = Some(Rc::new(|header| header.state[0] ^= 1));
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
