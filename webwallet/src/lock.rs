//! Locks: using one that was made for us, and having back what we have locked.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::Args;
use faster_hex::hex_check;
use webwallet_ledger::draft::{Draft, add_signature};
use webwallet_ledger::limits::EXPIRY_DAYS_MAX;
use webwallet_ledger::lock::{Lock, Solver, puzzle_of};
use webwallet_ledger::puzzle::Puzzle;
use webwallet_ledger::rejection::{Code, Rejection};
use webwallet_ledger::time::Time;
use webwallet_ledger::{Hash, Pointer};

use crate::client::{Server, Url};
use crate::home::{Holder, Home, Keys, Labels};
use crate::multisig::Multisig;
use crate::output::Outcome;
use crate::pay::EXPIRY_DAYS;
use crate::post::Sender;
use crate::problem::Problem;
use crate::receipt::Proof;
use crate::{clock, file, record};

/// A preimage is shown only while so much is left. Shown too late it takes nothing, and opens
/// other locks of its hash all the same.
const SHOW_MS: i64 = 60_000;

/// `webwallet release`
#[derive(Args)]
pub struct Release {
    #[command(flatten)]
    use_: Use,
    /// What the lock's hash is of: 64 hex digits for 32 bytes, or text
    #[arg(long, value_name = "HEX")]
    preimage: Option<String>,
}

/// `webwallet refund`
#[derive(Args)]
pub struct Refund {
    #[command(flatten)]
    use_: Use,
}

#[derive(Args)]
struct Use {
    /// The lock: hash of its record, `::` and index
    pointer: String,
    /// Your key, or a multisig
    #[arg(long, value_name = "NAME")]
    with: String,
    /// Sign only; write the IOU to a file for others to sign, and send nothing
    #[arg(long, value_name = "FILE", conflicts_with = "receipt")]
    offline: Option<PathBuf>,
    #[command(flatten)]
    proof: Proof,
    #[command(flatten)]
    home: Home,
    #[command(flatten)]
    url: Url,
}

impl Release {
    /// Takes what is locked for us.
    pub fn run(&self, json: bool) -> anyhow::Result<Outcome> {
        self.use_.run(self.preimage.as_deref(), false, json)
    }
}

impl Refund {
    /// Takes back what we have locked and nobody has used in time.
    pub fn run(&self, json: bool) -> anyhow::Result<Outcome> {
        self.use_.run(None, true, json)
    }
}

/// What a preimage is in an IOU. 64 hex digits are 32 bytes, as `swap` makes them, unless the lock
/// is of the digits.
fn hashee_of(text: &str, puzzle: Option<Hash>) -> String {
    let is_hex = text.len() == 64 && hex_check(text.as_bytes());
    match is_hex && Some(puzzle_of(text)) != puzzle {
        true => format!("0x{}", text.to_lowercase()),
        false => text.to_owned(),
    }
}

impl Use {
    fn run(&self, preimage: Option<&str>, back: bool, json: bool) -> anyhow::Result<Outcome> {
        let keys = self.home.keys()?;
        let labels = keys.labels();
        let output: Pointer = self.pointer.parse()?;
        let server = self.url.server()?;
        let Some(lock) = find(&server, output)? else {
            let detail = format!("{} has no record {}", server.url(), output.record);
            let rejection = Rejection::new(Code::LockNotFound, "/data/solver/output", detail);
            return Problem::from_rejection(&rejection)?.print(json, &labels);
        };
        let holder = keys.holder(&self.with)?;
        let (source, target) = match back {
            true => (lock.source, lock.account.address),
            false => (lock.account.address, lock.source),
        };
        ensure!(
            holder.address()? == source,
            "this is for {} to do, and {} is another",
            labels.of(source.as_str()),
            self.with
        );
        let (now, end) = (clock::now()?, lock.locker.expiry);
        let hashee = preimage.map(|text| hashee_of(text, lock.locker.puzzle));
        // A preimage of another lock gives nothing here, and whoever sees it can open that one.
        if !back && hashee.as_deref().map(puzzle_of) != lock.locker.puzzle {
            let detail = match (lock.locker.puzzle, &hashee) {
                (Some(puzzle), None) => format!(
                    "this lock is opened by the preimage of {puzzle}: show it with `--preimage`; nothing was sent"
                ),
                (Some(puzzle), Some(_)) => format!(
                    "this lock is opened by the preimage of {puzzle}, and this is another; nothing was sent"
                ),
                (None, _) => "this lock asks for no preimage; nothing was sent".to_owned(),
            };
            let rejection = Rejection::new(Code::LockUnsolved, "/data/solver/hashee", detail);
            return Problem::from_rejection(&rejection)?.print(json, &labels);
        }
        let shows = hashee.is_some();
        let draft = Draft {
            domain: server.domain()?,
            source,
            target,
            symbol: lock.account.unit,
            amount: "0".to_owned(),
            // Whoever comes too early, or hears no answer, signs the same again, which clears once.
            random: output.to_string(),
            expiry: if back { expiry_of_refund(end, now) } else { expiry_of_release(end, now) },
            active: None,
            credit: None,
            locker: None,
            solver: Some(Solver { output, hashee }),
        };
        // What has taken it already is shown already, and the server says what it took.
        if !back
            && !has_cleared(&server, &draft)?
            && let Some(rejection) = too_late(&server, &draft.domain, end, shows)?
        {
            return Problem::from_rejection(&rejection)?.print(json, &labels);
        }
        let script = lock.locker.script.filter(|_| !back);
        let script = script.map(|script| keys.multisig(&script)).transpose()?.flatten();
        let signed = sign(&draft, &holder, script.as_ref(), &keys)?;
        if let Some(file) = &self.offline {
            // Until it is posted, nobody has seen a preimage in it.
            match shows {
                true => file::write_new_secret(file, &signed)?,
                false => file::write_new(file, &signed)?,
            }
            return Ok(Outcome::Done);
        }
        let sentence = sentence(&draft, &lock, &labels);
        let sender = Sender { server: &server, keys: &keys, proof: &self.proof, json };
        sender.clear(&draft, &signed, &sentence)
    }
}

/// Why the target of a lock that ends then comes too late. The server's time decides; a preimage
/// that nobody has seen is not shown too late by this machine's clock either, since one of the
/// two may be wrong.
pub fn too_late(
    server: &Server,
    domain: &str,
    end: Time,
    shows: bool,
) -> anyhow::Result<Option<Rejection>> {
    let (theirs, ours) = (clock::of(server, domain)?, clock::now()?);
    let (last, now) = match shows {
        true => (Time::from_unix_ms(end.unix_ms() - SHOW_MS), theirs.max(ours)),
        false => (end, theirs),
    };
    let margin = if shows { ", and a preimage is shown only while a minute is left" } else { "" };
    let of_ours = match now == theirs {
        true => String::new(),
        false => format!(", and by this machine's clock {ours}: set that if it is wrong"),
    };
    let detail = format!(
        "it can be taken before {end}{margin}; by {domain} it is {theirs}{of_ours}; nothing was sent"
    );
    let rejection = Rejection::new(Code::LockClosed, "/data/solver/output", detail);
    Ok((now >= last).then(|| rejection.measured(last, now)))
}

/// Whether a server has cleared just this.
pub fn has_cleared(server: &Server, draft: &Draft) -> anyhow::Result<bool> {
    Ok(record::of_iou(server, draft.hash())?.is_some())
}

/// The end of the lock, since later nobody needs it; of one that is further away than an IOU
/// may expire, whole decades earlier, so that it stays the same.
fn expiry_of_release(end: Time, now: Time) -> Time {
    const DECADE_DAYS: i64 = 3_650;
    let mut expiry = end;
    while expiry > now.plus_days(EXPIRY_DAYS_MAX) {
        expiry = expiry.plus_days(-DECADE_DAYS);
    }
    expiry
}

/// A year or more after the end of the lock, in whole years, so that it stays the same; and a
/// month from now at least.
fn expiry_of_refund(end: Time, now: Time) -> Time {
    const DAY_MS: i64 = 86_400_000;
    let days = (now.unix_ms() - end.unix_ms()).max(0) / DAY_MS;
    let expiry = end.plus_days(EXPIRY_DAYS * (1 + (days + 30) / EXPIRY_DAYS));
    // Far too early: then the lock is what stands in the way, and not this.
    expiry.min(now.plus_days(EXPIRY_DAYS_MAX))
}

/// Signs for the one who pays or uses a lock, and for those who must agree.
pub fn sign(
    draft: &Draft,
    holder: &Holder,
    script: Option<&Multisig>,
    keys: &Keys,
) -> anyhow::Result<Vec<u8>> {
    let puzzles: Vec<&Puzzle> = match holder {
        Holder::Key(_) => script.into_iter().map(|script| &script.puzzle).collect(),
        Holder::Multisig(ours) => {
            let other = script.filter(|script| script.puzzle.hash != ours.puzzle.hash);
            [Some(ours), other].into_iter().flatten().map(|multisig| &multisig.puzzle).collect()
        }
    };
    let mut iou = match puzzles.is_empty() {
        true => draft.unsigned(),
        false => draft.unsigned_with(&puzzles),
    };
    match holder {
        Holder::Key(key) => iou = add_signature(&iou, &key.secret()?)?,
        Holder::Multisig(ours) => iou = keys.sign(iou, ours)?,
    }
    match script {
        Some(script) => keys.sign(iou, script),
        None => Ok(iou),
    }
}

/// The lock as its record has it; none where the server has no such record.
pub fn find(server: &Server, pointer: Pointer) -> anyhow::Result<Option<Lock>> {
    let Some(entry) = record::named(server, pointer.record)? else { return Ok(None) };
    let lock = entry.record.locked().find(|(of, _)| *of == pointer);
    let (_, lock) = lock.with_context(|| format!("{pointer} is no lock"))?;
    Ok(Some(lock.clone()))
}

/// Why what shows a preimage must not be sent any more: nobody has seen it yet, and its lock ends.
pub fn shows_too_late(
    server: &Server,
    domain: &str,
    iou: Hash,
    solver: &Solver,
) -> anyhow::Result<Option<Rejection>> {
    // What has cleared is shown already.
    if solver.hashee.is_none() || record::of_iou(server, iou)?.is_some() {
        return Ok(None);
    }
    match find(server, solver.output)? {
        Some(lock) => too_late(server, domain, lock.locker.expiry, true),
        None => Ok(None),
    }
}

/// What is about to be signed, in one line.
pub fn sentence(draft: &Draft, lock: &Lock, labels: &Labels) -> String {
    format!(
        "{} takes {} (unit of {}) out of the lock {} on {}",
        labels.of(draft.source.as_str()),
        lock.amount,
        labels.of(draft.symbol.as_str()),
        draft.solver.as_ref().map(|solver| solver.output.to_string()).unwrap_or_default(),
        draft.domain
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever was given the text of a lock, or 32 bytes in hex, must be able to open it with either.
    #[test]
    fn a_preimage_is_read_as_its_lock_means_it() {
        let text = "AB".repeat(32);
        let bytes = format!("0x{}", "ab".repeat(32));
        assert_eq!(hashee_of(&text, Some(puzzle_of(&bytes))), bytes);
        assert_eq!(hashee_of(&text, None), bytes);
        assert_eq!(hashee_of(&text, Some(puzzle_of(&text))), text);
        assert_eq!(hashee_of("a word", Some(puzzle_of(&bytes))), "a word");
    }

    /// What is locked for longer than an IOU may live could be taken by nobody.
    #[test]
    fn a_release_expires_with_its_lock_or_within_what_a_server_takes() {
        let now = Time::from_unix_ms(1_800_000_000_000);
        let days = |days| expiry_of_release(now.plus_days(days), now);
        for (locked, expected) in
            [(1, 1), (3_660, 3_660), (3_661, 11), (7_310, 3_660), (7_311, 11), (900_000, 2_100)]
        {
            assert_eq!(days(locked), now.plus_days(expected), "{locked}");
        }
    }

    /// A refund that differs each time it is tried leaves one more IOU behind each time.
    #[test]
    fn a_refund_expires_at_the_same_time_for_long_and_never_soon() {
        let end = Time::from_unix_ms(1_800_000_000_000);
        let after = |days| expiry_of_refund(end, end.plus_days(days));
        for (days, years) in [(-900, 1), (0, 1), (300, 1), (336, 2), (400, 2), (800, 3)] {
            assert_eq!(after(days), end.plus_days(years * EXPIRY_DAYS), "{days}");
            assert!(after(days) > end.plus_days(days + 29), "{days}");
        }
    }
}
