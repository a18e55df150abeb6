//! What Neo4j alone can get wrong: its address, its constraints, its answers
//! that get lost. What every engine promises is in `conformance.rs`.

#[path = "../graph/mod.rs"]
mod graph;
#[path = "../life/mod.rs"]
mod life;
mod lost;
#[path = "../payments/mod.rs"]
mod payments;
mod proxy;
mod races;
mod surroundings;
mod writers;
