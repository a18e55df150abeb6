//! Reading what is published: parts of the log, proofs and receipts.
//!
//! Every proof is checked before it is answered, so that damage on disk shows
//! as an error here and never as a proof that fails at a stranger's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;
use webwallet_ledger::block::{Block, Stack};
use webwallet_ledger::checkpoint::Checkpoint;
use webwallet_ledger::merkle::{self, Node, Sha256, TreeHash as _};
use webwallet_ledger::receipt::Receipt;
use webwallet_ledger::state::{Proof, State};
use webwallet_ledger::tile::TileId;
use webwallet_ledger::{AccountId, Address, Hash, Record, document, note};

use crate::chain::Chain;
use crate::index::{Index, Place};
use crate::log::{Log, LogError};
use crate::snapshot::Snapshots;
use crate::store::Store;
use crate::view::{Head, View};

/// How long old balances are kept for another question: they are as large as all the new ones.
const PAST_KEPT: Duration = Duration::from_secs(60);
/// Stands for the number of balances that are being worked on.
const AT_WORK: u64 = u64::MAX;

/// All that serving and sealing share.
pub(crate) struct Reader<S> {
    pub(crate) store: Arc<S>,
    pub(crate) index: Index,
    pub(crate) snapshots: Snapshots,
    pub(crate) view: watch::Sender<View>,
    live: Mutex<Balances>,
    /// Their number, or [`AT_WORK`]: told without the lock, which each proof holds for a moment.
    stands: AtomicU64,
    /// The balances that were last asked for by height, and when: the next question is
    /// often about the same.
    past: Mutex<Option<(Instant, Balances)>>,
}

/// Every account after a record.
#[derive(Default)]
pub(crate) struct Balances {
    /// The record; 0 = before the first.
    pub(crate) number: u64,
    pub(crate) state: State,
}

/// What a balance is asked of.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Of {
    Account(AccountId),
    Unit(Address),
}

/// A leaf and the path from it to a root.
pub(crate) struct Included {
    pub(crate) leaf: Vec<u8>,
    pub(crate) path: Vec<Node>,
}

impl<S: Store> Reader<S> {
    pub(crate) fn new(store: Arc<S>, index: Index, snapshots: Snapshots, view: View) -> Reader<S> {
        let view = watch::Sender::new(view);
        let (live, stands, past) = (Mutex::default(), AtomicU64::new(0), Mutex::default());
        Reader { store, index, snapshots, view, live, stands, past }
    }

    /// The balances after the last record that was taken into a block, published
    /// or about to be.
    pub(crate) fn live(&self) -> MutexGuard<'_, Balances> {
        self.live.lock()
    }

    /// Changes them, or has them for as long as a disk takes; meanwhile they stand nowhere.
    pub(crate) fn work_on_live<T>(&self, work: impl FnOnce(&mut Balances) -> T) -> T {
        self.stands.store(AT_WORK, Ordering::SeqCst);
        let mut live = self.live();
        let done = work(&mut live);
        self.stands.store(live.number, Ordering::SeqCst);
        done
    }

    /// Are these at hand now, after this record?
    pub(crate) fn stands_at(&self, number: u64) -> bool {
        self.stands.load(Ordering::SeqCst) == number
    }

    /// Drops old balances that nobody has asked for in a while.
    pub(crate) fn forget_past(&self) {
        // Whoever is asking has the lock.
        if let Some(mut past) = self.past.try_lock() {
            past.take_if(|(asked, _)| asked.elapsed() >= PAST_KEPT);
        }
    }

    /// The last published block.
    pub(crate) fn head(&self) -> Option<Arc<Head>> {
        self.view.borrow().head.clone()
    }

    fn log(&self, head: &Head) -> Log<S> {
        Log::new(self.store.clone(), head.size())
    }

    /// Is the chain of a snapshot the beginning of this log?
    pub(crate) fn is_after(&self, chain: &Chain, log: &Log<S>) -> bool {
        let Some(last) = &chain.last else { return false };
        let place = self.index.get(last.height).ok().flatten();
        place.is_some_and(|place| place.hash == last.hash && place.size == chain.log.size())
            && log.root(chain.log.size()).is_ok_and(|root| root == chain.log.root())
    }

    /// Forgets the snapshot before the last if those beside it are less than so
    /// many records apart: one of a server's end, between two regular ones.
    pub(crate) fn thin_snapshots(&self, apart: u64) -> std::io::Result<()> {
        let heights = self.snapshots.heights(u64::MAX)?;
        let [.., before, middle, after] = heights[..] else { return Ok(()) };
        let cleared = |height| self.index.get(height).map(|place| place.map(|p| p.cleared));
        match (cleared(before)?, cleared(after)?) {
            (Some(first), Some(last)) if last - first < apart => self.snapshots.remove(middle),
            _ => Ok(()),
        }
    }

    /// The first leaf of the block that holds a record.
    pub(crate) fn first_leaf_of(&self, number: u64) -> Result<u64, LogError> {
        let head = self.head().ok_or_else(|| LogError::Missing("the first block".into()))?;
        let height = self.find(&head, |place| place.cleared >= number)?;
        let height = height.ok_or_else(|| LogError::Missing(format!("record {number}")))?;
        self.start_of(height).map(|(first, _)| first)
    }

    fn find(&self, head: &Head, holds: impl Fn(&Place) -> bool) -> Result<Option<u64>, LogError> {
        self.index.first(head.height() + 1, holds).map_err(indexing)
    }

    /// Leaves and records before a block.
    pub(crate) fn start_of(&self, height: u64) -> Result<(u64, u64), LogError> {
        let Some(before) = height.checked_sub(1) else { return Ok((0, 0)) };
        let place = self.place(before)?;
        Ok((place.size, place.cleared))
    }

    /// Where the block of this height ends.
    pub(crate) fn place(&self, height: u64) -> Result<Place, LogError> {
        let place = self.index.get(height).map_err(indexing)?;
        place.ok_or_else(|| LogError::Missing(format!("the place of block {height}")))
    }

    /// The block of this height.
    pub(crate) fn block(&self, height: u64) -> Result<Option<Block>, LogError> {
        let Some(head) = self.head().filter(|head| height <= head.height()) else {
            return Ok(None);
        };
        if height == head.height() {
            return Ok(Some(head.block.clone()));
        }
        let place = self.place(height)?;
        let index = place.size.saturating_sub(1);
        let leaf = self.log(&head).leaf(index)?;
        let block = Block::parse(&leaf).map_err(|why| LogError::leaf(index, why))?;
        match block.hash == place.hash {
            true => Ok(Some(block)),
            false => Err(LogError::leaf(index, format!("it is not block {height}"))),
        }
    }

    /// The block of this name.
    pub(crate) fn named(&self, name: &Hash) -> Result<Option<Block>, LogError> {
        let Some(head) = self.head() else { return Ok(None) };
        match self.index.named(name, head.height() + 1).map_err(indexing)? {
            Some(height) => self.block(height),
            None => Ok(None),
        }
    }

    /// The records of a block: number, name and bytes.
    pub(crate) fn records(&self, block: &Block) -> Result<Vec<(u64, Hash, Vec<u8>)>, LogError> {
        let Some(head) = self.head() else { return Ok(Vec::new()) };
        let header = &block.header;
        let number = header.cleared - header.records;
        let first = header.first + (header.leaves - header.records);
        let log = self.log(&head);
        let leaves = log.leaves(first).take(header.records as usize);
        let record = |(number, leaf): (u64, Result<(u64, Vec<u8>), LogError>)| {
            let (index, bytes) = leaf?;
            let hash = document::name(&bytes).map_err(|why| LogError::leaf(index, why))?;
            Ok((number, hash, bytes))
        };
        (number + 1..).zip(leaves).map(record).collect()
    }

    /// The stack of this height.
    pub(crate) fn stack(&self, height: Option<u64>) -> Result<Option<Stack>, LogError> {
        let view = self.view.borrow().clone();
        let leaf = match height {
            Some(height) => usize::try_from(height).ok().and_then(|at| view.stacks.get(at)),
            None => view.stacks.last(),
        };
        let (Some(head), Some(&index)) = (view.head, leaf) else { return Ok(None) };
        let leaf = self.log(&head).leaf(index)?;
        Stack::parse(&leaf).map(Some).map_err(|why| LogError::leaf(index, why))
    }

    /// The checkpoint of a size at which a block ended: a signed note.
    pub(crate) fn checkpoint(&self, size: u64) -> Result<Option<String>, LogError> {
        let Some(head) = self.head() else { return Ok(None) };
        if size == head.size() {
            return Ok(Some(head.note.clone()));
        }
        // The block after it holds its root and its signature.
        let height = self.find(&head, |place| place.size > size)?;
        let Some(block) = height.map(|height| self.block(height)).transpose()?.flatten() else {
            return Ok(None);
        };
        if block.header.first != size {
            return Ok(None);
        }
        let text = Checkpoint { origin: block.header.domain, size, root: block.header.log }.text();
        Ok(Some(note::write(&text, &[&block.header.signature])))
    }

    /// The bytes of a tile or bundle.
    pub(crate) fn tile(&self, tile: TileId) -> Result<Option<Vec<u8>>, LogError> {
        let Some(head) = self.head() else { return Ok(None) };
        self.log(&head).tile(tile)
    }

    /// The leaf of a record, and the block it is in.
    pub(crate) fn leaf_of(&self, number: u64) -> Result<Option<(u64, u64)>, LogError> {
        let Some(head) = self.head().filter(|_| number > 0) else { return Ok(None) };
        let height = self.find(&head, |place| place.cleared >= number)?;
        let Some(height) = height else { return Ok(None) };
        let (_, before) = self.start_of(height)?;
        let place = self.place(height)?;
        // Records are the last leaves before the block's own document.
        let after = place.cleared.saturating_sub(number);
        match place.size.checked_sub(2 + after) {
            Some(leaf) if number > before => Ok(Some((leaf, height))),
            _ => Err(LogError::damaged("the index of blocks", "it is out of order")),
        }
    }

    /// The path from a leaf to the root of the tree of this size; `None` if the
    /// leaf is not in it, or it is not published.
    pub(crate) fn inclusion(&self, index: u64, size: u64) -> Result<Option<Included>, LogError> {
        let Some(head) = self.head().filter(|head| index < size && size <= head.size()) else {
            return Ok(None);
        };
        let log = self.log(&head);
        let leaf = log.leaf(index)?;
        let path = merkle::inclusion::<Sha256, LogError>(index, size, &mut log.subtrees())?;
        let root = if size == head.size() { head.checkpoint.root } else { log.root(size)? };
        merkle::check_inclusion::<Sha256>(Sha256::leaf(&leaf), index, size, &path, &root)
            .map_err(|why| LogError::leaf(index, why))?;
        Ok(Some(Included { leaf, path }))
    }

    /// The path from the tree of one size to that of another; `None` if that is
    /// not published.
    pub(crate) fn consistency(&self, from: u64, to: u64) -> Result<Option<Vec<Node>>, LogError> {
        let Some(head) = self.head().filter(|head| from <= to && to <= head.size()) else {
            return Ok(None);
        };
        let log = self.log(&head);
        let path = merkle::consistency::<Sha256, LogError>(from, to, &mut log.subtrees())?;
        if from > 0 {
            let (old, new) = (log.root(from)?, log.root(to)?);
            merkle::check_consistency::<Sha256>(from, to, &path, &old, &new)
                .map_err(|why| LogError::damaged("a tile", why))?;
        }
        Ok(Some(path))
    }

    /// The receipt of a record under its own block's checkpoint, and the block's
    /// height; `None` if it is not sealed.
    pub(crate) fn receipt(&self, number: u64) -> Result<Option<(Receipt, Hash, u64)>, LogError> {
        let Some((index, height)) = self.leaf_of(number)? else { return Ok(None) };
        let size = self.place(height)?.size;
        let (Some(Included { leaf: record, path }), Some(checkpoint)) =
            (self.inclusion(index, size)?, self.checkpoint(size)?)
        else {
            return Ok(None);
        };
        let receipt = Receipt { record, index, path, checkpoint };
        let keys = self.view.borrow().keys.clone();
        if keys.is_empty() {
            return Err(LogError::Missing("the log's keys, until all of it has been read".into()));
        }
        let verified = receipt.verify(&keys).map_err(|why| LogError::leaf(index, why))?;
        match verified.record.number == number {
            true => Ok(Some((receipt, verified.record.hash, height))),
            false => Err(LogError::leaf(index, format!("it is not record {number}"))),
        }
    }

    /// What an account or a unit stood at after a block; `None` if there is no
    /// such block. Where that is the last one it takes no time; else balances
    /// are made again from a snapshot and the records after it, one question at
    /// a time.
    pub(crate) fn proof(&self, of: Of, height: u64) -> Result<Option<(Proof, Block)>, LogError> {
        let Some(block) = self.block(height)? else { return Ok(None) };
        {
            let mut live = self.live();
            if live.number == block.header.cleared {
                return proof(&mut live.state, of, block).map(Some);
            }
        }
        let mut past = self.past.lock();
        let number = block.header.cleared;
        let kept = past.take().map(|(_, past)| past).filter(|past| past.number <= number);
        let mut balances = self.nearest(height, kept)?;
        let head = self.head().ok_or_else(|| LogError::Missing("the log".into()))?;
        let log = self.log(&head);
        let first = match balances.number {
            0 => 0,
            // The leaf after the last record taken in.
            done => self.leaf_of(done)?.map_or(0, |(leaf, _)| leaf + 1),
        };
        for leaf in log.leaves(first) {
            if balances.number >= number {
                break;
            }
            let (index, bytes) = leaf?;
            if document::is_record(&bytes) {
                let record = Record::parse(&bytes).map_err(|why| LogError::leaf(index, why))?;
                balances.state.apply(&record);
                balances.number = record.number;
            }
        }
        let answer = proof(&mut balances.state, of, block)?;
        *past = Some((Instant::now(), balances));
        Ok(Some(answer))
    }

    /// The nearest balances before a block: those kept of before it, a snapshot's, or none at all.
    fn nearest(&self, height: u64, mut kept: Option<Balances>) -> Result<Balances, LogError> {
        let failed = |error| LogError::Io("a snapshot".into(), error);
        let mut heights = self.snapshots.heights(height).map_err(failed)?;
        while let Some(at) = heights.pop() {
            let place = self.place(at)?;
            // What is older goes before another is read: each is as large as all balances.
            if let Some(kept) = kept.take_if(|kept| kept.number >= place.cleared) {
                tracing::trace!(number = kept.number, "going on from the balances kept");
                return Ok(kept);
            }
            kept = None;
            let domain = self.head().map(|head| head.checkpoint.origin.clone());
            let read = self.snapshots.read(at, &domain.unwrap_or_default());
            let roots = self.block(at)?.map(|block| (block.header.state, block.header.units));
            if let Ok((chain, mut state)) = read
                && Some(state.roots()) == roots
            {
                return Ok(Balances { number: chain.cleared(), state });
            }
            tracing::warn!(height = at, "a snapshot is damaged and not used");
        }
        Ok(kept.unwrap_or_default())
    }
}

/// The proof out of balances that must give the block's roots.
fn proof(state: &mut State, of: Of, block: Block) -> Result<(Proof, Block), LogError> {
    if state.roots() != (block.header.state, block.header.units) {
        let what = format!("the records up to block {}", block.header.height);
        return Err(LogError::damaged(what, "they do not give its state"));
    }
    let proof = match of {
        Of::Account(account) => state.prove_account(&account),
        Of::Unit(unit) => state.prove_unit(&unit),
    };
    Ok((proof, block))
}

fn indexing(error: std::io::Error) -> LogError {
    LogError::Io("the index of blocks".into(), error)
}
