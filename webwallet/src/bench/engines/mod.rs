//! `webwallet bench --redis URL --neo4j URL`: the same server on Redis and Neo4j.
//!
//! A rate on Neo4j means nothing by itself, so beside it runs a client that makes
//! one transaction of each request, on the same server in the same run. What is
//! measured is a warm server: the first seconds of every load are not counted.

mod naive;
mod reads;
mod zipf;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, bail, ensure};
use neo4rs::{Graph, query};
use tonic::Request as Call;
use webwallet_graphstore::{Graphstore, Neo4j, Store as _};
use webwallet_hashtable::{Redis, Store as _};
use webwallet_proto::graphstore::v1::graphstore_server::Graphstore as _;
use webwallet_proto::graphstore::v1::{ClearRequest, clear_reply};

use self::zipf::{HOLDERS, Payment, Town};
use super::child::Server;
use super::load::{Pace, Tally, WHOLE_COUNT};
use super::machine::{Cpu, Machine};
use super::report::{EnginesReport, Figure, progress};
use super::signers::{Pairs, Signers, Terms};
use super::{load, start};
use crate::config::Config;
use crate::{clock, engine};

/// Before the domain of every run: what an earlier one left may be removed.
const DOMAIN_PREFIX: &str = "bench-";
/// Requests in flight: what a crowd of gateways has.
const CALLERS: usize = 2_048;
/// Requests signed at a time.
const ROUND: usize = 16_384;
/// A server that was just started works at half its speed for as long.
const WARM: Duration = Duration::from_secs(15);
/// Reads of one kind for each second of a run.
const READS_PER_SECOND: u32 = 200;
/// Documents of the refill for each second of a run.
const DOCUMENTS_PER_SECOND: u64 = 10_000;
/// Requests that one client sends for each second of a run, at most; and a crowd.
const IDLE_PER_SECOND: usize = 200;
const CROWD_PER_SECOND: usize = 2_000;
const SIGNERS: usize = 1_000;

/// The engines, under measurement.
pub struct Engines<'a> {
    config: Config,
    graph: Graph,
    time: Duration,
    folder: &'a std::path::Path,
}

impl Engines<'_> {
    /// Measures and reports. `config` names the engines; its domain becomes that
    /// of this run.
    pub async fn measure(
        config: Config,
        time: Duration,
        folder: &std::path::Path,
        machine: Machine,
    ) -> anyhow::Result<EnginesReport> {
        let stamp = SystemTime::UNIX_EPOCH.elapsed()?.as_millis();
        let config = Config { domain: format!("{DOMAIN_PREFIX}{stamp}.localhost"), ..config };
        let settings = engine::neo4j_settings(&config)?.context("which Neo4j?")?;
        let graph = Graph::new(&settings.url, &settings.user, &settings.password)?;
        let engines = Engines { config, graph, time, folder };
        // Says it better than the driver if it cannot be used.
        let redis = engine::redis(&engines.config).await?.context("which Redis?")?;
        engines.make_room().await?;
        let mut figures = Vec::new();
        engines.rest(&mut figures).await?;
        let store = engine::neo4j(&engines.config).await?.context("which Neo4j?")?;
        let town = Arc::new(Town::new(&engines.config.domain, clock::now()?.plus_days(365)));
        engines.clearing(&store, &town, &mut figures).await?;
        engines.reading(&store, &redis, &town, &mut figures).await?;
        let engines = [redis.name(), store.name()];
        Ok(EnginesReport { machine, engines, figures })
    }

    /// Removes what an earlier run has left in Neo4j.
    ///
    /// # Errors
    /// It holds something else.
    async fn make_room(&self) -> anyhow::Result<()> {
        let asked = "OPTIONAL MATCH (h:Shard) WITH collect(h.domain) AS domains \
             CALL () { MATCH (n) RETURN count(n) AS nodes } RETURN domains, nodes";
        let mut rows = self.graph.execute_read(query(asked)).await?;
        let row = rows.next().await?.context("Neo4j does not count")?;
        let (domains, nodes): (Vec<String>, i64) = (row.get("domains")?, row.get("nodes")?);
        if nodes == 0 {
            return Ok(());
        }
        let ours = domains.iter().all(|domain| domain.starts_with(DOMAIN_PREFIX));
        ensure!(
            ours && !domains.is_empty(),
            "this Neo4j holds {nodes} nodes; a measurement needs one of its own"
        );
        progress(&format!("removing {nodes} nodes of an earlier run"));
        // A piece at a time: the server ends what takes too long.
        let wipe = "MATCH (n) WITH n LIMIT 10000 DETACH DELETE n RETURN count(n) AS removed";
        loop {
            let mut rows = self.graph.execute(query(wipe)).await?;
            let row = rows.next().await?.context("Neo4j does not count")?;
            if row.get::<i64>("removed")? == 0 {
                return Ok(());
            }
        }
    }

    /// A lone client of the whole server.
    async fn rest(&self, figures: &mut Vec<Figure>) -> anyhow::Result<()> {
        let url = |url: &Option<String>| url.clone().unwrap_or_default();
        let (redis, neo4j) = (url(&self.config.redis), url(&self.config.neo4j));
        let more = ["--redis", &redis, "--neo4j", &neo4j];
        let passwords = [
            ("WEBWALLET_REDIS_PASSWORD_FILE", &self.config.redis_password_file),
            ("WEBWALLET_NEO4J_PASSWORD_FILE", &self.config.neo4j_password_file),
        ];
        let passwords =
            passwords.into_iter().filter_map(|(name, file)| Some((name, file.as_deref()?)));
        let passwords: Vec<_> = passwords.collect();
        progress("starting the server");
        let (data, domain) = (self.folder.join("data"), &self.config.domain);
        let alone = tokio::task::block_in_place(|| {
            self.alone(start(&data, domain, &more, &passwords, Cpu::any())?)
        })?;
        ensure!(alone.statuses.len() == 1 && alone.created() > 0, "{:?}", alone.statuses);
        let p50 = alone.percentile_ms(50.0);
        figures.push(Figure::at_most("REST to 201, one client, p50", p50, "ms", 15.0));
        Ok(())
    }

    /// One client, after a crowd.
    fn alone(&self, server: Server) -> anyhow::Result<Tally> {
        let signers = Signers::new(SIGNERS)?;
        let (domain, expiry) = (self.config.domain.clone(), clock::now()?.plus_days(365));
        let terms = Terms { domain, expiry, listen: server.listen, headers: "" };
        let send = |clients: usize, posts: &[Vec<u8>], time_max| {
            load(Cpu::any(), &server, clients, posts, Pace::Closed, time_max)
        };
        let seconds = usize::try_from(self.time.as_secs())?;
        let met = signers.posts(SIGNERS, 1, Pairs::EachOnce, &terms)?;
        send(16, &met, WHOLE_COUNT)?;
        let crowd = signers.posts(CROWD_PER_SECOND * seconds, 1, Pairs::Spread, &terms)?;
        progress("REST: warming up");
        send(64, &crowd, WARM.min(2 * self.time))?;
        let posts = signers.posts(IDLE_PER_SECOND * seconds, 1, Pairs::Spread, &terms)?;
        progress("REST: one client");
        let alone = send(1, &posts, self.time)?;
        server.stop()?;
        Ok(alone)
    }

    async fn clearing(
        &self,
        store: &Neo4j,
        town: &Arc<Town>,
        figures: &mut Vec<Figure>,
    ) -> anyhow::Result<()> {
        let clock = clock::system();
        let graphstore = Graphstore::start(store.clone(), &self.config.domain, clock).await?;
        progress(&format!("funding {HOLDERS} accounts"));
        clear_all(&graphstore, town.funds()).await?;
        progress("Graphstore on Neo4j: warming up");
        rate(&graphstore, town, false, WARM.min(2 * self.time)).await?;
        progress("Graphstore on Neo4j: spread");
        let spread = rate(&graphstore, town, false, self.time).await?;
        progress("Graphstore on Neo4j: one hot issuer");
        let hot = rate(&graphstore, town, true, self.time).await?;
        progress("one transaction for each request");
        naive::prepare(&self.graph, town).await?;
        naive::rate(&self.graph, town, WARM.min(self.time) / 3).await?;
        let naive = naive::rate(&self.graph, town, self.time).await?;
        ensure!(naive > 0.0, "the client to compare with cleared nothing");
        figures.extend([
            Figure::at_least("Graphstore on Neo4j", spread, "clears/s", 6_000.0),
            Figure::of("one transaction a request, 8 connections", naive, "clears/s"),
            Figure::at_least("Graphstore, of one transaction a request", spread / naive, "x", 10.0),
            Figure::at_least("one hot issuer, of spread", hot / spread, "x", 0.9),
        ]);
        Ok(())
    }

    async fn reading(
        &self,
        store: &Neo4j,
        redis: &Redis,
        town: &Town,
        figures: &mut Vec<Figure>,
    ) -> anyhow::Result<()> {
        let seconds = self.time.as_secs();
        let count = READS_PER_SECOND * u32::try_from(seconds)?;
        progress("reading");
        // Each kind once before it counts.
        reads::empty(&self.graph, count / 10).await?;
        let empty = reads::empty(&self.graph, count).await?;
        reads::balances(store, town, count / 10).await?;
        let balances = reads::balances(store, town, count).await?;
        let pages = reads::pages(store, &self.graph, town, count).await?;
        progress("filling Redis");
        let refill = reads::refill(redis, DOCUMENTS_PER_SECOND * seconds).await?;
        figures.extend([
            Figure::of("empty query of the driver, p99", empty, "ms"),
            Figure::at_most("balance, p99 above the empty query", balances - empty, "ms", 5.0),
            Figure::at_most("history page of 100 of 200,000, p99", pages, "ms", 10.0),
            Figure::at_least("refill of Redis", refill, "documents/s", 20_000.0),
        ]);
        Ok(())
    }
}

/// Clears all of these, many at a time.
async fn clear_all(graphstore: &Graphstore<Neo4j>, payments: Vec<Payment>) -> anyhow::Result<()> {
    let (count, payments) = (payments.len(), Arc::new(payments));
    let next = Arc::new(AtomicUsize::new(0));
    let callers = (0..CALLERS.min(count)).map(|_| {
        let (graphstore, payments, next) = (graphstore.clone(), payments.clone(), next.clone());
        tokio::spawn(async move {
            while let Some(inputs) = payments.get(next.fetch_add(1, Ordering::Relaxed)) {
                let inputs = inputs.iter().map(|iou| iou.clone().into()).collect();
                let reply = graphstore.clear(Call::new(ClearRequest { inputs })).await?;
                match reply.into_inner().outcome {
                    Some(clear_reply::Outcome::Cleared(_)) => {}
                    other => bail!("a payment did not clear: {other:?}"),
                }
            }
            Ok(())
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await??;
    }
    Ok(())
}

/// As many a second as can be cleared in this time, in rounds; signing is not counted.
async fn rate(
    graphstore: &Graphstore<Neo4j>,
    town: &Town,
    hot: bool,
    time: Duration,
) -> anyhow::Result<f64> {
    let (mut busy, mut cleared) = (Duration::ZERO, 0);
    while busy < time {
        let payments = tokio::task::block_in_place(|| town.payments(ROUND, hot))?;
        let started = Instant::now();
        clear_all(graphstore, payments).await?;
        busy += started.elapsed();
        cleared += ROUND;
    }
    Ok(cleared as f64 / busy.as_secs_f64())
}
