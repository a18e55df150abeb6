//! So many a second, with a burst of one second's worth: the measure of every
//! rate limit.

use std::time::{Duration, Instant};

/// What somebody may still take. It fills at its rate, up to one second's worth.
pub(crate) struct Bucket {
    per_second: f64,
    /// Below zero after more than a second's worth was taken at once.
    left: f64,
    /// When `left` was that.
    counted: Instant,
}

impl Bucket {
    pub(crate) fn full(per_second: u32, now: Instant) -> Bucket {
        Bucket { per_second: per_second.into(), left: per_second.into(), counted: now }
    }

    /// How long until so many may be taken, nothing else being taken meanwhile;
    /// zero: now. More than a second's worth may be taken from a full bucket,
    /// and is made up for afterwards: it would never come through otherwise.
    pub(crate) fn wait(&mut self, count: u32, now: Instant) -> Duration {
        self.fill(now);
        let wait = (self.lacks(count) / self.per_second).max(0.0);
        Duration::try_from_secs_f64(wait).unwrap_or(Duration::MAX)
    }

    /// How many more there would have to be; not above zero: none.
    pub(crate) fn lacks(&self, count: u32) -> f64 {
        self.per_second.min(count.into()) - self.left
    }

    /// Takes so many, if they may be taken now.
    pub(crate) fn take(&mut self, count: u32, now: Instant) -> bool {
        let taken = self.wait(count, now).is_zero();
        if taken {
            self.left -= f64::from(count);
        }
        taken
    }

    /// Takes back what was not used after all.
    pub(crate) fn give_back(&mut self, count: u32) {
        self.left = (self.left + f64::from(count)).min(self.per_second);
    }

    /// Whether it says nothing that a new one would not say.
    pub(crate) fn is_full(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.left >= self.per_second
    }

    fn fill(&mut self, now: Instant) {
        let waited = now.saturating_duration_since(self.counted).as_secs_f64();
        self.left = (self.left + waited * self.per_second).min(self.per_second);
        self.counted = self.counted.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request larger than a second's worth would never come through, or cost its sender nothing.
    #[test]
    fn more_than_a_second_s_worth_is_made_up_for() {
        let start = Instant::now();
        let mut bucket = Bucket::full(10, start);
        assert!(bucket.take(1, start));
        // It would pass a full bucket, and this one is not full.
        assert!(!bucket.take(35, start));
        let full = start + Duration::from_millis(101);
        assert!(bucket.take(35, full) && !bucket.take(1, full));
        assert!(!bucket.take(1, full + Duration::from_millis(2_590)));
        assert!(!bucket.is_full(full + Duration::from_millis(3_490)));
        assert!(bucket.is_full(full + Duration::from_millis(3_501)));
        assert!(bucket.take(1, full + Duration::from_millis(3_501)));
    }

    /// Whoever has something given back to him would come to more than his share.
    #[test]
    fn what_comes_back_does_not_overflow() {
        let start = Instant::now();
        let mut bucket = Bucket::full(2, start);
        assert!(bucket.take(2, start));
        bucket.give_back(1);
        assert!(bucket.take(1, start) && !bucket.take(1, start));
        bucket.give_back(2);
        // A clock that is behind does no harm.
        bucket.give_back(2);
        assert!(bucket.take(2, start) && !bucket.take(1, start - Duration::from_secs(9)));
    }
}
