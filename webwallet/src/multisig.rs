//! Multisigs: addresses that several keys hold together, kept under a name
//! beside the keys. There is nothing secret in one: it is a puzzle, which every
//! member keeps, and which travels with every IOU that it pays by.

use std::path::PathBuf;

use anyhow::ensure;
use faster_hex::hex_string;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use webwallet_ledger::draft::Draft;
use webwallet_ledger::puzzle::Puzzle;

use crate::key::Shown;

/// What stands where a key has its scheme.
const SCHEME: &str = "multisig";

/// A puzzle and the name it is kept under.
pub struct Multisig {
    /// Of the file.
    pub name: String,
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

    /// The bytes to be kept.
    pub fn to_bytes(&self) -> anyhow::Result<Vec<u8>> {
        Ok(serde_json::to_vec_pretty(&self.kept()?)?)
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
