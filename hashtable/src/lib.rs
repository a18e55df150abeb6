//! Keeps immutable documents by their hash: records, and what anybody may
//! supply under its own hash.
//!
//! It never decides. That a document is here says nothing about whether it was
//! cleared; that is for Graphstore to say. It is the second of the two places
//! that hold every cleared record.
//!
//! [`Store`] is the contract that every engine keeps, [`Embedded`] the engine
//! that needs nothing installed, [`Service`] what speaks gRPC over any of them.

pub mod embedded;
pub mod service;
pub mod store;

pub use embedded::Embedded;
pub use service::{Service, server};
pub use store::{Document, Error, Store};
