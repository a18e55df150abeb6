//! The public formats of the log, told by what a reader would lose if one of
//! them failed: a proof that proves nothing, or a true one that is refused.

// Tests read vectors; the rules themselves may not.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod notes;
#[path = "../rules/party.rs"]
#[allow(dead_code, reason = "the people of the other tests, of whom few appear here")]
mod party;
mod proofs;
mod receipts;
mod tiles;
mod trees;
