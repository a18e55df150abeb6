//! `webwallet doctor`: whether this machine, and what the settings name, are fit to serve.
//!
//! It changes nothing: no data directory is made, no engine is taken, and a server that
//! runs goes on. What the stores hold is for `fsck`.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use serde::Serialize;
use tokio::runtime::Runtime;
use tonic::Status;
use webwallet_blockstack::LogFolder;
use webwallet_graphstore::Neo4j;
use webwallet_hashtable::Store as _;
use webwallet_proto::{blockstack, graphstore};

use crate::config::{self, Config};
use crate::file::is_open_to_others;
use crate::output::{self, Outcome};
use crate::serve::{self, Ours};
use crate::{certificate, clock, data, descriptors, disk, engine, health, safety};

/// How long syncing is tried.
const TRIAL: Duration = Duration::from_millis(300);
/// A payment waits for two syncs; of a disk above this people notice it.
const SYNC_US_MAX: f64 = 50_000.0;
/// About 400,000 payments on the embedded engines.
const FREE_BYTES_MIN: u64 = 1 << 30;
/// Time enough to have a certificate renewed.
const CERTIFICATE_DAYS_MIN: i64 = 14;

/// `webwallet doctor`
#[derive(Args)]
pub struct Doctor {
    #[command(flatten)]
    flags: config::Flags,
}

/// What was found of one part.
enum Found {
    /// It is as it should be.
    Good(String),
    /// A server would start, and its operator might be sorry.
    Doubtful(String),
    /// A server would not start, or not serve.
    Wrong(String),
}

impl From<String> for Found {
    fn from(good: String) -> Found {
        Found::Good(good)
    }
}

impl<T: Into<Found>> From<anyhow::Result<T>> for Found {
    fn from(found: anyhow::Result<T>) -> Found {
        found.map_or_else(|why| Found::Wrong(format!("{why:#}")), T::into)
    }
}

/// What is printed of each part, and how many were not as they should be.
struct Report {
    json: bool,
    doubtful: u32,
    wrong: u32,
}

impl Report {
    fn tell(&mut self, part: &'static str, found: impl Into<Found>) -> anyhow::Result<()> {
        #[derive(Serialize)]
        struct Line<'a> {
            part: &'static str,
            verdict: &'static str,
            detail: &'a str,
        }
        let (verdict, detail) = match found.into() {
            Found::Good(detail) => ("good", detail),
            Found::Doubtful(detail) => ("doubtful", detail),
            Found::Wrong(detail) => ("wrong", detail),
        };
        self.doubtful += u32::from(verdict == "doubtful");
        self.wrong += u32::from(verdict == "wrong");
        Ok(output::line(match self.json {
            true => serde_json::to_string(&Line { part, verdict, detail: &detail })?,
            false => output::harmless(&format!("{verdict:<8}  {part:<11}  {detail}")).into_owned(),
        })?)
    }

    fn end(self) -> anyhow::Result<Outcome> {
        #[derive(Serialize)]
        struct Summary {
            result: &'static str,
            doubtful: u32,
            wrong: u32,
        }
        let Report { json, doubtful, wrong } = self;
        let result = if wrong == 0 { "fit" } else { "unfit" };
        output::line(match json {
            true => serde_json::to_string(&Summary { result, doubtful, wrong })?,
            false => format!("{result} to serve: {wrong} wrong, {doubtful} doubtful"),
        })?;
        Ok(if wrong == 0 { Outcome::Done } else { Outcome::Refused })
    }
}

impl Doctor {
    /// Looks at one part after the other and tells what it finds: refused if any is wrong.
    pub fn run(&self, json: bool) -> anyhow::Result<Outcome> {
        let config = config::load(&self.flags)?;
        let mut report = Report { json, doubtful: 0, wrong: 0 };
        report.tell("settings", settings(&config))?;
        for doubt in exposed(&config) {
            report.tell("exposure", Found::Doubtful(doubt))?;
        }
        for secret in secrets(&config) {
            report.tell("secret", secret)?;
        }
        if let Some(file) = &config.tls_cert_file {
            report.tell("certificate", our_certificate(&config, file))?;
        }
        if config.has_data() {
            report.tell("data", directory(&config))?;
        }
        if config.role.seals() {
            report.tell("log-key", log_key(&config))?;
        }
        report.tell("clock", time(&config))?;
        report.tell("files", files(&config))?;
        // A server has both at once, so the first is kept while the second is tried.
        let mut kept = None;
        for (part, address) in [("listen", Some(config.listen)), ("admin", config.operators())] {
            let Some(address) = address else { continue };
            report.tell(part, listener(&config, address, &mut kept))?;
        }
        drop(kept);
        let runtime = Runtime::new()?;
        if config.role.keeps() && config.redis.is_some() {
            report.tell("redis", runtime.block_on(redis(&config)))?;
        }
        if config.role.clears() && config.neo4j.is_some() {
            report.tell("neo4j", runtime.block_on(neo4j(&config)))?;
        }
        for (part, address) in config.services() {
            if address.is_some() {
                report.tell(part, runtime.block_on(service(&config, part, address)))?;
            }
        }
        report.end()
    }
}

fn settings(config: &Config) -> anyhow::Result<String> {
    safety::check(config)?;
    engine::named_key(config)?;
    Ok(format!("role {}, domain {}", config.role.name(), config.domain))
}

/// What a server that strangers reach should have, and this one has not.
fn exposed(config: &Config) -> Vec<String> {
    let mut doubts = Vec::new();
    if !config.role.is_gateway() || config.listen.ip().is_loopback() {
        return doubts;
    }
    if config.domain == "localhost" {
        doubts.push(
            "the domain is localhost, which every payment names and no server can change later: --domain NAME"
                .to_owned(),
        );
    }
    if config.tls_cert_file.is_none() {
        doubts.push(format!(
            "{} speaks plainly to whoever is on the way: --tls-cert FILE --tls-key FILE, or a proxy with TLS before it",
            config.listen
        ));
    }
    let limits = &config.limits;
    let shares = [
        limits.requests_per_second_per_client_max,
        limits.ious_per_second_per_source_max,
        limits.ious_per_second_per_issuer_max,
    ];
    if shares == [0; 3] && limits.connections_per_client_max == 0 {
        doubts.push(
            "no client is held to a share of this machine: limits.connections_per_client_max and the three limits per second"
                .to_owned(),
        );
    }
    doubts
}

/// The files with secrets: whether they are there, and who may read them.
fn secrets(config: &Config) -> Vec<Found> {
    let key = engine::log_key(config);
    // Without --log-key, the first start makes it.
    let key = (config.role.seals() && key.exists()).then_some(key);
    let look = |file: &Path| {
        let shown = file.display();
        match file.metadata() {
            Err(why) => Found::Wrong(format!("cannot read {shown}: {why}")),
            Ok(there) if is_open_to_others(&there) => {
                let cure = output::path(file);
                Found::Doubtful(format!("others on this machine may read it: chmod 600 {cure}"))
            }
            Ok(_) => Found::Good(format!("{shown} is the operator's alone")),
        }
    };
    config.secrets().chain(key.as_deref()).map(look).collect()
}

/// Whether the certificate goes with its key, and how long it is believed.
fn our_certificate(config: &Config, file: &Path) -> Found {
    let look = || {
        Ours::read(config)?;
        certificate::days_left(file, clock::now()?)
    };
    let shown = file.display();
    match look() {
        Err(why) => Found::Wrong(format!("{shown}: {why:#}")),
        Ok(days) if days < CERTIFICATE_DAYS_MIN => Found::Doubtful(format!(
            "{shown} expires in {days} days; a new one is used from the next start on"
        )),
        Ok(days) => Found::Good(format!("{shown} is good for {days} days")),
    }
}

/// Whether the data directory is ours and writes are durable, and how quickly.
fn directory(config: &Config) -> Found {
    let dir = &config.data;
    let look = || -> anyhow::Result<(String, u64, f64)> {
        data::fits(dir, &config.domain)?;
        data::is_whole(dir)?;
        let absolute = std::path::absolute(dir)?;
        // It, or what it will be made in.
        let there = absolute.ancestors().find(|folder| folder.exists()).context("no such disk")?;
        let trial = tempfile::tempdir_in(there)
            .with_context(|| format!("cannot write in {}", there.display()))?;
        let sync_us = disk::fdatasync(trial.path(), TRIAL)?;
        Ok((disk::file_system(there)?, disk::free(there)?, sync_us))
    };
    let (file_system, free, sync_us) = match look() {
        Ok(found) => found,
        Err(why) => return Found::Wrong(format!("{why:#}")),
    };
    let place = dir.display();
    let place = if dir.exists() { place.to_string() } else { format!("{place} will be made") };
    let sync_ms = sync_us / 1000.0;
    if file_system == "tmpfs" {
        Found::Doubtful(format!("{place} in memory (tmpfs): nothing in it outlives this machine"))
    } else if free < FREE_BYTES_MIN {
        Found::Doubtful(format!("{place}: only {} MiB are free on its disk", free >> 20))
    } else if sync_us > SYNC_US_MAX {
        Found::Doubtful(format!("{place}: a sync takes {sync_ms:.0} ms; a payment waits for two"))
    } else {
        let free = free >> 30;
        Found::Good(format!(
            "{place}: {file_system}, {free} GiB free, a sync takes {sync_ms:.1} ms"
        ))
    }
}

/// Whether what is published is signed with the key that is there, so that a server goes on.
fn log_key(config: &Config) -> Found {
    let file = engine::log_key(config);
    let look = || -> anyhow::Result<_> {
        engine::named_key(config)?;
        Ok((engine::read_log_key(&file, &config.domain)?, engine::published(&config.data)?))
    };
    let shown = file.display();
    match look() {
        Err(why) => Found::Wrong(format!("{why:#}")),
        // Graphstore may be the only one who knows of its blocks.
        Ok((None, None)) if data::is_server(&config.data) => Found::Doubtful(format!(
            "{shown} is not there: it will be made if nothing was ever sealed; else put it back, from a backup or a copy, or nothing will clear"
        )),
        Ok((None, None)) => Found::Good(format!("{shown} will be made before the first block")),
        Ok((Some(_), None)) => Found::Good(format!("{shown} will sign the first block")),
        Ok((Some(key), Some(log))) if key.has_signed(log.note()) => {
            Found::Good(format!("{shown} has signed the newest checkpoint"))
        }
        // The stores may have the block that changed it.
        Ok((Some(_), Some(_))) => Found::Doubtful(format!(
            "{shown} has not signed the newest checkpoint: unless the log is older than a change of its key, nothing will clear; `webwallet fsck` says which key it needs"
        )),
        Ok((None, Some(_))) => Found::Wrong(format!(
            "{shown} is not there, and the log is signed with it: nothing will clear until it is put back, from a backup or a copy"
        )),
    }
}

/// Whether the clock stands after what has been sealed.
fn time(config: &Config) -> anyhow::Result<String> {
    let now = engine::clock_of(config)().map_err(|why| anyhow::anyhow!(why))?;
    let log = data::log(&config.data);
    if config.role.seals() && engine::is_published(&config.data) {
        let last = LogFolder::open(&log).and_then(|log| log.last());
        let last = last.context("the log cannot be read; `webwallet fsck` says more")?.header.time;
        ensure!(
            last <= now,
            "it is {now}, and the last block was sealed at {last}: set the clock, or every payment is given that time"
        );
    }
    Ok(now.to_string())
}

fn files(config: &Config) -> anyhow::Result<Found> {
    let asked = config.limits.connections_max;
    let room = descriptors::room_for(asked, config.has_data())?;
    Ok(match room < asked {
        true => Found::Doubtful(format!(
            "room for {room} connections of {asked}: raise the limit of open files (ulimit -n)"
        )),
        false => Found::Good(format!("room for {asked} connections")),
    })
}

/// Whether there is room for a listener, or the server it is for is already there.
fn listener(
    config: &Config,
    address: SocketAddr,
    kept: &mut Option<TcpListener>,
) -> anyhow::Result<Found> {
    match TcpListener::bind(address) {
        Ok(free) => {
            *kept = Some(free);
            Ok(Found::Good(format!("{address} is free")))
        }
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            if let Some(first) = kept {
                let first = first.local_addr()?;
                bail!(
                    "{address} is taken, and no server is at {first}: each listener needs a port of its own"
                );
            }
            let at = health::address(config);
            match health::ready(config, &at) {
                Ok(()) => {
                    Ok(Found::Good(format!("{address} is taken by the server, which is ready")))
                }
                // A certificate need not name the address that this machine has for itself.
                Err(why) if format!("{why:#}").contains("invalid peer certificate") => {
                    Ok(Found::Doubtful(format!(
                        "{address} is taken by who shows a certificate that is not believed at {at}: {why:#}; ask by a name that is in yours: webwallet health --url https://NAME:{}",
                        address.port()
                    )))
                }
                Err(why) => {
                    Err(why.context(format!("{address} is taken, and no server is ready there")))
                }
            }
        }
        Err(error) => bail!("cannot listen on {address}: {error}"),
    }
}

async fn redis(config: &Config) -> anyhow::Result<String> {
    let redis = engine::redis(config).await?.context("no address")?;
    let highest = redis.highest().await?;
    Ok(format!("{}, with records up to {highest}", redis.name()))
}

async fn neo4j(config: &Config) -> anyhow::Result<String> {
    let settings = engine::neo4j_settings(config)?.context("no address")?;
    let graph = Neo4j::fits(&settings, &config.domain).await?;
    if config.role.seals()
        && let Some(neo4j) = engine::seen_neo4j(config).await
    {
        engine::is_of_this_log(config, &config.data, &neo4j, true).await?;
    }
    Ok(graph)
}

/// A service in another process, asked for what it does for this one.
async fn service(config: &Config, part: &str, address: &Option<String>) -> anyhow::Result<String> {
    let link = Ours::read(config)?.link(address)?;
    let answer = async {
        let held = match part {
            "hashtable" => {
                serve::hashtable_works(link).await?;
                None
            }
            "graphstore" => {
                let mut client = graphstore::client(link);
                client.status(graphstore::v1::StatusRequest {}).await?.into_inner().held
            }
            _ => {
                let mut client = blockstack::client(link);
                let status = client.status(blockstack::v1::StatusRequest {}).await?.into_inner();
                status.held().map(str::to_owned)
            }
        };
        held.map_or(Ok(()), |why| Err(Status::failed_precondition(why)))
    };
    let address = address.as_deref().unwrap_or_default();
    let answer: Result<(), Status> = answer.await;
    answer.map_err(|status| anyhow::anyhow!("{address}: {}", status.message()))?;
    Ok(format!("{address} does its work"))
}
