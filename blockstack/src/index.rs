//! Where each block ends, by height: how a record, a leaf or a size is found.
//!
//! A file of 52 bytes a block, so that it costs no memory however long the log
//! is. It may be lost, from any block on: it is made again from the log.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use webwallet_ledger::Hash;

/// Size, records, name, and the CRC-32C of these and of the height.
const ENTRY_BYTES: usize = 52;
const SUMMED_BYTES: usize = 48;
/// Entries read at a time.
const PIECE: u64 = 4_096;

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
        let entries = file.metadata()?.len() / ENTRY_BYTES as u64;
        let index = Index { file, blocks: AtomicU64::new(entries) };
        // What stands after one that is damaged is of no use: everything before is needed.
        let damaged = index.position(entries, |height, entry| entry != entry_of(height, entry))?;
        if let Some(height) = damaged {
            tracing::warn!(height, file = %path.display(), "the index of blocks is damaged, and made again from there");
            index.file.set_len(height * ENTRY_BYTES as u64)?;
            index.blocks.store(height, Ordering::Release);
        }
        Ok(index)
    }

    /// The first of these entries of which this holds. Reads all before it, some 10 ms a
    /// million.
    fn position(
        &self,
        entries: u64,
        holds: impl Fn(u64, &[u8]) -> bool,
    ) -> io::Result<Option<u64>> {
        let mut bytes = vec![0; ENTRY_BYTES * PIECE as usize];
        let mut first = 0;
        while first < entries {
            let count = PIECE.min(entries - first);
            let piece = &mut bytes[..ENTRY_BYTES * count as usize];
            self.file.read_exact_at(piece, first * ENTRY_BYTES as u64)?;
            let mut piece = (first..).zip(piece.chunks_exact(ENTRY_BYTES));
            if let Some((height, _)) = piece.find(|(height, entry)| holds(*height, entry)) {
                return Ok(Some(height));
            }
            first += count;
        }
        Ok(None)
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
        hash.copy_from_slice(&bytes[16..SUMMED_BYTES]);
        Ok(Some(Place { size: number(0), cleared: number(8), hash: Hash(hash) }))
    }

    /// Writes the block of this height, and forgets all after it.
    pub(crate) fn set(&self, height: u64, place: &Place) -> io::Result<()> {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..8].copy_from_slice(&place.size.to_be_bytes());
        bytes[8..16].copy_from_slice(&place.cleared.to_be_bytes());
        bytes[16..SUMMED_BYTES].copy_from_slice(&place.hash.0);
        self.file.write_all_at(&entry_of(height, &bytes), height * ENTRY_BYTES as u64)?;
        self.blocks.store(height + 1, Ordering::Release);
        Ok(())
    }

    /// Which of `blocks` blocks has this name.
    pub(crate) fn named(&self, name: &Hash, blocks: u64) -> io::Result<Option<u64>> {
        let blocks = blocks.min(self.blocks.load(Ordering::Acquire));
        self.position(blocks, |_, entry| entry[16..SUMMED_BYTES] == name.0)
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

/// An entry with its sum.
fn entry_of(height: u64, entry: &[u8]) -> [u8; ENTRY_BYTES] {
    let mut bytes = [0; ENTRY_BYTES];
    bytes[..SUMMED_BYTES].copy_from_slice(&entry[..SUMMED_BYTES]);
    let sum = crc32c::crc32c_append(crc32c::crc32c(&bytes[..SUMMED_BYTES]), &height.to_be_bytes());
    bytes[SUMMED_BYTES..].copy_from_slice(&sum.to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The wrong block would give a receipt that verifies nowhere.
    #[test]
    fn each_number_is_found_in_its_block_and_what_is_damaged_is_forgotten() {
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
        file.set_len(4 * 52 - 1).expect("torn");
        let index = Index::open(&path).expect("open");
        assert_eq!(index.get(2).expect("get"), Some(places[2]));
        assert_eq!(index.get(3).expect("get"), None);
        // One bit, anywhere in an entry.
        for at in [52, 60, 70, 103] {
            let mut bytes = std::fs::read(&path).expect("read");
            bytes[at] ^= 1;
            std::fs::write(&path, &bytes).expect("written");
            let damaged = Index::open(&path).expect("open");
            assert_eq!(damaged.get(0).expect("get"), Some(places[0]));
            assert_eq!(damaged.get(1).expect("get"), None, "byte {at}");
            for (height, place) in (1..3).zip(&places[1..]) {
                damaged.set(height, place).expect("set");
            }
        }
    }
}
