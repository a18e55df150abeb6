//! Leaves of the log: one document each, read as an auditor must, who takes
//! nothing for granted and says which rule is broken first.

use crate::block::{Block, Genesis, Keys, Stack};
use crate::document::Document;
use crate::hash::Hash;
use crate::json::Value;
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
    /// JSON pointer to the part.
    pub pointer: String,
    /// One sentence for people.
    pub detail: String,
}

impl LeafError {
    fn new(fault: Fault, rejection: Rejection) -> LeafError {
        let Rejection { pointer, mut detail, limit, actual, .. } = rejection;
        if let (Some(limit), Some(actual)) = (limit, actual) {
            detail += &format!(": {actual} where {limit} is allowed");
        }
        LeafError { fault, pointer, detail }
    }
}

impl Leaf {
    /// Reads a leaf of the log of this domain.
    ///
    /// # Errors
    /// What is wrong first, in the order of [`Fault`].
    pub fn parse(bytes: &[u8], domain: &str) -> Result<Leaf, LeafError> {
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
            return Err(LeafError { fault: Fault::Header, pointer: "/data/domain".into(), detail });
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
            return Err(LeafError {
                fault: Fault::Hash,
                pointer: "/data/inputs".into(),
                detail: "these are not the hashes of the IOUs in meta.inputs".into(),
            });
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
    let document = parse_document(bytes)?;
    if known_kind(&document)? != kind {
        let detail = format!("a document of another kind than {kind}");
        return Err(LeafError { fault: Fault::Encoding, pointer: "/data/kind".into(), detail });
    }
    document.named.clone().map_err(in_fault(Fault::Hash))?;
    read(&document, bytes).map_err(in_fault(Fault::Header))
}

fn parse_document(bytes: &[u8]) -> Result<Document<'_>, LeafError> {
    let document = Document::parse(bytes).map_err(in_fault(Fault::Encoding))?;
    match &document.meta {
        Value::Object(_) => Ok(document),
        _ => {
            let detail = "expected an object".into();
            Err(LeafError { fault: Fault::Encoding, pointer: "/meta".into(), detail })
        }
    }
}

/// `data.kind`, if it is one of the five.
fn known_kind<'d>(document: &'d Document<'_>) -> Result<&'d str, LeafError> {
    const KINDS: [&str; 5] = ["block", "genesis", "keys", "record", "stack"];
    text_of(&document.data, "kind").filter(|kind| KINDS.contains(kind)).ok_or_else(|| LeafError {
        fault: Fault::Encoding,
        pointer: "/data/kind".into(),
        detail: format!("expected one of {}", KINDS.join(", ")),
    })
}

/// The text under this key, if the value is an object that has one there.
fn text_of<'v>(value: &'v Value<'_>, key: &str) -> Option<&'v str> {
    let Value::Object(members) = value else { return None };
    match members.iter().find(|(k, _)| k.as_str() == key) {
        Some((_, Value::Text(text))) => Some(text.as_str()),
        _ => None,
    }
}

fn in_fault(fault: Fault) -> impl Fn(Rejection) -> LeafError + Copy {
    move |rejection| LeafError::new(fault, rejection)
}
