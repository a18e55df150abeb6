//! SHA3-256 names of documents, and the closed list of hash functions an IOU
//! may be named with.

use std::fmt;
use std::str::FromStr;

use faster_hex::{CheckCase, hex_decode_with_case, hex_encode};
use sha2::Sha256;
use sha3::{Digest, Sha3_256};

/// 32 bytes that name a document. Written as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// SHA3-256 (FIPS 202).
    pub fn sha3(bytes: &[u8]) -> Hash {
        Hash(Sha3_256::digest(bytes).into())
    }

    /// The hash in 32 bytes that came over the wire; `None` for another length.
    pub fn from_slice(bytes: &[u8]) -> Option<Hash> {
        bytes.try_into().ok().map(Hash)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 64];
        f.pad(hex_encode(&self.0, &mut text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not 64 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a hash is 64 lower-case hex digits")]
pub struct NotAHash;

impl FromStr for Hash {
    type Err = NotAHash;

    fn from_str(text: &str) -> Result<Hash, NotAHash> {
        if text.len() != 64 {
            return Err(NotAHash);
        }
        let mut bytes = [0; 32];
        // Names have one spelling only.
        let decoded = hex_decode_with_case(text.as_bytes(), &mut bytes, CheckCase::Lower);
        decoded.map_err(|_| NotAHash)?;
        Ok(Hash(bytes))
    }
}

/// How a document's `data` is hashed: `hash.types`, a closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Types {
    /// What our tools write, and the only one for documents of the server.
    Sha3,
    /// Allowed by the original's schema.
    Sha256,
    /// What the original SDK writes: SHA-256 over the 32 raw bytes of SHA-256.
    Sha256Twice,
}

impl Types {
    /// As written in `hash.types`.
    pub fn as_str(self) -> &'static str {
        match self {
            Types::Sha3 => "sha3-256",
            Types::Sha256 => "sha256",
            Types::Sha256Twice => "sha256:sha256",
        }
    }

    /// The member of the list with this name.
    pub fn from_name(name: &str) -> Option<Types> {
        [Types::Sha3, Types::Sha256, Types::Sha256Twice].into_iter().find(|t| t.as_str() == name)
    }

    /// The hash of some bytes.
    pub fn digest(self, bytes: &[u8]) -> Hash {
        match self {
            Types::Sha3 => Hash::sha3(bytes),
            Types::Sha256 => Hash(Sha256::digest(bytes).into()),
            Types::Sha256Twice => Hash(Sha256::digest(Sha256::digest(bytes)).into()),
        }
    }
}
