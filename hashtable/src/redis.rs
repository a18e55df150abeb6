//! The engine for a server of its own: Redis, or a Redis Cluster.
//!
//! # In Redis
//! Every key begins with the domain, so that two servers of ours may share one Redis:
//! - `DOMAIN:HASH` -> SHA3-256 of the whole document, then the document;
//! - `DOMAIN:s:HASH` -> the same of what was supplied;
//! - `DOMAIN:n:NUMBER` -> hash of the record of this number, as text;
//! - `DOMAIN:highest` -> the highest number of a record;
//! - `DOMAIN:format` -> `1 whole`; `1 filling` while what was lost is put again.
//!
//! No command names two keys: on a Cluster they live on different nodes.
//!
//! # Durable
//! Redis confirms what it has not synced unless it is set up otherwise, and forgets
//! what it likes when short of memory. `look.rs` names the settings that matter; a
//! server that has others is refused, at the start and whenever they change (it is
//! looked at every second, and before a new connection is used). While they are wrong
//! no put is confirmed. Where the server can (7.2), a put may ask for its own sync
//! instead.
//!
//! # What Redis may still lose
//! An operator can empty it, or start it on older files. So a server that comes back
//! as another run, or without its format key, is doubted ([`Redis::doubted`]), and
//! records are put again from the Graphstore that cleared them. Documents that are no
//! records have no second copy.
//!
//! # Writing
//! One task writes. It sends whatever has arrived as one transaction: one round trip
//! and one sync. `SET NX` leaves a first document where it is; those that were there are
//! read back, and a damaged one is replaced, if it still is what was read.

mod connection;
mod look;
mod watch;
mod writer;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use ::redis::{Cmd, ConnectionInfo, FromRedisValue as _, RedisError, RedisResult, Value, cmd};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, mpsc};
use webwallet_ledger::Hash;

use self::{connection::Connection, look::Look};
use crate::{
    put::{Put, QUEUE_MAX},
    store::{Document, Error, NUMBERED_BYTES, Shelf, Store},
    value,
};

pub use self::watch::Doubt;

/// For everything that is asked at the start.
const OPEN: Duration = Duration::from_secs(4);
/// To find out whether the store works, for whoever asks that every second.
const READY: Duration = Duration::from_secs(1);
/// After a failed attempt to connect, nobody tries again for so long: a crowd
/// would wait for one attempt after the other.
const PAUSE: Duration = Duration::from_millis(250);
/// Records asked for at a time: 64 of the largest are 4 MB.
const NUMBERED_AT_ONCE: u32 = 64;

/// Which Redis, and for whom.
#[derive(Clone)]
pub struct Settings {
    /// `redis://[USER@]HOST:PORT[/DATABASE]`, `rediss://` for TLS; several, separated by
    /// commas, for a Cluster. A Cluster is recognised by any of its nodes.
    pub url: String,
    /// The password, if the server asks for one.
    pub password: Option<String>,
    /// The domain whose documents these are.
    pub domain: String,
    /// Accept a server that loses what it has confirmed. For experiments.
    pub allow_lossy: bool,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { url: _, password: _, domain, allow_lossy } = self;
        let settings = &mut f.debug_struct("Settings");
        settings.field("domain", domain).field("allow_lossy", allow_lossy).finish_non_exhaustive()
    }
}

/// Why a server is not used: a sentence for its operator, with what helps.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(String);

/// A store in Redis. Cloning shares it.
#[derive(Clone)]
pub struct Redis {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Put>,
}

/// What the writer, the readers and the watch share.
struct Shared {
    addresses: Vec<ConnectionInfo>,
    /// The first address, without user and password.
    shown: String,
    domain: String,
    allow_lossy: bool,
    slot: AsyncMutex<Slot>,
    look: Mutex<Look>,
    doubts: watch::Doubts,
}

/// The connection in use, if there is one.
#[derive(Default)]
struct Slot {
    connection: Option<Connection>,
    /// Counts connections, so that one failure drops one of them.
    generation: u64,
    failed: Option<(Instant, String)>,
}

fn engine(error: RedisError) -> Error {
    Error::Engine(Box::new(error))
}

impl Redis {
    /// Connects, and looks at the server before anything is written.
    ///
    /// Must be called within the runtime that the store is to live in.
    ///
    /// # Errors
    /// [`Refused`] within 4 s: no answer, wrong password, a setting that loses
    /// documents, or a newer format.
    pub async fn open(settings: Settings) -> Result<Redis, Refused> {
        let addresses = connection::addresses(&settings.url, settings.password.as_deref())
            .map_err(|error| Refused(format!("the address is no redis://HOST:PORT: {error}")))?;
        let shown = addresses.first().map(|info| connection::shown(info.addr()));
        let shared = Arc::new(Shared {
            addresses,
            shown: shown.unwrap_or_default(),
            domain: settings.domain,
            allow_lossy: settings.allow_lossy,
            slot: AsyncMutex::default(),
            look: Mutex::default(),
            doubts: watch::Doubts::default(),
        });
        match tokio::time::timeout(OPEN, shared.connection()).await {
            Err(_) => {
                return Err(Refused(format!("{} does not answer within {OPEN:?}", shared.shown)));
            }
            Ok(Err(error)) => return Err(Refused(shared.explained(&error))),
            Ok(Ok(_)) => {}
        }
        if let Some(faults) = shared.faults() {
            return Err(Refused(faults));
        }
        let (queue, puts) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(writer::run(shared.clone(), puts));
        tokio::spawn(watch::run(Arc::downgrade(&shared)));
        Ok(Redis { shared, queue })
    }
}

impl Shared {
    /// A connection that was looked at, and its generation.
    async fn connection(&self) -> RedisResult<(Connection, u64)> {
        let mut slot = self.slot.lock().await;
        if let Some(connection) = &slot.connection {
            return Ok((connection.clone(), slot.generation));
        }
        if let Some((at, why)) = &slot.failed
            && at.elapsed() < PAUSE
        {
            return Err((::redis::ErrorKind::Io, "no connection", why.clone()).into());
        }
        let attempt = async {
            let connection = Connection::open(&self.addresses).await?;
            self.look_at(&connection).await?;
            Ok(connection)
        };
        match attempt.await {
            Ok(connection) => {
                slot.connection = Some(connection.clone());
                slot.generation += 1;
                slot.failed = None;
                Ok((connection, slot.generation))
            }
            Err(error) => {
                let error: RedisError = error;
                slot.failed = Some((Instant::now(), error.to_string()));
                Err(error)
            }
        }
    }

    /// Takes notice of which servers these are, of their settings, and of what
    /// they may have lost.
    async fn look_at(&self, connection: &Connection) -> RedisResult<()> {
        let was_sound = {
            let last = self.look.lock();
            !last.servers.is_empty() && last.faults.is_empty()
        };
        let look = look::at(connection, &self.shown, was_sound).await?;
        let format = connection.ask(vec![get(self.key("format"))]).await?;
        let format = text(format)?;
        self.doubts.seen(&look.servers, format.as_deref())?;
        let mut last = self.look.lock();
        if last.faults != look.faults {
            match &look.faults[..] {
                [] => tracing::info!("redis keeps what it confirms again"),
                faults => tracing::error!(faults = faults.join("; "), "redis may lose documents"),
            }
        }
        *last = look;
        Ok(())
    }

    /// Writes once, over a connection that was looked at; durable when it answers.
    async fn commit(&self, stages: Vec<Vec<Cmd>>) -> RedisResult<Vec<Value>> {
        if stages.iter().all(Vec::is_empty) {
            return Ok(Vec::new());
        }
        let (connection, generation) = self.connection().await?;
        let answers = connection.commit(stages, self.waits()).await;
        if answers.is_err() {
            self.drop_connection(generation).await;
        }
        answers
    }

    /// Asks; if that fails, once more: the connection may have been an old one.
    async fn ask(&self, commands: Vec<Cmd>) -> RedisResult<Vec<Value>> {
        let (connection, generation) = self.connection().await?;
        match connection.ask(commands.clone()).await {
            Ok(answers) => return Ok(answers),
            Err(error) => tracing::debug!(%error, "redis; once more"),
        }
        self.drop_connection(generation).await;
        let (connection, generation) = self.connection().await?;
        let answers = connection.ask(commands).await;
        if answers.is_err() {
            self.drop_connection(generation).await;
        }
        answers
    }

    async fn drop_connection(&self, generation: u64) {
        let mut slot = self.slot.lock().await;
        if slot.generation == generation {
            slot.connection = None;
        }
    }

    /// The values under these keys.
    async fn values(&self, keys: impl Iterator<Item = String>) -> RedisResult<Vec<Option<Bytes>>> {
        let answers = self.ask(keys.map(get).collect()).await?;
        answers
            .into_iter()
            .map(|answer| Ok(Option::<Vec<u8>>::from_redis_value(answer)?.map(Bytes::from)))
            .collect()
    }

    /// The value under this key.
    async fn value(&self, key: String) -> Result<Option<Bytes>, Error> {
        let values = self.values(std::iter::once(key)).await.map_err(engine)?;
        Ok(values.into_iter().next().flatten())
    }

    /// Why no put is confirmed, if none is.
    fn faults(&self) -> Option<String> {
        let look = self.look.lock();
        (!look.faults.is_empty() && !self.allow_lossy).then(|| look.faults.join("; "))
    }

    /// Whether each put must ask for its sync.
    fn waits(&self) -> bool {
        self.look.lock().wait
    }

    fn key(&self, rest: impl fmt::Display) -> String {
        format!("{}:{rest}", self.domain)
    }

    fn shelf_key(&self, shelf: Shelf, name: &Hash) -> String {
        match shelf {
            Shelf::Own => self.key(name),
            Shelf::Supplied => format!("{}:s:{name}", self.domain),
        }
    }

    fn number_key(&self, number: u64) -> String {
        format!("{}:n:{number}", self.domain)
    }

    /// A failure at the start, for an operator.
    fn explained(&self, error: &RedisError) -> String {
        let shown = &self.shown;
        match error.code() {
            Some("WRONGPASS") => format!(
                "{shown} does not accept the user or the password; put the right one into the file that WEBWALLET_REDIS_PASSWORD_FILE names"
            ),
            Some("NOAUTH") => format!(
                "{shown} asks for a password; put it into a file and name that by WEBWALLET_REDIS_PASSWORD_FILE"
            ),
            Some("NOPERM") => format!(
                "{shown} does not let this user see its settings ({error}); run: redis-cli -u {shown} ACL SETUSER default +config|get +info +dbsize +command"
            ),
            _ if error.kind() == ::redis::ErrorKind::AuthenticationFailed => format!(
                "{shown} does not accept the password ({error}); put the right one into the file that WEBWALLET_REDIS_PASSWORD_FILE names"
            ),
            // The one kind of failure of TLS that an operator can do something about.
            _ if error.to_string().contains("certificate") => format!(
                "{shown} has a certificate that is not believed here ({error}); put the CA's into a file and name that by SSL_CERT_FILE"
            ),
            _ if error.is_io_error() || error.is_timeout() => {
                format!("{shown} does not answer ({error}); try: redis-cli -u {shown} PING")
            }
            _ => format!("{shown}: {error}"),
        }
    }
}

fn get(key: String) -> Cmd {
    let mut get = cmd("GET");
    get.arg(key);
    get
}

/// The text that is the only answer, if there is one.
fn text(answers: Vec<Value>) -> RedisResult<Option<String>> {
    Ok(Option::from_redis_value(answers.into_iter().next().unwrap_or(Value::Nil))?)
}

/// The document in a value, or what is wrong with it.
fn opened(shelf: Shelf, name: Hash, value: &Bytes) -> Result<Bytes, Error> {
    match value::verified(shelf, name, value) {
        Some(_) => Ok(value.slice(value::CHECKSUM_BYTES..)),
        None => Err(Error::Damaged(name)),
    }
}

impl Store for Redis {
    fn name(&self) -> String {
        let look = self.shared.look.lock();
        match &look.lossy[..] {
            [] => format!("redis {}", look.version),
            lossy => format!("redis {} (lossy: {})", look.version, lossy.join(", ")),
        }
    }

    fn may_be_lossy(&self) -> bool {
        self.shared.allow_lossy
    }

    async fn put(&self, documents: Vec<Document>) -> Result<(), Error> {
        Put::send(&documents, &self.queue, writer::gone).await
    }

    async fn get(&self, names: &[Hash]) -> Result<Vec<Option<Bytes>>, Error> {
        if names.is_empty() {
            return self.shared.ready().await.map(|()| Vec::new());
        }
        metrics::counter!("webwallet_hashtable_gets_total").increment(names.len() as u64);
        let keys = names.iter().map(|name| self.shared.key(name));
        let values = self.shared.values(keys).await.map_err(engine)?;
        let found = names.iter().zip(values);
        found
            .map(|(&name, value)| value.map(|value| opened(Shelf::Own, name, &value)).transpose())
            .collect()
    }

    async fn supplied(&self, name: Hash) -> Result<Option<Bytes>, Error> {
        metrics::counter!("webwallet_hashtable_gets_total").increment(1);
        let value = self.shared.value(self.shared.shelf_key(Shelf::Supplied, &name)).await?;
        value.map(|value| opened(Shelf::Supplied, name, &value)).transpose()
    }

    async fn numbered(&self, after: u64, limit: u32) -> Result<Vec<Document>, Error> {
        let (mut after, mut left) = (after, limit);
        let (mut found, mut bytes) = (Vec::new(), 0);
        while left > 0 && bytes < NUMBERED_BYTES {
            let some = self.some_numbered(after, left.min(NUMBERED_AT_ONCE)).await?;
            let Some(last) = some.last() else { break };
            after = last.number();
            left -= some.len() as u32;
            bytes += some.iter().map(|document| document.bytes().len()).sum::<usize>();
            found.extend(some);
        }
        Ok(found)
    }

    async fn names(&self, after: u64, limit: u32) -> Result<Vec<Hash>, Error> {
        let numbers = || (1..=u64::from(limit)).map_while(|n| after.checked_add(n));
        let keys = numbers().map(|number| self.shared.number_key(number));
        let index = self.shared.values(keys).await.map_err(engine)?;
        let names = index.iter().zip(numbers()).map_while(|(name, number)| {
            let name = std::str::from_utf8(name.as_ref()?).ok().and_then(|name| name.parse().ok());
            Some(name.ok_or_else(|| {
                Error::Engine(format!("entry {number} of the index by number is no hash").into())
            }))
        });
        names.collect()
    }

    async fn highest(&self) -> Result<u64, Error> {
        let value = self.shared.value(self.shared.key("highest")).await?;
        let Some(value) = value else { return Ok(0) };
        let number = std::str::from_utf8(&value).ok().and_then(|text| text.parse().ok());
        number.ok_or_else(|| Error::Engine("the highest number is not a number".into()))
    }
}

impl Redis {
    /// The next records, up to the first that is missing.
    async fn some_numbered(&self, after: u64, limit: u32) -> Result<Vec<Document>, Error> {
        let names = self.names(after, limit).await?;
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.get(&names).await?;
        // A document that is lost although its number is not ends them too.
        let found = found.into_iter().map_while(|bytes| bytes).zip(names).zip(1..);
        found
            .map(|((bytes, name), nth)| {
                Document::new(name, bytes, after + nth).map_err(|_| Error::Damaged(name))
            })
            .collect()
    }
}
