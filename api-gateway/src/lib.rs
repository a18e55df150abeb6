//! Speaks REST: the public face of a WebWallet server.
//!
//! It reads requests, verifies what needs no state (shape, hashes, addresses,
//! signatures), asks Graphstore to decide and Hashtable to keep, and answers; it
//! hands out the proofs that Blockstack makes.
//! It holds no state and touches no store: it knows the services only through
//! `webwallet_proto`'s clients, so that it is run in as many copies as wanted.
//! No rule about money is here; those are `webwallet_ledger`'s.
//!
//! Where to look: `router` lists the routes; `transaction`, `batch`, `events`, `iou`, `address`, `unit`,
//! `document`, `receipt`, `state`, `block`, `log` and `about` answer them, lists by a `page` at a time; [`schema`] has
//! their shapes; `edge` is around all of them; `verifier` is the only place with threads; `server` listens; `limits`
//! says how much.

mod about;
mod activity;
mod address;
pub mod admin;
mod allowance;
mod answer;
mod batch;
mod block;
mod body;
mod bucket;
mod clients;
mod conflict;
mod cursor;
mod document;
mod edge;
mod events;
mod feed;
mod forms;
mod gateway;
mod iou;
mod limits;
mod log;
mod media;
mod openapi;
mod page;
pub mod problem;
mod prover;
mod query;
mod receipt;
mod room;
mod router;
pub mod schema;
mod server;
mod split;
mod state;
mod stores;
mod transaction;
mod unit;
mod verifier;

pub use gateway::{Config, Gateway};
pub use limits::Limits;
pub use router::{document as openapi, metrics_router, text as openapi_text};
pub use server::serve;
pub use verifier::Randomness;
