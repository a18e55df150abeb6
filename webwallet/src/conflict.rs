//! `webwallet verify-conflict`: whether a refusal is right that says that an IOU
//! was used twice. Both requests are in it, so no server is asked.

use std::collections::HashSet;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use webwallet_ledger::{Hash, Record, Request};

use crate::output::Outcome;
use crate::{file, iou, output, record};

/// `webwallet verify-conflict`
#[derive(Args)]
pub struct VerifyConflict {
    /// File with a refusal `iou_already_cleared`, as JSON; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Deserialize)]
struct Refusal<'a> {
    #[serde(borrow)]
    conflict: Conflict<'a>,
}

#[derive(Deserialize)]
struct Conflict<'a> {
    #[serde(borrow)]
    sent: &'a RawValue,
    #[serde(borrow)]
    cleared: &'a RawValue,
}

#[derive(Default, Serialize)]
struct Verdict {
    valid: bool,
    /// The IOUs that are in both.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ious: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl VerifyConflict {
    /// Verifies both requests and what they have in common.
    pub fn run(&self, json: bool) -> anyhow::Result<Outcome> {
        let text = file::read(&self.file)?;
        let refusal: Refusal<'_> = serde_json::from_slice(&text)
            .context("this is no refusal with `conflict`: the whole problem document is needed")?;
        let Conflict { sent, cleared } = refusal.conflict;
        let verdict = match twice(sent.get().as_bytes(), cleared.get().as_bytes()) {
            Ok((ious, record)) => Verdict {
                valid: true,
                ious: ious.iter().map(Hash::to_string).collect(),
                transaction: Some(record.hash.to_string()),
                number: Some(record.number.to_string()),
                reason: None,
            },
            Err(reason) => Verdict { reason: Some(reason), ..Verdict::default() },
        };
        let outcome = if verdict.valid { Outcome::Done } else { Outcome::Refused };
        if json {
            output::line(serde_json::to_vec(&verdict)?)?;
        } else {
            output::line(output::harmless(&verdict.sentence()).as_bytes())?;
        }
        Ok(outcome)
    }
}

impl Verdict {
    fn sentence(&self) -> String {
        match &self.reason {
            Some(reason) => format!("not confirmed: {reason}"),
            None => format!(
                "confirmed: the request of record {} and the one that was refused are both signed, and both use IOU {}; that the record is in the log, its receipt says",
                self.number.as_deref().unwrap_or_default(),
                self.ious.join(", ")
            ),
        }
    }
}

/// What a refusal proves of the request that was sent: the IOUs of it that have cleared in
/// another record, and that record.
pub fn proven(refusal: &str, sent: &[u8]) -> Option<(Vec<Hash>, Record)> {
    let refusal: Refusal<'_> = serde_json::from_str(refusal).ok()?;
    twice(sent, refusal.conflict.cleared.get().as_bytes()).ok()
}

/// The IOUs that two signed requests have in common, though they are not the
/// same request; or what is wrong.
fn twice(sent: &[u8], cleared: &[u8]) -> Result<(Vec<Hash>, Record), String> {
    let entry = record::read(cleared).map_err(|why| format!("the record: {why}"))?;
    let first = entry.request.map_err(|why| format!("the record's request: {why}"))?;
    let record = entry.record;
    let second = Request::parse(sent, record.domain())
        .map_err(|refusal| format!("the request: {}", refusal.rejection))?;
    for (whose, request) in [("the record's request", &first), ("the request", &second)] {
        iou::verified(request).map_err(|why| format!("{whose}: {why}"))?;
    }
    let (first, second): (HashSet<Hash>, Vec<Hash>) =
        (first.ious().into_iter().collect(), second.ious());
    let both: Vec<Hash> = second.iter().copied().filter(|iou| first.contains(iou)).collect();
    match both.len() {
        0 => Err("they have no IOU in common".into()),
        // The same request again is answered with its record, not refused.
        n if n == first.len() && n == second.len() => Err("they are the same request".into()),
        _ => Ok((both, record)),
    }
}
