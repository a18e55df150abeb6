//! `webwallet fsck` and `webwallet rebuild`: what an operator does with the stores
//! of a server that is stopped.

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use tokio::runtime::Runtime;
use webwallet_blockstack::rebuild::LogFolder;
use webwallet_graphstore::{Graphstore, Store as Graph};
use webwallet_hashtable::Store as Documents;
use webwallet_proto::link::Link;

use crate::command::Outcome;
use crate::config::{self, Config, Flags};
use crate::data::Data;
use crate::{fsck, logs, output, rebuild, serve};

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
        let (config, runtime) = prepare(&self.flags)?;
        let stores = match runtime.block_on(open(&config)) {
            Ok(stores) => stores,
            Err(why) => return serve::refused(why),
        };
        let tell = |finding: &fsck::Finding| -> anyhow::Result<()> {
            let number = finding.number.as_deref().map(|n| format!(" record {n}:"));
            let text =
                || format!("{}{} {}", finding.code, number.unwrap_or_default(), finding.detail);
            let line = if json { serde_json::to_string(finding)? } else { text() };
            Ok(output::line(line)?)
        };
        let (graph, documents) = (&stores.graph, &stores.documents);
        let summary = runtime.block_on(fsck::check(graph, documents, &config.domain, tell))?;
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
}

impl Rebuild {
    /// Makes one store anew.
    pub fn run(&self, json: bool) -> anyhow::Result<Outcome> {
        let (config, runtime) = prepare(&self.flags)?;
        let stores = match runtime.block_on(open(&config)) {
            Ok(stores) => stores,
            Err(why) => return serve::refused(why),
        };
        let (what, count) = runtime.block_on(self.rebuild(&config, stores))?;
        output::line(match json {
            true => serde_json::json!({ "rebuilt": what.0, what.1: count.to_string() }).to_string(),
            false => format!("rebuilt the {}: {count} {}", what.0, what.1),
        })?;
        Ok(Outcome::Done)
    }

    /// What was made, and how much of it.
    async fn rebuild(
        &self,
        config: &Config,
        stores: Stores<impl Graph, impl Documents>,
    ) -> anyhow::Result<((&'static str, &'static str), u64)> {
        let Stores { graph, documents, data } = stores;
        let domain = &config.domain;
        // Before the first block there is no log, and nothing in it is missing.
        let log = || match data.log().join("checkpoint").exists() {
            true => LogFolder::open(&data.log()).map(Some).context("the log cannot be read"),
            false => Ok(None),
        };
        match self.store {
            Lost::Hashtable => {
                let count = rebuild::hashtable(&documents, &graph, log()?.as_ref(), domain).await?;
                Ok((("hashtable", "documents"), count))
            }
            Lost::Graphstore => {
                let number =
                    rebuild::graphstore(&graph, &documents, log()?.as_ref(), domain).await?;
                Ok((("graphstore", "records"), number))
            }
            Lost::Log => {
                let graphstore =
                    Graphstore::start(graph, domain, serve::clock_of(config)).await?.server();
                let graphstore = Link::embedded(graphstore, serve::DEADLINE);
                let hashtable = webwallet_hashtable::server(documents);
                let hashtable = Link::embedded(hashtable, serve::DEADLINE);
                let parts = serve::log_parts(config, &data)?;
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

/// The stores of a server, while it does not run.
struct Stores<G, D> {
    graph: G,
    documents: D,
    data: Data,
}

fn prepare(flags: &Flags) -> anyhow::Result<(Config, Runtime)> {
    let config = config::load(flags)?;
    logs::start(&config.log)?;
    Ok((config, Runtime::new()?))
}

async fn open(
    config: &Config,
) -> anyhow::Result<Stores<webwallet_graphstore::Embedded, webwallet_hashtable::Embedded>> {
    let data = Data::open(&config.data, &config.domain)?;
    let refused =
        |store, folder, why: String| anyhow::Error::from(serve::Refused::Store(store, folder, why));
    let graph = webwallet_graphstore::Embedded::open(&data.graphstore())
        .map_err(|why| refused("Graphstore", data.graphstore(), why.to_string()))?;
    let documents = webwallet_hashtable::Embedded::open(&data.hashtable())
        .map_err(|why| refused("Hashtable", data.hashtable(), why.to_string()))?;
    Ok(Stores { graph, documents, data })
}
