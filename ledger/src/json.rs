//! JSON as the protocol knows it: objects, arrays, strings and small positive
//! integers, no key twice, bounded depth and number; and its canonical form
//! (RFC 8785).
//!
//! Values borrow from the text they were read from, and there are at most so
//! many of them, so reading hostile input allocates little beyond the text:
//! 24 bytes a value, as many again for its key, as much again while lists are
//! open. The canonical writer is ours because the profile makes
//! it small (sort members, escape strings) and because it runs several times
//! for every payment; a test holds it against `serde_json_canonicalizer`.

use std::cell::{Cell, RefCell};
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};

use crate::limits::VALUES_MAX;
use crate::rejection::{Code, Rejection};

/// A string that is borrowed from the text where it had no escapes.
#[derive(Clone)]
pub enum Text<'a> {
    /// As it stands in the text.
    Borrowed(&'a str),
    /// It had escapes.
    Owned(Box<str>),
}

impl Text<'_> {
    /// The characters.
    pub fn as_str(&self) -> &str {
        match self {
            Text::Borrowed(text) => text,
            Text::Owned(text) => text,
        }
    }
}

impl PartialEq for Text<'_> {
    /// By characters: an escaped spelling is the same key.
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

/// A value of the profile. Members of an object are in canonical order.
#[derive(Clone, PartialEq)]
pub enum Value<'a> {
    /// A string.
    Text(Text<'a>),
    /// An integer from 1 to 2^31-1 (weights and thresholds of puzzles).
    Integer(u32),
    /// An array.
    Array(Box<[Value<'a>]>),
    /// An object, members sorted by the UTF-16 code units of their keys.
    Object(Box<[(Text<'a>, Value<'a>)]>),
}

/// Reads one value of the profile with at most `depth_max` objects and arrays
/// inside one another and [`VALUES_MAX`] values in all.
///
/// # Errors
/// [`Code::Malformed`] with a pointer to the first part that is not of the
/// profile, [`Code::TooLarge`] to the first value too many, whichever comes
/// first in the text.
pub fn parse(text: &[u8], depth_max: usize) -> Result<Value<'_>, Rejection> {
    parse_part(text, depth_max, &Count::new(VALUES_MAX))
}

/// Values read so far, over all the texts that count together.
pub(crate) struct Count {
    read: Cell<usize>,
    max: usize,
}

impl Count {
    pub(crate) fn new(max: usize) -> Count {
        Count { read: Cell::new(0), max }
    }

    /// One more, if it is not one too many.
    pub(crate) fn add(&self) -> bool {
        self.read.set(self.read.get() + 1);
        !self.is_over()
    }

    fn is_over(&self) -> bool {
        self.read.get() > self.max
    }
}

/// [`parse`] for one text of several, or with another number of values.
pub(crate) fn parse_part<'a>(
    text: &'a [u8],
    depth_max: usize,
    count: &Count,
) -> Result<Value<'a>, Rejection> {
    let path = RefCell::new(Vec::new());
    let mut reader = serde_json::Deserializer::from_slice(text);
    // Our own depth limit is lower than serde_json's 128, which also stands.
    let open = Open::default();
    let seed = Profile { depth_left: depth_max, count, open: &open, path: &path };
    let outcome = seed.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    outcome.map_err(|error| {
        let pointer = path.borrow().iter().fold(String::new(), |at, segment| at + "/" + segment);
        // Reading stops at the first value too many: no other fault comes after it.
        if count.is_over() {
            return Rejection::new(Code::TooLarge, pointer, "too many JSON values")
                .measured(count.max, count.read.get());
        }
        Rejection::new(Code::Malformed, pointer, error.to_string())
    })
}

/// One segment of a JSON pointer, escaped (RFC 6901).
pub(crate) fn segment(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// What has been read of the arrays and objects that are not closed yet, one
/// after the other: each is allocated once, when its size is known.
#[derive(Default)]
struct Open<'a> {
    items: RefCell<Vec<Value<'a>>>,
    members: RefCell<Vec<(Text<'a>, Value<'a>)>>,
}

/// Reads a value, knowing how deep it may go and where in the text it is.
#[derive(Clone, Copy)]
struct Profile<'p, 'a> {
    depth_left: usize,
    count: &'p Count,
    open: &'p Open<'a>,
    /// Left standing where reading failed.
    path: &'p RefCell<Vec<String>>,
}

impl Profile<'_, '_> {
    fn inside<E: serde::de::Error>(self) -> Result<Self, E> {
        match self.depth_left.checked_sub(1) {
            Some(depth_left) => Ok(Profile { depth_left, ..self }),
            None => Err(E::custom("nested too deeply")),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Profile<'_, 'de> {
    type Value = Value<'de>;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Value<'de>, D::Error> {
        if !self.count.add() {
            return Err(D::Error::custom("too many JSON values"));
        }
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Profile<'_, 'de> {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object, an array, a string or an integer from 1 to 2147483647")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Text::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Text::Owned(text.into())))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Value<'de>, E> {
        match u32::try_from(number) {
            Ok(n) if (1..=i32::MAX as u32).contains(&n) => Ok(Value::Integer(n)),
            _ => Err(E::invalid_value(serde::de::Unexpected::Unsigned(number), &self)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value<'de>, A::Error> {
        let inside = self.inside()?;
        let start = self.open.items.borrow().len();
        loop {
            // Written at once and corrected on the way out: the path costs a
            // payment nothing unless it is wrong.
            match items.next_element_seed(inside) {
                Ok(Some(value)) => self.open.items.borrow_mut().push(value),
                Ok(None) => {
                    let items = self.open.items.borrow_mut().drain(start..).collect();
                    return Ok(Value::Array(items));
                }
                Err(error) => {
                    // An array around this one counts what is left.
                    let place = self.open.items.borrow_mut().drain(start..).count();
                    self.path.borrow_mut().insert(0, place.to_string());
                    return Err(error);
                }
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value<'de>, A::Error> {
        let inside = self.inside()?;
        let start = self.open.members.borrow().len();
        while let Some(key) = entries.next_key::<Text<'de>>()? {
            match entries.next_value_seed(inside) {
                Ok(value) => self.open.members.borrow_mut().push((key, value)),
                Err(error) => {
                    self.path.borrow_mut().insert(0, segment(key.as_str()));
                    return Err(error);
                }
            }
        }
        let mut members: Box<[(Text<'de>, Value<'de>)]> =
            self.open.members.borrow_mut().drain(start..).collect();
        // Mostly they are in order already.
        if !members.is_sorted_by(|(a, _), (b, _)| order(a.as_str(), b.as_str()).is_lt()) {
            members.sort_unstable_by(|(a, _), (b, _)| order(a.as_str(), b.as_str()));
            if let Some(pair) = members.windows(2).find(|pair| pair[0].0 == pair[1].0) {
                self.path.borrow_mut().insert(0, segment(pair[0].0.as_str()));
                return Err(A::Error::custom("a key is given twice"));
            }
        }
        Ok(Value::Object(members))
    }
}

impl<'de> serde::Deserialize<'de> for Text<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Key;
        impl<'de> Visitor<'de> for Key {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text::Borrowed(text))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text::Owned(text.into()))
            }
        }
        reader.deserialize_str(Key)
    }
}

/// RFC 8785 section 3.2.3: by UTF-16 code units. For ASCII that is byte order.
fn order(a: &str, b: &str) -> std::cmp::Ordering {
    if a.is_ascii() && b.is_ascii() {
        return a.as_bytes().cmp(b.as_bytes());
    }
    a.encode_utf16().cmp(b.encode_utf16())
}

impl Value<'_> {
    /// Appends the canonical form (RFC 8785).
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Value::Text(text) => write_text(text.as_str(), out),
            Value::Integer(number) => out.extend_from_slice(number.to_string().as_bytes()),
            Value::Array(items) => {
                out.push(b'[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    item.write(out);
                }
                out.push(b']');
            }
            Value::Object(members) => {
                out.push(b'{');
                for (i, (key, value)) in members.iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    write_text(key.as_str(), out);
                    out.push(b':');
                    value.write(out);
                }
                out.push(b'}');
            }
        }
    }

    /// The canonical form (RFC 8785).
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        self.write(&mut out);
        out
    }
}

/// What stands under a key, if it is an object with that key.
pub fn member<'v, 'a>(value: &'v Value<'a>, key: &str) -> Option<&'v Value<'a>> {
    let Value::Object(members) = value else { return None };
    members.iter().find(|(k, _)| k.as_str() == key).map(|(_, value)| value)
}

/// The text under a key, if it is an object with one there.
pub(crate) fn text_of<'v>(value: &'v Value<'_>, key: &str) -> Option<&'v str> {
    match member(value, key)? {
        Value::Text(text) => Some(text.as_str()),
        _ => None,
    }
}

/// Appends a string in quotes. RFC 8785 escapes as JSON.stringify does, and so
/// does serde_json: two-character escapes where they exist, \u00xx in lower
/// case for the other control characters, nothing else.
pub(crate) fn write_text(text: &str, out: &mut Vec<u8>) {
    let special = |b: u8| b < 0x20 || b == b'"' || b == b'\\';
    // Without a way out in the middle, so that many bytes are looked at at once.
    if !text.bytes().fold(false, |found, b| found | special(b)) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        serde_json::to_writer(&mut *out, text).expect("a string always goes into memory");
    }
}

/// Appends an object of texts, given in the order of their keys.
pub(crate) fn write_texts(members: &[(&str, &str)], out: &mut Vec<u8>) {
    debug_assert!(members.is_sorted_by(|(a, _), (b, _)| order(a, b).is_lt()));
    out.push(b'{');
    for (i, (key, text)) in members.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_text(key, out);
        out.push(b':');
        write_text(text, out);
    }
    out.push(b'}');
}
