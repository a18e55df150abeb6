//! What can be wrong with a document of the log, whatever its kind.

use crate::document::Document;
use crate::hash::Hash;
use crate::json::{self, Value, member, text_of};
use crate::limits::DEPTH_MAX;
use crate::rejection::Rejection;

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

/// What a document of the log is: its `data.kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The end of a block.
    Block,
    /// The first leaf of a log.
    Genesis,
    /// A change of the log's key.
    Keys,
    /// A cleared request.
    Record,
    /// The blocks since the last stack.
    Stack,
}

impl Kind {
    const ALL: [Kind; 5] = [Kind::Block, Kind::Genesis, Kind::Keys, Kind::Record, Kind::Stack];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Block => "block",
            Kind::Genesis => "genesis",
            Kind::Keys => "keys",
            Kind::Record => "record",
            Kind::Stack => "stack",
        }
    }

    /// That of the data of a document, if it is one of the five.
    pub(crate) fn of(data: &Value<'_>) -> Option<Kind> {
        let kind = text_of(data, "kind")?;
        Kind::ALL.into_iter().find(|known| known.as_str() == kind)
    }
}

/// Why bytes are no leaf.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail} (at {pointer:?})")]
pub struct LeafError {
    /// Which rule.
    pub fault: Fault,
    /// `data.kind`, when at least that can be read: in JSON of the profile that
    /// may have every other fault.
    pub kind: Option<Kind>,
    /// What it calls itself, `hash.value` of such JSON: later documents may name it so.
    pub name: Option<Hash>,
    /// JSON pointer to the part.
    pub pointer: String,
    /// One sentence for people.
    pub detail: String,
}

impl LeafError {
    pub(crate) fn new(
        fault: Fault,
        pointer: impl Into<String>,
        detail: impl Into<String>,
    ) -> LeafError {
        let (pointer, detail) = (pointer.into(), detail.into());
        LeafError { fault, kind: None, name: None, pointer, detail }
    }

    /// The same with what these bytes, the leaf, say of themselves.
    pub(crate) fn told_by(mut self, bytes: &[u8]) -> LeafError {
        // No value takes less than two bytes.
        let count = json::Count::new(bytes.len() / 2 + 1);
        if let Ok(leaf) = json::parse_part(bytes, DEPTH_MAX, &count) {
            let name = member(&leaf, "hash").and_then(|hash| text_of(hash, "value"));
            self.kind = member(&leaf, "data").and_then(Kind::of);
            self.name = name.and_then(|name| name.parse().ok());
        }
        self
    }
}

/// Reads a document of one kind that is not a record.
pub(crate) fn parse_header<T>(
    bytes: &[u8],
    kind: Kind,
    read: impl Fn(&Document<'_>, &[u8]) -> Result<T, Rejection>,
) -> Result<T, LeafError> {
    let read = || {
        let document = parse_document(bytes)?;
        if known_kind(&document)? != kind {
            let detail = format!("a document of another kind than {}", kind.as_str());
            return Err(LeafError::new(Fault::Encoding, "/data/kind", detail));
        }
        read_header(&document, bytes, &read)
    };
    read().map_err(|error| error.told_by(bytes))
}

/// The same of a document whose kind is known.
pub(crate) fn read_header<T>(
    document: &Document<'_>,
    bytes: &[u8],
    read: impl Fn(&Document<'_>, &[u8]) -> Result<T, Rejection>,
) -> Result<T, LeafError> {
    document.named.clone().map_err(in_fault(Fault::Hash))?;
    read(document, bytes).map_err(in_fault(Fault::Header))
}

pub(crate) fn parse_document(bytes: &[u8]) -> Result<Document<'_>, LeafError> {
    let document = Document::parse(bytes).map_err(in_fault(Fault::Encoding))?;
    match &document.meta {
        Value::Object(_) => Ok(document),
        _ => Err(LeafError::new(Fault::Encoding, "/meta", "expected an object")),
    }
}

pub(crate) fn known_kind(document: &Document<'_>) -> Result<Kind, LeafError> {
    Kind::of(&document.data).ok_or_else(|| {
        let detail = format!("expected one of {}", Kind::ALL.map(Kind::as_str).join(", "));
        LeafError::new(Fault::Encoding, "/data/kind", detail)
    })
}

/// A rejection as the fault of a leaf.
pub(crate) fn in_fault(fault: Fault) -> impl Fn(Rejection) -> LeafError + Copy {
    move |rejection| {
        let Rejection { pointer, mut detail, limit, actual, .. } = rejection;
        if let (Some(limit), Some(actual)) = (limit, actual) {
            detail += &format!(": {actual} where {limit} is allowed");
        }
        LeafError::new(fault, pointer, detail)
    }
}
