//! Pointers: how outputs of records are referred to.

use std::fmt;
use std::str::FromStr;

use crate::hash::Hash;

/// A reference to one output of one record: `hash::index`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pointer {
    /// The record.
    pub record: Hash,
    /// Place in its outputs, from 0.
    pub index: u32,
}

impl Pointer {
    /// Before all others, and no output's: where a walk along pointers begins.
    pub const LOWEST: Pointer = Pointer { record: Hash([0; 32]), index: 0 };
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{}", self.record, self.index)
    }
}

impl fmt::Debug for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not `hash::index`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a pointer is a hash, two colons and a decimal index")]
pub struct NotAPointer;

impl FromStr for Pointer {
    type Err = NotAPointer;

    fn from_str(text: &str) -> Result<Pointer, NotAPointer> {
        let (record, index) = text.split_once("::").ok_or(NotAPointer)?;
        let record = record.parse().map_err(|_| NotAPointer)?;
        let pointer = Pointer { record, index: index.parse().map_err(|_| NotAPointer)? };
        // "+1" and "01" parse as numbers too.
        if pointer.index.to_string() == index { Ok(pointer) } else { Err(NotAPointer) }
    }
}
