//! The writer: the one place where requests are decided.
//!
//! It takes whatever has arrived as one batch, clears each request in order,
//! later ones seeing earlier ones, and commits them together. A lone request
//! waits for nobody; a crowd shares one commit. It runs on its own thread and
//! nobody can cancel it: a caller who leaves does not undo a clearing.
//!
//! Intents of blocks pass here too, between two batches: a block without records
//! has a time of its own, and no record may get an earlier one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use webwallet_ledger::clear::{Cleared, Refused, decide};
use webwallet_ledger::{AccountId, Hash, Record, Request, Time};

use crate::recent::Recent;
use crate::store::{Batch, Committed, Error, Head, Intended, Intent, Store};

/// The server's clock; fails when it cannot be read.
pub type Clock = Arc<dyn Fn() -> Result<Time, String> + Send + Sync>;

/// Requests in one commit, at most.
const BATCH_REQUESTS_MAX: usize = 1_024;
/// Bytes of IOUs in one commit, about; a frame of the log holds them with ease.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// Requests waiting for the writer.
const QUEUE_REQUESTS_MAX: usize = 8_192;
/// How far the clock may be behind the last time given before that is said.
const CLOCK_BEHIND_MAX_MS: i64 = 60_000;
/// How often a batch whose answer was lost is sent again before the writer
/// gives up on the engine.
const UNKNOWN_TRIES_MAX: usize = 10;

/// What became of a request.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Cleared now.
    Cleared(Arc<Record>),
    /// Cleared before, as the record with this number.
    Before(u64),
    /// Not cleared. What would have, whoever asked works out for himself: others
    /// wait for the writer.
    Rejected(Box<Refused>),
    /// Nothing is known to have been written: the same bytes may be sent again.
    Unavailable(String),
}

enum Work {
    Clear(Job),
    Intend { intent: Intent, quiet: bool, answer: oneshot::Sender<Result<Intended, Error>> },
}

struct Job {
    request: Arc<Request>,
    /// It only asks what would become of it.
    rehearsal: bool,
    answer: oneshot::Sender<Verdict>,
    /// Where its caller waits.
    runtime: Handle,
}

/// The way to the writer. Cheap to clone; the writer ends with its last clone.
#[derive(Clone)]
pub(crate) struct Entrance {
    work: mpsc::Sender<Work>,
    newest: watch::Receiver<u64>,
    recent: Arc<Recent>,
}

impl Entrance {
    /// Nothing clears any more: its thread has ended.
    pub(crate) fn has_stopped(&self) -> bool {
        self.work.is_closed()
    }

    /// Waits for the verdict on a request. `None`: the queue is full.
    ///
    /// A rehearsal is judged among the others, in its turn, so that its verdict
    /// is the one that the request itself would have had there; and leaves nothing.
    pub(crate) async fn clear(&self, request: Arc<Request>, rehearsal: bool) -> Option<Verdict> {
        let (answer, verdict) = oneshot::channel();
        let job = Job { request, rehearsal, answer, runtime: Handle::current() };
        match self.work.try_send(Work::Clear(job)) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => return None,
            Err(mpsc::error::TrySendError::Closed(_)) => {
                return Some(Verdict::Unavailable("the writer has stopped".into()));
            }
        }
        let stopped = |_| Verdict::Unavailable("the writer stopped before it answered".into());
        Some(verdict.await.unwrap_or_else(stopped))
    }

    /// Puts a request behind those that wait, as soon as there is room; whoever
    /// submits one after the other has them decided in that order.
    pub(crate) async fn submit(&self, request: Arc<Request>) -> oneshot::Receiver<Verdict> {
        let (answer, verdict) = oneshot::channel();
        let job = Job { request, rehearsal: false, answer, runtime: Handle::current() };
        // A writer that has stopped drops it, which is its answer.
        let _ = self.work.send(Work::Clear(job)).await;
        verdict
    }

    /// The last number that this writer knows, as soon as it is higher than
    /// `after`; after the wait in any case. `None`: the writer has ended, and there
    /// will be no higher one.
    pub(crate) async fn newest(&self, after: u64, wait: Duration) -> Option<u64> {
        let mut newest = self.newest.clone();
        let told = newest.wait_for(|number| *number > after);
        if let Ok(told) = tokio::time::timeout(wait, told).await {
            return told.ok().map(|number| *number);
        }
        Some(*self.newest.borrow())
    }

    /// The newest records after a number; see [`Recent::after`].
    pub(crate) fn recent(&self, after: u64, limit: u32) -> Arc<[Arc<Record>]> {
        self.recent.after(after, limit)
    }

    /// Stores an intent after the batch that is being committed.
    pub(crate) async fn intend(&self, intent: Intent, quiet: bool) -> Result<Intended, Error> {
        let stopped = || Error::Unavailable("the writer has stopped".into());
        let (answer, outcome) = oneshot::channel();
        let work = Work::Intend { intent, quiet, answer };
        self.work.send(work).await.map_err(|_| stopped())?;
        outcome.await.map_err(|_| stopped())?
    }
}

/// Starts the writer on a thread of its own.
///
/// # Errors
/// There can be no thread.
pub(crate) fn start<S: Store>(
    store: Arc<S>,
    domain: String,
    clock: Clock,
    head: &Head,
) -> Result<Entrance, Error> {
    let (work, inbox) = mpsc::channel(QUEUE_REQUESTS_MAX);
    let (number, time) = (head.number, head.time);
    let (told, newest) = watch::channel(number);
    metrics::gauge!("webwallet_graphstore_number").set(number as f64);
    // An alert on what grows from nothing would miss the first.
    metrics::counter!("webwallet_graphstore_batches_failed_total").increment(0);
    let recent = Arc::new(Recent::default());
    let writer = Writer {
        store,
        domain,
        clock,
        number,
        time,
        stale: false,
        behind: false,
        told,
        recent: recent.clone(),
    };
    let failed = |e: std::io::Error| Error::Unavailable(format!("cannot start the writer: {e}"));
    // One thread, one task: engines may block here without holding up others. The thread first:
    // where there can be none, a runtime could not be dropped here.
    let (hand, handed) = std::sync::mpsc::channel::<tokio::runtime::Runtime>();
    let run = move || {
        if let Ok(runtime) = handed.recv() {
            runtime.block_on(writer.run(inbox));
        }
    };
    std::thread::Builder::new().name("writer".into()).spawn(run).map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let _ = hand.send(runtime.map_err(failed)?);
    Ok(Entrance { work, newest, recent })
}

struct Writer<S> {
    store: Arc<S>,
    domain: String,
    clock: Clock,
    /// The last number given.
    number: u64,
    /// The last time given.
    time: Option<Time>,
    /// The clock was behind that, the last time.
    behind: bool,
    /// A batch went out whose fate was never learnt, or another writer was
    /// there: number and time must be read from the engine.
    stale: bool,
    /// Who waits for the next number is told here.
    told: watch::Sender<u64>,
    recent: Arc<Recent>,
}

/// The verdicts of a batch, before it is committed.
struct Decided {
    records: Vec<Arc<Record>>,
    verdicts: Vec<Verdict>,
    time: Time,
    /// Records that were made to be shown, not to be committed.
    rehearsed: u64,
}

impl<S: Store> Writer<S> {
    async fn run(mut self, mut inbox: mpsc::Receiver<Work>) {
        let mut jobs = Vec::new();
        while let Some(first) = inbox.recv().await {
            // On a busy machine whoever woke this thread has more to bring.
            std::thread::yield_now();
            let (mut work, mut bytes) = (Some(first), 0);
            while let Some(Work::Clear(job)) = work {
                bytes += size(&job.request);
                jobs.push(job);
                let full = jobs.len() >= BATCH_REQUESTS_MAX || bytes >= BATCH_BYTES_MAX;
                work = if full { None } else { inbox.try_recv().ok() };
            }
            // Those whose callers have left while they waited were promised nothing.
            jobs.retain(|job| !job.answer.is_closed());
            if !jobs.is_empty() {
                self.answer(std::mem::take(&mut jobs)).await;
            }
            if let Some(Work::Intend { intent, quiet, answer }) = work {
                // Whoever does not wait any more asks again.
                let _ = answer.send(self.intend(intent, quiet).await);
            }
        }
    }

    /// Decides and commits a batch, and tells everybody.
    async fn answer(&mut self, jobs: Vec<Job>) {
        metrics::histogram!("webwallet_graphstore_batch_requests").record(jobs.len() as f64);
        let verdicts = self.take(&jobs).await;
        let Some(runtime) = jobs.first().map(|job| job.runtime.clone()) else { return };
        // Woken one by one from here, each caller would cost a switch of
        // threads; a task of their runtime wakes them all for one.
        runtime.spawn(async move {
            for (job, verdict) in jobs.into_iter().zip(verdicts) {
                // A caller who left does not care any more.
                let _ = job.answer.send(verdict);
            }
        });
    }

    async fn intend(&mut self, intent: Intent, quiet: bool) -> Result<Intended, Error> {
        let outcome = self.store.intend(&[intent], quiet).await;
        match &outcome {
            Ok(Intended::Stored(stored)) => {
                self.time = self.time.max(stored.last().map(|stored| stored.time));
            }
            Ok(Intended::Refused(_)) => {}
            // It may have been stored.
            Err(_) => self.stale = true,
        }
        outcome
    }

    /// Reads number and time from the engine where they are in doubt.
    async fn refresh(&mut self) -> Result<(), Error> {
        if self.stale {
            // Not before what went out has ended: what is refused now and cleared by that
            // afterwards would be paid anew, and so twice.
            let head = owned(self.store.settled().await?, &self.domain)?;
            // Whoever restored it under a living server would have everything after that
            // cleared a second time.
            if head.number < self.number {
                return Err(Error::Broken(format!(
                    "the store has gone back from record {} to {}; restore the newer one, or run `webwallet rebuild graphstore`",
                    self.number, head.number
                )));
            }
            metrics::counter!("webwallet_graphstore_cleared_total")
                .increment(head.number - self.number);
            self.time = head.time.max(self.time);
            self.tell(head.number);
            self.stale = false;
        }
        Ok(())
    }

    /// This is the last number given.
    fn tell(&mut self, number: u64) {
        self.number = number;
        self.told.send_replace(number);
        metrics::gauge!("webwallet_graphstore_number").set(number as f64);
    }

    /// Decides and commits a batch. Every request gets a verdict.
    async fn take(&mut self, jobs: &[Job]) -> Vec<Verdict> {
        let started = Instant::now();
        let outcome = match self.decide(jobs).await {
            Ok(decided) => self.commit(decided).await,
            Err(error) => Err(error),
        };
        metrics::histogram!("webwallet_graphstore_batch_seconds").record(started.elapsed());
        outcome.unwrap_or_else(|error| {
            tracing::error!(%error, "a batch was not committed");
            metrics::counter!("webwallet_graphstore_batches_failed_total").increment(1);
            jobs.iter().map(|_| Verdict::Unavailable(error.to_string())).collect()
        })
    }

    async fn decide(&mut self, jobs: &[Job]) -> Result<Decided, Error> {
        self.refresh().await?;
        let now = (self.clock)().map_err(Error::Unavailable)?;
        let time = now.max(self.time.unwrap_or(now));
        // Every IOU that has expired by then is refused, and only the log says why.
        let behind = time.unix_ms() - now.unix_ms() > CLOCK_BEHIND_MAX_MS;
        if behind && !self.behind {
            tracing::error!(
                clock = %now, given = %time,
                "this machine's clock is behind a time that was given before, and times never go back: what is cleared gets that one until the clock has come there"
            );
        }
        self.behind = behind;
        let (accounts, ious) = touched(jobs);
        let mut loaded = self.store.load(&accounts, &ious).await?;
        let locks: Vec<_> = jobs.iter().flat_map(|job| job.request.collects()).collect();
        if !locks.is_empty() {
            loaded.locks = self.store.locks(&locks).await?;
        }
        let verdicts = Vec::with_capacity(jobs.len());
        let mut decided = Decided { records: Vec::new(), verdicts, time, rehearsed: 0 };
        let mut number = self.number;
        for job in jobs {
            decided.verdicts.push(match decide(&job.request, number + 1, time, &loaded) {
                Ok(Cleared::Now(record)) if job.rehearsal => {
                    decided.rehearsed += 1;
                    Verdict::Cleared(Arc::new(record))
                }
                Ok(Cleared::Now(record)) => {
                    number += 1;
                    loaded.apply(&record);
                    let record = Arc::new(record);
                    decided.records.push(record.clone());
                    Verdict::Cleared(record)
                }
                Ok(Cleared::Before(record)) => Verdict::Before(record.number),
                Err(refused) => Verdict::Rejected(Box::new(refused)),
            });
        }
        Ok(decided)
    }

    async fn commit(&mut self, decided: Decided) -> Result<Vec<Verdict>, Error> {
        let Decided { records, verdicts, time, rehearsed } = decided;
        if rehearsed > 0 {
            metrics::counter!("webwallet_graphstore_rehearsed_total").increment(rehearsed);
        }
        if records.is_empty() {
            // Nothing tells whether what was loaded is still so, as a commit would.
            if verdicts.iter().any(|verdict| !matches!(verdict, Verdict::Before(_))) {
                self.would_commit().await?;
            }
            return Ok(verdicts);
        }
        let count = records.len() as u64;
        let batch = Batch::new(records);
        for _ in 0..UNKNOWN_TRIES_MAX {
            let committed = self.store.commit(&batch).await;
            // An earlier try, whose answer was lost, may have written it.
            self.stale |= committed.is_err();
            match committed? {
                Committed::Yes => {
                    self.recent.push(&batch.records);
                    self.tell(self.number + count);
                    self.time = Some(time);
                    metrics::counter!("webwallet_graphstore_cleared_total").increment(count);
                    return Ok(verdicts);
                }
                Committed::Deposed => {
                    self.stale = true;
                    return Err(Error::Unavailable("another writer has cleared since".into()));
                }
                // Only the engine knows; the batch's id makes asking safe.
                Committed::Unknown => {
                    tracing::warn!("the answer to a commit was lost; asking again");
                    metrics::counter!("webwallet_graphstore_commits_lost_total").increment(1);
                }
            }
        }
        self.stale = true;
        Err(Error::Unavailable("the engine does not answer".into()))
    }

    /// Fails where a commit would: nobody must be told that something would clear, or
    /// that it will not, by a writer who has been deposed or has stopped.
    async fn would_commit(&mut self) -> Result<(), Error> {
        let head = head_of(&*self.store, &self.domain).await?;
        if head.number != self.number {
            self.stale = true;
            return Err(Error::Unavailable("another writer has cleared since".into()));
        }
        Ok(())
    }
}

/// Where a store stands, after checking whose it is.
pub(crate) async fn head_of(store: &impl Store, domain: &str) -> Result<Head, Error> {
    owned(store.head().await?, domain)
}

/// The head of a store, if it holds this domain's records.
fn owned(head: Head, domain: &str) -> Result<Head, Error> {
    match &head.domain {
        Some(theirs) if theirs != domain => Err(Error::Broken(format!(
            "this store holds the records of another domain, {theirs:?}, not of {domain:?}; use its own domain or another store"
        ))),
        _ => Ok(head),
    }
}

fn size(request: &Request) -> usize {
    request.inputs.iter().map(|iou| iou.bytes.len()).sum()
}

/// The accounts and IOUs that a batch names.
fn touched(jobs: &[Job]) -> (Vec<AccountId>, Vec<Hash>) {
    let ious = || jobs.iter().flat_map(|job| &job.request.inputs);
    let mut accounts: Vec<AccountId> = ious()
        .flat_map(|iou| {
            [iou.source, iou.target].map(|address| AccountId { unit: iou.symbol, address })
        })
        .collect();
    // In order: neighbours on disk, and locks of an engine always in one order.
    accounts.sort_unstable();
    accounts.dedup();
    (accounts, ious().map(|iou| iou.hash).collect())
}
