//! `webwallet receipt` and `webwallet verify`: proofs that need no server any
//! more once they are in a file.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Args;
use serde::Serialize;
use webwallet_ledger::note::VerifierKey;
use webwallet_ledger::receipt::{Receipt, ReceiptError};

use crate::client::{Answer, Url};
use crate::key::{Home, Labels};
use crate::output::{self, Outcome};
use crate::transaction::segment;

/// How often a record that is not sealed yet is asked for again.
const AGAIN: Duration = Duration::from_millis(250);
/// A receipt is a record and a few hundred bytes; base64 adds a third.
const RECEIPT_BYTES_MAX: u64 = 1 << 20;

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
                    let labels = self.home.keys()?.labels();
                    problem.print(json, &labels)?;
                    return Ok(Outcome::Refused);
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
        match &self.output {
            Some(file) => fs::write(file, &receipt)
                .with_context(|| format!("cannot write {}", file.display()))?,
            None => output::line(receipt.trim_end_matches('\n'))?,
        }
        Ok(Outcome::Done)
    }
}

/// `webwallet verify`
#[derive(Args)]
pub struct Verify {
    /// A receipt, as text or as JSON
    file: PathBuf,
    /// The verifier key of the server's log, from somebody you trust
    #[arg(long, value_name = "VKEY")]
    key: String,
    #[command(flatten)]
    home: Home,
}

/// What a receipt proves.
#[derive(Serialize)]
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
        let key: VerifierKey = self.key.parse().map_err(|why| {
            anyhow::anyhow!("--key {:?} is no verifier key (name+hex+base64): {why}", self.key)
        })?;
        let labels = self.home.keys()?.labels();
        match verified(&read(&self.file)?, &key) {
            Err(why) => {
                let reason = why.to_string();
                let verdict = Verdict {
                    valid: false,
                    number: None,
                    hash: None,
                    time: None,
                    checkpoint: None,
                    reason: Some(reason),
                };
                match json {
                    true => output::line(serde_json::to_vec(&verdict)?)?,
                    false => output::line(format!("not valid: {why}"))?,
                }
                Ok(Outcome::Refused)
            }
            Ok(proven) => {
                print(&proven, json, &labels)?;
                Ok(Outcome::Done)
            }
        }
    }
}

fn print(
    proven: &webwallet_ledger::receipt::Verified,
    json: bool,
    labels: &Labels,
) -> anyhow::Result<()> {
    let webwallet_ledger::receipt::Verified { record, checkpoint } = proven;
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
            reason: None,
        };
        return Ok(output::line(serde_json::to_vec(&verdict)?)?);
    }
    let text = String::from_utf8_lossy(&record.bytes);
    output::line(format!(
        "valid: {}\n  in the log of {}, under its signed head of {} leaves",
        crate::transaction::sentence(&text, labels)?,
        checkpoint.origin,
        checkpoint.size
    ))?;
    Ok(())
}

/// A receipt in either form.
fn verified(
    bytes: &[u8],
    key: &VerifierKey,
) -> Result<webwallet_ledger::receipt::Verified, ReceiptError> {
    let receipt = match bytes.first() {
        Some(b'{') => Receipt::parse_json(bytes.trim_ascii_end())?,
        _ => Receipt::parse(bytes)?,
    };
    receipt.verify(std::slice::from_ref(key))
}

fn read(file: &PathBuf) -> anyhow::Result<Vec<u8>> {
    let read = || -> anyhow::Result<Vec<u8>> {
        let length = fs::metadata(file)?.len();
        ensure!(
            length <= RECEIPT_BYTES_MAX,
            "{length} bytes; no receipt has more than {RECEIPT_BYTES_MAX}"
        );
        Ok(fs::read(file)?)
    };
    read().with_context(|| format!("cannot read {}", file.display()))
}
