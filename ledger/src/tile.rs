//! Tiles (c2sp.org/tlog-tiles): the log as files that never change. A tile
//! holds 256 hashes side by side of one level of the tree, of which only every
//! eighth is kept; an entry bundle holds the leaves themselves, 256 too. The
//! last of each level is partial until the tree has grown over it.
//!
//! Names, bytes and arithmetic; files and requests are the caller's.

use std::fmt;
use std::str::FromStr;

use crate::checkpoint::decimal;
use crate::merkle::{self, Node, Sha256};

/// Hashes in a full tile, and leaves in a full bundle.
pub const TILE_WIDTH: u16 = 256;
/// Levels that a tree of `u64` leaves can have.
const LEVELS: u8 = 8;

/// Which row of tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// The leaves themselves: entry bundles.
    Entries,
    /// Hashes of subtrees of 256^level leaves; 0 to 7.
    Hashes(u8),
}

impl Level {
    /// Bits of the number of leaves under one entry or hash.
    fn bits(self) -> u32 {
        match self {
            Level::Entries => 0,
            Level::Hashes(level) => u32::from(level) * 8,
        }
    }

    /// Entries or hashes of this level in a tree of `size` leaves.
    pub fn nodes(self, size: u64) -> u64 {
        size.checked_shr(self.bits()).unwrap_or(0)
    }
}

/// Why bytes are no tile or a text names none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TileError {
    /// The path of no tile.
    #[error("no tile is called so")]
    Path,
    /// A tile of another number of hashes.
    #[error("{actual} bytes, where {expected} hashes of 32 bytes belong")]
    Width {
        /// Hashes it should have.
        expected: u16,
        /// Bytes it has.
        actual: usize,
    },
    /// A bundle that ends inside a leaf.
    #[error("the bundle ends inside leaf {0} of it")]
    Short(u16),
    /// A bundle with something after its last leaf.
    #[error("{0} bytes after the last leaf of the bundle")]
    Long(usize),
    /// A leaf that no bundle can hold.
    #[error("a leaf of {0} bytes; a bundle holds at most 65535")]
    Leaf(usize),
    /// A subtree that is not complete, or not in a tree of that size.
    #[error("leaves {first} and {leaves} from there are no complete subtree")]
    Subtree {
        /// First leaf asked for.
        first: u64,
        /// Leaves asked for.
        leaves: u64,
    },
}

/// The name of one tile or entry bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TileId {
    /// Its row.
    pub level: Level,
    /// Its place in the row, from 0.
    pub index: u64,
    /// Hashes or entries in it: 1 to [`TILE_WIDTH`].
    pub width: u16,
}

impl TileId {
    /// The tile at this place in a tree of `size` leaves, as wide as it is
    /// there; `None` if the tree has no such tile.
    pub fn at(level: Level, index: u64, size: u64) -> Option<TileId> {
        let before = index.checked_mul(u64::from(TILE_WIDTH))?;
        let rest = level.nodes(size).checked_sub(before).filter(|rest| *rest > 0)?;
        let width = rest.min(u64::from(TILE_WIDTH)) as u16;
        Some(TileId { level, index, width })
    }

    /// Whether it will never grow.
    pub fn is_full(&self) -> bool {
        self.width == TILE_WIDTH
    }

    /// The same tile when it is full.
    pub fn full(self) -> TileId {
        TileId { width: TILE_WIDTH, ..self }
    }

    /// Whether a file of so many bytes can be it: hashes are of one length, entries have theirs
    /// before them.
    pub fn fits(&self, bytes: u64) -> bool {
        let width = u64::from(self.width);
        match self.level {
            Level::Hashes(_) => bytes == width * 32,
            Level::Entries => bytes >= width * 2,
        }
    }

    /// The first leaf under it; `None` if it lies beyond every tree.
    pub fn first_leaf(&self) -> Option<u64> {
        let nodes = self.index.checked_mul(u64::from(TILE_WIDTH))?;
        nodes.checked_mul(1_u64.checked_shl(self.level.bits())?)
    }

    /// Its path below the log's URL: `tile/0/x001/067.p/5`, `tile/entries/000`.
    pub fn path(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for TileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.level {
            Level::Entries => f.write_str("tile/entries/")?,
            Level::Hashes(level) => write!(f, "tile/{level}/")?,
        }
        let groups = self.index.checked_ilog(1000).unwrap_or(0);
        for group in (1..=groups).rev() {
            write!(f, "x{:03}/", self.index / 1000_u64.pow(group) % 1000)?;
        }
        write!(f, "{:03}", self.index % 1000)?;
        if self.is_full() { Ok(()) } else { write!(f, ".p/{}", self.width) }
    }
}

impl FromStr for TileId {
    type Err = TileError;

    /// Reads a path below the log's URL, without a slash before it. A tile that
    /// lies beyond 2^64 leaves is none.
    fn from_str(path: &str) -> Result<TileId, TileError> {
        let read = || {
            let (level, rest) = path.strip_prefix("tile/")?.split_once('/')?;
            let level = match level {
                "entries" => Level::Entries,
                level => Level::Hashes(level.parse().ok().filter(|level| *level < LEVELS)?),
            };
            let (index, width) = match rest.split_once(".p/") {
                Some((index, width)) => (index, decimal(width)?.try_into().ok()?),
                None => (rest, TILE_WIDTH),
            };
            let index = index.split('/').try_fold(0_u64, |index, group| {
                let group = group.strip_prefix('x').unwrap_or(group).parse::<u16>().ok()?;
                index.checked_mul(1000)?.checked_add(group.into())
            })?;
            let tile = TileId { level, index, width };
            // Every other way to write the same: signs, `x000/`, `.p/256`.
            let one_way = tile.path() == path && (1..=TILE_WIDTH).contains(&width);
            (one_way && tile.first_leaf().is_some()).then_some(tile)
        };
        read().ok_or(TileError::Path)
    }
}

/// The tiles and bundles that a tree of `to` leaves has and one of `from` has
/// not, or not as wide: bundles first, then hashes level by level upwards. As
/// many as there are: for large trees do not collect them.
pub fn tiles_for(from: u64, to: u64) -> impl Iterator<Item = TileId> {
    let levels = (0..LEVELS).map(Level::Hashes);
    std::iter::once(Level::Entries).chain(levels).flat_map(move |level| {
        let width = u64::from(TILE_WIDTH);
        let (old, new) = (level.nodes(from), level.nodes(to));
        let places = if old < new { old / width..new.div_ceil(width) } else { 0..0 };
        places.filter_map(move |index| TileId::at(level, index, to))
    })
}

/// The bytes of a tile.
pub fn encode_hashes(hashes: &[Node]) -> Vec<u8> {
    hashes.concat()
}

/// The hashes of a tile of this width.
///
/// # Errors
/// [`TileError::Width`] when there are more or fewer.
pub fn parse_hashes(bytes: &[u8], width: u16) -> Result<Vec<Node>, TileError> {
    let (hashes, rest) = bytes.as_chunks::<32>();
    if hashes.len() != usize::from(width) || !rest.is_empty() {
        return Err(TileError::Width { expected: width, actual: bytes.len() });
    }
    Ok(hashes.to_vec())
}

/// The bytes of an entry bundle: before each leaf its length, big-endian, in
/// two bytes. A partial bundle grows by appending.
///
/// # Errors
/// [`TileError::Leaf`] for a leaf longer than two bytes can say.
pub fn encode_bundle<L: AsRef<[u8]>>(
    leaves: impl IntoIterator<Item = L>,
) -> Result<Vec<u8>, TileError> {
    let mut bytes = Vec::new();
    for leaf in leaves {
        let leaf = leaf.as_ref();
        let length = u16::try_from(leaf.len()).map_err(|_| TileError::Leaf(leaf.len()))?;
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(leaf);
    }
    Ok(bytes)
}

/// The leaves of a bundle of this width.
///
/// # Errors
/// [`TileError::Short`] when it has fewer, [`TileError::Long`] when more.
pub fn parse_bundle(bytes: &[u8], width: u16) -> Result<Vec<&[u8]>, TileError> {
    let mut rest = bytes;
    let leaves = (0..width).map(|place| {
        let (length, after) = rest.split_first_chunk::<2>().ok_or(TileError::Short(place))?;
        let leaf = after.split_at_checked(u16::from_be_bytes(*length).into());
        let (leaf, after) = leaf.ok_or(TileError::Short(place))?;
        rest = after;
        Ok(leaf)
    });
    let leaves = leaves.collect::<Result<_, _>>()?;
    if rest.is_empty() { Ok(leaves) } else { Err(TileError::Long(rest.len())) }
}

/// The root of a complete subtree, out of the tiles of a tree of `size` leaves:
/// the closure that [`merkle::inclusion`] and its like ask for. `read` answers
/// the hashes of a tile ([`parse_hashes`]) and is asked once.
///
/// # Errors
/// Those of `read`; [`TileError::Subtree`] when the subtree is not complete or
/// not in the tree; [`TileError::Width`] when `read` answers too few hashes.
pub fn subtree_from_tiles<T: AsRef<[Node]>, E: From<TileError>>(
    first: u64,
    leaves: u64,
    size: u64,
    read: impl FnOnce(TileId) -> Result<T, E>,
) -> Result<Node, E> {
    let none = TileError::Subtree { first, leaves };
    let fits = first.checked_add(leaves).is_some_and(|end| end <= size);
    if !fits || !leaves.is_power_of_two() || !first.is_multiple_of(leaves) {
        return Err(none.into());
    }
    let bits = leaves.trailing_zeros();
    let level = Level::Hashes((bits / 8) as u8);
    let (node, nodes) = (first >> level.bits(), 1 << (bits % 8));
    let width = u64::from(TILE_WIDTH);
    let tile = TileId::at(level, node / width, size).ok_or(none)?;
    let hashes = read(tile)?;
    let hashes = hashes.as_ref();
    let start = (node % width) as usize;
    let under = hashes.get(start..start + nodes);
    let actual = size_of_val(hashes);
    let under = under.ok_or(TileError::Width { expected: tile.width, actual })?;
    Ok(merkle::root::<Sha256>(under))
}
