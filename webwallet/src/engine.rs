//! The stores of this process, opened: in the data directory, or on a Redis or
//! Neo4j that somebody else runs.
//!
//! An engine that cannot be used is refused at the start, with its address and
//! its own words on what helps; nothing waits for it to come back. What happens
//! when it goes away later is the store's business.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures::FutureExt as _;
use rand::RngExt as _;
use webwallet_blockstack::{Folder, KeyError, LogFolder, LogKey, Randomness, Seal};
use webwallet_graphstore::neo4j::Settings;
use webwallet_graphstore::{Graphstore, Neo4j, Store};
use webwallet_hashtable::{Redis, RedisSettings, Store as Documents};
use webwallet_proto::engine::chain;
use webwallet_proto::graphstore::v1::graphstore_server::GraphstoreServer;
use webwallet_proto::link::Link;

use crate::clock::{self, Clock};
use crate::config::{Config, Sealing};
use crate::data::{self, Data};
use crate::{output, safety};

/// Who asks, if the address does not say: Neo4j's own first user.
const NEO4J_USER: &str = "neo4j";

/// Without records, an empty block this often shows that the log is alive.
const QUIET: Duration = Duration::from_secs(600);

/// Why a store is not used. Says what helps, and never a password.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The store, where it is, and what its engine says.
    #[error("the {0} {1} cannot be used: {2}")]
    Store(&'static str, String, String),
    /// The engine asks for one, or one was meant to be given.
    #[error("the file {0} holds no password: one line of text is needed")]
    Password(PathBuf),
    /// Payments would be forgotten, and their numbers given again.
    #[error(
        "{folder} has records up to {left}, and the {engine} in its place up to {number}: bring them over, with the settings of this server and `webwallet {cure}`"
    )]
    LeftBehind {
        /// The folder of the store in the data directory.
        folder: PathBuf,
        /// Its last record.
        left: u64,
        /// What is used instead.
        engine: &'static str,
        /// The last record there.
        number: u64,
        /// The command that helps.
        cure: &'static str,
    },
    /// Whoever cleared there would be deposed, and nobody clear in his place.
    #[error("the Neo4j {url} is not that of {dir}: {why}")]
    OtherLog {
        /// Where it is.
        url: String,
        /// The data directory.
        dir: PathBuf,
        /// What shows it, and what helps.
        why: String,
    },
    /// The key that the log was meant to be signed with.
    #[error("the log key {0} is not there; without --log-key the data directory has one")]
    NoKey(PathBuf),
    /// What the clock of a test shows.
    #[error("{0}; write the time into it before the start")]
    NoTime(String),
}

/// The store of Hashtable in the data directory.
pub fn hashtable(data: &Data) -> anyhow::Result<webwallet_hashtable::Embedded> {
    data.may_have_stores()?;
    let folder = data.hashtable();
    let store = webwallet_hashtable::Embedded::open(&folder);
    Ok(store.map_err(|why| embedded("Hashtable", "hashtable", &folder, why))?)
}

/// The store of Hashtable on a Redis.
pub async fn redis(config: &Config) -> anyhow::Result<Option<Redis>> {
    let Some(url) = &config.redis else { return Ok(None) };
    // What goes wrong there is told with its address.
    safety::passwords(config)?;
    let settings = RedisSettings {
        url: url.to_owned(),
        password: config.redis_password_file.as_deref().map(password).transpose()?,
        domain: config.domain.clone(),
        allow_lossy: config.allow_lossy_redis,
    };
    let store = Redis::open(settings).await;
    Ok(Some(store.map_err(|why| refused("Hashtable", "on", url, why))?))
}

/// The store of Graphstore in the data directory.
pub fn graphstore(data: &Data) -> anyhow::Result<webwallet_graphstore::Embedded> {
    data.may_have_stores()?;
    let folder = data.graphstore();
    let store = webwallet_graphstore::Embedded::open(&folder);
    Ok(store.map_err(|why| embedded("Graphstore", "graphstore", &folder, why))?)
}

/// The store of Graphstore on a Neo4j. From now on, whoever cleared there before
/// does not any more.
pub async fn neo4j(config: &Config) -> anyhow::Result<Option<Neo4j>> {
    let Some(settings) = neo4j_settings(config)? else { return Ok(None) };
    let store = Neo4j::open(&settings, &config.domain).await;
    Ok(Some(store.map_err(|why| refused("Graphstore", "on", &settings.url, why))?))
}

/// The same to be looked at only: whoever clears there goes on.
pub async fn inspected_neo4j(config: &Config) -> anyhow::Result<Option<Neo4j>> {
    let Some(settings) = neo4j_settings(config)? else { return Ok(None) };
    let store = Neo4j::inspect(&settings, &config.domain).await;
    Ok(Some(store.map_err(|why| refused("Graphstore", "on", &settings.url, why))?))
}

/// The same before it is opened; none where nothing is, and where it cannot be looked at, which
/// opening it will say.
pub async fn seen_neo4j(config: &Config) -> Option<Neo4j> {
    // A box, or the compiler gives up on what is in it.
    inspected_neo4j(config).boxed().await.ok().flatten()
}

/// The last record on the Neo4j of these settings, which goes on as it is; 0 where nothing is.
pub async fn cleared_on_neo4j(config: &Config) -> anyhow::Result<u64> {
    Ok(match seen_neo4j(config).await {
        Some(neo4j) => neo4j.head().await?.number,
        None => 0,
    })
}

/// That a Neo4j has the block that the log of a data directory ends with, before whoever clears
/// there is deposed; and where that has no log, but is to `sign` one, that none is there yet.
///
/// A log that cannot be read is judged where it is served.
///
/// # Errors
/// [`Refused::OtherLog`], or the Neo4j does not answer.
pub async fn is_of_this_log(
    config: &Config,
    dir: &Path,
    neo4j: &Neo4j,
    sign: bool,
) -> anyhow::Result<()> {
    let Some(height) = neo4j.head().await?.intent else { return Ok(()) };
    let last = published(dir).map(|log| log.map(|log| log.last()));
    let why = match last {
        Ok(Some(Ok(last))) => {
            let there = neo4j.intents(last.header.height, 1).await?;
            // One that has fewer is for others to judge.
            let other = there.iter().find(|intent| intent.block != last.bytes);
            other.map(|_| format!("it has another block {};", last.header.height))
        }
        Ok(None) if sign && !log_key(config).exists() => {
            let dir = output::path(dir);
            // Hashtable is lost as well, if it was there.
            let cure = match config.redis {
                Some(_) => format!(
                    "put a copy of a backup in the place of {dir} and run `webwallet rebuild log`"
                ),
                None => "restore a backup, on an empty Neo4j".to_owned(),
            };
            Some(format!(
                "it has blocks up to {height}, and there is neither a log nor its key; if they were lost, {cure}; else"
            ))
        }
        _ => None,
    };
    let Some(why) = why else { return Ok(()) };
    let url = config.neo4j.clone().unwrap_or_default();
    let why = format!("{why} name the data directory that belongs to it (--data)");
    Err(Refused::OtherLog { url: without_user(&url).0, dir: dir.to_owned(), why }.into())
}

/// Where that Neo4j is, and who logs in.
pub fn neo4j_settings(config: &Config) -> anyhow::Result<Option<Settings>> {
    let Some(url) = &config.neo4j else { return Ok(None) };
    safety::passwords(config)?;
    let password = config.neo4j_password_file.as_deref().map(password).transpose()?;
    let (url, user) = without_user(url);
    let user = user.unwrap_or_else(|| NEO4J_USER.to_owned());
    Ok(Some(Settings { url, user, password: password.unwrap_or_default() }))
}

/// That nothing has cleared in the stores of a data directory that the engines in
/// their place have not; what is not in use has none.
///
/// # Errors
/// [`Refused::LeftBehind`], or a store cannot be read.
pub async fn nothing_is_left_behind(
    data: &Data,
    neo4j: Option<&impl Store>,
    redis: Option<&impl Documents>,
) -> anyhow::Result<()> {
    let cure = match (neo4j, redis) {
        (Some(_), Some(_)) => "migrate --to redis+neo4j",
        (Some(_), None) => "rebuild graphstore",
        _ => "rebuild hashtable",
    };
    if let Some(neo4j) = neo4j
        && data.graphstore().exists()
    {
        let (left, number) = (graphstore(data)?.head().await?.number, neo4j.head().await?.number);
        let (folder, engine) = (data.graphstore(), "Neo4j");
        ensure!(left <= number, Refused::LeftBehind { folder, left, engine, number, cure });
    }
    if let Some(redis) = redis
        && data.hashtable().exists()
    {
        let (left, number) = (hashtable(data)?.highest().await?, redis.highest().await?);
        let (folder, engine) = (data.hashtable(), "Redis");
        ensure!(left <= number, Refused::LeftBehind { folder, left, engine, number, cure });
    }
    Ok(())
}

/// Graphstore over its store.
pub async fn start<S: Store>(store: S, config: &Config) -> anyhow::Result<Graphstore<S>> {
    let engine = store.name();
    let service = Graphstore::start(store, &config.domain, clock_of(config)).await;
    let service = service.map_err(|why| refused("Graphstore", "on", engine, why))?;
    Ok(if config.test_clock.is_some() { service.with_test_clock() } else { service })
}

/// The same as a server, which clears when this Hashtable has shown that both are of
/// one history.
pub async fn clearing<S: Store>(
    store: S,
    config: &Config,
    hashtable: Link,
) -> anyhow::Result<GraphstoreServer<Graphstore<S>>> {
    let hashtable = webwallet_proto::hashtable::client(hashtable);
    Ok(start(store, config).await?.beside(hashtable).await.server())
}

/// What a Blockstack is made of.
pub struct LogParts {
    /// Its settings.
    pub config: webwallet_blockstack::Config,
    /// The log's files.
    pub folder: Folder,
    /// What signs it.
    pub key: LogKey,
}

/// The log of a data directory, with its key.
pub fn log(config: &Config, data: &Data) -> anyhow::Result<LogParts> {
    let folder = Folder::open(&data::log(data.path())).map_err(|why| refused_log(data, why))?;
    named_key(config)?;
    let file = log_key(config);
    let key = LogKey::open(&file, &config.domain, randomness());
    let key = key.map_err(|why| refused_log(data, why))?;
    if file.exists() {
        safety::warn_of_readers([file.as_path()]);
    }
    let mut settings = webwallet_blockstack::Config::new(&config.domain, data.state());
    settings.given_log_key = config.log_key.is_some();
    settings.seal = match config.seal {
        Sealing::Manual => Seal::Manual,
        Sealing::Interval => {
            Seal::Interval { records: Duration::from_millis(config.seal_interval_ms), quiet: QUIET }
        }
    };
    Ok(LogParts { config: settings, folder, key })
}

/// Whether a data directory, or a backup, has a published log.
pub fn is_published(dir: &Path) -> bool {
    data::log(dir).join("checkpoint").exists()
}

/// The published log of a data directory, or of a backup: before the first block there is none.
///
/// # Errors
/// Its checkpoint cannot be read.
pub fn published(dir: &Path) -> anyhow::Result<Option<LogFolder>> {
    let folder = data::log(dir);
    let log = is_published(dir).then(|| LogFolder::open(&folder)).transpose();
    log.with_context(|| format!("the log {} cannot be read", folder.display()))
}

/// The log key in a file, if one is there.
///
/// # Errors
/// It cannot be read, or is none.
pub fn read_log_key(file: &Path, domain: &str) -> Result<Option<LogKey>, KeyError> {
    LogKey::read(file, domain, randomness())
}

/// Of the system, as every secret of ours.
fn randomness() -> Randomness {
    Arc::new(|| rand::rng().random())
}

/// The file of the log key.
pub fn log_key(config: &Config) -> PathBuf {
    config.log_key.clone().unwrap_or_else(|| data::log_key(&config.data))
}

/// That the log key is there, if it is named. Who names a key has one: a new one in its
/// place would sign another log.
pub fn named_key(config: &Config) -> anyhow::Result<()> {
    match &config.log_key {
        Some(file) if !file.exists() => Err(Refused::NoKey(file.to_owned()).into()),
        _ => Ok(()),
    }
}

/// That the test clock shows a time, if there is one. Else a server that is up would do nothing.
pub fn named_clock(config: &Config) -> anyhow::Result<()> {
    let Some(file) = &config.test_clock else { return Ok(()) };
    clock::read(file).map_err(|why| Refused::NoTime(format!("{why:#}")))?;
    Ok(())
}

/// Why the log of a data directory is not used.
pub fn refused_log(data: &Data, why: impl Display) -> Refused {
    refused("log", "in", data::log(data.path()).display(), why)
}

/// Where time comes from.
pub fn clock_of(config: &Config) -> Clock {
    match &config.test_clock {
        Some(file) => {
            tracing::warn!(file = %file.display(), "the time is read from a file; this is a server for tests");
            clock::file(file)
        }
        None => clock::system(),
    }
}

/// A store that cannot even be opened, and what helps.
fn embedded(
    store: &'static str,
    name: &str,
    folder: &Path,
    why: impl std::error::Error,
) -> Refused {
    let place = folder.display();
    let why = format!(
        "{}; if its files are damaged: mv {place} {place}.damaged, and `webwallet rebuild {name}` makes it anew",
        chain(&why)
    );
    refused(store, "in", place, why)
}

fn refused(store: &'static str, at: &str, place: impl Display, why: impl Display) -> Refused {
    Refused::Store(store, format!("{at} {place}"), why.to_string())
}

/// `bolt://user@host` without its user, and the user.
fn without_user(url: &str) -> (String, Option<String>) {
    // A user may hold an `@`; a host does not.
    match url.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?))) {
        Some((scheme, (user, host))) => (format!("{scheme}://{host}"), Some(user.to_owned())),
        None => (url.to_owned(), None),
    }
}

/// The first line of a file; the rest of it must be empty.
fn password(file: &Path) -> anyhow::Result<String> {
    let text = fs::read_to_string(file)
        .with_context(|| format!("cannot read the password in {}", file.display()))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    let is_one = !line.is_empty() && !line.contains(['\n', '\r']);
    ensure!(is_one, Refused::Password(file.to_owned()));
    Ok(line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A new line taken for part of a password locks the operator out.
    #[test]
    fn a_password_is_one_line() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let file = dir.path().join("password");
        let read = |text: &str| {
            fs::write(&file, text).expect("written");
            password(&file)
        };
        for text in ["secret 1", "secret 1\n", "secret 1\r\n"] {
            assert_eq!(read(text).expect(text), "secret 1");
        }
        for text in ["", "\n", "two\nlines\n"] {
            let why = read(text).expect_err(text);
            assert!(why.is::<Refused>() && !why.to_string().contains("two"), "{why}");
        }
        assert!(password(Path::new("/nonexistent")).is_err());
    }

    /// An operator who logs in under a name of his own would be locked out of his Neo4j.
    #[test]
    fn a_user_may_stand_in_an_address() {
        assert_eq!(without_user("bolt://a:1"), ("bolt://a:1".into(), None));
        assert_eq!(without_user("bolt://me@a:1"), ("bolt://a:1".into(), Some("me".into())));
        assert_eq!(without_user("bolt://me@b@a:1"), ("bolt://a:1".into(), Some("me@b".into())));
    }
}
