//! Sealing: the one place where blocks are made, signed and published.
//!
//! It pulls what has cleared from Graphstore by number; its cursor is its own
//! last block, so the two cannot disagree. The order of writes of each block:
//! records into Hashtable, what the block will be into Graphstore (the intent,
//! once for each height), tiles and entry bundles, the block and its height into
//! Hashtable, the signed checkpoint, and then Graphstore may drop the records'
//! bytes. Each is durable before the next begins and may be repeated, so whatever
//! ends the process, the next one finds the intent and writes the same bytes: see
//! `recover.rs`.
//!
//! It runs on a thread of its own that may block, and nobody can cancel it.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};
use tonic::{Code, Status};
use webwallet_ledger::Time;
use webwallet_ledger::block::{Block, Genesis};
use webwallet_ledger::checkpoint::Checkpoint;
use webwallet_ledger::leaf::Leaf;
use webwallet_ledger::tile::TileId;
use webwallet_proto::graphstore::v1::Intent;

use crate::chain::{Chain, Entry, Last, Parts};
use crate::key::LogKey;
use crate::log::Edge;
use crate::reader::{Balances, Reader};
use crate::remote::Remote;
use crate::store::Store;

/// How often Graphstore is asked for new records. In one process a question
/// costs some 30 us, so this is nothing while nothing happens.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How often it is looked whether Graphstore still has what it had; and whether what stands
/// in the way of sealing still does.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);

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
    /// The same, until the other stores agree with the log again: an operator may put the
    /// right ones back while this runs.
    Apart(String),
    /// It cannot go on now: a disk is full or does not answer.
    Failed(String),
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
    /// Leaves of the log at the end of that block.
    pub(crate) publish_size: u64,
    /// Files of blocks before it.
    pub(crate) unwritten: Vec<(TileId, Vec<u8>)>,
    /// While the log is rebuilt: what was published, and must come out again.
    pub(crate) rebuilt: Option<Checkpoint>,
    /// While that is tried: blocks are made and nothing is written.
    pub(crate) rehearses: bool,
    /// How often what fails is tried; `None`: until it succeeds.
    pub(crate) tries_max: Option<u32>,
    /// Records that are in no block yet.
    pub(crate) waiting: VecDeque<Entry>,
    /// The first of them came in after this.
    pub(crate) since: Instant,
    /// When Graphstore had nothing more, the last time.
    pub(crate) drained: Instant,
    /// When Graphstore still had all that it had had, the last time.
    pub(crate) looked: Instant,
    pub(crate) snapshot_records: u64,
    pub(crate) mark_blocks: u64,
    /// What the state had taken in at the last snapshot.
    pub(crate) snapshot: u64,
}

impl<S: Store> Sealing<S> {
    /// Starts, seals until nobody needs it, and answers commands to the end. Where other
    /// stores stood in the way, it starts again when they do not any more.
    pub(crate) async fn run(mut self) {
        loop {
            let again = match self.start_and_seal().await {
                Stop::Ended => false,
                Stop::Apart(why) => self.wait_for_stores(why).await,
                Stop::Failed(why) => self.wait_for_disk(why).await,
                Stop::ReadOnly(why) => self.end(why).await,
                Stop::Refused(status) => {
                    let why = format!("a store refused: {}", status.message());
                    self.end(until_mended(&why)).await
                }
            };
            if !again {
                return;
            }
            self.forget();
        }
    }

    async fn start_and_seal(&mut self) -> Stop {
        if let Err(stop) = self.recover().await {
            return stop;
        }
        self.reader.view.send_modify(|view| (view.started, view.trouble) = (true, None));
        match self.seal_until_ended().await {
            Ok(()) => {
                self.snapshot_at_end();
                Stop::Ended
            }
            Err(stop) => stop,
        }
    }

    /// Read-only until the stores agree with the log. `false` if nobody needs it before.
    async fn wait_for_stores(&mut self, mut why: String) -> bool {
        self.say(&why);
        let mut seen = false;
        loop {
            let published = self.reader.head().map(|head| Last::of(&head.block));
            match self.compare(published.as_ref()).await {
                Err(Stop::Ended) => return false,
                Err(Stop::Apart(still)) => {
                    seen = true;
                    if still != why {
                        self.say(&still);
                        why = still;
                    }
                }
                // Anything else shows at the start.
                _ if seen => break,
                // What sealing has met does not show from here: it would meet it again.
                _ => return self.end(until_mended(&why)).await,
            }
            let refusal = Status::failed_precondition(why.clone());
            if !self.refuse(&refusal, tokio::time::sleep(LOOK_EVERY)).await {
                return false;
            }
        }
        tracing::warn!("the stores agree again");
        true
    }

    /// Where the stores agree payments clear meanwhile: their blocks come later. `false` as
    /// above.
    async fn wait_for_disk(&mut self, why: String) -> bool {
        if self.reader.view.borrow().trouble.as_ref() != Some(&why) {
            tracing::warn!(trouble = why, "trying again");
        }
        let refusal = Status::unavailable(why.clone());
        self.reader.view.send_modify(|view| view.trouble = Some(why));
        self.refuse(&refusal, tokio::time::sleep(LOOK_EVERY)).await
    }

    /// Read-only to the end: `false`, as above.
    async fn end(&mut self, why: String) -> bool {
        self.say(&why);
        self.refuse(&Status::failed_precondition(why), std::future::pending()).await
    }

    fn say(&self, why: &str) {
        tracing::error!(why, "nothing is sealed any more");
        self.reader.view.send_modify(|view| view.read_only = Some(why.to_owned()));
    }

    /// Answers commands with this no until something is over; `false` if nobody needs this
    /// before.
    async fn refuse(&mut self, no: &Status, over: impl Future<Output = ()>) -> bool {
        let mut over = pin!(over);
        loop {
            tokio::select! {
                command = self.command() => {
                    let Some(command) = command else { return false };
                    let (Command::Seal { answer, .. } | Command::Rotate { answer }) = command;
                    let _ = answer.send(Err(no.clone()));
                }
                () = &mut over => return true,
            }
        }
    }

    /// As before the first start: recovery finds everything where it is kept.
    pub(crate) fn forget(&mut self) {
        self.chain = Chain::new(&self.chain.domain);
        (self.edge, self.note) = (Edge::new(), None);
        (self.publish_from, self.publish_size, self.snapshot) = (0, 0, 0);
        self.unwritten.clear();
        self.waiting.clear();
        self.reader.work_on_live(|live| *live = Balances::default());
    }

    /// The next command; `None` when nobody needs this any more.
    async fn command(&mut self) -> Option<Command> {
        tokio::select! {
            biased;
            _ = self.ended.wait_for(|ended| *ended) => None,
            command = self.commands.recv() => command,
        }
    }

    /// Seals until it is ended, and then what has cleared by then: of what waits, no
    /// file that is kept, copied or proved knows yet.
    async fn seal_until_ended(&mut self) -> Result<(), Stop> {
        self.go_on().await?;
        match self.seal {
            Seal::Manual => Ok(()),
            Seal::Interval { .. } => match self.seal_rest().await {
                // Another store has ended before this one.
                Err(Stop::Ended) => Ok(()),
                sealed => sealed,
            },
        }
    }

    async fn seal_rest(&mut self) -> Result<(), Stop> {
        let upto = self.graphstore().await?.number;
        self.pull(upto).await?;
        // Where it ends before its first block was due.
        if !self.waiting.is_empty() && self.chain.last.is_none() {
            while !self.begin().await? {}
        }
        while !self.waiting.is_empty() {
            self.make(Wish::default()).await?;
            self.pull(upto).await?;
        }
        Ok(())
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
        let outcome = self.seal_all(wish, &answer).await;
        let answered = match &outcome {
            Ok(made) => made.clone(),
            Err(Stop::ReadOnly(why) | Stop::Apart(why)) => {
                Err(Status::failed_precondition(why.clone()))
            }
            Err(Stop::Failed(why)) => Err(Status::unavailable(why.clone())),
            Err(Stop::Refused(status)) => Err(Status::failed_precondition(status.message())),
            Err(Stop::Ended) => Err(Status::unavailable("sealing has ended")),
        };
        // Whoever does not wait any more looks at the status.
        let _ = answer.send(answered);
        outcome.map(drop)
    }

    /// Seals all that has cleared by now, and at least one block, for somebody who waits.
    async fn seal_all(
        &mut self,
        mut wish: Wish,
        asked: &oneshot::Sender<Result<Made, Status>>,
    ) -> Result<Result<Made, Status>, Stop> {
        let mut upto = self.graphstore().await?.number;
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
            self.still_needed()?;
            self.pull(upto).await?;
            // Whoever was told that the log does not answer asks again: done late as well, a
            // key would change once for each try.
            if asked.is_closed() {
                return Ok(Err(Status::cancelled("nobody waits for it any more")));
            }
            let wanted = wish.stack || wish.change_key || !self.waiting.is_empty();
            if !wanted && made.blocks > 0 {
                return Ok(Ok(made));
            }
            let height = self.chain.height();
            match self.make(wish).await? {
                Some(records) => {
                    made.changed = made.changed.or(wish.change_key.then_some(height));
                    made.blocks += 1;
                    made.records += records;
                    wish = Wish::default();
                }
                // It would be without records, but there is one now: it comes along.
                None => {
                    upto = self.graphstore().await?.number;
                }
            }
        }
    }

    /// Block 0, which says whose log this is. `false`: a record cleared just
    /// now and must be looked at first.
    async fn begin(&mut self) -> Result<bool, Stop> {
        let status = self.graphstore().await?;
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
                let status = self.graphstore().await?;
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
        self.store(&parts.records).await?;
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
            Err(Stop::Refused(status)) => {
                if quiet && status.code() == Code::FailedPrecondition {
                    let head = self.graphstore().await?;
                    // Something cleared meanwhile; else it will be refused for ever.
                    if head.number > intent.cleared {
                        return Ok(None);
                    }
                }
                // Who is in the wrong is plainer from where the stores stand.
                self.look_back().await?;
                return Err(Stop::Refused(status));
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
    /// until [`Sealing::commit`] (`publish.rs`) has published it.
    pub(crate) fn block(&self, parts: &Parts, time: Time, signature: String) -> Block {
        let roots = self.reader.work_on_live(|live| {
            parts.records.iter().for_each(|entry| live.state.apply(&entry.record));
            live.number = self.chain.cleared() + parts.records.len() as u64;
            live.state.roots()
        });
        self.chain.block(parts, time, signature, roots)
    }

    /// The log's line on the checkpoint as it is before a block of these leaves.
    fn line(&self, parts: &Parts) -> Result<String, Stop> {
        let text = self.chain.checkpoint().text();
        let line = self.chain.signer(parts).and_then(|key| self.key.sign(key, &text));
        line.ok_or_else(|| self.no_key())
    }
}

fn until_mended(why: &str) -> String {
    format!("{why}; when that is mended, start Blockstack again")
}

/// A time that Graphstore gave.
fn time(text: &str) -> Result<Time, Stop> {
    text.parse().map_err(|_| Stop::ReadOnly(format!("Graphstore gives the time {text:?}")))
}
