//! How many IOUs a second may clear of one source, and in one unit.
//!
//! Counted is what clears, and nothing else. A repeat is no load that its source
//! made: everybody can read what has cleared, and post it again. Nor is a
//! rehearsal: whoever was handed an IOU can rehearse it for ever. And what is
//! refused costs nothing to make: anybody can sign an IOU in any unit without
//! having any of it. Were these counted, anybody could use up what is another's.
//!
//! So a request *holds* what it needs while it is decided, and it comes back
//! when nothing cleared. Nobody is refused for what is only held: he waits the
//! moment until it is decided, so that others can at most delay him. Those who
//! wait for one allowance stand in a queue, of which only the first looks again
//! when something was decided: if all did, a crowd would cost its square. A
//! rehearsal, which takes nothing, holds nothing and waits for nobody.
//!
//! The gateway holds no state for others: the limits are for each gateway.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use webwallet_ledger::{Address, Request};

use crate::bucket::Bucket;
use crate::limits::Limits;
use crate::problem::{Other, Problem, Refused};

/// How often full buckets are forgotten: so many IOUs as come in this time may
/// each leave one.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Everybody's allowances; none where there are no limits.
pub(crate) struct Allowances(Option<Arc<Limited>>);

struct Limited {
    per_source: u32,
    per_unit: u32,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    accounts: HashMap<Key, Account>,
    swept: Option<Instant>,
}

/// Whose allowance it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Key {
    Source(Address),
    Unit(Address),
}

struct Account {
    bucket: Bucket,
    /// Taken of it, and not decided yet.
    held: u32,
    queue: Arc<Queue>,
}

/// Those who wait for one allowance.
#[derive(Default)]
struct Queue {
    /// The first of them has it.
    turn: tokio::sync::Mutex<()>,
    /// Told to him when something held was decided; if nobody is first just then, kept for
    /// who comes next.
    decided: Notify,
}

/// What one request needs of one allowance.
#[derive(Clone, Copy)]
struct Share {
    key: Key,
    per_second: u32,
    /// IOUs.
    count: u32,
    /// The first of them.
    input: usize,
}

/// Whether a request may go on.
enum Answer {
    Yes,
    /// In this queue, until it is known what becomes of others.
    Wait(Arc<Queue>),
    /// The share that there is too little for, and when there will be enough.
    No(usize, Duration),
}

impl Allowances {
    pub(crate) fn new(limits: &Limits) -> Allowances {
        let per_source = limits.ious_per_second_per_source_max;
        let per_unit = limits.ious_per_second_per_issuer_max;
        Allowances(
            (per_source > 0 || per_unit > 0)
                .then(|| Arc::new(Limited { per_source, per_unit, known: Mutex::default() })),
        )
    }

    /// Takes what a request needs, all of it or nothing.
    ///
    /// # Errors
    /// `rate_limited`, pointing at the first input that is one too many.
    pub(crate) async fn hold(&self, request: &Request) -> Result<Held, Refused> {
        let Some(limited) = &self.0 else { return Ok(Held(None)) };
        let shares = limited.shares(request);
        match limited.wait(&shares).await {
            Ok(()) => Ok(Held(Some((limited.clone(), shares)))),
            Err((share, wait)) => Err(shares[share].refused(wait, request)),
        }
    }

    /// Whether a request might have what it needs. It takes nothing of it.
    ///
    /// # Errors
    /// As if it were to clear.
    pub(crate) fn rehearse(&self, request: &Request) -> Result<Held, Refused> {
        if let Some(limited) = &self.0 {
            let shares = limited.shares(request);
            if let Answer::No(share, wait) = limited.known().ask(&shares, Instant::now()) {
                return Err(shares[share].refused(wait, request));
            }
        }
        Ok(Held(None))
    }
}

impl Limited {
    fn shares(&self, request: &Request) -> Vec<Share> {
        let mut shares: Vec<Share> = Vec::new();
        let mut places = HashMap::new();
        for (input, iou) in request.inputs.iter().enumerate() {
            for (key, per_second) in
                [(Key::Source(iou.source), self.per_source), (Key::Unit(iou.symbol), self.per_unit)]
            {
                if per_second == 0 {
                    continue;
                }
                let place = *places.entry(key).or_insert(shares.len());
                match shares.get_mut(place) {
                    Some(share) => share.count += 1,
                    None => shares.push(Share { key, per_second, count: 1, input }),
                }
            }
        }
        shares
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock()
    }

    /// Takes these shares as soon as it is known that there is enough; else which of them
    /// there is too little for, and for how long.
    async fn wait(&self, shares: &[Share]) -> Result<(), (usize, Duration)> {
        let take = || self.known().take(shares, Instant::now());
        let mut answer = take();
        loop {
            let queue = match answer {
                Answer::Yes => return Ok(()),
                Answer::No(share, wait) => return Err((share, wait)),
                Answer::Wait(queue) => queue,
            };
            let _turn = queue.turn.lock().await;
            answer = take();
            // Elsewhere he is not the first.
            while let Answer::Wait(next) = &answer
                && Arc::ptr_eq(next, &queue)
            {
                queue.decided.notified().await;
                answer = take();
            }
        }
    }

    fn decide(&self, shares: &[Share], counts: bool) {
        let mut known = self.known();
        for share in shares {
            // It is there: what is held is not swept.
            if let Entry::Occupied(mut account) = known.accounts.entry(share.key) {
                let account = account.get_mut();
                account.held = account.held.saturating_sub(share.count);
                if !counts {
                    account.bucket.give_back(share.count);
                }
                account.queue.decided.notify_one();
            }
        }
    }
}

impl Known {
    fn ask(&mut self, shares: &[Share], now: Instant) -> Answer {
        let mut answer = Answer::Yes;
        for (place, share) in shares.iter().enumerate() {
            let Some(account) = self.accounts.get_mut(&share.key) else { continue };
            let wait = account.bucket.wait(share.count, now);
            if wait.is_zero() {
                continue;
            }
            // Would it be enough if all that is held came back?
            if account.bucket.lacks(share.count) > f64::from(account.held) {
                return Answer::No(place, wait);
            }
            if let Answer::Yes = answer {
                answer = Answer::Wait(account.queue.clone());
            }
        }
        answer
    }

    /// The same, and takes them if there is enough.
    fn take(&mut self, shares: &[Share], now: Instant) -> Answer {
        self.sweep(now);
        let answer = self.ask(shares, now);
        if let Answer::Yes = answer {
            for share in shares {
                let account = self.accounts.entry(share.key).or_insert_with(|| Account {
                    bucket: Bucket::full(share.per_second, now),
                    held: 0,
                    queue: Arc::default(),
                });
                account.bucket.take(share.count, now);
                account.held += share.count;
            }
        }
        answer
    }

    /// Forgets who has all of his allowance. Now and then only, so that a flood
    /// does not walk the whole list each time.
    fn sweep(&mut self, now: Instant) {
        if self.swept.is_none_or(|swept| now.saturating_duration_since(swept) >= SWEEP_EVERY) {
            self.swept = Some(now);
            // With a queue that somebody stands in, he would be told nothing any more.
            self.accounts.retain(|_, account| {
                account.held > 0
                    || Arc::strong_count(&account.queue) > 1
                    || !account.bucket.is_full(now)
            });
        }
    }
}

impl Share {
    fn refused(&self, wait: Duration, request: &Request) -> Refused {
        Refused { problem: self.too_much(wait), ious: Some(request.ious()) }
    }

    fn too_much(&self, wait: Duration) -> Problem {
        let (what, member) = match self.key {
            Key::Source(_) => ("of this source", "source"),
            Key::Unit(_) => ("in this unit", "symbol"),
        };
        let detail = format!(
            "{}: this gateway lets {} IOUs a second clear {what}, and {} of this request are too many now",
            self.key, self.per_second, self.count
        );
        // Rounded up: who comes back then is not told to come again.
        let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
        let pointer = format!("/data/inputs/{}/data/{member}", self.input);
        Problem::new(Other::RateLimited, detail)
            .at(pointer)
            .with_limit(self.per_second)
            .with_retry_after(seconds)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Source(address) | Key::Unit(address) => address.fmt(f),
        }
    }
}

/// What a request has taken until it is decided; it comes back when dropped.
pub(crate) struct Held(Option<(Arc<Limited>, Vec<Share>)>);

impl Held {
    /// Whether anything is held: whether somebody has to see the decision.
    pub(crate) fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// The request clears: it counts.
    pub(crate) fn count(mut self) {
        if let Some((limited, shares)) = self.0.take() {
            limited.decide(&shares, true);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some((limited, shares)) = self.0.take() {
            limited.decide(&shares, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::stream::FuturesUnordered;
    use futures::{FutureExt as _, StreamExt as _};
    use webwallet_ledger::request::body_of;
    use webwallet_ledger::signature::public_of;
    use webwallet_ledger::{Draft, Time};

    use super::*;

    fn limited(per_source: u32, per_unit: u32) -> Limited {
        Limited { per_source, per_unit, known: Mutex::default() }
    }

    fn address(n: u32) -> Address {
        Address::of_public(&public_of(
            &[&n.to_be_bytes()[..], &[7; 28]].concat().try_into().expect("32"),
        ))
    }

    fn of(limited: &Limited, n: u32, count: u32) -> Share {
        Share { key: Key::Source(address(n)), per_second: limited.per_source, count, input: 0 }
    }

    fn of_unit(limited: &Limited, n: u32, count: u32) -> Share {
        Share { key: Key::Unit(address(n)), per_second: limited.per_unit, count, input: 0 }
    }

    /// A request of one IOU.
    fn request() -> Request {
        let secret = [7; 32];
        let source = Address::of_public(&public_of(&secret));
        let draft = Draft {
            domain: "localhost".to_owned(),
            source,
            target: address(2),
            symbol: source,
            amount: "1".to_owned(),
            random: "12345678".to_owned(),
            expiry: Time::from_unix_ms(1),
            active: None,
            credit: None,
            locker: None,
            solver: None,
        };
        let body = body_of([&draft.sign(&secret)[..]]);
        Request::parse(&body, "localhost").expect("a request")
    }

    fn known(limited: &Limited) -> usize {
        limited.known().accounts.len()
    }

    /// Somebody's allowance would be used up by payments that never cleared.
    #[test]
    fn what_does_not_clear_is_not_counted() {
        let (limited, now) = (limited(3, 0), Instant::now());
        let two = [of(&limited, 1, 2)];
        assert!(matches!(limited.known().take(&two, now), Answer::Yes));
        // One is left. Whether it is too many is not known before the two are decided.
        assert!(matches!(limited.known().take(&two, now), Answer::Wait(_)));
        limited.decide(&two, false);
        assert!(matches!(limited.known().take(&two, now), Answer::Yes));
        limited.decide(&two, true);
        assert!(matches!(limited.known().take(&two, now), Answer::No(0, _)));
        // Somebody else has his own, and a second later all is as before.
        assert!(matches!(limited.known().take(&[of(&limited, 2, 3)], now), Answer::Yes));
        assert!(matches!(limited.known().take(&two, now + Duration::from_secs(1)), Answer::Yes));
    }

    /// Whoever was handed an IOU may rehearse it: that must neither delay its source nor be
    /// refused for what is only held.
    #[test]
    fn a_rehearsal_takes_nothing_and_waits_for_nobody() {
        let limits = Limits { ious_per_second_per_source_max: 1, ..Limits::default() };
        let (allowances, request) = (Allowances::new(&limits), request());
        let limited = allowances.0.clone().expect("limits");
        for _ in 0..3 {
            assert!(allowances.rehearse(&request).is_ok());
        }
        let held = allowances.hold(&request).now_or_never().expect("at once");
        assert!(allowances.rehearse(&request).is_ok(), "it may come back");
        held.map_err(|_| "refused").expect("held").count();
        let refused = allowances.rehearse(&request).err().expect("too many");
        assert_eq!(refused.problem.kind().code(), "rate_limited");
        assert_eq!(known(&limited), 1);
    }

    /// A stranger who repeats what one source has cleared, often and at once, would else take
    /// all of the machine from everybody.
    #[tokio::test]
    async fn a_crowd_that_waits_is_looked_at_one_by_one() {
        const CROWD: usize = 1_000;
        let limited = limited(2, 2);
        let polls = AtomicUsize::new(0);
        let (source, unit) = (of(&limited, 1, 1), of_unit(&limited, 2, 1));
        // Some need both.
        let shares = [vec![source], vec![unit], vec![source, unit]];
        let waiting: FuturesUnordered<_> = (0..CROWD)
            .map(|n| {
                let (limited, polls, shares) = (&limited, &polls, &shares[n % 3]);
                let mut one = Box::pin(async move {
                    limited.wait(shares).await.expect("nothing clears");
                    tokio::task::yield_now().await;
                    limited.decide(shares, false);
                });
                poll_fn(move |context| {
                    polls.fetch_add(1, Ordering::Relaxed);
                    one.poll_unpin(context)
                })
            })
            .collect();
        assert_eq!(waiting.count().await, CROWD);
        let polls = polls.into_inner();
        assert!(polls <= 8 * CROWD, "{polls} looks of {CROWD}");
    }

    /// A burst that is refused would never clear, however long its sender waits.
    #[test]
    fn a_request_of_more_than_a_second_s_worth_clears_and_is_made_up_for() {
        let (limited, now) = (limited(10, 0), Instant::now());
        let (hundred, one) = ([of(&limited, 1, 100)], [of(&limited, 1, 1)]);
        assert!(matches!(limited.known().take(&hundred, now), Answer::Yes));
        limited.decide(&hundred, true);
        let Answer::No(0, wait) = limited.known().take(&one, now) else {
            panic!("one more at once")
        };
        assert!((9.0..9.2).contains(&wait.as_secs_f64()), "{wait:?}");
        assert!(matches!(limited.known().take(&one, now + wait), Answer::Yes));
    }

    /// A flood of new keys costs memory for as long as a second's worth of it.
    #[test]
    fn whoever_has_all_of_his_allowance_is_forgotten() {
        let (limited, start) = (limited(5, 0), Instant::now());
        let mut most = 0;
        for n in 0..5_000 {
            // A thousand a second.
            let now = start + Duration::from_millis(n.into());
            let one = [of(&limited, n, 1)];
            assert!(matches!(limited.known().take(&one, now), Answer::Yes));
            limited.decide(&one, true);
            most = most.max(known(&limited));
        }
        assert!((1_000..=2_000).contains(&most), "{most} known");
        let held = [of(&limited, 9_999, 1)];
        assert!(matches!(limited.known().take(&held, start + Duration::from_secs(7)), Answer::Yes));
        limited.known().take(&[], start + Duration::from_secs(60));
        assert_eq!(known(&limited), 1, "what is held is kept");
    }
}
