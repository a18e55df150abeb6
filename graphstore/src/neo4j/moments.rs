//! Reading what was committed whole, though Neo4j isolates no reads.
//!
//! It makes a commit visible piece by piece: properties, then the entries of its
//! indexes, in no order that it promises. Meanwhile an account says already which
//! output is its unspent one, and the index does not find that yet. What holds
//! always is that an output which is found is whole, and never changes.
//!
//! So whoever needs one node asks at once, and once more in a quiet moment if
//! something is missing ([`Moments::whole`]). Whoever needs several of one moment
//! asks in a quiet one from the start ([`Moments::quiet`]). Which moments are quiet
//! this process knows, because nobody else commits; one that was deposed and does
//! not know it may err here, but it clears nothing.

use std::time::Duration;

use tokio::sync::watch;

use crate::store::{Error, READS_MAX};

/// How long a quiet moment is waited for: more than a large commit takes.
const WAIT_MAX: Duration = Duration::from_secs(3);

/// When something is being committed.
pub(super) struct Moments {
    /// Odd while a COMMIT is on its way, or may be.
    turns: watch::Sender<u64>,
}

impl Moments {
    pub(super) fn new() -> Moments {
        Moments { turns: watch::Sender::new(0) }
    }

    /// Which turn it is, to be told by whoever asks for the Shard's lock and gets it.
    pub(super) fn turn(&self) -> u64 {
        *self.turns.borrow()
    }

    /// A COMMIT is about to be sent. Its turn.
    pub(super) fn commit(&self) -> u64 {
        let mut ours = 0;
        self.turns.send_modify(|turn| {
            *turn += 1 + *turn % 2;
            ours = *turn;
        });
        ours
    }

    /// The COMMIT of this turn was answered, or somebody has got the Shard's lock since
    /// this turn: unless another one has begun, none is on its way.
    pub(super) fn settle(&self, turn: u64) {
        self.turns.send_if_modified(|now| {
            let over = *now == turn && turn % 2 == 1;
            *now += u64::from(over);
            over
        });
    }

    /// Waits for what is on its way. The turn when it has ended; `None`: it has not.
    pub(super) async fn ended(&self) -> Option<u64> {
        let mut turns = self.turns.subscribe();
        let quiet = tokio::time::timeout(WAIT_MAX, turns.wait_for(|turn| turn % 2 == 0)).await;
        quiet.ok()?.ok().map(|turn| *turn)
    }

    /// What is read while nothing is committed.
    ///
    /// # Errors
    /// Those of the read; and [`Error::Unavailable`]: there was no such moment.
    pub(super) async fn quiet<T, R: Future<Output = Result<T, Error>>>(
        &self,
        read: impl Fn() -> R,
    ) -> Result<T, Error> {
        for _ in 0..READS_MAX {
            let Some(before) = self.ended().await else { break };
            let found = read().await;
            if self.turn() == before {
                return found;
            }
        }
        Err(Error::Unavailable("this changes while it is read; ask again, or for less".into()))
    }

    /// What is read at once, unless something is missing that a commit may just be
    /// bringing.
    pub(super) async fn whole<T, R: Future<Output = Result<T, Error>>>(
        &self,
        read: impl Fn() -> R,
    ) -> Result<T, Error> {
        match read().await {
            Err(Error::Broken(_)) => self.quiet(read).await,
            found => found,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Whoever lists the holders of a unit would see a payment that has left one and
    /// has not come to the other.
    #[tokio::test]
    async fn what_is_read_beside_a_commit_is_read_again_after_it() {
        let moments = Moments::new();
        // Commits that begin or end during the first read, the second, and so on.
        type Step = fn(&Moments);
        let cases: [(&[Step], u32); 5] = [
            (&[], 1),
            (&[|moments| _ = moments.commit()], 2),
            (&[|moments| moments.settle(moments.commit())], 2),
            // Its answer was lost, and the next one is sent; and then the first answer comes.
            (
                &[|moments| {
                    let lost = moments.commit();
                    moments.commit();
                    moments.settle(lost)
                }],
                2,
            ),
            (&[|moments| moments.settle(moments.turn())], 1),
        ];
        for (i, (steps, expected)) in cases.into_iter().enumerate() {
            let reads = Mutex::new(0);
            let read = || {
                let mut reads = reads.lock().expect("no panic");
                if let Some(step) = steps.get(*reads as usize) {
                    step(&moments);
                }
                *reads += 1;
                std::future::ready(Ok(*reads))
            };
            let ended = async {
                tokio::task::yield_now().await;
                moments.settle(moments.turn());
            };
            let (found, ()) = tokio::join!(moments.quiet(read), ended);
            assert_eq!(found.expect("quiet"), expected, "case {i}");
        }
    }

    /// On a busy server a reader would be shown half of a payment, or wait for ever.
    #[tokio::test]
    async fn where_no_moment_is_quiet_whoever_asks_is_told_to_ask_again() {
        let moments = Moments::new();
        let read = moments.quiet(|| {
            moments.settle(moments.commit());
            std::future::ready(Ok(()))
        });
        assert!(matches!(read.await, Err(Error::Unavailable(_))));
    }

    /// Missing in a quiet moment, it is lost.
    #[tokio::test]
    async fn what_is_missing_is_asked_for_once_more() {
        let moments = Moments::new();
        for (missing, expected) in [(0, Ok(1)), (1, Ok(2)), (2, Err(2))] {
            let reads = Mutex::new(0);
            let read = || {
                let mut reads = reads.lock().expect("no panic");
                *reads += 1;
                let lost = || Error::Broken("missing".into());
                std::future::ready(if *reads > missing { Ok(*reads) } else { Err(lost()) })
            };
            let found = moments.whole(read).await;
            let reads = *reads.lock().expect("no panic");
            assert_eq!(found.map_err(|_| reads), expected, "{missing} times missing");
        }
    }
}
