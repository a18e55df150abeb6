//! JSON as the protocol knows it: objects, arrays, strings and small positive
//! integers, no key twice, bounded depth; and its canonical form (RFC 8785).
//!
//! Values borrow from the text they were read from, so reading hostile input
//! allocates a bounded multiple of its size (24 bytes a value, at least three
//! bytes of text each). The canonical writer is ours because the profile makes
//! it small (sort members, escape strings) and because it runs several times
//! for every payment; a test holds it against `serde_json_canonicalizer`.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};

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
/// inside one another.
///
/// # Errors
/// [`Code::Malformed`] with a pointer to the first part that is not of the profile.
pub fn parse(text: &[u8], depth_max: usize) -> Result<Value<'_>, Rejection> {
    let path = RefCell::new(Vec::new());
    let mut reader = serde_json::Deserializer::from_slice(text);
    // Our own depth limit is lower than serde_json's 128, which also stands.
    let seed = Profile { depth_left: depth_max, path: &path };
    let outcome = seed.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    outcome.map_err(|error| {
        let pointer = path.borrow().iter().fold(String::new(), |at, segment| at + "/" + segment);
        Rejection::new(Code::Malformed, pointer, error.to_string())
    })
}

/// One segment of a JSON pointer, escaped (RFC 6901).
pub(crate) fn segment(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// Reads a value, knowing how deep it may go and where in the text it is.
#[derive(Clone, Copy)]
struct Profile<'p> {
    depth_left: usize,
    /// Left standing where reading failed.
    path: &'p RefCell<Vec<String>>,
}

impl Profile<'_> {
    fn inside<E: serde::de::Error>(self) -> Result<Self, E> {
        match self.depth_left.checked_sub(1) {
            Some(depth_left) => Ok(Profile { depth_left, ..self }),
            None => Err(E::custom("nested too deeply")),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Profile<'_> {
    type Value = Value<'de>;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Value<'de>, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Profile<'_> {
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
        let mut values = Vec::new();
        loop {
            // Written at once and corrected on the way out: the path costs a
            // payment nothing unless it is wrong.
            match items.next_element_seed(inside) {
                Ok(Some(value)) => values.push(value),
                Ok(None) => return Ok(Value::Array(values.into_boxed_slice())),
                Err(error) => {
                    self.path.borrow_mut().insert(0, values.len().to_string());
                    return Err(error);
                }
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value<'de>, A::Error> {
        let inside = self.inside()?;
        let mut members: Vec<(Text<'de>, Value<'de>)> = Vec::new();
        while let Some(key) = entries.next_key::<Text<'de>>()? {
            match entries.next_value_seed(inside) {
                Ok(value) => members.push((key, value)),
                Err(error) => {
                    self.path.borrow_mut().insert(0, segment(key.as_str()));
                    return Err(error);
                }
            }
        }
        members.sort_unstable_by(|(a, _), (b, _)| order(a.as_str(), b.as_str()));
        if let Some(pair) = members.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            self.path.borrow_mut().insert(0, segment(pair[0].0.as_str()));
            return Err(A::Error::custom("a key is given twice"));
        }
        Ok(Value::Object(members.into_boxed_slice()))
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

/// Appends a string in quotes. RFC 8785 escapes as JSON.stringify does, and so
/// does serde_json: two-character escapes where they exist, \u00xx in lower
/// case for the other control characters, nothing else.
pub(crate) fn write_text(text: &str, out: &mut Vec<u8>) {
    let plain = |b: &u8| *b >= 0x20 && *b != b'"' && *b != b'\\';
    if text.as_bytes().iter().all(plain) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        serde_json::to_writer(&mut *out, text).expect("a string always goes into memory");
    }
}
