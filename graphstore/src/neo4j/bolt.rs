//! The driver, and what its errors mean.
//!
//! Here is all that is known of how `neo4rs` behaves: a write goes only through
//! a [`Transaction`], because `Graph::run` sends a write again after an error
//! that may have come after its effect; every call has a deadline of ours,
//! because the driver's own counts each message alone; and a transaction is
//! always ended by name, because one that is dropped keeps its locks.

use std::time::Duration;

use neo4rs::summary::Counters;
use neo4rs::{BoltList, BoltType, ConfigBuilder, Graph, Query, Row, Txn};

use crate::store::Error;

/// A read that takes longer is given up.
const READ_DEADLINE: Duration = Duration::from_secs(5);
/// The same for one message of a write: a little more than the server's own
/// `db.transaction.timeout`, which gives the better message.
const WRITE_DEADLINE: Duration = Duration::from_secs(12);
/// Rows fetched at a time: one message for a whole page.
const FETCH_ROWS: usize = 1_024;
/// Connections of those who read, at most.
const READERS: usize = 16;
/// Connections of the writer: a batch, what it loads, and a trim behind it.
const WRITERS: usize = 3;
/// Connections of those who ask where the graph stands, such as health.
const LOOKERS: usize = 2;
/// Bytes of a message up to which the driver sends it in one piece. It never
/// sets TCP_NODELAY: the last piece of several waits until the server has
/// acknowledged those before it, which it may do 40 ms later.
const MESSAGE_BYTES: usize = 8_192;
/// What a message holds beside text and rows: names, markers, the DISCARD that
/// travels with it.
const ENVELOPE_BYTES: usize = 256;

/// Where Neo4j is.
#[derive(Clone)]
pub struct Settings {
    /// `bolt://host:port`, or `bolt+s://` for TLS.
    pub url: String,
    /// Who logs in.
    pub user: String,
    /// Never printed.
    pub password: String,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("url", &self.url).field("user", &self.user).finish()
    }
}

/// Why a statement did not do what it says.
#[derive(Debug)]
pub(super) enum Failure {
    /// A uniqueness constraint forbade it: somebody else was first.
    Taken(String),
    /// Locks or memory were short: the same again may work. Nothing was written.
    Transient(String),
    /// There was no answer, or the database is not there.
    Silent(String),
    /// User or password are not accepted.
    Login(String),
    /// Anything else: the graph is not as this program leaves it.
    Unexplained(String),
}

impl Failure {
    fn of_code(code: &str, message: &str) -> Failure {
        let why = format!("{code}: {message}");
        let last = code.rsplit('.').next().unwrap_or(code);
        match last {
            "ConstraintValidationFailed" => Failure::Taken(why),
            "DatabaseUnavailable" | "TransactionStartFailed" | "DatabaseNotFound" => {
                Failure::Silent(why)
            }
            "LockAcquisitionTimeout"
            | "LockClientStopped"
            | "Terminated"
            | "TransactionTimedOut"
            | "TransactionTimedOutClientConfiguration" => Failure::Transient(why),
            _ if code.starts_with("Neo.TransientError.") => Failure::Transient(why),
            _ if code.starts_with("Neo.ClientError.Security.") => Failure::Login(why),
            _ => Failure::Unexplained(why),
        }
    }
}

impl From<neo4rs::Error> for Failure {
    fn from(error: neo4rs::Error) -> Failure {
        match error {
            neo4rs::Error::Neo4j(e) => Failure::of_code(e.code(), e.message()),
            neo4rs::Error::AuthenticationError(why) => Failure::Login(why),
            // Not the graph's doing: the wire's.
            neo4rs::Error::IOError { .. }
            | neo4rs::Error::ConnectionError
            | neo4rs::Error::ConnectionClosed(_)
            | neo4rs::Error::ConnectionTimedOut
            | neo4rs::Error::IncompleteBoltExchange
            | neo4rs::Error::Ignored(_)
            | neo4rs::Error::RequestIgnoredError
            | neo4rs::Error::ProtocolMismatch(_)
            | neo4rs::Error::UnsupportedVersion(..)
            | neo4rs::Error::UnexpectedMessage(_) => Failure::Silent(error.to_string()),
            _ => Failure::Unexplained(error.to_string()),
        }
    }
}

/// A failed read, or a write of which nothing is left.
impl From<Failure> for Error {
    fn from(failure: Failure) -> Error {
        match failure {
            Failure::Transient(why) | Failure::Silent(why) | Failure::Login(why) => {
                Error::Unavailable(format!("Neo4j does not answer: {why}"))
            }
            Failure::Taken(why) | Failure::Unexplained(why) => {
                Error::Broken(format!("Neo4j answered what it never should: {why}"))
            }
        }
    }
}

async fn within<T>(
    deadline: Duration,
    call: impl Future<Output = Result<T, neo4rs::Error>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(deadline, call).await {
        Ok(answer) => answer.map_err(Failure::from),
        Err(_) => Err(Failure::Silent(format!("no answer within {} s", deadline.as_secs()))),
    }
}

async fn read(graph: &Graph, deadline: Duration, query: Query) -> Result<Vec<Row>, Failure> {
    within(deadline, async {
        let mut rows = graph.execute_read(query).await?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().await? {
            found.push(row);
        }
        Ok(found)
    })
    .await
}

/// Connections to one server.
pub(super) struct Bolt {
    reading: Graph,
    writing: Graph,
    looking: Graph,
}

impl Bolt {
    /// Nothing is sent yet.
    pub(super) fn new(settings: &Settings) -> Result<Bolt, Error> {
        // `neo4j://` asks a cluster who writes and reads elsewhere, perhaps what is old: there is one server here.
        let scheme = settings.url.split_once("://").map(|(scheme, _)| scheme);
        if !matches!(scheme, None | Some("bolt" | "bolt+s" | "bolt+ssc")) {
            return Err(Error::Unavailable(format!(
                "{} is no address of one Neo4j server; write it as bolt://host:7687, or bolt+s:// for TLS",
                settings.url
            )));
        }
        let pool = |connections| {
            let config = ConfigBuilder::default()
                .uri(&settings.url)
                .user(&settings.user)
                .password(&settings.password)
                .fetch_size(FETCH_ROWS)
                .max_connections(connections)
                .connection_timeout(WRITE_DEADLINE)
                .build();
            config.and_then(Graph::connect).map_err(|e| {
                Error::Unavailable(format!("{e}; write the address as bolt://host:7687"))
            })
        };
        Ok(Bolt { reading: pool(READERS)?, writing: pool(WRITERS)?, looking: pool(LOOKERS)? })
    }

    /// Runs a statement that only reads.
    pub(super) async fn read(&self, query: Query) -> Result<Vec<Row>, Failure> {
        read(&self.reading, READ_DEADLINE, query).await
    }

    /// The same for the writer, who waits behind no reader.
    pub(super) async fn read_to_write(&self, query: Query) -> Result<Vec<Row>, Failure> {
        read(&self.writing, READ_DEADLINE, query).await
    }

    /// The same in a hurry, of those who ask where the graph stands.
    pub(super) async fn read_within(
        &self,
        deadline: Duration,
        query: Query,
    ) -> Result<Vec<Row>, Failure> {
        read(&self.looking, deadline, query).await
    }

    /// Runs a statement that writes, in a transaction of its own.
    pub(super) async fn write(&self, query: Query) -> Result<Vec<Row>, Failure> {
        let mut transaction = self.begin().await?;
        let ran = transaction.rows(query).await;
        transaction.end(ran).await
    }

    /// Runs a statement that changes the schema; all of ours may run twice.
    pub(super) async fn define(&self, statement: &str) -> Result<(), Failure> {
        self.write(neo4rs::query(statement)).await.map(drop)
    }

    /// Begins a transaction that writes.
    pub(super) async fn begin(&self) -> Result<Transaction, Failure> {
        Ok(Transaction { txn: within(WRITE_DEADLINE, self.writing.start_txn()).await? })
    }
}

/// A transaction that writes. It must be ended.
#[must_use]
pub(super) struct Transaction {
    txn: Txn,
}

impl Transaction {
    /// Runs a statement for what it answers.
    pub(super) async fn rows(&mut self, query: Query) -> Result<Vec<Row>, Failure> {
        let txn = &mut self.txn;
        within(WRITE_DEADLINE, async {
            let mut rows = txn.execute(query).await?;
            let mut found = Vec::new();
            while let Some(row) = rows.next(txn.handle()).await? {
                found.push(row);
            }
            Ok(found)
        })
        .await
    }

    /// Runs a statement for its effect, which must be exactly this.
    pub(super) async fn run(&mut self, query: Query, effect: &Counters) -> Result<(), Failure> {
        let summary = within(WRITE_DEADLINE, self.txn.run(query)).await?;
        if summary.stats() == effect {
            return Ok(());
        }
        let did = summary.stats();
        Err(Failure::Unexplained(format!("a statement did {did:?} instead of {effect:?}")))
    }

    /// Makes it durable. After any failure it may be, or not.
    pub(super) async fn commit(self) -> Result<(), Failure> {
        within(WRITE_DEADLINE, self.txn.commit()).await.map(drop)
    }

    /// Undoes it. A failure only means that the server does it later by itself.
    pub(super) async fn rollback(self) {
        if let Err(why) = within(WRITE_DEADLINE, self.txn.rollback()).await {
            tracing::debug!(?why, "a transaction was not rolled back by name");
        }
    }

    /// Commits what went well, undoes what did not.
    pub(super) async fn end<T>(self, outcome: Result<T, Failure>) -> Result<T, Failure> {
        match outcome {
            Ok(answer) => self.commit().await.map(|()| answer),
            Err(failure) => {
                self.rollback().await;
                Err(failure)
            }
        }
    }
}

/// A statement as it is sent: without the comments and line breaks it has for
/// its readers, since every byte counts in [`MESSAGE_BYTES`].
pub(super) fn statement(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with("//"));
    lines.collect::<Vec<_>>().join(" ")
}

/// Packs rows into as many runs of one statement as keep each message small
/// enough to travel in one piece. A row that is larger by itself goes alone.
pub(super) fn packed(statement: &str, rows: Vec<BoltType>) -> Vec<(Query, u64)> {
    let room = MESSAGE_BYTES.saturating_sub(ENVELOPE_BYTES + statement.len());
    let (mut queries, mut pack, mut bytes) = (Vec::new(), Vec::new(), 0);
    let query = |pack: &mut Vec<BoltType>| {
        let rows = std::mem::take(pack);
        let count = rows.len() as u64;
        (neo4rs::query(statement).param("rows", list(rows)), count)
    };
    for row in rows {
        let more = size(&row);
        if bytes + more > room && !pack.is_empty() {
            queries.push(query(&mut pack));
            bytes = 0;
        }
        bytes += more;
        pack.push(row);
    }
    if !pack.is_empty() {
        queries.push(query(&mut pack));
    }
    queries
}

/// At most so many bytes on the wire.
fn size(value: &BoltType) -> usize {
    match value {
        BoltType::List(list) => 5 + list.iter().map(size).sum::<usize>(),
        BoltType::String(text) => 5 + text.value.len(),
        BoltType::Bytes(bytes) => 5 + bytes.len(),
        _ => 9,
    }
}

/// A list for a parameter.
pub(super) fn list(values: Vec<BoltType>) -> BoltType {
    BoltType::List(BoltList { value: values })
}

/// A number for a parameter. None of ours comes near 2^63.
pub(super) fn integer(number: u64) -> BoltType {
    BoltType::from(i64::try_from(number).unwrap_or(i64::MAX))
}

/// The only row of an answer.
pub(super) fn first(rows: &[Row]) -> Result<&Row, Failure> {
    rows.first().ok_or_else(|| Failure::Unexplained("an answer without a row".into()))
}

/// A column of a row.
pub(super) fn get<'a, T: serde::Deserialize<'a>>(row: &'a Row, name: &str) -> Result<T, Failure> {
    row.get(name).map_err(|e| Failure::Unexplained(format!("the column {name} of an answer: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Through a cluster's routing, a server that is away for a moment would stop the
    /// writer for good, and a balance could be an old one.
    #[test]
    fn one_server_is_spoken_to_and_no_cluster() {
        let bolt = |url: &str| {
            let text = |text: &str| text.to_owned();
            Bolt::new(&Settings { url: text(url), user: text("neo4j"), password: text("x") })
        };
        for url in ["neo4j://host:7687", "neo4j+s://host:7687", "http://host:7474"] {
            let refused = bolt(url).err().expect("refused").to_string();
            assert!(refused.contains("write it as bolt://host:7687"), "{refused}");
        }
    }
}
