//! Signs as the original SDK does. For tests and benchmarks only, of which the
//! latter include this file by its path: our tools write EdDSA.

use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::Scalar;

use super::coordinates::xs;

/// 02 or 03 ‖ x.
pub fn compressed(point: EdwardsPoint) -> Vec<u8> {
    let uncompressed = uncompressed(point);
    let mut bytes = uncompressed[..33].to_vec();
    bytes[0] = 2 + (uncompressed[64] & 1);
    bytes
}

/// 04 ‖ x ‖ y.
pub fn uncompressed(point: EdwardsPoint) -> Vec<u8> {
    let x = xs([point]).next().expect("one point, one x");
    let mut y = point.compress().0;
    y[31] &= 0x7f;
    [4].into_iter().chain(x.into_iter().rev()).chain(y.into_iter().rev()).collect()
}

/// r = x(nonce·B) mod n, s = (e + r·secret) / nonce, in DER.
pub fn sign(secret: &Scalar, nonce: &Scalar, message: &[u8; 32]) -> Vec<u8> {
    let x = xs([EdwardsPoint::mul_base(nonce)]).next().expect("one point, one x");
    let r = Scalar::from_bytes_mod_order(x);
    // e = floor(m / 8), by other means than the verifier's: (m - m mod 8) / 8 mod n.
    let mut bytes = *message;
    bytes.reverse();
    bytes[0] &= !7;
    let e = Scalar::from_bytes_mod_order(bytes) * Scalar::from(8_u64).invert();
    der(&r, &((e + r * secret) * nonce.invert()))
}

/// `30 len 02 len r 02 len s`.
pub fn der(r: &Scalar, s: &Scalar) -> Vec<u8> {
    let content = [integer(r), integer(s)].concat();
    [vec![0x30, content.len() as u8], content].concat()
}

fn integer(scalar: &Scalar) -> Vec<u8> {
    let mut digits: Vec<u8> = scalar.to_bytes().into_iter().rev().skip_while(|d| *d == 0).collect();
    if digits.first().is_none_or(|first| *first >= 0x80) {
        digits.insert(0, 0);
    }
    [vec![0x02, digits.len() as u8], digits].concat()
}
