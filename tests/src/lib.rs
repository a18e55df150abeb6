//! What the tests over whole deployments share: people who sign, servers that
//! run, and scenarios in plain text.

// Everything here runs under a test: what fails says so and ends it.
#![allow(clippy::missing_panics_doc, clippy::unwrap_used)]

pub mod command;
pub mod deployment;
pub mod engines;
pub mod party;
pub mod process;
pub mod scenario;
pub mod trace;
pub mod world;
