//! Drafts: IOUs before anybody signed them, and the adding of signatures, one
//! party after the other.

use faster_hex::hex_string;

use crate::address::Address;
use crate::claim::LINKER;
use crate::document::{self, HASH_KEYS, KEYS, check_name, read_types};
use crate::hash::{Hash, Types};
use crate::iou::{DATA_KEYS, META_KEYS};
use crate::json::{self, Value};
use crate::limits::DEPTH_MAX;
use crate::lock::{Locker, Solver};
use crate::puzzle::{self, Puzzle};
use crate::rejection::{Code, Earliest, Rejection};
use crate::shape::{Extent, Object, Path, array};
use crate::signature::{self, Scheme};
use crate::time::Time;

/// An IOU before anybody signed it.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The server that shall clear it.
    pub domain: String,
    /// Who pays.
    pub source: Address,
    /// Who receives.
    pub target: Address,
    /// The unit.
    pub symbol: Address,
    /// A decimal.
    pub amount: String,
    /// What makes this IOU different from every other: 8 to 100 characters.
    pub random: String,
    /// Clears until this time.
    pub expiry: Time,
    /// Clears from this time on.
    pub active: Option<Time>,
    /// `-` and a decimal grants credit, a decimal withdraws it.
    pub credit: Option<String>,
    /// Locks the amount under these conditions.
    pub locker: Option<Locker>,
    /// Uses a lock.
    pub solver: Option<Solver>,
}

impl Draft {
    /// Canonical JSON of `data`.
    fn data(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        let text = |value: String| {
            let mut json = Vec::with_capacity(value.len() + 2);
            json::write_text(&value, &mut json);
            json
        };
        let written = |write: &dyn Fn(&mut Vec<u8>)| {
            let mut json = Vec::new();
            write(&mut json);
            json
        };
        let members = [
            ("active", self.active.map(|time| text(time.to_string()))),
            ("amount", Some(text(self.amount.clone()))),
            ("credit", self.credit.clone().map(text)),
            ("domain", Some(text(self.domain.clone()))),
            ("expiry", Some(text(self.expiry.to_string()))),
            ("locker", self.locker.as_ref().map(|locker| written(&|out| locker.write(out)))),
            ("random", Some(text(self.random.clone()))),
            ("solver", self.solver.as_ref().map(|solver| written(&|out| solver.write(out)))),
            ("source", Some(text(self.source.to_string()))),
            ("symbol", Some(text(self.symbol.to_string()))),
            ("target", Some(text(self.target.to_string()))),
        ];
        for (key, value) in members {
            let Some(value) = value else { continue };
            out.push(if out.is_empty() { b'{' } else { b',' });
            json::write_text(key, &mut out);
            out.push(b':');
            out.extend_from_slice(&value);
        }
        out.push(b'}');
        out
    }

    /// The name it will have, and what its signers sign.
    pub fn hash(&self) -> Hash {
        Hash::sha3(&self.data())
    }

    /// Canonical JSON of the IOU without signatures.
    pub fn unsigned(&self) -> Vec<u8> {
        self.with_signatures("")
    }

    /// The same with the puzzles that are to sign it, for [`add_signature`].
    pub fn unsigned_with(&self, puzzles: &[&Puzzle]) -> Vec<u8> {
        let mut meta = b"{\"scripts\":[".to_vec();
        for (i, puzzle) in puzzles.iter().enumerate() {
            meta.extend_from_slice(if i > 0 { b"," } else { b"" });
            meta.extend_from_slice(&puzzle.to_bytes());
        }
        meta.extend_from_slice(b"],\"signatures\":[]}");
        self.with_meta(&meta)
    }

    /// Canonical JSON of the IOU, signed with `eddsa-ed25519` (RFC 8032) by
    /// the key of this secret, which must be the source's.
    pub fn sign(&self, secret: &[u8; 32]) -> Vec<u8> {
        self.with_signatures(&signed_by(&self.hash(), secret, None))
    }

    fn with_signatures(&self, signatures: &str) -> Vec<u8> {
        self.with_meta(format!("{{\"signatures\":[{signatures}]}}").as_bytes())
    }

    fn with_meta(&self, meta: &[u8]) -> Vec<u8> {
        let data = self.data();
        document::write(&data, Types::Sha3, Hash::sha3(&data), meta)
    }
}

/// One entry of `meta.signatures`, canonical: for the key's own address, or
/// for a puzzle.
fn signed_by(hash: &Hash, secret: &[u8; 32], puzzle: Option<&Puzzle>) -> String {
    let public = signature::public_of(secret);
    let string = hex_string(&signature::sign_eddsa(secret, &hash.0));
    let signer = puzzle.map_or_else(|| Address::of_public(&public), Puzzle::address);
    let script = puzzle.map(|puzzle| format!("\"script\":\"{}\",", puzzle.hash));
    format!(
        "{{\"linker\":\"{LINKER}\",\"public\":\"{}\",\"scheme\":\"{}\",{}\"signer\":\"{signer}\",\"string\":\"{string}\"}}",
        hex_string(&public),
        Scheme::EddsaEd25519.as_str(),
        script.unwrap_or_default()
    )
}

/// The same IOU with the signature of one more key, canonical: for the source,
/// if the key is its own, and for every puzzle under the IOU that names the key.
/// Replaces what the key has signed before.
///
/// # Errors
/// `malformed` when it has not the outline of an IOU, `hash_mismatch` when its
/// hash is not that of its data: nobody should sign what they cannot read;
/// `signature_invalid` when the key has nothing to sign here.
pub fn add_signature(iou: &[u8], secret: &[u8; 32]) -> Result<Vec<u8>, Rejection> {
    let value = json::parse(iou, DEPTH_MAX)?;
    let at = Path::ROOT;
    let document = Object::new(&value, &at, KEYS)?;
    let (hash_value, hash_at) = (document.required("hash", &at)?, at.key("hash"));
    let mut found = Earliest::default();
    let named = Object::new(hash_value, &hash_at, HASH_KEYS)?;
    let types = read_types(&named, &hash_at, &mut found)?;
    let hash = named.parsed("value", &hash_at)?;
    let data = document.required("data", &at)?.to_vec();
    check_name(types, &data, hash, &hash_at, &mut found);
    let meta_at = at.key("meta");
    let meta = Object::new(document.required("meta", &at)?, &meta_at, META_KEYS)?;
    let puzzles = match meta.optional("scripts") {
        Some(scripts) => {
            puzzle::read_all(scripts, Extent::Whole, &meta_at.key("scripts"), &mut found)?
        }
        None => Vec::new(),
    };
    found.into_result()?;
    let signatures_at = meta_at.key("signatures");
    let signatures = match meta.optional("signatures") {
        Some(list) => array(list, &signatures_at)?,
        None => &[],
    };
    let signed = signed_anew(&hash, source(&document, &at)?, &puzzles, secret);
    if signed.is_empty() {
        let detail = "this key is not the source's, and no puzzle in meta.scripts names it";
        return Err(signatures_at.rejection(Code::SignatureInvalid, detail));
    }
    let ours = hex_string(&signature::public_of(secret));
    let mut out = Vec::with_capacity(iou.len() + 512);
    out.extend_from_slice(b"{\"data\":");
    out.extend_from_slice(&data);
    out.extend_from_slice(b",\"hash\":");
    hash_value.write(&mut out);
    out.extend_from_slice(b",\"meta\":{");
    for key in ["custom", "scripts"] {
        if let Some(value) = meta.optional(key) {
            json::write_text(key, &mut out);
            out.push(b':');
            value.write(&mut out);
            out.push(b',');
        }
    }
    out.extend_from_slice(b"\"signatures\":[");
    for other in signatures.iter().filter(|other| !is_by(other, &ours)) {
        other.write(&mut out);
        out.push(b',');
    }
    out.extend_from_slice(signed.join(",").as_bytes());
    out.extend_from_slice(b"]}}");
    Ok(out)
}

/// `data.source`, whatever it says.
fn source<'v>(document: &Object<'v, '_>, at: &Path<'_>) -> Result<&'v str, Rejection> {
    let (data, at) = (document.required("data", at)?, at.key("data"));
    Object::new(data, &at, DATA_KEYS)?.text("source", &at)
}

/// What a key signs under an IOU.
fn signed_anew(hash: &Hash, source: &str, puzzles: &[Puzzle], secret: &[u8; 32]) -> Vec<String> {
    let public = signature::public_of(secret);
    let own = (Address::of_public(&public).as_str() == source).then_some(None);
    let names = |puzzle: &&Puzzle| puzzle.identity(Scheme::EddsaEd25519, &public).is_some();
    let puzzles = puzzles.iter().filter(names).map(Some);
    own.into_iter().chain(puzzles).map(|puzzle| signed_by(hash, secret, puzzle)).collect()
}

/// Whether a signature is of this key, given in lower case.
fn is_by(signature: &Value<'_>, public: &str) -> bool {
    let Value::Object(members) = signature else { return false };
    members.iter().any(|(key, value)| match value {
        Value::Text(text) => key.as_str() == "public" && text.as_str().to_lowercase() == public,
        _ => false,
    })
}
