//! Every limit at its boundary, over real sockets: exactly at it is served, one
//! over is not. A limit that is off by one is found here and not by an attacker.

mod answers;
mod batches;
mod bodies;
mod connections;
mod listening;
mod rates;
#[path = "../all/standin/mod.rs"]
mod standin;
mod streams;
mod unread;
