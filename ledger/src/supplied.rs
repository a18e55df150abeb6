//! Documents that anybody may supply: puzzles, and custom data of IOUs.
//!
//! Both travel with the IOUs that need them, and both may be kept by a server as
//! well, under their own name. That such a document is kept says nothing: whoever
//! has it may have made it up.

use crate::document::{HASH_KEYS, KEYS, check_name, read_types};
use crate::fault::Kind;
use crate::hash::Hash;
use crate::iou::check_custom;
use crate::json::{self, Value};
use crate::limits::DEPTH_MAX;
use crate::puzzle::{DATA_KEYS, Puzzle};
use crate::rejection::{Code, Earliest, Rejection};
use crate::shape::{Extent, Object, Path};

/// A puzzle, or custom data, that has its name by right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supplied {
    name: Hash,
    bytes: Vec<u8>,
}

impl Supplied {
    /// Reads a request `{"data": document}`, formatted as it may be. The document
    /// is `{data, hash, meta}` with an empty `meta`; its `data` is a puzzle's
    /// where it has a puzzle's two keys, and custom data otherwise.
    ///
    /// # Errors
    /// `malformed`, `too_large` (also above so many bytes in canonical form),
    /// `unsupported_hash`, `hash_mismatch`, or of a puzzle `unsupported_scheme`; the
    /// earliest of them.
    pub fn parse(body: &[u8], bytes_max: usize) -> Result<Supplied, Rejection> {
        let value = json::parse(body, DEPTH_MAX)?;
        let root = Path::ROOT;
        let body = Object::new(&value, &root, &["data"])?;
        Supplied::read(body.required("data", &root)?, bytes_max, &root.key("data"))
    }

    /// Reads the document alone, as it is kept.
    ///
    /// # Errors
    /// As [`Supplied::parse`].
    pub fn of_document(document: &[u8]) -> Result<Supplied, Rejection> {
        Supplied::read(&json::parse(document, DEPTH_MAX)?, usize::MAX, &Path::ROOT)
    }

    /// The hash of its data, by whichever function it says.
    pub fn name(&self) -> Hash {
        self.name
    }

    /// Canonical JSON of the whole document.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn read(value: &Value<'_>, bytes_max: usize, at: &Path<'_>) -> Result<Supplied, Rejection> {
        let document = Object::new(value, at, KEYS)?;
        let mut found = Earliest::default();
        let bytes = value.to_vec();
        if bytes.len() > bytes_max {
            let detail = match bytes_max {
                0 => "this server keeps no documents for others",
                _ => "the document is larger than this server keeps for others",
            };
            let rejection = at.rejection(Code::TooLarge, detail);
            found.note(rejection.measured(bytes_max, bytes.len()));
        }
        let data = document.required("data", at)?;
        let name = if is_puzzle(data) {
            Puzzle::read(value, Extent::Whole, at, &mut found)?.0
        } else {
            read_custom(&document, data, at, &mut found)?
        };
        found.into_result()?;
        Ok(Supplied { name, bytes })
    }
}

fn is_puzzle(data: &Value<'_>) -> bool {
    let Value::Object(members) = data else { return false };
    members.iter().map(|(key, _)| key.as_str()).eq(DATA_KEYS.iter().copied())
}

/// The name of custom data.
fn read_custom(
    document: &Object<'_, '_>,
    data: &Value<'_>,
    at: &Path<'_>,
    found: &mut Earliest,
) -> Result<Hash, Rejection> {
    let (data_at, hash_at) = (at.key("data"), at.key("hash"));
    check_custom(data, &data_at, found)?;
    if Kind::of(data).is_some() {
        let detail = "a document of this kind is made by a server; nobody supplies one";
        return Err(data_at.key("kind").malformed(detail));
    }
    let hash = Object::new(document.required("hash", at)?, &hash_at, HASH_KEYS)?;
    let types = read_types(&hash, &hash_at, found)?;
    let name = hash.parsed("value", &hash_at)?;
    Object::new(document.required("meta", at)?, &at.key("meta"), &[])?;
    check_name(types, &data.to_vec(), name, &hash_at, found);
    Ok(name)
}
