//! Documents of the server itself: `{data, hash, meta}` in canonical JSON,
//! named by SHA3-256 of their `data`.

use crate::hash::Hash;
use crate::rejection::{Code, Rejection};

/// What stands between `data` and the name, in canonical form.
const BEFORE_NAME: &[u8] = br#","hash":{"steps":"stringify:data","types":"sha3-256","value":""#;
/// What stands after the name.
const AFTER_NAME: &[u8] = br#""},"meta":{"#;

/// The name of a document, checked to be the hash of its data.
///
/// It looks for the name at its place in the canonical form and hashes what is
/// before, without reading the JSON: quotes inside strings are escaped, so the
/// mark can only be structure, and a document that has the same structure
/// inside its data fails the hash.
///
/// # Errors
/// `malformed` when the outline is another, `hash_mismatch` when the name is
/// not the hash of the data.
pub fn name(bytes: &[u8]) -> Result<Hash, Rejection> {
    let outline = || -> Option<(usize, Hash)> {
        let data = bytes.strip_prefix(b"{\"data\":")?;
        let end = find(data, BEFORE_NAME)?;
        let after = &data[end + BEFORE_NAME.len()..];
        let name = std::str::from_utf8(after.get(..64)?).ok()?.parse().ok()?;
        let closed = after[64..].starts_with(AFTER_NAME) && after.ends_with(b"}}");
        closed.then_some((8 + end, name))
    };
    let (data_end, name) = outline().ok_or_else(|| {
        Rejection::new(Code::Malformed, "", "not a document {data, hash, meta} in canonical form")
    })?;
    if Hash::sha3(&bytes[8..data_end]) != name {
        let detail = "hash.value is not the SHA3-256 of data";
        return Err(Rejection::new(Code::HashMismatch, "/hash/value", detail));
    }
    Ok(name)
}

/// The kind of a document of ours (`record`, ...), from its canonical bytes.
pub fn is_record(bytes: &[u8]) -> bool {
    // `kind` can only stand before the name, and quotes in strings are escaped.
    let end = find(bytes, BEFORE_NAME).unwrap_or_default();
    find(&bytes[..end], b",\"kind\":\"record\",\"number\":").is_some()
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(haystack, needle)
}
