//! What every engine of Hashtable promises.
//!
//! `tests/all/conformance.rs` shows it for each engine; a promise that is not shown
//! there is not one.

use std::future::Future;

use bytes::Bytes;
use webwallet_ledger::{Code, Hash, Rejection, Supplied, document};
use webwallet_proto::hashtable::OTHER_RECORDS;

/// Bytes of records in one answer of [`Store::numbered`], about.
pub(crate) const NUMBERED_BYTES: usize = 4 * 1024 * 1024;

/// Where a document stands. A name on one shelf says nothing of the other: nobody
/// can take the place of a record by supplying something first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shelf {
    /// Records and other documents of the server, from Graphstore or the log.
    Own,
    /// Puzzles and custom data, from anybody.
    Supplied,
}

/// A document that is known to be the bytes of its name.
///
/// There is no other way to make one, so no engine can be handed anything else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    shelf: Shelf,
    name: Hash,
    bytes: Bytes,
    number: u64,
}

impl Document {
    /// Checks that `bytes` is a document in canonical form, named `name`.
    ///
    /// `number` is that of a record, from 1, and 0 for every other document. It
    /// is the caller's word: every put of a record gives it. Whoever finds a
    /// record by its number compares it with the number inside.
    ///
    /// # Errors
    /// `malformed` or `hash_mismatch`.
    pub fn new(name: Hash, bytes: Bytes, number: u64) -> Result<Document, Rejection> {
        if document::name(&bytes)? != name {
            return Err(Rejection::new(
                Code::HashMismatch,
                "/hash/value",
                "the document has another name than the one it came with",
            ));
        }
        Ok(Document { shelf: Shelf::Own, name, bytes, number })
    }

    /// The shelf it is put on.
    pub fn shelf(&self) -> Shelf {
        self.shelf
    }

    /// The hash of the document's `data`: SHA3-256, or of a supplied one what it says.
    pub fn name(&self) -> Hash {
        self.name
    }

    /// Canonical JSON of the whole document.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The number of a record; 0 for every other document.
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl From<Supplied> for Document {
    fn from(supplied: Supplied) -> Document {
        let (name, bytes) = (supplied.name(), Bytes::copy_from_slice(supplied.bytes()));
        Document { shelf: Shelf::Supplied, name, bytes, number: 0 }
    }
}

/// A failure of the machine. Nothing was decided by it; a put may be sent again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What is stored is not what was put: never answered, always said.
    #[error("the stored copy of document {0} is damaged")]
    Damaged(Hash),
    /// Nothing is written: a write failed, so that it is unknown what the disk
    /// holds, until the store is opened anew; or the engine would lose what it is
    /// given, until its operator has mended that.
    #[error("the store does not write: {0}")]
    Stopped(String),
    /// Another record has this number: two histories meet, and one of them goes on
    /// from where it has gone back to. The number stays the other's; of the call anything
    /// else may be stored, as after every error.
    #[error(
        "Hashtable has another record {0} than Graphstore: one of them was put back to an older state, or belongs to another server; {advice}",
        advice = OTHER_RECORDS
    )]
    Taken(u64),
    /// The engine failed.
    #[error("the engine failed")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Keeps documents by their name, for ever.
///
/// Nothing expires, nothing is evicted, nothing is changed: of two documents
/// with one name (a name covers `data`, not `meta`), the first one stored stays.
/// The engine's disk and network are not trusted: each document is kept with
/// SHA3-256 of its whole bytes.
pub trait Store: Send + Sync + 'static {
    /// Its name and version, for logs, health and test output.
    fn name(&self) -> String;

    /// Whether its operator lets it confirm what it may lose, for experiments.
    fn may_be_lossy(&self) -> bool;

    /// Stores documents, and indexes records by their number.
    ///
    /// - **Durable** when it returns `Ok`: all of them, synced.
    /// - **Idempotent**: a repeat changes nothing and is no error. A repeat of
    ///   what is stored damaged mends it.
    /// - **Atomic** for each document together with its number, not for the
    ///   whole call: after an error, or when the future is dropped, any of them
    ///   may be stored. Send the same again.
    /// - **Trusted**: the number, unless another record has it: [`Error::Taken`].
    ///   Nothing else; a [`Document`] proves its name.
    fn put(&self, documents: Vec<Document>) -> impl Future<Output = Result<(), Error>> + Send;

    /// The exact bytes stored under each name, in the order asked; `None` where
    /// nothing is stored.
    ///
    /// Sees every put that has returned. The checksum of the whole bytes and
    /// the name are verified on every read. [`Error::Damaged`] if either is
    /// wrong, for the whole call: what is damaged is neither an answer nor
    /// absent.
    ///
    /// A `get` of no names asks whether the store can do its work, and answers
    /// [`Error::Stopped`] where a put would.
    fn get(&self, names: &[Hash])
    -> impl Future<Output = Result<Vec<Option<Bytes>>, Error>> + Send;

    /// The same for one name of what was supplied. [`Store::get`] never answers
    /// anything supplied, and this nothing else.
    fn supplied(&self, name: Hash) -> impl Future<Output = Result<Option<Bytes>, Error>> + Send;

    /// Records with a higher number than this, in order, up to the first
    /// number that is missing, at most `limit` and about 4 MiB of them; at
    /// least one if the next one is there. Checked as [`Store::get`] checks.
    fn numbered(
        &self,
        after: u64,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Document>, Error>> + Send;

    /// The names of records with a higher number than this, in order, up to the
    /// first number that is missing, at most `limit` of them. Documents are not
    /// read, so what is damaged is named too.
    fn names(
        &self,
        after: u64,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Hash>, Error>> + Send;

    /// The highest number of any record stored; 0 if there is none. Numbers
    /// below it may be missing.
    fn highest(&self) -> impl Future<Output = Result<u64, Error>> + Send;
}
