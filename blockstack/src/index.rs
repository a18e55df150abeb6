//! Where each block ends, by height: how a record, a leaf or a size is found.
//!
//! A file of 48 bytes a block, so that it costs no memory however long the log
//! is. It may be lost: it is made again from the log.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use webwallet_ledger::Hash;

const ENTRY_BYTES: usize = 48;

/// Where one block ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Leaves of the log up to its end, its own document included.
    pub(crate) size: u64,
    /// Number of the last record in it or before it.
    pub(crate) cleared: u64,
    pub(crate) hash: Hash,
}

/// The places of all blocks, from block 0.
pub(crate) struct Index {
    file: File,
    blocks: AtomicU64,
}

impl Index {
    pub(crate) fn open(path: &Path) -> io::Result<Index> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(path)?;
        // Half an entry at the end is of a crash.
        let blocks = file.metadata()?.len() / ENTRY_BYTES as u64;
        Ok(Index { file, blocks: AtomicU64::new(blocks) })
    }

    /// The block of this height, if it is there.
    pub(crate) fn get(&self, height: u64) -> io::Result<Option<Place>> {
        if height >= self.blocks.load(Ordering::Acquire) {
            return Ok(None);
        }
        let mut bytes = [0; ENTRY_BYTES];
        self.file.read_exact_at(&mut bytes, height * ENTRY_BYTES as u64)?;
        let number = |at: usize| {
            let mut eight = [0; 8];
            eight.copy_from_slice(&bytes[at..at + 8]);
            u64::from_be_bytes(eight)
        };
        let mut hash = [0; 32];
        hash.copy_from_slice(&bytes[16..]);
        Ok(Some(Place { size: number(0), cleared: number(8), hash: Hash(hash) }))
    }

    /// Writes the block of this height, and forgets all after it.
    pub(crate) fn set(&self, height: u64, place: &Place) -> io::Result<()> {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..8].copy_from_slice(&place.size.to_be_bytes());
        bytes[8..16].copy_from_slice(&place.cleared.to_be_bytes());
        bytes[16..].copy_from_slice(&place.hash.0);
        self.file.write_all_at(&bytes, height * ENTRY_BYTES as u64)?;
        self.blocks.store(height + 1, Ordering::Release);
        Ok(())
    }

    /// Which of `blocks` blocks has this name. Reads all of them, some 10 ms a million.
    pub(crate) fn named(&self, name: &Hash, blocks: u64) -> io::Result<Option<u64>> {
        const PIECE: u64 = 4_096;
        let blocks = blocks.min(self.blocks.load(Ordering::Acquire));
        let mut bytes = vec![0; ENTRY_BYTES * PIECE as usize];
        let mut first = 0;
        while first < blocks {
            let count = PIECE.min(blocks - first);
            let piece = &mut bytes[..ENTRY_BYTES * count as usize];
            self.file.read_exact_at(piece, first * ENTRY_BYTES as u64)?;
            let mut entries = piece.chunks_exact(ENTRY_BYTES);
            if let Some(at) = entries.position(|entry| entry[16..] == name.0) {
                return Ok(Some(first + at as u64));
            }
            first += count;
        }
        Ok(None)
    }

    /// The first of `blocks` blocks of which this holds; it must hold for all
    /// after it.
    pub(crate) fn first(
        &self,
        blocks: u64,
        holds: impl Fn(&Place) -> bool,
    ) -> io::Result<Option<u64>> {
        let (mut from, mut to) = (0, blocks);
        while from < to {
            let middle = from + (to - from) / 2;
            match self.get(middle)? {
                Some(place) if !holds(&place) => from = middle + 1,
                _ => to = middle,
            }
        }
        Ok((from < blocks).then_some(from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The wrong block would give a receipt that verifies nowhere.
    #[test]
    fn each_number_is_found_in_its_block_and_a_torn_entry_is_forgotten() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("blocks");
        let index = Index::open(&path).expect("open");
        let place = |size, cleared| Place { size, cleared, hash: Hash::sha3(b"x") };
        let places = [place(2, 0), place(6, 3), place(7, 3), place(12, 7)];
        for (height, place) in (0..).zip(&places) {
            index.set(height, place).expect("set");
        }
        let of_number = |n| index.first(4, |place| place.cleared >= n).expect("found");
        assert_eq!([1, 3, 4, 7, 8].map(of_number), [Some(1), Some(1), Some(3), Some(3), None]);
        let of_leaf = |n| index.first(4, |place| place.size > n).expect("found");
        assert_eq!(
            [0, 1, 2, 6, 7, 12].map(of_leaf),
            [0, 0, 1, 2, 3, 9].map(|h| (h < 9).then_some(h))
        );
        let file = OpenOptions::new().write(true).open(&path).expect("open");
        file.set_len(3 * 48 + 47).expect("torn");
        let index = Index::open(&path).expect("open");
        assert_eq!(index.get(2).expect("get"), Some(places[2]));
        assert_eq!(index.get(3).expect("get"), None);
    }
}
