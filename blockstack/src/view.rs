//! What is published: the one thing that sealing tells and serving reads.

use std::sync::Arc;

use webwallet_ledger::block::Block;
use webwallet_ledger::checkpoint::Checkpoint;
use webwallet_ledger::note::VerifierKey;

/// Where the log stands, and whether it goes on.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    /// `None` before the first block.
    pub(crate) head: Option<Arc<Head>>,
    /// Every key that signed, oldest first; before the first block, the one
    /// that will, once it is in its file.
    pub(crate) keys: Arc<[VerifierKey]>,
    /// The leaf of each stack.
    pub(crate) stacks: Arc<[u64]>,
    /// Blocks are sealed, of a long log once it is read, unless it is read-only.
    pub(crate) started: bool,
    /// The stores were compared once, and agreed: before that nothing may clear over them.
    pub(crate) compared: bool,
    /// Why nothing is sealed until an operator acts.
    pub(crate) read_only: Option<String>,
    /// What is being tried again just now.
    pub(crate) trouble: Option<String>,
}

/// The last published block.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) block: Block,
    pub(crate) checkpoint: Checkpoint,
    /// The checkpoint as a signed note.
    pub(crate) note: String,
}

impl Head {
    /// Leaves of the log.
    pub(crate) fn size(&self) -> u64 {
        self.checkpoint.size
    }

    /// Height of the block.
    pub(crate) fn height(&self) -> u64 {
        self.block.header.height
    }
}
