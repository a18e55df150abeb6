//! Documents of the server itself: `{data, hash, meta}` in canonical JSON,
//! named by SHA3-256 of their `data`.

use crate::hash::{Hash, Types};
use crate::json::{self, Value, write_texts};
use crate::limits::{DEPTH_MAX, RECORD_BYTES_MAX};
use crate::rejection::{Code, Earliest, Rejection};
use crate::shape::{Object, Path};

/// `hash.steps` of every document.
pub(crate) const STEPS: &str = "stringify:data";

/// The keys of every document.
pub(crate) const KEYS: &[&str] = &["data", "hash", "meta"];
/// The keys of its `hash`.
pub(crate) const HASH_KEYS: &[&str] = &["steps", "types", "value"];

/// What stands between `data` and the name, in canonical form.
const BEFORE_NAME: &[u8] = br#","hash":{"steps":"stringify:data","types":"sha3-256","value":""#;
/// What stands after the name.
const AFTER_NAME: &[u8] = br#""},"meta":{"#;

const NOT_ITS_NAME: &str = "hash.value is not the SHA3-256 of data";

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
        return Err(Rejection::new(Code::HashMismatch, "/hash/value", NOT_ITS_NAME));
    }
    Ok(name)
}

/// A document taken apart, whatever its kind.
pub(crate) struct Document<'a> {
    /// What is hashed.
    pub data: Value<'a>,
    /// What is not.
    pub meta: Value<'a>,
    /// The name it claims.
    pub hash: Hash,
    /// Whether it bears the name by right: `unsupported_hash` or `hash_mismatch`.
    pub named: Result<(), Rejection>,
}

impl<'a> Document<'a> {
    /// Reads the canonical bytes of a document of at most 61,440 bytes.
    ///
    /// # Errors
    /// `malformed` or `too_large`.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Document<'a>, Rejection> {
        let root = Path::ROOT;
        if bytes.len() > RECORD_BYTES_MAX {
            let detail = "the document is larger than a leaf of the log";
            let rejection = root.rejection(Code::TooLarge, detail);
            return Err(rejection.measured(RECORD_BYTES_MAX, bytes.len()));
        }
        // Its length bounds its values: none takes less than two bytes.
        let count = json::Count::new(RECORD_BYTES_MAX / 2);
        let value = json::parse_part(bytes, DEPTH_MAX, &count)?;
        let mut written = Vec::with_capacity(bytes.len() + 16);
        let object = Object::new(&value, &root, KEYS)?;
        written.extend_from_slice(b"{\"data\":");
        object.required("data", &root)?.write(&mut written);
        let data = 8..written.len();
        written.extend_from_slice(b",\"hash\":");
        object.required("hash", &root)?.write(&mut written);
        written.extend_from_slice(b",\"meta\":");
        object.required("meta", &root)?.write(&mut written);
        written.push(b'}');
        if written != bytes {
            return Err(root.malformed("not in canonical form"));
        }
        let (hash, named) = read_name(object.required("hash", &root)?, &bytes[data])?;
        // All three keys are there, in their order.
        let Value::Object(members) = value else {
            return Err(root.malformed("expected an object"));
        };
        let [(_, data), _, (_, meta)] = *<Box<[_; 3]>>::try_from(members)
            .map_err(|_| root.malformed("expected data, hash and meta"))?;
        Ok(Document { data, meta, hash, named })
    }
}

/// The name that `hash` claims, and whether it is that of the data.
fn read_name(hash: &Value<'_>, data: &[u8]) -> Result<(Hash, Result<(), Rejection>), Rejection> {
    let root = Path::ROOT;
    let at = root.key("hash");
    let object = Object::new(hash, &at, HASH_KEYS)?;
    let (steps, types) = (object.text("steps", &at)?, object.text("types", &at)?);
    let value: Hash = object.parsed("value", &at)?;
    let unsupported = |key, only: &str| {
        at.key(key).rejection(Code::UnsupportedHash, format!("the one for this document is {only}"))
    };
    let named = match () {
        () if steps != STEPS => Err(unsupported("steps", STEPS)),
        () if types != Types::Sha3.as_str() => Err(unsupported("types", Types::Sha3.as_str())),
        () if Hash::sha3(data) != value => {
            Err(at.key("value").rejection(Code::HashMismatch, NOT_ITS_NAME))
        }
        () => Ok(()),
    };
    Ok((value, named))
}

/// `hash.types` and `hash.steps`; `None` when outside the list.
pub(crate) fn read_types(
    hash: &Object<'_, '_>,
    at: &Path<'_>,
    found: &mut Earliest,
) -> Result<Option<Types>, Rejection> {
    let types = Types::from_name(hash.text("types", at)?);
    if types.is_none() {
        found.note(
            at.key("types")
                .rejection(Code::UnsupportedHash, "known are sha3-256, sha256 and sha256:sha256"),
        );
    }
    if hash.text("steps", at)? != STEPS {
        found.note(
            at.key("steps").rejection(Code::UnsupportedHash, "the one known is stringify:data"),
        );
        return Ok(None);
    }
    Ok(types)
}

/// Notes it if a name is not the hash of the data that it stands for. Of a kind of hash outside
/// the list nobody can tell. `at` is where `hash` stands.
pub(crate) fn check_name(
    types: Option<Types>,
    data: &[u8],
    name: Hash,
    at: &Path<'_>,
    found: &mut Earliest,
) {
    if types.is_some_and(|types| types.digest(data) != name) {
        let detail = "this is not the hash of the canonical JSON of data";
        found.note(at.key("value").rejection(Code::HashMismatch, detail));
    }
}

/// The document of canonical data and meta.
pub(crate) fn write(data: &[u8], types: Types, hash: Hash, meta: &[u8]) -> Vec<u8> {
    let name = format!(
        ",\"hash\":{{\"steps\":\"{STEPS}\",\"types\":\"{}\",\"value\":\"{hash}\"}},\"meta\":",
        types.as_str()
    );
    [b"{\"data\":", data, name.as_bytes(), meta, b"}"].concat()
}

/// Goes on where `data` ends: writes its hash and the key `meta`, whose value is
/// to follow. `data` began at this place.
pub(crate) fn end_data(out: &mut Vec<u8>, data_start: usize) -> Hash {
    let hash = Hash::sha3(&out[data_start..]);
    out.extend_from_slice(BEFORE_NAME);
    out.extend_from_slice(hash.to_string().as_bytes());
    out.extend_from_slice(b"\"},\"meta\":");
    hash
}

/// The document with nothing but texts in its data and nothing in its meta.
pub(crate) fn of_texts(data: &[(&str, &str)]) -> (Hash, Vec<u8>) {
    let mut bytes = b"{\"data\":".to_vec();
    let data_start = bytes.len();
    write_texts(data, &mut bytes);
    let hash = end_data(&mut bytes, data_start);
    bytes.extend_from_slice(b"{}}");
    (hash, bytes)
}

/// Whether canonical bytes are a record.
pub fn is_record(bytes: &[u8]) -> bool {
    // `kind` can only stand before the name, and quotes in strings are escaped.
    let end = find(bytes, BEFORE_NAME).unwrap_or_default();
    find(&bytes[..end], b",\"kind\":\"record\",\"number\":").is_some()
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(haystack, needle)
}
