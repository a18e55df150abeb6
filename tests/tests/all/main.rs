//! Everything that is tested on whole deployments, in one binary.

#![allow(clippy::unwrap_used)]

mod architecture;
mod backup;
mod bad_input;
mod batch;
mod commands;
mod contract;
mod doctor;
mod dry_run;
mod events;
mod log_reader;
mod multisig;
mod mutations;
mod operator;
mod original_sdk;
mod outbox;
mod proofs;
mod readme;
mod receipts;
mod scenarios;
mod server;
mod strangers;
mod suggestions;
mod swap;
mod terminal;
mod trace;
mod typescript;
