//! The chain of blocks: what of it is needed to make the next one.
//!
//! A block is a pure function of the chain before it, its leaves and its time.
//! The same function makes a block, makes it again after a crash, and checks
//! what is read from disk: recovery has no code of its own.

use std::sync::Arc;

use webwallet_ledger::block::{Block, Genesis, Header, Stack};
use webwallet_ledger::checkpoint::Checkpoint;
use webwallet_ledger::leaf::Leaf;
use webwallet_ledger::merkle::{Node, Range, Sha3, Sha256, TreeHash as _};
use webwallet_ledger::note::VerifierKey;
use webwallet_ledger::{Hash, Record, Time};

/// The last block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Last {
    pub(crate) height: u64,
    pub(crate) hash: Hash,
    pub(crate) time: Time,
    /// Number of the last record in it or before it.
    pub(crate) cleared: u64,
}

impl Last {
    pub(crate) fn of(block: &Block) -> Last {
        let Header { height, time, cleared, .. } = block.header;
        Last { height, hash: block.hash, time, cleared }
    }
}

/// All blocks so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) domain: String,
    pub(crate) last: Option<Last>,
    /// The log they are in.
    pub(crate) log: Range<Sha256>,
    pub(crate) genesis: Option<Hash>,
    /// Every key that signed, oldest first.
    pub(crate) keys: Vec<VerifierKey>,
    /// The leaf of each stack.
    pub(crate) stacks: Vec<u64>,
    /// The last stack.
    pub(crate) stack: Option<Hash>,
    /// The blocks that are in no stack yet, and the first of them.
    pub(crate) open: Range<Sha3>,
    pub(crate) open_first: u64,
}

/// The leaves of one block, its document not counted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parts {
    /// Genesis, stack, keys, in this order.
    pub(crate) documents: Vec<Leaf>,
    pub(crate) records: Vec<Entry>,
}

/// A record on its way into a block.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) record: Arc<Record>,
    /// Its leaf in the log's tree and in the block's.
    log: Node,
    block: Node,
}

impl Entry {
    pub(crate) fn new(record: Arc<Record>) -> Entry {
        let (log, block) = (Sha256::leaf(&record.bytes), Sha3::leaf(&record.bytes));
        Entry { record, log, block }
    }
}

impl Parts {
    /// The bytes of each leaf, in order, with its hash in the log's tree.
    pub(crate) fn leaves(&self) -> impl Iterator<Item = (&[u8], Node)> {
        let documents =
            self.documents.iter().map(|leaf| (leaf.bytes(), Sha256::leaf(leaf.bytes())));
        documents.chain(self.records.iter().map(|entry| (&entry.record.bytes[..], entry.log)))
    }

    fn root(&self) -> Node {
        let mut tree = Range::<Sha3>::new();
        self.documents.iter().for_each(|leaf| tree.push(Sha3::leaf(leaf.bytes())));
        self.records.iter().for_each(|entry| tree.push(entry.block));
        tree.root()
    }

    /// The genesis among them.
    pub(crate) fn genesis(&self) -> Option<&Genesis> {
        self.documents.iter().find_map(|leaf| match leaf {
            Leaf::Genesis(genesis) => Some(genesis),
            _ => None,
        })
    }
}

impl Chain {
    /// No block yet.
    pub(crate) fn new(domain: &str) -> Chain {
        Chain {
            domain: domain.to_owned(),
            last: None,
            log: Range::new(),
            genesis: None,
            keys: Vec::new(),
            stacks: Vec::new(),
            stack: None,
            open: Range::new(),
            open_first: 0,
        }
    }

    /// The key that signs the checkpoint before a block of these leaves.
    pub(crate) fn signer<'a>(&'a self, parts: &'a Parts) -> Option<&'a VerifierKey> {
        self.keys.last().or(parts.genesis().map(|genesis| &genesis.key))
    }

    /// The height of the next block.
    pub(crate) fn height(&self) -> u64 {
        self.last.as_ref().map_or(0, |last| last.height + 1)
    }

    /// Number of the last record in it; 0 = none.
    pub(crate) fn cleared(&self) -> u64 {
        self.last.as_ref().map_or(0, |last| last.cleared)
    }

    /// What the log says of itself now.
    pub(crate) fn checkpoint(&self) -> Checkpoint {
        Checkpoint { origin: self.domain.clone(), size: self.log.size(), root: self.log.root() }
    }

    /// Must a block of this time begin with a stack?
    pub(crate) fn ends_a_day(&self, time: Time) -> bool {
        self.last.as_ref().is_some_and(|last| time.day() > last.time.day())
    }

    /// The stack of all blocks since the last one; `None` before block 0.
    pub(crate) fn next_stack(&self) -> Option<Stack> {
        let last = self.last.as_ref()?;
        let previous = self.stack.or(self.genesis)?;
        let (height, blocks) = (self.stacks.len() as u64, self.open.size());
        let root = self.open.root();
        let (domain, first) = (&self.domain, self.open_first);
        Some(Stack::new(domain, height, last.time, previous, first, blocks, root))
    }

    /// The block that these leaves make after this chain. `signature` is the
    /// log's line on the checkpoint before, `roots` those of state and units.
    pub(crate) fn block(
        &self,
        parts: &Parts,
        time: Time,
        signature: String,
        roots: (Node, Node),
    ) -> Block {
        let nothing = Hash([0; 32]);
        let genesis = parts.genesis().map(|genesis| genesis.hash);
        let previous = self.last.as_ref().map(|last| last.hash).or(genesis);
        let records = parts.records.len() as u64;
        Block::new(Header {
            domain: self.domain.clone(),
            height: self.height(),
            // Block 0 always has a genesis; without one nobody accepts it.
            previous: previous.unwrap_or(nothing),
            first: self.log.size(),
            leaves: parts.documents.len() as u64 + records,
            records,
            cleared: self.cleared() + records,
            time,
            root: parts.root(),
            log: self.log.root(),
            signature,
            state: roots.0,
            units: roots.1,
        })
    }

    /// Takes in a block that was made after this chain.
    pub(crate) fn push(&mut self, parts: &Parts, block: &Block) {
        for document in &parts.documents {
            match document {
                Leaf::Genesis(genesis) => {
                    self.genesis = Some(genesis.hash);
                    self.keys.push(genesis.key.clone());
                }
                Leaf::Keys(keys) => self.keys.push(keys.new.clone()),
                Leaf::Stack(stack) => {
                    self.stacks.push(self.log.size());
                    self.stack = Some(stack.hash);
                    self.open = Range::new();
                    self.open_first = block.header.height;
                }
                Leaf::Record(_) | Leaf::Block(_) => {}
            }
        }
        parts.leaves().for_each(|(_, leaf)| self.log.push(leaf));
        self.log.push(Sha256::leaf(&block.bytes));
        self.open.push(Sha3::leaf(&block.hash.0));
        self.last = Some(Last::of(block));
    }
}
