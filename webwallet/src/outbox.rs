//! The outbox of a home directory: what was signed, until it is certain what became of it.
//!
//! An IOU has random bits in it, so paying again is paying twice, while posting the same IOU
//! again is safe for ever. Therefore it is written here before it is sent, and removed only
//! when it is cleared or never will be; `webwallet post FILE` sends it again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::slice;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use webwallet_ledger::draft::Draft;
use webwallet_ledger::limits::EXPIRY_DAYS_MAX;
use webwallet_ledger::{Amount, Time};

use crate::client::Server;
use crate::home::Keys;
use crate::{clock, file, output};

/// That no IOU like this one waits in the outbox: paying anew would pay twice if
/// that one has cleared, or still will.
/// `flags` go with the command that is named: it must ask for no less than the one before.
pub fn nothing_open(
    keys: &Keys,
    draft: &Draft,
    server: &Server,
    flags: &str,
) -> anyhow::Result<()> {
    let entries = match fs::read_dir(keys.outbox()) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).context("cannot list the outbox"),
    };
    let new: Value = serde_json::from_slice(&draft.unsigned())?;
    for entry in entries {
        let file = entry?.path();
        // What a crash has left half written was never sent.
        if file.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let Some(open) = kept(&file).with_context(|| {
            format!(
                "nobody can tell whether this was paid before: {} is in the outbox and no IOU; look at it and move it away, or pay all the same: --once-more",
                file.display()
            )
        })?
        else {
            continue;
        };
        // What was piped to `post` is kept as one request.
        let ious = open["data"]["inputs"].as_array().map_or(slice::from_ref(&open), Vec::as_slice);
        let Some(like) = ious.iter().find(|iou| is_like(iou, &new)) else { continue };
        let posting = format!("{}{flags}", posting(&[file], keys, server));
        // No server has cleared that one yet, whatever it has answered: it is not active, or
        // expires too far from now.
        let expiry = like["data"]["expiry"].as_str().and_then(|time| time.parse::<Time>().ok());
        let begin = draft.active.max(expiry.map(|expiry| expiry.plus_days(-EXPIRY_DAYS_MAX)));
        if let Some(begin) = begin
            && begin > clock::now()?
        {
            bail!(
                "the same payment was signed before, and waits: it clears from {begin} on; to pay it once more: --once-more; to post it then (it is never paid twice): {posting}"
            );
        }
        bail!(
            "the same payment was signed before, and nobody knows what became of it; to pay it once more: --once-more; to ask (it is never paid twice): {posting}"
        );
    }
    Ok(())
}

/// An IOU in the outbox; none if somebody has posted it meanwhile.
fn kept(file: &Path) -> anyhow::Result<Option<Value>> {
    let there = match fs::metadata(file) {
        Ok(there) => there,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    // Whoever opens a pipe waits, perhaps for ever.
    ensure!(there.is_file(), "it is no regular file");
    let iou: Value = serde_json::from_slice(&file::read(file)?)?;
    ensure!(iou["data"].is_object(), "it has no data");
    Ok(Some(iou))
}

/// Whether an IOU pays the same. One that has expired may have cleared before.
fn is_like(iou: &Value, new: &Value) -> bool {
    let (kept, new) = (&iou["data"], &new["data"]);
    let equal = |key: &str| kept[key] == new[key];
    // `7` and `7.0` are the same money.
    let amount = |data: &Value, key: &str| data[key].as_str().map(Amount::parse_signed);
    // Each offer of a swap has a hash and times of its own.
    ["domain", "source", "target", "symbol", "active", "solver"].into_iter().all(equal)
        && ["amount", "credit"].into_iter().all(|key| amount(kept, key) == amount(new, key))
        && (equal("locker") || locks_for_a_swap(kept) && locks_for_a_swap(new))
}

/// Whether an IOU of this data locks for a swap: then its random is the hash of the lock.
pub fn locks_for_a_swap(data: &Value) -> bool {
    data["locker"]["puzzle"].is_string() && data["locker"]["puzzle"] == data["random"]
}

/// Keeps what was signed in its file. What has the same name is the same: it was kept before,
/// and nobody knows what became of it, or another process keeps it at this moment.
pub fn keep(file: &Path, signed: &[u8]) -> anyhow::Result<()> {
    if file.exists() {
        return Ok(());
    }
    let is_there = |error: &anyhow::Error| {
        let cause = error.downcast_ref::<io::Error>();
        // In the place of the folder there may be something else, and then nothing is kept.
        file.parent().is_some_and(Path::is_dir)
            && cause.is_some_and(|cause| cause.kind() == io::ErrorKind::AlreadyExists)
    };
    file::keep(file, signed).or_else(|error| if is_there(&error) { Ok(()) } else { Err(error) })
}

/// Whether a file is in a folder.
pub fn is_in(file: &Path, folder: &Path) -> bool {
    match (file.canonicalize(), folder.canonicalize()) {
        (Ok(file), Ok(folder)) => file.parent() == Some(&folder),
        _ => false,
    }
}

/// Removes an IOU from the outbox, of which it is certain what became.
pub fn forget(file: &Path) -> anyhow::Result<()> {
    match fs::remove_file(file) {
        // Somebody else has posted it as well, and had the same answer.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.with_context(|| format!("cannot remove {}", file.display())),
    }
}

/// The command that posts what is kept in files, as a shell reads it.
pub fn posting(files: &[PathBuf], keys: &Keys, server: &Server) -> String {
    let files: Vec<String> = files.iter().map(|file| output::path(file)).collect();
    format!("webwallet post {} {}{}", files.join(" "), server.flags(), keys.flag())
}

#[cfg(test)]
mod tests {
    use webwallet_ledger::lock::{Locker, Solver};
    use webwallet_ledger::signature::public_of;
    use webwallet_ledger::{Address, Hash, Pointer};

    use super::*;

    fn draft() -> Draft {
        let [source, target] = [[1; 32], [2; 32]].map(|key| Address::of_public(&public_of(&key)));
        Draft {
            domain: "localhost".to_owned(),
            source,
            target,
            symbol: source,
            amount: "0".to_owned(),
            random: "one of many".to_owned(),
            expiry: Time::from_unix_ms(1_000_000),
            active: None,
            credit: None,
            locker: None,
            solver: None,
        }
    }

    fn swapping(hash: Hash, until: i64) -> Draft {
        let until = Time::from_unix_ms(until);
        let locker = Locker { active: None, expiry: until, puzzle: Some(hash), script: None };
        Draft { random: hash.to_string(), expiry: until, locker: Some(locker), ..draft() }
    }

    /// Whoever does a step in two windows at once is told in one of them that it failed, and
    /// takes another way to the same money.
    #[test]
    fn what_two_keep_at_once_is_kept_for_both() {
        let home = tempfile::tempdir().expect("a folder");
        for n in 0..200 {
            let file = home.path().join(format!("outbox/{n}.json"));
            let start = std::sync::Barrier::new(4);
            let one = || {
                start.wait();
                keep(&file, b"signed")
            };
            std::thread::scope(|scope| {
                let all: Vec<_> = (0..4).map(|_| scope.spawn(one)).collect();
                for one in all {
                    one.join().expect("it ends").expect("kept");
                }
            });
            assert_eq!(fs::read(&file).expect("kept"), b"signed\n");
        }
    }

    /// What is taken for another payment is paid twice; what is taken for the same one
    /// stands in the way of money that its owner never had.
    #[test]
    fn an_iou_is_like_another_that_does_the_same() {
        let hash = Hash::sha3(b"");
        let solver = Solver { output: Pointer { record: hash, index: 1 }, hashee: None };
        let plain_lock = Draft { random: "another".to_owned(), ..swapping(hash, 7_000) };
        let granted = |credit: &str| Draft { credit: Some(credit.to_owned()), ..draft() };
        let same = [
            (draft(), Draft { amount: "0.0".to_owned(), random: "another".to_owned(), ..draft() }),
            (draft(), Draft { expiry: Time::from_unix_ms(7), ..draft() }),
            (granted("-5"), granted("-5.0")),
            // Offered once more, a swap has another hash, and ends later.
            (swapping(hash, 7_000), swapping(Hash::sha3(b"another"), 8_000)),
            (plain_lock.clone(), Draft { random: "a third".to_owned(), ..plain_lock.clone() }),
        ];
        let other = [
            (Draft { solver: Some(solver), ..draft() }, granted("-5")),
            (draft(), granted("-5")),
            (granted("5"), granted("-5")),
            (draft(), Draft { active: Some(Time::from_unix_ms(7)), ..draft() }),
            (draft(), swapping(hash, 7_000)),
            (plain_lock, Draft { random: "a third".to_owned(), ..swapping(hash, 8_000) }),
        ];
        let cases = same.map(|(kept, new)| (kept, new, true));
        for (kept, new, expected) in
            cases.into_iter().chain(other.map(|(kept, new)| (kept, new, false)))
        {
            let value = |draft: &Draft| serde_json::from_slice(&draft.unsigned()).expect("JSON");
            assert_eq!(is_like(&value(&kept), &value(&new)), expected, "{kept:?} {new:?}");
        }
    }
}
