//! The IOUs that were used and could be used again: all that have not expired.
//!
//! Of each only 72 bits are kept, scrambled with keys drawn for this audit: two
//! different IOUs of five million meet by chance once in 400 million audits,
//! and nobody can make two that meet. So a live IOU costs about ten bytes.

use std::hash::{BuildHasher, RandomState};

use webwallet_ledger::{Hash, Time};

/// By the first 16 of the bits.
const SHARDS: usize = 1 << 16;
/// Forgetting looks at every entry: not before there are that many more.
const GROWTH_MIN: usize = 1 << 16;

/// 56 bits of the IOU, then the last day of its life.
type Entry = [u8; 9];
const MARK: usize = 7;
/// The last day that two bytes can name, 179 years after the first: it stands
/// for all later ones too, so an IOU that lives until then is never dropped.
const FAR: u16 = u16::MAX;

/// A set of IOUs, each until it has expired.
pub(crate) struct Seen {
    /// In each the entries are in order.
    shards: Vec<Vec<Entry>>,
    hashers: [RandomState; 2],
    /// The day of the first IOU; days are counted from it.
    start: Option<i64>,
    len: usize,
    /// Forget at that many, if a day has gone by.
    full: usize,
    /// The last day on which it was tried.
    swept: i64,
}

impl Seen {
    pub fn new() -> Seen {
        let hashers = [RandomState::new(), RandomState::new()];
        let shards = vec![Vec::new(); SHARDS];
        Seen { shards, hashers, start: None, len: 0, full: GROWTH_MIN, swept: 0 }
    }

    /// Adds an IOU that is used at this time; `false` if it was there already.
    /// One that has expired by then is not asked about and not kept.
    pub fn insert(&mut self, iou: &Hash, expiry: Time, time: Time) -> bool {
        if expiry < time {
            return true;
        }
        let today = time.day();
        let start = *self.start.get_or_insert(today);
        self.forget(today - start);
        let last_day = expiry.day() - start;
        let last_day = u16::try_from(last_day.max(0)).unwrap_or(FAR);
        let [first, second] = [0, 1].map(|i| self.hashers[i].hash_one(iou.0));
        let mut entry = [0; 9];
        entry[..MARK].copy_from_slice(&first.to_be_bytes()[..MARK]);
        entry[MARK..].copy_from_slice(&last_day.to_be_bytes());
        let shard = &mut self.shards[second as usize % SHARDS];
        match shard.binary_search_by(|held| held[..MARK].cmp(&entry[..MARK])) {
            Ok(_) => false,
            Err(place) => {
                // Doubling would leave a quarter of the memory empty.
                if shard.len() == shard.capacity() {
                    shard.reserve_exact(shard.len() / 8 + 4);
                }
                shard.insert(place, entry);
                self.len += 1;
                true
            }
        }
    }

    /// Drops what expired before this day, once that may be worth while.
    fn forget(&mut self, today: i64) {
        if self.len < self.full || today <= self.swept {
            return;
        }
        for shard in &mut self.shards {
            shard.retain(|entry| {
                let last_day = u16::from_be_bytes([entry[MARK], entry[MARK + 1]]);
                last_day == FAR || i64::from(last_day) >= today
            });
            shard.shrink_to(shard.len() + shard.len() / 8);
        }
        self.len = self.shards.iter().map(Vec::len).sum();
        self.full = self.len + (self.len / 4).max(GROWTH_MIN);
        self.swept = today;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn iou(n: u64) -> Hash {
        Hash::sha3(&n.to_be_bytes())
    }

    /// An IOU that is forgotten before it expires could be cleared twice unseen.
    #[test]
    fn an_iou_is_known_until_it_expires_and_not_kept_much_longer() {
        let day = |day: i64| Time::from_unix_ms(1_700_000_000_000).plus_days(day);
        let mut seen = Seen::new();
        assert!(seen.insert(&iou(0), day(400), day(0)));
        for today in 0..300 {
            for n in 0..1_000 {
                let n = 1 + (today * 1_000 + n) as u64;
                assert!(seen.insert(&iou(n), day(today + 3), day(today)), "{n} is new");
                assert!(!seen.insert(&iou(n), day(today + 3), day(today)), "{n} is known");
            }
            let young = 1 + ((today - 3).max(0) * 1_000) as u64;
            assert!(!seen.insert(&iou(young), day((today - 3).max(0) + 3), day(today)), "{young}");
            assert!(!seen.insert(&iou(0), day(400), day(today)), "the long-lived one");
        }
        assert!(seen.len < 2 * GROWTH_MIN + 5_000, "{} are kept of 300,000", seen.len);
        assert!(!seen.insert(&iou(0), day(400), day(400)), "in its last millisecond");
        assert!(seen.insert(&iou(0), day(400), day(401)), "expired is not asked about");
    }

    /// A log may begin in the year it likes: if that hid which IOUs live now,
    /// each could be cleared twice unseen.
    #[test]
    fn a_log_of_centuries_forgets_no_iou_that_lives() {
        let day = |day: i64| Time::from_unix_ms(-4_102_444_800_000).plus_days(day);
        let now = i64::from(FAR) + 2_000;
        let mut seen = Seen::new();
        assert!(seen.insert(&iou(0), day(3_000), day(0)));
        let many = 2 * GROWTH_MIN as u64;
        for n in 1..=many {
            assert!(seen.insert(&iou(n), day(now + 1_000), day(now)), "{n} is new");
        }
        assert!(seen.insert(&iou(many + 1), day(now + 1_000), day(now + 1)), "a day later");
        for n in 1..=many {
            assert!(!seen.insert(&iou(n), day(now + 1_000), day(now + 2)), "{n} is known");
        }
        assert!(seen.swept > 0, "there was a sweep");
    }
}
