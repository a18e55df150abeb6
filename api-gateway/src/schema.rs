//! The shapes of requests and answers, as the OpenAPI document shows them.
//!
//! What clears or not is decided by `webwallet_ledger`, and records are sent on
//! as the bytes that were stored: most of these types are for readers, human or
//! not. A test reads real answers into them and writes them out again, so that
//! they cannot drift from what is sent.
//!
//! Each stands in the file of its noun; from outside all are called `schema::`.

mod address;
mod block;
mod document;
mod iou;
mod problem;
mod proof;
mod record;
mod server;
mod transaction;
mod unit;

pub use address::*;
pub use block::*;
pub use document::*;
pub use iou::*;
pub use problem::*;
pub use proof::*;
pub use record::*;
pub use server::*;
pub use transaction::*;
pub use unit::*;

const ADDRESS: &str = "wS1EU4AtgzD6VDtsrJyGKXmkQdvkWt9Qeq";
const HASH: &str = "488c38b545da49890313e5f355a40ae842e622dc86d3ee815a6dac31bdd25530";
const POINTER: &str = "488c38b545da49890313e5f355a40ae842e622dc86d3ee815a6dac31bdd25530::0";
const PUBLIC: &str = "5e3ddda5abbcd6b5fb02b9f3f2e28fc4cb1fa5ed3a6d8f4fe9d2fa2e0a3d4a47";
