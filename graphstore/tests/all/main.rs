//! Graphstore: its engines, its writer, and what crashes and bad disks leave.

mod conformance;
mod graph;
mod life;
mod locks;
mod log_damage;
mod payments;
mod units;
mod writer;
