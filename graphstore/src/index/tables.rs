//! What the index has on disk: sorted tables, and the form of their values.

use std::path::Path;
use std::sync::Arc;

use fjall::compaction::Leveled;
use fjall::config::CompressionPolicy;
use fjall::{
    CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode, UserKey, UserValue,
};
use webwallet_ledger::account::Balance;
use webwallet_ledger::{Account, Amount, Hash, Lock, Pointer, RecordOf};

use super::key::{AccountKey, HolderKey, LockKey, MemberKey, Range, UnitKey};
use super::{Counted, Layer};
use crate::log::Place;
use crate::store::Error;
use crate::unit::Totals;

/// Small tables keep a compaction, which holds what it rewrites in memory, small.
const TABLE_BYTES: u64 = 2 << 20;
/// Blocks kept in memory for reads.
const CACHE_BYTES: u64 = 8 << 20;
const OPEN_FILES_MAX: usize = 256;

/// The tables. Each has what [`Layer`] says of its namesake.
#[derive(Clone)]
pub(super) struct Tables {
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

pub(super) fn damaged(what: &str) -> Error {
    Error::Broken(format!(
        "an entry of the index of {what} is damaged; delete the folder `index` to have it rebuilt from the log"
    ))
}

impl Tables {
    /// Opens the tables of this folder, or makes them: aside first, and then under
    /// their name. fjall (3.1) cannot open what a process killed in the middle of
    /// making it has left.
    pub(super) fn open(dir: &Path) -> Result<Tables, Error> {
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

    /// The last record up to which all tables are known to be complete.
    pub(super) fn complete(&self) -> Result<u64, Error> {
        Ok(find(&self.marks, COMPLETE, "marks", read_number)?.unwrap_or(0))
    }

    pub(super) fn account(&self, key: &AccountKey) -> Result<Option<Account>, Error> {
        find(&self.accounts, key, "accounts", read_account)
    }

    pub(super) fn record_of(&self, iou: &Hash) -> Result<Option<RecordOf>, Error> {
        find(&self.ious, iou.0, "IOUs", read_record_of)
    }

    pub(super) fn number_of(&self, name: &Hash) -> Result<Option<u64>, Error> {
        find(&self.names, name.0, "names", read_number)
    }

    pub(super) fn place(&self, number: u64) -> Result<Option<Place>, Error> {
        find(&self.places, number.to_be_bytes(), "places", read_place)
    }

    pub(super) fn last_place(&self) -> Result<Option<u64>, Error> {
        last(&self.places, "places")
    }

    pub(super) fn intent(&self, height: u64) -> Result<Option<Place>, Error> {
        find(&self.intents, height.to_be_bytes(), "intents", read_place)
    }

    pub(super) fn last_intent(&self) -> Result<Option<u64>, Error> {
        last(&self.intents, "intents")
    }

    pub(super) fn lock(&self, key: &LockKey) -> Result<Option<(bool, Lock)>, Error> {
        find(&self.locks, key, "locks", read_lock)
    }

    pub(super) fn counted(&self, key: &UnitKey) -> Result<Option<Counted>, Error> {
        find(&self.units, key, "units", read_counted)
    }

    pub(super) fn accounts_in(
        &self,
        range: Range<AccountKey>,
    ) -> impl Iterator<Item = Result<(AccountKey, Account), Error>> {
        self.accounts.range(range).map(|entry| {
            let (key, value) = entry.into_inner()?;
            let entry = key.as_ref().try_into().ok().zip(read_account(&value));
            entry.ok_or_else(|| damaged("accounts"))
        })
    }

    pub(super) fn members_in(
        &self,
        range: Range<MemberKey>,
    ) -> impl Iterator<Item = Result<MemberKey, Error>> {
        self.members
            .range(range)
            .map(|entry| entry.key()?.as_ref().try_into().map_err(|_| damaged("members")))
    }

    pub(super) fn holders_in(
        &self,
        range: Range<HolderKey>,
    ) -> impl Iterator<Item = Result<(HolderKey, bool), Error>> {
        self.holders.range(range).map(|entry| {
            let (key, open) = entry.into_inner()?;
            let entry = key.as_ref().try_into().ok().zip(open.first().map(|open| *open == 1));
            entry.ok_or_else(|| damaged("holders"))
        })
    }

    /// Writes a layer to disk and marks its last record.
    pub(super) fn merge(&self, layer: &Layer) -> Result<(), Error> {
        let Layer { accounts, ious, names, places, intents, locks, holders, members, units } =
            layer;
        ingest(&self.accounts, accounts.iter().map(|(key, a)| (*key, Some(write_account(a)))))?;
        ingest(&self.ious, ious.iter().map(|(iou, r)| (iou.0, Some(write_record_of(r)))))?;
        ingest(&self.names, names.iter().map(|(name, n)| (name.0, Some(n.to_be_bytes()))))?;
        ingest(&self.places, places.iter().map(|(n, p)| (n.to_be_bytes(), Some(write_place(p)))))?;
        ingest(
            &self.intents,
            intents.iter().map(|(h, p)| (h.to_be_bytes(), Some(write_place(p)))),
        )?;
        ingest(&self.locks, locks.iter().map(|(key, lock)| (*key, Some(write_lock(lock)))))?;
        // Lists of what is open do not walk over all that ever was.
        ingest(&self.holders, holders.iter().map(|(key, open)| (*key, open.then_some([1]))))?;
        ingest(&self.members, members.iter().map(|key| (*key, Some([]))))?;
        ingest(&self.units, units.iter().map(|(key, unit)| (*key, Some(write_counted(unit)))))?;
        // Tables are synced when they are finished; the mark comes after them.
        if let Some((last, _)) = places.last_key_value() {
            self.marks.insert(COMPLETE, last.to_be_bytes())?;
            self.db.persist(PersistMode::SyncAll)?;
        }
        Ok(())
    }
}

/// Adds entries to a table as one piece, in the order of their keys; one without a value
/// takes out what stands there.
fn ingest<K: Into<UserKey>, V: Into<UserValue>>(
    table: &Keyspace,
    entries: impl Iterator<Item = (K, Option<V>)>,
) -> Result<(), Error> {
    let mut ingestion = table.start_ingestion()?;
    for (key, value) in entries {
        match value {
            Some(value) => ingestion.write(key, value)?,
            None => ingestion.write_tombstone(key)?,
        }
    }
    Ok(ingestion.finish()?)
}

/// What stands in a table under this key; where it cannot be read, that table is named.
fn find<T>(
    table: &Keyspace,
    key: impl AsRef<[u8]>,
    name: &str,
    read: impl Fn(&[u8]) -> Option<T>,
) -> Result<Option<T>, Error> {
    let Some(value) = table.get(key)? else { return Ok(None) };
    read(&value).map(Some).ok_or_else(|| damaged(name))
}

/// The last key of a table whose keys are numbers.
fn last(table: &Keyspace, name: &str) -> Result<Option<u64>, Error> {
    let Some(last) = table.last_key_value() else { return Ok(None) };
    read_number(&last.key()?).map(Some).ok_or_else(|| damaged(name))
}

fn read_number(value: &[u8]) -> Option<u64> {
    value.try_into().ok().map(u64::from_be_bytes)
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

fn read_account(value: &[u8]) -> Option<Account> {
    let (record, rest) = value.split_first_chunk()?;
    let (index, rest) = rest.split_first_chunk()?;
    let output = Pointer { record: Hash(*record), index: u32::from_be_bytes(*index) };
    let mut texts = std::str::from_utf8(rest).ok()?.split('\n');
    let balance = Balance::from_texts(texts.next()?, texts.next()?, texts.next()?).ok()?;
    Some(Account { balance, output })
}

/// Number, inputs, name.
fn write_record_of(record: &RecordOf) -> [u8; 44] {
    let mut value = [0; 44];
    value[..8].copy_from_slice(&record.number.to_be_bytes());
    value[8..12].copy_from_slice(&record.inputs.to_be_bytes());
    value[12..].copy_from_slice(&record.hash.0);
    value
}

fn read_record_of(value: &[u8]) -> Option<RecordOf> {
    let (number, rest) = value.split_first_chunk()?;
    let (inputs, hash) = rest.split_first_chunk()?;
    Some(RecordOf {
        number: u64::from_be_bytes(*number),
        inputs: u32::from_be_bytes(*inputs),
        hash: Hash::from_slice(hash)?,
    })
}

fn write_place(place: &Place) -> [u8; 24] {
    let mut value = [0; 24];
    value[..8].copy_from_slice(&place.segment.to_be_bytes());
    value[8..16].copy_from_slice(&place.offset.to_be_bytes());
    value[16..20].copy_from_slice(&place.length.to_be_bytes());
    value[20..].copy_from_slice(&place.sum.to_be_bytes());
    value
}

fn read_place(value: &[u8]) -> Option<Place> {
    let value: [u8; 24] = value.try_into().ok()?;
    let wide = |from: usize| u64::from_be_bytes(std::array::from_fn(|i| value[from + i]));
    let narrow = |from: usize| u32::from_be_bytes(std::array::from_fn(|i| value[from + i]));
    Some(Place { segment: wide(0), offset: wide(8), length: narrow(16), sum: narrow(20) })
}

/// Is it open, then the lock as documents write it.
fn write_lock((open, lock): &(bool, Lock)) -> Vec<u8> {
    let mut value = vec![u8::from(*open)];
    lock.write(&mut value);
    value
}

fn read_lock(value: &[u8]) -> Option<(bool, Lock)> {
    let (open, lock) = value.split_first()?;
    Some((*open == 1, Lock::parse(lock).ok()?))
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
