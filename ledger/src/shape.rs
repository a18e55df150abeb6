//! Taking a JSON value apart while remembering where in the request it stands.

use std::fmt::Display;
use std::str::FromStr;

use faster_hex::hex_decode;

use crate::address::{Address, NotAnAddress};
use crate::checkpoint::decimal;
use crate::json::{Value, segment};
use crate::rejection::{Code, Earliest, Rejection};
use crate::signature::Scheme;

/// How much of an IOU is worth reading.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Everything.
    Whole,
    /// Codes up to `unsupported_hash` only: no address, no hash.
    Shape,
}

/// Where a value stands: a list from the inside out, built on the stack, made
/// into a JSON pointer only when something is wrong.
#[derive(Clone, Copy)]
pub(crate) struct Path<'p> {
    parent: Option<&'p Path<'p>>,
    step: Step<'p>,
}

#[derive(Clone, Copy)]
enum Step<'p> {
    Root,
    Key(&'p str),
    Index(usize),
}

impl<'p> Path<'p> {
    pub(crate) const ROOT: Path<'static> = Path { parent: None, step: Step::Root };

    pub(crate) fn key(&'p self, key: &'p str) -> Path<'p> {
        Path { parent: Some(self), step: Step::Key(key) }
    }

    pub(crate) fn index(&'p self, index: usize) -> Path<'p> {
        Path { parent: Some(self), step: Step::Index(index) }
    }

    pub(crate) fn pointer(&self) -> String {
        let before = self.parent.map(Path::pointer).unwrap_or_default();
        match self.step {
            Step::Root => before,
            Step::Key(key) => before + "/" + &segment(key),
            Step::Index(index) => format!("{before}/{index}"),
        }
    }

    pub(crate) fn malformed(&self, detail: impl Into<String>) -> Rejection {
        self.rejection(Code::Malformed, detail)
    }

    pub(crate) fn rejection(&self, code: Code, detail: impl Into<String>) -> Rejection {
        Rejection::new(code, self.pointer(), detail)
    }
}

/// An object whose keys are all known.
#[derive(Clone, Copy)]
pub(crate) struct Object<'v, 'a> {
    members: &'v [(crate::json::Text<'a>, Value<'a>)],
}

impl<'v, 'a> Object<'v, 'a> {
    /// The object, if it is one and has no key outside the list, which is sorted.
    pub(crate) fn new(
        value: &'v Value<'a>,
        at: &Path<'_>,
        known: &[&str],
    ) -> Result<Object<'v, 'a>, Rejection> {
        let Value::Object(members) = value else {
            return Err(at.malformed("expected an object"));
        };
        debug_assert!(known.is_sorted());
        // Both are in order: one walk along the list finds every key.
        let mut rest = known.iter();
        for (key, _) in members {
            let key = key.as_str();
            if !rest.any(|known| *known == key) {
                return Err(at.key(key).malformed(unknown(key, known)));
            }
        }
        Ok(Object { members })
    }

    pub(crate) fn optional(&self, key: &str) -> Option<&'v Value<'a>> {
        self.members.iter().find(|(k, _)| k.as_str() == key).map(|(_, value)| value)
    }

    pub(crate) fn required(&self, key: &str, at: &Path<'_>) -> Result<&'v Value<'a>, Rejection> {
        self.optional(key).ok_or_else(|| at.malformed(format!("the key {key:?} is missing")))
    }

    pub(crate) fn text(&self, key: &str, at: &Path<'_>) -> Result<&'v str, Rejection> {
        text(self.required(key, at)?, &at.key(key))
    }

    /// A text that is the one spelling of something.
    pub(crate) fn parsed<T: FromStr<Err: Display>>(
        &self,
        key: &str,
        at: &Path<'_>,
    ) -> Result<T, Rejection> {
        self.text(key, at)?.parse().map_err(|e: T::Err| at.key(key).malformed(e.to_string()))
    }

    pub(crate) fn optional_parsed<T: FromStr<Err: Display>>(
        &self,
        key: &str,
        at: &Path<'_>,
    ) -> Result<Option<T>, Rejection> {
        self.optional(key).map(|_| self.parsed(key, at)).transpose()
    }

    /// A decimal from 0 to 2^64-1 without leading zero.
    pub(crate) fn number(&self, key: &str, at: &Path<'_>) -> Result<u64, Rejection> {
        decimal(self.text(key, at)?).ok_or_else(|| {
            at.key(key).malformed("expected a decimal from 0 to 2^64-1 without leading zero")
        })
    }

    pub(crate) fn optional_text(
        &self,
        key: &str,
        at: &Path<'_>,
    ) -> Result<Option<&'v str>, Rejection> {
        self.optional(key).map(|value| text(value, &at.key(key))).transpose()
    }
}

/// "unknown key", with the nearest known one if it is near.
fn unknown(key: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        // Long keys cannot be near any of ours, and distance costs their product.
        .filter(|_| key.len() <= 40)
        .map(|known| (strsim::osa_distance(key, known), known))
        .min()
        // Of a short key, half is another word.
        .filter(|(distance, _)| *distance <= 3 && 2 * distance <= key.len());
    match nearest {
        Some((_, near)) => format!("unknown key; did you mean {near:?}?"),
        None if known.is_empty() => "unknown key; this object has none".to_owned(),
        None => format!("unknown key; known here: {}", known.join(", ")),
    }
}

pub(crate) fn text<'v>(value: &'v Value<'_>, at: &Path<'_>) -> Result<&'v str, Rejection> {
    match value {
        Value::Text(text) => Ok(text.as_str()),
        _ => Err(at.malformed("expected a string")),
    }
}

pub(crate) fn array<'v, 'a>(
    value: &'v Value<'a>,
    at: &Path<'_>,
) -> Result<&'v [Value<'a>], Rejection> {
    match value {
        Value::Array(items) => Ok(items),
        _ => Err(at.malformed("expected an array")),
    }
}

/// An address; an invalid one is noted.
pub(crate) fn address(text: &str, at: &Path<'_>, found: &mut Earliest) -> Option<Address> {
    match text.parse() {
        Ok(address) => Some(address),
        Err(error) => {
            let error: NotAnAddress = error;
            found.note(at.rejection(Code::AddressInvalid, error.to_string()));
            None
        }
    }
}

/// A scheme of signatures; one outside the list is noted.
pub(crate) fn scheme(text: &str, at: &Path<'_>, found: &mut Earliest) -> Option<Scheme> {
    let scheme = text.parse().ok();
    if scheme.is_none() {
        found.note_with(Code::UnsupportedScheme, || {
            let detail = "known are eddsa-ed25519 and ecdsa-ed25519";
            at.rejection(Code::UnsupportedScheme, detail)
        });
    }
    scheme
}

/// Hex of any case; never empty.
pub(crate) fn hex(text: &str, at: &Path<'_>) -> Result<Vec<u8>, Rejection> {
    let mut bytes = vec![0; text.len() / 2];
    match hex_decode(text.as_bytes(), &mut bytes) {
        Ok([_, ..]) => Ok(bytes),
        _ => Err(not_hex(at)),
    }
}

/// [`hex`] where nobody wants the bytes.
pub(crate) fn check_hex(text: &str, at: &Path<'_>) -> Result<(), Rejection> {
    let pairs = !text.is_empty() && text.len().is_multiple_of(2);
    match pairs && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        true => Ok(()),
        false => Err(not_hex(at)),
    }
}

fn not_hex(at: &Path<'_>) -> Rejection {
    at.malformed("expected pairs of hex digits")
}
