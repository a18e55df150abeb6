//! Reading the log: leaves, nodes and proofs out of its files.
//!
//! The files are not trusted. Whoever asks here for a proof checks it against
//! a checkpoint before it is answered; [`Edge::read`] checks where the next
//! leaf goes; and no leaf is given out that is not the one of its hash, since what a
//! record is signed with is no part of its name.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use webwallet_ledger::block::BLOCK_RECORDS_MAX;
use webwallet_ledger::merkle::{self, Node, Sha256, TreeHash as _};
use webwallet_ledger::tile::{
    self, Level, TILE_WIDTH, TileError, TileId, encode_hashes, parse_bundle, parse_hashes,
};

use crate::store::Store;

/// Why the log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A file cannot be read.
    #[error("{0}: {1}")]
    Io(String, #[source] io::Error),
    /// A file is not there, though the checkpoint covers it.
    #[error("{0} is missing")]
    Missing(String),
    /// What stands in a file does not fit the rest of the log.
    #[error("{0} is damaged: {1}")]
    Damaged(String, String),
}

impl LogError {
    pub(crate) fn damaged(what: impl ToString, why: impl ToString) -> LogError {
        LogError::Damaged(what.to_string(), why.to_string())
    }

    /// A leaf that is not what belongs there.
    pub(crate) fn leaf(index: u64, why: impl ToString) -> LogError {
        LogError::damaged(format!("leaf {index}"), why)
    }
}

impl From<TileError> for LogError {
    fn from(error: TileError) -> LogError {
        LogError::damaged("a tile", error)
    }
}

/// The log up to a size.
pub(crate) struct Log<S> {
    files: Arc<S>,
    size: u64,
}

impl<S: Store> Log<S> {
    pub(crate) fn new(files: Arc<S>, size: u64) -> Log<S> {
        Log { files, size }
    }

    /// The bytes of a tile or bundle of the log, cut to the width asked for;
    /// `None` if the log is not that long.
    pub(crate) fn tile(&self, asked: TileId) -> Result<Option<Vec<u8>>, LogError> {
        let Some(bytes) = self.file(asked)? else { return Ok(None) };
        if asked.level == Level::Entries {
            self.leaves_of(asked, &bytes)?;
        }
        Ok(Some(bytes))
    }

    /// The leaves of a bundle, each of which is the one of its hash.
    fn leaves_of<'b>(&self, bundle: TileId, bytes: &'b [u8]) -> Result<Vec<&'b [u8]>, LogError> {
        let leaves = parsed(bundle, bytes)?;
        let mut hashed = leaves.iter().zip(self.hashes_of(bundle)?).enumerate();
        hashed.try_for_each(|(place, (leaf, hash))| is_hashed(bundle, place, leaf, &hash))?;
        Ok(leaves)
    }

    fn hashes_of(&self, bundle: TileId) -> Result<Vec<Node>, LogError> {
        let tile = TileId { level: Level::Hashes(0), ..bundle };
        let bytes = self.file(tile)?.ok_or_else(|| LogError::Missing(tile.path()))?;
        Ok(parse_hashes(&bytes, tile.width)?)
    }

    /// As [`Log::tile`], and of a bundle nothing is looked at: for whoever knows what is in it.
    pub(crate) fn file(&self, asked: TileId) -> Result<Option<Vec<u8>>, LogError> {
        let Some(whole) = TileId::at(asked.level, asked.index, self.size) else { return Ok(None) };
        if asked.width > whole.width {
            return Ok(None);
        }
        // What is on disk may be wider: since the size was looked up the tile
        // may have become full, and then its partial forms go.
        for stored in [asked, whole, whole.full()] {
            let bytes = self.files.get(stored);
            let bytes = bytes.map_err(|error| LogError::Io(stored.path(), error))?;
            if let Some(bytes) = bytes {
                return cut(bytes, stored, asked.width).map(Some);
            }
        }
        Err(LogError::Missing(whole.path()))
    }

    /// The bundle of this number, and its bytes.
    fn bundle(&self, index: u64) -> Result<(TileId, Vec<u8>), LogError> {
        let none = || LogError::Missing(format!("entry bundle {index}"));
        let tile = TileId::at(Level::Entries, index, self.size).ok_or_else(none)?;
        Ok((tile, self.file(tile)?.ok_or_else(none)?))
    }

    /// One leaf. Others of its bundle may be damaged.
    pub(crate) fn leaf(&self, index: u64) -> Result<Vec<u8>, LogError> {
        let width = u64::from(TILE_WIDTH);
        let (bundle, bytes) = self.bundle(index / width)?;
        let place = (index % width) as usize;
        let leaves = parsed(bundle, &bytes)?;
        match (leaves.get(place), self.hashes_of(bundle)?.get(place)) {
            (Some(leaf), Some(hash)) => {
                is_hashed(bundle, place, leaf, hash).map(|()| leaf.to_vec())
            }
            _ => Err(LogError::Missing(format!("leaf {index}"))),
        }
    }

    /// Leaves from one on, in order.
    pub(crate) fn leaves(&self, first: u64) -> Leaves<'_, S> {
        Leaves { log: self, next: first, bundle: Vec::new().into_iter() }
    }

    /// That every full tile and bundle is there. Most are read only when somebody asks for
    /// what is in them, and a lost one is to be known before more is signed over it.
    pub(crate) fn is_whole(&self) -> Result<(), LogError> {
        for tile in tile::tiles_for(0, self.size).filter(TileId::is_full) {
            match self.files.has(tile) {
                Ok(true) => {}
                Ok(false) => {
                    return Err(LogError::damaged(tile.path(), "it is missing or cut short"));
                }
                Err(error) => return Err(LogError::Io(tile.path(), error)),
            }
        }
        Ok(())
    }

    /// The root of a complete subtree, as proofs ask for it. Tiles that were
    /// read are kept: a proof asks for several nodes of each.
    pub(crate) fn subtrees(&self) -> impl FnMut(u64, u64) -> Result<Node, LogError> {
        let mut tiles: HashMap<TileId, Vec<Node>> = HashMap::new();
        move |first, leaves| {
            tile::subtree_from_tiles(first, leaves, self.size, |tile: TileId| {
                if let Some(hashes) = tiles.get(&tile) {
                    return Ok(hashes.clone());
                }
                let bytes = self.file(tile)?.ok_or_else(|| LogError::Missing(tile.path()))?;
                let hashes = parse_hashes(&bytes, tile.width)?;
                tiles.insert(tile, hashes.clone());
                Ok::<_, LogError>(hashes)
            })
        }
    }

    /// The root of the tree of so many leaves, out of the tiles.
    pub(crate) fn root(&self, size: u64) -> Result<Node, LogError> {
        let range = merkle::range::<Sha256, LogError>(size, &mut self.subtrees())?;
        let none = || LogError::Missing(format!("a tree of {size} leaves"));
        Ok(range.ok_or_else(none)?.root())
    }
}

fn parsed(bundle: TileId, bytes: &[u8]) -> Result<Vec<&[u8]>, LogError> {
    parse_bundle(bytes, bundle.width).map_err(|why| LogError::damaged(bundle.path(), why))
}

/// That a leaf is the one of its hash.
fn is_hashed(bundle: TileId, place: usize, leaf: &[u8], hash: &Node) -> Result<(), LogError> {
    if Sha256::leaf(leaf) == *hash {
        return Ok(());
    }
    let index = bundle.index * u64::from(TILE_WIDTH) + place as u64;
    let hashes = TileId { level: Level::Hashes(0), ..bundle }.path();
    let why = format!("leaf {index} is not the one of its hash in {hashes}");
    Err(LogError::damaged(bundle.path(), why))
}

/// The first entries of a tile that may be wider than asked for.
fn cut(mut bytes: Vec<u8>, stored: TileId, width: u16) -> Result<Vec<u8>, LogError> {
    match stored.level {
        _ if stored.width == width => {}
        Level::Hashes(_) => bytes.truncate(usize::from(width) * 32),
        Level::Entries => {
            let leaves = parsed(stored, &bytes)?;
            let kept: usize = leaves.iter().take(width.into()).map(|leaf| 2 + leaf.len()).sum();
            bytes.truncate(kept);
        }
    }
    Ok(bytes)
}

/// Leaves in order, a bundle read at a time.
pub(crate) struct Leaves<'l, S> {
    log: &'l Log<S>,
    next: u64,
    bundle: std::vec::IntoIter<Vec<u8>>,
}

impl<S: Store> Iterator for Leaves<'_, S> {
    /// Index and bytes.
    type Item = Result<(u64, Vec<u8>), LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.log.size {
            return None;
        }
        let index = self.next;
        let leaf = self.bundle.next().map(Ok).or_else(|| {
            let width = u64::from(TILE_WIDTH);
            let bundle = self.log.bundle(index / width).and_then(|(bundle, bytes)| {
                let leaves = self.log.leaves_of(bundle, &bytes)?;
                let rest = leaves.into_iter().skip((index % width) as usize);
                Ok(rest.map(<[u8]>::to_vec).collect::<Vec<_>>())
            });
            match bundle {
                Err(error) => Some(Err(error)),
                Ok(rest) => {
                    self.bundle = rest.into_iter();
                    self.bundle.next().map(Ok)
                }
            }
        });
        // After an error there is nothing more.
        self.next = if matches!(leaf, Some(Ok(_))) { index + 1 } else { u64::MAX };
        let missing = || Err(LogError::Missing(format!("leaf {index}")));
        Some(leaf.unwrap_or_else(missing).map(|leaf| (index, leaf)))
    }
}

/// The right edge of the log: what is in its partial tiles, and so what the
/// next leaf goes into.
pub(crate) struct Edge {
    size: u64,
    /// The last bundle, unless it is full.
    bundle: Vec<u8>,
    /// The last tile of each level, unless it is full.
    levels: Vec<Vec<Node>>,
}

impl Edge {
    pub(crate) fn new() -> Edge {
        Edge { size: 0, bundle: Vec::new(), levels: Vec::new() }
    }

    /// The edge of this log, if its files are there and give this root.
    pub(crate) fn read<S: Store>(log: &Log<S>, root: &Node) -> Result<Edge, LogError> {
        if log.root(log.size)? != *root {
            let what = "the last tile of some level";
            return Err(LogError::damaged(what, "it does not give the root"));
        }
        let mut edge = Edge { size: log.size, bundle: Vec::new(), levels: Vec::new() };
        let last = |level| {
            // Beyond the last full one; `None` if there is nothing.
            TileId::at(level, level.nodes(log.size) / u64::from(TILE_WIDTH), log.size)
        };
        for level in 0..8 {
            let Some(tile) = last(Level::Hashes(level)) else {
                edge.levels.push(Vec::new());
                continue;
            };
            let bytes = log.tile(tile)?.ok_or_else(|| LogError::Missing(tile.path()))?;
            edge.levels.push(parse_hashes(&bytes, tile.width)?);
        }
        if let Some(tile) = last(Level::Entries) {
            edge.bundle = log.tile(tile)?.ok_or_else(|| LogError::Missing(tile.path()))?;
        }
        Ok(edge)
    }

    /// The tiles and bundles that the next block writes into, as wide as they are.
    pub(crate) fn tiles(&self) -> Vec<TileId> {
        let width = u64::from(TILE_WIDTH);
        let at = |level: Level, further| {
            let nodes = level.nodes(self.size);
            let there = if further == 0 { (nodes % width) as u16 } else { 0 };
            TileId { level, index: nodes / width + further, width: there }
        };
        let low = [Level::Entries, Level::Hashes(0)];
        let low = low.into_iter().flat_map(|level| {
            // Records, and few others.
            (0..=BLOCK_RECORDS_MAX / width + 1).map(move |further| at(level, further))
        });
        low.chain((1..8).map(|level| at(Level::Hashes(level), 0))).collect()
    }

    /// Appends leaves. Answers the files that hold them: every tile and bundle
    /// that became full or wider.
    pub(crate) fn append<'a>(
        &mut self,
        leaves: impl Iterator<Item = (&'a [u8], Node)>,
    ) -> Result<Vec<(TileId, Vec<u8>)>, TileError> {
        let (before, mut files) = (self.size, Vec::new());
        for (leaf, hash) in leaves {
            self.bundle.extend(tile::encode_bundle([leaf])?);
            self.push(0, hash, &mut files);
            self.size += 1;
            if self.size.is_multiple_of(TILE_WIDTH.into()) {
                let index = self.size / u64::from(TILE_WIDTH) - 1;
                let tile = TileId { level: Level::Entries, index, width: TILE_WIDTH };
                files.push((tile, std::mem::take(&mut self.bundle)));
            }
        }
        // The full ones are there already; what is left are the partial ones.
        for tile in tile::tiles_for(before, self.size).filter(|tile| !tile.is_full()) {
            let bytes = match tile.level {
                Level::Entries => self.bundle.clone(),
                Level::Hashes(level) => encode_hashes(&self.levels[usize::from(level)]),
            };
            files.push((tile, bytes));
        }
        Ok(files)
    }

    /// Puts a node on a level; a full tile becomes a node of the next one.
    fn push(&mut self, level: u8, node: Node, files: &mut Vec<(TileId, Vec<u8>)>) {
        let row = usize::from(level);
        if self.levels.len() <= row {
            self.levels.resize(row + 1, Vec::new());
        }
        self.levels[row].push(node);
        if self.levels[row].len() < usize::from(TILE_WIDTH) {
            return;
        }
        let hashes = std::mem::take(&mut self.levels[row]);
        // The leaf being appended is not counted in the size yet.
        let index = Level::Hashes(level).nodes(self.size + 1) / u64::from(TILE_WIDTH) - 1;
        let tile = TileId { level: Level::Hashes(level), index, width: TILE_WIDTH };
        files.push((tile, encode_hashes(&hashes)));
        self.push(level + 1, merkle::root::<Sha256>(&hashes), files);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tile with a wrong name or content would be found by a stranger, long
    /// after the bytes that it was made of are gone.
    #[test]
    fn the_files_of_every_size_are_those_that_the_tree_asks_for() {
        let leaves: Vec<Vec<u8>> = (0..66_000_u32).map(|i| i.to_be_bytes().to_vec()).collect();
        let hashes: Vec<Node> = leaves.iter().map(|leaf| Sha256::leaf(leaf)).collect();
        let (mut edge, mut at) = (Edge::new(), 0);
        for to in [1, 2, 255, 256, 257, 700, 1_024, 65_535, 65_536, 65_537, 66_000] {
            let new = leaves[at..to].iter().map(Vec::as_slice).zip(hashes[at..to].iter().copied());
            let mut files = edge.append(new).expect("small leaves");
            files.sort();
            let mut names: Vec<TileId> = tile::tiles_for(at as u64, to as u64).collect();
            names.sort();
            assert!(files.iter().map(|(name, _)| *name).eq(names), "{at} to {to}");
            for (name, bytes) in files {
                let first = name.index as usize * 256;
                let width = usize::from(name.width);
                match name.level {
                    Level::Entries => {
                        let held = parse_bundle(&bytes, name.width).expect("a bundle");
                        assert!(held.iter().eq(leaves[first..first + width].iter()), "{name}");
                    }
                    Level::Hashes(level) => {
                        let under = 256_usize.pow(level.into());
                        let all = hashes[first * under..(first + width) * under].chunks(under);
                        let held = parse_hashes(&bytes, name.width).expect("a tile");
                        assert!(all.map(merkle::root::<Sha256>).eq(held), "{name}");
                    }
                }
            }
            at = to;
        }
    }
}
