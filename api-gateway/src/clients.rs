//! What one client may take of the listener: connections, and requests a second.
//!
//! A client is an IP address (of IPv6 the /64 network: one household or machine
//! has a whole one, and could otherwise be as many clients as it likes). Both
//! limits are off unless configured, and then this keeps one small entry for
//! each client that is connected or was a second ago.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::bucket::Bucket;
use crate::limits::Limits;

/// How often those who are gone are forgotten.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Who asks again and again for more than he may is answered so much later, more
/// or less: each of his connections then costs next to nothing.
const SLOWED: Duration = Duration::from_secs(1);
/// A second's worth may come at once, and is begun over this part of a second:
/// whoever else asks at that moment is served in between, not after all of them.
const BURST_SPREAD: Duration = Duration::from_millis(500);

/// The clients of one listener.
#[derive(Clone)]
pub(crate) struct Clients {
    connections_max: usize,
    requests_per_second: u32,
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    clients: HashMap<IpAddr, Client>,
    swept: Option<Instant>,
}

struct Client {
    connections: usize,
    requests: Paced,
    /// As many as it may send are refused without further delay.
    refusals: Paced,
    /// How many were answered late.
    slowed: u32,
}

/// So many a second; those that come at once are begun one after the other.
struct Paced {
    bucket: Bucket,
    between: Duration,
    /// When the next may begin, at the earliest.
    next: Instant,
}

impl Paced {
    fn new(per_second: u32, now: Instant) -> Paced {
        let between = BURST_SPREAD / per_second.max(1);
        Paced { bucket: Bucket::full(per_second, now), between, next: now }
    }

    /// One more, and how long it waits before it begins; none if it may not come now.
    fn take(&mut self, now: Instant) -> Option<Duration> {
        self.bucket.take(1, now).then(|| {
            let begin = self.next.max(now);
            self.next = begin + self.between;
            begin - now
        })
    }
}

impl Client {
    /// From half of [`SLOWED`] to one and a half. All after the same time would ask again at the
    /// same time, and whoever asks just then would wait for all of them.
    fn late(&mut self) -> Duration {
        self.slowed = self.slowed.wrapping_add(1);
        // The golden ratio spreads any number of them evenly.
        let spread = self.slowed.wrapping_mul(0x9e37_79b9);
        SLOWED / 2 + SLOWED.mul_f64(f64::from(spread) / f64::from(u32::MAX))
    }
}

/// What becomes of one more request of a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Admission {
    /// Or it is refused.
    pub admitted: bool,
    /// How long it waits for that.
    pub wait: Duration,
}

impl Clients {
    pub(crate) fn new(limits: &Limits) -> Clients {
        Clients {
            connections_max: limits.connections_per_client_max,
            requests_per_second: limits.requests_per_second_per_client_max,
            known: Arc::default(),
        }
    }

    /// Counts one more connection; none if the client has as many as it may.
    pub(crate) fn connect(&self, peer: IpAddr, now: Instant) -> Option<Connected> {
        let client = client_of(peer);
        if self.limited() {
            let mut known = self.known.lock();
            known.sweep(now);
            let entry = known.clients.entry(client).or_insert_with(|| Client {
                connections: 0,
                requests: Paced::new(self.requests_per_second, now),
                refusals: Paced::new(self.requests_per_second, now),
                slowed: 0,
            });
            if self.connections_max > 0 && entry.connections >= self.connections_max {
                return None;
            }
            entry.connections += 1;
        }
        Some(Connected { clients: self.clone(), client })
    }

    /// Asks the buckets of a client; none where requests are not counted.
    fn of<T>(&self, client: IpAddr, ask: impl FnOnce(&mut Client) -> T) -> Option<T> {
        if self.requests_per_second == 0 {
            return None;
        }
        let mut known = self.known.lock();
        known.clients.get_mut(&client).map(ask)
    }

    fn limited(&self) -> bool {
        self.connections_max > 0 || self.requests_per_second > 0
    }
}

impl Known {
    /// Forgets who is gone. At most once a second, so that a flood of short
    /// connections does not walk the whole list each time.
    fn sweep(&mut self, now: Instant) {
        if self.swept.is_some_and(|swept| now.duration_since(swept) < SWEEP_EVERY) {
            return;
        }
        self.swept = Some(now);
        self.clients.retain(|_, client| {
            let full = client.requests.bucket.is_full(now) && client.refusals.bucket.is_full(now);
            client.connections > 0 || !full
        });
    }
}

/// One open connection of a client; dropping it counts it off.
pub(crate) struct Connected {
    clients: Clients,
    client: IpAddr,
}

impl Connected {
    /// Whether the client may send one more request now.
    pub(crate) fn admit(&self, now: Instant) -> Admission {
        let admission = self.clients.of(self.client, |client| match client.requests.take(now) {
            Some(wait) => Admission { admitted: true, wait },
            None => {
                let wait = client.refusals.take(now).unwrap_or_else(|| client.late());
                Admission { admitted: false, wait }
            }
        });
        admission.unwrap_or(Admission { admitted: true, wait: Duration::ZERO })
    }

    /// Requests a second that the client may send.
    pub(crate) fn requests_per_second(&self) -> u32 {
        self.clients.requests_per_second
    }

    /// Waits until the client may send one more request.
    pub(crate) async fn turn(&self) {
        loop {
            let now = Instant::now();
            let turn = self.clients.of(self.client, |client| {
                client.requests.take(now).ok_or_else(|| client.requests.bucket.wait(1, now))
            });
            match turn {
                None => return,
                Some(Ok(pace)) => return tokio::time::sleep(pace).await,
                Some(Err(lack)) => tokio::time::sleep(lack).await,
            }
        }
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        if !self.clients.limited() {
            return;
        }
        let mut known = self.clients.known.lock();
        if let Some(client) = known.clients.get_mut(&self.client) {
            client.connections = client.connections.saturating_sub(1);
        }
    }
}

/// The address that stands for a client.
fn client_of(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients(connections: usize, requests: u32) -> Clients {
        Clients::new(&Limits {
            connections_per_client_max: connections,
            requests_per_second_per_client_max: requests,
            ..Limits::default()
        })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    /// One client would hold everybody's connections, or be shut out by those it has closed.
    #[test]
    fn a_client_holds_as_many_connections_as_it_may_and_no_more() {
        let (clients, now) = (clients(2, 0), Instant::now());
        let first = clients.connect(ip("10.0.0.1"), now);
        let second = clients.connect(ip("::ffff:10.0.0.1"), now);
        assert!(first.is_some() && second.is_some());
        assert!(clients.connect(ip("10.0.0.1"), now).is_none());
        assert!(clients.connect(ip("10.0.0.2"), now).is_some());
        drop(first);
        assert!(clients.connect(ip("10.0.0.1"), now).is_some());
    }

    /// One household would be as many clients as it likes, and have everybody's share.
    #[test]
    fn an_ipv6_network_is_one_client() {
        let (clients, now) = (clients(1, 0), Instant::now());
        let _held = clients.connect(ip("2001:db8:1:2::1"), now);
        assert!(clients.connect(ip("2001:db8:1:2:ffff::9"), now).is_none());
        assert!(clients.connect(ip("2001:db8:1:3::1"), now).is_some());
    }

    /// By a second connection, or by coming back, a client would get the share of others too.
    #[test]
    fn requests_a_second_are_counted_over_all_connections() {
        let (clients, start) = (clients(0, 3), Instant::now());
        let first = clients.connect(ip("10.0.0.1"), start).expect("admitted");
        let second = clients.connect(ip("10.0.0.1"), start).expect("admitted");
        // Each begins a third of half a second after the one before.
        let nth = |n| (BURST_SPREAD / 3) * n;
        let admitted = |of: &Connected, now, wait| {
            assert_eq!(of.admit(now), Admission { admitted: true, wait });
        };
        let refused = |of: &Connected, now, wait| {
            assert_eq!(of.admit(now), Admission { admitted: false, wait });
        };
        for (n, of) in (0..).zip([&first, &second, &first]) {
            admitted(of, start, nth(n));
        }
        // As many are refused soon, and those after them later.
        for (n, of) in (0..).zip([&first, &second, &first]) {
            refused(of, start, nth(n));
        }
        let slowed = |of: &Connected, now| {
            let Admission { admitted, wait } = of.admit(now);
            assert!(!admitted && (SLOWED / 2..=SLOWED * 3 / 2).contains(&wait), "{wait:?}");
        };
        slowed(&second, start);
        // A third of a second later there is one more, and only one.
        let third = Duration::from_millis(334);
        let later = start + third;
        admitted(&second, later, nth(3) - third);
        refused(&first, later, nth(3) - third);
        slowed(&first, later);
        // However long it was away, the burst stays what it is; and going away
        // and coming back at once does not fill it.
        let much_later = start + Duration::from_secs(60);
        for n in 0..3 {
            admitted(&first, much_later, nth(n));
        }
        refused(&first, much_later, nth(0));
        drop((first, second));
        let back = clients.connect(ip("10.0.0.1"), much_later).expect("admitted");
        refused(&back, much_later, nth(1));
    }

    /// A batch would be a way around the limit, if its lines were free.
    #[tokio::test]
    async fn lines_of_a_batch_wait_for_their_turn() {
        let (clients, start) = (clients(0, 20), Instant::now());
        let one = clients.connect(ip("10.0.0.1"), start).expect("admitted");
        for _ in 0..25 {
            one.turn().await;
        }
        assert!(start.elapsed() >= Duration::from_millis(249), "{:?}", start.elapsed());
        let (free, start) = (self::clients(0, 0), Instant::now());
        let free = free.connect(ip("10.0.0.1"), start).expect("admitted");
        for _ in 0..1_000_000 {
            free.turn().await;
        }
    }

    /// Every address that ever came would stay in memory, until the machine has none left.
    #[test]
    fn who_is_gone_is_forgotten() {
        let (clients, start) = (clients(9, 9), Instant::now());
        for n in 0..100 {
            drop(clients.connect(ip(&format!("10.0.0.{n}")), start));
        }
        let _one = clients.connect(ip("10.0.1.1"), start + Duration::from_secs(2));
        assert_eq!(clients.known.lock().clients.len(), 1);
    }
}
