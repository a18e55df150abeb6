//! `webwallet fsck`, `rebuild`, `restore` and `migrate`: what an operator does with the
//! stores of a server that is stopped.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, ValueEnum};
use tokio::runtime::Runtime;
use webwallet_blockstack::LogFolder;
use webwallet_graphstore::{Neo4j, Store as Graph};
use webwallet_hashtable::{Redis, Store as Documents};
use webwallet_proto::link::Link;

use crate::config::{self, Config, Flags, Role};
use crate::data::{self, Data};
use crate::output::Outcome;
use crate::{backup, engine, fsck, logging, output, rebuild, safety, serve};

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

/// `webwallet migrate`
#[derive(Args)]
pub struct Migrate {
    /// Where the records are to be; they come from the other place
    #[arg(long, value_enum)]
    to: Engines,
    #[command(flatten)]
    flags: Flags,
}

/// Where Hashtable and Graphstore keep what they have.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Engines {
    /// On the Redis and the Neo4j that the settings name
    #[value(name = "redis+neo4j")]
    Apart,
    /// In the data directory
    Embedded,
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
        with_stores(&self.flags, Work::Fsck, json)
    }
}

impl Rebuild {
    /// Makes one store anew.
    pub fn run(&self, json: bool) -> anyhow::Result<Outcome> {
        with_stores(&self.flags, Work::Rebuild(self.store), json)
    }
}

/// `webwallet restore`
#[derive(Args)]
pub struct Restore {
    /// The folder of a backup
    dir: PathBuf,
    #[command(flatten)]
    flags: Flags,
}

impl Restore {
    /// Makes a server out of a backup.
    pub fn run(&self, json: bool) -> anyhow::Result<Outcome> {
        with_stores(&self.flags, Work::Restore(&self.dir), json)
    }
}

impl Migrate {
    /// Brings all that has cleared to other engines.
    pub fn run(&self, json: bool) -> anyhow::Result<Outcome> {
        let config = config::load(&self.flags)?;
        let _logs = logging::start(&config.log)?;
        Runtime::new()?.block_on(async {
            ensure!(
                config.redis.is_some() && config.neo4j.is_some(),
                "name the engines that the records go to, or come from: `--redis URL --neo4j URL`"
            );
            stores_are_meant(&config)?;
            data::belongs(&config.data, &config.domain)?;
            // Before whoever clears there is deposed.
            let held = engine::cleared_on_neo4j(&config).await?;
            if self.to == Engines::Apart {
                let data = Data::open(&config.data, &config.domain)?;
                let number = engine::graphstore(&data)?.head().await?.number;
                ensure!(
                    held <= number,
                    "the Neo4j has records up to {held}, and the data directory up to {number}"
                );
            }
            let stores = Stores::open(&config, false, Data::open).await?;
            let (graph, documents) = (stores.graphstore()?, stores.hashtable()?);
            let (Some(neo4j), Some(redis)) = (&stores.neo4j, &stores.redis) else {
                bail!("no engines");
            };
            let (here, apart) = ((&graph, &documents), (neo4j, redis));
            let (log, domain) = (engine::published(stores.data()?.path())?, &config.domain);
            let number = match self.to {
                Engines::Apart => rebuild::migrate(here, apart, log.as_ref(), domain).await?,
                Engines::Embedded => rebuild::migrate(apart, here, log.as_ref(), domain).await?,
            };
            output::line(match json {
                true => serde_json::json!({ "migrated": number.to_string() }).to_string(),
                false => format!("all {number} records are there"),
            })?;
            Ok(Outcome::Done)
        })
    }
}

/// What is to be done once the stores are open.
#[derive(Clone, Copy)]
enum Work<'a> {
    Fsck,
    Rebuild(Lost),
    /// From the backup in this folder.
    Restore(&'a Path),
}

/// The stores that the settings name, whatever their engines.
struct Stores {
    /// Locked: no server runs. Not where it holds none of them and is only looked at.
    data: Option<Data>,
    redis: Option<Redis>,
    neo4j: Option<Neo4j>,
}

impl Stores {
    /// Takes them, or `looks` at what is on engines beside a server that goes on.
    async fn open(
        config: &Config,
        looks: bool,
        open: fn(&Path, &str) -> anyhow::Result<Data>,
    ) -> anyhow::Result<Stores> {
        // Its lock comes first: opening a Neo4j deposes whoever clears there.
        let apart = config.redis.is_some() && config.neo4j.is_some();
        let data = (!apart || !looks).then(|| open(&config.data, &config.domain));
        let data = data.transpose()?;
        let redis = engine::redis(config).await?;
        let neo4j = match looks {
            true => engine::inspected_neo4j(config).await?,
            false => {
                // And one that does not belong here is left alone.
                if let (Some(data), Some(seen)) = (&data, engine::seen_neo4j(config).await) {
                    engine::is_of_this_log(config, data.path(), &seen, false).await?;
                }
                engine::neo4j(config).await?
            }
        };
        if let Some(data) = &data {
            data.settle()?;
        }
        Ok(Stores { data, redis, neo4j })
    }

    fn data(&self) -> anyhow::Result<&Data> {
        self.data.as_ref().context("no data directory")
    }

    fn hashtable(&self) -> anyhow::Result<webwallet_hashtable::Embedded> {
        engine::hashtable(self.data()?)
    }

    fn graphstore(&self) -> anyhow::Result<webwallet_graphstore::Embedded> {
        engine::graphstore(self.data()?)
    }
}

/// That the settings are those of a server with its own stores.
fn stores_are_meant(config: &Config) -> anyhow::Result<()> {
    // Nothing listens here, whatever the server does with the same settings.
    safety::passwords(config)?;
    ensure!(
        config.role == Role::All && config.services().iter().all(|(_, uri)| uri.is_none()),
        "the stores themselves are needed, and not the services over them: give `--redis` and `--neo4j` as to those, and no role and no address of a service"
    );
    Ok(())
}

/// Opens the stores and works.
fn with_stores(flags: &Flags, work: Work, json: bool) -> anyhow::Result<Outcome> {
    let config = config::load(flags)?;
    let _logs = logging::start(&config.log)?;
    Runtime::new()?.block_on(async {
        stores_are_meant(&config)?;
        // Before a new directory is made for it.
        match work {
            Work::Restore(backup) => {
                ensure!(
                    backup.join("version").exists(),
                    "{} is no folder that `webwallet backup` wrote",
                    backup.display()
                );
                data::belongs(backup, &config.domain)?;
                backup::are_apart(backup, &config.data)?;
                backup::is_free(&config).await?;
            }
            Work::Fsck | Work::Rebuild(_) => data::belongs(&config.data, &config.domain)?,
        }
        let open = match work {
            Work::Restore(_) => Data::open_to_restore,
            _ => Data::open,
        };
        let mut stores = Stores::open(&config, matches!(work, Work::Fsck), open).await?;
        let (neo4j, redis) = (stores.neo4j.take(), stores.redis.take());
        let (config, data) = (&config, stores.data.as_ref());
        match (neo4j, redis) {
            (Some(graph), Some(kept)) => work.on(config, data, graph, kept, json).await,
            (Some(graph), None) => work.on(config, data, graph, stores.hashtable()?, json).await,
            (None, Some(kept)) => work.on(config, data, stores.graphstore()?, kept, json).await,
            (None, None) => {
                let (graph, kept) = (stores.graphstore()?, stores.hashtable()?);
                work.on(config, data, graph, kept, json).await
            }
        }
    })
}

impl Work<'_> {
    async fn on(
        self,
        config: &Config,
        data: Option<&Data>,
        graph: impl Graph,
        documents: impl Documents,
        json: bool,
    ) -> anyhow::Result<Outcome> {
        match self {
            Work::Fsck => look(config, &graph, &documents, json).await,
            Work::Rebuild(lost) => {
                let data = data.context("no data directory")?;
                // What it is made of must be all there is.
                let neo4j = config.neo4j.is_some() && lost != Lost::Graphstore;
                let redis = config.redis.is_some() && lost != Lost::Hashtable;
                let (neo4j, redis) = (neo4j.then_some(&graph), redis.then_some(&documents));
                engine::nothing_is_left_behind(data, neo4j, redis).await?;
                let (what, count) = lost.rebuild(config, data, graph, documents).await?;
                output::line(match json {
                    true => serde_json::json!({ "rebuilt": what.0, what.1: count.to_string() })
                        .to_string(),
                    false => format!("rebuilt the {}: {count} {}", what.0, what.1),
                })?;
                Ok(Outcome::Done)
            }
            Work::Restore(backup) => {
                let data = data.context("no data directory")?;
                let (last, records) =
                    backup::restore(backup, config, data, &graph, &documents).await?;
                let (block, time) = (last.header.height, last.header.time);
                output::line(match json {
                    true => serde_json::json!({
                        "restored": config.data, "block": block.to_string(),
                        "records": records.to_string(), "time": time.to_string(),
                    })
                    .to_string(),
                    false => format!(
                        "restored {records} records; the backup ends with block {block}, of {time}: if blocks after it were published, and Hashtable had not kept them, do not serve, as this log would tell another story"
                    ),
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
    let summary = fsck::check(config, graph, documents, tell).await?;
    output::line(match json {
        true => serde_json::to_string(&summary)?,
        false => {
            let findings = summary.findings.values().sum::<u64>();
            let fsck::Summary { result, records, accounts, pending, .. } = &summary;
            let pending = match &pending[..] {
                "0" => String::new(),
                pending => {
                    format!(
                        "; not in Hashtable yet, until the server's next start at most: {pending}"
                    )
                }
            };
            format!(
                "{result}: {records} records, {accounts} accounts, {findings} findings{pending}"
            )
        }
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
        let log = || engine::published(data.path());
        match self {
            Lost::Hashtable => {
                let count = rebuild::hashtable(&documents, &graph, log()?.as_ref(), domain).await?;
                Ok((("hashtable", "documents"), count))
            }
            Lost::Graphstore => {
                let log = log()?;
                // Its blocks would be forgotten, and others signed in their place.
                if let Some(why) = LogFolder::beginning_lost(&data::log(data.path()))?
                    && !rebuild::has_blocks(&documents, domain).await?
                {
                    bail!(why);
                }
                let number = rebuild::graphstore(&graph, &documents, log.as_ref(), domain).await?;
                Ok((("graphstore", "records"), number))
            }
            Lost::Log => {
                let key = engine::log_key(config);
                // Nobody has its checkpoint, and a new key would sign another log.
                if !key.exists() && log()?.is_none() && graph.head().await?.intent.is_some() {
                    bail!(
                        "the log key {} is missing, and the checkpoint that it signed: put the key back from a backup first",
                        key.display()
                    );
                }
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
