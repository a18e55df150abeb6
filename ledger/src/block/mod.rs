//! Blocks, and the other documents a log keeps about itself: genesis, keys,
//! stacks. What each says stands in its fields; what it is, in its bytes.
//!
//! A document here is well formed and bears its name by right. Whether it
//! fits what stands before it in the log is for the auditor to say, and
//! whether a signature is good for whoever holds the keys.

mod at_height;
mod genesis;
mod keys;
mod stack;
mod whole;

pub use at_height::AtHeight;
pub use genesis::Genesis;
pub use keys::Keys;
pub use stack::Stack;
pub use whole::whole;

use faster_hex::hex_string;

use crate::document::{self, Document};
use crate::fault::{self, Kind, LeafError};
use crate::hash::Hash;
use crate::merkle::Node;
use crate::rejection::Rejection;
use crate::shape::{Object, Path};
use crate::time::Time;

/// Records in a block at most.
pub const BLOCK_RECORDS_MAX: u64 = 4_096;
/// Bytes of a block's records at most, unless it has only one.
pub const BLOCK_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The version of the rules that this code knows.
pub const RULES: &str = "1";

/// What a block says of itself: its `data`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The log's origin.
    pub domain: String,
    /// Blocks before it.
    pub height: u64,
    /// Name of the block before; of the genesis for block 0.
    pub previous: Hash,
    /// Index of its first leaf: the size of the checkpoint before.
    pub first: u64,
    /// Leaves in it, the block document itself not counted.
    pub leaves: u64,
    /// Records among them.
    pub records: u64,
    /// Number of the last record cleared so far; 0 = none.
    pub cleared: u64,
    /// Time of its last record; without records, the writer's when it was intended.
    pub time: Time,
    /// SHA3 tree over its leaves.
    pub root: Node,
    /// SHA-256 root of the log at size `first`.
    pub log: Node,
    /// The log's signature line on the checkpoint of that size.
    pub signature: String,
    /// Root of the accounts after its last record.
    pub state: Node,
    /// Root of the units after its last record.
    pub units: Node,
}

/// A block: the last of its own leaves, closing it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// What it says.
    pub header: Header,
    /// Its name.
    pub hash: Hash,
    /// Canonical JSON of the whole document.
    pub bytes: Vec<u8>,
}

const KEYS: &[&str] = &[
    "cleared",
    "domain",
    "first",
    "height",
    "kind",
    "leaves",
    "log",
    "previous",
    "records",
    "root",
    "rules",
    "signature",
    "state",
    "time",
    "units",
];

impl Block {
    /// The document of this header.
    pub fn new(header: Header) -> Block {
        let (hash, bytes) = document::of_texts(&[
            ("cleared", &header.cleared.to_string()),
            ("domain", &header.domain),
            ("first", &header.first.to_string()),
            ("height", &header.height.to_string()),
            ("kind", "block"),
            ("leaves", &header.leaves.to_string()),
            ("log", &hex_string(&header.log)),
            ("previous", &header.previous.to_string()),
            ("records", &header.records.to_string()),
            ("root", &hex_string(&header.root)),
            ("rules", RULES),
            ("signature", &header.signature),
            ("state", &hex_string(&header.state)),
            ("time", &header.time.to_string()),
            ("units", &hex_string(&header.units)),
        ]);
        Block { header, hash, bytes }
    }

    /// Reads a block as it is stored.
    ///
    /// # Errors
    /// What is wrong first, in the order of [`crate::leaf::Fault`].
    pub fn parse(bytes: &[u8]) -> Result<Block, LeafError> {
        fault::parse_header(bytes, Kind::Block, Block::read)
    }

    pub(crate) fn read(document: &Document<'_>, bytes: &[u8]) -> Result<Block, Rejection> {
        let at = &Path::ROOT;
        let at = &at.key("data");
        let data = header(document, KEYS)?;
        check_rules(&data, at)?;
        let header = Header {
            domain: data.text("domain", at)?.to_owned(),
            height: data.number("height", at)?,
            previous: data.parsed("previous", at)?,
            first: data.number("first", at)?,
            leaves: data.number("leaves", at)?,
            records: data.number("records", at)?,
            cleared: data.number("cleared", at)?,
            time: data.parsed("time", at)?,
            root: data.parsed::<Hash>("root", at)?.0,
            log: data.parsed::<Hash>("log", at)?.0,
            signature: data.text("signature", at)?.to_owned(),
            state: data.parsed::<Hash>("state", at)?.0,
            units: data.parsed::<Hash>("units", at)?.0,
        };
        Ok(Block { header, hash: document.hash, bytes: bytes.to_vec() })
    }
}

/// The data of a document that has nothing in its meta.
fn header<'v, 'a>(document: &'v Document<'a>, known: &[&str]) -> Result<Object<'v, 'a>, Rejection> {
    let root = Path::ROOT;
    Object::new(&document.meta, &root.key("meta"), &[])?;
    Object::new(&document.data, &root.key("data"), known)
}

/// The rules are the ones known here.
fn check_rules(data: &Object<'_, '_>, at: &Path<'_>) -> Result<(), Rejection> {
    match data.text("rules", at)? {
        RULES => Ok(()),
        _ => Err(at.key("rules").malformed(format!("the rules known here are {RULES:?}"))),
    }
}
