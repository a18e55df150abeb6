//! The log read again, block by block: at a start, for an old balance, and to
//! rebuild another store.

use tokio::sync::watch;
use webwallet_ledger::Record;
use webwallet_ledger::block::Block;
use webwallet_ledger::document;
use webwallet_ledger::leaf::Leaf;
use webwallet_ledger::state::State;

use crate::chain::{Chain, Entry, Parts};
use crate::index::{Index, Place};
use crate::log::{Leaves, Log, LogError};
use crate::store::Store;

/// The blocks of a log from some leaf on, which must be the first of one.
pub(crate) struct Blocks<'l, S> {
    leaves: Leaves<'l, S>,
    domain: &'l str,
}

impl<'l, S: Store> Blocks<'l, S> {
    pub(crate) fn new(log: &'l Log<S>, first: u64, domain: &'l str) -> Blocks<'l, S> {
        Blocks { leaves: log.leaves(first), domain }
    }
}

impl<S: Store> Iterator for Blocks<'_, S> {
    type Item = Result<(Parts, Box<Block>), LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut parts = Parts::default();
        loop {
            let (index, bytes) = match self.leaves.next()? {
                Ok(leaf) => leaf,
                Err(error) => return Some(Err(error)),
            };
            if document::is_record(&bytes) {
                match Record::parse(&bytes) {
                    Ok(record) => parts.records.push(Entry::new(record.into())),
                    Err(why) => return Some(Err(LogError::leaf(index, why))),
                }
                continue;
            }
            match Leaf::parse(&bytes, self.domain) {
                Ok(Leaf::Block(block)) => return Some(Ok((parts, block))),
                Ok(leaf) => parts.documents.push(leaf),
                Err(why) => return Some(Err(LogError::leaf(index, why))),
            }
        }
    }
}

/// Goes on from a chain and its state to the end of the log, making every block
/// again and comparing it; not to the end if nobody needs it any more.
pub(crate) fn follow<S: Store>(
    log: &Log<S>,
    chain: &mut Chain,
    state: &mut State,
    index: &Index,
    ended: &watch::Receiver<bool>,
) -> Result<(), LogError> {
    let domain = chain.domain.clone();
    for block in Blocks::new(log, chain.log.size(), &domain) {
        let (parts, block) = block?;
        if *ended.borrow() {
            break;
        }
        parts.records.iter().for_each(|entry| state.apply(&entry.record));
        let header = &block.header;
        let made = chain.block(&parts, header.time, header.signature.clone(), state.roots());
        if made != *block {
            let what = format!("block {}", header.height);
            return Err(LogError::damaged(what, "it does not follow"));
        }
        chain.push(&parts, &block);
        let (size, cleared) = (chain.log.size(), header.cleared);
        let place = Place { size, cleared, hash: block.hash };
        let failed = |error| LogError::Io("the index of blocks".into(), error);
        index.set(header.height, &place).map_err(failed)?;
    }
    Ok(())
}
