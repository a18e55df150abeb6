//! Sealing: the one place where blocks are made, signed and published.
//!
//! It pulls what has cleared from Graphstore by number; its cursor is its own
//! last block, so the two cannot disagree. The order of writes of each block:
//! records into Hashtable, what the block will be into Graphstore (the intent,
//! once for each height), tiles and entry bundles, the signed checkpoint, and
//! then Graphstore may drop the records' bytes. Each is durable before the next
//! begins and may be repeated, so whatever ends the process, the next one finds
//! the intent and writes the same bytes: see `recover.rs`.
//!
//! It runs on a thread of its own that may block, and nobody can cancel it.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};
use tonic::{Code, Status};
use webwallet_ledger::Time;
use webwallet_ledger::block::{BLOCK_BYTES_MAX, BLOCK_RECORDS_MAX, Block, Genesis};
use webwallet_ledger::checkpoint::Checkpoint;
use webwallet_ledger::leaf::Leaf;
use webwallet_ledger::merkle::{Sha256, TreeHash as _};
use webwallet_ledger::{Hash, Record, note};
use webwallet_proto::graphstore::v1::Intent;

use crate::chain::{Chain, Entry, Parts};
use crate::index::Place;
use crate::key::LogKey;
use crate::log::Edge;
use crate::reader::Reader;
use crate::remote::{Remote, document};
use crate::store::{Files, Head, Published};
use crate::view;

/// How often Graphstore is asked for new records. In one process a question
/// costs some 30 us, so this is nothing while nothing happens.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// What failed is tried again after this long, then twice as long, and so on.
const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// When blocks are made.
#[derive(Debug, Clone, Copy)]
pub enum Seal {
    /// So long after the first record of a block came in, and without records
    /// once in `quiet`.
    Interval {
        /// Of a block with records; 200 ms.
        records: Duration,
        /// Between blocks without records; 10 minutes.
        quiet: Duration,
    },
    /// Only when asked to: for tests that want the same blocks every time.
    Manual,
}

impl Default for Seal {
    fn default() -> Seal {
        Seal::Interval { records: Duration::from_millis(200), quiet: Duration::from_secs(10 * 60) }
    }
}

/// Asked of the sealing thread.
pub(crate) enum Command {
    Seal { stack: bool, answer: oneshot::Sender<Result<Made, Status>> },
    Rotate { answer: oneshot::Sender<Result<Made, Status>> },
}

/// What a command made.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Made {
    pub(crate) blocks: u64,
    pub(crate) records: u64,
    /// Height of the block that changed the log key.
    pub(crate) changed: Option<u64>,
}

/// Why sealing ends.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Nobody needs it any more.
    Ended,
    /// It must not go on: why, for the operator.
    ReadOnly(String),
    /// A store says that a question made no sense.
    Refused(Status),
}

/// What a block should begin with, beside what the rules ask for.
#[derive(Debug, Clone, Copy, Default)]
struct Wish {
    stack: bool,
    change_key: bool,
}

pub(crate) struct Sealing<S> {
    pub(crate) reader: Arc<Reader<S>>,
    pub(crate) remote: Remote,
    pub(crate) key: LogKey,
    pub(crate) seal: Seal,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) ended: watch::Receiver<bool>,
    pub(crate) chain: Chain,
    pub(crate) edge: Edge,
    /// The published checkpoint.
    pub(crate) note: Option<String>,
    /// Blocks before this height are written, but not published: there are later
    /// ones already, and the key that signed these may be gone.
    pub(crate) publish_from: u64,
    /// While the log is rebuilt: what was published, and must come out again.
    pub(crate) rebuilt: Option<Checkpoint>,
    /// Records that are in no block yet; all of them are in Hashtable.
    pub(crate) waiting: VecDeque<Entry>,
    /// When the first of them came in.
    pub(crate) since: Instant,
    pub(crate) snapshot_records: u64,
    /// Last record of the last snapshot.
    pub(crate) snapshot: u64,
}

impl<S: Files + Head> Sealing<S> {
    /// Starts, seals until nobody needs it, and answers commands to the end.
    pub(crate) async fn run(mut self) {
        let mut stop = match self.recover().await {
            Ok(()) => {
                self.reader.view.send_modify(|view| view.started = true);
                match self.go_on().await {
                    Ok(()) => Stop::Ended,
                    Err(stop) => stop,
                }
            }
            Err(stop) => stop,
        };
        if let Stop::Refused(status) = stop {
            stop = Stop::ReadOnly(format!("a store refused: {}", status.message()));
        }
        let Stop::ReadOnly(why) = stop else { return };
        tracing::error!(why, "nothing is sealed any more");
        self.reader.view.send_modify(|view| view.read_only = Some(why.clone()));
        while let Some(command) = self.command().await {
            let (Command::Seal { answer, .. } | Command::Rotate { answer }) = command;
            let _ = answer.send(Err(Status::failed_precondition(why.clone())));
        }
    }

    /// The next command; `None` when nobody needs this any more.
    async fn command(&mut self) -> Option<Command> {
        tokio::select! {
            biased;
            _ = self.ended.wait_for(|ended| *ended) => None,
            command = self.commands.recv() => command,
        }
    }

    async fn go_on(&mut self) -> Result<(), Stop> {
        let mut last = Instant::now();
        let mut behind = false;
        loop {
            let command = match self.seal {
                Seal::Manual => self.command().await.map(Some),
                Seal::Interval { records, .. } => {
                    let due = records.saturating_sub(self.since.elapsed());
                    let wait = match self.waiting.is_empty() {
                        _ if behind => Duration::ZERO,
                        true => POLL_INTERVAL,
                        false => due,
                    };
                    tokio::select! {
                        command = self.command() => command.map(Some),
                        () = tokio::time::sleep(wait.min(POLL_INTERVAL)) => Some(None),
                    }
                }
            };
            match command {
                None => return Ok(()),
                Some(Some(command)) => self.obey(command).await?,
                Some(None) => {}
            }
            let Seal::Interval { records, quiet } = self.seal else { continue };
            self.pull(u64::MAX).await?;
            let is_due = match self.waiting.is_empty() {
                true => last.elapsed() >= quiet,
                false => self.is_full() || self.since.elapsed() >= records,
            };
            // After a full block there may be enough for the next one.
            behind = self.is_full();
            if self.chain.last.is_none() {
                self.begin().await?;
            } else if is_due {
                self.make(Wish::default()).await?;
                last = Instant::now();
            }
        }
    }

    async fn obey(&mut self, command: Command) -> Result<(), Stop> {
        let (wish, answer) = match command {
            Command::Seal { stack, answer } => (Wish { stack, change_key: false }, answer),
            Command::Rotate { answer } => (Wish { stack: false, change_key: true }, answer),
        };
        let outcome = self.seal_all(wish).await;
        let answered = match &outcome {
            Ok(made) => made.clone(),
            Err(Stop::ReadOnly(why)) => Err(Status::failed_precondition(why.clone())),
            Err(_) => Err(Status::unavailable("sealing has ended")),
        };
        // Whoever does not wait any more looks at the status.
        let _ = answer.send(answered);
        outcome.map(drop)
    }

    /// Seals all that has cleared by now, and at least one block.
    async fn seal_all(&mut self, mut wish: Wish) -> Result<Result<Made, Status>, Stop> {
        let status = self.patiently("Graphstore", || self.remote.status()).await?;
        let mut made = Made::default();
        if self.chain.last.is_none() {
            // It asks for no less than what it was asked at.
            while !self.begin().await? {}
            made.blocks += 1;
        }
        if wish.change_key
            && let Some(newest) = self.chain.keys.last()
            && let Err(error) = self.key.prepare(newest)
        {
            return Ok(Err(Status::unavailable(error.to_string())));
        }
        loop {
            self.pull(status.number).await?;
            let wanted = wish.stack || wish.change_key || !self.waiting.is_empty();
            if !wanted && made.blocks > 0 {
                return Ok(Ok(made));
            }
            let height = self.chain.height();
            if let Some(records) = self.make(wish).await? {
                made.changed = made.changed.or(wish.change_key.then_some(height));
                made.blocks += 1;
                made.records += records;
                wish = Wish::default();
            }
        }
    }

    /// Takes what has cleared, up to a number, until a block is full.
    async fn pull(&mut self, upto: u64) -> Result<(), Stop> {
        loop {
            let after = self.chain.cleared() + self.waiting.len() as u64;
            let room = BLOCK_RECORDS_MAX.saturating_sub(self.waiting.len() as u64);
            let limit = room.min(upto.saturating_sub(after));
            if limit == 0 || self.is_full() {
                return Ok(());
            }
            let records = self.records(after, limit).await?;
            if records.is_empty() {
                return Ok(());
            }
            if self.waiting.is_empty() {
                self.since = Instant::now();
            }
            self.waiting.extend(records);
        }
    }

    /// Records after a number, in order, all of them in Hashtable.
    pub(crate) async fn records(&self, after: u64, limit: u64) -> Result<Vec<Entry>, Stop> {
        let what = "reading cleared records";
        let fetched = self.patiently(what, || self.remote.records(after, limit)).await?;
        let mut entries = Vec::with_capacity(fetched.records.len());
        for (number, bytes) in (after + 1..).zip(&fetched.records) {
            let record = Record::parse(bytes).map_err(|why| {
                Stop::ReadOnly(format!("record {number} of Graphstore cannot be read: {why}; run `webwallet rebuild graphstore`"))
            })?;
            if record.number != number {
                return Err(Stop::ReadOnly(format!(
                    "Graphstore answers record {} where {number} belongs; run `webwallet rebuild graphstore`",
                    record.number
                )));
            }
            entries.push(Entry::new(record));
        }
        if !fetched.stored && !entries.is_empty() {
            let documents = || {
                let records = entries.iter().map(|entry| &entry.record);
                records.map(|record| document(record.hash, &record.bytes, record.number)).collect()
            };
            self.patiently("storing records", || self.remote.put(documents())).await?;
        }
        Ok(entries)
    }

    /// Is there enough for a whole block?
    fn is_full(&self) -> bool {
        let bytes: usize = self.waiting.iter().map(|entry| entry.record.bytes.len()).sum();
        self.waiting.len() as u64 >= BLOCK_RECORDS_MAX || bytes >= BLOCK_BYTES_MAX
    }

    /// The records of the next block.
    fn take(&mut self) -> Vec<Entry> {
        let mut bytes = 0;
        let fits = self.waiting.iter().take(BLOCK_RECORDS_MAX as usize).take_while(|entry| {
            bytes += entry.record.bytes.len();
            bytes <= BLOCK_BYTES_MAX
        });
        let count = fits.count();
        self.since = Instant::now();
        self.waiting.drain(..count).collect()
    }

    /// Block 0, which says whose log this is. `false`: a record cleared just
    /// now and must be looked at first.
    async fn begin(&mut self) -> Result<bool, Stop> {
        let status = self.patiently("Graphstore", || self.remote.status()).await?;
        let mut time = time(&status.now)?;
        let first = match status.number {
            0 => None,
            _ => self.records(0, 1).await?.pop(),
        };
        if let Some(first) = &first {
            time = time.min(first.record.time);
        }
        let genesis = Genesis::new(&self.chain.domain, time, self.key.verifier().clone());
        let parts = Parts { documents: vec![Leaf::Genesis(genesis)], records: Vec::new() };
        Ok(self.propose(parts, time, first.is_none()).await?.is_some())
    }

    /// Makes the next block of what is waiting. Answers how many records it
    /// has; `None` if there are records now that must be pulled first.
    async fn make(&mut self, wish: Wish) -> Result<Option<u64>, Stop> {
        let records = self.take();
        let (time, quiet) = match records.last() {
            Some(entry) => (entry.record.time, false),
            None => {
                let status = self.patiently("Graphstore", || self.remote.status()).await?;
                (time(&status.now)?, true)
            }
        };
        let mut documents = Vec::new();
        if wish.stack || self.chain.ends_a_day(time) {
            documents.extend(self.chain.next_stack().map(Leaf::Stack));
        }
        if wish.change_key {
            documents.extend(self.key.change(time).map(Leaf::Keys));
        }
        self.propose(Parts { documents, records }, time, quiet).await
    }

    /// Intends the block of these leaves, writes and publishes it.
    async fn propose(
        &mut self,
        parts: Parts,
        time: Time,
        quiet: bool,
    ) -> Result<Option<u64>, Stop> {
        let started = Instant::now();
        let signature = self.line(&parts)?;
        let block = self.block(&parts, time, signature);
        let intent = Intent {
            height: block.header.height,
            cleared: block.header.cleared,
            time: time.to_string(),
            documents: parts.documents.iter().map(|leaf| leaf.bytes().to_vec().into()).collect(),
            block: block.bytes.clone().into(),
        };
        let intend = || self.remote.intend(intent.clone(), quiet);
        let stored = match self.patiently("storing an intent", intend).await {
            Err(Stop::Refused(status)) if quiet && status.code() == Code::FailedPrecondition => {
                return Ok(None);
            }
            stored => stored?,
        };
        if stored != intent {
            return Err(Stop::ReadOnly(format!(
                "somebody else intended block {}: two Blockstacks must not seal one log; stop one of them and start the other again",
                block.header.height
            )));
        }
        let records = parts.records.len() as u64;
        self.commit(parts, block).await?;
        metrics::histogram!("webwallet_blockstack_seal_seconds").record(started.elapsed());
        metrics::counter!("webwallet_blockstack_sealed_total").increment(records);
        Ok(Some(records))
    }

    /// The block of these leaves; the live state is ahead of what is published
    /// until [`Sealing::commit`] has published it.
    pub(crate) fn block(&self, parts: &Parts, time: Time, signature: String) -> Block {
        let mut live = self.reader.live();
        parts.records.iter().for_each(|entry| live.state.apply(&entry.record));
        live.number = self.chain.cleared() + parts.records.len() as u64;
        self.chain.block(parts, time, signature, live.state.roots())
    }

    /// The log's line on the checkpoint as it is before a block of these leaves.
    fn line(&self, parts: &Parts) -> Result<String, Stop> {
        let first = parts.documents.iter().find_map(|leaf| match leaf {
            Leaf::Genesis(genesis) => Some(&genesis.key),
            _ => None,
        });
        let line = self.chain.keys.last().or(first);
        let line = line.and_then(|key| self.key.sign(key, &self.chain.checkpoint().text()));
        line.ok_or_else(|| self.no_key())
    }

    pub(crate) fn no_key(&self) -> Stop {
        let newest = self.chain.keys.last().map(ToString::to_string).unwrap_or_default();
        Stop::ReadOnly(format!(
            "the log key {} is not the log's newest, {newest}; put that one back, in the same place",
            self.key.path().display()
        ))
    }

    /// Writes and publishes an intended block.
    pub(crate) async fn commit(&mut self, parts: Parts, block: Block) -> Result<(), Stop> {
        let last = std::iter::once((&block.bytes[..], Sha256::leaf(&block.bytes)));
        let files = self.edge.append(parts.leaves().chain(last));
        let files = files.map_err(|why| Stop::ReadOnly(format!("a leaf cannot be kept: {why}")))?;
        let store = self.reader.store.clone();
        self.patiently("writing the log", || failing(store.put(&files))).await?;
        // So that a block is found by its name like any other document.
        let named = parts.documents.iter().map(|leaf| (leaf.hash(), leaf.bytes()));
        let named: Vec<(Hash, &[u8])> = named.chain([(block.hash, &block.bytes[..])]).collect();
        let documents = || named.iter().map(|(name, body)| document(*name, body, 0)).collect();
        self.patiently("storing blocks", || self.remote.put(documents())).await?;

        self.chain.push(&parts, &block);
        self.publish(&block).await?;
        let full: Vec<_> = files.iter().map(|(tile, _)| *tile).filter(|t| t.is_full()).collect();
        if let Err(error) = self.reader.store.remove_partials(&full) {
            tracing::warn!(%error, "partial tiles that are of no use any more stay");
        }
        // A lost trim is made good by the next one.
        if let Err(status) = self.remote.trim(block.header.cleared).await {
            tracing::warn!(%status, "sealed records were not trimmed");
        }
        if let Some(newest) = self.chain.keys.last()
            && let Err(error) = self.key.settle(newest)
        {
            tracing::warn!(%error, "the new log key stays beside its place");
        }
        self.snapshot();
        Ok(())
    }

    async fn publish(&mut self, block: &Block) -> Result<(), Stop> {
        let checkpoint = self.chain.checkpoint();
        let before = self.rebuilt.as_ref();
        if before.is_some_and(|before| before.size == checkpoint.size && *before != checkpoint) {
            return Err(Stop::ReadOnly(format!(
                "the log of {} leaves that the stores give is not the one that was published",
                checkpoint.size
            )));
        }
        let was_published = before.is_some_and(|before| checkpoint.size <= before.size);
        let is_last = block.header.height >= self.publish_from;
        if is_last && !was_published {
            self.sign(&checkpoint).await?;
        }
        let header = &block.header;
        let place = Place { size: checkpoint.size, cleared: header.cleared, hash: block.hash };
        let index = || failing(self.reader.index.set(header.height, &place));
        self.patiently("writing the index of blocks", index).await?;
        if is_last {
            self.show(block.clone(), checkpoint);
        }
        Ok(())
    }

    /// Signs the checkpoint and makes it the head.
    async fn sign(&mut self, checkpoint: &Checkpoint) -> Result<(), Stop> {
        let text = checkpoint.text();
        let line = self.chain.keys.last().and_then(|key| self.key.sign(key, &text));
        let note = note::write(&text, &[&line.ok_or_else(|| self.no_key())?]);
        let publish = || failing(self.reader.store.publish(self.note.as_deref(), &note));
        match self.patiently("publishing a checkpoint", publish).await? {
            Published::Yes => self.note = Some(note),
            Published::Moved => {
                return Err(Stop::ReadOnly(
                    "somebody else publishes checkpoints of this log; stop one of the two and start the other again"
                        .to_owned(),
                ));
            }
        }
        Ok(())
    }

    /// Tells everybody who asks.
    pub(crate) fn show(&self, block: Block, checkpoint: Checkpoint) {
        let Some(note) = self.note.clone().filter(|_| self.rebuilt.is_none()) else { return };
        let head = view::Head { block, checkpoint, note };
        self.reader.view.send_modify(|view| {
            view.head = Some(Arc::new(head));
            view.keys = self.chain.keys.as_slice().into();
            view.stacks = self.chain.stacks.as_slice().into();
        });
    }

    /// Writes a snapshot, if enough has been sealed since the last one.
    fn snapshot(&mut self) {
        let live = self.reader.live();
        let enough = self.snapshot_records.max(live.state.accounts());
        if self.chain.cleared() - self.snapshot < enough {
            return;
        }
        self.snapshot = self.chain.cleared();
        if let Err(error) = self.reader.snapshots.write(&self.chain, &live.state) {
            tracing::warn!(%error, "no snapshot was written; the next start takes longer");
        }
    }

    /// Tries until it succeeds, nobody needs it any more, or a store says that
    /// trying is of no use.
    pub(crate) async fn patiently<T, A>(
        &self,
        what: &str,
        attempt: impl Fn() -> A,
    ) -> Result<T, Stop>
    where
        A: Future<Output = Result<T, Status>>,
    {
        let (mut wait, mut failed) = (RETRY_FIRST, false);
        loop {
            let status = match attempt().await {
                Ok(done) => {
                    if failed {
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
            if !failed {
                tracing::warn!(trouble, "trying again");
            }
            failed = true;
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

/// A failure of the disk, in the words of a store's.
async fn failing<T>(outcome: io::Result<T>) -> Result<T, Status> {
    outcome.map_err(|error| Status::unavailable(error.to_string()))
}

/// A time that Graphstore gave.
fn time(text: &str) -> Result<Time, Stop> {
    text.parse().map_err(|_| Stop::ReadOnly(format!("Graphstore gives the time {text:?}")))
}
