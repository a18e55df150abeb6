//! The tree over the leaves, held against the tiles above the lowest.
//!
//! Everything is computed upwards from the leaves. A hash of a tile, or the
//! root at last, is reported only if nothing beneath it was: then it is the
//! hash that is wrong and not what it stands for.

use webwallet_ledger::hash::Hash;
use webwallet_ledger::merkle::{Node, Range, Sha256, TreeHash};
use webwallet_ledger::tile::{Level, TILE_WIDTH, TileId};

use crate::finding::{Code, Finding, Findings, Place};
use crate::read::{parse_hashes, read_hashes};
use crate::source::{Source, SourceError, rank};

/// Levels of tiles that a log of 64-bit size can have.
const LEVELS: u8 = 8;
const WIDTH: u64 = TILE_WIDTH as u64;

/// The tree so far, and the tiles that stand over its last leaf.
pub(crate) struct Tree {
    size: u64,
    leaves: u64,
    /// By level, from 0: hashes that are not yet one hash of the level above.
    rows: Vec<Row>,
    first: Option<Place>,
}

#[derive(Default)]
struct Row {
    hashes: Range<Sha256>,
    /// The tile at this place as stored, in every width there is.
    tiles: Vec<Stored>,
    /// Where the leaves under the next hash begin.
    begin: Option<Place>,
    /// Something under the next hash was reported.
    faulty: bool,
}

struct Stored {
    id: TileId,
    hashes: Vec<Node>,
    /// Its first bad hash was reported; more are not.
    faulty: bool,
}

impl Tree {
    pub fn new(size: u64) -> Tree {
        let rows = (0..LEVELS).map(|_| Row::default()).collect();
        Tree { size, leaves: 0, rows, first: None }
    }

    /// Comes to the next leaf: reads the tiles that begin with it.
    pub fn begin(
        &mut self,
        source: &Source,
        place: Place,
        found: &mut Findings,
    ) -> Result<(), SourceError> {
        self.first.get_or_insert(place);
        let mut under = 1;
        for level in 1..LEVELS {
            under *= WIDTH;
            if !self.leaves.is_multiple_of(under) {
                break;
            }
            self.rows[usize::from(level)].begin = Some(place);
            let node = self.leaves / under;
            if node.is_multiple_of(WIDTH) {
                self.open(source, level, node / WIDTH, place, found)?;
            }
        }
        Ok(())
    }

    /// Reads the tile of a level at this place, if the log has one there.
    fn open(
        &mut self,
        source: &Source,
        level: u8,
        index: u64,
        place: Place,
        found: &mut Findings,
    ) -> Result<(), SourceError> {
        self.rows[usize::from(level)].tiles.clear();
        let Some(id) = TileId::at(Level::Hashes(level), index, self.size) else { return Ok(()) };
        let mut stored = vec![(id, read_hashes(source, id)?)];
        for width in source.narrower(id)? {
            let id = TileId { width, ..id };
            stored.extend(source.narrow(id)?.map(|file| (id, parse_hashes(&file, id))));
        }
        for (id, hashes) in stored {
            match hashes {
                Ok(hashes) => {
                    let stored = Stored { id, hashes, faulty: false };
                    self.rows[usize::from(level)].tiles.push(stored);
                }
                Err(detail) => {
                    found
                        .tile(rank(id.level), Finding::wrong(place, Code::Tile, id.path(), detail));
                    self.spoil(level);
                }
            }
        }
        Ok(())
    }

    /// Something was reported that stands under all higher levels.
    pub fn spoil(&mut self, level: u8) {
        for row in self.rows.iter_mut().skip(usize::from(level) + 1) {
            row.faulty = true;
        }
    }

    /// Takes the next leaf's hash.
    pub fn push(&mut self, leaf: Node, found: &mut Findings) {
        self.leaves += 1;
        self.rows[0].hashes.push(leaf);
        for level in 1..LEVELS {
            let [below, row] = &mut self.rows[usize::from(level) - 1..=usize::from(level)] else {
                return;
            };
            if below.hashes.size() < WIDTH {
                return;
            }
            let hash = std::mem::take(&mut below.hashes).root();
            let at = row.hashes.size() as usize;
            row.hashes.push(hash);
            let spoiled = std::mem::take(&mut row.faulty);
            let mut reported = false;
            let begin = row.begin;
            for tile in row.tiles.iter_mut().filter(|tile| !spoiled && !tile.faulty) {
                let (Some(stored), Some(begin)) = (tile.hashes.get(at), begin) else { continue };
                if *stored != hash {
                    let field = format!("{} hash {at}", tile.id.path());
                    let (expected, actual) = (Hash(hash), Hash(*stored));
                    let finding = Finding::at(begin, Code::Tile, field, expected, actual);
                    found.tile(rank(tile.id.level), finding);
                    (tile.faulty, reported) = (true, true);
                }
            }
            if reported {
                self.spoil(level);
            }
        }
    }

    /// Leaves taken.
    pub fn leaves(&self) -> u64 {
        self.leaves
    }

    /// The root over the leaves taken.
    pub fn root(&self) -> Node {
        // Of the complete subtrees, the smallest first.
        let roots = self.rows.iter().flat_map(|row| row.hashes.roots().iter().rev()).copied();
        roots.reduce(|right, left| Sha256::node(&left, &right)).unwrap_or_else(Sha256::empty)
    }

    /// Holds the root against the checkpoint's, after the last leaf.
    pub fn finish(&self, root: &Node, found: &mut Findings) {
        if found.tiles_are_good() && self.leaves == self.size && self.root() != *root {
            let place = self.first.unwrap_or(Place { leaf: 0, block: 0, number: 1 });
            let (expected, actual) = (Hash(*root), Hash(self.root()));
            found.tile(u8::MAX, Finding::at(place, Code::Tile, "root", expected, actual));
        }
    }
}
