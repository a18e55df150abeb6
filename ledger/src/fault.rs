//! What can be wrong with a document of the log, whatever its kind.

use crate::document::Document;
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
    pub(crate) fn new(
        fault: Fault,
        pointer: impl Into<String>,
        detail: impl Into<String>,
    ) -> LeafError {
        LeafError { fault, kind: None, pointer: pointer.into(), detail: detail.into() }
    }

    pub(crate) fn of_kind_in(mut self, bytes: &[u8]) -> LeafError {
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

pub(crate) fn parse_document(bytes: &[u8]) -> Result<Document<'_>, LeafError> {
    let document = Document::parse(bytes).map_err(in_fault(Fault::Encoding))?;
    match &document.meta {
        Value::Object(_) => Ok(document),
        _ => Err(LeafError::new(Fault::Encoding, "/meta", "expected an object")),
    }
}

pub(crate) fn known_kind(document: &Document<'_>) -> Result<&'static str, LeafError> {
    kind_of(&document.data).ok_or_else(|| {
        let detail = format!("expected one of {}", KINDS.join(", "));
        LeafError::new(Fault::Encoding, "/data/kind", detail)
    })
}

/// `kind` in the data of a document, if it is one of the five.
pub(crate) fn kind_of(data: &Value<'_>) -> Option<&'static str> {
    let kind = text_of(data, "kind")?;
    KINDS.into_iter().find(|known| *known == kind)
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
