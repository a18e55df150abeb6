//! Proves: seals what was cleared into blocks under signed checkpoints, and
//! serves the log, proofs and receipts. It never clears.
//!
//! [`store`] says what engines promise; [`folder::Folder`] is the one that needs
//! nothing installed; `sealing.rs` is the only place that makes blocks;
//! `service.rs` speaks gRPC. What it keeps beside the log, in a folder of its
//! own, may be lost at any time.

mod chain;
pub mod folder;
mod guard;
mod index;
pub mod key;
mod log;
mod log_folder;
mod publish;
mod pull;
mod reader;
pub mod rebuild;
mod recover;
mod refill;
mod remote;
mod replay;
mod sealing;
mod service;
mod snapshot;
pub mod store;
mod view;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, watch};
use webwallet_ledger::note::VerifierKey;
use webwallet_proto::blockstack::v1::blockstack_server::BlockstackServer;
use webwallet_proto::graphstore::v1::graphstore_client::GraphstoreClient;
use webwallet_proto::hashtable::v1::hashtable_client::HashtableClient;
use webwallet_proto::link::Link;

pub use folder::Folder;
pub use guard::{HEIGHTS_AT_ONCE, OTHER_BLOCKS};
pub use key::{KeyError, LogKey, Randomness};
pub use log::LogError;
pub use log_folder::{LogFolder, LoggedBlock};
pub use sealing::Seal;
pub use service::Service;
pub use store::{Published, Store};

use chain::Chain;
use log::Edge;
use reader::Reader;
use refill::MARK_BLOCKS;
use remote::Remote;
use sealing::{Command, Sealing};
use snapshot::SNAPSHOT_RECORDS_MIN;
use view::View;

/// Commands waiting for the sealing thread.
const COMMANDS_MAX: usize = 64;

/// What a Blockstack is to be.
#[derive(Debug, Clone)]
pub struct Config {
    /// The log's origin.
    pub domain: String,
    /// A folder for what may be lost: the index of blocks, snapshots of
    /// balances. Not inside the log's.
    pub state: PathBuf,
    /// When blocks are made.
    pub seal: Seal,
    /// Records between two snapshots, at least. Fewer make starts and old
    /// balances quicker, and cost as much disk as accounts each time.
    pub snapshot_records: u64,
    /// Blocks after which Hashtable is looked at once more and told that it has all of them:
    /// a start looks at those after. More make starts longer.
    pub mark_blocks: u64,
    /// Whether the key was given by the operator, for tests; its status says so.
    pub given_log_key: bool,
}

impl Config {
    /// As everybody has it.
    pub fn new(domain: &str, state: PathBuf) -> Config {
        Config {
            domain: domain.to_owned(),
            state,
            seal: Seal::default(),
            snapshot_records: SNAPSHOT_RECORDS_MIN,
            mark_blocks: MARK_BLOCKS,
            given_log_key: false,
        }
    }
}

/// Why there is no Blockstack.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its own folder or thread cannot be had.
    #[error("{0}: {1}")]
    Io(String, #[source] std::io::Error),
    /// The stores do not allow it.
    #[error("{0}")]
    Refused(String),
}

/// A running Blockstack. It ends with the process, or with [`Blockstack::stop`].
pub struct Blockstack<S> {
    service: Service<S>,
    stop: watch::Sender<bool>,
    thread: std::thread::JoinHandle<()>,
}

impl<S: Store> Blockstack<S> {
    /// Starts sealing over this store. When it returns, the log on disk is
    /// served; and blocks are sealed, or the status says why not, or that
    /// another store does not answer yet. A log of more than 16,384 records may
    /// still be read: until then balances cannot be proved, and blocks wait.
    ///
    /// # Errors
    /// Its own folder or thread cannot be had.
    pub async fn start(
        config: Config,
        store: S,
        key: LogKey,
        graphstore: GraphstoreClient<Link>,
        hashtable: HashtableClient<Link>,
    ) -> Result<Blockstack<S>, StartError> {
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let (stop, ended) = watch::channel(false);
        let stores = (graphstore, hashtable);
        let sealing = prepare(&config, Arc::new(store), key, stores, inbox, ended)?;
        let (reader, remote) = (sealing.reader.clone(), sealing.remote.clone());
        let service = Service::new(reader, remote, commands, &config);
        // One thread, one task: writing blocks may take its time.
        let failed = |error| StartError::Io("the sealing thread".into(), error);
        let thread = std::thread::Builder::new().name("sealing".into());
        // The thread first: where there can be none, a runtime could not be dropped here.
        let (hand, handed) = std::sync::mpsc::channel::<tokio::runtime::Runtime>();
        let run = move || {
            if let Ok(runtime) = handed.recv() {
                runtime.block_on(sealing.run());
            }
        };
        let thread = thread.spawn(run).map_err(failed)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let _ = hand.send(runtime.map_err(failed)?);
        let mut view = service.reader.view.subscribe();
        // It cannot fail: the sender is in our hands.
        let _ = view
            .wait_for(|view| view.started || view.read_only.is_some() || view.trouble.is_some())
            .await;
        Ok(Blockstack { service, stop, thread })
    }

    /// The service for a [`webwallet_proto::link::Link`] or a socket.
    pub fn server(&self) -> BlockstackServer<Service<S>> {
        webwallet_proto::blockstack::server(self.service.clone())
    }

    /// The log's newest verifier key.
    pub fn verifier(&self) -> Option<VerifierKey> {
        self.service.reader.view.borrow().keys.last().cloned()
    }

    /// Why nothing is sealed until an operator acts, if that is so.
    pub fn read_only(&self) -> Option<String> {
        self.service.reader.view.borrow().read_only.clone()
    }

    /// Ends sealing, between two blocks if that is soon, and waits for it.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        let thread = self.thread;
        // A thread that panicked has ended too.
        let _ = tokio::task::spawn_blocking(move || thread.join()).await;
    }
}

/// Sealing over these stores, before it has looked at any of them.
fn prepare<S: Store>(
    config: &Config,
    store: Arc<S>,
    key: LogKey,
    (graphstore, hashtable): (GraphstoreClient<Link>, HashtableClient<Link>),
    commands: mpsc::Receiver<Command>,
    ended: watch::Receiver<bool>,
) -> Result<Sealing<S>, StartError> {
    let failed = |error| StartError::Io(config.state.display().to_string(), error);
    let snapshots = snapshot::Snapshots::open(&config.state).map_err(failed)?;
    let index = index::Index::open(&config.state.join("blocks")).map_err(failed)?;
    let keys = key.is_kept().then(|| key.verifier().clone()).into_iter().collect();
    let view = View { keys, ..View::default() };
    Ok(Sealing {
        reader: Arc::new(Reader::new(store, index, snapshots, view)),
        remote: Remote { graphstore, hashtable },
        key,
        seal: config.seal,
        commands,
        ended,
        chain: Chain::new(&config.domain),
        edge: Edge::new(),
        note: None,
        publish_from: 0,
        publish_size: 0,
        unwritten: Vec::new(),
        rebuilt: None,
        rehearses: false,
        tries_max: None,
        waiting: VecDeque::new(),
        since: Instant::now(),
        drained: Instant::now(),
        looked: Instant::now(),
        snapshot_records: config.snapshot_records,
        mark_blocks: config.mark_blocks,
        snapshot: 0,
    })
}
