//! How a document is kept, in every engine: SHA3-256 of its whole bytes, then
//! the bytes. Its name covers `data` alone.

use webwallet_ledger::{Hash, Record, Supplied, document};

use crate::store::{Document, Shelf};

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

/// Whether what stands under a name is intact and has this number: a number in an
/// index that is damaged is nobody's.
pub(crate) fn has_number(name: Hash, value: &[u8], number: u64) -> bool {
    let bytes = verified(Shelf::Own, name, value);
    bytes.is_some_and(|bytes| Record::parse(bytes).map_or(true, |record| record.number == number))
}

/// The bytes in a value, if they are what was put there under this name.
pub(crate) fn verified(shelf: Shelf, name: Hash, value: &[u8]) -> Option<&[u8]> {
    let (checksum, bytes) = value.split_at_checked(CHECKSUM_BYTES)?;
    let named = || match shelf {
        Shelf::Own => document::name(bytes),
        Shelf::Supplied => Supplied::of_document(bytes).map(|supplied| supplied.name()),
    };
    let whole = Hash::sha3(bytes).0 == checksum && named() == Ok(name);
    whole.then_some(bytes)
}
