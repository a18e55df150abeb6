//! Locks: amounts apart from every account, that one party may use until a
//! time and under conditions, and that go back to the other from then on.
//!
//! A lock is made by an IOU with a `locker` and used, whole and once, by one
//! with a `solver`. What a lock holds is in nobody's net, but in the unit's supply.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::account::AccountId;
use crate::address::Address;
use crate::amount::Amount;
use crate::hash::Hash;
use crate::json::{Value, write_text};
use crate::limits::HASHEE_CHARS_MAX;
use crate::pointer::Pointer;
use crate::rejection::{Code, Earliest, Rejection};
use crate::shape::{Object, Path, array};
use crate::time::Time;

/// Until when and on what conditions the target may use a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locker {
    /// The target may use it from this time on.
    pub active: Option<Time>,
    /// The target may use it before this time, the source from then on.
    pub expiry: Time,
    /// SHA-256 of what the target must show.
    pub puzzle: Option<Hash>,
    /// The puzzle whose signers must agree.
    pub script: Option<Hash>,
}

/// The use of a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Solver {
    /// The locked output.
    pub output: Pointer,
    /// What the lock's puzzle is the hash of.
    pub hashee: Option<String>,
}

/// A locked output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// Whose it is if the conditions are met, and in which unit.
    pub account: AccountId,
    /// Whose it is again when the time is over.
    pub source: Address,
    /// How much.
    pub amount: Amount,
    /// The conditions.
    pub locker: Locker,
}

const LOCKER_KEYS: &[&str] = &["puzzle", "script", "timers"];
const TIMER_KEYS: &[&str] = &["active", "expiry"];
const SOLVER_KEYS: &[&str] = &["hashee", "output"];
const LOCK_KEYS: &[&str] = &["address", "balance", "counter", "locker", "source", "sources"];

impl Locker {
    /// `Err` is always `malformed`.
    pub(crate) fn read(value: &Value<'_>, at: &Path<'_>) -> Result<Locker, Rejection> {
        let locker = Object::new(value, at, LOCKER_KEYS)?;
        let (timers, timers_at) = (locker.required("timers", at)?, at.key("timers"));
        let timers = Object::new(timers, &timers_at, TIMER_KEYS)?;
        let expiry: Time = timers.parsed("expiry", &timers_at)?;
        let active = timers.optional_parsed("active", &timers_at)?;
        if active.is_some_and(|active: Time| active >= expiry) {
            let at = timers_at.key("expiry");
            return Err(at.malformed("the lock would end before it begins"));
        }
        let puzzle = locker.optional_parsed("puzzle", at)?;
        let script = locker.optional_parsed("script", at)?;
        Ok(Locker { active, expiry, puzzle, script })
    }

    /// Appends its canonical JSON.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        for (key, hash) in [("puzzle", self.puzzle), ("script", self.script)] {
            if let Some(hash) = hash {
                write_text(key, out);
                out.push(b':');
                write_text(&hash.to_string(), out);
                out.push(b',');
            }
        }
        out.extend_from_slice(b"\"timers\":{");
        if let Some(active) = self.active {
            out.extend_from_slice(b"\"active\":");
            write_text(&active.to_string(), out);
            out.push(b',');
        }
        out.extend_from_slice(b"\"expiry\":");
        write_text(&self.expiry.to_string(), out);
        out.extend_from_slice(b"}}");
    }
}

impl Solver {
    /// `Err` is always `malformed`; later codes go into `found`.
    pub(crate) fn read(
        value: &Value<'_>,
        at: &Path<'_>,
        found: &mut Earliest,
    ) -> Result<Solver, Rejection> {
        let solver = Object::new(value, at, SOLVER_KEYS)?;
        let hashee = solver.optional_text("hashee", at)?;
        let chars = hashee.map_or(1, |hashee| hashee.chars().count());
        if chars == 0 {
            return Err(at.key("hashee").malformed("at least one character, or no such key"));
        }
        if chars > HASHEE_CHARS_MAX {
            let rejection = at.key("hashee").rejection(Code::TooLarge, "too many characters");
            found.note(rejection.measured(HASHEE_CHARS_MAX, chars));
        }
        Ok(Solver { output: solver.parsed("output", at)?, hashee: hashee.map(str::to_owned) })
    }

    /// Appends its canonical JSON.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        if let Some(hashee) = &self.hashee {
            out.extend_from_slice(b"\"hashee\":");
            write_text(hashee, out);
            out.push(b',');
        }
        out.extend_from_slice(b"\"output\":");
        write_text(&self.output.to_string(), out);
        out.push(b'}');
    }
}

/// The `puzzle` that this `hashee` solves: SHA-256 of its UTF-8 bytes, or of the
/// 32 bytes that `0x` and 64 lower-case hex digits stand for.
pub fn puzzle_of(hashee: &str) -> Hash {
    let bytes = hashee.strip_prefix("0x").and_then(|hex| hex.parse::<Hash>().ok());
    let digest = match bytes {
        Some(bytes) => Sha256::digest(bytes.0),
        None => Sha256::digest(hashee.as_bytes()),
    };
    Hash(digest.into())
}

impl Lock {
    /// Appends its canonical JSON.
    pub fn write(&self, out: &mut Vec<u8>) {
        let amount = self.amount.to_string();
        out.extend_from_slice(b"{\"address\":");
        write_text(self.account.address.as_str(), out);
        out.extend_from_slice(b",\"balance\":{\"max\":");
        write_text(&amount, out);
        out.extend_from_slice(b",\"min\":\"0\",\"net\":");
        write_text(&amount, out);
        out.extend_from_slice(b"},\"counter\":");
        write_text(self.account.unit.as_str(), out);
        out.extend_from_slice(b",\"locker\":");
        self.locker.write(out);
        out.extend_from_slice(b",\"source\":");
        write_text(self.source.as_str(), out);
        out.extend_from_slice(b",\"sources\":[]}");
    }

    /// Its canonical JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        self.write(&mut out);
        out
    }

    /// Reads what [`Lock::to_bytes`] gave.
    ///
    /// # Errors
    /// `malformed`.
    pub fn parse(json: &[u8]) -> Result<Lock, Rejection> {
        Lock::read(&crate::json::parse(json, crate::limits::DEPTH_MAX)?, &Path::ROOT)
    }

    pub(crate) fn read(value: &Value<'_>, at: &Path<'_>) -> Result<Lock, Rejection> {
        let output = Object::new(value, at, LOCK_KEYS)?;
        let (balance, balance_at) = (output.required("balance", at)?, at.key("balance"));
        let balance = Object::new(balance, &balance_at, &["max", "min", "net"])?;
        let [max, min, net] = ["max", "min", "net"].map(|key| balance.text(key, &balance_at));
        let (max, min, net) = (max?, min?, net?);
        let amount = Amount::parse(net).map_err(|e| balance_at.malformed(e.to_string()))?;
        if max != net || min != "0" {
            return Err(balance_at.malformed("a lock holds between zero and what is in it"));
        }
        let (sources, sources_at) = (output.required("sources", at)?, at.key("sources"));
        if !array(sources, &sources_at)?.is_empty() {
            return Err(sources_at.malformed("a lock consumes nothing"));
        }
        Ok(Lock {
            account: AccountId {
                unit: output.parsed("counter", at)?,
                address: output.parsed("address", at)?,
            },
            source: output.parsed("source", at)?,
            amount,
            locker: Locker::read(output.required("locker", at)?, &at.key("locker"))?,
        })
    }

    /// Whether this party may use it now, with what its IOU shows.
    ///
    /// # Errors
    /// `lock_not_yours`, `lock_closed` or `lock_unsolved`, with a pointer into
    /// the IOU.
    pub(crate) fn judge(&self, use_: &Use<'_>) -> Result<(), Rejection> {
        let Use { by, time, hashee, solved } = use_;
        let reject = |code, at: &str, detail: &str| Rejection::new(code, at, detail);
        let closed = |limit: Time, detail| {
            let at = "/data/solver/output";
            Err(reject(Code::LockClosed, at, detail).measured(limit, time))
        };
        let Locker { active, expiry, puzzle, script } = &self.locker;
        match () {
            () if *by == self.source && *time < expiry => {
                closed(*expiry, "the target may use the lock until this time")
            }
            () if *by == self.source => Ok(()),
            () if *by != self.account.address => {
                let detail = "the lock is between two others";
                Err(reject(Code::LockNotYours, "/data/solver/output", detail))
            }
            () if *time >= expiry => closed(*expiry, "from this time on the lock is its source's"),
            () if active.is_some_and(|active| **time < active) => {
                closed(active.unwrap_or(*expiry), "the lock opens later")
            }
            () if puzzle.is_some_and(|puzzle| hashee.map(puzzle_of) != Some(puzzle)) => {
                let detail = "the lock's puzzle is not the SHA-256 of hashee";
                let at = if hashee.is_some() { "/data/solver/hashee" } else { "/data/solver" };
                Err(reject(Code::LockUnsolved, at, detail))
            }
            () if script.is_some_and(|script| !solved(&script)) => {
                let detail = "the signatures do not solve the lock's script";
                Err(reject(Code::LockUnsolved, "/meta/signatures", detail))
            }
            () => Ok(()),
        }
    }
}

/// Who uses a lock, when, and what they show.
pub(crate) struct Use<'a> {
    pub(crate) by: Address,
    pub(crate) time: &'a Time,
    pub(crate) hashee: Option<&'a str>,
    /// Whether the signatures solve the puzzle of this name.
    pub(crate) solved: &'a dyn Fn(&Hash) -> bool,
}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} from {}", self.amount, self.account, self.source)
    }
}
