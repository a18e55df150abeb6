//! Multisigs: addresses that several keys hold together, kept under a name
//! beside the keys. There is nothing secret in one: it is a puzzle, which every
//! member keeps, and which travels with every IOU that it pays by.

use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use faster_hex::{hex_decode_vec, hex_string};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use webwallet_ledger::address::Address;
use webwallet_ledger::draft::{Draft, add_signature};
use webwallet_ledger::hash::Hash;
use webwallet_ledger::puzzle::{Identity, Puzzle};
use webwallet_ledger::signature::Scheme;

use crate::key::{Holder, Home, Key, Keys, Shown};

/// What stands where a key has its scheme.
const SCHEME: &str = "multisig";

/// `webwallet key multisig`
#[derive(Args)]
pub struct Make {
    /// Lower-case letters, digits, `.`, `-`, `_`
    name: String,
    /// The weight that those who sign must have together
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(i32::MAX)))]
    threshold: u32,
    /// A public key, or one of your keys by name or address; weight 1 unless said
    #[arg(long = "member", required = true, value_name = "ADDRESS_OR_PUBLIC[:WEIGHT]")]
    members: Vec<String>,
    #[command(flatten)]
    home: Home,
}

/// A puzzle and the name it is kept under.
pub struct Multisig {
    name: String,
    /// Who may sign, and what is needed.
    pub puzzle: Puzzle,
}

/// A multisig as it is kept.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    name: String,
    address: String,
    scheme: String,
    puzzle: Box<RawValue>,
}

impl Make {
    /// Keeps the puzzle under its name.
    pub fn run(&self) -> anyhow::Result<Shown> {
        let keys = self.home.keys()?;
        let members = self.members.iter().map(|member| identity(member, &keys));
        let mut members = members.collect::<anyhow::Result<Vec<_>>>()?;
        // The same members in whatever order have the same address.
        members.sort_by(|a, b| (a.scheme, &a.public).cmp(&(b.scheme, &b.public)));
        let puzzle = Puzzle::new(self.threshold, &members)
            .map_err(|why| anyhow::anyhow!("no such multisig can be: {why}"))?;
        ensure!(
            puzzle.weight() >= u64::from(self.threshold),
            "all members together weigh {}, and the threshold is {}: nobody could ever pay from there",
            puzzle.weight(),
            self.threshold
        );
        let multisig = Multisig { name: self.name.clone(), puzzle };
        let file = keys.name(&self.name, &serde_json::to_vec_pretty(&multisig.kept()?)?)?;
        multisig.shown(file)
    }
}

impl Multisig {
    /// The multisig in a file; none if it is one of a key.
    pub fn read(name: &str, bytes: &[u8]) -> anyhow::Result<Option<Multisig>> {
        #[derive(Deserialize)]
        struct Any {
            scheme: String,
        }
        if serde_json::from_slice::<Any>(bytes)?.scheme != SCHEME {
            return Ok(None);
        }
        let kept: Kept = serde_json::from_slice(bytes)?;
        let puzzle = Puzzle::parse(kept.puzzle.get().as_bytes())?;
        let fits = kept.name == name && kept.address == puzzle.address().as_str();
        ensure!(fits, "its name, address and puzzle do not belong together");
        Ok(Some(Multisig { name: name.to_owned(), puzzle }))
    }

    /// The draft signed by those members whose keys are kept here.
    pub fn sign(&self, draft: &Draft, keys: &Keys) -> anyhow::Result<Vec<u8>> {
        self.sign_also(self.unsigned(draft), keys)
    }

    /// An IOU that this travels with, signed by those members as well.
    pub fn sign_also(&self, mut iou: Vec<u8>, keys: &Keys) -> anyhow::Result<Vec<u8>> {
        for (_, holder) in keys.holders()? {
            if let Holder::Key(key) = holder
                && self.puzzle.identity(Scheme::EddsaEd25519, &key.public()?).is_some()
            {
                iou = add_signature(&iou, &key.secret()?)?;
            }
        }
        Ok(iou)
    }

    /// The one of this hash among those kept here.
    pub fn named(script: &Hash, keys: &Keys) -> anyhow::Result<Option<Multisig>> {
        for (_, holder) in keys.holders()? {
            if let Holder::Multisig(multisig) = holder
                && multisig.puzzle.hash == *script
            {
                return Ok(Some(multisig));
            }
        }
        Ok(None)
    }

    /// The draft for its members to sign, one after the other.
    pub fn unsigned(&self, draft: &Draft) -> Vec<u8> {
        draft.unsigned_with(&[&self.puzzle])
    }

    /// What anyone may know of it.
    pub fn shown(self, file: PathBuf) -> anyhow::Result<Shown> {
        Ok(Shown {
            address: self.puzzle.address().to_string(),
            public: hex_string(&self.puzzle.data),
            scheme: SCHEME,
            file,
            puzzle: Some(self.kept()?.puzzle),
            name: self.name,
        })
    }

    fn kept(&self) -> anyhow::Result<Kept> {
        let puzzle = String::from_utf8(self.puzzle.to_bytes())?;
        Ok(Kept {
            name: self.name.clone(),
            address: self.puzzle.address().to_string(),
            scheme: SCHEME.to_owned(),
            puzzle: RawValue::from_string(puzzle)?,
        })
    }
}

/// A member as it is written on the command line.
fn identity(text: &str, keys: &Keys) -> anyhow::Result<Identity> {
    let (member, weight) = match text.split_once(':') {
        None => (text, 1),
        Some((member, weight)) => {
            let weight =
                weight.parse().ok().filter(|weight| (1..=i32::MAX as u32).contains(weight));
            let why = || format!("the weight of `{text}` is not a number from 1 to 2147483647");
            (member, weight.with_context(why)?)
        }
    };
    let identity = |scheme, public| Identity { scheme, public, weight };
    match (member.len(), hex_decode_vec(member.as_bytes())) {
        (64, Ok(public)) => return Ok(identity(Scheme::EddsaEd25519, public)),
        (66 | 130, Ok(public)) => return Ok(identity(Scheme::EcdsaEd25519, public)),
        _ => {}
    }
    let public = match member.parse() {
        Ok(address) => of_address(&address, keys)?.public(),
        Err(_) => keys
            .find(member)
            .with_context(|| {
                format!(
                    "`{member}` is neither a public key in hex nor an address nor one of your keys"
                )
            })?
            .public(),
    };
    Ok(identity(Scheme::EddsaEd25519, public?))
}

/// Our key with an address.
fn of_address(address: &Address, keys: &Keys) -> anyhow::Result<Key> {
    for (_, holder) in keys.holders()? {
        if let Holder::Key(key) = holder
            && key.address()? == *address
        {
            return Ok(key);
        }
    }
    bail!(
        "none of your keys has the address {address}; an address does not tell its public key, so ask its owner for that (webwallet key show NAME)"
    )
}
