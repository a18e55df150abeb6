//! No false alarm: whoever calls an honest server a liar once is not listened
//! to the second time.

use tempfile::TempDir;
use webwallet_audit::Audit;
use webwallet_ledger::Time;

use crate::chain::{Log, sample};
use crate::{ask, audited, first, question, with_key, written};

/// A log with everything in it must be accepted, with every key it ever had.
#[test]
fn an_honest_log_is_accepted_with_any_of_its_keys() {
    let log = sample();
    let directory = written(&log);
    let place = directory.path().to_str().expect("a path");
    for key in [Log::first_key(), log.key()] {
        let report = ask(&with_key(&question(&log), key), place);
        assert_eq!(report.findings, [], "no findings");
        assert_eq!(report.records, log.number);
        assert_eq!(report.size, log.leaves.len() as u64);
        assert!(report.head.is_some());
    }
    let structure = Audit { structure: true, ..question(&log) };
    let report = ask(&structure, place);
    assert_eq!((first(&report).0, report.records), ("accepted", log.number));
}

/// A log is read at whatever size it happens to have.
#[test]
fn logs_of_every_small_size_are_accepted() {
    for records in [0, 1, 2, 5, 250, 252, 253, 254, 255, 256, 508, 509, 510] {
        let mut log = Log::new();
        for i in 0..records {
            log.pay("alice", ["bob", "carol"][i % 2], "1", "alice");
        }
        log.seal();
        let report = audited(&log);
        assert_eq!((first(&report).0, report.records), ("accepted", records as u64));
    }
}

/// Partial tiles of earlier checkpoints may still be there; they are checked,
/// and do no harm.
#[test]
fn older_partial_tiles_are_accepted() {
    let log = sample();
    let directory = written(&log);
    let all: Vec<usize> = (1..log.checkpoints.len()).collect();
    log.write(directory.path(), &all);
    let report = ask(&question(&log), directory.path().to_str().expect("a path"));
    assert_eq!(first(&report).0, "accepted");
}

/// While a server goes on, its partial tiles make way for full ones.
#[test]
fn a_full_tile_stands_for_a_partial_one_that_is_gone() {
    let mut log = sample();
    let at = log.checkpoints.len() - 1;
    for _ in 0..600 {
        log.pay("bob", "carol", "0.01", "alice");
    }
    log.seal();
    let directory = TempDir::new().expect("a directory");
    log.write(directory.path(), &[at]);
    std::fs::write(directory.path().join("checkpoint"), &log.checkpoints[at]).expect("written");
    for row in ["entries", "0"] {
        let partial = directory.path().join(format!("tile/{row}/002.p"));
        std::fs::remove_dir_all(partial).expect("it was there");
    }
    let report = ask(&question(&log), directory.path().to_str().expect("a path"));
    assert_eq!(report.findings, []);
    assert!(report.size < log.leaves.len() as u64);
}

/// A saved checkpoint is extended by every later log.
#[test]
fn a_log_extends_each_of_its_checkpoints() {
    let log = sample();
    let directory = written(&log);
    for checkpoint in &log.checkpoints {
        let audit = Audit { from: Some(checkpoint.clone().into_bytes()), ..question(&log) };
        let report = ask(&audit, directory.path().to_str().expect("a path"));
        assert_eq!(report.findings, []);
    }
}

/// A fresh log is not stale, an old one is.
#[test]
fn age_is_judged_only_when_asked_for() {
    let log = sample();
    let directory = written(&log);
    let place = directory.path().to_str().expect("a path");
    let later = Time::from_unix_ms(log.now_ms + 3_600_000);
    let audit = Audit { now: later, max_age_ms: Some(3_600_000), ..question(&log) };
    assert_eq!(first(&ask(&audit, place)).0, "accepted");
    let audit = Audit { max_age_ms: Some(3_599_999), ..audit };
    let blocks = log.checkpoints.len() as u64 - 1;
    assert_eq!(first(&ask(&audit, place)), ("A-STALE", Some(blocks - 1), Some(log.number)));
    // Who shows the beginning, which everybody has, hides all the rest.
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("checkpoint"), &log.checkpoints[0]).expect("written");
    let place = directory.path().to_str().expect("a path");
    let beginning = Audit { key: Log::first_key(), ..question(&log) };
    assert_eq!(first(&ask(&beginning, place)).0, "accepted");
    let audit = Audit { max_age_ms: Some(3_600_000), ..beginning };
    assert_eq!(first(&ask(&audit, place)), ("A-STALE", None, None));
}
