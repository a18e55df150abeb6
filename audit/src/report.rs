//! What is printed: text for people, JSON for programs, and a line that moves
//! while a terminal waits.

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::json;
use webwallet_audit::vectors::Verdict;
use webwallet_audit::{Finding, Progress, Report};
use webwallet_ledger::receipt::{ReceiptError, Verified};

/// Between two states of the moving line.
const TICK: Duration = Duration::from_millis(200);

fn line(value: &impl Serialize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, value)?;
    writeln!(out)
}

fn verdict(accepted: bool) -> &'static str {
    if accepted { "accepted" } else { "rejected" }
}

/// The findings of an audit and its result.
pub fn audit(report: &Report, structure: bool, json: bool) -> io::Result<()> {
    let accepted = report.is_accepted();
    let head = report.head.map(|head| head.to_string()).unwrap_or_default();
    let Report { findings, size, blocks, records, .. } = report;
    if report.unlisted > 0 {
        eprintln!("webwallet-audit: {} more findings are not listed", report.unlisted);
    }
    if json {
        findings.iter().try_for_each(line)?;
        return line(&json!({
            "result": verdict(accepted),
            "size": size.to_string(),
            "blocks": blocks.to_string(),
            "records": records.to_string(),
            "head": head,
        }));
    }
    let mut out = io::stdout().lock();
    for finding in findings {
        writeln!(out, "{finding}")?;
    }
    let extent = if structure { " (structure only)" } else { "" };
    writeln!(
        out,
        "{}{extent}: {size} leaves, {blocks} blocks, {records} records",
        verdict(accepted)
    )?;
    match findings.first() {
        None => writeln!(out, "head {head}"),
        Some(first) => {
            writeln!(out, "{} findings; the first breaks: {}", findings.len(), first.code.rule())
        }
    }
}

/// What a receipt proves, or why nothing.
pub fn receipt(verified: &Result<(Verified, u64), ReceiptError>, json: bool) -> io::Result<()> {
    match (verified, json) {
        (Ok((verified, index)), true) => line(&json!({
            "result": verdict(true),
            "number": verified.record.number.to_string(),
            "hash": verified.record.hash.to_string(),
            "time": verified.record.time.to_string(),
            "index": index.to_string(),
            "size": verified.checkpoint.size.to_string(),
            "origin": verified.checkpoint.origin,
        })),
        (Err(error), true) => line(&json!({"result": verdict(false), "detail": error.to_string()})),
        (Ok((verified, index)), false) => {
            let (record, checkpoint) = (&verified.record, &verified.checkpoint);
            let (origin, size) = (&checkpoint.origin, checkpoint.size);
            println!("accepted: record {} {} of {}", record.number, record.hash, record.time);
            println!("is leaf {index} of the log {origin}, whose key signed the size {size}");
            Ok(())
        }
        (Err(error), false) => {
            println!("rejected: {error}");
            Ok(())
        }
    }
}

/// Whether one checkpoint extends another.
pub fn consistency(finding: Option<&Finding>, json: bool) -> io::Result<()> {
    if json {
        finding.map_or(Ok(()), line)?;
        return line(&json!({"result": verdict(finding.is_none())}));
    }
    match finding {
        None => println!("accepted: the newer checkpoint extends the older one"),
        Some(finding) => println!("{finding}\nrejected"),
    }
    Ok(())
}

/// Which test vectors come out as they should.
pub fn vectors(verdicts: &[Verdict], json: bool) -> io::Result<()> {
    let wrong = verdicts.iter().filter(|v| v.valid != v.expected).count();
    let word = |valid: bool| if valid { "valid" } else { "refused" };
    if json {
        verdicts.iter().try_for_each(line)?;
        return line(&json!({
            "result": verdict(wrong == 0),
            "vectors": verdicts.len().to_string(),
            "wrong": wrong.to_string(),
        }));
    }
    for Verdict { kind, desc, valid, expected } in verdicts.iter().filter(|v| v.valid != v.expected)
    {
        println!("{kind} {desc:?}: {}, should be {}", word(*valid), word(*expected));
    }
    println!(
        "{}: {} vectors, {wrong} otherwise than they should be",
        verdict(wrong == 0),
        verdicts.len()
    );
    Ok(())
}

/// The moving line.
pub struct Meter {
    shown: bool,
    start: Instant,
    last: Option<Instant>,
}

impl Meter {
    /// A meter that starts now; it stays dark unless somebody watches.
    pub fn new(watched: bool) -> Meter {
        Meter { shown: watched, start: Instant::now(), last: None }
    }

    /// Shows how far it is, how fast, and how long it will take.
    pub fn show(&mut self, Progress { leaves, size }: Progress) {
        let now = Instant::now();
        if !self.shown || self.last.is_some_and(|last| now - last < TICK) {
            return;
        }
        self.last = Some(now);
        let rate = leaves as f64 / (now - self.start).as_secs_f64().max(0.001);
        let left = size.saturating_sub(leaves) as f64 / rate.max(1.0);
        let percent = leaves as f64 * 100.0 / size.max(1) as f64;
        eprint!(
            "\r\x1b[K{percent:5.1} %  {leaves} of {size} leaves  {rate:.0}/s  {left:.0} s left"
        );
    }

    /// Takes the line away.
    pub fn clear(&mut self) {
        if self.last.is_some() {
            eprint!("\r\x1b[K");
        }
    }
}
