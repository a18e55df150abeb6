//! Signed notes (c2sp.org/signed-note): a text, a blank line, and lines that
//! sign the text. Of the signature types only Ed25519 (0x01) is known here;
//! lines of other keys are read and ignored, as the format asks, so that
//! witnesses can add theirs.
//!
//! Verification follows the one rule of [`crate::signature`], which is
//! stricter than RFC 8032 leaves open. Not here: what the text says (see
//! [`crate::checkpoint`]) and which keys to trust.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::signature::{public_of, sign_eddsa, verify_eddsa};

/// Bytes of a note at most, as in Go's implementation of the format.
pub const NOTE_BYTES_MAX: usize = 1_000_000;
/// Signature lines of a note at most, as in Go's implementation of the format.
pub const NOTE_SIGNATURES_MAX: usize = 100;

/// The signature type of Ed25519.
const ED25519: u8 = 1;
/// What a signature line starts with: an em dash and a space.
const DASH: &str = "\u{2014} ";

/// Why a note is not to be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// The form is another.
    #[error("not a signed note: {0}")]
    Note(&'static str),
    /// The text of a verifier key is not one.
    #[error("not a verifier key: {0}")]
    Key(&'static str),
    /// Signed, but by nobody we know.
    #[error("not signed by a known key; its signatures are by {signers}")]
    Unknown {
        /// The names on the signature lines.
        signers: String,
    },
    /// A line of a known key does not fit the text.
    #[error("the signature of {name} is not by its key over this text")]
    Signature {
        /// Whose line.
        name: String,
    },
    /// The note's text is not that of a checkpoint.
    #[error("not a checkpoint: {0}")]
    Checkpoint(&'static str),
    /// A checkpoint of another log.
    #[error("a checkpoint of {actual}, not of {expected}")]
    Origin {
        /// The origin it names.
        actual: String,
        /// The name of the key that signed it.
        expected: String,
    },
}

/// Whether a key can have this name: not empty, no Unicode space, no plus, no
/// control character.
pub fn is_key_name(name: &str) -> bool {
    let barred = |c: char| c.is_whitespace() || c == '+' || c < ' ';
    !name.is_empty() && !name.contains(barred)
}

/// A public key with a name: `name+id+base64(0x01 ‖ public)`, the id in eight
/// lower-case hex digits. Whether the point is any good is asked when it verifies.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VerifierKey {
    /// Whose key; for a log's key, the log's origin.
    pub name: String,
    /// First four bytes, big-endian, of SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public).
    pub id: u32,
    /// The Ed25519 public key.
    pub public: [u8; 32],
}

impl VerifierKey {
    /// The key of this name, with its id. A name that is no key name
    /// ([`is_key_name`]) makes a key that no note can show.
    pub fn new(name: &str, public: [u8; 32]) -> VerifierKey {
        let hash = Sha256::new().chain_update(name).chain_update([b'\n', ED25519]);
        let [a, b, c, d, ..] = <[u8; 32]>::from(hash.chain_update(public).finalize());
        VerifierKey { name: name.to_owned(), id: u32::from_be_bytes([a, b, c, d]), public }
    }

    /// Whether the line is this key's: same name and id.
    pub fn is_named_by(&self, line: &SignatureLine) -> bool {
        self.name == line.name && self.id == line.id
    }

    /// Whether the line is this key's valid signature over the text.
    pub fn verify(&self, text: &str, line: &SignatureLine) -> bool {
        self.is_named_by(line) && verify_eddsa(&self.public, text.as_bytes(), &line.signature)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![ED25519];
        key.extend_from_slice(&self.public);
        write!(f, "{}+{:08x}+{}", self.name, self.id, STANDARD.encode(key))
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<VerifierKey, NoteError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(_), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key("expected `name+id+key`"));
        };
        if !is_key_name(name) {
            return Err(NoteError::Key("the name is empty or has a space in it"));
        }
        let key = STANDARD.decode(key).map_err(|_| NoteError::Key("the key is not base64"))?;
        let public = key.strip_prefix(&[ED25519]).and_then(|public| public.try_into().ok());
        let public = public.ok_or(NoteError::Key("the key is not an Ed25519 key (type 1)"))?;
        let key = VerifierKey::new(name, public);
        // The id, and every other way to write the same key differently.
        if key.to_string() != text {
            return Err(NoteError::Key("the id is not that of this name and key"));
        }
        Ok(key)
    }
}

/// One signature line: an em dash, a name, and base64 of id and signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureLine {
    /// The name of the key.
    pub name: String,
    /// The id of the key.
    pub id: u32,
    /// What its algorithm makes of the text; 64 bytes for Ed25519.
    pub signature: Vec<u8>,
    /// The line as it stands, from the em dash, without a newline.
    pub line: String,
}

impl SignatureLine {
    /// Reads a line without its newline.
    ///
    /// # Errors
    /// [`NoteError::Note`] when the form is another.
    pub fn parse(line: &str) -> Result<SignatureLine, NoteError> {
        let parts = line.strip_prefix(DASH).and_then(|rest| rest.split_once(' '));
        let (name, base64) =
            parts.ok_or(NoteError::Note("a signature line is an em dash, a name and base64"))?;
        if !is_key_name(name) {
            return Err(NoteError::Note("a name on a signature line is not that of a key"));
        }
        let signature = STANDARD.decode(base64).ok();
        let parts = signature.as_deref().and_then(|bytes| bytes.split_first_chunk::<4>());
        let (id, signature) = parts
            .filter(|(_, signature)| !signature.is_empty())
            .ok_or(NoteError::Note("a signature is not base64 of four bytes and more"))?;
        Ok(SignatureLine {
            name: name.to_owned(),
            id: u32::from_be_bytes(*id),
            signature: signature.to_vec(),
            line: line.to_owned(),
        })
    }
}

/// A note, read but not verified: say nothing of its text before [`Note::open`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What is signed, its last newline included.
    pub text: String,
    /// The lines below, in their order.
    pub signatures: Vec<SignatureLine>,
}

impl Note {
    /// Reads a note.
    ///
    /// # Errors
    /// [`NoteError::Note`] when the form is another.
    pub fn parse(note: &[u8]) -> Result<Note, NoteError> {
        if note.len() > NOTE_BYTES_MAX {
            return Err(NoteError::Note("longer than 1,000,000 bytes"));
        }
        let note = std::str::from_utf8(note).map_err(|_| NoteError::Note("not UTF-8"))?;
        if note.bytes().any(|b| b < b' ' && b != b'\n') {
            return Err(NoteError::Note("a control character"));
        }
        // The last empty line: texts may have some too.
        let blank = note.rfind("\n\n").ok_or(NoteError::Note("no blank line"))?;
        let (text, lines) = (&note[..=blank], &note[blank + 2..]);
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Note("no newline at its end"))?;
        // One too many is enough to know.
        let lines: Vec<&str> = lines.split('\n').take(NOTE_SIGNATURES_MAX + 1).collect();
        if lines.len() > NOTE_SIGNATURES_MAX {
            return Err(NoteError::Note("more than 100 signatures"));
        }
        let signatures = lines.into_iter().map(SignatureLine::parse).collect::<Result<_, _>>()?;
        Ok(Note { text: text.to_owned(), signatures })
    }

    /// The text, once it is known whose it is: at least one line is by a key of
    /// the list, and all lines that name one are valid. With it, the first of
    /// these lines.
    ///
    /// # Errors
    /// [`NoteError::Signature`] for the first line that names a known key and
    /// is not valid, [`NoteError::Unknown`] when none names a known key.
    pub fn open(&self, keys: &[VerifierKey]) -> Result<(&str, &SignatureLine), NoteError> {
        let mut first = None;
        for line in &self.signatures {
            // Names and ids are short: two keys may share both.
            let mut named = keys.iter().filter(|key| key.is_named_by(line)).peekable();
            if named.peek().is_none() {
                continue;
            }
            if !named.any(|key| key.verify(&self.text, line)) {
                return Err(NoteError::Signature { name: line.name.clone() });
            }
            first = first.or(Some(line));
        }
        let signers = || self.signatures.iter().map(|l| format!("{}+{:08x}", l.name, l.id));
        first
            .map(|line| (self.text.as_str(), line))
            .ok_or_else(|| NoteError::Unknown { signers: signers().collect::<Vec<_>>().join(", ") })
    }
}

/// The verifier key of a 32-byte seed.
pub fn verifier_key(name: &str, secret: &[u8; 32]) -> VerifierKey {
    VerifierKey::new(name, public_of(secret))
}

/// The signature line over a text, which must end in a newline; the line does not.
pub fn sign(text: &str, name: &str, secret: &[u8; 32]) -> String {
    let mut signature = verifier_key(name, secret).id.to_be_bytes().to_vec();
    signature.extend_from_slice(&sign_eddsa(secret, text.as_bytes()));
    format!("{DASH}{name} {}", STANDARD.encode(signature))
}

/// The note of a text, which must end in a newline, and its signature lines.
pub fn write(text: &str, lines: &[&str]) -> String {
    lines.iter().fold(format!("{text}\n"), |note, line| note + line + "\n")
}
