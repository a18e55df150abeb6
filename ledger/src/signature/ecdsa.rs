//! ECDSA over Edwards25519, as the original SDK signs (npm `elliptic`), by one
//! written rule. No standard covers it: the curve is not one ECDSA is defined
//! for, so x is the Edwards coordinate, and (r, n - s) is not a second valid
//! signature, therefore there is no low-s rule.
//!
//! - Key: 02 or 03 ‖ x for an even or odd y, or 04 ‖ x ‖ y; big-endian, below p,
//!   on the curve, not of small order, without a torsion component. The hybrid
//!   forms 06 and 07, which `elliptic` takes, are refused.
//! - Signature: strict DER of r and s, both in 1..n, n the group order L.
//! - e: the message as a big-endian integer, without its lowest 3 bits, mod n.
//! - Valid if and only if x(e/s·B + r/s·Q) mod n = r.

use std::borrow::Borrow;

use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;

use super::coordinates::{from_x, xs};
use super::{Check, Keys, Scheme, is_canonical};

/// What is left to ask of a key and a signature that are well-formed.
struct Equation {
    /// Which check it comes from.
    position: usize,
    key: EdwardsPoint,
    e: Scalar,
    r: Scalar,
    s: Scalar,
}

impl Equation {
    fn parse(position: usize, check: &Check, keys: &Keys) -> Option<Equation> {
        let (r, s) = parse_der(&check.signature)?;
        let key = keys.point(Scheme::EcdsaEd25519, &check.public)?;
        Some(Equation { position, key, e: message_scalar(&check.message), r, s })
    }
}

/// Positions of the valid signatures among the ECDSA checks. None depends on
/// another; together they only share the inversions.
pub(super) fn verify(checks: &[impl Borrow<Check>], keys: &Keys) -> Vec<usize> {
    let equations: Vec<Equation> = checks
        .iter()
        .map(Borrow::borrow)
        .enumerate()
        .filter(|(_, check)| check.scheme == Scheme::EcdsaEd25519)
        .filter_map(|(position, check)| Equation::parse(position, check, keys))
        .collect();
    if equations.is_empty() {
        return Vec::new();
    }
    let mut inverses: Vec<Scalar> = equations.iter().map(|equation| equation.s).collect();
    Scalar::invert_batch_alloc(&mut inverses);
    let points = equations.iter().zip(&inverses).map(|(Equation { key, e, r, .. }, inverse)| {
        EdwardsPoint::vartime_double_scalar_mul_basepoint(&(r * inverse), key, &(e * inverse))
    });
    equations
        .iter()
        .zip(xs(points))
        // The neutral element has x = 0, and r is never 0.
        .filter(|(equation, x)| Scalar::from_bytes_mod_order(*x) == equation.r)
        .map(|(equation, _)| equation.position)
        .collect()
}

/// The point a public key encodes. The caller refuses small orders and torsion.
pub(super) fn decode(public: &[u8]) -> Option<EdwardsPoint> {
    let (form, coordinates) = public.split_first()?;
    let (x, y) = coordinates.split_at_checked(32)?;
    let x = coordinate(x)?;
    match (form, y) {
        (2, []) => from_x(&x, false),
        (3, []) => from_x(&x, true),
        (4, y) => {
            let mut encoded = coordinate(y)?;
            encoded[31] |= x[0] << 7;
            let point = CompressedEdwardsY(encoded).decompress()?;
            (xs([point]).next()? == x).then_some(point)
        }
        _ => None,
    }
}

/// A field element from 32 big-endian bytes, turned to little-endian; `None`
/// unless it is below p.
fn coordinate(big_endian: &[u8]) -> Option<[u8; 32]> {
    let mut bytes: [u8; 32] = big_endian.try_into().ok()?;
    bytes.reverse();
    is_canonical(&bytes).then_some(bytes)
}

/// e: 256 bits cut to the 253 of the group order, then reduced. (Versions of
/// `elliptic` before 6.6 forgot the cut when the first byte was 0: refused.)
fn message_scalar(message: &[u8; 32]) -> Scalar {
    let mut bytes = [0; 32];
    let mut carry = 0;
    for (shifted, byte) in bytes.iter_mut().rev().zip(message) {
        *shifted = carry << 5 | byte >> 3;
        carry = *byte;
    }
    Scalar::from_bytes_mod_order(bytes)
}

/// r and s of `30 len 02 len r 02 len s`, every length and integer written in
/// the only way DER allows.
fn parse_der(bytes: &[u8]) -> Option<(Scalar, Scalar)> {
    let [0x30, len, content @ ..] = bytes else { return None };
    let (r, rest) = parse_integer(content)?;
    let (s, rest) = parse_integer(rest)?;
    (rest.is_empty() && usize::from(*len) == content.len()).then_some((r, s))
}

/// An integer in 1..n at the start of `bytes`, and what follows it.
fn parse_integer(bytes: &[u8]) -> Option<(Scalar, &[u8])> {
    let [0x02, len, rest @ ..] = bytes else { return None };
    let (digits, rest) = rest.split_at_checked(usize::from(*len))?;
    // The first bit is the sign, and a first byte that only repeats it is padding.
    if let [0x80..=0xff, ..] | [0, 0..0x80, ..] = digits {
        return None;
    }
    let mut little_endian = [0; 32];
    // More than 32 bytes would be above n; no bytes at all, or 00, is zero.
    little_endian.get_mut(..digits.len())?.copy_from_slice(digits);
    little_endian[..digits.len()].reverse();
    let scalar = Option::from(Scalar::from_canonical_bytes(little_endian))?;
    (scalar != Scalar::ZERO).then_some((scalar, rest))
}
