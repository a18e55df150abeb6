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

mod key;
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use webwallet_ledger::{
    Account, AccountId, Address, Amount, Hash, Lock, Pointer, Record, RecordOf,
};

use self::key::{
    AccountKey, HolderKey, LockKey, MemberKey, UnitKey, account_key, holder_key, holders_after,
    lock_key, member_key, pairs_after, pointer_of, second,
};
use self::tables::{Tables, damaged};
use crate::log::Place;
use crate::store::Error;
use crate::unit::{Totals, Unit};

/// Entries in memory that are worth merging: some ten megabytes, those of 15,000
/// payments, and what a start replays at most twice over.
pub(crate) const MERGE_ENTRIES: usize = 131_072;
/// Entries in memory, in such merges, at which a writer waits for the disk.
const MERGES_WAITING_MAX: usize = 4;

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

impl Layers {
    /// What they say of something, newer first.
    fn find<T>(&self, find: impl Fn(&Layer) -> Option<T>) -> Option<T> {
        find(&self.newest).or_else(|| find(&self.merging))
    }
}

pub(crate) struct Index {
    tables: Tables,
    merge_entries: usize,
    layers: RwLock<Layers>,
    merge: Mutex<Option<JoinHandle<Result<(), Error>>>>,
}

impl Index {
    pub(crate) fn open(dir: &Path, merge_entries: usize) -> Result<Index, Error> {
        let tables = Tables::open(dir)?;
        Ok(Index { tables, merge_entries, layers: RwLock::default(), merge: Mutex::default() })
    }

    /// The last record up to which the tables are known to be complete.
    pub(crate) fn synced(&self) -> Result<u64, Error> {
        self.tables.complete()
    }

    /// The last record that any table knows, complete or not.
    pub(crate) fn known(&self) -> Result<u64, Error> {
        Ok(self.tables.last_place()?.unwrap_or(0).max(self.synced()?))
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
            let mut layers = self.layers.write();
            run.iter().for_each(|(record, place)| layers.newest.add(record, *place));
            layers.newest.units.extend(units);
            layers.writes += 1;
            for (pointer, lock) in used {
                layers.newest.set_lock(pointer, lock, false);
            }
        }
        self.merge_if_full()
    }

    /// Begins to merge what is in memory, if that is worth it by now.
    fn merge_if_full(&self) -> Result<(), Error> {
        let entries = self.layers().newest.len();
        if entries < self.merge_entries {
            return Ok(());
        }
        let mut merge = self.merge.lock();
        let busy = merge.as_ref().is_some_and(|merge| !merge.is_finished());
        if busy && entries < MERGES_WAITING_MAX * self.merge_entries {
            return Ok(());
        }
        // Waiting for the disk here holds up the writer, and no reader.
        if let Some(merge) = merge.take() {
            let ended = merge.join();
            ended.map_err(|_| Error::Broken("merging the index panicked".into()))??;
        }
        let mut layers = self.layers.write();
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
        self.find(|layer| layer.units.get(key).cloned(), |tables| tables.counted(key))
    }

    /// What a unit comes to.
    pub(crate) fn unit(&self, unit: Address) -> Result<Unit, Error> {
        let (key, issuer) = (unit.digest(), account_key(&AccountId { unit, address: unit }));
        // Both at one moment: a batch is seen whole.
        let (counted, account) = {
            let layers = self.layers();
            let counted = layers.find(|layer| layer.units.get(key).cloned());
            (counted, layers.find(|layer| layer.accounts.get(&issuer).cloned()))
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
        for key in self.tables.members_in(range).take(most) {
            found.insert(key?);
        }
        let id = |key| AccountId { unit, address: second(&key) };
        Ok(found.into_iter().skip(skip).take(limit).map(id).collect())
    }

    /// Adds the intent of a block.
    pub(crate) fn write_intent(&self, height: u64, place: Place) {
        let mut layers = self.layers.write();
        layers.newest.intents.insert(height, place);
    }

    /// What is read between two equal answers is of one moment.
    pub(crate) fn moment(&self) -> u64 {
        self.layers().writes
    }

    fn layers(&self) -> RwLockReadGuard<'_, Layers> {
        self.layers.read()
    }

    /// What is known of something: in memory, or else in the tables, which are not
    /// read while the layers are held.
    fn find<T>(
        &self,
        recent: impl Fn(&Layer) -> Option<T>,
        stored: impl FnOnce(&Tables) -> Result<Option<T>, Error>,
    ) -> Result<Option<T>, Error> {
        let recent = self.layers().find(recent);
        recent.map_or_else(|| stored(&self.tables), |found| Ok(Some(found)))
    }

    pub(crate) fn account(&self, id: &AccountId) -> Result<Option<Account>, Error> {
        let key = account_key(id);
        self.find(|layer| layer.accounts.get(&key).cloned(), |tables| tables.account(&key))
    }

    /// A lock, used or not, and whether it is open.
    pub(crate) fn any_lock(&self, pointer: &Pointer) -> Result<Option<(bool, Lock)>, Error> {
        let key = lock_key(pointer);
        self.find(|layer| layer.locks.get(&key).cloned(), |tables| tables.lock(&key))
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
        let range = holders_after(account, after.as_ref());
        let mut recent: BTreeMap<HolderKey, bool> = BTreeMap::new();
        {
            let layers = self.layers();
            // The newer one first: of one lock the newer word counts, and what lies beyond as
            // many open ones as are asked for is not among the first of all.
            for layer in [&layers.newest, &*layers.merging] {
                let mut left = limit;
                for (key, open) in layer.holders.range(range) {
                    if left == 0 {
                        break;
                    }
                    left -= usize::from(*recent.entry(*key).or_insert(*open));
                }
            }
        }
        // Both are in order. No more is read than is asked for.
        let (mut recent, mut found) = (recent.into_iter().peekable(), Vec::new());
        for entry in self.tables.holders_in(range) {
            if found.len() >= limit {
                break;
            }
            let (key, open) = entry?;
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
        self.find(|layer| layer.ious.get(iou).copied(), |tables| tables.record_of(iou))
    }

    pub(crate) fn place(&self, number: u64) -> Result<Option<Place>, Error> {
        self.find(|layer| layer.places.get(&number).copied(), |tables| tables.place(number))
    }

    /// Where the intent of this height is.
    pub(crate) fn intent(&self, height: u64) -> Result<Option<Place>, Error> {
        self.find(|layer| layer.intents.get(&height).copied(), |tables| tables.intent(height))
    }

    /// The height of the last intent in the tables.
    pub(crate) fn last_intent(&self) -> Result<Option<u64>, Error> {
        self.tables.last_intent()
    }

    pub(crate) fn number_of(&self, name: &Hash) -> Result<Option<u64>, Error> {
        self.find(|layer| layer.names.get(name).copied(), |tables| tables.number_of(name))
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
        for entry in self.tables.accounts_in(range).take(most) {
            let (key, account) = entry?;
            found.insert(key, account);
        }
        found.extend(recent);
        let id = |key| AccountId { unit: second(&key), address };
        let page = found.into_iter().skip(skip).take(limit);
        Ok(page.map(|(key, account)| (id(key), account)).collect())
    }
}

impl Drop for Index {
    /// A merge that runs is let finish: the folder must not be used by two.
    fn drop(&mut self) {
        if let Some(merge) = self.merge.lock().take() {
            // What failed there only means a longer replay at the next start.
            let _ = merge.join();
        }
    }
}
