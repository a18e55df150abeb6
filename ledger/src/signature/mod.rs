//! Signatures: which strings of bytes sign which 32 bytes under which key.
//!
//! Two schemes, and for each of them one written rule that server, auditor
//! and every SDK follow to the letter ([`eddsa`], [`ecdsa`]): a signature
//! that one library accepts and another refuses would let two honest readers
//! of the same log disagree. Both schemes live on the curve Edwards25519, so
//! a key is a point, and the same three things are asked of it in both: a
//! canonical encoding, not of small order, no torsion component.
//!
//! Not here: whose signature is needed, addresses, hashes of documents. A
//! verdict is a `bool`; whatever is wrong with a signature, its IOU is refused
//! with one code.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity;
use ed25519_dalek::{Signer, SigningKey};
use quick_cache::Equivalent;
use quick_cache::sync::Cache;
use rand_core::CryptoRng;

mod coordinates;
mod ecdsa;
#[cfg(test)]
mod ecdsa_signer;
mod eddsa;
#[cfg(test)]
mod tests;

/// How a key signs: `scheme` of an identity or a signature, a closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// Ed25519 of RFC 8032: what our tools write.
    EddsaEd25519,
    /// ECDSA over the same curve: the original SDK's default.
    EcdsaEd25519,
}

impl Scheme {
    /// As written in a document.
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::EddsaEd25519 => "eddsa-ed25519",
            Scheme::EcdsaEd25519 => "ecdsa-ed25519",
        }
    }

    /// Whether a public key of this scheme can have this many bytes.
    fn has_public_len(self, len: usize) -> bool {
        match self {
            Scheme::EddsaEd25519 => len == 32,
            Scheme::EcdsaEd25519 => len == 33 || len == 65,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text names no scheme of the list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a scheme is `eddsa-ed25519` or `ecdsa-ed25519`")]
pub struct UnknownScheme;

impl FromStr for Scheme {
    type Err = UnknownScheme;

    fn from_str(text: &str) -> Result<Scheme, UnknownScheme> {
        [Scheme::EddsaEd25519, Scheme::EcdsaEd25519]
            .into_iter()
            .find(|scheme| scheme.as_str() == text)
            .ok_or(UnknownScheme)
    }
}

/// One question: did the owner of `public` sign `message`? The bytes are as
/// somebody sent them; any length and any content is a fair question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The rule to judge by.
    pub scheme: Scheme,
    /// The public key: 32 bytes (EdDSA), 33 or 65 bytes (ECDSA).
    pub public: Vec<u8>,
    /// What is signed: the 32 bytes of a document's hash.
    pub message: [u8; 32],
    /// The signature: 64 bytes (EdDSA), DER (ECDSA).
    pub signature: Vec<u8>,
}

/// Answers every check, in the order given.
///
/// The verdicts are those of the written rules and nothing else: they depend
/// neither on what else is in `checks` nor on what `keys` remembers. The
/// random numbers only make many EdDSA checks cheaper than the sum of single
/// ones; whoever could foresee them could slip a false signature through, so
/// they must come from a generator seeded by the operating system.
pub fn verify(
    checks: &[impl Borrow<Check>],
    keys: &Keys,
    random: &mut impl CryptoRng,
) -> Vec<bool> {
    let mut verdicts = vec![false; checks.len()];
    let valid = [eddsa::verify(checks, keys, random), ecdsa::verify(checks, keys)];
    for position in valid.into_iter().flatten() {
        verdicts[position] = true;
    }
    verdicts
}

/// Whether one EdDSA signature of a message of any length is valid, by the same
/// rule ([`eddsa`]). For the few signatures of the log itself: it remembers no key.
pub fn verify_eddsa(public: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    eddsa::is_valid(public, message, signature)
}

/// An EdDSA signature (RFC 8032, deterministic) by the key of a 32-byte seed.
pub fn sign_eddsa(secret: &[u8; 32], message: &[u8]) -> [u8; 64] {
    SigningKey::from_bytes(secret).sign(message).to_bytes()
}

/// The EdDSA public key of a 32-byte seed.
pub fn public_of(secret: &[u8; 32]) -> [u8; 32] {
    SigningKey::from_bytes(secret).verifying_key().to_bytes()
}

/// Public keys found good, decoded: a bounded cache, shared by all threads.
///
/// Decoding a key and proving it free of torsion costs about as much as
/// verifying a signature, and the same issuers sign again and again. Only good
/// keys are kept (about 300 bytes each): bad ones would let a stranger push
/// the good ones out at no cost to himself.
pub struct Keys {
    points: Cache<(Scheme, Vec<u8>), EdwardsPoint>,
}

impl Keys {
    /// Room for about `capacity` keys.
    pub fn new(capacity: usize) -> Keys {
        Keys { points: Cache::new(capacity) }
    }

    /// The point a public key stands for; `None` if the key is no good.
    fn point(&self, scheme: Scheme, public: &[u8]) -> Option<EdwardsPoint> {
        // Before the cache, so that nobody can fill it with long keys.
        if !scheme.has_public_len(public.len()) {
            return None;
        }
        if let Some(point) = self.points.get(&Name(scheme, public)) {
            return Some(point);
        }
        let point = good_point(scheme, public)?;
        self.points.insert((scheme, public.to_vec()), point);
        Some(point)
    }
}

/// Whether anybody could sign with this public key: what is no point of the curve, or one that
/// either rule refuses, can be typed and copied like any other, and nothing is ever signed by it.
pub fn is_key(scheme: Scheme, public: &[u8]) -> bool {
    scheme.has_public_len(public.len()) && good_point(scheme, public).is_some()
}

/// The point a public key stands for; `None` if the key is no good.
fn good_point(scheme: Scheme, public: &[u8]) -> Option<EdwardsPoint> {
    let point = match scheme {
        Scheme::EddsaEd25519 => eddsa::decode(public),
        Scheme::EcdsaEd25519 => ecdsa::decode(public),
    }?;
    // Of the eight points of small order only the neutral element is torsion-free.
    (!point.is_identity() && is_torsion_free(&point)).then_some(point)
}

/// A borrowed name of a cached key. Hashes as the tuple that owns it does.
#[derive(Hash)]
struct Name<'a>(Scheme, &'a [u8]);

impl Equivalent<(Scheme, Vec<u8>)> for Name<'_> {
    fn equivalent(&self, owned: &(Scheme, Vec<u8>)) -> bool {
        self.0 == owned.0 && self.1 == owned.1
    }
}

/// Whether the point lies in the subgroup of prime order L: L·P = 0, asked as
/// (L - 1)·P = -P because a [`Scalar`] is below L. A quarter faster than
/// dalek's own test, which hides the point from a stopwatch; ours is public.
fn is_torsion_free(point: &EdwardsPoint) -> bool {
    EdwardsPoint::vartime_double_scalar_mul_basepoint(&-Scalar::ONE, point, &Scalar::ZERO) == -point
}

/// Whether 32 little-endian bytes are a field element written as itself, and
/// not as itself plus p = 2^255 - 19. Bit 255 must be clear.
fn is_canonical(bytes: &[u8; 32]) -> bool {
    bytes[31] < 0x7f || bytes[31] == 0x7f && (bytes[0] < 0xed || bytes[1..31] != [0xff; 30])
}
