//! What an engine promises. The conformance suite in `tests/all/conformance.rs`
//! shows each promise on every engine.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use webwallet_ledger::account::Balance;
use webwallet_ledger::{
    Account, AccountId, Address, Hash, History, Lock, Output, Pointer, Record, RecordOf, Time,
};
use webwallet_proto::graphstore::v1;

pub use crate::unit::{Totals, Unit};

/// Bytes in one answer of [`Store::cleared`] or [`Store::intents`], about.
pub(crate) const ANSWER_BYTES: usize = 4 << 20;
/// How often what takes many steps is read again when something commits meanwhile.
pub(crate) const READS_MAX: u32 = 8;

/// A failure of the machine or the engine; never a verdict on a request.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing was written and a later try may succeed.
    #[error("{0}")]
    Unavailable(String),
    /// Stored data is damaged, or a write failed in a way after which the disk
    /// cannot be trusted: the writer stops for good.
    #[error("{0}")]
    Broken(String),
    /// The bytes of the records asked for were dropped: they are sealed, and in
    /// Hashtable. Up to this number.
    #[error("records up to {0} are not kept here any more; Hashtable has them")]
    Trimmed(u64),
}

/// How a commit ended. There is no fourth way.
#[derive(Debug, PartialEq, Eq)]
pub enum Committed {
    /// It is durable: by this call, or by an earlier one with the same batch.
    Yes,
    /// Another writer has taken these numbers, outputs or IOUs: this one is
    /// deposed and must load afresh. Nothing was written.
    Deposed,
    /// The answer was lost. Sending the same batch again tells.
    Unknown,
}

/// Requests that clear together.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Its name; two batches of one name are the same batch.
    pub id: Hash,
    /// In order of their numbers, without gaps; never empty.
    pub records: Vec<Arc<Record>>,
}

impl Batch {
    /// A batch of records whose numbers follow one another.
    pub fn new(records: Vec<Arc<Record>>) -> Batch {
        let names: Vec<u8> = records.iter().flat_map(|record| record.hash.0).collect();
        Batch { id: Hash::sha3(&names), records }
    }
}

/// What the last commit left of some accounts and IOUs; and, while a batch is
/// being cleared, of the requests before.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Accounts that exist.
    pub accounts: HashMap<AccountId, Account>,
    /// IOUs that are in a record.
    pub ious: HashMap<Hash, RecordOf>,
    /// Locks that nobody has used.
    pub locks: HashMap<Pointer, Lock>,
}

impl Loaded {
    /// Takes in what a record changes.
    pub fn apply(&mut self, record: &Record) {
        self.accounts.extend(record.accounts());
        let at = record.cleared();
        self.ious.extend(record.inputs.iter().map(|iou| (*iou, at)));
        record.collects.iter().for_each(|lock| drop(self.locks.remove(lock)));
        self.locks.extend(record.locked().map(|(pointer, lock)| (pointer, lock.clone())));
    }
}

impl History for Loaded {
    fn account(&self, account: &AccountId) -> Option<Account> {
        self.accounts.get(account).cloned()
    }

    fn record_of(&self, iou: &Hash) -> Option<RecordOf> {
        self.ious.get(iou).copied()
    }

    fn lock(&self, pointer: &Pointer) -> Option<Lock> {
        self.locks.get(pointer).cloned()
    }
}

/// Where a store stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    /// The last number given; 0 = none yet.
    pub number: u64,
    /// The latest time given, to a record or to an intent.
    pub time: Option<Time>,
    /// The domain of the records; `None` while there is none.
    pub domain: Option<String>,
    /// The height of the last intent.
    pub intent: Option<u64>,
}

/// What makes a block, beside its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// The block's height.
    pub height: u64,
    /// Number of the last record in it or before it; 0 = none.
    pub cleared: u64,
    /// The block's time.
    pub time: Time,
    /// Its leaves that are not records, in their order.
    pub documents: Vec<Bytes>,
    /// The block document.
    pub block: Bytes,
}

impl Intent {
    /// The form in which engines keep it.
    pub fn encode(&self) -> Vec<u8> {
        v1::Intent::from(self.clone()).encode_to_vec()
    }

    /// Reads that form.
    ///
    /// # Errors
    /// [`Error::Broken`]: these bytes are no intent.
    pub fn decode(bytes: &[u8]) -> Result<Intent, Error> {
        let broken = |why: String| Error::Broken(format!("a stored intent cannot be read: {why}"));
        let intent = v1::Intent::decode(bytes).map_err(|e| broken(e.to_string()))?;
        Intent::try_from(intent).map_err(broken)
    }

    /// Why it cannot be the next one where the store stands so, and the last
    /// intent ends at record `sealed`. See [`Store::intend`].
    pub(crate) fn refusal(&self, quiet: bool, head: &Head, sealed: u64) -> Option<String> {
        let Intent { height, cleared, time, .. } = *self;
        let (number, next) = (head.number, head.intent.map_or(0, |last| last + 1));
        let why = if height != next {
            format!("is not the next one, which is {next}")
        } else if cleared > number || cleared < sealed {
            format!("ends at record {cleared}, which is not among {sealed} to {number}")
        } else if quiet && cleared < number {
            format!("has no record, but {number} has cleared after {cleared}")
        } else if let Some(given) = head.time.filter(|given| quiet && time < *given) {
            format!("would be of {time}, before {given}, which has been given")
        } else {
            return None;
        };
        Some(format!("block {height} {why}"))
    }
}

impl From<Intent> for v1::Intent {
    fn from(intent: Intent) -> v1::Intent {
        let Intent { height, cleared, time, documents, block } = intent;
        v1::Intent { height, cleared, time: time.to_string(), documents, block }
    }
}

impl TryFrom<v1::Intent> for Intent {
    /// What is wrong with it.
    type Error = String;

    fn try_from(intent: v1::Intent) -> Result<Intent, String> {
        let v1::Intent { height, cleared, time, documents, block } = intent;
        let time = time.parse().map_err(|e| format!("time {time:?}: {e}"))?;
        Ok(Intent { height, cleared, time, documents, block })
    }
}

/// How intents were received.
#[derive(Debug, PartialEq, Eq)]
pub enum Intended {
    /// What is stored for the height of each: it, or the one that came first.
    Stored(Vec<Intent>),
    /// One of them cannot be the next one: why. None was stored.
    Refused(String),
}

/// The stored form of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its number.
    pub number: u64,
    /// Its name.
    pub hash: Hash,
    /// Canonical JSON; empty where it has been trimmed.
    pub bytes: Vec<u8>,
}

/// One output with its references.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Its reference.
    pub pointer: Pointer,
    /// The output.
    pub output: Output,
    /// The number of its record: its place in its account's chain.
    pub number: u64,
}

/// Which outputs of an account are asked for, newest first.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// Only outputs of records with a lower number; 0 = from the newest.
    pub before: u64,
    /// Outputs passed over first.
    pub skip: u64,
    /// At most so many.
    pub limit: u32,
}

/// An engine of Graphstore.
///
/// One writer commits; any number of readers read. What a commit wrote is
/// visible to every read that starts after it returned.
///
/// Of two processes that open a store to write, never both commit: either the
/// second is refused, or the first is deposed. A deposed one is so for good:
/// its `commit`, `intend`, `head` and `settled` fail with [`Error::Unavailable`], which
/// says so, until it is opened again. If it took the store back by itself, the
/// two would take turns in deposing each other.
pub trait Store: Send + Sync + 'static {
    /// Its name and version, for logs, health and test output.
    fn name(&self) -> String;

    /// Where it stands after the last commit or intent. [`Error::Broken`] where
    /// a commit would fail.
    fn head(&self) -> impl Future<Output = Result<Head, Error>> + Send;

    /// The same, once no commit and no intent is on its way whose answer was lost:
    /// such a one has ended by then, and can have no effect after it.
    /// [`Error::Unavailable`] while it may.
    fn settled(&self) -> impl Future<Output = Result<Head, Error>> + Send;

    /// What the last commit left of these accounts and IOUs. Absent ones are
    /// left out. The answer may be stale when another writer commits: that is
    /// harmless, because `commit` decides again.
    fn load(
        &self,
        accounts: &[AccountId],
        ious: &[Hash],
    ) -> impl Future<Output = Result<Loaded, Error>> + Send;

    /// Those of these locks that nobody has used.
    fn locks(
        &self,
        pointers: &[Pointer],
    ) -> impl Future<Output = Result<HashMap<Pointer, Lock>, Error>> + Send;

    /// The locks of an account, as their target or as their source, that nobody
    /// has used, in the order of their pointers after this one.
    fn locks_of(
        &self,
        account: AccountId,
        after: Option<Pointer>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<(Pointer, Lock)>, Error>> + Send;

    /// Writes a batch: spends, outputs, balances, numbers, time, the records'
    /// bytes and the batch's id.
    ///
    /// Atomic: all of it or nothing. Durable when it returns `Yes`. Idempotent:
    /// the same batch again, right after, changes nothing and is `Yes`. Not
    /// trusting: a batch that does not begin at the next number, spends an
    /// output or uses a lock twice or holds an IOU that has cleared is `Deposed`, whatever its
    /// writer believed. After [`Error::Broken`] every further commit fails.
    fn commit(&self, batch: &Batch) -> impl Future<Output = Result<Committed, Error>> + Send;

    /// The record with this number.
    fn numbered(&self, number: u64) -> impl Future<Output = Result<Option<Stored>, Error>> + Send;

    /// The record with this name.
    fn named(&self, hash: Hash) -> impl Future<Output = Result<Option<Stored>, Error>> + Send;

    /// Records with a higher number than this, in order, without gaps, at most
    /// `limit` and about 4 MiB of them; at least one if there is one.
    /// [`Error::Trimmed`] if the bytes of the first of them were dropped.
    fn cleared(
        &self,
        after: u64,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Stored>, Error>> + Send;

    /// The accounts of an address in units after this one, in their order; of
    /// these `skip` are passed over.
    fn accounts(
        &self,
        address: Address,
        after: Option<Address>,
        skip: u64,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<(AccountId, Account)>, Error>> + Send;

    /// What the accounts and open locks of a unit come to; of one that nobody has
    /// used, nothing. What it costs does not grow with the unit.
    fn unit(&self, unit: Address) -> impl Future<Output = Result<Unit, Error>> + Send;

    /// What each account of a unit holds at one moment, the issuer's included and those at zero
    /// too, in the order of addresses after this one; of these `skip` are passed
    /// over, and at most `limit` answered. An account stays where it is: whoever
    /// goes on after the last address of a page sees each of those that were
    /// there at the beginning once.
    fn holders(
        &self,
        unit: Address,
        after: Option<Address>,
        skip: u64,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<(Address, Balance)>, Error>> + Send;

    /// The outputs of an account, newest first.
    fn outputs(
        &self,
        account: AccountId,
        page: Page,
    ) -> impl Future<Output = Result<Vec<Placed>, Error>> + Send;

    /// Stores what blocks are to be, in the order of their heights: all of them or
    /// none, durable when it returns. A few MiB of them at most.
    ///
    /// Write-once by height: the first intent of a height stands, and every
    /// later one is answered with it. Refused: a height that is neither stored
    /// nor the next one; one that names a record that has not cleared; and a
    /// `quiet` one, which has no record of its own and therefore a time of its
    /// own, if a record beyond its `cleared` exists, or if its time is before the
    /// head's. The head's time is never before that of the last intent.
    fn intend(
        &self,
        intents: &[Intent],
        quiet: bool,
    ) -> impl Future<Output = Result<Intended, Error>> + Send;

    /// The intents from a height on, in order, at most `limit` and about 4 MiB
    /// of them; at least one if there is one.
    fn intents(
        &self,
        from: u64,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Intent>, Error>> + Send;

    /// The bytes of records up to this number need not be kept any more: they
    /// are sealed, and in Hashtable. Idempotent. What the records left (spends,
    /// outputs, balances, names, numbers) stays. An engine whose other answers
    /// come from those bytes keeps them.
    fn trim(&self, upto: u64) -> impl Future<Output = Result<(), Error>> + Send;

    /// What the engine itself finds wrong with what it holds, a sentence each:
    /// a constraint or an index that is missing, counters that disagree. Of an
    /// engine that checks what it reads, and has nothing beside, nothing.
    fn faults(&self) -> impl Future<Output = Result<Vec<String>, Error>> + Send {
        async { Ok(Vec::new()) }
    }
}
