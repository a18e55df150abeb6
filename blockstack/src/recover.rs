//! Recovery: the normal way to start.
//!
//! First the log as it is on disk, then the other stores, then whatever was
//! intended and not published, written as sealing writes it.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use webwallet_ledger::block::{AtHeight, Block, Header};
use webwallet_ledger::checkpoint::Checkpoint;
use webwallet_ledger::leaf::Leaf;
use webwallet_ledger::note::{SignatureLine, VerifierKey};
use webwallet_ledger::state::State;
use webwallet_ledger::{Hash, document};
use webwallet_proto::graphstore::v1::Intent;

use crate::chain::{Chain, Last, Parts};
use crate::guard::{self, HEIGHTS_AT_ONCE, Stores};
use crate::log::{Edge, Log, LogError};
use crate::reader::Balances;
use crate::remote;
use crate::replay::follow;
use crate::sealing::{Sealing, Stop};
use crate::store::Store;

/// Intents asked for at a time; each may be of 4,096 records.
const INTENTS: u32 = 16;

/// A log of more records is read while payments clear already; it takes some
/// 50 us a record that no snapshot holds.
const READ_FIRST_MAX: u64 = 16_384;

/// The log as it was published.
struct Taken<S> {
    log: Log<S>,
    block: Block,
    checkpoint: Checkpoint,
    last: Last,
}

/// What an operator is told when the log on disk is not what it says.
pub(crate) fn damaged(why: impl std::fmt::Display) -> Stop {
    Stop::ReadOnly(format!("the log's files are damaged: {why}; run `webwallet rebuild log`"))
}

/// The same where it may be the checkpoint that is wrong.
fn unusable(why: impl std::fmt::Display) -> Stop {
    Stop::ReadOnly(format!(
        "the published checkpoint cannot be used: {why}; restore the file `checkpoint` of the log, or remove it and run `webwallet rebuild log`"
    ))
}

/// The same, unless it cannot be read or written at all: that is no damage, and may pass.
pub(crate) fn failed(error: LogError) -> Stop {
    match error {
        LogError::Io(..) => Stop::Failed(format!("the log cannot be read or written: {error}")),
        LogError::Missing(_) | LogError::Damaged(..) => damaged(error),
    }
}

/// The same of an intent.
fn unfit(height: u64, why: impl std::fmt::Display) -> Stop {
    Stop::ReadOnly(guard::intent_lost(height, why))
}

/// The height of an intent, and the name of its block. The log may not be taken up yet: what
/// is sealed is to be served, also where this cannot be read.
fn named(intent: &Intent) -> Result<(u64, Hash), Stop> {
    let unfit = |why| Stop::Apart(guard::intent_lost(intent.height, why));
    Ok((intent.height, document::name(&intent.block).map_err(unfit)?))
}

fn intended(intent: &Intent) -> Result<Block, Stop> {
    Block::parse(&intent.block).map_err(|why| unfit(intent.height, why))
}

/// Leaves of the log up to its end: its document comes after its leaves.
fn end_of(block: &Block) -> u64 {
    let Header { first, leaves, .. } = block.header;
    first.saturating_add(leaves).saturating_add(1)
}

impl<S: Store> Sealing<S> {
    /// Gets to where the last process stopped, and does what it left undone.
    pub(crate) async fn recover(&mut self) -> Result<(), Stop> {
        let published = self.published()?.map(|published| self.take_up(published)).transpose()?;
        let last = published.as_ref().map(|published| &published.last);
        // What is sealed is served whatever the other stores have lost.
        let refused = match self.compare(last).await {
            Ok(()) => None,
            Err(Stop::Apart(why)) => Some(why),
            Err(stop) => return Err(stop),
        };
        if refused.is_none() {
            self.reader.view.send_modify(|view| (view.compared, view.read_only) = (true, None));
        }
        let resumed = published.map(|published| self.resume(published, refused.as_deref()));
        match refused {
            Some(why) => return Err(Stop::Apart(why)),
            None => resumed.transpose()?,
        };
        self.refill().await?;
        self.catch_up().await?;
        // A block that was only intended may have changed it.
        if self.chain.keys.last().is_some_and(|newest| !self.key.has(newest)) {
            return Err(self.no_key());
        }
        if self.chain.last.is_none() {
            self.begin_with_key()?;
        }
        // Of a block whose intent Graphstore has lost since a process died at it: the next one
        // is another, and strangers would find tiles of both.
        if let Err(error) = self.reader.store.remove_wider(&self.edge.tiles()) {
            tracing::warn!(%error, "tiles of a block that was never published may stay");
        }
        (self.since, self.drained) = (Instant::now(), Instant::now());
        Ok(())
    }

    /// No store knows of a block: the key here will sign the first.
    fn begin_with_key(&mut self) -> Result<(), Stop> {
        self.key.keep().map_err(|error| {
            // Everybody is told the rest: that must not say where a secret is.
            tracing::error!(%error, "the log key is in no file");
            Stop::Failed("the log key cannot be written, or is not of this log".to_owned())
        })?;
        let keys = [self.key.verifier().clone()];
        self.reader.view.send_modify(|view| view.keys = keys.as_slice().into());
        Ok(())
    }

    /// The checkpoint that was published last.
    pub(crate) fn published(&self) -> Result<Option<(String, Checkpoint)>, Stop> {
        let note = self.reader.store.checkpoint().map_err(|error| match error.kind() {
            ErrorKind::InvalidData => unusable(error),
            _ => failed(LogError::Io("checkpoint".into(), error)),
        })?;
        let Some(note) = note else { return Ok(None) };
        let (_, checkpoint) = Checkpoint::unverified(note.as_bytes()).map_err(unusable)?;
        match checkpoint.origin == self.chain.domain {
            true => Ok(Some((note, checkpoint))),
            false => Err(unusable(format!("it is of the log {}", checkpoint.origin))),
        }
    }

    /// Shows the end of the log on disk: it is served from here on, whatever is
    /// found out later.
    fn take_up(&mut self, (note, checkpoint): (String, Checkpoint)) -> Result<Taken<S>, Stop> {
        let log = Log::new(self.reader.store.clone(), checkpoint.size);
        self.edge = Edge::read(&log, &checkpoint.root).map_err(|error| match error {
            // One that nobody signed is not what the files are to be held against.
            LogError::Missing(_) | LogError::Damaged(..) if !self.key.has_signed(&note) => {
                unusable(error)
            }
            error => failed(error),
        })?;
        let last = checkpoint.size.checked_sub(1).ok_or_else(|| damaged("it has no leaf"))?;
        let leaf = log.leaf(last).map_err(failed)?;
        let block = Block::parse(&leaf).map_err(|why| damaged(format!("leaf {last}: {why}")))?;
        self.note = Some(note);
        // If it is begun again, it is shown with its keys.
        if self.reader.head().is_none() {
            self.show(block.clone(), checkpoint.clone());
        }
        Ok(Taken { log, last: Last::of(&block), block, checkpoint })
    }

    /// Goes on from the end of the log: everything from it, nothing from
    /// elsewhere. `refused`: why nothing may be sealed after it.
    fn resume(&mut self, taken: Taken<S>, refused: Option<&str>) -> Result<(), Stop> {
        let Taken { log, block, checkpoint, last } = taken;
        if last.cleared > READ_FIRST_MAX
            && let Some(keys) = self.keys(&log, &block)
        {
            // Where the stores agree payments may clear: their blocks come later.
            self.reader.view.send_modify(|view| {
                (view.keys, view.started) = (keys, true);
                view.read_only = refused.map(str::to_owned);
            });
        }
        log.is_whole().map_err(failed)?;
        self.follow(&log, &block).map_err(failed)?;
        self.still_needed()?;
        if self.chain.checkpoint() != checkpoint {
            return Err(damaged("its leaves do not give its root"));
        }
        let note = self.note.as_deref().unwrap_or_default();
        if let Err(why) = Checkpoint::open(note.as_bytes(), &self.chain.keys) {
            self.reader.view.send_modify(|view| view.head = None);
            return Err(unusable(why));
        }
        self.show(block, checkpoint);
        Ok(())
    }

    /// Every key that signed the log, if that can be told without reading it:
    /// those that signed up to the newest snapshot, where the last of them is
    /// the one here.
    fn keys(&self, log: &Log<S>, head: &Block) -> Option<Arc<[VerifierKey]>> {
        let heights = self.reader.snapshots.heights(head.header.height).ok()?;
        let keys = match heights.last() {
            Some(height) => self.reader.snapshots.chain(*height, &self.chain.domain).ok()?.keys,
            None => match Leaf::parse(&log.leaf(0).ok()?, &self.chain.domain).ok()? {
                Leaf::Genesis(genesis) => vec![genesis.key],
                _ => return None,
            },
        };
        keys.last().is_some_and(|newest| self.key.has_only(newest)).then(|| keys.into())
    }

    /// The chain and the state at the end of the log: the newest snapshot that
    /// is the truth, and the records after it.
    fn follow(&mut self, log: &Log<S>, head: &Block) -> Result<(), LogError> {
        let reader = self.reader.clone();
        let failed = |error| LogError::Io("a snapshot".into(), error);
        let mut heights = reader.snapshots.heights(head.header.height).map_err(failed)?;
        while let Some(height) = heights.pop() {
            let start = reader.snapshots.read(height, &self.chain.domain).ok();
            if let Some((chain, state)) = start
                && reader.is_after(&chain, log)
            {
                match self.go_through(log, chain, state) {
                    Ok(()) => return Ok(()),
                    // Not the snapshot's fault.
                    Err(error @ LogError::Io(..)) => return Err(error),
                    Err(why) => tracing::warn!(height, %why, "a snapshot is not used"),
                }
            }
            reader.snapshots.remove(height).map_err(failed)?;
        }
        self.go_through(log, Chain::new(&self.chain.domain), State::new())
    }

    fn go_through(
        &mut self,
        log: &Log<S>,
        mut chain: Chain,
        mut state: State,
    ) -> Result<(), LogError> {
        self.snapshot = state.changes();
        follow(log, &mut chain, &mut state, &self.reader.index, &self.ended)?;
        let number = chain.cleared();
        self.reader.work_on_live(|live| *live = Balances { number, state });
        self.chain = chain;
        Ok(())
    }

    /// Whether blocks may follow the published one over the other stores as they are.
    pub(crate) async fn compare(&self, published: Option<&Last>) -> Result<(), Stop> {
        let (stores, newest) = self.look(published).await?;
        self.nothing_is_beyond(newest).await?;
        stores.judge().map_err(Stop::Apart)?;
        self.has_no_other(newest).await?;
        self.compare_newest(stores.stored, stores.intended).await?;
        // One that was put back may have gone on, with other records of the same numbers, and
        // the newest been stored. Beyond a gap it shows when they are sealed.
        let mut after = stores.intended;
        while after < stores.stored {
            let names = self.names(after, stores.stored - after).await?;
            if names.is_empty() {
                break;
            }
            let records = self.records(after, names.len() as u64).await?;
            if records.is_empty() {
                break;
            }
            for (entry, name) in records.iter().zip(&names) {
                if entry.record.hash.0 != name[..] {
                    let why = guard::two_histories(entry.record.number, stores.intended);
                    return Err(Stop::Apart(why));
                }
            }
            after += records.len().min(names.len()) as u64;
        }
        Ok(())
    }

    /// Where log and Graphstore are both older than what was published, Hashtable knows of
    /// the block after their newest one, or of one soon after it.
    pub(crate) async fn nothing_is_beyond(&self, newest: Option<(u64, Hash)>) -> Result<(), Stop> {
        let next = newest.map_or(0, |(height, _)| height + 1);
        let entries = self.entries(next, next.saturating_add(HEIGHTS_AT_ONCE)).await?;
        let Some((height, _)) = (next..).zip(entries).find(|(_, entry)| entry.is_some()) else {
            return Ok(());
        };
        // Of another log they are no loss.
        self.has_no_other(newest).await?;
        Err(Stop::Apart(guard::blocks_lost(height)))
    }

    /// That Hashtable has no other block of this height: it keeps the first one it is given.
    async fn has_no_other(&self, block: Option<(u64, Hash)>) -> Result<(), Stop> {
        let Some((height, name)) = block else { return Ok(()) };
        let entries = self.entries(height, height + 1).await?;
        match entries.iter().flatten().all(|entry| remote::is_of(entry, &name)) {
            true => Ok(()),
            false => Err(Stop::Apart(guard::other_block(height))),
        }
    }

    /// What Hashtable has under each of these heights.
    pub(crate) async fn entries(&self, from: u64, to: u64) -> Result<Vec<Option<Bytes>>, Stop> {
        let names: Vec<Hash> =
            (from..to).map(|height| AtHeight::name(&self.chain.domain, height)).collect();
        self.patiently("asking which blocks are stored", || self.remote.documents(&names)).await
    }

    /// Numbers alone do not tell one history from another: is the newest record of
    /// Hashtable the one that Graphstore has of its number? `sealed`: the last in a block.
    pub(crate) async fn compare_newest(&self, stored: u64, sealed: u64) -> Result<(), Stop> {
        let Some(before) = stored.checked_sub(1) else { return Ok(()) };
        let names = self.names(before, 1).await?;
        let record = || self.remote.record(stored);
        let record = self.patiently("asking for a record", record).await?;
        match names.first().zip(record) {
            Some((name, record)) if *name != record.hash => {
                Err(Stop::Apart(guard::two_histories(stored, sealed)))
            }
            _ => Ok(()),
        }
    }

    /// Asks the other stores where they stand; and which block is the newest of the log and
    /// of Graphstore.
    async fn look(&self, published: Option<&Last>) -> Result<(Stores, Option<(u64, Hash)>), Stop> {
        // Hashtable first: gateways clear meanwhile, and what it has Graphstore had before.
        let (stored, status) = (self.stored().await?, self.graphstore().await?);
        if status.domain != self.chain.domain {
            return Err(Stop::Apart(format!(
                "this Graphstore is of {}, the log of {}",
                status.domain, self.chain.domain
            )));
        }
        let intent = |height| async move {
            let intents = self.intents(height, 1).await?;
            Ok(intents.into_iter().next().filter(|intent| intent.height == height))
        };
        let last = match status.intent_height {
            Some(height) => intent(height).await?,
            None => None,
        };
        let same = match published {
            Some(published) => intent(published.height).await?.is_some_and(|intent| {
                document::name(&intent.block).is_ok_and(|name| name == published.hash)
            }),
            None => false,
        };
        let files = published.is_none() && {
            let files = self.reader.store.has_any();
            files.map_err(|error| failed(LogError::Io("tile".into(), error)))?
        };
        let newest = {
            let published = published.map(|last| (last.height, last.hash));
            match last.as_ref().filter(|last| published.is_none_or(|(at, _)| last.height > at)) {
                Some(last) => Some(named(last)?),
                None => published,
            }
        };
        let stores = Stores {
            published: published.map(|last| last.height),
            files,
            intent: status.intent_height,
            same,
            intended: last.map_or(0, |intent| intent.cleared),
            number: status.number,
            stored,
        };
        Ok((stores, newest))
    }

    /// Where the first intended block ends that reaches the size of a published log;
    /// where the last one ends, if none does.
    pub(crate) async fn intended_end(&self, published: u64) -> Result<u64, Stop> {
        let (mut height, mut end) = (0, 0);
        loop {
            let intents = self.intents(height, INTENTS).await?;
            if intents.is_empty() {
                return Ok(end);
            }
            for intent in intents {
                end = end_of(&intended(&intent)?);
                if end >= published {
                    return Ok(end);
                }
                height = intent.height + 1;
            }
        }
    }

    /// Graphstore's last intent: its height, and the name of its block.
    pub(crate) async fn newest_intent(&self) -> Result<Option<(u64, Hash)>, Stop> {
        self.last_intent().await?.as_ref().map(named).transpose()
    }

    /// Graphstore's last intent.
    async fn last_intent(&self) -> Result<Option<Intent>, Stop> {
        let Some(height) = self.graphstore().await?.intent_height else { return Ok(None) };
        Ok(self.intents(height, 1).await?.into_iter().next())
    }

    /// Writes every block that was intended and not published.
    pub(crate) async fn catch_up(&mut self) -> Result<(), Stop> {
        if let Some(last) = self.last_intent().await? {
            (self.publish_from, self.publish_size) = (last.height, end_of(&intended(&last)?));
        }
        loop {
            let intents = self.intents(self.chain.height(), INTENTS).await?;
            if intents.is_empty() {
                return Ok(());
            }
            for intent in intents {
                self.still_needed()?;
                self.repeat(intent).await?;
            }
        }
    }

    /// Makes a block again as it was intended.
    async fn repeat(&mut self, intent: Intent) -> Result<(), Stop> {
        let height = intent.height;
        let block = intended(&intent)?;
        let mut parts = Parts::default();
        for document in &intent.documents {
            let leaf = Leaf::parse(document, &self.chain.domain);
            parts.documents.push(leaf.map_err(|why| unfit(height, why))?);
        }
        let mut after = self.chain.cleared();
        while after < intent.cleared {
            let records = self.records(after, intent.cleared - after).await?;
            if records.is_empty() {
                return Err(Stop::ReadOnly(format!(
                    "the records of block {height}, which Graphstore intends, are in neither Graphstore nor Hashtable; run `webwallet rebuild hashtable` where the log has them, or restore the Hashtable that does"
                )));
            }
            after += records.len() as u64;
            parts.records.extend(records);
        }
        if !self.rehearses {
            self.store(&parts.records).await?;
        }
        let signature = block.header.signature.clone();
        let time = block.header.time;
        if height != self.chain.height() || self.block(&parts, time, signature) != block {
            return Err(unfit(height, "it does not follow from the block before and its records"));
        }
        if !self.is_signed(&parts, &block) {
            return Err(unfit(height, "its signature is not the log's"));
        }
        self.commit(parts, block).await
    }

    /// Is the line in a block that of the log's key on the checkpoint before?
    fn is_signed(&self, parts: &Parts, block: &Block) -> bool {
        let line = SignatureLine::parse(&block.header.signature);
        let text = self.chain.checkpoint().text();
        self.chain.signer(parts).zip(line.ok()).is_some_and(|(key, line)| key.verify(&text, &line))
    }
}
