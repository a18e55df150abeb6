//! The engine on Neo4j: for an organisation whose history outgrows one machine,
//! or who wants to explore it as a graph.
//!
//! The laws are the graph's uniqueness constraints, not this program's care: an
//! output's position forbids to spend its predecessor twice, an IOU's name to
//! clear it twice, a number to be given twice. So they hold with a stale cache,
//! and with two writers. The Shard is the fence before them: opening takes the
//! next epoch, and whoever has an earlier one commits no more.
//!
//! All calls of the driver run on the runtime on which the engine was opened:
//! connections belong to the runtime that made them, and a caller who leaves
//! must not leave a transaction open.

mod bolt;
mod commit;
mod count;
mod faults;
mod moments;
mod plan;
mod read;
mod rehearsal;
mod schema;
mod statements;

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use quick_cache::sync::Cache;
use tokio::runtime::Handle;
use webwallet_ledger::account::Balance;
use webwallet_ledger::{Account, AccountId, Address, Hash, Lock, Pointer};

use crate::store::{
    Batch, Committed, Error, Head, Intended, Intent, Loaded, Page, Placed, Store, Stored,
};
use crate::unit::Unit;
use bolt::Bolt;
pub use bolt::Settings;
use moments::Moments;
use read::Chain;
use schema::Opened;
use statements::Statements;

/// Accounts kept in memory for the writer: those of a busy hour, in about 30 MB.
const CACHED_ACCOUNTS: usize = 65_536;

/// Graphstore in a Neo4j database, which it has for itself. Cheap to clone.
#[derive(Clone)]
pub struct Neo4j {
    inner: Arc<Inner>,
    runtime: Handle,
}

struct Inner {
    bolt: Bolt,
    statements: Statements,
    version: String,
    domain: String,
    /// `None`: this process only looks.
    epoch: Option<u64>,
    /// Accounts as the last commits left them. What is stale in it makes a
    /// commit fail, and is then forgotten.
    chains: Cache<AccountId, Chain>,
    /// When readers see what was committed whole.
    moments: Moments,
    /// Why this process may not write any more.
    stopped: Mutex<Option<Stopped>>,
    /// Held by whoever drops bytes.
    trimming: tokio::sync::Mutex<()>,
    settling: tokio::sync::Mutex<()>,
}

/// Why a process may not write any more.
enum Stopped {
    /// Another process has opened the graph since.
    Deposed(String),
    /// The graph is not as this program leaves it.
    Broken(String),
}

impl Neo4j {
    /// Opens the graph for this domain and takes it over from whoever had
    /// opened it before. An empty database is made ready. To be called on the
    /// runtime that lives as long as the engine.
    ///
    /// # Errors
    /// One sentence that names what is wrong and the command that helps: no
    /// answer, a refused password, a server too old, a missing constraint,
    /// another domain's graph, a newer data format. Nobody was deposed.
    /// A server that has just been started takes some seconds until it works
    /// as fast as it will; they pass here.
    pub async fn open(settings: &Settings, domain: &str) -> Result<Neo4j, Error> {
        let bolt = Bolt::new(settings)?;
        let opened = schema::open(&bolt, settings, domain).await?;
        tracing::info!(version = opened.version, epoch = opened.epoch, "Neo4j is open");
        let store = Neo4j::opened(bolt, opened, domain).await?;
        store.inner.rehearse(store.inner.writable()?).await?;
        Ok(store)
    }

    /// Opens the graph to be looked at, beside whoever writes to it: nothing is
    /// made or taken over, and every write is refused.
    ///
    /// # Errors
    /// As [`Neo4j::open`], but a missing constraint is left to
    /// [`Store::faults`]; and an empty database is refused.
    pub async fn inspect(settings: &Settings, domain: &str) -> Result<Neo4j, Error> {
        let bolt = Bolt::new(settings)?;
        let opened = schema::inspect(&bolt, settings, domain).await?;
        Neo4j::opened(bolt, opened, domain).await
    }

    /// That this database can be opened, which is not done; and what it is.
    ///
    /// # Errors
    /// As [`Neo4j::open`].
    pub async fn fits(settings: &Settings, domain: &str) -> Result<String, Error> {
        schema::fits(&Bolt::new(settings)?, settings, domain).await
    }

    async fn opened(bolt: Bolt, opened: Opened, domain: &str) -> Result<Neo4j, Error> {
        let inner = Inner {
            bolt,
            statements: Statements::new(),
            version: opened.version,
            domain: domain.to_owned(),
            epoch: opened.epoch,
            chains: Cache::new(CACHED_ACCOUNTS),
            moments: Moments::new(),
            stopped: Mutex::default(),
            trimming: tokio::sync::Mutex::default(),
            settling: tokio::sync::Mutex::default(),
        };
        // The first time, the server takes long to plan what health then asks in a hurry.
        inner.bolt.read(inner.head_query()).await?;
        Ok(Neo4j { inner: Arc::new(inner), runtime: Handle::current() })
    }

    /// Runs something where the connections live, to its end.
    async fn there<T: Send + 'static, F: Future<Output = Result<T, Error>> + Send + 'static>(
        &self,
        work: impl FnOnce(Arc<Inner>) -> F,
    ) -> Result<T, Error> {
        let task = self.runtime.spawn(work(self.inner.clone()));
        task.await
            .map_err(|e| Error::Unavailable(format!("a task of the engine ended early: {e}")))?
    }
}

impl Inner {
    /// Has this process stopped writing?
    fn sound(&self) -> Result<(), Error> {
        match &*self.stopped.lock() {
            None => Ok(()),
            Some(Stopped::Deposed(why)) => Err(Error::Unavailable(why.clone())),
            Some(Stopped::Broken(why)) => Err(Error::Broken(why.clone())),
        }
    }

    /// The epoch under which this process may write.
    fn writable(&self) -> Result<u64, Error> {
        self.sound()?;
        let looks = || Error::Unavailable("this graph was opened to be inspected only".into());
        self.epoch.ok_or_else(looks)
    }

    /// Nothing is written from here on; the first reason stands.
    fn stop(&self, why: Stopped) {
        self.chains.clear();
        self.stopped.lock().get_or_insert(why);
    }

    /// Is this still the writer's epoch, for one who writes?
    fn fenced(&self, epoch: u64) -> Result<(), Error> {
        if let Some(ours) = self.epoch
            && epoch != ours
        {
            self.stop(Stopped::Deposed(format!(
                "another Graphstore has taken this graph over (epoch {epoch} after {ours}); stop it, or restart this one to take the graph back"
            )));
        }
        self.sound()
    }
}

impl Store for Neo4j {
    fn name(&self) -> String {
        format!("neo4j {}", self.inner.version)
    }

    async fn head(&self) -> Result<Head, Error> {
        self.there(|inner| async move { inner.head().await }).await
    }

    async fn settled(&self) -> Result<Head, Error> {
        self.there(|inner| async move { inner.settled().await }).await
    }

    async fn load(&self, accounts: &[AccountId], ious: &[Hash]) -> Result<Loaded, Error> {
        let (accounts, ious) = (accounts.to_vec(), ious.to_vec());
        self.there(|inner| async move { inner.load(&accounts, &ious).await }).await
    }

    async fn locks(&self, pointers: &[Pointer]) -> Result<HashMap<Pointer, Lock>, Error> {
        let pointers = pointers.to_vec();
        self.there(|inner| async move { inner.locks(&pointers).await }).await
    }

    async fn locks_of(
        &self,
        account: AccountId,
        after: Option<Pointer>,
        limit: u32,
    ) -> Result<Vec<(Pointer, Lock)>, Error> {
        self.there(|inner| async move { inner.locks_of(account, after, limit).await }).await
    }

    async fn commit(&self, batch: &Batch) -> Result<Committed, Error> {
        let batch = batch.clone();
        self.there(|inner| async move { inner.commit(&batch).await }).await
    }

    async fn numbered(&self, number: u64) -> Result<Option<Stored>, Error> {
        self.there(|inner| async move { inner.numbered(number).await }).await
    }

    async fn named(&self, hash: Hash) -> Result<Option<Stored>, Error> {
        self.there(|inner| async move { inner.named(hash).await }).await
    }

    async fn cleared(&self, after: u64, limit: u32) -> Result<Vec<Stored>, Error> {
        self.there(|inner| async move { inner.cleared(after, limit).await }).await
    }

    async fn accounts(
        &self,
        address: Address,
        after: Option<Address>,
        skip: u64,
        limit: u32,
    ) -> Result<Vec<(AccountId, Account)>, Error> {
        self.there(|inner| async move { inner.accounts(address, after, skip, limit).await }).await
    }

    async fn unit(&self, unit: Address) -> Result<Unit, Error> {
        self.there(|inner| async move { inner.unit(unit).await }).await
    }

    async fn holders(
        &self,
        unit: Address,
        after: Option<Address>,
        skip: u64,
        limit: u32,
    ) -> Result<Vec<(Address, Balance)>, Error> {
        self.there(|inner| async move { inner.holders(unit, after, skip, limit).await }).await
    }

    async fn outputs(&self, account: AccountId, page: Page) -> Result<Vec<Placed>, Error> {
        self.there(|inner| async move { inner.outputs(account, page).await }).await
    }

    async fn intend(&self, intents: &[Intent], quiet: bool) -> Result<Intended, Error> {
        let intents = intents.to_vec();
        self.there(|inner| async move { inner.intend(intents, quiet).await }).await
    }

    async fn intents(&self, from: u64, limit: u32) -> Result<Vec<Intent>, Error> {
        self.there(|inner| async move { inner.intents(from, limit).await }).await
    }

    async fn trim(&self, upto: u64) -> Result<(), Error> {
        self.there(|inner| async move { inner.trim(upto).await }).await
    }

    async fn faults(&self) -> Result<Vec<String>, Error> {
        self.there(|inner| async move { inner.faults().await }).await
    }
}
