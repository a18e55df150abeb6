//! Threads that read ahead: they are handed runs of bundles, and whoever asked
//! gets the answers back in order.
//!
//! Nothing here waits for ever. Each run of bundles has its own channel for
//! its one answer, so nobody waits for room in a shared one; a thread that
//! ends early drops its ends of the channels, and whoever listens is told.
//! How far it is read ahead is bounded by how many runs are handed out.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::read::{Bundle, Reader};
use crate::source::SourceError;

/// Bundles handed out at a time: 1,024 leaves, enough for a batch of signatures.
const RUN: u64 = 4;

type Answer = Result<Vec<Bundle>, SourceError>;

struct Job {
    bundles: std::ops::Range<u64>,
    answer: Sender<Answer>,
}

/// Calls `take` with every bundle of the log in order, until it says to stop;
/// `threads` of them are read at the same time.
///
/// # Errors
/// What `take` or reading fails with first.
pub(crate) fn each_bundle(
    reader: &Reader<'_>,
    bundles: u64,
    threads: usize,
    take: impl FnMut(Bundle) -> Result<bool, SourceError>,
) -> Result<(), SourceError> {
    let (jobs, queue) = channel();
    let queue = Mutex::new(queue);
    thread::scope(|scope| {
        let work = || work(reader, &queue);
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        let ahead = workers.len() + 1;
        // Takes `jobs` with it, so that the workers find the queue closed and end.
        let outcome = hand_out(jobs, bundles, ahead, take);
        let ended = workers.into_iter().map(|worker| worker.join());
        // Joined one and all: a scope panics for those that nobody asks about.
        if ended.filter(Result::is_err).count() > 0 { Err(SourceError::Worker) } else { outcome }
    })
}

fn hand_out(
    jobs: Sender<Job>,
    bundles: u64,
    ahead: usize,
    mut take: impl FnMut(Bundle) -> Result<bool, SourceError>,
) -> Result<(), SourceError> {
    let mut pending: VecDeque<Receiver<Answer>> = VecDeque::new();
    let mut next = 0;
    loop {
        while next < bundles && pending.len() < ahead {
            let (answer, listen) = channel();
            let end = bundles.min(next + RUN);
            // Cannot fail: the other end lives as long as the scope.
            let _ = jobs.send(Job { bundles: next..end, answer });
            pending.push_back(listen);
            next = end;
        }
        let Some(listen) = pending.pop_front() else { return Ok(()) };
        // Jobs are taken in this order, so one that no worker is left to take
        // comes after one whose worker panicked: that one is reported here.
        for bundle in listen.recv().map_err(|_| SourceError::Worker)?? {
            if !take(bundle)? {
                return Ok(());
            }
        }
    }
}

fn work(reader: &Reader<'_>, queue: &Mutex<Receiver<Job>>) {
    let mut random = rand::rng();
    loop {
        // The lock is held while waiting, and by nobody who works.
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // A panic while reading would end this thread and drop the channel.
        let _ = job.answer.send(reader.read(job.bundles, &mut random));
    }
}
