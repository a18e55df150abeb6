//! The verify pool: bodies become requests whose signatures hold, on threads of
//! their own.
//!
//! A signature costs tens of microseconds; on the reactor every other
//! connection would wait for it. So bodies wait in one bounded queue, and each
//! thread takes whatever has arrived as one batch: a lone request waits for
//! nobody, a crowd shares the cost of its signatures. The verdict on a request
//! does not depend on who was in its batch.
//!
//! No state, no store, no clock: what a verdict needs beside the body is the
//! server's domain and random numbers for the batch.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use metrics::{Counter, Gauge, Histogram};
use rand::rngs::StdRng;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use webwallet_ledger::request::{Refusal, Request};
use webwallet_ledger::signature::Keys;
use webwallet_ledger::verify;

use crate::limits::Limits;
use crate::problem::{Other, Problem};

/// Signatures one batch aims at. From here on a larger one is hardly cheaper
/// for each, and only makes its first wait for its last.
const BATCH_SIGNATURES: usize = 1_024;
/// Bytes one batch aims at: bodies that are refused while parsing count as
/// well, or a stream of them would keep the good ones waiting.
const BATCH_BYTES: usize = 1024 * 1024;

/// Makes the generator of one thread, seeded from a source that nobody outside
/// can guess: who knows the numbers in advance can make a bad batch pass.
pub type Randomness = Arc<dyn Fn() -> StdRng + Send + Sync>;

/// A request whose shape, hashes, addresses and signatures are good, or why it
/// is refused and which record it might repeat.
pub(crate) type Verdict = Result<Request, Refusal>;

struct Job {
    body: Bytes,
    answer: oneshot::Sender<Verdict>,
    /// Where its caller waits.
    runtime: Handle,
}

/// The queue in front of the threads. They end when it is dropped.
pub(crate) struct Verifier {
    queue: flume::Sender<Job>,
    waiting: Gauge,
}

impl Verifier {
    /// Starts the threads.
    ///
    /// # Errors
    /// If the machine cannot start a thread.
    pub(crate) fn start(
        domain: &str,
        limits: &Limits,
        randomness: &Randomness,
    ) -> std::io::Result<Verifier> {
        let (queue, jobs) = flume::bounded(limits.verify_queue_max.get());
        let keys = Arc::new(Keys::new(limits.keys_remembered_max));
        let threads = match limits.verify_threads {
            0 => thread::available_parallelism().map_or(1, |n| n.get()),
            n => n,
        };
        let waiting = metrics::gauge!("webwallet_gateway_verify_queue");
        for n in 0..threads {
            let mut worker = Worker {
                jobs: jobs.clone(),
                threads,
                domain: domain.to_owned(),
                keys: keys.clone(),
                random: randomness(),
                waiting: waiting.clone(),
                batches: metrics::histogram!("webwallet_gateway_verify_batch_signatures"),
                verified: metrics::counter!("webwallet_gateway_signatures_verified_total"),
            };
            thread::Builder::new().name(format!("verify-{n}")).spawn(move || worker.run())?;
        }
        Ok(Verifier { queue, waiting })
    }

    /// Parses and verifies one body.
    ///
    /// # Errors
    /// `overloaded` at once if the queue is full, never by waiting: whoever
    /// waits holds memory, and a client is better served elsewhere or later.
    pub(crate) async fn verify(&self, body: Bytes) -> Result<Verdict, Problem> {
        let (answer, verdict) = oneshot::channel();
        if self.queue.try_send(Job { body, answer, runtime: Handle::current() }).is_err() {
            return Err(Problem::new(Other::Overloaded, "the queue of requests to verify is full"));
        }
        self.waiting.set(self.queue.len() as f64);
        verdict.await.map_err(|_| {
            // The thread that had it panicked, and has said so on its own.
            Problem::new(Other::Unavailable, "the request could not be verified")
        })
    }
}

struct Worker {
    jobs: flume::Receiver<Job>,
    threads: usize,
    domain: String,
    keys: Arc<Keys>,
    random: StdRng,
    waiting: Gauge,
    batches: Histogram,
    verified: Counter,
}

impl Worker {
    fn run(&mut self) {
        while let Ok(first) = self.jobs.recv() {
            // On a busy machine whoever woke this thread has more to bring.
            thread::yield_now();
            // A panic below is a bug. It costs the requests of this batch an
            // answer (their callers see that it was dropped), not the server
            // a thread.
            let _ = catch_unwind(AssertUnwindSafe(|| self.batch(first)));
        }
    }

    /// One batch: the first body and whatever else has arrived.
    fn batch(&mut self, first: Job) {
        // Every thread gets its share of a crowd, or the first to come would
        // take it all and the others look on.
        let share = match self.threads {
            1 => usize::MAX,
            threads => self.jobs.len() / threads + 1,
        };
        let mut requests = Vec::new();
        let mut answers = Vec::new();
        let (mut signatures, mut bytes) = (0, 0);
        let runtime = first.runtime.clone();
        let mut next = Some(first);
        while let Some(Job { body, answer, .. }) = next {
            bytes += body.len();
            if !answer.is_closed() {
                match Request::parse(&body, &self.domain) {
                    Ok(request) => {
                        signatures += request.signatures();
                        requests.push(request);
                        answers.push(answer);
                    }
                    // A verdict that nobody waits for any more is dropped, here and below.
                    Err(refusal) => drop(answer.send(Err(refusal))),
                }
            }
            let more =
                signatures < BATCH_SIGNATURES && bytes < BATCH_BYTES && answers.len() < share;
            next = if more { self.jobs.try_recv().ok() } else { None };
        }
        self.waiting.set(self.jobs.len() as f64);
        if requests.is_empty() {
            return;
        }
        let refs: Vec<&Request> = requests.iter().collect();
        let results = verify::verify(&refs, &self.keys, &mut self.random);
        self.batches.record(signatures as f64);
        self.verified.increment(signatures as u64);
        // Woken one by one from here, each caller would cost a switch of
        // threads; a task of the runtime wakes them all for one.
        runtime.spawn(async move {
            for ((request, answer), result) in requests.into_iter().zip(answers).zip(results) {
                let verdict = match result {
                    Ok(()) => Ok(request),
                    // Signatures are asked about after hashes: this may be the
                    // repeat of a cleared request, sent with other signatures.
                    Err(rejection) => Err(Refusal { rejection, ious: Some(request.ious()) }),
                };
                drop(answer.send(verdict));
            }
        });
    }
}
