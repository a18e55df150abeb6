//! The other client, beside which Graphstore is measured: one transaction for
//! each request, as most programs do it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use neo4rs::{Graph, query};
use webwallet_ledger::Hash;

use super::zipf::Town;

/// At once.
const CONNECTIONS: usize = 8;
/// About what a record has.
const RECORD_BYTES: usize = 1_300;

const CONSTRAINTS: [&str; 2] = [
    "CREATE CONSTRAINT IF NOT EXISTS FOR (x:NaiveAccount) REQUIRE x.k IS UNIQUE",
    "CREATE CONSTRAINT IF NOT EXISTS FOR (x:NaiveIou) REQUIRE x.id IS UNIQUE",
];
const ACCOUNTS: &str = "UNWIND $keys AS k MERGE (a:NaiveAccount {k: k}) ON CREATE SET a.net = 0 \
     MERGE (a)-[:UNSPENT]->(:NaiveOutput {net: 0})";
/// Both accounts in one order: without this it only ever meets deadlocks.
const LOCK: &str = "UNWIND $keys AS k MATCH (a:NaiveAccount {k: k}) SET a.lock = $id";
const WRITE: &str = "MATCH (a:NaiveAccount {k: $from})-[u:UNSPENT]->(o), (b:NaiveAccount {k: $to})-[v:UNSPENT]->(p) \
     CREATE (t:NaiveTransaction {id: $id, record: $record})-[:INPUTS]->(:NaiveIou {id: $id}) \
     CREATE (t)-[:OUTPUTS {i: 0}]->(o2:NaiveOutput {net: o.net - 1})-[:SOURCES]->(o) \
     CREATE (t)-[:OUTPUTS {i: 1}]->(p2:NaiveOutput {net: p.net + 1})-[:SOURCES]->(p) \
     CREATE (a)-[:UNSPENT]->(o2), (b)-[:UNSPENT]->(p2) DELETE u, v SET a.net = o2.net, b.net = p2.net";

/// Makes the accounts of everybody.
pub async fn prepare(graph: &Graph, town: &Town) -> anyhow::Result<()> {
    for constraint in CONSTRAINTS {
        graph.run(query(constraint)).await?;
    }
    for some in town.holders.chunks(1_000) {
        let keys: Vec<String> = some.iter().map(|holder| holder.address.to_string()).collect();
        graph.run(query(ACCOUNTS).param("keys", keys)).await?;
    }
    Ok(())
}

/// Payments a second.
pub async fn rate(graph: &Graph, town: &Arc<Town>, time: Duration) -> anyhow::Result<f64> {
    let started = Instant::now();
    let clients = (0..CONNECTIONS).map(|client| {
        let (graph, town) = (graph.clone(), town.clone());
        tokio::spawn(async move {
            let (mut done, mut tried) = (0_u32, 0_u64);
            while started.elapsed() < time {
                tried += 1;
                let id = Hash::sha3(format!("{client} {tried} {started:?}").as_bytes());
                done += u32::from(pay(&graph, &town, &id.to_string()).await?);
            }
            anyhow::Ok(done)
        })
    });
    let mut done = 0;
    for client in clients.collect::<Vec<_>>() {
        done += client.await??;
    }
    Ok(f64::from(done) / started.elapsed().as_secs_f64())
}

/// One payment of anybody to anybody; whether it was written.
async fn pay(graph: &Graph, town: &Town, id: &str) -> anyhow::Result<bool> {
    let mut pair = [0, 1].map(|_| town.anybody(&mut rand::rng()).address.to_string());
    let [from, to] = pair.clone();
    if from == to {
        return Ok(false);
    }
    pair.sort_unstable();
    let mut txn = graph.start_txn().await?;
    let locked = txn.run(query(LOCK).param("keys", pair.to_vec()).param("id", id)).await;
    let write = query(WRITE)
        .param("from", from)
        .param("to", to)
        .param("id", id)
        .param("record", vec![0x2e_u8; RECORD_BYTES]);
    let wrote = match locked {
        Ok(_) => txn.run(write).await,
        refused => refused,
    };
    Ok(match wrote {
        Ok(_) => txn.commit().await.map(|_| true)?,
        Err(_) => {
            // It may have ended already.
            let _ = txn.rollback().await;
            false
        }
    })
}
