//! What two parties agree on: a lock each, of one hash, on two servers.
//!
//! Whatever is signed for a swap follows from its terms alone, also what makes
//! an IOU another than all others. So a step that is done again, after a crash
//! or by mistake, is the same IOU, which clears once.

use std::fmt::Display;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context as _, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use webwallet_ledger::Pointer;
use webwallet_ledger::account::AccountId;
use webwallet_ledger::address::Address;
use webwallet_ledger::amount::Amount;
use webwallet_ledger::draft::Draft;
use webwallet_ledger::hash::Hash;
use webwallet_ledger::lock::{Lock, Locker, Solver, puzzle_of};
use webwallet_ledger::time::Time;

use crate::client::{Ca, Server, data, segment};
use crate::pay::EXPIRY_DAYS;
use crate::{account, config, file, record};

/// Between now, the end of the second lock and that of the first, at least: so
/// that whoever has to act has time to.
pub const PHASE_MS: i64 = 600_000;

/// The terms of a swap, as both have them.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// SHA-256 of the preimage that opens both locks.
    #[serde(with = "text")]
    pub hash: Hash,
    /// The lock of whoever offers: it is made first, and ends last.
    pub first: Leg,
    /// The lock of whoever accepts.
    pub second: Leg,
}

/// One lock.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leg {
    /// The server.
    pub url: String,
    /// What the server says that it is.
    pub domain: String,
    /// In which unit.
    #[serde(with = "text")]
    pub unit: Address,
    /// A decimal.
    pub amount: String,
    /// Who locks.
    #[serde(with = "text")]
    pub source: Address,
    /// Who may take it.
    #[serde(with = "text")]
    pub target: Address,
    /// From this time on it is its source's again.
    #[serde(with = "text")]
    pub until: Time,
}

/// What is found of a lock.
pub enum Found {
    /// It is there, and nobody has used it.
    Open(Pointer),
    /// Its target has taken it, showing this.
    Taken(String),
    /// It was never made, or its source has it back.
    Nothing,
}

/// In documents a text.
mod text {
    use super::{Deserialize, Deserializer, Display, FromStr, Serializer};

    pub fn serialize<S: Serializer>(value: &impl Display, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub fn deserialize<'de, D, T>(from: D) -> Result<T, D::Error>
    where
        D: Deserializer<'de>,
        T: FromStr<Err: Display>,
    {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

#[derive(Deserialize)]
struct Outputs {
    outputs: Vec<Placed>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Placed {
    pointer: String,
    content: Box<RawValue>,
}

impl Terms {
    /// Reads them from a file.
    pub fn read(file: &Path) -> anyhow::Result<Terms> {
        let terms = Terms::load(file)?;
        terms.check().with_context(|| are_none(file))?;
        Ok(terms)
    }

    /// The same of terms that nobody could accept: one's own is had back by one's own lock alone.
    pub fn load(file: &Path) -> anyhow::Result<Terms> {
        let load = || Ok::<_, anyhow::Error>(serde_json::from_slice(&file::read(file)?)?);
        load().with_context(|| are_none(file))
    }

    /// Whether both can take each step, and whoever accepts has time to claim.
    pub fn check(&self) -> anyhow::Result<()> {
        let (first, second) = (&self.first, &self.second);
        ensure!(
            (first.source, first.target) == (second.target, second.source),
            "each of the two must be paid by the other"
        );
        for leg in [first, second] {
            leg.check()?;
            // What stands before an `@` reads as the server, and is none.
            let host = leg.url.split_once("://").map_or("", |(_, rest)| rest);
            let host = host.split('/').next().unwrap_or_default();
            ensure!(
                !host.contains('@'),
                "{:?} holds a user: ask for terms with the address of the server alone",
                leg.url
            );
        }
        let (first, second) = (first.until, second.until);
        ensure!(
            first.unix_ms() >= second.unix_ms() + PHASE_MS,
            "whoever accepts would have less than ten minutes: the first lock ends at {first}, the second at {second}"
        );
        Ok(())
    }
}

fn are_none(file: &Path) -> String {
    format!("these are no terms of a swap: {}", file.display())
}

impl Leg {
    /// How much, if anybody could lock it.
    pub fn amount(&self) -> anyhow::Result<Amount> {
        let Leg { amount, .. } = self;
        let parsed = Amount::parse(amount).with_context(|| {
            format!("{amount:?} is no amount: name a decimal, such as 7 or 0.5")
        })?;
        ensure!(
            parsed.is_positive(),
            "an amount of {amount} cannot be locked: name more than zero"
        );
        Ok(parsed)
    }

    /// Whether it can be locked, and shown before anything is signed: it is somebody else's text.
    pub fn check(&self) -> anyhow::Result<()> {
        self.amount()?;
        config::check_domain(&self.domain)?;
        let is_shown_as_it_is = self.url.bytes().all(|byte| byte.is_ascii_graphic());
        ensure!(is_shown_as_it_is, "{:?} is no address of a server", self.url);
        Ok(())
    }

    /// The server, if it is of the domain.
    pub fn server(&self, ca: &Ca) -> anyhow::Result<Server> {
        let server = ca.server(&self.url)?;
        let domain = server.domain()?;
        ensure!(
            domain == self.domain,
            "{} is the server of {domain}, and the terms are about {}",
            self.url,
            self.domain
        );
        Ok(server)
    }

    fn locker(&self, hash: Hash) -> Locker {
        Locker { active: None, expiry: self.until, puzzle: Some(hash), script: None }
    }

    /// The lock as it must stand on the server.
    pub fn lock(&self, hash: Hash) -> anyhow::Result<Lock> {
        let account = AccountId { unit: self.unit, address: self.target };
        let (amount, locker) = (self.amount()?, self.locker(hash));
        Ok(Lock { account, source: self.source, amount, locker })
    }

    /// The IOU that makes it.
    pub fn locking(&self, hash: Hash) -> Draft {
        Draft {
            amount: self.amount.clone(),
            locker: Some(self.locker(hash)),
            ..self.draft(hash, self.source, self.target)
        }
    }

    /// The IOU by which its target takes it.
    pub fn taking(&self, hash: Hash, output: Pointer, hashee: String) -> Draft {
        let solver = Some(Solver { output, hashee: Some(hashee) });
        Draft { solver, ..self.draft(hash, self.target, self.source) }
    }

    /// The IOU by which its source has it back.
    pub fn returning(&self, hash: Hash, output: Pointer) -> Draft {
        Draft {
            expiry: self.until.plus_days(EXPIRY_DAYS),
            solver: Some(Solver { output, hashee: None }),
            ..self.draft(hash, self.source, self.target)
        }
    }

    fn draft(&self, hash: Hash, source: Address, target: Address) -> Draft {
        Draft {
            domain: self.domain.clone(),
            source,
            target,
            symbol: self.unit,
            amount: "0".to_owned(),
            random: hash.to_string(),
            expiry: self.until,
            active: None,
            credit: None,
            locker: None,
            solver: None,
        }
    }

    /// What has become of it.
    pub fn find(&self, server: &Server, hash: Hash) -> anyhow::Result<Found> {
        if let Some(pointer) = self.open(server, hash)? {
            return Ok(Found::Open(pointer));
        }
        Ok(self.shown(server, hash)?.map_or(Found::Nothing, Found::Taken))
    }

    /// The lock, if nobody has used it.
    pub fn open(&self, server: &Server, hash: Hash) -> anyhow::Result<Option<Pointer>> {
        let (lock, mut open) = (self.lock(hash)?, None);
        self.each_output(server, "unspent", |output| {
            if Lock::parse(output.content.get().as_bytes()).as_ref() == Ok(&lock) {
                open = Some(output.pointer.parse()?);
            }
            Ok(open.is_some())
        })?;
        Ok(open)
    }

    /// What its target has shown to take a lock of this hash.
    fn shown(&self, server: &Server, hash: Hash) -> anyhow::Result<Option<String>> {
        #[derive(Deserialize)]
        struct Content {
            sources: Vec<String>,
        }
        // The lock, if it was made by the IOU that our commands sign; the target may have
        // taken many others since, and each would have to be looked into.
        let made = self.made(server, hash)?.map(|pointer| pointer.to_string());
        // Beside the output before it, one consumes the locks that it was paid from.
        let look = |output: Option<Placed>, before: &str| {
            let Some(Placed { pointer, content }) = output else { return Ok(None) };
            let Content { sources } = serde_json::from_str(content.get())?;
            let takes = |source: &String| match &made {
                Some(made) => source == made,
                None => source != before,
            };
            match sources.iter().any(takes) {
                true => preimage(server, pointer.parse()?, hash),
                false => Ok(None),
            }
        };
        let (mut shown, mut newer) = (None, None);
        self.each_output(server, "history", |output| {
            let before = output.pointer.clone();
            shown = look(newer.replace(output), &before)?;
            Ok(shown.is_some())
        })?;
        match shown {
            None => look(newer, ""),
            shown => Ok(shown),
        }
    }

    /// The lock that [`Leg::locking`] has made, be it used or not.
    pub fn made(&self, server: &Server, hash: Hash) -> anyhow::Result<Option<Pointer>> {
        let iou = self.locking(hash).hash();
        let Some(entry) = record::of_iou(server, iou)? else { return Ok(None) };
        let lock = self.lock(hash)?;
        Ok(entry.record.locked().find(|(_, made)| **made == lock).map(|(pointer, _)| pointer))
    }

    /// The entries of a list of the target's, until one is the last that is wanted.
    fn each_output(
        &self,
        server: &Server,
        list: &str,
        mut take: impl FnMut(Placed) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let Leg { target, unit, .. } = self;
        let path = format!("/address/{target}/outputs/{list}?counter={unit}&limit=1000");
        let (mut cursor, mut last) = (String::new(), String::new());
        loop {
            let Outputs { outputs, next } = get(server, &format!("{path}{cursor}"))?;
            let has_some = !outputs.is_empty();
            for output in outputs {
                if take(output)? {
                    return Ok(());
                }
            }
            let Some(next) = next else { return Ok(()) };
            // Each page is of something, and goes on: else it would be read for ever.
            ensure!(
                has_some && next != last,
                "{} answers a list that does not go on: {path}",
                server.url()
            );
            cursor = format!("&cursor={}", segment(&next));
            last = next;
        }
    }
}

/// What some IOU of a record shows of a hash.
fn preimage(server: &Server, output: Pointer, hash: Hash) -> anyhow::Result<Option<String>> {
    let asked = output.record;
    let entry = record::named(server, asked)?;
    let entry = entry.with_context(|| format!("{} has no record {asked}", server.url()))?;
    let request = entry.request.with_context(|| format!("the IOUs of the record {asked}"))?;
    let mut shown = request.inputs.into_iter().filter_map(|iou| iou.solver?.hashee);
    Ok(shown.find(|hashee| puzzle_of(hashee) == hash))
}

fn get<T: DeserializeOwned>(server: &Server, path: &str) -> anyhow::Result<T> {
    let body = server.found(path)?;
    let body = body.with_context(|| format!("{} has no {path}", server.url()))?;
    account::parse(data(&body)?.get())
}
