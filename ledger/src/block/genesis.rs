//! The first leaf of a log.

use crate::block::{RULES, check_rules, header};
use crate::document::{self, Document};
use crate::fault::{self, Kind, LeafError};
use crate::hash::Hash;
use crate::note::VerifierKey;
use crate::rejection::Rejection;
use crate::shape::Path;
use crate::time::Time;

/// Where a log begins: whose it is and which key signs it first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genesis {
    /// The log's origin.
    pub domain: String,
    /// Not after that of record 1.
    pub time: Time,
    /// The first key that signs checkpoints.
    pub key: VerifierKey,
    /// Its name.
    pub hash: Hash,
    /// Canonical JSON of the whole document.
    pub bytes: Vec<u8>,
}

impl Genesis {
    /// The genesis of this log.
    pub fn new(domain: &str, time: Time, key: VerifierKey) -> Genesis {
        let (hash, bytes) = document::of_texts(&[
            ("domain", domain),
            ("key", &key.to_string()),
            ("kind", "genesis"),
            ("rules", RULES),
            ("time", &time.to_string()),
        ]);
        Genesis { domain: domain.into(), time, key, hash, bytes }
    }

    /// Reads a genesis as it is stored.
    ///
    /// # Errors
    /// What is wrong first, in the order of [`crate::leaf::Fault`].
    pub fn parse(bytes: &[u8]) -> Result<Genesis, LeafError> {
        fault::parse_header(bytes, Kind::Genesis, Genesis::read)
    }

    pub(crate) fn read(document: &Document<'_>, bytes: &[u8]) -> Result<Genesis, Rejection> {
        let at = &Path::ROOT;
        let at = &at.key("data");
        let data = header(document, &["domain", "key", "kind", "rules", "time"])?;
        check_rules(&data, at)?;
        Ok(Genesis {
            domain: data.text("domain", at)?.to_owned(),
            time: data.parsed("time", at)?,
            key: data.parsed("key", at)?,
            hash: document.hash,
            bytes: bytes.to_vec(),
        })
    }
}
