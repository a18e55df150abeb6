//! Giving Hashtable again what it has not of the published log.
//!
//! All of a log is too much to be looked at by each start: after a year of blocks it would
//! take an hour. So Hashtable is told every [`MARK_BLOCKS`] blocks that it has all before,
//! once that was looked at. One that is emptied or put back from an older copy has not been
//! told so either, and what it has lost is looked for from the newest block on of which it was.
//! A document that is lost alone is for `webwallet fsck` to find.

use webwallet_ledger::Hash;
use webwallet_ledger::block::whole;

use crate::guard::{self, HEIGHTS_AT_ONCE};
use crate::log::Log;
use crate::recover::{damaged, failed};
use crate::remote;
use crate::replay::Blocks;
use crate::sealing::{Sealing, Stop};
use crate::store::Store;

/// Blocks after which Hashtable is looked at and told: some 20 ms of work.
pub(crate) const MARK_BLOCKS: u64 = 1_024;
/// Documents that are put at a time, at least: each put is synced.
const PUT_DOCUMENTS_MIN: usize = 500;
/// Marks asked for at a time; mostly the newest is there.
const MARKS: u64 = 16;

impl<S: Store> Sealing<S> {
    /// Gives Hashtable what it has not of the log up to its last published block.
    pub(crate) async fn refill(&self) -> Result<(), Stop> {
        let marks = self.chain.height() / self.mark_blocks;
        let marked = self.marked(marks).await?;
        let log = Log::new(self.reader.store.clone(), self.chain.log.size());
        let from = marked * self.mark_blocks;
        self.refill_records(&log, self.reader.start_of(from).map_err(failed)?.1).await?;
        self.refill_blocks(&log, from).await?;
        if marks > marked {
            let (name, document) = self.mark(marks)?;
            let put = || self.remote.put(vec![remote::document(name, &document, 0)]);
            self.patiently("storing that Hashtable is whole", put).await?;
        }
        Ok(())
    }

    /// The newest of so many marks that Hashtable has; 0 = none.
    async fn marked(&self, mut upto: u64) -> Result<u64, Stop> {
        while upto > 0 {
            let before = upto.saturating_sub(MARKS);
            let names = (before + 1..=upto).map(|mark| Ok(self.mark(mark)?.0));
            let names = names.collect::<Result<Vec<Hash>, Stop>>()?;
            let asked = || self.remote.documents(&names);
            let found = self.patiently("asking what is stored", asked).await?;
            if let Some(at) = found.iter().rposition(Option::is_some) {
                return Ok(before + 1 + at as u64);
            }
            upto = before;
        }
        Ok(0)
    }

    /// The mark with this number: of the block that ends so many times [`MARK_BLOCKS`].
    fn mark(&self, number: u64) -> Result<(Hash, Vec<u8>), Stop> {
        let place = self.reader.place(number * self.mark_blocks - 1).map_err(failed)?;
        Ok(whole(&self.chain.domain, &place.hash))
    }

    /// The sealed records after this one. Hashtable's last one says nothing of those before:
    /// payments clear while it is filled.
    async fn refill_records(&self, log: &Log<S>, mut after: u64) -> Result<(), Stop> {
        let (sealed, mut lacks) = (self.chain.cleared(), false);
        while after < sealed {
            self.still_needed()?;
            let there = self.names(after, sealed - after).await?.len() as u64;
            if there > 0 {
                // Up to the first that is missing, or as many as one answer has.
                after += there;
                continue;
            }
            if !std::mem::replace(&mut lacks, true) {
                tracing::warn!(from = after + 1, sealed, "Hashtable is filled from the log");
            }
            let (lost, mut documents) = (after + 1, Vec::new());
            let first = self.reader.first_leaf_of(lost).map_err(failed)?;
            for block in Blocks::new(log, first, &self.chain.domain) {
                let (parts, block) = block.map_err(failed)?;
                documents.extend(parts.records.iter().map(|entry| remote::record(&entry.record)));
                documents.extend(remote::others(&parts, &block));
                after = block.header.cleared;
                if documents.len() >= PUT_DOCUMENTS_MIN {
                    break;
                }
            }
            if after < lost {
                return Err(damaged(format!("record {lost} is missing")));
            }
            let put = || self.remote.put(documents.clone());
            self.patiently("filling Hashtable", put).await?;
        }
        Ok(())
    }

    /// The same of blocks: any may be missing, those without records too, and whoever has
    /// lost the log finds none behind a gap. What is there must be this log's.
    async fn refill_blocks(&self, log: &Log<S>, mut from: u64) -> Result<(), Stop> {
        while from < self.chain.height() {
            self.still_needed()?;
            let to = self.chain.height().min(from + HEIGHTS_AT_ONCE);
            let mut documents = Vec::new();
            for (height, entry) in (from..).zip(self.entries(from, to).await?) {
                let place = self.reader.place(height).map_err(failed)?;
                match entry {
                    Some(entry) if remote::is_of(&entry, &place.hash) => continue,
                    Some(_) => return Err(Stop::Apart(guard::other_block(height))),
                    None => {}
                }
                let first = self.reader.start_of(height).map_err(failed)?.0;
                let block = Blocks::new(log, first, &self.chain.domain).next();
                let block = block.ok_or_else(|| damaged(format!("block {height} is missing")))?;
                let (parts, block) = block.map_err(failed)?;
                documents.extend(remote::others(&parts, &block));
            }
            let put = || self.remote.put(documents.clone());
            self.patiently("filling Hashtable", put).await?;
            from = to;
        }
        Ok(())
    }
}
