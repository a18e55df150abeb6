//! How a document is kept, in every engine: SHA3-256 of its whole bytes, then
//! the bytes. Its name covers `data` alone.

use webwallet_ledger::{Hash, document};

use crate::store::Document;

/// Bytes before the document.
pub(crate) const CHECKSUM_BYTES: usize = 32;

/// What is stored under the name of this document.
pub(crate) fn of(document: &Document) -> Vec<u8> {
    let checksum = Hash::sha3(document.bytes());
    let mut value = Vec::with_capacity(CHECKSUM_BYTES + document.bytes().len());
    value.extend_from_slice(&checksum.0);
    value.extend_from_slice(document.bytes());
    value
}

/// The bytes in a value, if they are what was put under this name.
pub(crate) fn verified(name: Hash, value: &[u8]) -> Option<&[u8]> {
    let (checksum, bytes) = value.split_at_checked(CHECKSUM_BYTES)?;
    let whole = Hash::sha3(bytes).0 == checksum && document::name(bytes) == Ok(name);
    whole.then_some(bytes)
}
