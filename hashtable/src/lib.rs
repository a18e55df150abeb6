//! Keeps immutable documents by their hash: records, and what anybody may
//! supply under its own hash.
//!
//! It never decides. That a document is here says nothing about whether it was
//! cleared; that is for Graphstore to say. It is the second of the two places
//! that hold every cleared record.
//!
//! [`Store`] is the contract that every engine keeps, [`Embedded`] the engine
//! that needs nothing installed, [`Redis`] the one for a server of its own,
//! [`Service`] what speaks gRPC over any of them.

pub mod embedded;
mod put;
pub mod redis;
pub mod service;
pub mod store;
mod value;

pub use embedded::Embedded;
pub use redis::{Redis, Settings as RedisSettings};
pub use service::{Service, server};
pub use store::{Document, Error, Store};
