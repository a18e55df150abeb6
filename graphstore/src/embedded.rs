//! The engine that needs nothing installed: one append log that is the truth,
//! and indexes over it that a start can always make again.

mod tip;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};
use webwallet_ledger::account::Balance;
use webwallet_ledger::{Account, AccountId, Address, Hash, Lock, Output, Pointer, Record};

use self::tip::Tip;
use crate::index::{Index, MERGE_ENTRIES};
use crate::log::{Content, Frame, Log, SEGMENT_BYTES};
use crate::store::{
    ANSWER_BYTES, Batch, Committed, Error, Head, Intended, Intent, Loaded, Page, Placed, READS_MAX,
    Store, Stored,
};
use crate::unit::Unit;

/// Graphstore in a directory. One process at a time: its caller holds the lock.
#[derive(Clone)]
pub struct Embedded {
    inner: Arc<Inner>,
}

/// How much goes into one piece.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Bytes of a file of the log.
    pub segment_bytes: u64,
    /// Entries of the index that are kept in memory before they are merged.
    pub merge_entries: usize,
}

impl Default for Sizes {
    fn default() -> Sizes {
        Sizes { segment_bytes: SEGMENT_BYTES, merge_entries: MERGE_ENTRIES }
    }
}

struct Inner {
    log: Log,
    index: Index,
    /// Held by whoever writes, also while the disk is waited for.
    turn: Mutex<()>,
    /// Never held while the disk is waited for: a stalled one must not stall whoever
    /// only asks. It changes in somebody's turn alone.
    tip: Mutex<Tip>,
    /// What a writer was last told, for the commit that follows.
    told: Mutex<Told>,
    /// Lists that may be read at a time, one for each CPU. Each may take the work of ten
    /// thousand records, whoever asks, and what clears needs the same CPUs.
    lists: Arc<Semaphore>,
}

/// What a writer was told, and after which number: while that is the last
/// one, a commit need not look it all up again.
#[derive(Default)]
struct Told {
    number: u64,
    accounts: HashMap<AccountId, Option<Pointer>>,
    /// IOUs that were in no record.
    absent: HashSet<Hash>,
}

impl Embedded {
    /// Opens the store in this directory, making it if it is not there.
    ///
    /// # Errors
    /// The log is damaged before its end or shorter than its index, or a file
    /// cannot be read or written.
    pub fn open(dir: &Path) -> Result<Embedded, Error> {
        Embedded::open_sized(dir, Sizes::default())
    }

    /// The same with other sizes than everybody's: what happens once in a
    /// million payments happens in a test of forty.
    ///
    /// # Errors
    /// As [`Embedded::open`].
    pub fn open_sized(dir: &Path, sizes: Sizes) -> Result<Embedded, Error> {
        let index = Index::open(&dir.join("index"), sizes.merge_entries)?;
        let (synced, known) = (index.synced()?, index.known()?);
        let mut tip = Tip::default();
        // From one record earlier: the last batch's id is known again.
        let from = synced.saturating_sub(1);
        let log = Log::open(&dir.join("log"), sizes.segment_bytes, from, known, |frame| {
            replay(&index, &mut tip, frame)
        })?;
        let turn = Mutex::default();
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let lists = Arc::new(Semaphore::new(cpus));
        let told = Mutex::default();
        let inner = Inner { log, index, turn, tip: Mutex::default(), told, lists };
        // The last intent may be older than what was replayed.
        if tip.head.intent.is_none()
            && let Some(height) = inner.index.last_intent()?
            && let Some(intent) = inner.intent(height)?
        {
            tip.intended(&intent);
        }
        tracing::info!(number = tip.head.number, from, "embedded Graphstore is open");
        *inner.tip.lock() = tip;
        Ok(Embedded { inner: Arc::new(inner) })
    }

    /// Runs something that may take a while off the threads that serve.
    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let inner = self.inner.clone();
        let task = tokio::task::spawn_blocking(move || work(&inner));
        task.await.map_err(|e| Error::Unavailable(format!("a reading task ended early: {e}")))?
    }

    /// The same for what may take long, in its turn; it is told when nobody waits for it
    /// any more.
    async fn list<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner, &Asked) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let ended = |_| Error::Unavailable("the store is closed".into());
        let turn = self.inner.lists.clone().acquire_owned().await.map_err(ended)?;
        let (asked, _waits) = oneshot::channel();
        self.aside(move |inner| {
            let _turn = turn;
            work(inner, &Asked(asked))
        })
        .await
    }
}

/// Somebody who waits for a list, or has gone.
struct Asked(oneshot::Sender<()>);

impl Asked {
    /// Ends what nobody waits for.
    fn still(&self) -> Result<(), Error> {
        match self.0.is_closed() {
            true => Err(Error::Unavailable("nobody waits for it".into())),
            false => Ok(()),
        }
    }
}

/// What there is from a number or a height on, until one is missing: at most `limit`, and
/// about [`ANSWER_BYTES`].
fn in_order<T>(
    from: u64,
    limit: u32,
    read: impl Fn(u64) -> Result<Option<T>, Error>,
    bytes_of: impl Fn(&T) -> usize,
) -> Result<Vec<T>, Error> {
    let (mut found, mut bytes) = (Vec::new(), 0);
    for number in (from..=u64::MAX).take(limit as usize) {
        let Some(next) = read(number)? else { break };
        bytes += bytes_of(&next);
        found.push(next);
        if bytes >= ANSWER_BYTES {
            break;
        }
    }
    Ok(found)
}

/// Takes in a frame of the log.
fn replay(index: &Index, tip: &mut Tip, frame: Frame) -> Result<(), Error> {
    let records = match &frame.content {
        Content::Intents(intents) => {
            for (place, bytes) in intents {
                let intent = Intent::decode(bytes)?;
                index.write_intent(intent.height, *place);
                tip.intended(&intent);
            }
            return Ok(());
        }
        Content::Records(records) => records,
    };
    let mut parsed = Vec::with_capacity(records.len());
    for (number, (place, bytes)) in (frame.first..).zip(records) {
        let record = Record::parse(bytes).map_err(|e| {
            Error::Broken(format!("record {number} of the log cannot be read: {e}"))
        })?;
        if record.number != number {
            return Err(Error::Broken(format!(
                "record {} stands in place of {number}",
                record.number
            )));
        }
        parsed.push((record, *place));
    }
    let entries: Vec<_> = parsed.iter().map(|(record, place)| (record, *place)).collect();
    index.write(&entries)?;
    if let Some((last, _)) = parsed.last() {
        tip.committed(frame.id, last);
    }
    Ok(())
}

impl Inner {
    /// What is read in many steps, as it stood at one moment.
    fn at_one_moment<T>(&self, read: impl Fn() -> Result<T, Error>) -> Result<T, Error> {
        for _ in 0..READS_MAX {
            let moment = self.index.moment();
            let found = read()?;
            if self.index.moment() == moment {
                return Ok(found);
            }
        }
        // More is committed than can be read between: that waits for once.
        let _turn = self.turn.lock();
        read()
    }

    /// What is loaded, and what was told with it.
    fn load(&self, accounts: &[AccountId], ious: &[Hash]) -> Result<(Loaded, Told), Error> {
        // Before anything is looked up: what is told must not be newer than that.
        let mut told = Told { number: self.tip.lock().head.number, ..Told::default() };
        let mut loaded = Loaded::default();
        told.accounts.reserve(accounts.len());
        told.absent.reserve(ious.len());
        loaded.accounts.reserve(accounts.len());
        for id in accounts {
            let account = self.index.account(id)?;
            told.accounts.insert(*id, account.as_ref().map(|account| account.output));
            loaded.accounts.extend(account.map(|account| (*id, account)));
        }
        for iou in ious {
            match self.index.record_of(iou)? {
                Some(record) => drop(loaded.ious.insert(*iou, record)),
                None => drop(told.absent.insert(*iou)),
            }
        }
        Ok((loaded, told))
    }

    fn stored(&self, number: u64) -> Result<Option<Stored>, Error> {
        let Some(place) = self.index.place(number)? else { return Ok(None) };
        let bytes = self.log.read(place)?;
        // A damaged disk must not answer: the name is checked on every read.
        let hash = webwallet_ledger::document::name(&bytes)
            .map_err(|e| Error::Broken(format!("record {number} of the log is damaged: {e}")))?;
        Ok(Some(Stored { number, hash, bytes }))
    }

    fn intent(&self, height: u64) -> Result<Option<Intent>, Error> {
        let Some(place) = self.index.intent(height)? else { return Ok(None) };
        Intent::decode(&self.log.read(place)?).map(Some)
    }

    /// The output that a pointer names, the number of its record, and the output
    /// of its account that it consumed.
    fn output(&self, pointer: Pointer) -> Result<(u64, Output, Option<Pointer>), Error> {
        let lost = || Error::Broken(format!("the output {pointer} cannot be read"));
        let number = self.index.number_of(&pointer.record)?.ok_or_else(lost)?;
        let stored = self.stored(number)?.ok_or_else(lost)?;
        let mut record = Record::parse(&stored.bytes).map_err(|_| lost())?;
        let index = pointer.index as usize;
        if index >= record.outputs.len() {
            return Err(lost());
        }
        let output = record.outputs.swap_remove(index);
        let before = record.spent(&output);
        Ok((number, output, before))
    }

    /// Would this batch spend or number something twice?
    fn is_deposed(&self, head: &Head, batch: &Batch) -> Result<bool, Error> {
        let mut told = std::mem::take(&mut *self.told.lock());
        if told.number != head.number {
            told = Told::default();
        }
        let (mut next, mut ious) = (head.number, HashSet::new());
        let (mut made, mut used) = (HashSet::new(), HashSet::new());
        for record in &batch.records {
            next += 1;
            if record.number != next {
                return Ok(true);
            }
            for iou in &record.inputs {
                let cleared = || self.index.record_of(iou).map(|record| record.is_some());
                if !ious.insert(iou) || (!told.absent.contains(iou) && cleared()?) {
                    return Ok(true);
                }
            }
            for (index, output) in (0..).zip(&record.outputs) {
                let current = match told.accounts.get(&output.account) {
                    Some(pointer) => *pointer,
                    None => self.index.account(&output.account)?.map(|account| account.output),
                };
                if record.spent(output) != current {
                    return Ok(true);
                }
                let pointer = Pointer { record: record.hash, index };
                told.accounts.insert(output.account, Some(pointer));
            }
            for lock in &record.collects {
                let is_open = || self.index.lock(lock).map(|lock| lock.is_some());
                if !used.insert(*lock) || (!made.contains(lock) && !is_open()?) {
                    return Ok(true);
                }
            }
            made.extend(record.locked().map(|(pointer, _)| pointer));
        }
        Ok(false)
    }
}

impl Store for Embedded {
    fn name(&self) -> String {
        format!("embedded {}", env!("CARGO_PKG_VERSION"))
    }

    async fn head(&self) -> Result<Head, Error> {
        let tip = self.inner.tip.lock();
        tip.writable().map(|()| tip.head.clone())
    }

    async fn settled(&self) -> Result<Head, Error> {
        self.aside(|inner| {
            let _turn = inner.turn.lock();
            let tip = inner.tip.lock();
            tip.writable().map(|()| tip.head.clone())
        })
        .await
    }

    async fn load(&self, accounts: &[AccountId], ious: &[Hash]) -> Result<Loaded, Error> {
        // Readers ask for one or the other; only a writer, on a thread of its own, is about to
        // commit.
        if accounts.is_empty() || ious.is_empty() {
            let (accounts, ious) = (accounts.to_vec(), ious.to_vec());
            return self.aside(move |inner| Ok(inner.load(&accounts, &ious)?.0)).await;
        }
        let (loaded, told) = self.inner.load(accounts, ious)?;
        *self.inner.told.lock() = told;
        Ok(loaded)
    }

    async fn locks(&self, pointers: &[Pointer]) -> Result<HashMap<Pointer, Lock>, Error> {
        let mut locks = HashMap::new();
        for pointer in pointers {
            locks.extend(self.inner.index.lock(pointer)?.map(|lock| (*pointer, lock)));
        }
        Ok(locks)
    }

    async fn locks_of(
        &self,
        account: AccountId,
        after: Option<Pointer>,
        limit: u32,
    ) -> Result<Vec<(Pointer, Lock)>, Error> {
        self.list(move |inner, _| {
            let mut found = Vec::new();
            for pointer in inner.index.locks_of(&account, after, limit as usize)? {
                // One that is used meanwhile was open when it was listed: a page with
                // fewer than asked for would be taken for the last one.
                found.extend(inner.index.any_lock(&pointer)?.map(|(_, lock)| (pointer, lock)));
            }
            Ok(found)
        })
        .await
    }

    async fn commit(&self, batch: &Batch) -> Result<Committed, Error> {
        let _turn = self.inner.turn.lock();
        let head = {
            let tip = self.inner.tip.lock();
            tip.writable()?;
            if tip.batch == Some(batch.id) {
                return Ok(Committed::Yes);
            }
            tip.head.clone()
        };
        let Some(last) = batch.records.last() else { return Ok(Committed::Deposed) };
        if self.inner.is_deposed(&head, batch)? {
            return Ok(Committed::Deposed);
        }
        let written = self.inner.log.append(batch).and_then(|places| {
            let entries: Vec<(&Record, _)> =
                batch.records.iter().map(|r| &**r).zip(places).collect();
            self.inner.index.write(&entries)
        });
        let mut tip = self.inner.tip.lock();
        tip.written(written)?;
        tip.committed(batch.id, last);
        Ok(Committed::Yes)
    }

    async fn numbered(&self, number: u64) -> Result<Option<Stored>, Error> {
        self.aside(move |inner| inner.stored(number)).await
    }

    async fn named(&self, hash: Hash) -> Result<Option<Stored>, Error> {
        self.aside(move |inner| match inner.index.number_of(&hash)? {
            Some(number) => inner.stored(number),
            None => Ok(None),
        })
        .await
    }

    async fn cleared(&self, after: u64, limit: u32) -> Result<Vec<Stored>, Error> {
        self.aside(move |inner| {
            let bytes = |stored: &Stored| stored.bytes.len();
            in_order(after.saturating_add(1), limit, |number| inner.stored(number), bytes)
        })
        .await
    }

    async fn accounts(
        &self,
        address: Address,
        after: Option<Address>,
        skip: u64,
        limit: u32,
    ) -> Result<Vec<(AccountId, Account)>, Error> {
        self.list(move |inner, _| {
            let skip = usize::try_from(skip).unwrap_or(usize::MAX);
            inner.index.accounts(address, after, skip, limit as usize)
        })
        .await
    }

    async fn unit(&self, unit: Address) -> Result<Unit, Error> {
        self.aside(move |inner| inner.index.unit(unit)).await
    }

    async fn holders(
        &self,
        unit: Address,
        after: Option<Address>,
        skip: u64,
        limit: u32,
    ) -> Result<Vec<(Address, Balance)>, Error> {
        self.list(move |inner, asked| {
            let skip = usize::try_from(skip).unwrap_or(usize::MAX);
            let holder = |id: AccountId| {
                let account = inner.index.account(&id)?.ok_or_else(|| {
                    Error::Broken(format!("the account {id} is not in the index of accounts"))
                })?;
                Ok((id.address, account.balance))
            };
            inner.at_one_moment(|| {
                asked.still()?;
                let ids = inner.index.members(unit, after, skip, limit as usize)?;
                ids.into_iter().map(holder).collect()
            })
        })
        .await
    }

    async fn outputs(&self, account: AccountId, page: Page) -> Result<Vec<Placed>, Error> {
        self.list(move |inner, asked| {
            let mut next = match page.before {
                0 => inner.index.account(&account)?.map(|account| account.output),
                number => inner.stored(number)?.and_then(|stored| {
                    let record = Record::parse(&stored.bytes).ok()?;
                    let outputs = &mut record.outputs.iter();
                    record.spent(outputs.find(|output| output.account == account)?)
                }),
            };
            let (mut skip, mut placed) = (page.skip, Vec::new());
            while let Some(pointer) = next
                && placed.len() < page.limit as usize
            {
                asked.still()?;
                let (number, output, before) = inner.output(pointer)?;
                next = before;
                match skip {
                    0 => placed.push(Placed { pointer, output, number }),
                    _ => skip -= 1,
                }
            }
            Ok(placed)
        })
        .await
    }

    async fn intend(&self, intents: &[Intent], quiet: bool) -> Result<Intended, Error> {
        let intents = intents.to_vec();
        self.aside(move |inner| {
            let _turn = inner.turn.lock();
            let mut after = {
                let tip = inner.tip.lock();
                tip.writable()?;
                tip.clone()
            };
            let number = after.head.number;
            let (mut stored, mut heights, mut new) = (Vec::new(), Vec::new(), Vec::new());
            for intent in intents {
                if let Some(earlier) = inner.intent(intent.height)? {
                    stored.push(earlier);
                    continue;
                }
                if let Some(why) = intent.refusal(quiet, &after.head, after.sealed) {
                    return Ok(Intended::Refused(why));
                }
                after.intended(&intent);
                heights.push(intent.height);
                new.push(intent.encode());
                stored.push(intent);
            }
            if new.is_empty() {
                return Ok(Intended::Stored(stored));
            }
            let written = inner.log.append_intents(&new, number + 1);
            let mut tip = inner.tip.lock();
            for (height, place) in heights.into_iter().zip(tip.written(written)?) {
                inner.index.write_intent(height, place);
            }
            *tip = after;
            Ok(Intended::Stored(stored))
        })
        .await
    }

    async fn intents(&self, from: u64, limit: u32) -> Result<Vec<Intent>, Error> {
        self.aside(move |inner| {
            let bytes = |intent: &Intent| {
                intent.block.len() + intent.documents.iter().map(Bytes::len).sum::<usize>()
            };
            in_order(from, limit, |height| inner.intent(height), bytes)
        })
        .await
    }

    /// Keeps everything: outputs are read from the records.
    async fn trim(&self, _: u64) -> Result<(), Error> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
