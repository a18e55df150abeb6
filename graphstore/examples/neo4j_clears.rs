//! How fast Graphstore clears on Neo4j, beside a client that makes one
//! transaction of each request on the same server; and how long reads take.
//!
//! `cargo run --release -p webwallet-graphstore --example neo4j_clears [seconds]`
//!
//! Everything runs on this machine, client and server together, and what counts
//! are the ratios. Signatures are not verified here: gateways do that.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use neo4rs::{Graph, query};
use rand::{Rng, RngExt as _};
use tonic::Request as Call;
use webwallet_graphstore::neo4j::{Neo4j, Settings};
use webwallet_graphstore::store::{Page, Store};
use webwallet_graphstore::{Clock, Graphstore};
use webwallet_ledger::signature::public_of;
use webwallet_ledger::{AccountId, Address, Draft, Hash, Time};
use webwallet_proto::graphstore::v1::graphstore_server::Graphstore as _;
use webwallet_proto::graphstore::v1::{ClearRequest, clear_reply};

const DOMAIN: &str = "example.net";
const HOLDERS: usize = 10_000;
/// Requests in flight: what a crowd of gateways has.
const CALLERS: usize = 2_048;
/// Connections of the other client.
const NAIVE_CONNECTIONS: usize = 8;
/// Outputs of the account whose history is read.
const HISTORY: i64 = 200_000;
const READS: usize = 2_000;

type Failure = Box<dyn std::error::Error + Send + Sync>;

struct Holder {
    secret: [u8; 32],
    address: Address,
}

/// Who pays whom: the k-th holder about 1/k as often as the first.
struct World {
    issuer: Holder,
    holders: Vec<Holder>,
    upto: Vec<f64>,
}

fn holder(name: &str) -> Holder {
    let secret = Hash::sha3(name.as_bytes()).0;
    Holder { secret, address: Address::of_public(&public_of(&secret)) }
}

impl World {
    fn new() -> World {
        let mut sum = 0.0;
        let weights = (1..=HOLDERS).map(|k| {
            sum += 1.0 / k as f64;
            sum
        });
        let upto = weights.collect();
        let holders = (0..HOLDERS).map(|i| holder(&format!("holder {i}"))).collect();
        World { issuer: holder("issuer"), holders, upto }
    }

    fn anybody(&self, random: &mut impl Rng) -> &Holder {
        let at = random.random::<f64>() * self.upto[HOLDERS - 1];
        &self.holders[self.upto.partition_point(|upto| *upto < at).min(HOLDERS - 1)]
    }

    fn pay(&self, from: &Holder, to: &Holder, amount: &str, note: &str) -> Vec<u8> {
        Draft {
            domain: DOMAIN.into(),
            source: from.address,
            target: to.address,
            symbol: self.issuer.address,
            amount: amount.into(),
            random: format!("payment {note}"),
            expiry: "2027-01-01T00:00:00.000Z".parse().expect("a time"),
            active: None,
            credit: None,
        }
        .sign(&from.secret)
    }

    /// Payments by anybody, or all by the issuer.
    fn payments(&self, count: usize, hot: bool, note: &str) -> Vec<Vec<Vec<u8>>> {
        let mut random = rand::rng();
        let mut one = |i: usize| {
            let to = self.anybody(&mut random);
            let from = loop {
                let from = if hot { &self.issuer } else { self.anybody(&mut random) };
                if from.address != to.address {
                    break from;
                }
            };
            vec![self.pay(from, to, "1", &format!("{note} {i}"))]
        };
        (0..count).map(&mut one).collect()
    }
}

/// Clears all of these, many at a time; answers how many a second.
async fn clear_all(graphstore: &Graphstore<Neo4j>, payments: Vec<Vec<Vec<u8>>>) -> f64 {
    let (count, payments) = (payments.len(), Arc::new(payments));
    let (next, started) = (Arc::new(AtomicUsize::new(0)), Instant::now());
    let callers = (0..CALLERS.min(count)).map(|_| {
        let (graphstore, payments, next) = (graphstore.clone(), payments.clone(), next.clone());
        tokio::spawn(async move {
            while let Some(inputs) = payments.get(next.fetch_add(1, Ordering::Relaxed)) {
                let inputs = inputs.iter().map(|iou| iou.clone().into()).collect();
                let reply = graphstore.clear(Call::new(ClearRequest { inputs })).await;
                match reply.expect("an answer").into_inner().outcome {
                    Some(clear_reply::Outcome::Cleared(_)) => {}
                    other => panic!("{other:?}"),
                }
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.expect("a caller ends");
    }
    count as f64 / started.elapsed().as_secs_f64()
}

/// As much as can be cleared in this time, in rounds of a few thousand.
async fn rate(graphstore: &Graphstore<Neo4j>, world: &World, hot: bool, time: Duration) -> f64 {
    let (mut busy, mut cleared, mut round) = (Duration::ZERO, 0, 0);
    while busy < time {
        let note = format!("{hot} {round} {}", rand::rng().random::<u64>());
        let payments = world.payments(16_384, hot, &note);
        let (count, started) = (payments.len(), Instant::now());
        clear_all(graphstore, payments).await;
        busy += started.elapsed();
        cleared += count;
        round += 1;
    }
    cleared as f64 / busy.as_secs_f64()
}

/// One transaction for each request: locks both accounts in one order, then
/// writes what it has to, the record's bytes too.
async fn naive(graph: &Graph, world: &Arc<World>, time: Duration) -> Result<f64, Failure> {
    for on in ["NaiveAccount.k", "NaiveIou.id"] {
        let (label, property) = on.split_once('.').expect("two parts");
        let on = format!("FOR (x:{label}) REQUIRE x.{property} IS UNIQUE");
        graph.run(query(&format!("CREATE CONSTRAINT IF NOT EXISTS {on}"))).await?;
    }
    let all: Vec<String> = world.holders.iter().map(|h| h.address.to_string()).collect();
    for some in all.chunks(1_000) {
        let accounts = "UNWIND $keys AS k MERGE (a:NaiveAccount {k: k}) ON CREATE SET a.net = 0 \
                        MERGE (a)-[:UNSPENT]->(:NaiveOutput {net: 0})";
        graph.run(query(accounts).param("keys", some.to_vec())).await?;
    }
    let started = Instant::now();
    let clients = (0..NAIVE_CONNECTIONS).map(|client| {
        let (graph, world) = (graph.clone(), world.clone());
        tokio::spawn(async move {
            let (mut done, mut tried) = (0u32, 0u64);
            while started.elapsed() < time {
                tried += 1;
                let mut pair = [0, 1].map(|_| world.anybody(&mut rand::rng()).address.to_string());
                let [from, to] = pair.clone();
                pair.sort_unstable();
                if from == to {
                    continue;
                }
                let lock = "UNWIND $keys AS k MATCH (a:NaiveAccount {k: k}) SET a.lock = $id";
                let write = "MATCH (a:NaiveAccount {k: $from})-[u:UNSPENT]->(o), (b:NaiveAccount {k: $to})-[v:UNSPENT]->(p) \
                     CREATE (t:NaiveTransaction {id: $id, record: $record})-[:INPUTS]->(:NaiveIou {id: $id}) \
                     CREATE (t)-[:OUTPUTS {i: 0}]->(o2:NaiveOutput {net: o.net - 1})-[:SOURCES]->(o) \
                     CREATE (t)-[:OUTPUTS {i: 1}]->(p2:NaiveOutput {net: p.net + 1})-[:SOURCES]->(p) \
                     CREATE (a)-[:UNSPENT]->(o2), (b)-[:UNSPENT]->(p2) DELETE u, v SET a.net = o2.net, b.net = p2.net";
                let id = Hash::sha3(format!("{client} {tried} {started:?}").as_bytes()).to_string();
                let mut txn = graph.start_txn().await?;
                let locked = txn
                    .run(query(lock).param("keys", pair.to_vec()).param("id", id.as_str()))
                    .await;
                let write = query(write)
                    .param("from", from)
                    .param("to", to)
                    .param("id", id)
                    .param("record", vec![0x2e_u8; 1_300]);
                let wrote = match locked {
                    Ok(_) => txn.run(write).await,
                    refused => refused,
                };
                match wrote {
                    Ok(_) => txn.commit().await.map(|_| done += 1)?,
                    // It may have ended already.
                    Err(_) => drop(txn.rollback().await),
                }
            }
            Ok::<u32, neo4rs::Error>(done)
        })
    });
    let mut done = 0;
    for client in clients.collect::<Vec<_>>() {
        done += client.await??;
    }
    Ok(f64::from(done) / started.elapsed().as_secs_f64())
}

/// Middle and 99th of a hundred times of something, in milliseconds.
async fn times(mut once: impl AsyncFnMut()) -> (f64, f64) {
    let mut times = Vec::with_capacity(READS);
    for _ in 0..READS {
        let started = Instant::now();
        once().await;
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    (times[READS / 2], times[READS * 99 / 100])
}

/// An account with a long history, made without clearing it all.
async fn long_history(graph: &Graph, id: &AccountId) -> Result<(), Failure> {
    let account = "CREATE (:Account {k: $k, no: 1000000, unit: $unit, address: $address, s: $s, \
                   net: '1', min: '0', max: 'Infinity'})";
    let account = query(account)
        .param("k", id.to_string())
        .param("unit", id.unit.as_str())
        .param("address", id.address.as_str());
    graph.run(account.param("s", HISTORY)).await?;
    let outputs = "UNWIND range($from, $from + 4999) AS s \
         CREATE (:Transaction {n: 1000000000 + s, id: right('0000000000000000000000000000000000000000000000000000000000000000' + toString(s), 64), time: 0}) \
         -[:OUTPUTS {i: 0}]->(:Output {p: 1000000 * 2147483648 + s, net: '1', min: '0', max: 'Infinity'})";
    for from in (1..=HISTORY).step_by(5_000) {
        graph.run(query(outputs).param("from", from)).await?;
    }
    Ok(())
}

async fn reads(store: &Neo4j, graph: &Graph, world: &World) -> Result<(), Failure> {
    let (middle, empty) = times(async || {
        let mut rows = graph.execute_read(query("RETURN 1")).await.expect("an answer");
        while rows.next().await.expect("a row").is_some() {}
    })
    .await;
    println!("empty query         p50 {middle:6.2} ms   p99 {empty:6.2} ms");
    let (middle, last) = times(async || {
        let address = world.anybody(&mut rand::rng()).address;
        let id = AccountId { unit: world.issuer.address, address };
        let loaded = store.load(&[id], &[]).await.expect("an answer");
        assert_eq!(loaded.accounts.len(), 1);
    })
    .await;
    println!(
        "balance             p50 {middle:6.2} ms   p99 {last:6.2} ms   {:+.2} ms above the empty query",
        last - empty
    );
    let id = AccountId { unit: world.issuer.address, address: holder("long history").address };
    long_history(graph, &id).await?;
    let (middle, last) = times(async || {
        let before = 1_000_000_000 + rand::rng().random_range(50_000..HISTORY as u64);
        let skip = rand::rng().random_range(0..40_000);
        let page = Page { before, skip, limit: 100 };
        assert_eq!(store.outputs(id, page).await.expect("an answer").len(), 100);
    })
    .await;
    println!("history of 100      p50 {middle:6.2} ms   p99 {last:6.2} ms   of {HISTORY} outputs");
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let seconds = std::env::args().nth(1).map_or(Ok(10), |s| s.parse())?;
    let time = Duration::from_secs(seconds);
    let server = tokio::task::spawn_blocking(webwallet_engines::neo4j).await?;
    let (url, user) = (server.uri.clone(), server.user.clone());
    let settings = Settings { url, user, password: server.password.clone() };
    let graph = Graph::new(&settings.url, &settings.user, &settings.password)?;
    let world = Arc::new(World::new());
    let store = Neo4j::open(&settings, DOMAIN).await?;
    println!("{}, {HOLDERS} accounts, {CALLERS} requests in flight", store.name());
    let now: Time = "2026-01-01T00:00:00.000Z".parse()?;
    let clock: Clock = Arc::new(move || Ok(now));
    let graphstore = Graphstore::start(store.clone(), DOMAIN, clock).await?;
    let funds = world.holders.chunks(50).enumerate().map(|(i, some)| {
        some.iter()
            .map(|to| world.pay(&world.issuer, to, "1000000", &format!("fund {i}")))
            .collect()
    });
    clear_all(&graphstore, funds.collect()).await;
    // The server compiles what runs often; before that it is half as fast.
    rate(&graphstore, &world, false, Duration::from_secs(15).min(2 * time)).await;
    let spread = rate(&graphstore, &world, false, time).await;
    println!("spread              {spread:8.0} clears/s");
    let hot = rate(&graphstore, &world, true, time).await;
    println!("one hot issuer      {hot:8.0} clears/s   {:.2} of spread", hot / spread);
    naive(&graph, &world, Duration::from_secs(5).min(time)).await?;
    let naive = naive(&graph, &world, time).await?;
    println!(
        "one at a time       {naive:8.0} clears/s   spread is {:.1} times that",
        spread / naive
    );
    reads(&store, &graph, &world).await
}
