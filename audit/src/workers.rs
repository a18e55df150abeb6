//! Threads that read ahead: they are handed runs of bundles, and whoever asked
//! gets the answers back in order.
//!
//! Nothing here waits for ever. Each run of bundles has its own channel for
//! its one answer, so nobody waits for room in a shared one; a thread that
//! ends early drops its ends of the channels, and whoever listens is told.
//! How far it is read ahead is bounded by how many runs are handed out, and by the
//! bytes in them: a bundle may have 600 bytes or sixteen million, and takes several times
//! as much when it is taken apart. Whoever has no room waits, but never the run that is
//! waited for.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::read::{Bundle, Reader};
use crate::source::SourceError;

/// Bundles handed out at a time: 1,024 leaves, enough for a batch of signatures.
const RUN: u64 = 4;

/// Bytes of bundles that are taken apart and not yet taken: more than two hundred
/// bundles of usual records, so that only large ones are ever waited for.
const AHEAD_BYTES: usize = 32 << 20;

/// Bundles, the bytes that they were made of, and why there are no more.
type Answer = (Vec<Bundle>, usize, Option<SourceError>);

struct Job {
    bundles: std::ops::Range<u64>,
    answer: Sender<Answer>,
}

/// Where bundles have their room from when they are taken apart until they are taken.
#[derive(Default)]
struct Room {
    taken: Mutex<Taken>,
    changed: Condvar,
}

#[derive(Default)]
struct Taken {
    bytes: usize,
    /// The first bundle of the run that is waited for.
    turn: u64,
    /// Nobody takes anything any more.
    ended: bool,
}

impl Taken {
    fn has_room(&self, run: u64, bytes: usize) -> bool {
        self.ended || run <= self.turn || self.bytes + bytes <= AHEAD_BYTES
    }
}

impl Room {
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is room for a bundle of the run that begins with this one.
    fn take(&self, run: u64, bytes: usize) {
        let has_none = |taken: &mut Taken| !taken.has_room(run, bytes);
        let taken = self.changed.wait_while(self.lock(), has_none);
        taken.unwrap_or_else(PoisonError::into_inner).bytes += bytes;
    }

    fn change(&self, change: impl FnOnce(&mut Taken)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }
}

/// Lets go who waits for room, however reading ends.
struct End<'a>(&'a Room);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.change(|taken| taken.ended = true);
    }
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
    let (queue, room) = (Mutex::new(queue), Room::default());
    thread::scope(|scope| {
        let work = || work(reader, &queue, &room);
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        let ahead = workers.len() + 1;
        // Takes `jobs` with it, so that the workers find the queue closed and end.
        let outcome = hand_out(jobs, bundles, ahead, &room, take);
        let ended = workers.into_iter().map(|worker| worker.join());
        // Joined one and all: a scope panics for those that nobody asks about.
        if ended.filter(Result::is_err).count() > 0 { Err(SourceError::Worker) } else { outcome }
    })
}

fn hand_out(
    jobs: Sender<Job>,
    bundles: u64,
    ahead: usize,
    room: &Room,
    mut take: impl FnMut(Bundle) -> Result<bool, SourceError>,
) -> Result<(), SourceError> {
    let _end = End(room);
    let mut pending: VecDeque<(u64, Receiver<Answer>)> = VecDeque::new();
    let mut next = 0;
    loop {
        while next < bundles && pending.len() < ahead {
            let (answer, listen) = channel();
            let end = bundles.min(next + RUN);
            // Cannot fail: the other end lives as long as the scope.
            let _ = jobs.send(Job { bundles: next..end, answer });
            pending.push_back((next, listen));
            next = end;
        }
        let Some((run, listen)) = pending.pop_front() else { return Ok(()) };
        room.change(|taken| taken.turn = run);
        // Jobs are taken in this order, so one that no worker is left to take
        // comes after one whose worker panicked: that one is reported here.
        let (bundles, bytes, failure) = listen.recv().map_err(|_| SourceError::Worker)?;
        for bundle in bundles {
            if !take(bundle)? {
                return Ok(());
            }
        }
        if let Some(failure) = failure {
            return Err(failure);
        }
        room.change(|taken| taken.bytes -= bytes);
    }
}

fn work(reader: &Reader<'_>, queue: &Mutex<Receiver<Job>>, room: &Room) {
    let mut random = rand::rng();
    loop {
        // The lock is held while waiting, and by nobody who works.
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        let (run, mut bytes) = (job.bundles.start, 0);
        let take = |more| {
            room.take(run, more);
            bytes += more;
        };
        // A panic while reading would end this thread and drop the channel.
        let (bundles, failure) = reader.read(job.bundles, &mut random, take);
        let _ = job.answer.send((bundles, bytes, failure));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server of huge bundles must not fill the memory of who audits it; nor may an audit wait
    /// for ever, or an honest log be read by one at a time.
    #[test]
    fn who_reads_far_ahead_waits_for_room_and_the_next_run_never() {
        let full = Taken { bytes: AHEAD_BYTES, turn: 8, ended: false };
        assert!(full.has_room(8, 1) && full.has_room(4, usize::MAX / 2) && !full.has_room(12, 1));
        assert!(Taken { ended: true, ..full }.has_room(12, 1));
        let usual = Taken { bytes: 36 * 256 * 1_000, turn: 8, ended: false };
        assert!(usual.has_room(12, 256 * 1_000));

        // Whoever waits goes on when there is room, and when nobody is left to make some.
        let room = Room::default();
        thread::scope(|scope| {
            room.take(0, AHEAD_BYTES);
            let waiting = scope.spawn(|| room.take(4, AHEAD_BYTES));
            room.change(|taken| taken.bytes -= AHEAD_BYTES);
            waiting.join().expect("it goes on");
            let waiting = [8, 12].map(|run| {
                scope.spawn({
                    let room = &room;
                    move || room.take(run, 1)
                })
            });
            drop(End(&room));
            for waiting in waiting {
                waiting.join().expect("it goes on");
            }
        });
    }
}
