//! What Neo4j alone can get wrong: its address, its constraints, its answers
//! that get lost. What every engine promises is in `conformance.rs`.

#[path = "../all/graph.rs"]
mod graph;
#[path = "../all/life.rs"]
mod life;
mod lost;
#[path = "../all/payments.rs"]
mod payments;
mod races;
mod surroundings;
mod writers;
