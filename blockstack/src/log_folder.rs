//! A log that nobody serves: its leaves and blocks for whoever rebuilds a store, compares or
//! copies.

use std::path::Path;
use std::sync::Arc;

use webwallet_ledger::Record;
use webwallet_ledger::block::Block;
use webwallet_ledger::checkpoint::Checkpoint;
use webwallet_ledger::leaf::Leaf;
use webwallet_ledger::merkle::{Node, Range, Sha256, TreeHash as _};
use webwallet_ledger::tile::{self, TILE_WIDTH, TileId};

use crate::folder::Folder;
use crate::guard;
use crate::log::{Edge, Log, LogError};
use crate::replay::Blocks;
use crate::store::{Published, Store as _};

/// Bytes of files that are copied at a time, and a file more.
const COPY_BYTES: usize = 8 * 1024 * 1024;

fn parsed(note: &str) -> Result<Checkpoint, LogError> {
    let parsed = Checkpoint::unverified(note.as_bytes());
    parsed.map(|(_, checkpoint)| checkpoint).map_err(|why| LogError::damaged("checkpoint", why))
}

/// Leaves with their hashes in the log's tree.
fn hashed(leaves: &[(u64, Vec<u8>)]) -> impl Iterator<Item = (&[u8], Node)> {
    leaves.iter().map(|(_, leaf)| (&leaf[..], Sha256::leaf(leaf)))
}

/// A log that is read from its folder alone, as a stranger would.
pub struct LogFolder {
    log: Log<Folder>,
    checkpoint: Checkpoint,
    /// As it is published: a signed note.
    note: String,
}

/// A block of the log with all its leaves.
#[derive(Debug, Clone)]
pub struct LoggedBlock {
    /// The block document.
    pub block: Block,
    /// Its leaves before the records: genesis, stack, keys.
    pub documents: Vec<Vec<u8>>,
    /// Its records.
    pub records: Vec<Arc<Record>>,
}

impl LogFolder {
    /// The log in this folder, `DIR/log`, up to its checkpoint. The signature of
    /// that is not looked at: it is the operator's own.
    ///
    /// # Errors
    /// There is no checkpoint, or it cannot be read.
    pub fn open(dir: &Path) -> Result<LogFolder, LogError> {
        let failed = |error| LogError::Io("checkpoint".into(), error);
        let store = Folder::look(dir);
        let note = store.checkpoint().map_err(failed)?;
        let note = note.ok_or_else(|| LogError::Missing("checkpoint".into()))?;
        let checkpoint = parsed(&note)?;
        Ok(LogFolder { log: Log::new(Arc::new(store), checkpoint.size), checkpoint, note })
    }

    /// Why no log may be begun in this folder, if its files are there without a checkpoint.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn beginning_lost(dir: &Path) -> std::io::Result<Option<String>> {
        let log = Folder::look(dir);
        let is_lost = log.checkpoint()?.is_none() && log.has_any()?;
        Ok(is_lost.then(guard::beginning_lost))
    }

    /// Its checkpoint as it is published: a signed note.
    pub fn note(&self) -> &str {
        &self.note
    }

    /// The block that it ends with.
    ///
    /// # Errors
    /// Its last leaf is no block, or cannot be read.
    pub fn last(&self) -> Result<Block, LogError> {
        let what = "the log's last leaf";
        let missing = || LogError::Missing(what.to_owned());
        let leaf = self.log.leaf(self.checkpoint.size.checked_sub(1).ok_or_else(missing)?)?;
        match Leaf::parse(&leaf, &self.checkpoint.origin) {
            Ok(Leaf::Block(block)) => Ok(*block),
            Ok(_) => Err(LogError::damaged(what, "it is no block")),
            Err(why) => Err(LogError::damaged(what, why)),
        }
    }

    /// Copies the log to a folder, where an earlier copy of it may be: the files that one
    /// has not, read to their end, and then the checkpoint, so that at any moment it is a
    /// whole log. Answers how many files were written.
    ///
    /// # Errors
    /// The folder holds another log or a newer copy, or something in it is damaged; a file
    /// cannot be read or written.
    pub fn copy_to(&self, dir: &Path) -> Result<u64, LogError> {
        let size = self.checkpoint.size;
        let failed = |error| LogError::Io(dir.display().to_string(), error);
        let copy = Folder::open(dir).map_err(failed)?;
        let before = copy.checkpoint().map_err(failed)?;
        let from = match before.as_deref().map(parsed).transpose()? {
            None => 0,
            Some(Checkpoint { origin, size: held, root })
                if origin == self.checkpoint.origin
                    && held <= size
                    && self.log.root(held)? == root =>
            {
                held
            }
            Some(_) => {
                let what = format!("{}/checkpoint", dir.display());
                return Err(LogError::damaged(what, "it is not an earlier one of this log"));
            }
        };
        let (mut piece, mut bytes, mut count) = (Vec::new(), 0, 0);
        for tile in tile::tiles_for(from, size) {
            let file = self.log.tile(tile)?.ok_or_else(|| LogError::Missing(tile.path()))?;
            bytes += file.len();
            count += 1;
            piece.push((tile, file));
            if bytes >= COPY_BYTES {
                copy.put(&piece).map_err(failed)?;
                (piece, bytes) = (Vec::new(), 0);
            }
        }
        copy.put(&piece).map_err(failed)?;
        // Before it is a log that somebody relies on.
        let copied = LogFolder {
            log: Log::new(Arc::new(Folder::look(dir)), size),
            checkpoint: self.checkpoint.clone(),
            note: self.note.clone(),
        };
        copied.checked().try_for_each(|leaf| leaf.map(drop))?;
        match copy.publish(before.as_deref(), &self.note).map_err(failed)? {
            Published::Yes => {}
            Published::Moved => return Err(failed(std::io::ErrorKind::ResourceBusy.into())),
        }
        let had = |tile: &TileId| TileId::at(tile.level, tile.index, from).is_some();
        let filled = tile::tiles_for(from, size).filter(|tile| tile.is_full() && had(tile));
        copy.remove_partials(&filled.collect::<Vec<_>>()).map_err(failed)?;
        Ok(count)
    }

    /// What the log says of itself.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Every leaf in order: its index and its bytes. The last item is an error
    /// if together they do not give the checkpoint's root.
    pub fn leaves(&self) -> impl Iterator<Item = Result<(u64, Vec<u8>), LogError>> + '_ {
        let mut tree = Range::<Sha256>::new();
        let mut leaves = self.log.leaves(0);
        let mut ended = false;
        std::iter::from_fn(move || {
            if ended {
                return None;
            }
            match leaves.next() {
                Some(Ok((index, leaf))) => {
                    tree.push(Sha256::leaf(&leaf));
                    Some(Ok((index, leaf)))
                }
                Some(Err(error)) => Some(Err(error)),
                None => {
                    ended = true;
                    let why = "they do not give the checkpoint's root";
                    (tree.root() != self.checkpoint.root)
                        .then(|| Err(LogError::damaged("the log: its leaves", why)))
                }
            }
        })
    }

    /// The same leaves, and every tile and bundle up to the checkpoint held against them:
    /// proofs are made of those, and the next block goes on from the last ones. The first
    /// file that is missing or another is the last item.
    pub fn checked(&self) -> impl Iterator<Item = Result<(u64, Vec<u8>), LogError>> + '_ {
        let (mut edge, mut leaves, mut ended) = (Edge::new(), self.leaves(), false);
        std::iter::from_fn(move || {
            if ended {
                return None;
            }
            let bundle = leaves.by_ref().take(TILE_WIDTH.into()).collect::<Result<Vec<_>, _>>();
            let bundle = bundle.and_then(|bundle| {
                self.check(edge.append(hashed(&bundle))?)?;
                Ok(bundle)
            });
            ended = bundle.as_ref().is_ok_and(Vec::is_empty) || bundle.is_err();
            Some(match bundle {
                Ok(bundle) => bundle.into_iter().map(Ok).collect::<Vec<_>>(),
                Err(error) => vec![Err(error)],
            })
        })
        .flatten()
    }

    fn check(&self, files: Vec<(TileId, Vec<u8>)>) -> Result<(), LogError> {
        for (tile, bytes) in files {
            // Partial ones of higher levels grow with the next bundles.
            let is_last = TileId::at(tile.level, tile.index, self.checkpoint.size) == Some(tile);
            if is_last && self.log.file(tile)?.as_ref() != Some(&bytes) {
                return Err(LogError::damaged(tile.path(), "it is not what the leaves give"));
            }
        }
        Ok(())
    }

    /// Every block in order, to be replayed. Damage shows in what it is replayed
    /// to: compare its roots at every block.
    pub fn blocks(&self) -> impl Iterator<Item = Result<LoggedBlock, LogError>> + '_ {
        Blocks::new(&self.log, 0, &self.checkpoint.origin).map(|block| {
            let (parts, block) = block?;
            Ok(LoggedBlock {
                block: *block,
                documents: parts.documents.iter().map(|leaf| leaf.bytes().to_vec()).collect(),
                records: parts.records.into_iter().map(|entry| entry.record).collect(),
            })
        })
    }
}
