//! The affine x of a point of Edwards25519, which curve25519-dalek keeps to
//! itself: it speaks only of y and of the lowest bit of x.
//!
//! The point T = (i, 0), i² = -1, has order four, and adding it swaps the
//! coordinates: (x, y) ± T = (±i·y, ±i·x). So the encoding of P - T shows -i·x,
//! and decoding i·x leads to the points with a given x. What is left to us is
//! one multiplication in the field, by formally verified code.

use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use fiat_crypto::curve25519_64 as field;

/// T = (i, 0).
const T: EdwardsPoint = EIGHT_TORSION[6];
/// i, the even square root of -1, little-endian.
const I: [u8; 32] = [
    0xb0, 0xa0, 0x0e, 0x4a, 0x27, 0x1b, 0xee, 0xc4, 0x78, 0xe4, 0x2f, 0xad, 0x06, 0x18, 0x43, 0x2f,
    0xa7, 0xd7, 0xfb, 0x3d, 0x99, 0x00, 0x4d, 0x2b, 0x0b, 0xdf, 0xc1, 0x4f, 0x80, 0x24, 0x83, 0x2b,
];

/// The x of every point: little-endian, below p.
pub fn xs(points: impl IntoIterator<Item = EdwardsPoint>) -> impl Iterator<Item = [u8; 32]> {
    let swapped: Vec<EdwardsPoint> = points.into_iter().map(|point| point - T).collect();
    // One field inversion for all of them.
    EdwardsPoint::compress_batch_alloc(&swapped).into_iter().map(|encoded| {
        let mut minus_ix = encoded.0;
        minus_ix[31] &= 0x7f; // the top bit is about the other coordinate
        times_i(&minus_ix)
    })
}

/// The point with this x (little-endian, below p) and an odd or even y.
pub fn from_x(x: &[u8; 32], y_is_odd: bool) -> Option<EdwardsPoint> {
    let swapped = CompressedEdwardsY(times_i(x)).decompress()?;
    let point = swapped - T;
    let found_odd = point.compress().0[0] & 1 == 1;
    // `decompress` chose one of (±i·y, i·x); its negative is the other one.
    Some(if found_odd == y_is_odd { point } else { -swapped - T })
}

/// The product with i; bit 255 of `a` must be clear.
fn times_i(a: &[u8; 32]) -> [u8; 32] {
    let loose = |bytes| {
        let mut tight = field::fiat_25519_tight_field_element([0; 5]);
        let mut loose = field::fiat_25519_loose_field_element([0; 5]);
        field::fiat_25519_from_bytes(&mut tight, bytes);
        field::fiat_25519_relax(&mut loose, &tight);
        loose
    };
    let mut product = field::fiat_25519_tight_field_element([0; 5]);
    field::fiat_25519_carry_mul(&mut product, &loose(a), &loose(&I));
    let mut bytes = [0; 32];
    field::fiat_25519_to_bytes(&mut bytes, &product);
    bytes
}
