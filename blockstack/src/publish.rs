//! The last steps of a block: its files, its checkpoint, and what may go then.
//!
//! Each step is durable before the next begins, and each may be taken again.

use std::io;
use std::sync::Arc;

use tonic::Status;
use webwallet_ledger::block::{AtHeight, Block};
use webwallet_ledger::checkpoint::Checkpoint;
use webwallet_ledger::merkle::{Sha256, TreeHash as _};
use webwallet_ledger::note;
use webwallet_ledger::tile::TileId;

use crate::chain::Parts;
use crate::guard;
use crate::index::Place;
use crate::remote;
use crate::sealing::{Sealing, Stop};
use crate::store::{Published, Store};
use crate::view::Head;

/// Bytes of blocks that are not published which are written at a time, and a block more: to
/// sync the files of each by itself takes some 20 ms.
const WRITE_BYTES: usize = 8 << 20;
/// Records between the last snapshot and the one of a server's end, at least.
const SNAPSHOT_AT_END_MIN: u64 = 4_096;

impl<S: Store> Sealing<S> {
    /// Writes and publishes an intended block.
    pub(crate) async fn commit(&mut self, parts: Parts, block: Block) -> Result<(), Stop> {
        if self.rehearses {
            self.chain.push(&parts, &block);
            return self.comes_out(&self.chain.checkpoint());
        }
        let last = std::iter::once((&block.bytes[..], Sha256::leaf(&block.bytes)));
        let files = self.edge.append(parts.leaves().chain(last));
        let files = files.map_err(|why| Stop::ReadOnly(format!("a leaf cannot be kept: {why}")))?;
        let is_last = block.header.height >= self.publish_from;
        let full = self.write(files, is_last).await?;
        let others = || remote::others(&parts, &block);
        let height = block.header.height;
        let name = AtHeight::name(&self.chain.domain, height);
        let keeping = || async {
            self.remote.put(others()).await?;
            let lost = || Status::unavailable("Hashtable has lost what it has just stored");
            self.remote.document(&name).await?.ok_or_else(lost)
        };
        // Of one height it keeps the first block it is given. If that is another one, another
        // server has signed a checkpoint of this size, or is about to.
        let entry = self.patiently("storing blocks", keeping).await?;
        if !remote::is_of(&entry, &block.hash) {
            return Err(Stop::Apart(guard::other_block(height)));
        }

        self.chain.push(&parts, &block);
        self.publish(&block, is_last).await?;
        if let Err(error) = self.reader.store.remove_partials(&full) {
            tracing::warn!(%error, "partial tiles that are of no use any more stay");
        }
        // A lost trim is made good by the next one.
        if is_last && let Err(status) = self.remote.trim(block.header.cleared).await {
            tracing::warn!(%status, "sealed records were not trimmed");
        }
        if let Some(newest) = self.chain.keys.last()
            && let Err(error) = self.key.settle(newest)
        {
            tracing::warn!(%error, "the new log key stays beside its place");
        }
        // What is not written yet is in no file that it could be taken from.
        if is_last && self.chain.height().is_multiple_of(self.mark_blocks) {
            self.refill().await?;
        }
        let (since, accounts) = self.since_snapshot();
        if since >= self.snapshot_records.max(accounts / 2) {
            self.snapshot();
        }
        Ok(())
    }

    /// Writes the files of a block that is published next; or, of one before that, with those
    /// of the blocks after it. Answers the full ones that are written now.
    async fn write(
        &mut self,
        files: Vec<(TileId, Vec<u8>)>,
        is_last: bool,
    ) -> Result<Vec<TileId>, Stop> {
        let stays = |tile: TileId| {
            let end = TileId::at(tile.level, tile.index, self.publish_size);
            is_last || tile.is_full() || end.is_some_and(|end| !end.is_full())
        };
        self.unwritten.extend(files.into_iter().filter(|(tile, _)| stays(*tile)));
        let bytes: usize = self.unwritten.iter().map(|(_, bytes)| bytes.len()).sum();
        if !is_last && bytes < WRITE_BYTES {
            return Ok(Vec::new());
        }
        let (store, files) = (self.reader.store.clone(), std::mem::take(&mut self.unwritten));
        self.patiently("writing the log", || failing(store.put(&files))).await?;
        Ok(files.into_iter().map(|(tile, _)| tile).filter(TileId::is_full).collect())
    }

    async fn publish(&mut self, block: &Block, is_last: bool) -> Result<(), Stop> {
        let checkpoint = self.chain.checkpoint();
        self.comes_out(&checkpoint)?;
        let was_published =
            self.rebuilt.as_ref().is_some_and(|before| checkpoint.size <= before.size);
        if is_last && !was_published {
            self.sign(&checkpoint).await?;
        }
        let header = &block.header;
        let place = Place { size: checkpoint.size, cleared: header.cleared, hash: block.hash };
        let index = || failing(self.reader.index.set(header.height, &place));
        self.patiently("writing the index of blocks", index).await?;
        if is_last {
            self.show(block.clone(), checkpoint);
        }
        Ok(())
    }

    /// A rebuilt log must give the checkpoint that was published.
    fn comes_out(&self, checkpoint: &Checkpoint) -> Result<(), Stop> {
        let before = self.rebuilt.as_ref().filter(|before| before.size == checkpoint.size);
        match before.is_some_and(|before| before != checkpoint) {
            true => Err(Stop::ReadOnly(format!(
                "the log of {} leaves that the stores give is not the one that was published; restore the Graphstore that belongs to it, or move it aside and run `webwallet rebuild graphstore`",
                checkpoint.size
            ))),
            false => Ok(()),
        }
    }

    /// Signs the checkpoint and makes it the head.
    async fn sign(&mut self, checkpoint: &Checkpoint) -> Result<(), Stop> {
        let text = checkpoint.text();
        let line = self.chain.keys.last().and_then(|key| self.key.sign(key, &text));
        let note = note::write(&text, &[&line.ok_or_else(|| self.no_key())?]);
        let publish = || failing(self.reader.store.publish(self.note.as_deref(), &note));
        match self.patiently("publishing a checkpoint", publish).await? {
            Published::Yes => self.note = Some(note),
            Published::Moved => {
                return Err(Stop::ReadOnly(
                    "somebody else publishes checkpoints of this log; stop one of the two and start the other again"
                        .to_owned(),
                ));
            }
        }
        Ok(())
    }

    /// Tells everybody who asks.
    pub(crate) fn show(&self, block: Block, checkpoint: Checkpoint) {
        let Some(note) = self.note.clone().filter(|_| self.rebuilt.is_none()) else { return };
        metrics::gauge!("webwallet_blockstack_number").set(block.header.cleared as f64);
        let seconds = block.header.time.unix_ms() as f64 / 1000.0;
        metrics::gauge!("webwallet_blockstack_block_timestamp_seconds").set(seconds);
        let head = Head { block, checkpoint, note };
        self.reader.view.send_modify(|view| {
            view.head = Some(Arc::new(head));
            view.keys = self.chain.keys.as_slice().into();
            view.stacks = self.chain.stacks.as_slice().into();
        });
    }

    /// Writes a last snapshot where that is quicker than what the next start
    /// would do without: to take in a record takes as long as to write some 16
    /// accounts.
    pub(crate) fn snapshot_at_end(&mut self) {
        // In the middle of a block they are of none.
        if !self.reader.stands_at(self.chain.cleared()) {
            return;
        }
        let (since, accounts) = self.since_snapshot();
        if since >= SNAPSHOT_AT_END_MIN.max(accounts / 16) {
            self.snapshot();
        }
    }

    /// Records since the last snapshot, and accounts now. A record counts for as many as it
    /// touches accounts two by two: one may pay out to forty.
    fn since_snapshot(&self) -> (u64, u64) {
        let state = &self.reader.live().state;
        ((state.changes() - self.snapshot) / 2, state.accounts())
    }

    fn snapshot(&mut self) {
        let (accounts, changes) = self.reader.work_on_live(|live| {
            if let Err(error) = self.reader.snapshots.write(&self.chain, &live.state) {
                tracing::warn!(%error, "no snapshot was written; the next start takes longer");
            }
            (live.state.accounts(), live.state.changes())
        });
        self.snapshot = changes;
        // Regular ones stand further apart than that, also while accounts become more.
        let apart = self.snapshot_records.max(accounts / 2) / 2;
        // Whoever waits for them looks again.
        self.reader.view.send_modify(|_| ());
        if let Err(error) = self.reader.thin_snapshots(apart) {
            tracing::warn!(%error, "a snapshot that is of no use any more stays");
        }
    }

    pub(crate) fn no_key(&self) -> Stop {
        let newest = self.chain.keys.last().map(ToString::to_string).unwrap_or_default();
        // Everybody is told the rest: that must not say where a secret is.
        tracing::error!(file = %self.key.path().display(), "the log key that is asked for belongs there");
        Stop::ReadOnly(format!(
            "the log key is not the log's newest, {newest}; put that one back, in the same place"
        ))
    }
}

/// A failure of the disk, in the words of a store's.
async fn failing<T>(outcome: io::Result<T>) -> Result<T, Status> {
    outcome.map_err(|error| Status::unavailable(error.to_string()))
}
