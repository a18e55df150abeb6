//! A change of the key that signs the log.

use crate::document::{self, Document};
use crate::fault::{self, Kind, LeafError};
use crate::hash::Hash;
use crate::json::{write_text, write_texts};
use crate::note::{self, SignatureLine, VerifierKey};
use crate::rejection::Rejection;
use crate::shape::{Object, Path, array, text};
use crate::time::Time;

/// The old key hands over to the new one, and both sign it: the old one that
/// it gives way, the new one that it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// The log's origin.
    pub domain: String,
    /// When.
    pub time: Time,
    /// The key that signed until now.
    pub old: VerifierKey,
    /// The key that signs checkpoints from this block on.
    pub new: VerifierKey,
    /// Signature lines by the old and by the new key.
    pub signatures: [String; 2],
    /// Its name.
    pub hash: Hash,
    /// Canonical JSON of the whole document.
    pub bytes: Vec<u8>,
}

impl Keys {
    /// The change from one secret key to another, signed by both.
    pub fn new(domain: &str, time: Time, old: &[u8; 32], new: &[u8; 32]) -> Keys {
        let keys = [old, new].map(|secret| note::verifier_key(domain, secret));
        let mut bytes = b"{\"data\":".to_vec();
        let data_start = bytes.len();
        let data = [
            ("domain", domain),
            ("kind", "keys"),
            ("new", &keys[1].to_string()),
            ("old", &keys[0].to_string()),
            ("time", &time.to_string()),
        ];
        write_texts(&data, &mut bytes);
        let hash = document::end_data(&mut bytes, data_start);
        let text = signed_text(domain, &hash);
        let signatures = [old, new].map(|secret| note::sign(&text, domain, secret));
        bytes.extend_from_slice(b"{\"signatures\":[");
        write_text(&signatures[0], &mut bytes);
        bytes.push(b',');
        write_text(&signatures[1], &mut bytes);
        bytes.extend_from_slice(b"]}}");
        let [old, new] = keys;
        Keys { domain: domain.into(), time, old, new, signatures, hash, bytes }
    }

    /// Are both signatures good?
    pub fn verify(&self) -> bool {
        let text = signed_text(&self.domain, &self.hash);
        [&self.old, &self.new].into_iter().zip(&self.signatures).all(|(key, line)| {
            SignatureLine::parse(line).is_ok_and(|line| key.verify(&text, &line))
        })
    }

    /// Reads a change of keys as it is stored.
    ///
    /// # Errors
    /// What is wrong first, in the order of [`crate::leaf::Fault`].
    pub fn parse(bytes: &[u8]) -> Result<Keys, LeafError> {
        fault::parse_header(bytes, Kind::Keys, Keys::read)
    }

    pub(crate) fn read(document: &Document<'_>, bytes: &[u8]) -> Result<Keys, Rejection> {
        let root = &Path::ROOT;
        let (at, meta_at) = (&root.key("data"), &root.key("meta"));
        let data = Object::new(&document.data, at, &["domain", "kind", "new", "old", "time"])?;
        let meta = Object::new(&document.meta, meta_at, &["signatures"])?;
        let lines_at = &meta_at.key("signatures");
        let [old, new] = array(meta.required("signatures", meta_at)?, lines_at)? else {
            return Err(lines_at.malformed("expected two signature lines"));
        };
        let old = text(old, &lines_at.index(0))?;
        let new = text(new, &lines_at.index(1))?;
        Ok(Keys {
            domain: data.text("domain", at)?.to_owned(),
            time: data.parsed("time", at)?,
            old: data.parsed("old", at)?,
            new: data.parsed("new", at)?,
            signatures: [old.to_owned(), new.to_owned()],
            hash: document.hash,
            bytes: bytes.to_vec(),
        })
    }
}

/// What both keys sign.
fn signed_text(domain: &str, hash: &Hash) -> String {
    format!("{domain}\nkeys\n{hash}\n")
}
