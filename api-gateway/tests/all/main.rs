//! The gateway before stores that are a stand-in: what it answers, and how, without a
//! socket.

mod about;
mod address;
mod batch;
mod document;
mod events;
mod http;
mod log;
mod openapi;
mod read_only;
mod standin;
mod transaction;
mod unit;
