//! Graphstore decides: it spends outputs, makes outputs and numbers every
//! cleared request, in one atomic commit at a time.
//!
//! [`Store`] is what an engine promises; [`Embedded`] is the
//! engine that needs nothing installed, [`Neo4j`] the one for several
//! processes; `writer` is the only place that
//! commits; `service` speaks gRPC. It never speaks HTTP, never verifies a
//! signature (authenticated gateways have done that) and never seals.

mod beside;
mod embedded;
mod index;
mod log;
pub mod neo4j;
mod recent;
mod service;
pub mod store;
mod unit;
mod writer;

pub use embedded::{Embedded, Sizes};
pub use neo4j::Neo4j;
pub use service::Graphstore;
pub use store::{Batch, Committed, Error, Loaded, Store};
pub use writer::Clock;
