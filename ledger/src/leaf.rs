//! Leaves of the log: one document each, read as an auditor must, who takes
//! nothing for granted and says which rule is broken first.

use crate::block::{Block, Genesis, Keys, Stack};
use crate::document::Document;
pub use crate::fault::{Fault, Kind, LeafError};
use crate::fault::{in_fault, known_kind, parse_document, read_header};
use crate::hash::Hash;
use crate::json::text_of;
use crate::record::{self, Record};
use crate::rejection::{Code, Rejection};
use crate::request::Request;
use crate::shape::Path;
use crate::time::Time;

/// A leaf whose shape and hashes are right.
#[derive(Clone, Debug)]
pub enum Leaf {
    /// The first leaf of a log.
    Genesis(Genesis),
    /// A change of the log's key.
    Keys(Keys),
    /// The blocks since the last stack.
    Stack(Stack),
    /// The end of a block.
    Block(Box<Block>),
    /// A cleared request.
    Record(Box<Entry>),
}

/// A leaf of which a record's meaning was not read.
#[derive(Clone, Debug)]
pub enum Outline {
    /// A record: a canonical document that bears its name by right and has a
    /// number and a time, whatever else is in it.
    Record {
        /// `data.number`.
        number: u64,
        /// `data.time`.
        time: Time,
    },
    /// Any other leaf.
    Leaf(Box<Leaf>),
}

/// A record and the request that it claims to have cleared.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What clearing left.
    pub record: Record,
    /// Its IOUs, ready to be verified and cleared again; or why no server
    /// would have cleared them whatever the signatures and balances:
    /// `wrong_domain` (also when the record itself is of another domain), and
    /// the codes after it up to `signature_missing`.
    pub request: Result<Request, Rejection>,
}

impl Leaf {
    /// Reads a leaf of the log of this domain.
    ///
    /// # Errors
    /// What is wrong first, in the order of [`Fault`].
    pub fn parse(bytes: &[u8], domain: &str) -> Result<Leaf, LeafError> {
        Leaf::read(bytes, domain).map_err(|error| error.told_by(bytes))
    }

    /// The same, except that of a record only what the order of the log is made
    /// of is read: no IOU, no output.
    ///
    /// # Errors
    /// What is wrong first, in the order of [`Fault`].
    pub fn outline(bytes: &[u8], domain: &str) -> Result<Outline, LeafError> {
        let read = || {
            let document = parse_document(bytes)?;
            let kind = known_kind(&document)?;
            if kind != Kind::Record {
                let leaf = Leaf::of_kind(kind, &document, bytes, domain)?;
                return Ok(Outline::Leaf(Box::new(leaf)));
            }
            let (number, time) =
                record::place(&document.data).map_err(in_fault(Fault::Encoding))?;
            document.named.clone().map_err(in_fault(Fault::Hash))?;
            Ok(Outline::Record { number, time })
        };
        read().map_err(|error: LeafError| error.told_by(bytes))
    }

    fn read(bytes: &[u8], domain: &str) -> Result<Leaf, LeafError> {
        let document = parse_document(bytes)?;
        Leaf::of_kind(known_kind(&document)?, &document, bytes, domain)
    }

    fn of_kind(
        kind: Kind,
        document: &Document<'_>,
        bytes: &[u8],
        domain: &str,
    ) -> Result<Leaf, LeafError> {
        match kind {
            Kind::Record => Entry::read(document, bytes, domain).map(Box::new).map(Leaf::Record),
            Kind::Genesis => header(document, bytes, domain, Genesis::read).map(Leaf::Genesis),
            Kind::Keys => header(document, bytes, domain, Keys::read).map(Leaf::Keys),
            Kind::Stack => header(document, bytes, domain, Stack::read).map(Leaf::Stack),
            Kind::Block => {
                header(document, bytes, domain, Block::read).map(Box::new).map(Leaf::Block)
            }
        }
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        match self {
            Leaf::Genesis(_) => Kind::Genesis,
            Leaf::Keys(_) => Kind::Keys,
            Leaf::Stack(_) => Kind::Stack,
            Leaf::Block(_) => Kind::Block,
            Leaf::Record(_) => Kind::Record,
        }
    }

    /// The leaf as it stands in the log.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Leaf::Genesis(genesis) => &genesis.bytes,
            Leaf::Keys(keys) => &keys.bytes,
            Leaf::Stack(stack) => &stack.bytes,
            Leaf::Block(block) => &block.bytes,
            Leaf::Record(entry) => &entry.record.bytes,
        }
    }

    /// The name of its document.
    pub fn hash(&self) -> Hash {
        match self {
            Leaf::Genesis(genesis) => genesis.hash,
            Leaf::Keys(keys) => keys.hash,
            Leaf::Stack(stack) => stack.hash,
            Leaf::Block(block) => block.hash,
            Leaf::Record(entry) => entry.record.hash,
        }
    }
}

/// Reads a document of this domain that is no record.
fn header<T>(
    document: &Document<'_>,
    bytes: &[u8],
    domain: &str,
    read: impl Fn(&Document<'_>, &[u8]) -> Result<T, Rejection>,
) -> Result<T, LeafError> {
    let header = read_header(document, bytes, read)?;
    if text_of(&document.data, "domain") != Some(domain) {
        let detail = format!("this log's domain is {domain:?}");
        return Err(LeafError::new(Fault::Header, "/data/domain", detail));
    }
    Ok(header)
}

impl Entry {
    fn read(document: &Document<'_>, bytes: &[u8], domain: &str) -> Result<Entry, LeafError> {
        let encoding = in_fault(Fault::Encoding);
        let record = Record::read(document, bytes).map_err(encoding)?;
        let inputs = record::carried(&document.meta).map_err(encoding)?;
        let root = Path::ROOT;
        let meta_at = root.key("meta");
        let at = meta_at.key("inputs");
        let (ious, mut request) = match Request::from_values(inputs, domain, &at) {
            Ok(request) => (Some(request.ious()), Ok(request)),
            Err(refusal) => (refusal.ious, Err(refusal.rejection)),
        };
        if let Err(rejection) = &request
            && rejection.code < Code::UnsupportedHash
        {
            return Err(encoding(rejection.clone()));
        }
        document.named.clone().map_err(in_fault(Fault::Hash))?;
        if let Err(rejection) = &request
            && rejection.code <= Code::HashMismatch
        {
            return Err(in_fault(Fault::Hash)(rejection.clone()));
        }
        if ious.as_ref() != Some(&record.inputs) {
            let detail = "these are not the hashes of the IOUs in meta.inputs";
            return Err(LeafError::new(Fault::Hash, "/data/inputs", detail));
        }
        if !record.is_of(domain) {
            let detail = format!("this log's domain is {domain:?}");
            request = Err(Rejection::new(Code::WrongDomain, "/data/domain", detail));
        }
        Ok(Entry { record, request })
    }
}
