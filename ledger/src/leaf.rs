//! Leaves of the log: one document each, read as an auditor must, who takes
//! nothing for granted and says which rule is broken first.

use crate::block::{Block, Genesis, Keys, Stack};
use crate::document::Document;
use crate::hash::Hash;
use crate::json::{self, Value, member};
use crate::limits::DEPTH_MAX;
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

/// Which rule a leaf breaks; of several the first is the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Not one canonical document of a known kind within its size.
    Encoding,
    /// A hash is not that of what it names, or of a kind that is not allowed.
    Hash,
    /// A field of a genesis, keys, stack or block is missing, unknown or off
    /// its grammar, or its domain is not the log's.
    Header,
}

/// Why bytes are no leaf.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail} (at {pointer:?})")]
pub struct LeafError {
    /// Which rule.
    pub fault: Fault,
    /// `data.kind`, when at least that can be read: one of the five, in JSON of
    /// the profile that may have every other fault.
    pub kind: Option<&'static str>,
    /// JSON pointer to the part.
    pub pointer: String,
    /// One sentence for people.
    pub detail: String,
}

impl LeafError {
    fn new(fault: Fault, pointer: impl Into<String>, detail: impl Into<String>) -> LeafError {
        LeafError { fault, kind: None, pointer: pointer.into(), detail: detail.into() }
    }

    fn of_kind_in(mut self, bytes: &[u8]) -> LeafError {
        // No value takes less than two bytes.
        let count = json::Count::new(bytes.len() / 2 + 1);
        let value = json::parse_part(bytes, DEPTH_MAX, &count).ok();
        let data = value.as_ref().and_then(|value| member(value, "data"));
        self.kind = data.and_then(kind_of);
        self
    }
}

/// The kinds of documents in a log.
const KINDS: [&str; 5] = ["block", "genesis", "keys", "record", "stack"];

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

/// Reads a document of one kind that is not a record.
pub(crate) fn parse_header<T>(
    bytes: &[u8],
    kind: &str,
    read: impl Fn(&Document<'_>, &[u8]) -> Result<T, Rejection>,
) -> Result<T, LeafError> {
    let read = || {
        let document = parse_document(bytes)?;
        if known_kind(&document)? != kind {
            let detail = format!("a document of another kind than {kind}");
            return Err(LeafError::new(Fault::Encoding, "/data/kind", detail));
        }
        document.named.clone().map_err(in_fault(Fault::Hash))?;
        read(&document, bytes).map_err(in_fault(Fault::Header))
    };
    read().map_err(|error| error.of_kind_in(bytes))
}

fn parse_document(bytes: &[u8]) -> Result<Document<'_>, LeafError> {
    let document = Document::parse(bytes).map_err(in_fault(Fault::Encoding))?;
    match &document.meta {
        Value::Object(_) => Ok(document),
        _ => Err(LeafError::new(Fault::Encoding, "/meta", "expected an object")),
    }
}

fn known_kind(document: &Document<'_>) -> Result<&'static str, LeafError> {
    kind_of(&document.data).ok_or_else(|| {
        let detail = format!("expected one of {}", KINDS.join(", "));
        LeafError::new(Fault::Encoding, "/data/kind", detail)
    })
}

/// `data.kind`, if it is one of the five.
fn kind_of(data: &Value<'_>) -> Option<&'static str> {
    let kind = text_of(data, "kind")?;
    KINDS.into_iter().find(|known| *known == kind)
}

fn text_of<'v>(value: &'v Value<'_>, key: &str) -> Option<&'v str> {
    match member(value, key) {
        Some(Value::Text(text)) => Some(text.as_str()),
        _ => None,
    }
}

/// A rejection as the fault of a leaf.
fn in_fault(fault: Fault) -> impl Fn(Rejection) -> LeafError + Copy {
    move |rejection| {
        let Rejection { pointer, mut detail, limit, actual, .. } = rejection;
        if let (Some(limit), Some(actual)) = (limit, actual) {
            detail += &format!(": {actual} where {limit} is allowed");
        }
        LeafError::new(fault, pointer, detail)
    }
}
