//! `webwallet backup DIR` and `webwallet restore DIR`: a history in a folder that can be
//! carried away, and a server out of it.
//!
//! A backup is the published log, the key that signs it, and its domain: the other stores
//! are made again out of them, on any engines. It is taken beside a running server, and
//! into the folder of an earlier one writes what is new. Not in it: what was in no block
//! yet, less than a second of a server that seals; and the documents of `PUT /document`,
//! which the IOUs that need them bring along.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use serde_json::json;
use webwallet_blockstack::{LogFolder, LogKey};
use webwallet_graphstore::Store as Graph;
use webwallet_hashtable::Store as Documents;
use webwallet_ledger::block::Block;

use crate::config::{self, Config, Flags};
use crate::data::{self, Data};
use crate::output::{self, Outcome};
use crate::{engine, logging, rebuild, safety};

/// How often it begins again because the log key was rotated meanwhile.
const TRIES_MAX: usize = 3;

/// `webwallet backup`
#[derive(Args)]
pub struct Backup {
    /// The folder; of an earlier backup, or made. Whoever reads it can sign as this log
    dir: PathBuf,
    #[command(flatten)]
    flags: Flags,
}

impl Backup {
    /// Copies the log and its key.
    pub fn run(&self, json: bool) -> anyhow::Result<Outcome> {
        let config = config::load(&self.flags)?;
        let _logs = logging::start(&config.log)?;
        let (files, last) = self.copy(&config)?;
        let (block, records, time) = (last.header.height, last.header.cleared, last.header.time);
        output::line(match json {
            true => json!({
                "backup": self.dir, "files": files.to_string(), "block": block.to_string(),
                "records": records.to_string(), "time": time.to_string(),
            })
            .to_string(),
            false => format!(
                "{} has all up to record {records} and block {block}, of {time}; {files} files were new",
                self.dir.display()
            ),
        })?;
        Ok(Outcome::Done)
    }

    /// How many files were written, and the block that the backup ends with.
    fn copy(&self, config: &Config) -> anyhow::Result<(u64, Block)> {
        data::belongs(&config.data, &config.domain)?;
        are_apart(&self.dir, &config.data)?;
        let to = Data::open(&self.dir, &config.domain)?;
        ensure!(
            !data::is_server(to.path()),
            "{} is the data directory of a server: name another folder",
            self.dir.display()
        );
        for _ in 0..TRIES_MAX {
            let log = LogFolder::open(&data::log(&config.data))
                .context("there is no log to be copied: the first block makes it")?;
            // Else it was rotated since the checkpoint was read.
            if let Some(key) = key_of(&log, &engine::log_key(config), &config.domain)? {
                to.settle()?;
                // At any moment it has the key that signed its log, whatever ends this: each
                // key is in its place before another is written beside it.
                settle_key(&to, &config.domain)?;
                key.copy_beside(&data::log_key(to.path()), log.note())?;
                let files = log.copy_to(&data::log(to.path()))?;
                settle_key(&to, &config.domain)?;
                key.copy_to(&data::log_key(to.path()))?;
                return Ok((files, log.last()?));
            }
        }
        bail!(
            "the log key {} is not there, or not the log's newest; `webwallet fsck` says more",
            engine::log_key(config).display()
        )
    }
}

/// That a backup and the data directory of a server, either of which may not be there yet, are
/// two folders: what a server makes in a backup keeps every later one out.
///
/// # Errors
/// They are one, or one is in the other.
pub fn are_apart(backup: &Path, data: &Path) -> anyhow::Result<()> {
    let (backup, data) = (whole(backup)?, whole(data)?);
    ensure!(
        !backup.starts_with(&data) && !data.starts_with(&backup),
        "the backup {} and the data directory of a server {} are one folder, or one is in the other: name another folder",
        backup.display(),
        data.display()
    );
    Ok(())
}

/// A folder by its true name, as far as it is there.
fn whole(folder: &Path) -> anyhow::Result<PathBuf> {
    let absolute = std::path::absolute(folder)?;
    for above in absolute.ancestors() {
        if let (Ok(there), Ok(below)) = (above.canonicalize(), absolute.strip_prefix(above)) {
            return Ok(there.join(below));
        }
    }
    Ok(absolute)
}

/// That no server clears where a backup is to go, before anything is taken over.
///
/// # Errors
/// The Neo4j of these settings has records.
pub async fn is_free(config: &Config) -> anyhow::Result<()> {
    let held = engine::cleared_on_neo4j(config).await?;
    // Else this goes on with what an attempt before has left.
    ensure!(
        held == 0 || engine::log_key(config).exists(),
        "the Neo4j has records up to {held}: restore into one of its own; where only the data directory was lost, and Neo4j and Redis were not, put a copy of the backup in its place and run `webwallet rebuild log`"
    );
    Ok(())
}

/// Fills a Graphstore that holds nothing, or what an attempt before has left, and a Hashtable
/// that may have more than the backup: what is beyond it comes back too. Returns the last
/// block of the backup, and the last record that is there again.
///
/// # Errors
/// Something else is there, the backup is damaged, or a store fails.
pub async fn restore(
    dir: &Path,
    config: &Config,
    data: &Data,
    graph: &impl Graph,
    documents: &impl Documents,
) -> anyhow::Result<(Block, u64)> {
    let domain = &config.domain;
    let backup = LogFolder::open(&data::log(dir)).context("the backup cannot be read")?;
    let last = backup.last().context("the backup cannot be read")?;
    let saved = key_of(&backup, &data::log_key(dir), domain)?
        .with_context(|| format!("{} has not the key that signed its log", dir.display()))?;
    let (checkpoint, place) = (data::log(data.path()).join("checkpoint"), engine::log_key(config));
    // One that is the backup's was put there by an attempt before.
    let began = place.exists() && key_of(&backup, &place, domain)?.is_some();
    // It may have ended with all done but the last words.
    let done =
        began && engine::published(data.path())?.is_some_and(|log| log.note() == backup.note());
    let taken = [(checkpoint.exists() && !done, &checkpoint), (place.exists() && !began, &place)];
    for (taken, file) in taken {
        ensure!(
            !taken,
            "{} is there already: restore into a data directory of its own",
            file.display()
        );
    }
    let held = graph.head().await?.number;
    ensure!(began || held == 0, "Graphstore has records up to {held}: restore into one of its own");
    // Whoever served half of it would sign another history with this key.
    data.restoring()?;
    saved.copy_to(&place)?;
    safety::warn_of_readers([place.as_path()]);
    let number = rebuild::graphstore(graph, documents, Some(&backup), domain).await?;
    rebuild::hashtable(documents, graph, Some(&backup), domain).await?;
    backup.copy_to(&data::log(data.path()))?;
    data.restored()?;
    Ok((last, number))
}

/// Puts the key that signed a backup's log into its place, if it is beside that: a backup
/// before ended early, or this one is about to be whole.
fn settle_key(backup: &Data, domain: &str) -> anyhow::Result<()> {
    let Some(log) = engine::published(backup.path())? else { return Ok(()) };
    match engine::read_log_key(&data::log_key(backup.path()), domain)? {
        Some(mut key) => Ok(key.settle_for(log.note())?),
        None => Ok(()),
    }
}

/// The key in a file, if it is there and signed this log.
fn key_of(log: &LogFolder, file: &Path, domain: &str) -> anyhow::Result<Option<LogKey>> {
    let key = engine::read_log_key(file, domain)?;
    Ok(key.filter(|key| key.has_signed(log.note())))
}
