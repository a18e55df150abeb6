//! `webwallet receipt` and `webwallet verify`: proofs that need no server any
//! more once they are in a file. And the proof that a payment may be asked to wait for.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail, ensure};
use clap::Args;
use serde::Serialize;
use webwallet_ledger::Record;
use webwallet_ledger::leaf::Entry;
use webwallet_ledger::note::VerifierKey;
use webwallet_ledger::receipt::{Receipt, Verified};

use crate::client::{Answer, Server, Url, segment};
use crate::home::{Home, Labels};
use crate::output::{self, Outcome, harmless};
use crate::{file, iou, log, record, transaction};

/// How often a record that is not sealed yet is asked for again.
const AGAIN: Duration = Duration::from_millis(250);
/// How long a payment waits for its receipt. Mostly that is there in a fraction of a second; a
/// server may be set to seal once a minute.
const PROVEN_WITHIN: Duration = Duration::from_secs(70);

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
        let form = if json { "application/json" } else { "text/plain" };
        let receipt = match ask(&server, &self.key, form, Duration::from_secs(self.wait))? {
            Answer::Problem(problem) => {
                return problem.print(json, &self.home.keys()?.labels());
            }
            Answer::Done { body, later: true, .. } => {
                let text = "cleared, and not sealed yet: ask again in a second";
                output::line(if json { body.as_str() } else { text })?;
                return Ok(Outcome::Refused);
            }
            Answer::Done { body, .. } => body,
        };
        let (_, record) = check(receipt.as_bytes(), &self.key, &server.domain()?)?;
        match &self.output {
            Some(output) => keep(output, receipt.as_bytes(), &record)?,
            None => output::line(receipt.trim_end_matches('\n'))?,
        }
        Ok(Outcome::Done)
    }
}

/// The receipt of a record once it is sealed; what is said instead when the wait is over.
fn ask(server: &Server, key: &str, form: &str, wait: Duration) -> anyhow::Result<Answer> {
    let path = format!("/transaction/{}/receipt", segment(key));
    let until = Instant::now() + wait;
    loop {
        match server.get_as(&path, form)? {
            Answer::Done { later: true, .. } if Instant::now() < until => thread::sleep(AGAIN),
            answer => return Ok(answer),
        }
    }
}

/// That an answer is a receipt, and of the record asked for in the log of this domain. Whether
/// the log's key signed it is told by a key that is from somebody else.
fn check(receipt: &[u8], key: &str, domain: &str) -> anyhow::Result<(Receipt, Record)> {
    let is_of = || {
        let receipt = Receipt::read(receipt)?;
        log::check_note(&receipt.checkpoint)?;
        let Verified { checkpoint, .. } = receipt.verify_unsigned()?;
        let record = signed(&receipt.record)?;
        let origin = checkpoint.origin;
        ensure!(origin == domain, "it is of the log of {origin}, and this is {domain}");
        let names = [record.number.to_string(), record.hash.to_string()];
        ensure!(
            names.iter().any(|name| name == key),
            "it is of record {} {}",
            record.number,
            record.hash
        );
        Ok((receipt, record))
    };
    is_of().context("the server's answer is not the receipt of this record")
}

/// The record in a leaf, with all that it is by right: the name of a record says nothing of the
/// signatures, which are proofs as well.
fn signed(leaf: &[u8]) -> anyhow::Result<Record> {
    let Entry { record, request } = record::read(leaf)?;
    iou::verified(&request?)?;
    Ok(record)
}

/// What a server must show of what it says has cleared.
#[derive(Args)]
pub struct Proof {
    /// Wait for the receipt and write it to this file; until it is there the payment is open
    #[arg(id = "receipt", long = "receipt", value_name = "FILE")]
    file: Option<PathBuf>,
    /// With --receipt: the verifier key of the server's log, from somebody you trust, that must have
    /// signed it; given again for each key that the log has had
    #[arg(id = "key", long = "key", value_name = "VKEY", requires = "receipt", value_parser = verifier)]
    keys: Vec<VerifierKey>,
}

impl Proof {
    /// Whether a receipt is wanted at all.
    pub fn is_asked(&self) -> bool {
        self.file.is_some()
    }

    /// That the receipt of a request can be kept: asked before anything is sent.
    pub fn can_be_kept(&self, request: &[u8]) -> anyhow::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let name = file.display();
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        ensure!(
            folder.is_none_or(Path::is_dir),
            "there is no folder for the receipt {name}; nothing was sent"
        );
        let is_free = fs::metadata(file).is_ok_and(|there| there.is_file() && there.len() == 0);
        // The same may be posted again, for the same receipt.
        ensure!(
            !file.exists()
                || is_free
                || held(file).is_some_and(|(_, of)| record::is_of(&of, request)),
            "{name} is there, and no receipt of this; name another file for it; nothing was sent"
        );
        Ok(())
    }

    /// Gets, checks and keeps the receipt of a record that the server says has cleared.
    pub fn take(&self, server: &Server, record: &Record) -> anyhow::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let name = record.hash.to_string();
        let receipt = match ask(server, &name, "text/plain", PROVEN_WITHIN)? {
            Answer::Done { body, later: false, .. } => body,
            Answer::Done { .. } => bail!("the server says that this has cleared, and seals it not"),
            Answer::Problem(problem) => bail!(
                "the server says that this has cleared, and gives no receipt: {}",
                problem.sentence()
            ),
        };
        let (proof, _) = check(receipt.as_bytes(), &name, record.domain())?;
        ensure!(
            proof.record == record.bytes,
            "the receipt that the server gives is of other signatures than its record"
        );
        if !self.keys.is_empty() {
            proof.verify(&self.keys).context("the receipt that the server gives is not valid")?;
        }
        keep(file, receipt.as_bytes(), record)
    }

    /// The flags that ask for the same, for a shell.
    pub fn flags(&self) -> String {
        let file = self.file.iter().map(|file| format!(" --receipt {}", output::path(file)));
        let keys = self.keys.iter().map(|key| format!(" --key {}", output::word(&key.to_string())));
        file.chain(keys).collect()
    }
}

/// A verifier key of a log.
fn verifier(text: &str) -> anyhow::Result<VerifierKey> {
    text.parse().map_err(|why| anyhow!("it is no verifier key (name+hex+base64): {why}"))
}

/// Writes a receipt to a file, over nothing but the same in another form. A server has one of each
/// record, so what another would replace may be the only proof of what it wants to be forgotten.
fn keep(file: &Path, new: &[u8], record: &Record) -> anyhow::Result<()> {
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
    ensure!(
        Receipt::read(new)? == held,
        "{name} holds another receipt of record {}; keep it, and name another file for this one: together they may show that the server has two logs",
        of.number
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
    #[arg(long, value_name = "VKEY", required = true, value_parser = verifier)]
    key: Vec<VerifierKey>,
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
        let labels = self.home.keys()?.labels();
        let receipt = Receipt::read(&file::read(&self.file)?);
        match receipt.and_then(|receipt| receipt.verify(&self.key)) {
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
                // The log has it all the same, and its head is signed: that is what is proven.
                if let Err(why) = signed(&proven.record.bytes) {
                    output::complain(format_args!(
                        "what this log has there no honest server clears: {why:#}; keep the receipt, which proves it"
                    ));
                }
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
