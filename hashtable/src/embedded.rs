//! The engine that needs nothing installed: fjall, in a folder of this machine.
//!
//! # Writing
//! One thread writes. It takes whatever has arrived as one group, commits it as
//! one batch with one `fdatasync`, and answers all of it. So a lone put waits for
//! nobody, and a crowd shares one sync. After a failed write it is unknown what
//! the disk holds (a second `fsync` may succeed without having written what the
//! first one failed to), so the thread writes nothing more and says so to every
//! put, and to a `get` of nothing, until the store is opened anew; reads go on.
//!
//! # On disk
//! - keyspace `documents`: name -> SHA3-256 of the whole bytes, then the bytes;
//!   the same under `s` and the name for what was supplied;
//! - keyspace `numbers`: number of a record, big endian -> its name. A record
//!   and its number are of one batch: neither is there without the other.
//!
//! # Why fjall is set up as below
//! Documents are written once, never changed, and kept for ever under keys
//! without any order. Measured with a million documents of 1.3 KB, one pinned
//! CPU, groups of 100 with one `fdatasync` each (CPU includes flushing and
//! compaction; memory is that of the whole process after the load):
//!
//! | values | table size, L0 tables | CPU a document | memory |
//! |---|---|---|---|
//! | in the tables | 64 MiB, 4 | 17 us after 300 k and growing | 111 MB |
//! | apart | 64 MiB, 4 (fjall's own) | 19.3 us | 123 MB |
//! | apart | 8 MiB, 4 | 17.3 us | 77 MB |
//! | **apart** | **2 MiB, 4** | **14.3 us** | **42-55 MB** |
//! | apart | 2 MiB, 8 | 13.5 us | 65 MB |
//!
//! Values apart (key-value separation) are written by the journal and by the
//! flush, and never again; what compaction rewrites is keys alone. Small tables
//! keep a compaction, which holds what it rewrites in memory, small. In groups
//! of 10 the same costs 21 us. The two SHA3-256 of a document, name and
//! checksum, add 9 us.
//!
//! Opening replays at most two journals of about 64 MB, whatever the number of
//! documents: with a million of them, after a kill, it took 0.1 s and the whole
//! process 7 MB. `examples/puts.rs` measures it all again.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    path::Path,
    sync::{Arc, OnceLock},
    thread::{self, JoinHandle},
    time::Instant,
};

use bytes::Bytes;
use fjall::{
    CompressionType, Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions,
    OwnedWriteBatch, PersistMode,
    compaction::Leveled,
    config::{BloomConstructionPolicy, CompressionPolicy, FilterPolicy, FilterPolicyEntry},
};
use tokio::sync::mpsc;
use webwallet_ledger::Hash;

use crate::{
    put::{Entry, Put, QUEUE_MAX},
    store::{Document, Error, NUMBERED_BYTES, Shelf, Store},
    value::{has_number, verified},
};

/// Block cache. Documents are read seldom, and the system's page cache holds
/// what is read often.
const CACHE_BYTES: u64 = 4 * 1024 * 1024;
/// What is kept in memory before it is flushed to a table.
const DOCUMENTS_MEMTABLE_BYTES: u64 = 8 * 1024 * 1024;
/// Smaller, because an entry of 40 bytes stands for a whole document in the
/// journal: a journal is dropped when *both* keyspaces have flushed it.
const NUMBERS_MEMTABLE_BYTES: u64 = 512 * 1024;
const TABLE_BYTES: u64 = 2 * 1024 * 1024;
const BLOB_FILE_BYTES: u64 = 64 * 1024 * 1024;
/// The least that fjall accepts.
const JOURNALS_BYTES: u64 = 64 * 1024 * 1024;
const OPEN_FILES_MAX: usize = 128;

/// A store in a folder.
///
/// Dropping it waits until what has arrived is written.
pub struct Embedded {
    tables: Tables,
    /// `None` only while dropping.
    queue: Option<mpsc::Sender<Put>>,
    writer: Option<JoinHandle<()>>,
    stopped: Stopped,
}

/// Why nothing is written any more; set once, by the writer.
type Stopped = Arc<OnceLock<String>>;

/// What is on disk. Cloning shares it.
#[derive(Clone)]
struct Tables {
    database: Database,
    documents: Keyspace,
    numbers: Keyspace,
    #[cfg(test)]
    on_commit: tests::OnCommit,
}

/// What a document is found by.
fn key(shelf: Shelf, name: &Hash) -> Vec<u8> {
    match shelf {
        Shelf::Own => name.0.to_vec(),
        Shelf::Supplied => [&b"s"[..], &name.0].concat(),
    }
}

fn engine(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Engine(Box::new(error))
}

impl Embedded {
    /// Opens the store in this folder, or makes it.
    ///
    /// # Errors
    /// [`Error::Engine`]: the folder cannot be used, another process has it
    /// open, or what is in it cannot be read.
    pub fn open(folder: &Path) -> Result<Embedded, Error> {
        let tables = Tables::open(folder)?;
        let newest = tables.newest()?;
        let (queue, puts) = mpsc::channel(QUEUE_MAX);
        let stopped = Stopped::default();
        let writer = Writer { tables: tables.clone(), newest, stopped: stopped.clone() };
        let writer = thread::Builder::new()
            .name("hashtable".to_owned())
            .spawn(move || writer.run(puts))
            .map_err(engine)?;
        Ok(Embedded { tables, queue: Some(queue), writer: Some(writer), stopped })
    }

    /// Reads off the threads that serve: it may wait for the disk.
    async fn aside<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Tables) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let tables = self.tables.clone();
        tokio::task::spawn_blocking(move || read(&tables)).await.map_err(engine)?
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the writer of the hashtable panicked");
        }
    }
}

fn gone() -> Error {
    Error::Stopped("its thread has ended".to_owned())
}

impl Store for Embedded {
    fn name(&self) -> String {
        format!("embedded {}", env!("CARGO_PKG_VERSION"))
    }

    fn may_be_lossy(&self) -> bool {
        false
    }

    async fn put(&self, documents: Vec<Document>) -> Result<(), Error> {
        Put::send(&documents, self.queue.as_ref().ok_or_else(gone)?, gone).await
    }

    async fn get(&self, names: &[Hash]) -> Result<Vec<Option<Bytes>>, Error> {
        if names.is_empty() {
            // Whoever asks for nothing asks whether the store can do its work.
            return match (self.stopped.get(), &self.queue) {
                (Some(cause), _) => Err(Error::Stopped(cause.clone())),
                (None, Some(queue)) if !queue.is_closed() => Ok(Vec::new()),
                (None, _) => Err(gone()),
            };
        }
        let names = names.to_vec();
        self.aside(move |tables| names.iter().map(|&name| tables.get(Shelf::Own, name)).collect())
            .await
    }

    async fn supplied(&self, name: Hash) -> Result<Option<Bytes>, Error> {
        self.aside(move |tables| tables.get(Shelf::Supplied, name)).await
    }

    async fn numbered(&self, after: u64, limit: u32) -> Result<Vec<Document>, Error> {
        self.aside(move |tables| tables.numbered(after, limit)).await
    }

    async fn names(&self, after: u64, limit: u32) -> Result<Vec<Hash>, Error> {
        self.aside(move |tables| {
            let names = tables.names(after).take(limit as usize);
            names.map(|entry| entry.map(|(_, name)| name)).collect()
        })
        .await
    }

    async fn highest(&self) -> Result<u64, Error> {
        self.aside(Tables::newest).await
    }
}

impl Tables {
    /// Opens the tables of this folder, or makes them: aside first, and then under
    /// their name. fjall (3.1) cannot open what a process killed in the middle of
    /// making it has left.
    fn open(folder: &Path) -> Result<Tables, Error> {
        if !folder.try_exists().map_err(engine)? {
            let aside = folder.with_extension("new");
            match std::fs::remove_dir_all(&aside) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(engine(error));
                }
                _ => drop(Tables::open_there(&aside)?),
            }
            std::fs::rename(&aside, folder).map_err(engine)?;
        }
        Tables::open_there(folder)
    }

    fn open_there(folder: &Path) -> Result<Tables, Error> {
        let database = Database::builder(folder)
            .cache_size(CACHE_BYTES)
            .max_cached_files(Some(OPEN_FILES_MAX))
            .max_journaling_size(JOURNALS_BYTES)
            // Hashes and signatures do not compress, and everything is
            // measured by the CPU it takes.
            .journal_compression(CompressionType::None)
            // With two, one spins while the other compacts.
            .worker_threads(1)
            .open()
            .map_err(engine)?;
        // So that the folder itself is still there after a power failure.
        if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            File::open(parent).and_then(|parent| parent.sync_all()).map_err(engine)?;
        }
        let filter = FilterPolicyEntry::Bloom(BloomConstructionPolicy::BitsPerKey(10.0));
        let options = || {
            KeyspaceCreateOptions::default()
                .data_block_compression_policy(CompressionPolicy::disabled())
                .filter_policy(FilterPolicy::all(filter))
                .compaction_strategy(Arc::new(
                    Leveled::default().with_table_target_size(TABLE_BYTES),
                ))
        };
        let documents = || {
            let apart = KvSeparationOptions::default()
                .compression(CompressionType::None)
                .file_target_size(BLOB_FILE_BYTES)
                .separation_threshold(128);
            options().max_memtable_size(DOCUMENTS_MEMTABLE_BYTES).with_kv_separation(Some(apart))
        };
        let numbers = || options().max_memtable_size(NUMBERS_MEMTABLE_BYTES);
        let documents = database.keyspace("documents", documents).map_err(engine)?;
        let numbers = database.keyspace("numbers", numbers).map_err(engine)?;
        // A process killed in the middle of a commit leaves what it wrote in the
        // page cache alone. It is read from there as if it were stored, and a
        // repeat of its put is answered without a write: so it is synced now.
        // (fjall 3.1 does so by itself, but does not promise it.)
        database.persist(PersistMode::SyncAll).map_err(engine)?;
        Ok(Tables {
            database,
            documents,
            numbers,
            #[cfg(test)]
            on_commit: tests::OnCommit::default(),
        })
    }

    /// The highest number of a record stored; 0 if there is none.
    fn newest(&self) -> Result<u64, Error> {
        let Some(last) = self.numbers.last_key_value() else {
            return Ok(0);
        };
        let key = last.key().map_err(engine)?;
        let number = key.as_ref().try_into().map(u64::from_be_bytes);
        number.map_err(|_| Error::Engine("a key of the index by number is not a number".into()))
    }

    fn get(&self, shelf: Shelf, name: Hash) -> Result<Option<Bytes>, Error> {
        metrics::counter!("webwallet_hashtable_gets_total").increment(1);
        let value = match self.documents.get(key(shelf, &name)) {
            Ok(Some(value)) => value,
            Ok(None) => return Ok(None),
            // The engine has checksums of its own; they only find it earlier.
            Err(fjall::Error::Storage(fjall::LsmError::Io(error))) => {
                return Err(engine(error));
            }
            Err(fjall::Error::Storage(error)) => {
                tracing::error!(%name, %error, "damaged document");
                return Err(Error::Damaged(name));
            }
            Err(error) => return Err(engine(error)),
        };
        let bytes = verified(shelf, name, &value).ok_or(Error::Damaged(name))?;
        Ok(Some(Bytes::copy_from_slice(bytes)))
    }

    /// Number and name of the records after a number, up to the first that is missing.
    fn names(&self, after: u64) -> impl Iterator<Item = Result<(u64, Hash), Error>> {
        let first = after.checked_add(1);
        let entries = first.map(|first| self.numbers.range(first.to_be_bytes()..));
        let mut next = first.unwrap_or(u64::MAX);
        entries.into_iter().flatten().map_while(move |entry| {
            let (number, name) = match entry.into_inner() {
                Ok(entry) => entry,
                Err(error) => return Some(Err(engine(error))),
            };
            if *number != next.to_be_bytes() {
                return None;
            }
            let number = next;
            next = next.saturating_add(1);
            let name = Hash::from_slice(&name).ok_or_else(|| {
                Error::Engine(format!("entry {number} of the index by number is no hash").into())
            });
            Some(name.map(|name| (number, name)))
        })
    }

    fn numbered(&self, after: u64, limit: u32) -> Result<Vec<Document>, Error> {
        let (mut found, mut bytes) = (Vec::new(), 0);
        for entry in self.names(after).take(limit as usize) {
            let (number, name) = entry?;
            // An index entry and its document are of one batch.
            let document = self.get(Shelf::Own, name)?.ok_or(Error::Damaged(name))?;
            bytes += document.len();
            found.push(Document::new(name, document, number).map_err(|_| Error::Damaged(name))?);
            if bytes >= NUMBERED_BYTES {
                break;
            }
        }
        Ok(found)
    }

    /// Whether this document is stored and intact. What cannot be read is not:
    /// it is written anew.
    fn holds(&self, shelf: Shelf, name: Hash) -> bool {
        let value = self.documents.get(key(shelf, &name));
        matches!(value, Ok(Some(value)) if verified(shelf, name, &value).is_some())
    }

    /// Whether this record is stored, intact and of this number.
    fn has(&self, name: Hash, number: u64) -> bool {
        let value = self.documents.get(key(Shelf::Own, &name));
        matches!(value, Ok(Some(value)) if has_number(name, &value, number))
    }

    /// Durable when it returns.
    fn commit(&self, batch: OwnedWriteBatch) -> fjall::Result<()> {
        #[cfg(test)]
        return self.on_commit.call(|| batch.commit());
        #[cfg(not(test))]
        batch.commit()
    }
}

/// The one thread that writes.
struct Writer {
    tables: Tables,
    /// The highest number of a record stored. A record above it cannot be here
    /// yet, which spares nearly every record a search for itself (7 us).
    newest: u64,
    stopped: Stopped,
}

impl Writer {
    fn run(mut self, mut puts: mpsc::Receiver<Put>) {
        while let Some(first) = puts.blocking_recv() {
            // On a busy machine whoever woke this thread is about to put more.
            thread::yield_now();
            let mut group = Put::arrived(first, &mut puts);
            let outcome = match self.stopped.get() {
                Some(cause) => Err(cause.clone()),
                None => self.take(&mut group).map_err(|error| {
                    tracing::error!(%error, "the hashtable stops writing");
                    self.stopped.get_or_init(|| error.to_string()).clone()
                }),
            };
            answer(group, outcome);
        }
    }

    /// Writes a group, but for puts of a record whose number another one has; these
    /// have their answer.
    fn take(&mut self, group: &mut Vec<Put>) -> fjall::Result<()> {
        let mut named: HashMap<u64, Hash> = HashMap::new();
        let mut at = 0;
        // Each stays in the group until it is answered, also where the index cannot be read.
        while let Some(put) = group.get(at) {
            match self.other(put, &named)? {
                None => {
                    named.extend(put.records().map(|entry| (entry.number, entry.name)));
                    at += 1;
                }
                Some(number) => group.remove(at).answer(Err(Error::Taken(number))),
            }
        }
        self.write(group)
    }

    /// The first number in a put that another record has, among those stored and these.
    fn other(&self, put: &Put, named: &HashMap<u64, Hash>) -> fjall::Result<Option<u64>> {
        for Entry { name, number, .. } in put.records() {
            let other = match named.get(number) {
                Some(other) => other != name,
                None => self
                    .indexed(*number)?
                    .is_some_and(|other| other != *name && self.tables.has(other, *number)),
            };
            if other {
                return Ok(Some(*number));
            }
        }
        Ok(None)
    }

    /// What the index has under a number.
    fn indexed(&self, number: u64) -> fjall::Result<Option<Hash>> {
        if number > self.newest {
            // No need to look.
            return Ok(None);
        }
        let name = self.tables.numbers.get(number.to_be_bytes())?;
        Ok(name.and_then(|name| Hash::from_slice(&name)))
    }

    fn write(&mut self, group: &[Put]) -> fjall::Result<()> {
        let mut batch = self.tables.database.batch().durability(Some(PersistMode::SyncData));
        let mut newest = self.newest;
        let mut taken = HashSet::new();
        for entry in group.iter().flat_map(|put| &put.entries) {
            if !taken.insert((entry.shelf, entry.name)) {
                continue;
            }
            let unseen = entry.number > self.newest;
            if unseen || !self.tables.holds(entry.shelf, entry.name) {
                let key = key(entry.shelf, &entry.name);
                batch.insert(&self.tables.documents, key, entry.value.as_slice());
            }
            if entry.number != 0 && self.indexed(entry.number)? != Some(entry.name) {
                batch.insert(&self.tables.numbers, entry.number.to_be_bytes(), entry.name.0);
            }
            newest = newest.max(entry.number);
        }
        if batch.is_empty() {
            // All of it was durable before.
            return Ok(());
        }
        let begun = Instant::now();
        self.tables.commit(batch)?;
        self.newest = newest;
        metrics::histogram!("webwallet_hashtable_commit_seconds").record(begun.elapsed());
        metrics::counter!("webwallet_hashtable_commits_total").increment(1);
        metrics::counter!("webwallet_hashtable_documents_total").increment(taken.len() as u64);
        Ok(())
    }
}

/// Tells all of a group at once. Waking each caller from this thread would cost
/// a switch of threads for every one of them on a busy CPU; waking the
/// runtime once, and the callers there, costs one.
fn answer(group: Vec<Put>, outcome: Result<(), String>) {
    let Some(runtime) = group.first().map(|put| put.runtime.clone()) else {
        return;
    };
    runtime.spawn(async move {
        for put in group {
            put.answer(outcome.clone().map_err(Error::Stopped));
        }
    });
}

#[cfg(test)]
mod tests;
