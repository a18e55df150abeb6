//! Addresses: who may hold, and the name of each unit (its issuer's address).

use std::cell::RefCell;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use ripemd::{Digest, Ripemd160};
use sha2::Sha256;

/// First byte of every address before base58: what makes them start with `w`.
const PREFIX: u8 = 0x87;
/// Prefix, RIPEMD-160 and checksum.
const BYTES: usize = 1 + 20 + 4;

/// base58check(0x87 ‖ ripemd160(sha256(x))), x a public key or the canonical
/// bytes of a puzzle's data. Orders as its text does.
#[derive(Clone, Copy)]
pub struct Address {
    digest: [u8; 20],
    /// With this prefix and length base58 always gives 34 characters.
    text: [u8; 34],
}

impl Address {
    /// The address of a public key, its bytes taken exactly as given: the
    /// compressed and the uncompressed form of one key have different addresses.
    pub fn of_public(public: &[u8]) -> Address {
        Address::from_digest(digest(public))
    }

    /// From the 20 bytes between prefix and checksum.
    pub fn from_digest(digest: [u8; 20]) -> Address {
        let mut bytes = [0; BYTES];
        bytes[0] = PREFIX;
        bytes[1..21].copy_from_slice(&digest);
        let sum = checksum(&bytes[..21]);
        bytes[21..].copy_from_slice(&sum);
        let mut text = [0; 34];
        let written = bs58::encode(bytes).onto(&mut text[..]);
        debug_assert_eq!(written, Ok(34));
        Address { digest, text }
    }

    /// The 20 bytes between prefix and checksum: its shortest key.
    pub fn digest(&self) -> &[u8; 20] {
        &self.digest
    }

    /// Was it made from this public key? Cheaper than making the key's address.
    pub fn is_of_public(&self, public: &[u8]) -> bool {
        self.digest == digest(public)
    }

    /// As written in documents.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text).expect("base58 is ASCII")
    }
}

// The text follows from the digest: with one prefix and length, base58 keeps
// the order of the numbers.

impl PartialEq for Address {
    fn eq(&self, other: &Address) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Address {}

impl PartialOrd for Address {
    fn partial_cmp(&self, other: &Address) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Address {
    fn cmp(&self, other: &Address) -> Ordering {
        self.digest.cmp(&other.digest)
    }
}

impl Hash for Address {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

/// ripemd160(sha256(public)).
fn digest(public: &[u8]) -> [u8; 20] {
    Ripemd160::digest(Sha256::digest(public)).into()
}

/// base58check: the first four bytes of a double SHA-256.
fn checksum(bytes: &[u8]) -> [u8; 4] {
    let twice = Sha256::digest(Sha256::digest(bytes));
    [twice[0], twice[1], twice[2], twice[3]]
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAnAddress {
    /// A character outside the base58 alphabet.
    #[error("not base58")]
    Alphabet,
    /// Not 25 bytes.
    #[error("not 25 bytes long")]
    Length,
    /// Another version byte.
    #[error("the prefix is not 0x87")]
    Prefix,
    /// Mistyped, most likely.
    #[error("the checksum does not match")]
    Checksum,
}

/// Addresses read before, by this thread: a record names each of its few six
/// times, and those who pay do so again. Reading one takes a microsecond, most
/// of it for base58.
struct Seen([Option<Address>; 256]);

thread_local! {
    static SEEN: RefCell<Seen> = const { RefCell::new(Seen([None; 256])) };
}

impl Seen {
    /// The place of a text; what stands there may be another's.
    fn place(&mut self, text: &[u8; 34]) -> &mut Option<Address> {
        // Behind the prefix any characters are as good as random, and before the
        // end nothing depends on the checksum alone.
        let [a, b] = [text[20], text[21]].map(usize::from);
        &mut self.0[(a * 59 + b) % 256]
    }
}

impl FromStr for Address {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Address, NotAnAddress> {
        let Ok(bytes) = <&[u8; 34]>::try_from(text.as_bytes()) else { return read(text) };
        SEEN.with_borrow_mut(|seen| match seen.place(bytes) {
            Some(address) if address.text == *bytes => Ok(*address),
            place => read(text).inspect(|address| *place = Some(*address)),
        })
    }
}

fn read(text: &str) -> Result<Address, NotAnAddress> {
    // Decoding takes time that grows with the square of the length.
    if text.len() > 40 {
        return Err(NotAnAddress::Length);
    }
    let mut bytes = [0; 40];
    let length = bs58::decode(text).onto(&mut bytes).map_err(|_| NotAnAddress::Alphabet)?;
    if length != BYTES {
        return Err(NotAnAddress::Length);
    }
    if bytes[0] != PREFIX {
        return Err(NotAnAddress::Prefix);
    }
    if bytes[21..BYTES] != checksum(&bytes[..21]) {
        return Err(NotAnAddress::Checksum);
    }
    let text = text.as_bytes().try_into().map_err(|_| NotAnAddress::Length)?;
    let mut digest = [0; 20];
    digest.copy_from_slice(&bytes[1..21]);
    Ok(Address { digest, text })
}
