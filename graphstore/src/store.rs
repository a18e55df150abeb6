//! What an engine promises. The conformance suite in `tests/conformance.rs`
//! shows each promise on every engine.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use webwallet_ledger::clear::{History, RecordOf};
use webwallet_ledger::{Account, AccountId, Address, Hash, Output, Pointer, Record};

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
}

impl Loaded {
    /// Takes in what a record changes.
    pub fn apply(&mut self, record: &Record) {
        self.accounts.extend(record.accounts());
        let at = record.cleared();
        self.ious.extend(record.inputs.iter().map(|iou| (*iou, at)));
    }
}

impl History for Loaded {
    fn account(&self, account: &AccountId) -> Option<Account> {
        self.accounts.get(account).cloned()
    }

    fn record_of(&self, iou: &Hash) -> Option<RecordOf> {
        self.ious.get(iou).copied()
    }
}

/// The stored form of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its number.
    pub number: u64,
    /// Its name.
    pub hash: Hash,
    /// Canonical JSON.
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
pub trait Store: Send + Sync + 'static {
    /// Its name and version, for logs, health and test output.
    fn name(&self) -> String;

    /// The last committed record. `None` before the first.
    fn last(&self) -> impl Future<Output = Result<Option<Stored>, Error>> + Send;

    /// What the last commit left of these accounts and IOUs. Absent ones are
    /// left out. The answer may be stale when another writer commits: that is
    /// harmless, because `commit` decides again.
    fn load(
        &self,
        accounts: &[AccountId],
        ious: &[Hash],
    ) -> impl Future<Output = Result<Loaded, Error>> + Send;

    /// Writes a batch: spends, outputs, balances, numbers, time, the records'
    /// bytes and the batch's id.
    ///
    /// Atomic: all of it or nothing. Durable when it returns `Yes`. Idempotent:
    /// the same batch again, right after, changes nothing and is `Yes`. Not
    /// trusting: a batch that does not begin at the next number, spends an
    /// output twice or holds an IOU that has cleared is `Deposed`, whatever its
    /// writer believed. After [`Error::Broken`] every further commit fails.
    fn commit(&self, batch: &Batch) -> impl Future<Output = Result<Committed, Error>> + Send;

    /// The record with this number.
    fn numbered(&self, number: u64) -> impl Future<Output = Result<Option<Stored>, Error>> + Send;

    /// The record with this name.
    fn named(&self, hash: Hash) -> impl Future<Output = Result<Option<Stored>, Error>> + Send;

    /// Records with a higher number than this, in order, without gaps, at most
    /// `limit` and about 4 MiB of them; at least one if there is one.
    fn cleared(
        &self,
        after: u64,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Stored>, Error>> + Send;

    /// The accounts of an address in units after this one, in their order.
    fn accounts(
        &self,
        address: Address,
        after: Option<Address>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<(AccountId, Account)>, Error>> + Send;

    /// The outputs of an account, newest first.
    fn outputs(
        &self,
        account: AccountId,
        page: Page,
    ) -> impl Future<Output = Result<Vec<Placed>, Error>> + Send;
}
