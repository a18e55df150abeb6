//! Leaves of the log: one document each, read as an auditor must, who takes
//! nothing for granted and says which rule is broken first.

use crate::block::{Block, Genesis, Keys, Stack};
use crate::document::Document;
pub use crate::fault::{Fault, LeafError};
use crate::fault::{in_fault, known_kind, parse_document};
use crate::hash::Hash;
use crate::json::text_of;
use crate::record::Record;
use crate::rejection::{Code, Rejection};
use crate::request::Request;
use crate::shape::{Object, Path, array};

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
        Leaf::read(bytes, domain).map_err(|error| error.of_kind_in(bytes))
    }

    fn read(bytes: &[u8], domain: &str) -> Result<Leaf, LeafError> {
        let document = parse_document(bytes)?;
        let kind = known_kind(&document)?;
        if kind == "record" {
            return Entry::read(&document, bytes, domain).map(Box::new).map(Leaf::Record);
        }
        document.named.clone().map_err(in_fault(Fault::Hash))?;
        let leaf = match kind {
            "genesis" => Genesis::read(&document, bytes).map(Leaf::Genesis),
            "keys" => Keys::read(&document, bytes).map(Leaf::Keys),
            "stack" => Stack::read(&document, bytes).map(Leaf::Stack),
            _ => Block::read(&document, bytes).map(Box::new).map(Leaf::Block),
        };
        let leaf = leaf.map_err(in_fault(Fault::Header))?;
        if text_of(&document.data, "domain") != Some(domain) {
            let detail = format!("this log's domain is {domain:?}");
            return Err(LeafError::new(Fault::Header, "/data/domain", detail));
        }
        Ok(leaf)
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

impl Entry {
    fn read(document: &Document<'_>, bytes: &[u8], domain: &str) -> Result<Entry, LeafError> {
        let encoding = in_fault(Fault::Encoding);
        let record = Record::read(document, bytes).map_err(encoding)?;
        let root = Path::ROOT;
        let meta_at = root.key("meta");
        let at = meta_at.key("inputs");
        let inputs = Object::new(&document.meta, &meta_at, &["inputs"])
            .and_then(|meta| array(meta.required("inputs", &meta_at)?, &at))
            .map_err(encoding)?;
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
        if record.domain() != domain {
            let detail = format!("this log's domain is {domain:?}");
            request = Err(Rejection::new(Code::WrongDomain, "/data/domain", detail));
        }
        Ok(Entry { record, request })
    }
}
