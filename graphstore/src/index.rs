//! The indexes of the embedded engine: where things are in the log, and what
//! the last record left of every account.
//!
//! They hold nothing that the log does not say. What the newest records add is
//! kept in memory only, and now and then merged into sorted tables on disk as
//! one piece: the log is already the journal of it, and writing every entry to
//! a second one cost four times as much as all of this does. A crash loses the
//! part in memory, and may leave the tables uneven; so every entry is an
//! absolute value that depends on one record alone, a mark says up to which
//! record *all* tables are complete, and opening replays the log from there. The
//! one entry that depends on many records, the totals of a unit, says up to which
//! record it counts, and counts none of them twice.
//!
//! An account's chain needs no index: every output names the output it
//! consumed, and [`Index::number_of`] finds its record.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::thread::JoinHandle;

use fjall::compaction::Leveled;
use fjall::config::CompressionPolicy;
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use webwallet_ledger::account::Balance;
use webwallet_ledger::{
    Account, AccountId, Address, Amount, Hash, Lock, Pointer, Record, RecordOf,
};

use crate::log::Place;
use crate::store::Error;
use crate::unit::{Totals, Unit};

/// Entries in memory that are worth merging: some ten megabytes, those of 15,000
/// payments, and what a start replays at most twice over.
pub(crate) const MERGE_ENTRIES: usize = 131_072;
/// Entries in memory, in such merges, at which a writer waits for the disk.
const MERGES_WAITING_MAX: usize = 4;
/// Small tables keep a compaction, which holds what it rewrites in memory, small.
const TABLE_BYTES: u64 = 2 << 20;
/// Blocks kept in memory for reads.
const CACHE_BYTES: u64 = 8 << 20;
const OPEN_FILES_MAX: usize = 256;

/// Address first, so that the accounts of one holder stand together.
type AccountKey = [u8; 40];
/// Unit first, so that the accounts of one unit stand together.
type MemberKey = [u8; 40];
type UnitKey = [u8; 20];
/// Record and index.
type LockKey = [u8; 36];
/// Address and unit of one of the two that may use it, then the lock.
type HolderKey = [u8; 76];

/// What some records that follow one another add, sorted as the tables are.
#[derive(Default)]
struct Layer {
    /// The account's current output and balance.
    accounts: BTreeMap<AccountKey, Account>,
    /// IOU -> its record.
    ious: BTreeMap<Hash, RecordOf>,
    /// Name of a record -> its number.
    names: BTreeMap<Hash, u64>,
    /// Number -> place in the log.
    places: BTreeMap<u64, Place>,
    /// Height of a block -> place of its intent in the log.
    intents: BTreeMap<u64, Place>,
    /// Lock -> is it open, and what it is.
    locks: BTreeMap<LockKey, (bool, Lock)>,
    /// Whose locks are open.
    holders: BTreeMap<HolderKey, bool>,
    /// Which accounts a unit has.
    members: BTreeSet<MemberKey>,
    /// What the accounts and locks of a unit come to.
    units: BTreeMap<UnitKey, Counted>,
}

/// The totals of a unit and the last record that is counted in them.
#[derive(Clone, Default)]
struct Counted {
    number: u64,
    totals: Totals,
}

impl Layer {
    fn add(&mut self, record: &Record, place: Place) {
        let accounts = record.accounts().map(|(id, account)| (account_key(&id), account));
        self.accounts.extend(accounts);
        let at = record.cleared();
        self.ious.extend(record.inputs.iter().map(|iou| (*iou, at)));
        self.names.insert(record.hash, record.number);
        self.places.insert(record.number, place);
        let new = record.outputs.iter().filter(|output| record.spent(output).is_none());
        self.members.extend(new.map(|output| member_key(&output.account)));
        for (pointer, lock) in record.locked() {
            self.set_lock(pointer, lock.clone(), true);
        }
    }

    fn set_lock(&mut self, pointer: Pointer, lock: Lock, open: bool) {
        let unit = lock.account.unit;
        for address in [lock.account.address, lock.source] {
            let key = holder_key(&AccountId { unit, address }, &pointer);
            self.holders.insert(key, open);
        }
        self.locks.insert(lock_key(&pointer), (open, lock));
    }

    fn len(&self) -> usize {
        let accounts = self.accounts.len() + self.members.len() + self.units.len();
        let locks = self.locks.len() + self.holders.len();
        accounts + locks + self.ious.len() + self.names.len() + self.places.len()
    }
}

/// What is in memory: newer first.
#[derive(Default)]
struct Layers {
    /// How often it was written to.
    writes: u64,
    /// Being filled.
    newest: Layer,
    /// Being merged, or merged last: then it serves as a cache.
    merging: Arc<Layer>,
}

pub(crate) struct Index {
    tables: Tables,
    merge_entries: usize,
    layers: RwLock<Layers>,
    merge: Mutex<Option<JoinHandle<Result<(), Error>>>>,
}

/// What is on disk.
#[derive(Clone)]
struct Tables {
    db: Database,
    accounts: Keyspace,
    ious: Keyspace,
    names: Keyspace,
    places: Keyspace,
    intents: Keyspace,
    locks: Keyspace,
    holders: Keyspace,
    members: Keyspace,
    units: Keyspace,
    /// [`COMPLETE`] -> last record up to which all tables are complete.
    marks: Keyspace,
}

/// Under another name than that of builds which had fewer tables: what one of them
/// has left, or added since, is complete only in the eyes of that build, and is
/// read from the log once more.
const COMPLETE: &str = "complete";

impl From<fjall::Error> for Error {
    fn from(error: fjall::Error) -> Error {
        Error::Broken(format!("the index of the embedded Graphstore failed: {error}"))
    }
}

fn damaged(what: &str) -> Error {
    Error::Broken(format!(
        "an entry of the index of {what} is damaged; delete the folder `index` to have it rebuilt from the log"
    ))
}

impl Index {
    pub(crate) fn open(dir: &Path, merge_entries: usize) -> Result<Index, Error> {
        let tables = Tables::open(dir)?;
        Ok(Index { tables, merge_entries, layers: RwLock::default(), merge: Mutex::default() })
    }

    /// The last record up to which the tables are known to be complete.
    pub(crate) fn synced(&self) -> Result<u64, Error> {
        let mark = self.tables.marks.get(COMPLETE)?;
        mark.map_or(Ok(0), |mark| {
            mark.as_ref().try_into().map(u64::from_be_bytes).map_err(|_| damaged("marks"))
        })
    }

    /// The last record that any table knows, complete or not.
    pub(crate) fn known(&self) -> Result<u64, Error> {
        let Some(last) = self.tables.places.last_key_value() else { return self.synced() };
        let last = last.key()?.as_ref().try_into().map_err(|_| damaged("places"))?;
        Ok(self.synced()?.max(u64::from_be_bytes(last)))
    }

    /// Adds the entries of records that follow one another. They are found from
    /// now on.
    pub(crate) fn write(&self, records: &[(&Record, Place)]) -> Result<(), Error> {
        // Of each run only the first uses locks, which earlier records have made: they are found.
        for run in records.chunk_by(|_, (next, _)| next.collects.is_empty()) {
            let mut used = Vec::new();
            for pointer in run.iter().flat_map(|(record, _)| &record.collects) {
                let (_, lock) = self.any_lock(pointer)?.ok_or_else(|| damaged("locks"))?;
                used.push((*pointer, lock));
            }
            let units = self.units_after(run, &used)?;
            let mut layers = self.layers.write().unwrap_or_else(PoisonError::into_inner);
            run.iter().for_each(|(record, place)| layers.newest.add(record, *place));
            layers.newest.units.extend(units);
            layers.writes += 1;
            for (pointer, lock) in used {
                layers.newest.set_lock(pointer, lock, false);
            }
        }
        let entries = self.layers().newest.len();
        if entries < self.merge_entries {
            return Ok(());
        }
        let mut merge = self.merge.lock().unwrap_or_else(PoisonError::into_inner);
        let busy = merge.as_ref().is_some_and(|merge| !merge.is_finished());
        if busy && entries < MERGES_WAITING_MAX * self.merge_entries {
            return Ok(());
        }
        // Waiting for the disk here holds up the writer, and no reader.
        if let Some(merge) = merge.take() {
            let ended = merge.join();
            ended.map_err(|_| Error::Broken("merging the index panicked".into()))??;
        }
        let mut layers = self.layers.write().unwrap_or_else(PoisonError::into_inner);
        let layer = Arc::new(std::mem::take(&mut layers.newest));
        layers.merging = layer.clone();
        let tables = self.tables.clone();
        let thread = std::thread::Builder::new().name("index".into());
        let thread = thread.spawn(move || tables.merge(&layer));
        *merge = Some(thread.map_err(|e| Error::Broken(format!("cannot merge the index: {e}")))?);
        Ok(())
    }

    /// The units that these records change, as they leave them.
    fn units_after(
        &self,
        run: &[(&Record, Place)],
        used: &[(Pointer, Lock)],
    ) -> Result<BTreeMap<UnitKey, Counted>, Error> {
        let lock = |at: &Pointer| used.iter().find(|(pointer, _)| pointer == at);
        let mut units: BTreeMap<UnitKey, Counted> = BTreeMap::new();
        for (record, _) in run {
            for (unit, change) in Totals::changes(record, |at| lock(at).map(|(_, lock)| lock)) {
                let key = *unit.digest();
                let mut counted = match units.remove(&key) {
                    Some(counted) => counted,
                    None => self.counted(&key)?.unwrap_or_default(),
                };
                if counted.number < record.number {
                    let totals = counted.totals.plus(&change);
                    counted = Counted { number: record.number, totals };
                }
                units.insert(key, counted);
            }
        }
        Ok(units)
    }

    fn counted(&self, key: &UnitKey) -> Result<Option<Counted>, Error> {
        match self.recent(|layer| layer.units.get(key).cloned()) {
            Some(counted) => Ok(Some(counted)),
            None => self.tables.counted(key),
        }
    }

    /// What a unit comes to.
    pub(crate) fn unit(&self, unit: Address) -> Result<Unit, Error> {
        let (key, issuer) = (unit.digest(), account_key(&AccountId { unit, address: unit }));
        // Both at one moment: a batch is seen whole.
        let (counted, account) = {
            let layers = self.layers();
            let (newest, merging) = (&layers.newest, &*layers.merging);
            let counted = newest.units.get(key).or_else(|| merging.units.get(key));
            let account = newest.accounts.get(&issuer).or_else(|| merging.accounts.get(&issuer));
            (counted.cloned(), account.cloned())
        };
        let counted = counted.map_or_else(|| self.tables.counted(key), |found| Ok(Some(found)))?;
        let account =
            account.map_or_else(|| self.tables.account(&issuer), |found| Ok(Some(found)))?;
        let supply = account.map_or_else(Amount::zero, |account| account.balance.net.negated());
        Ok(Unit { supply, totals: counted.unwrap_or_default().totals })
    }

    /// The accounts of a unit whose addresses follow this one, in their order.
    pub(crate) fn members(
        &self,
        unit: Address,
        after: Option<Address>,
        skip: usize,
        limit: usize,
    ) -> Result<Vec<AccountId>, Error> {
        let range = pairs_after(&unit, after.as_ref());
        // Memory before tables, and the first of all among the first of each, as
        // for the accounts of an address.
        let most = skip.saturating_add(limit);
        let mut found: BTreeSet<MemberKey> = BTreeSet::new();
        {
            let layers = self.layers();
            for layer in [&*layers.merging, &layers.newest] {
                found.extend(layer.members.range(range).take(most));
            }
        }
        for entry in self.tables.members.range(range).take(most) {
            let key = entry.key()?;
            found.insert(key.as_ref().try_into().map_err(|_| damaged("members"))?);
        }
        let id = |key: MemberKey| {
            let address = Address::from_digest(std::array::from_fn(|i| key[20 + i]));
            AccountId { unit, address }
        };
        Ok(found.into_iter().skip(skip).take(limit).map(id).collect())
    }

    /// Adds the intent of a block.
    pub(crate) fn write_intent(&self, height: u64, place: Place) {
        let mut layers = self.layers.write().unwrap_or_else(PoisonError::into_inner);
        layers.newest.intents.insert(height, place);
    }

    /// What is read between two equal answers is of one moment.
    pub(crate) fn moment(&self) -> u64 {
        self.layers().writes
    }

    fn layers(&self) -> RwLockReadGuard<'_, Layers> {
        self.layers.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the layers in memory say of something, newer first.
    fn recent<T>(&self, find: impl Fn(&Layer) -> Option<T>) -> Option<T> {
        let layers = self.layers();
        find(&layers.newest).or_else(|| find(&layers.merging))
    }

    pub(crate) fn account(&self, id: &AccountId) -> Result<Option<Account>, Error> {
        let key = account_key(id);
        match self.recent(|layer| layer.accounts.get(&key).cloned()) {
            Some(account) => Ok(Some(account)),
            None => self.tables.account(&key),
        }
    }

    /// A lock, used or not, and whether it is open.
    pub(crate) fn any_lock(&self, pointer: &Pointer) -> Result<Option<(bool, Lock)>, Error> {
        let key = lock_key(pointer);
        if let Some(lock) = self.recent(|layer| layer.locks.get(&key).cloned()) {
            return Ok(Some(lock));
        }
        let Some(value) = self.tables.locks.get(key)? else { return Ok(None) };
        let (open, lock) = value.split_first().ok_or_else(|| damaged("locks"))?;
        Ok(Some((*open == 1, Lock::parse(lock).map_err(|_| damaged("locks"))?)))
    }

    /// A lock that nobody has used.
    pub(crate) fn lock(&self, pointer: &Pointer) -> Result<Option<Lock>, Error> {
        Ok(self.any_lock(pointer)?.filter(|(open, _)| *open).map(|(_, lock)| lock))
    }

    /// The open locks of an account after this one, in the order of pointers.
    pub(crate) fn locks_of(
        &self,
        account: &AccountId,
        after: Option<Pointer>,
        limit: usize,
    ) -> Result<Vec<Pointer>, Error> {
        let last = Pointer { record: Hash([0xff; 32]), index: u32::MAX };
        let first = match after {
            Some(after) => Bound::Excluded(holder_key(account, &after)),
            None => Bound::Included(holder_key(account, &Pointer::LOWEST)),
        };
        let range = (first, Bound::Included(holder_key(account, &last)));
        let mut recent: BTreeMap<HolderKey, bool> = BTreeMap::new();
        {
            let layers = self.layers();
            for layer in [&*layers.merging, &layers.newest] {
                recent.extend(layer.holders.range(range).map(|(key, open)| (*key, *open)));
            }
        }
        // Both are in order; of one lock the newer word counts. No more is read than is asked for.
        let (mut recent, mut found) = (recent.into_iter().peekable(), Vec::new());
        for entry in self.tables.holders.range(range) {
            if found.len() >= limit {
                break;
            }
            let (key, open) = entry.into_inner()?;
            let key: HolderKey = key.as_ref().try_into().map_err(|_| damaged("holders"))?;
            let open = *open.first().ok_or_else(|| damaged("holders"))? == 1;
            found.extend(
                std::iter::from_fn(|| recent.next_if(|(newer, _)| *newer < key))
                    .filter(|(_, open)| *open),
            );
            let open = recent.next_if(|(newer, _)| *newer == key).map_or(open, |(_, open)| open);
            found.extend(open.then_some((key, open)));
        }
        found.extend(recent.filter(|(_, open)| *open));
        Ok(found.iter().take(limit).map(|(key, _)| pointer_of(key)).collect())
    }

    pub(crate) fn record_of(&self, iou: &Hash) -> Result<Option<RecordOf>, Error> {
        if let Some(record) = self.recent(|layer| layer.ious.get(iou).copied()) {
            return Ok(Some(record));
        }
        let Some(value) = self.tables.ious.get(iou.0)? else { return Ok(None) };
        let value: &[u8; 44] = value.as_ref().try_into().map_err(|_| damaged("IOUs"))?;
        let [n0, n1, n2, n3, n4, n5, n6, n7, i0, i1, i2, i3, hash @ ..] = *value;
        Ok(Some(RecordOf {
            number: u64::from_be_bytes([n0, n1, n2, n3, n4, n5, n6, n7]),
            inputs: u32::from_be_bytes([i0, i1, i2, i3]),
            hash: Hash(hash),
        }))
    }

    pub(crate) fn place(&self, number: u64) -> Result<Option<Place>, Error> {
        if let Some(place) = self.recent(|layer| layer.places.get(&number).copied()) {
            return Ok(Some(place));
        }
        let value = self.tables.places.get(number.to_be_bytes())?;
        value.map(|value| read_place(&value)).transpose()
    }

    /// Where the intent of this height is.
    pub(crate) fn intent(&self, height: u64) -> Result<Option<Place>, Error> {
        if let Some(place) = self.recent(|layer| layer.intents.get(&height).copied()) {
            return Ok(Some(place));
        }
        let value = self.tables.intents.get(height.to_be_bytes())?;
        value.map(|value| read_place(&value)).transpose()
    }

    /// The height of the last intent in the tables.
    pub(crate) fn last_intent(&self) -> Result<Option<u64>, Error> {
        let Some(last) = self.tables.intents.last_key_value() else { return Ok(None) };
        let height = last.key()?.as_ref().try_into().map_err(|_| damaged("intents"))?;
        Ok(Some(u64::from_be_bytes(height)))
    }

    pub(crate) fn number_of(&self, name: &Hash) -> Result<Option<u64>, Error> {
        if let Some(number) = self.recent(|layer| layer.names.get(name).copied()) {
            return Ok(Some(number));
        }
        let Some(value) = self.tables.names.get(name.0)? else { return Ok(None) };
        let number = value.as_ref().try_into().map_err(|_| damaged("names"))?;
        Ok(Some(u64::from_be_bytes(number)))
    }

    /// Accounts of an address in units after this one, in the order of units.
    pub(crate) fn accounts(
        &self,
        address: Address,
        after: Option<Address>,
        skip: usize,
        limit: usize,
    ) -> Result<Vec<(AccountId, Account)>, Error> {
        let range = pairs_after(&address, after.as_ref());
        // The first `most` of all are among the first `most` of each. Memory
        // before tables: what is merged between the two is then seen in both.
        let most = skip.saturating_add(limit);
        let mut recent = BTreeMap::new();
        {
            let layers = self.layers();
            for layer in [&*layers.merging, &layers.newest] {
                let some = layer.accounts.range(range).take(most);
                recent.extend(some.map(|(key, account)| (*key, account.clone())));
            }
        }
        let mut found = BTreeMap::new();
        for entry in self.tables.accounts.range(range).take(most) {
            let (key, value) = entry.into_inner()?;
            let key: AccountKey = key.as_ref().try_into().map_err(|_| damaged("accounts"))?;
            found.insert(key, read_account(&value)?);
        }
        found.extend(recent);
        let id = |key: AccountKey| {
            let unit = std::array::from_fn(|i| key[20 + i]);
            AccountId { unit: Address::from_digest(unit), address }
        };
        let page = found.into_iter().skip(skip).take(limit);
        Ok(page.map(|(key, account)| (id(key), account)).collect())
    }
}

impl Tables {
    /// Opens the tables of this folder, or makes them: aside first, and then under
    /// their name. fjall (3.1) cannot open what a process killed in the middle of
    /// making it has left.
    fn open(dir: &Path) -> Result<Tables, Error> {
        let io = fjall::Error::from;
        if !dir.try_exists().map_err(io)? {
            let aside = dir.with_extension("new");
            match std::fs::remove_dir_all(&aside) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(io(error).into());
                }
                _ => drop(Tables::open_there(&aside)?),
            }
            std::fs::rename(&aside, dir).map_err(io)?;
        }
        Tables::open_there(dir)
    }

    fn open_there(dir: &Path) -> Result<Tables, Error> {
        let db = Database::builder(dir)
            .cache_size(CACHE_BYTES)
            .max_cached_files(Some(OPEN_FILES_MAX))
            // Hashes do not compress, and everything is measured by its CPU.
            .journal_compression(CompressionType::None)
            // With two, one spins while the other compacts.
            .worker_threads(1)
            .open()?;
        let options = || {
            let compaction = Leveled::default().with_table_target_size(TABLE_BYTES);
            KeyspaceCreateOptions::default()
                .data_block_compression_policy(CompressionPolicy::disabled())
                .compaction_strategy(Arc::new(compaction))
        };
        let open = |name: &str| db.keyspace(name, options);
        Ok(Tables {
            accounts: open("accounts")?,
            ious: open("ious")?,
            names: open("names")?,
            places: open("places")?,
            intents: open("intents")?,
            locks: open("locks")?,
            holders: open("holders")?,
            members: open("members")?,
            units: open("units")?,
            marks: open("marks")?,
            db,
        })
    }

    fn account(&self, key: &AccountKey) -> Result<Option<Account>, Error> {
        self.accounts.get(key)?.map(|value| read_account(&value)).transpose()
    }

    fn counted(&self, key: &UnitKey) -> Result<Option<Counted>, Error> {
        let value = self.units.get(key)?;
        value.map(|value| read_counted(&value).ok_or_else(|| damaged("units"))).transpose()
    }

    /// Writes a layer to disk and marks its last record.
    fn merge(&self, layer: &Layer) -> Result<(), Error> {
        let mut accounts = self.accounts.start_ingestion()?;
        for (key, account) in &layer.accounts {
            accounts.write(&key[..], write_account(account))?;
        }
        accounts.finish()?;
        let mut ious = self.ious.start_ingestion()?;
        for (iou, record) in &layer.ious {
            let mut value = [0; 44];
            value[..8].copy_from_slice(&record.number.to_be_bytes());
            value[8..12].copy_from_slice(&record.inputs.to_be_bytes());
            value[12..].copy_from_slice(&record.hash.0);
            ious.write(iou.0, value)?;
        }
        ious.finish()?;
        let mut names = self.names.start_ingestion()?;
        for (name, number) in &layer.names {
            names.write(name.0, number.to_be_bytes())?;
        }
        names.finish()?;
        let mut places = self.places.start_ingestion()?;
        for (number, place) in &layer.places {
            places.write(number.to_be_bytes(), write_place(place))?;
        }
        places.finish()?;
        let mut intents = self.intents.start_ingestion()?;
        for (height, place) in &layer.intents {
            intents.write(height.to_be_bytes(), write_place(place))?;
        }
        intents.finish()?;
        let mut locks = self.locks.start_ingestion()?;
        for (key, (open, lock)) in &layer.locks {
            let mut value = vec![u8::from(*open)];
            lock.write(&mut value);
            locks.write(&key[..], value)?;
        }
        locks.finish()?;
        let mut holders = self.holders.start_ingestion()?;
        for (key, open) in &layer.holders {
            match open {
                true => holders.write(&key[..], [1])?,
                // Lists of what is open do not walk over all that ever was.
                false => holders.write_tombstone(&key[..])?,
            }
        }
        holders.finish()?;
        let mut members = self.members.start_ingestion()?;
        for key in &layer.members {
            members.write(&key[..], [])?;
        }
        members.finish()?;
        let mut units = self.units.start_ingestion()?;
        for (key, counted) in &layer.units {
            units.write(&key[..], write_counted(counted))?;
        }
        units.finish()?;
        // Tables are synced when they are finished; the mark comes after them.
        if let Some((last, _)) = layer.places.last_key_value() {
            self.marks.insert(COMPLETE, last.to_be_bytes())?;
            self.db.persist(PersistMode::SyncAll)?;
        }
        Ok(())
    }
}

impl Drop for Index {
    /// A merge that runs is let finish: the folder must not be used by two.
    fn drop(&mut self) {
        if let Some(merge) = self.merge.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // What failed there only means a longer replay at the next start.
            let _ = merge.join();
        }
    }
}

fn account_key(id: &AccountId) -> AccountKey {
    pair(id.address.digest(), id.unit.digest())
}

fn member_key(id: &AccountId) -> MemberKey {
    pair(id.unit.digest(), id.address.digest())
}

fn pair(first: &[u8; 20], second: &[u8; 20]) -> [u8; 40] {
    let mut key = [0; 40];
    key[..20].copy_from_slice(first);
    key[20..].copy_from_slice(second);
    key
}

/// The keys that begin with this address, after the one with that second address.
fn pairs_after(first: &Address, second: Option<&Address>) -> (Bound<[u8; 40]>, Bound<[u8; 40]>) {
    let from = match second {
        Some(second) => Bound::Excluded(pair(first.digest(), second.digest())),
        None => Bound::Included(pair(first.digest(), &[0; 20])),
    };
    (from, Bound::Included(pair(first.digest(), &[0xff; 20])))
}

fn lock_key(pointer: &Pointer) -> LockKey {
    let mut key = [0; 36];
    key[..32].copy_from_slice(&pointer.record.0);
    key[32..].copy_from_slice(&pointer.index.to_be_bytes());
    key
}

fn holder_key(account: &AccountId, pointer: &Pointer) -> HolderKey {
    let mut key = [0; 76];
    key[..40].copy_from_slice(&account_key(account));
    key[40..].copy_from_slice(&lock_key(pointer));
    key
}

fn pointer_of(key: &HolderKey) -> Pointer {
    let record = Hash(std::array::from_fn(|i| key[40 + i]));
    let index = u32::from_be_bytes(std::array::from_fn(|i| key[72 + i]));
    Pointer { record, index }
}

/// Record, index, then net, min and max as documents write them, one a line.
fn write_account(account: &Account) -> Vec<u8> {
    let mut value = Vec::with_capacity(96);
    value.extend_from_slice(&account.output.record.0);
    value.extend_from_slice(&account.output.index.to_be_bytes());
    let balance = &account.balance;
    value.extend_from_slice(balance.net.to_string().as_bytes());
    value.push(b'\n');
    value.extend_from_slice(balance.min_text().as_bytes());
    value.push(b'\n');
    value.extend_from_slice(balance.max_text().as_bytes());
    value
}

/// Number of the last record, accounts, then what is locked and granted, a line each.
fn write_counted(counted: &Counted) -> Vec<u8> {
    let Counted { number, totals: Totals { accounts, locked, credit } } = counted;
    let mut value = Vec::with_capacity(48);
    value.extend_from_slice(&number.to_be_bytes());
    value.extend_from_slice(&accounts.to_be_bytes());
    value.extend_from_slice(format!("{locked}\n{credit}").as_bytes());
    value
}

fn read_counted(value: &[u8]) -> Option<Counted> {
    let (number, rest) = value.split_first_chunk()?;
    let (accounts, rest) = rest.split_first_chunk()?;
    let (locked, credit) = std::str::from_utf8(rest).ok()?.split_once('\n')?;
    let (locked, credit) = (Amount::parse_sum(locked)?, Amount::parse_sum(credit)?);
    let totals = Totals { accounts: u64::from_be_bytes(*accounts), locked, credit };
    Some(Counted { number: u64::from_be_bytes(*number), totals })
}

fn write_place(place: &Place) -> [u8; 24] {
    let mut value = [0; 24];
    value[..8].copy_from_slice(&place.segment.to_be_bytes());
    value[8..16].copy_from_slice(&place.offset.to_be_bytes());
    value[16..20].copy_from_slice(&place.length.to_be_bytes());
    value[20..].copy_from_slice(&place.sum.to_be_bytes());
    value
}

fn read_place(value: &[u8]) -> Result<Place, Error> {
    let value: [u8; 24] = value.try_into().map_err(|_| damaged("places"))?;
    let wide = |from: usize| u64::from_be_bytes(std::array::from_fn(|i| value[from + i]));
    let narrow = |from: usize| u32::from_be_bytes(std::array::from_fn(|i| value[from + i]));
    Ok(Place { segment: wide(0), offset: wide(8), length: narrow(16), sum: narrow(20) })
}

fn read_account(value: &[u8]) -> Result<Account, Error> {
    let read = || {
        let record = Hash::from_slice(value.get(..32)?)?;
        let index = u32::from_be_bytes(value.get(32..36)?.try_into().ok()?);
        let mut texts = std::str::from_utf8(value.get(36..)?).ok()?.split('\n');
        let balance = Balance::from_texts(texts.next()?, texts.next()?, texts.next()?).ok()?;
        Some(Account { balance, output: Pointer { record, index } })
    };
    read().ok_or_else(|| damaged("accounts"))
}
