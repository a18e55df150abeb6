//! Deployments on Redis and Neo4j, in processes of their own: what is refused at
//! the start, what happens when an engine goes away, and that two gateways are
//! one server.

#![allow(clippy::unwrap_used)]

mod engines;
mod gateways;
mod refused;
mod tls;
