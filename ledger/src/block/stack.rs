//! A day of blocks, more or less, under one name: what is handed to an
//! auditor and archived.

use faster_hex::hex_string;

use crate::block::header;
use crate::document::{self, Document};
use crate::fault::{self, Kind, LeafError};
use crate::hash::Hash;
use crate::merkle::Node;
use crate::rejection::Rejection;
use crate::shape::Path;
use crate::time::Time;

/// All blocks since the stack before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stack {
    /// The log's origin.
    pub domain: String,
    /// Stacks before it.
    pub height: u64,
    /// Time of its last block.
    pub time: Time,
    /// Name of the stack before; of the genesis for stack 0.
    pub previous: Hash,
    /// Height of its first block.
    pub first: u64,
    /// How many blocks.
    pub blocks: u64,
    /// SHA3 tree whose leaves are the 32 bytes of the blocks' names.
    pub root: Node,
    /// Its name.
    pub hash: Hash,
    /// Canonical JSON of the whole document.
    pub bytes: Vec<u8>,
}

const KEYS: &[&str] = &["blocks", "domain", "first", "height", "kind", "previous", "root", "time"];

impl Stack {
    /// The stack of `blocks` blocks from height `first` on.
    pub fn new(
        domain: &str,
        height: u64,
        time: Time,
        previous: Hash,
        first: u64,
        blocks: u64,
        root: Node,
    ) -> Stack {
        let (hash, bytes) = document::of_texts(&[
            ("blocks", &blocks.to_string()),
            ("domain", domain),
            ("first", &first.to_string()),
            ("height", &height.to_string()),
            ("kind", "stack"),
            ("previous", &previous.to_string()),
            ("root", &hex_string(&root)),
            ("time", &time.to_string()),
        ]);
        Stack { domain: domain.into(), height, time, previous, first, blocks, root, hash, bytes }
    }

    /// Reads a stack as it is stored.
    ///
    /// # Errors
    /// What is wrong first, in the order of [`crate::leaf::Fault`].
    pub fn parse(bytes: &[u8]) -> Result<Stack, LeafError> {
        fault::parse_header(bytes, Kind::Stack, Stack::read)
    }

    pub(crate) fn read(document: &Document<'_>, bytes: &[u8]) -> Result<Stack, Rejection> {
        let at = &Path::ROOT;
        let at = &at.key("data");
        let data = header(document, KEYS)?;
        Ok(Stack {
            domain: data.text("domain", at)?.to_owned(),
            height: data.number("height", at)?,
            time: data.parsed("time", at)?,
            previous: data.parsed("previous", at)?,
            first: data.number("first", at)?,
            blocks: data.number("blocks", at)?,
            root: data.parsed::<Hash>("root", at)?.0,
            hash: document.hash,
            bytes: bytes.to_vec(),
        })
    }
}
