//! `webwallet fsck` and `webwallet rebuild`: what an operator does with the stores
//! of a server that is stopped.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use tokio::runtime::Runtime;
use webwallet_blockstack::rebuild::LogFolder;
use webwallet_graphstore::Store as Graph;
use webwallet_hashtable::Store as Documents;
use webwallet_proto::link::Link;

use crate::config::{self, Config, Flags, Role};
use crate::data::Data;
use crate::output::Outcome;
use crate::{engine, fsck, logs, output, rebuild, safety, serve};

/// `webwallet fsck`
#[derive(Args)]
pub struct Fsck {
    #[command(flatten)]
    flags: Flags,
}

/// `webwallet rebuild`
#[derive(Args)]
pub struct Rebuild {
    /// Which store to make anew out of the other two
    store: Lost,
    #[command(flatten)]
    flags: Flags,
}

/// A store that was lost.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Lost {
    /// From the log, and from Graphstore beyond it
    Hashtable,
    /// From the log, and from Hashtable beyond it
    Graphstore,
    /// From Hashtable and Graphstore
    Log,
}

impl Fsck {
    /// Looks at both stores and tells what is wrong.
    pub fn run(&self, json: bool) -> anyhow::Result<Outcome> {
        with_stores(&self.flags, Work::Fsck { json })
    }
}

impl Rebuild {
    /// Makes one store anew.
    pub fn run(&self, json: bool) -> anyhow::Result<Outcome> {
        with_stores(&self.flags, Work::Rebuild { lost: self.store, json })
    }
}

/// What is to be done once the stores are open.
enum Work {
    Fsck { json: bool },
    Rebuild { lost: Lost, json: bool },
}

/// Opens the stores that the settings name, whatever their engines, and works.
fn with_stores(flags: &Flags, work: Work) -> anyhow::Result<Outcome> {
    let config = config::load(flags)?;
    logs::start(&config.log)?;
    Runtime::new()?.block_on(async {
        let opened = async {
            safety::check(&config)?;
            let services = [&config.hashtable, &config.graphstore, &config.blockstack];
            anyhow::ensure!(
                config.role == Role::All && services.iter().all(|service| service.is_none()),
                "the stores themselves are needed, and not the services over them: give `--redis` and `--neo4j` as to those, and no role and no address of a service"
            );
            anyhow::ensure!(
                config.data.join("version").exists(),
                "there is no data directory of a server at {}: name it with `--data`",
                config.data.display()
            );
            // Its lock comes first: it says that no server runs.
            let apart = config.redis.is_some() && config.neo4j.is_some();
            let needed = !apart || matches!(work, Work::Rebuild { .. });
            let data = needed.then(|| Data::open(&config.data, &config.domain)).transpose()?;
            let redis = engine::redis(&config).await?;
            // To look is no reason to take a graph from the server that clears in it.
            let neo4j = match work {
                Work::Fsck { .. } => engine::inspected_neo4j(&config).await?,
                Work::Rebuild { .. } => engine::neo4j(&config).await?,
            };
            anyhow::Ok((data, redis, neo4j))
        };
        // What cannot be looked at is not damaged: its own exit status, and not that of findings.
        let (data, redis, neo4j) = opened.await?;
        let data = data.as_ref();
        let here = || data.context("no data directory");
        let hashtable = || {
            let data = here()?;
            engine::hashtable(data).with_context(|| aside("hashtable", &data.hashtable()))
        };
        let graphstore = || {
            let data = here()?;
            engine::graphstore(data).with_context(|| aside("graphstore", &data.graphstore()))
        };
        match (neo4j, redis) {
            (Some(graph), Some(documents)) => work.on(&config, data, graph, documents).await,
            (Some(graph), None) => work.on(&config, data, graph, hashtable()?).await,
            (None, Some(documents)) => work.on(&config, data, graphstore()?, documents).await,
            (None, None) => work.on(&config, data, graphstore()?, hashtable()?).await,
        }
    })
}

/// The published log of a data directory: before the first block there is none.
fn log_of(data: &Path) -> Option<PathBuf> {
    Some(data.join("log")).filter(|log| log.join("checkpoint").exists())
}

/// What helps where a store cannot even be opened.
fn aside(store: &str, folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "if its files are damaged: mv {folder} {folder}.damaged, and `webwallet rebuild {store}` makes it anew"
    )
}

impl Work {
    async fn on(
        self,
        config: &Config,
        data: Option<&Data>,
        graph: impl Graph,
        documents: impl Documents,
    ) -> anyhow::Result<Outcome> {
        match self {
            Work::Fsck { json } => look(config, &graph, &documents, json).await,
            Work::Rebuild { lost, json } => {
                let data = data.context("no data directory")?;
                // What it is made of must be all there is.
                let cleared = match config.neo4j.is_some() && lost != Lost::Graphstore {
                    true => Some(graph.head().await?.number),
                    false => None,
                };
                let stored = match config.redis.is_some() && lost != Lost::Hashtable {
                    true => Some(documents.highest().await?),
                    false => None,
                };
                engine::nothing_is_left_behind(data, cleared, stored).await?;
                let (what, count) = lost.rebuild(config, data, graph, documents).await?;
                output::line(match json {
                    true => serde_json::json!({ "rebuilt": what.0, what.1: count.to_string() })
                        .to_string(),
                    false => format!("rebuilt the {}: {count} {}", what.0, what.1),
                })?;
                Ok(Outcome::Done)
            }
        }
    }
}

async fn look(
    config: &Config,
    graph: &impl Graph,
    documents: &impl Documents,
    json: bool,
) -> anyhow::Result<Outcome> {
    let tell = |finding: &fsck::Finding| -> anyhow::Result<()> {
        let number = finding.number.as_deref().map(|n| format!(" record {n}:"));
        let text = || format!("{}{} {}", finding.code, number.unwrap_or_default(), finding.detail);
        let line = match json {
            true => serde_json::to_string(finding)?,
            false => output::harmless(&text()).into_owned(),
        };
        Ok(output::line(line)?)
    };
    let log = fsck::OnDisk {
        folder: config.data.join("log"),
        key: config.log_key.clone().unwrap_or_else(|| config.data.join("log-key")),
    };
    let summary = fsck::check(graph, documents, &log, &config.domain, tell).await?;
    output::line(match json {
        true => serde_json::to_string(&summary)?,
        false => format!(
            "{}: {} records, {} accounts, {} findings",
            summary.result,
            summary.records,
            summary.accounts,
            summary.findings.values().sum::<u64>()
        ),
    })?;
    Ok(if summary.findings.is_empty() { Outcome::Done } else { Outcome::Refused })
}

impl Lost {
    /// What was made, and how much of it.
    async fn rebuild(
        self,
        config: &Config,
        data: &Data,
        graph: impl Graph,
        documents: impl Documents,
    ) -> anyhow::Result<((&'static str, &'static str), u64)> {
        let domain = &config.domain;
        let log = || {
            let log = log_of(data.path()).map(|folder| LogFolder::open(&folder));
            log.transpose().context("the log cannot be read")
        };
        match self {
            Lost::Hashtable => {
                let count = rebuild::hashtable(&documents, &graph, log()?.as_ref(), domain).await?;
                Ok((("hashtable", "documents"), count))
            }
            Lost::Graphstore => {
                let log = log()?;
                // Its blocks would be forgotten, and others signed in their place.
                anyhow::ensure!(
                    log.is_some() || !data.log().join("tile").exists(),
                    "the log in {} has files and no checkpoint: restore its file `checkpoint` first",
                    data.log().display()
                );
                let number = rebuild::graphstore(&graph, &documents, log.as_ref(), domain).await?;
                Ok((("graphstore", "records"), number))
            }
            Lost::Log => {
                let graphstore = engine::start(graph, config).await?;
                let graphstore = Link::embedded(graphstore.server(), serve::DEADLINE);
                let hashtable = webwallet_hashtable::server(documents);
                let hashtable = Link::embedded(hashtable, serve::DEADLINE);
                let parts = engine::log(config, data)?;
                let size = webwallet_blockstack::rebuild::log(
                    parts.config,
                    parts.folder,
                    parts.key,
                    webwallet_proto::graphstore::client(graphstore),
                    webwallet_proto::hashtable::client(hashtable),
                );
                Ok((("log", "leaves"), size.await?))
            }
        }
    }
}
