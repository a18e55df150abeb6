//! The auditor against logs that are honest and logs that are not.

mod chain;
mod codes;
mod command;
mod files;
mod headers;
mod honest;

use tempfile::TempDir;
use webwallet_audit::{Audit, Finding, Report};
use webwallet_ledger::note::VerifierKey;

use chain::{Log, ask, question};

/// The log on disk.
fn written(log: &Log) -> TempDir {
    let directory = TempDir::new().expect("a directory");
    log.write(directory.path(), &[]);
    directory
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
