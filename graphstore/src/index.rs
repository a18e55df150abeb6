//! The indexes of the embedded engine: where things are in the log, and what
//! the last record left of every account.
//!
//! They hold nothing that the log does not say, are written after it without a
//! sync, and may therefore come back from a crash older, and unevenly so: one
//! keyspace may have reached the disk further than another. So every entry is
//! an absolute value that depends on one record alone, a mark says up to which
//! record *all* entries were synced, and opening replays the log from there.

use std::path::Path;
use std::sync::Arc;

use fjall::compaction::Leveled;
use fjall::config::CompressionPolicy;
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use webwallet_ledger::account::Balance;
use webwallet_ledger::clear::RecordOf;
use webwallet_ledger::{Account, AccountId, Address, Hash, Pointer, Record};

use crate::log::Place;
use crate::store::Error;

/// Records between two syncs of the indexes: how much a start replays.
const SYNC_RECORDS: u64 = 8_192;
/// Memory a keyspace fills before it is written out.
const MEMTABLE_BYTES: u64 = 4 << 20;
/// Small tables keep a compaction, which holds what it rewrites in memory, small.
const TABLE_BYTES: u64 = 2 << 20;
/// Blocks kept in memory for reads.
const CACHE_BYTES: u64 = 8 << 20;

pub(crate) struct Index {
    db: Database,
    /// address, unit -> the account's current output and balance.
    accounts: Keyspace,
    /// address, unit, number -> index of the output in that record.
    chains: Keyspace,
    /// IOU -> its record.
    ious: Keyspace,
    /// number -> place in the log.
    places: Keyspace,
    /// Name of a record -> its number.
    names: Keyspace,
    /// `synced` -> last record whose entries are all on disk.
    marks: Keyspace,
}

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
    pub(crate) fn open(dir: &Path) -> Result<Index, Error> {
        let db = Database::builder(dir)
            .cache_size(CACHE_BYTES)
            // Hashes do not compress, and everything is measured by its CPU.
            .journal_compression(CompressionType::None)
            .manual_journal_persist(true)
            .max_journaling_size(64 << 20)
            .worker_threads(1)
            .open()?;
        let options = || {
            let compaction = Leveled::default().with_table_target_size(TABLE_BYTES);
            KeyspaceCreateOptions::default()
                .max_memtable_size(MEMTABLE_BYTES)
                .data_block_compression_policy(CompressionPolicy::disabled())
                .compaction_strategy(Arc::new(compaction))
        };
        let open = |name: &str| db.keyspace(name, options);
        Ok(Index {
            accounts: open("accounts")?,
            chains: open("chains")?,
            ious: open("ious")?,
            places: open("places")?,
            names: open("names")?,
            marks: open("marks")?,
            db,
        })
    }

    /// The last record whose entries are all known to be on disk.
    pub(crate) fn synced(&self) -> Result<u64, Error> {
        let mark = self.marks.get("synced")?;
        mark.map_or(Ok(0), |mark| {
            mark.as_ref().try_into().map(u64::from_be_bytes).map_err(|_| damaged("marks"))
        })
    }

    /// Writes the entries of records that follow one another.
    pub(crate) fn write(&self, records: &[(&Record, Place)]) -> Result<(), Error> {
        let mut batch = self.db.batch();
        for (record, place) in records {
            for (index, output) in (0u32..).zip(&record.outputs) {
                let key = account_key(&output.account);
                let pointer = Pointer { record: record.hash, index };
                let account = Account { balance: output.balance.clone(), output: pointer };
                batch.insert(&self.accounts, &key[..], write_account(&account));
                batch.insert(
                    &self.chains,
                    &chain_key(&output.account, record.number)[..],
                    index.to_be_bytes(),
                );
            }
            let mut at = [0; 44];
            at[..8].copy_from_slice(&record.number.to_be_bytes());
            at[8..12].copy_from_slice(&(record.inputs.len() as u32).to_be_bytes());
            at[12..].copy_from_slice(&record.hash.0);
            for iou in &record.inputs {
                batch.insert(&self.ious, iou.0, at);
            }
            let mut value = [0; 20];
            value[..8].copy_from_slice(&place.segment.to_be_bytes());
            value[8..16].copy_from_slice(&place.offset.to_be_bytes());
            value[16..].copy_from_slice(&place.length.to_be_bytes());
            batch.insert(&self.places, record.number.to_be_bytes(), value);
            batch.insert(&self.names, record.hash.0, record.number.to_be_bytes());
        }
        batch.commit()?;
        let numbers = |at: Option<&(&Record, Place)>| at.map_or(0, |(record, _)| record.number);
        let (first, last) = (numbers(records.first()), numbers(records.last()));
        if (first - 1) / SYNC_RECORDS != last / SYNC_RECORDS {
            self.sync(last)?;
        }
        Ok(())
    }

    /// Syncs all entries, then marks this record as the last of them.
    pub(crate) fn sync(&self, number: u64) -> Result<(), Error> {
        self.db.persist(PersistMode::SyncData)?;
        self.marks.insert("synced", number.to_be_bytes())?;
        Ok(())
    }

    pub(crate) fn account(&self, id: &AccountId) -> Result<Option<Account>, Error> {
        let value = self.accounts.get(account_key(id))?;
        value.map(|value| read_account(&value)).transpose()
    }

    pub(crate) fn record_of(&self, iou: &Hash) -> Result<Option<RecordOf>, Error> {
        let Some(value) = self.ious.get(iou.0)? else { return Ok(None) };
        let value: &[u8; 44] = value.as_ref().try_into().map_err(|_| damaged("IOUs"))?;
        let [n0, n1, n2, n3, n4, n5, n6, n7, i0, i1, i2, i3, hash @ ..] = *value;
        Ok(Some(RecordOf {
            number: u64::from_be_bytes([n0, n1, n2, n3, n4, n5, n6, n7]),
            inputs: u32::from_be_bytes([i0, i1, i2, i3]),
            hash: Hash(hash),
        }))
    }

    pub(crate) fn place(&self, number: u64) -> Result<Option<Place>, Error> {
        let Some(value) = self.places.get(number.to_be_bytes())? else { return Ok(None) };
        let value: [u8; 20] = value.as_ref().try_into().map_err(|_| damaged("places"))?;
        let part = |from: usize| u64::from_be_bytes(std::array::from_fn(|i| value[from + i]));
        let length = u32::from_be_bytes(std::array::from_fn(|i| value[16 + i]));
        Ok(Some(Place { segment: part(0), offset: part(8), length }))
    }

    pub(crate) fn number_of(&self, name: &Hash) -> Result<Option<u64>, Error> {
        let Some(value) = self.names.get(name.0)? else { return Ok(None) };
        let number = value.as_ref().try_into().map_err(|_| damaged("names"))?;
        Ok(Some(u64::from_be_bytes(number)))
    }

    /// Accounts of an address in units after this one.
    pub(crate) fn accounts(
        &self,
        address: Address,
        after: Option<Address>,
        limit: usize,
    ) -> Result<Vec<(AccountId, Account)>, Error> {
        let from = account_key(&AccountId { unit: after.unwrap_or(address), address });
        let mut range = match after {
            Some(_) => self.accounts.range((
                std::ops::Bound::Excluded(from.to_vec()),
                std::ops::Bound::Included(last_of(address)),
            )),
            None => self.accounts.prefix(address.digest()),
        };
        let mut found = Vec::new();
        while found.len() < limit
            && let Some(entry) = range.next()
        {
            let (key, value) = entry.into_inner()?;
            let unit: [u8; 20] = key
                .get(20..)
                .and_then(|unit| unit.try_into().ok())
                .ok_or_else(|| damaged("accounts"))?;
            let id = AccountId { unit: Address::from_digest(unit), address };
            found.push((id, read_account(&value)?));
        }
        Ok(found)
    }

    /// Numbers and output indexes of an account's chain, newest first.
    pub(crate) fn chain(
        &self,
        account: &AccountId,
        before: u64,
        skip: usize,
        limit: usize,
    ) -> Result<Vec<(u64, u32)>, Error> {
        let before = if before == 0 { u64::MAX } else { before };
        let range = self.chains.range(chain_key(account, 0)..chain_key(account, before));
        let mut found = Vec::new();
        for entry in range.rev().skip(skip).take(limit) {
            let (key, value) = entry.into_inner()?;
            let number = key.get(40..).and_then(|n| n.try_into().ok()).map(u64::from_be_bytes);
            let index = value.as_ref().try_into().ok().map(u32::from_be_bytes);
            let (Some(number), Some(index)) = (number, index) else {
                return Err(damaged("chains"));
            };
            found.push((number, index));
        }
        Ok(found)
    }
}

/// Address first, so that the accounts of one holder stand together.
fn account_key(id: &AccountId) -> [u8; 40] {
    let mut key = [0; 40];
    key[..20].copy_from_slice(id.address.digest());
    key[20..].copy_from_slice(id.unit.digest());
    key
}

/// The highest key of an address.
fn last_of(address: Address) -> Vec<u8> {
    let mut key = address.digest().to_vec();
    key.extend_from_slice(&[0xff; 20]);
    key
}

fn chain_key(id: &AccountId, number: u64) -> [u8; 48] {
    let mut key = [0; 48];
    key[..40].copy_from_slice(&account_key(id));
    key[40..].copy_from_slice(&number.to_be_bytes());
    key
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
