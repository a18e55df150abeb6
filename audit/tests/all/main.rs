//! The auditor against logs that are honest and logs that are not.

mod chain;
mod codes;
mod command;
mod files;
mod headers;
mod honest;

use tempfile::TempDir;
use webwallet_audit::{Audit, Finding, Report, Source};
use webwallet_ledger::Time;
use webwallet_ledger::note::VerifierKey;

use chain::{DOMAIN, Log};

/// An audit with the genesis key, a minute after the log was written.
fn question(log: &Log) -> Audit {
    Audit {
        key: Log::first_key(),
        domain: DOMAIN.into(),
        from: None,
        structure: false,
        max_age_ms: None,
        now: Time::from_unix_ms(log.now_ms + 60_000),
    }
}

/// The log on disk.
fn written(log: &Log) -> TempDir {
    let directory = TempDir::new().expect("a directory");
    log.write(directory.path(), &[]);
    directory
}

fn ask(audit: &Audit, place: &str) -> Report {
    let source = Source::open(place).expect("a place");
    audit.run(&source, &mut |_| {}).expect("readable")
}

fn audited(log: &Log) -> Report {
    let directory = written(log);
    ask(&question(log), directory.path().to_str().expect("a path"))
}

/// Code, block and number of the first finding: what two auditors agree on.
fn first(report: &Report) -> (&'static str, Option<u64>, Option<u64>) {
    match report.findings.first() {
        Some(Finding { code, block, number, .. }) => (code.as_str(), *block, *number),
        None => ("accepted", None, None),
    }
}

fn with_key(audit: &Audit, key: VerifierKey) -> Audit {
    Audit { key, ..audit.clone() }
}
