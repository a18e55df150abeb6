//! What a log says about itself, and the state it proves: told by what an
//! auditor or a holder would lose if one of these failed.

#![allow(clippy::unwrap_used)]

mod headers;
#[path = "../rules/party.rs"]
#[allow(dead_code)]
mod party;
mod proofs;
mod records;
mod state;
mod trees;

use webwallet_ledger::Hash;
use webwallet_ledger::leaf::{Fault, Leaf};

use party::DOMAIN;

/// A document of this data, named as it should be.
fn named(data: &str, meta: &str) -> String {
    let hash = Hash::sha3(data.as_bytes());
    format!(
        r#"{{"data":{data},"hash":{{"steps":"stringify:data","types":"sha3-256","value":"{hash}"}},"meta":{meta}}}"#
    )
}

/// `data` of a document of ours.
fn data_of(document: &[u8]) -> String {
    let text = std::str::from_utf8(document).expect("UTF-8");
    let end = text.find(r#","hash":{"steps""#).expect("a name");
    text[8..end].to_owned()
}

/// Why a leaf is none: the rule and where it is broken.
fn refusal(leaf: &[u8]) -> Option<(Fault, String)> {
    Leaf::parse(leaf, DOMAIN).err().map(|error| (error.fault, error.pointer))
}
