//! Where a list goes on: an opaque text, bound to the list it was given for.
//!
//! A cursor holds the key of the last element that was sent (the number of a
//! record, or a unit), so inserts never make a client see an element twice or
//! miss one. It is bound by a digest of the list's filter: used for another
//! list, or changed, it is refused instead of answering nonsense.
//!
//! It is no secret and proves nothing: whoever makes one by hand reads only
//! what the list shows anyway. So no key is needed, and every gateway
//! understands the cursors of every other.

use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use webwallet_ledger::Hash;

use crate::problem::{Other, Problem};

/// Bytes of the digest: enough to catch every slip, short enough for a URL.
const DIGEST_BYTES: usize = 8;

/// The list a cursor belongs to: its path and everything that filters it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List<'a> {
    /// Which list of the API.
    pub(crate) name: &'static str,
    /// What it is filtered by, in a fixed order.
    pub(crate) filter: &'a [&'a str],
}

impl List<'_> {
    /// The cursor for what follows `key`.
    pub(crate) fn cursor(&self, key: &[u8]) -> String {
        let mut bytes = self.digest(key).to_vec();
        bytes.extend_from_slice(key);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The key inside a cursor of this list.
    fn key(&self, cursor: &str) -> Result<Vec<u8>, Problem> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| not_of_this_list())?;
        match bytes.split_first_chunk::<DIGEST_BYTES>() {
            Some((digest, key)) if *digest == self.digest(key) => Ok(key.to_vec()),
            _ => Err(not_of_this_list()),
        }
    }

    /// The key inside a cursor of this list, whose keys are texts of something.
    pub(crate) fn text<T: FromStr>(&self, cursor: &str) -> Result<String, Problem> {
        let key = String::from_utf8(self.key(cursor)?).ok();
        key.filter(|key| key.parse::<T>().is_ok()).ok_or_else(not_of_this_list)
    }

    /// The key inside a cursor of this list, whose keys are numbers.
    pub(crate) fn number(&self, cursor: &str) -> Result<u64, Problem> {
        let key = self.key(cursor)?.try_into().map_err(|_| not_of_this_list())?;
        Ok(u64::from_be_bytes(key))
    }

    /// Digest of list and key. Lengths go before texts, so that no two
    /// filters run together into the same bytes.
    fn digest(&self, key: &[u8]) -> [u8; DIGEST_BYTES] {
        let mut bytes = Vec::with_capacity(128);
        for part in [self.name].iter().chain(self.filter) {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes.extend_from_slice(key);
        let Hash(hash) = Hash::sha3(&bytes);
        let mut digest = [0; DIGEST_BYTES];
        digest.copy_from_slice(&hash[..DIGEST_BYTES]);
        digest
    }
}

fn not_of_this_list() -> Problem {
    Problem::new(Other::CursorInvalid, "cursor was not given for this list")
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOB: List = List { name: "history", filter: &["unit", "bob"] };

    /// Whoever reads a long list page by page would lose his place in it.
    #[test]
    fn a_cursor_leads_back_to_its_key() {
        for key in [&b""[..], b"wZ", &u64::MAX.to_be_bytes()] {
            let cursor = BOB.cursor(key);
            assert_eq!(BOB.key(&cursor).expect("own cursor"), key);
            assert!(cursor.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        }
    }

    /// Somebody would read the rest of another list, and take it for his own.
    #[test]
    fn a_cursor_is_refused_by_every_other_list() {
        let cursor = BOB.cursor(b"7");
        for other in [
            List { name: "unspent", filter: BOB.filter },
            List { name: "history", filter: &["unit", "carol"] },
            List { name: "history", filter: &["uni", "tbob"] },
            List { name: "history", filter: &["unit", "bob", ""] },
        ] {
            assert!(other.key(&cursor).is_err(), "{other:?}");
        }
    }

    /// Anybody can make one; what no list has given must not be taken for a store that
    /// does not answer.
    #[test]
    fn a_cursor_made_by_hand_is_refused() {
        let cursor = BOB.cursor(b"x");
        assert!(BOB.text::<webwallet_ledger::Address>(&cursor).is_err());
        assert!(BOB.text::<webwallet_ledger::Pointer>(&cursor).is_err());
        assert!(BOB.number(&cursor).is_err());
        let lowest = webwallet_ledger::Pointer::LOWEST.to_string();
        let given = BOB.text::<webwallet_ledger::Pointer>(&BOB.cursor(lowest.as_bytes()));
        assert_eq!(given.ok(), Some(lowest));
    }

    /// A cursor that lost a letter on its way would go on elsewhere, and pass over payments.
    #[test]
    fn a_changed_cursor_is_refused() {
        let cursor = BOB.cursor(b"7");
        for at in 0..cursor.len() {
            for letter in ['A', '=', ' ', '\u{e9}'] {
                let mut letters: Vec<char> = cursor.chars().collect();
                if letters[at] == letter {
                    continue;
                }
                letters[at] = letter;
                let changed: String = letters.into_iter().collect();
                assert!(BOB.key(&changed).is_err(), "{changed}");
            }
            assert!(BOB.key(&cursor[..at]).is_err());
        }
        assert!(BOB.key(&format!("{cursor}A")).is_err());
        assert!(BOB.key("").is_err());
    }
}
