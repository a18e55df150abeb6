//! Whether a newer checkpoint extends an older one, proved from the log's
//! tiles and nothing else.

use webwallet_ledger::checkpoint::Checkpoint;
use webwallet_ledger::hash::Hash;
use webwallet_ledger::merkle::{self, Node, RANGE_LEAVES_MAX, Sha256, TreeHash as _};
use webwallet_ledger::note::VerifierKey;
use webwallet_ledger::tile::{self, TileError, TileId};

use crate::finding::{Code, Finding};
use crate::read::read_hashes;
use crate::source::{Source, SourceError};

/// Why a subtree could not be had.
enum Failure {
    /// The tiles are not those of the log.
    Tile(String),
    Source(SourceError),
}

impl From<TileError> for Failure {
    fn from(error: TileError) -> Failure {
        Failure::Tile(error.to_string())
    }
}

/// Checks that the log of `new` extends that of `old`; both are whole notes.
/// Answers what is wrong first, or nothing.
///
/// # Errors
/// [`SourceError`] when the tiles cannot be read.
pub fn consistency(
    old: &[u8],
    new: &[u8],
    keys: &[VerifierKey],
    source: &Source,
) -> Result<Option<Finding>, SourceError> {
    let mut checkpoints = Vec::new();
    for (field, note) in [("old", old), ("new", new)] {
        match Checkpoint::open(note, keys) {
            Ok((checkpoint, _)) => checkpoints.push(checkpoint),
            Err(error) => {
                let expected = "a checkpoint signed by a key that is given; a log that changed its key needs each";
                return Ok(Some(Finding::whole(Code::Note, field, expected, &error.to_string())));
            }
        }
    }
    let [old, new] = &checkpoints[..] else { return Ok(None) };
    if old.origin != new.origin {
        return Ok(Some(Finding::whole(Code::Note, "origin", &old.origin, &new.origin)));
    }
    // Two heads of one size, or a log that begins with something else than nothing: no tile
    // is needed to see that.
    let same = old.size == new.size && old.root == new.root;
    let begins = old.size != 0 || old.root == Sha256::empty();
    let outcome = match old.size >= new.size && !same || !begins {
        true => Ok(false),
        false => extends(old, new, source),
    };
    match outcome {
        Ok(true) => Ok(None),
        Ok(false) => {
            let text = |c: &Checkpoint| format!("size {} {}", c.size, Hash(c.root));
            let expected = format!("a log that extends {}", text(old));
            let mut actual = text(new);
            if old.size > new.size {
                actual.push_str(", which is smaller: is OLD the newer one?");
            }
            Ok(Some(Finding::whole(Code::Rewrite, "root", &expected, &actual)))
        }
        Err(Failure::Tile(detail)) => {
            let expected = format!("tiles that give the root {}", Hash(new.root));
            Ok(Some(Finding::whole(Code::Tile, "tile", &expected, &detail)))
        }
        Err(Failure::Source(error)) => Err(error),
    }
}

fn extends(old: &Checkpoint, new: &Checkpoint, source: &Source) -> Result<bool, Failure> {
    let mut subtree = |first: u64, leaves: u64| -> Result<Node, Failure> {
        tile::subtree_from_tiles(first, leaves, new.size, |id: TileId| {
            let hashes = read_hashes(source, id).map_err(Failure::Source)?;
            hashes.map_err(|detail| Failure::Tile(format!("{}: {detail}", id.path())))
        })
    };
    // First that the tiles are those of the newer checkpoint: if they are not,
    // a proof that fails says nothing about the log.
    let Some(range) = merkle::range::<Sha256, _>(new.size, &mut subtree)? else {
        let detail = format!("a tree has at most {RANGE_LEAVES_MAX} leaves, not {}", new.size);
        return Err(Failure::Tile(detail));
    };
    let root = range.root();
    if root != new.root {
        return Err(Failure::Tile(format!("tiles that give the root {}", Hash(root))));
    }
    if old.size == 0 {
        return Ok(true);
    }
    let path = merkle::consistency::<Sha256, _>(old.size, new.size, &mut subtree)?;
    let checked =
        merkle::check_consistency::<Sha256>(old.size, new.size, &path, &old.root, &new.root);
    Ok(checked.is_ok())
}
