//! Re-checks a whole server, from its URL or from files, trusting nobody.
//!
//! A log is a `checkpoint`, tiles and entry bundles; one key, which the caller
//! brings, is all that is believed. Every leaf is read, every signature
//! verified, every clearing done again with the rules of `webwallet-ledger`,
//! and what comes out is compared bit for bit with what the log says. The
//! answer is *yes*, or a list of [`Finding`]s that begins with the first wrong
//! byte.
//!
//! Nothing of the services is imported, so that a mistake in one of them
//! cannot hide here. The library reads no clock: the time is an argument.
//!
//! How the work is spread: threads of [`workers`](self) fetch the leaves, hash
//! and parse them and verify their signatures, four bundles at a time; one
//! thread takes these in the order of the log ([`Audit::run`]), holds the tree
//! against the tiles (`tree`), the documents against one another (`chain`) and
//! the records against the accounts (`replay`).

mod audit;
mod chain;
mod consistency;
mod finding;
mod plain;
mod read;
mod replay;
mod seen;
mod source;
mod tree;
mod trust;
pub mod url;
pub mod vectors;
mod workers;

pub use audit::{Audit, Progress, Report};
pub use consistency::consistency;
pub use finding::{Code, Finding};
pub use plain::{complain, harmless, is_harmful};
pub use source::{Source, SourceError};
