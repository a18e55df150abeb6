//! What is printed: text for people, JSON for programs, and a line that moves
//! while a terminal waits.

use std::fmt::{Display, Write as _};
use std::io::{self, ErrorKind, Write as _};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::json;
use webwallet_audit::vectors::Verdict;
use webwallet_audit::{Finding, Progress, Report, complain, harmless, is_harmful};
use webwallet_ledger::receipt::{ReceiptError, Verified};

/// Between two states of the moving line.
const TICK: Duration = Duration::from_millis(200);

/// Writes an answer to standard output. The verdict is the exit status: it is the
/// same whether anybody reads (`head`) or there is room for what we say.
fn print(text: &str) {
    let write = || {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    };
    match write() {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            complain(format_args!("webwallet-audit: the answer cannot be written: {error}"));
        }
        _ => {}
    }
}

/// Adds a line of text, whoever wrote what is in it.
fn tell(text: &mut String, line: impl Display) {
    let _ = writeln!(text, "{}", harmless(&line.to_string()));
}

/// Adds a document of JSON. It may be read in a terminal, too: what would move it is escaped.
fn document(text: &mut String, value: &impl Serialize) -> serde_json::Result<()> {
    for character in serde_json::to_string(value)?.chars() {
        let _ = match is_harmful(character) {
            true => write!(text, "\\u{:04x}", u32::from(character)),
            false => text.write_char(character),
        };
    }
    text.push('\n');
    Ok(())
}

fn verdict(accepted: bool) -> &'static str {
    if accepted { "accepted" } else { "rejected" }
}

/// The findings of an audit and its result.
pub fn audit(report: &Report, structure: bool, json: bool) -> serde_json::Result<()> {
    let accepted = report.is_accepted();
    let head = report.head.map(|head| head.to_string()).unwrap_or_default();
    let Report { findings, size, blocks, records, .. } = report;
    if report.unlisted > 0 {
        let more = report.unlisted;
        complain(format_args!("webwallet-audit: {more} more findings are not listed"));
    }
    let unread = report.unread;
    match &report.failure {
        Some(why) => {
            complain(format_args!("webwallet-audit: {unread} leaves were not read: {why}"));
        }
        None if unread > 0 => complain(format_args!(
            "webwallet-audit: so much is missing or wrong that {unread} leaves were not read"
        )),
        None => {}
    }
    let mut text = String::new();
    if json {
        findings.iter().try_for_each(|finding| document(&mut text, finding))?;
        let result = json!({
            "result": verdict(accepted),
            "size": size.to_string(),
            "blocks": blocks.to_string(),
            "records": records.to_string(),
            "head": head,
        });
        document(&mut text, &result)?;
    } else {
        findings.iter().for_each(|finding| tell(&mut text, finding));
        let extent = if structure { " (structure only)" } else { "" };
        let result = verdict(accepted);
        tell(
            &mut text,
            format_args!("{result}{extent}: {size} leaves, {blocks} blocks, {records} records"),
        );
        match findings.first() {
            None => tell(&mut text, format_args!("head {head}")),
            Some(first) => {
                let (count, rule) = (findings.len(), first.code.rule());
                tell(&mut text, format_args!("{count} findings; the first breaks: {rule}"));
            }
        }
    }
    print(&text);
    Ok(())
}

/// What a receipt proves, or why nothing.
pub fn receipt(
    verified: &Result<(Verified, u64), ReceiptError>,
    json: bool,
) -> serde_json::Result<()> {
    let mut text = String::new();
    match (verified, json) {
        (Ok((verified, index)), true) => document(
            &mut text,
            &json!({
                "result": verdict(true),
                "number": verified.record.number.to_string(),
                "hash": verified.record.hash.to_string(),
                "time": verified.record.time.to_string(),
                "index": index.to_string(),
                "size": verified.checkpoint.size.to_string(),
                "origin": verified.checkpoint.origin,
            }),
        )?,
        (Err(error), true) => {
            let result = json!({"result": verdict(false), "detail": error.to_string()});
            document(&mut text, &result)?;
        }
        (Ok((verified, index)), false) => {
            let (record, checkpoint) = (&verified.record, &verified.checkpoint);
            let (number, hash, time) = (record.number, record.hash, record.time);
            let (origin, size) = (&checkpoint.origin, checkpoint.size);
            tell(&mut text, format_args!("accepted: record {number} {hash} of {time}"));
            tell(
                &mut text,
                format_args!(
                    "is leaf {index} of the log {origin}, whose key signed the size {size}"
                ),
            );
        }
        (Err(error), false) => tell(&mut text, format_args!("rejected: {error}")),
    }
    print(&text);
    Ok(())
}

/// Whether one checkpoint extends another.
pub fn consistency(finding: Option<&Finding>, json: bool) -> serde_json::Result<()> {
    let mut text = String::new();
    match finding {
        _ if json => {
            finding.map_or(Ok(()), |finding| document(&mut text, finding))?;
            document(&mut text, &json!({"result": verdict(finding.is_none())}))?;
        }
        None => tell(&mut text, "accepted: the newer checkpoint extends the older one"),
        Some(finding) => {
            tell(&mut text, finding);
            tell(&mut text, verdict(false));
        }
    }
    print(&text);
    Ok(())
}

/// That a text holds no test vectors.
pub fn no_vectors(why: &impl Display, json: bool) -> serde_json::Result<()> {
    let (mut text, result) = (String::new(), verdict(false));
    let why = format!("these are no test vectors: {why}");
    match json {
        true => document(&mut text, &json!({ "result": result, "why": why }))?,
        false => tell(&mut text, format_args!("{result}: {why}")),
    }
    print(&text);
    Ok(())
}

/// Which test vectors come out as they should.
pub fn vectors(verdicts: &[Verdict], json: bool) -> serde_json::Result<()> {
    let wrong = verdicts.iter().filter(|v| !v.is_right()).count();
    let word = |valid: bool| if valid { "valid" } else { "refused" };
    let mut text = String::new();
    if json {
        verdicts.iter().try_for_each(|verdict| document(&mut text, verdict))?;
        let result = json!({
            "result": verdict(wrong == 0),
            "vectors": verdicts.len().to_string(),
            "wrong": wrong.to_string(),
        });
        document(&mut text, &result)?;
    } else {
        for Verdict { kind, desc, valid, expected } in verdicts.iter().filter(|v| !v.is_right()) {
            let (valid, expected) = (word(*valid), word(*expected));
            tell(&mut text, format_args!("{kind} {desc:?}: {valid}, should be {expected}"));
        }
        let (result, count) = (verdict(wrong == 0), verdicts.len());
        tell(
            &mut text,
            format_args!("{result}: {count} vectors, {wrong} otherwise than they should be"),
        );
    }
    print(&text);
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
        let line = format!(
            "\r\x1b[K{percent:5.1} %  {leaves} of {size} leaves  {rate:.0}/s  {left:.0} s left"
        );
        let _ = io::stderr().write_all(line.as_bytes());
    }

    /// Takes the line away.
    pub fn clear(&mut self) {
        if self.last.is_some() {
            let _ = io::stderr().write_all(b"\r\x1b[K");
        }
    }
}
