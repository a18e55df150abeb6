//! `webwallet receipt` and `webwallet verify`: proofs that need no server any
//! more once they are in a file.

use std::path::{Path, PathBuf};
use std::slice;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, ensure};
use clap::Args;
use serde::Serialize;
use webwallet_ledger::Record;
use webwallet_ledger::note::VerifierKey;
use webwallet_ledger::receipt::{Receipt, Verified};

use crate::client::{Answer, Server, Url};
use crate::home::{Home, Labels};
use crate::output::{self, Outcome, harmless};
use crate::transaction::{self, segment};
use crate::{file, log};

/// How often a record that is not sealed yet is asked for again.
const AGAIN: Duration = Duration::from_millis(250);

/// `webwallet receipt`
#[derive(Args)]
pub struct ReceiptOf {
    /// Hash or number of the record
    #[arg(value_name = "HASH_OR_NUMBER")]
    key: String,
    /// Write the receipt to this file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Wait so many seconds until the record is sealed
    #[arg(long, value_name = "SECONDS", default_value_t = 5,
        value_parser = clap::value_parser!(u64).range(..=86_400))]
    wait: u64,
    #[command(flatten)]
    home: Home,
    #[command(flatten)]
    url: Url,
}

impl ReceiptOf {
    /// Gets a receipt.
    pub fn run(&self, json: bool) -> anyhow::Result<Outcome> {
        let server = self.url.server()?;
        let path = format!("/transaction/{}/receipt", segment(&self.key));
        let form = if json { "application/json" } else { "text/plain" };
        let until = Instant::now() + Duration::from_secs(self.wait);
        let receipt = loop {
            match server.get_as(&path, form)? {
                Answer::Problem(problem) => {
                    return problem.print(json, &self.home.keys()?.labels());
                }
                Answer::Done { body, later: false, .. } => break body,
                Answer::Done { .. } if Instant::now() < until => thread::sleep(AGAIN),
                Answer::Done { body, .. } => {
                    let text = "cleared, and not sealed yet: ask again in a second";
                    output::line(if json { body.as_str() } else { text })?;
                    return Ok(Outcome::Refused);
                }
            }
        };
        let record = self
            .check(receipt.as_bytes(), &server.domain()?)
            .context("the server's answer is not the receipt of this record")?;
        match &self.output {
            Some(output) => keep(output, receipt.as_bytes(), &record, &server)?,
            None => output::line(receipt.trim_end_matches('\n'))?,
        }
        Ok(Outcome::Done)
    }

    /// That an answer is a receipt, and of the record asked for in the log of this domain. Whether
    /// the log's key signed it is for [`Verify`] to say, with a key that is from somebody else.
    fn check(&self, receipt: &[u8], domain: &str) -> anyhow::Result<Record> {
        let receipt = Receipt::read(receipt)?;
        log::check_note(&receipt.checkpoint)?;
        let Verified { record, checkpoint } = receipt.verify_unsigned()?;
        let origin = checkpoint.origin;
        ensure!(origin == domain, "it is of the log of {origin}, and this is {domain}");
        let names = [record.number.to_string(), record.hash.to_string()];
        ensure!(names.contains(&self.key), "it is of record {} {}", record.number, record.hash);
        Ok(record)
    }
}

/// Writes a receipt to a file, over nothing but an older one of the same record in the same log.
/// What it would replace may be the only proof of what a server wants to be forgotten.
fn keep(file: &Path, new: &[u8], record: &Record, server: &Server) -> anyhow::Result<()> {
    let Some((held, of)) = held(file) else { return file::write_new(file, new) };
    let name = file.display();
    ensure!(
        of.hash == record.hash,
        "{name} holds the receipt of record {} {}, and this one is of record {} {}; name another file",
        of.number,
        of.hash,
        record.number,
        record.hash
    );
    let new_receipt = Receipt::read(new)?;
    if new_receipt == held {
        return file::write(file, new);
    }
    // A server names what keys it likes: only the one that has signed the older receipt counts.
    let proves = |receipt: &Receipt, key| receipt.verify(slice::from_ref(key)).is_ok();
    let keys = server.log_keys()?;
    ensure!(
        keys.iter().any(|key| proves(&held, key) && proves(&new_receipt, key)),
        "{name} holds a receipt of this record, and no key of the server's log has signed both that and the new one; keep it, and name another file"
    );
    file::write(file, new)
}

/// The receipt in a file, and its record.
fn held(file: &Path) -> Option<(Receipt, Record)> {
    // Whoever opens a pipe waits, perhaps for ever.
    let held = file.is_file().then(|| file::read(file).ok()).flatten()?;
    let held = Receipt::read(&held).ok()?;
    let record = Record::parse(&held.record).ok()?;
    Some((held, record))
}

/// `webwallet verify`
#[derive(Args)]
pub struct Verify {
    /// A receipt, as text or as JSON
    file: PathBuf,
    /// The verifier key of the server's log, from somebody you trust; given again for each key
    /// that the log has had
    #[arg(long, value_name = "VKEY", required = true)]
    key: Vec<String>,
    #[command(flatten)]
    home: Home,
}

/// What a receipt proves.
#[derive(Default, Serialize)]
struct Verdict<'a> {
    valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    /// The checkpoint that signs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint: Option<Head<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Serialize)]
struct Head<'a> {
    origin: &'a str,
    size: String,
}

impl Verify {
    /// Verifies a receipt without any server.
    pub fn run(&self, json: bool) -> anyhow::Result<Outcome> {
        let read = |key: &String| {
            key.parse::<VerifierKey>()
                .map_err(|why| anyhow!("--key {key:?} is no verifier key (name+hex+base64): {why}"))
        };
        let keys = self.key.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
        let labels = self.home.keys()?.labels();
        let receipt = Receipt::read(&file::read(&self.file)?);
        match receipt.and_then(|receipt| receipt.verify(&keys)) {
            Err(why) => {
                let why = why.to_string();
                output::line(match json {
                    false => format!("not valid: {}", harmless(&why)),
                    true => {
                        let verdict = Verdict { reason: Some(why), ..Verdict::default() };
                        serde_json::to_string(&verdict)?
                    }
                })?;
                Ok(Outcome::Refused)
            }
            Ok(proven) => {
                print(&proven, json, &labels)?;
                Ok(Outcome::Done)
            }
        }
    }
}

fn print(proven: &Verified, json: bool, labels: &Labels) -> anyhow::Result<()> {
    let Verified { record, checkpoint } = proven;
    if json {
        let verdict = Verdict {
            valid: true,
            number: Some(record.number.to_string()),
            hash: Some(record.hash.to_string()),
            time: Some(record.time.to_string()),
            checkpoint: Some(Head {
                origin: &checkpoint.origin,
                size: checkpoint.size.to_string(),
            }),
            ..Verdict::default()
        };
        return Ok(output::line(serde_json::to_vec(&verdict)?)?);
    }
    let text = String::from_utf8_lossy(&record.bytes);
    output::line(format!(
        "valid: {}\n  in the log of {}, under its signed head of {} leaves",
        transaction::sentence(&text, labels)?,
        harmless(&checkpoint.origin),
        checkpoint.size
    ))?;
    Ok(())
}
