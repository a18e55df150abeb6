//! Ed25519, by one written rule. A signature (R, S) of message M under key A
//! is valid if and only if
//!
//! - S < L, the group order;
//! - A and R are canonically encoded, and neither is of small order;
//! - A has no torsion component;
//! - S·B = R + k·A, without a cofactor, k = SHA-512(R ‖ A ‖ M) mod L.
//!
//! Verifiers in use differ in each of these; this rule accepts only what all
//! of them accept. RFC 8032 leaves some of it open, so no library's `verify`
//! will do, and neither will a batch verifier that multiplies by the cofactor.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::{Identity, IsIdentity, VartimeMultiscalarMul};
use rand_core::CryptoRng;
use sha2::{Digest, Sha512};

use super::{Check, Keys, Scheme, good_point, is_canonical, is_torsion_free};

/// Signatures from which on a batch is faster than one by one: its torsion
/// test costs 2 ms, however few they are.
pub(super) const BATCH_MIN: usize = 150;
/// Signatures in one batch at most. Larger ones gain little and, when one
/// signature is bad, lose all they gained.
const BATCH_MAX: usize = 1024;

/// What is left to ask once S and A are known to be good: S·B = R + k·A.
struct Equation {
    /// Which check it comes from.
    position: usize,
    /// The encoding of A.
    public: [u8; 32],
    a: EdwardsPoint,
    /// The encoding of R, as sent.
    r: [u8; 32],
    s: Scalar,
    k: Scalar,
}

impl Equation {
    fn parse(position: usize, check: &Check, keys: &Keys) -> Option<Equation> {
        let public = check.public.as_slice().try_into().ok()?;
        let point = || keys.point(Scheme::EddsaEd25519, &check.public);
        Equation::of(position, public, point, &check.message, &check.signature)
    }

    /// `point` is asked last: decoding a key costs more than all the rest.
    fn of(
        position: usize,
        public: [u8; 32],
        point: impl FnOnce() -> Option<EdwardsPoint>,
        message: &[u8],
        signature: &[u8],
    ) -> Option<Equation> {
        let (r, s) = signature.split_first_chunk::<32>()?;
        let s = Option::from(Scalar::from_canonical_bytes(s.try_into().ok()?))?;
        let a = point()?;
        let hash = Sha512::new().chain_update(r).chain_update(public).chain_update(message);
        let k = Scalar::from_bytes_mod_order_wide(&hash.finalize().into());
        Some(Equation { position, public, a, r: *r, s, k })
    }
}

/// Whether one signature of a message of any length is valid.
pub(super) fn is_valid(public: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    let point = || good_point(Scheme::EddsaEd25519, public);
    Equation::of(0, *public, point, message, signature)
        .is_some_and(|equation| !one_by_one(&[equation]).is_empty())
}

/// Positions of the valid signatures among the EdDSA checks.
pub(super) fn verify(
    checks: &[impl Borrow<Check>],
    keys: &Keys,
    random: &mut impl CryptoRng,
) -> Vec<usize> {
    let equations: Vec<Equation> = checks
        .iter()
        .map(Borrow::borrow)
        .enumerate()
        .filter(|(_, check)| check.scheme == Scheme::EddsaEd25519)
        .filter_map(|(position, check)| Equation::parse(position, check, keys))
        .collect();
    if equations.len() < BATCH_MIN {
        return one_by_one(&equations);
    }
    // Equal parts: no short rest that would have to go one by one.
    let batches = equations.len().div_ceil(BATCH_MAX);
    equations
        .chunks(equations.len().div_ceil(batches))
        .flat_map(|batch| verify_batch(batch, random))
        .collect()
}

/// The point that 32 bytes encode; `None` if another string of bytes encodes
/// it as well, or if they encode none. The caller refuses small orders.
pub(super) fn decode(bytes: &[u8]) -> Option<EdwardsPoint> {
    let encoded: [u8; 32] = bytes.try_into().ok()?;
    let mut y = encoded;
    y[31] &= 0x7f;
    // The other way to encode a point twice, "x = -0", exists only for x = 0,
    // which is to say for two points of small order.
    if !is_canonical(&y) {
        return None;
    }
    CompressedEdwardsY(encoded).decompress()
}

/// The rule as it stands. R itself is never decoded: the point that it has to
/// be is computed and encoded, which settles its canonical form too. That point
/// is torsion-free as A is, so of small order only if it is the neutral element.
fn one_by_one(equations: &[Equation]) -> Vec<usize> {
    let points: Vec<EdwardsPoint> = equations
        .iter()
        .map(|e| EdwardsPoint::vartime_double_scalar_mul_basepoint(&e.k, &-e.a, &e.s))
        .collect();
    // One field inversion for all of them.
    let encoded = EdwardsPoint::compress_batch_alloc(&points);
    equations
        .iter()
        .zip(points.iter().zip(&encoded))
        .filter(|(e, (point, encoded))| encoded.0 == e.r && !point.is_identity())
        .map(|(e, _)| e.position)
        .collect()
}

/// The same verdicts for many at once. With every A torsion-free, the rule says
/// that R is torsion-free and that the equation holds in the subgroup of order
/// L: two properties that can be tested of all together. If either fails, all
/// are judged again one by one, which names the culprit.
fn verify_batch(equations: &[Equation], random: &mut impl CryptoRng) -> Vec<usize> {
    let decoded: Vec<(&Equation, EdwardsPoint)> = equations
        .iter()
        .filter_map(|e| Some((e, decode(&e.r).filter(|r| !r.is_small_order())?)))
        .collect();
    if combination_holds(&decoded, random) && are_torsion_free(&decoded, random) {
        decoded.iter().map(|(e, _)| e.position).collect()
    } else {
        one_by_one(equations)
    }
}

/// Whether Σ z (S·B - R - k·A) = 0 for random 128-bit z. Among points of order
/// L, one false equation makes that happen once in 2^128.
fn combination_holds(decoded: &[(&Equation, EdwardsPoint)], random: &mut impl CryptoRng) -> bool {
    let mut base = Scalar::ZERO;
    let mut zs = Vec::with_capacity(decoded.len());
    // One term per key, not per signature: an issuer in demand signs often.
    let mut keys = BTreeMap::new();
    for (e, _) in decoded {
        let mut z = [0; 16];
        random.fill_bytes(&mut z);
        let z = Scalar::from(u128::from_le_bytes(z));
        base -= z * e.s;
        keys.entry(&e.public).or_insert((Scalar::ZERO, e.a)).0 += z * e.k;
        zs.push(z);
    }
    let (ks, points): (Vec<Scalar>, Vec<EdwardsPoint>) = keys.into_values().unzip();
    let scalars = zs.iter().chain(&ks).chain([&base]);
    let points = decoded.iter().map(|(_, r)| r).chain(&points).chain([&ED25519_BASEPOINT_POINT]);
    EdwardsPoint::vartime_multiscalar_mul(scalars, points).is_identity()
}

/// Whether all R are torsion-free, told from 64 random subset sums: a single
/// one with a torsion component leaves a sum free of it half of the time.
///
/// In each of eight passes a random byte per R says to which of eight subsets
/// it belongs. All R of one byte are added up first; then, for each bit, the
/// upper half of the 256 sums adds up to that bit's subset and is folded onto
/// the lower half, where the remaining bits tell the same.
fn are_torsion_free(decoded: &[(&Equation, EdwardsPoint)], random: &mut impl CryptoRng) -> bool {
    let mut bytes = vec![0; decoded.len()];
    (0..8).all(|_| {
        random.fill_bytes(&mut bytes);
        let mut sums = vec![EdwardsPoint::identity(); 256];
        for (byte, (_, r)) in bytes.iter().zip(decoded) {
            sums[usize::from(*byte)] += r;
        }
        (0..8).rev().all(|bit| {
            let upper = sums.split_off(1 << bit);
            sums.iter_mut().zip(&upper).for_each(|(low, high)| *low += high);
            is_torsion_free(&upper.iter().sum())
        })
    })
}
