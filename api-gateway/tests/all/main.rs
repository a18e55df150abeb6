//! The gateway before stores that are a stand-in: what it answers, and how.

mod api;
mod batch;
mod events;
mod openapi;
mod reads;
mod standin;
