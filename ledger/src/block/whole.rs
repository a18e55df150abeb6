//! That everything up to some block stands in Hashtable.
//!
//! Hashtable itself keeps it, and nobody else: one that was emptied, or put back from an older
//! copy, does not have what it had when this was said, and has not this either.

use crate::document::of_texts;
use crate::hash::Hash;

const KIND: &str = "whole";

/// The name and the document that say so of this block of a log and all before it.
pub fn whole(domain: &str, block: &Hash) -> (Hash, Vec<u8>) {
    of_texts(&[("block", &block.to_string()), ("domain", domain), ("kind", KIND)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document;

    /// What is said of another log would hide what is missing.
    #[test]
    fn it_is_of_one_block_of_one_log() {
        let [a, b] = ["a", "b"].map(|text| Hash::sha3(text.as_bytes()));
        let (name, bytes) = whole("example.net", &a);
        assert_eq!(document::name(&bytes), Ok(name));
        for (domain, block) in [("example.net", b), ("example.org", a)] {
            assert_ne!(whole(domain, &block).0, name);
        }
    }
}
