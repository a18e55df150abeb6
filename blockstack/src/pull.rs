//! Taking in what has cleared, and asking stores until they answer.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tonic::{Code, Status};
use webwallet_ledger::Record;
use webwallet_ledger::block::{BLOCK_BYTES_MAX, BLOCK_RECORDS_MAX};
use webwallet_proto::graphstore::v1::{Intent, StatusReply};

use crate::chain::Entry;
use crate::guard;
use crate::remote::{Records, record};
use crate::sealing::{LOOK_EVERY, Sealing, Stop};
use crate::store::Store;

/// What failed is tried again after this long, then twice as long, and so on.
const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_secs(1);

impl<S: Store> Sealing<S> {
    /// Takes what has cleared, up to a number, until a block is full.
    pub(crate) async fn pull(&mut self, upto: u64) -> Result<(), Stop> {
        if self.looked.elapsed() >= LOOK_EVERY {
            self.look_back().await?;
        }
        loop {
            let after = self.chain.cleared() + self.waiting.len() as u64;
            let room = BLOCK_RECORDS_MAX.saturating_sub(self.waiting.len() as u64);
            let limit = room.min(upto.saturating_sub(after));
            if limit == 0 || self.is_full() {
                return Ok(());
            }
            let asked = Instant::now();
            let records = self.records(after, limit).await?;
            if records.is_empty() {
                self.drained = asked;
                return Ok(());
            }
            if self.waiting.is_empty() {
                // They came in since nothing more was there.
                self.since = self.drained;
            }
            self.waiting.extend(records);
        }
    }

    /// Graphstore may have been restored from a backup under a living log: what it
    /// clears then was spent before.
    pub(crate) async fn look_back(&mut self) -> Result<(), Stop> {
        // Hashtable first: gateways clear meanwhile, and what it has Graphstore had before.
        let (stored, status) = (self.stored().await?, self.graphstore().await?);
        self.looked = Instant::now();
        self.reader.forget_past();
        let number = stored.max(self.chain.cleared() + self.waiting.len() as u64);
        let height = self.chain.last.as_ref().map(|last| last.height);
        if status.number >= number && status.intent_height >= height {
            return self.compare_newest(stored, self.chain.cleared()).await;
        }
        let blocks = |height: Option<u64>| height.map_or(0, |height| height + 1);
        Err(Stop::Apart(format!(
            "Graphstore has gone back: it has {} records and {} blocks, {number} and {} were there; restore the newer one, or move it aside and run `webwallet rebuild graphstore`",
            status.number,
            blocks(status.intent_height),
            blocks(height)
        )))
    }

    /// Where Graphstore stands.
    pub(crate) async fn graphstore(&self) -> Result<StatusReply, Stop> {
        self.patiently("Graphstore", || self.remote.status()).await
    }

    /// The highest number of a record in Hashtable.
    pub(crate) async fn stored(&self) -> Result<u64, Stop> {
        self.patiently("Hashtable", || self.remote.stored()).await
    }

    /// The names of records after a number in Hashtable, up to the first that is missing.
    pub(crate) async fn names(&self, after: u64, limit: u64) -> Result<Vec<Bytes>, Stop> {
        let what = "asking which records are stored";
        self.patiently(what, || self.remote.names(after, limit)).await
    }

    /// Graphstore's intents from a height on.
    pub(crate) async fn intents(&self, from: u64, limit: u32) -> Result<Vec<Intent>, Stop> {
        self.patiently("reading intents", || self.remote.intents(from, limit)).await
    }

    /// Records after a number, in order.
    pub(crate) async fn records(&self, after: u64, limit: u64) -> Result<Vec<Entry>, Stop> {
        let what = "reading cleared records";
        let records = match self.patiently(what, || self.remote.records(after, limit)).await? {
            Records::Made(records) => records.to_vec(),
            Records::Bytes(all) => (after + 1..).zip(&all).map(parsed).collect::<Result<_, _>>()?,
        };
        let mut entries = Vec::with_capacity(records.len());
        for (number, record) in (after + 1..).zip(records) {
            if record.number != number {
                return Err(Stop::ReadOnly(format!(
                    "Graphstore answers record {} where {number} belongs; run `webwallet rebuild graphstore`",
                    record.number
                )));
            }
            entries.push(Entry::new(record));
        }
        Ok(entries)
    }

    /// Puts into Hashtable what is not there of the records of the next block.
    /// Nearly all are: gateways answer nobody before.
    pub(crate) async fn store(&self, records: &[Entry]) -> Result<(), Stop> {
        let mut rest = records;
        while let Some(first) = rest.first() {
            let (after, count) = (first.record.number - 1, rest.len() as u64);
            let names = self.names(after, count).await?;
            let is_named = |(entry, name): &(&Entry, &Bytes)| entry.record.hash.0 == name[..];
            let stored = rest.iter().zip(&names).take_while(is_named).count();
            if let Some(other) = rest.get(stored).filter(|_| stored < names.len()) {
                let (number, sealed) = (other.record.number, self.chain.cleared());
                return Err(Stop::Apart(guard::two_histories(number, sealed)));
            }
            if stored == 0 {
                let documents = || rest.iter().map(|entry| record(&entry.record)).collect();
                return self.patiently("storing records", || self.remote.put(documents())).await;
            }
            rest = &rest[stored..];
        }
        Ok(())
    }

    /// Is there enough for a whole block?
    pub(crate) fn is_full(&self) -> bool {
        let bytes: usize = self.waiting.iter().map(|entry| entry.record.bytes.len()).sum();
        self.waiting.len() as u64 >= BLOCK_RECORDS_MAX || bytes >= BLOCK_BYTES_MAX
    }

    /// The records of the next block.
    pub(crate) fn take(&mut self) -> Vec<Entry> {
        let mut bytes = 0;
        let fits = self.waiting.iter().take(BLOCK_RECORDS_MAX as usize).take_while(|entry| {
            bytes += entry.record.bytes.len();
            bytes <= BLOCK_BYTES_MAX
        });
        let count = fits.count();
        self.since = Instant::now();
        self.waiting.drain(..count).collect()
    }

    /// Does anybody still need what this thread does?
    pub(crate) fn still_needed(&self) -> Result<(), Stop> {
        if *self.ended.borrow() { Err(Stop::Ended) } else { Ok(()) }
    }

    /// Tries until it succeeds, nobody needs it any more, a store says that trying is of
    /// no use, or as often as it may.
    pub(crate) async fn patiently<T, A>(
        &self,
        what: &str,
        attempt: impl Fn() -> A,
    ) -> Result<T, Stop>
    where
        A: Future<Output = Result<T, Status>>,
    {
        let (mut wait, mut failed, mut said) = (RETRY_FIRST, 0, String::new());
        loop {
            let status = match attempt().await {
                Ok(done) => {
                    if failed > 0 {
                        tracing::info!(what, "done at last");
                        self.reader.view.send_modify(|view| view.trouble = None);
                    }
                    return Ok(done);
                }
                Err(status) => status,
            };
            if matches!(
                status.code(),
                Code::FailedPrecondition | Code::InvalidArgument | Code::OutOfRange
            ) {
                return Err(Stop::Refused(status));
            }
            let trouble = format!("{what}: {}", status.message());
            if trouble != said {
                tracing::warn!(trouble, "trying again");
                said.clone_from(&trouble);
            }
            failed += 1;
            if self.tries_max.is_some_and(|max| failed >= max) {
                return Err(Stop::Failed(trouble));
            }
            self.reader.view.send_modify(|view| view.trouble = Some(trouble));
            let mut ended = self.ended.clone();
            tokio::select! {
                _ = ended.wait_for(|ended| *ended) => return Err(Stop::Ended),
                () = tokio::time::sleep(wait) => {}
            }
            wait = (wait * 2).min(RETRY_MAX);
        }
    }
}

fn parsed((number, bytes): (u64, &Bytes)) -> Result<Arc<Record>, Stop> {
    Record::parse(bytes).map(Arc::new).map_err(|why| {
        Stop::ReadOnly(format!("record {number} of Graphstore cannot be read: {why}; run `webwallet rebuild graphstore`"))
    })
}
