//! The newest records, as the writer made them: whoever follows what clears
//! reads them from here, without asking the engine and without parsing.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use webwallet_ledger::Record;
use webwallet_ledger::block::BLOCK_BYTES_MAX;

/// Bytes of records kept: as many as two of the largest blocks have, so that while
/// one is being sealed the records of the next are still here.
const RECENT_BYTES_MAX: usize = 2 * BLOCK_BYTES_MAX;

/// Records without a gap, up to the last that this writer committed.
#[derive(Default)]
pub(crate) struct Recent(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    records: VecDeque<Arc<Record>>,
    bytes: usize,
}

impl Recent {
    /// Adds what has been committed.
    pub(crate) fn push(&self, committed: &[Arc<Record>]) {
        let mut kept = self.0.lock();
        let next = kept.records.back().map(|last| last.number + 1);
        if next != committed.first().map(|first| first.number) {
            // Another writer cleared in between.
            *kept = Kept::default();
        }
        kept.bytes += committed.iter().map(|record| record.bytes.len()).sum::<usize>();
        kept.records.extend(committed.iter().cloned());
        while kept.bytes > RECENT_BYTES_MAX
            && let Some(oldest) = kept.records.pop_front()
        {
            kept.bytes -= oldest.bytes.len();
        }
    }

    /// The records after a number, at most so many; none if the first of them is
    /// not kept.
    pub(crate) fn after(&self, number: u64, limit: u32) -> Arc<[Arc<Record>]> {
        let kept = self.0.lock();
        let Some(oldest) = kept.records.front() else { return Arc::default() };
        let skipped = number.checked_add(1).and_then(|first| first.checked_sub(oldest.number));
        let Some(skipped) = skipped.and_then(|skipped| usize::try_from(skipped).ok()) else {
            return Arc::default();
        };
        kept.records.iter().skip(skipped).take(limit as usize).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use webwallet_ledger::Hash;

    use super::*;

    fn records(numbers: impl Iterator<Item = u64>, bytes: usize) -> Vec<Arc<Record>> {
        let record = |number| {
            Arc::new(Record {
                number,
                time: "2027-01-01T00:00:00.000Z".parse().expect("a time"),
                hash: Hash([0; 32]),
                bytes: vec![0; bytes],
                inputs: Vec::new(),
                outputs: Vec::new(),
                locks: Vec::new(),
                collects: Vec::new(),
                credits: Vec::new(),
            })
        };
        numbers.map(record).collect()
    }

    fn numbers(recent: &Recent, after: u64, limit: u32) -> Vec<u64> {
        recent.after(after, limit).iter().map(|record| record.number).collect()
    }

    /// A follower that is told fewer than there are, or with a gap, would stop or
    /// seal a block that nobody can check.
    #[test]
    fn what_follows_a_number_is_told_without_gaps_or_not_at_all() {
        let recent = Recent::default();
        assert_eq!(numbers(&recent, 0, 10), [0; 0]);
        recent.push(&records(5..8, 10));
        recent.push(&records(8..9, 10));
        assert_eq!(numbers(&recent, 4, 10), [5, 6, 7, 8]);
        assert_eq!(numbers(&recent, 5, 2), [6, 7]);
        for (after, why) in [(3, "4 is not kept"), (8, "there is none"), (u64::MAX, "nor here")] {
            assert_eq!(numbers(&recent, after, 10), [0; 0], "{why}");
        }
        recent.push(&records(12..14, 10));
        assert_eq!(numbers(&recent, 7, 10), [0; 0], "9 to 11 are another writer's");
        assert_eq!(numbers(&recent, 11, 10), [12, 13]);
    }

    /// Kept without end, they would take the memory of the machine.
    #[test]
    fn no_more_is_kept_than_its_bytes() {
        let recent = Recent::default();
        (1..=20).for_each(|n| recent.push(&records(n..n + 1, RECENT_BYTES_MAX / 4)));
        assert_eq!(numbers(&recent, 16, 10), [17, 18, 19, 20]);
        assert_eq!(numbers(&recent, 15, 10), [0; 0]);
        recent.push(&records(21..22, RECENT_BYTES_MAX + 1));
        assert_eq!(numbers(&recent, 20, 10), [0; 0]);
    }
}
