//! The log in a folder: `checkpoint` and `tile/`, under the relative paths they
//! are served by, so that the folder alone, behind any web server, is the log.
//!
//! Each file is written beside its place, synced and renamed: a crash leaves it
//! whole or not at all. One process at a time: its caller holds the lock.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use webwallet_ledger::tile::TileId;

use crate::key;
use crate::store::{Published, Store};

const CHECKPOINT: &str = "checkpoint";
/// What is being written; what a crash left of it is removed at the next start.
/// It stands in the log's own folder because a rename must not leave the disk.
const UNFINISHED: &str = ".unfinished";

/// What came of a file, or `None` if there is none.
pub(crate) fn if_there<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        outcome => outcome.map(Some),
    }
}

/// A folder that is the log.
pub struct Folder {
    dir: PathBuf,
    /// One at a time: publishing compares and then writes.
    writing: Mutex<()>,
}

impl Folder {
    /// The log in this folder, made if it is not there.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub fn open(dir: &Path) -> io::Result<Folder> {
        fs::create_dir_all(dir)?;
        // Also if it was there: a process that died may not have synced it, and without its name
        // none in it lasts.
        key::sync(dir)?;
        if_there(fs::remove_dir_all(dir.join(UNFINISHED)))?;
        Ok(Folder { dir: dir.to_owned(), writing: Mutex::default() })
    }

    /// The log in this folder as it is, for whoever only reads it: its server may be writing.
    pub fn look(dir: &Path) -> Folder {
        Folder { dir: dir.to_owned(), writing: Mutex::default() }
    }

    /// Writes files to these relative paths, all durable when it returns.
    fn write<'a>(&self, files: impl Iterator<Item = (String, &'a [u8])>) -> io::Result<()> {
        let unfinished = self.dir.join(UNFINISHED);
        fs::create_dir_all(&unfinished)?;
        let (mut moves, mut folders) = (Vec::new(), BTreeSet::new());
        for (i, (path, bytes)) in files.enumerate() {
            let part = unfinished.join(i.to_string());
            let mut file = File::create(&part)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            let place = self.dir.join(path);
            // Up to the log's own folder, since any on the way may be new, made
            // by a process that died before it synced it.
            let above = place.ancestors().skip(1).take_while(|at| at.starts_with(&self.dir));
            folders.extend(above.map(Path::to_owned));
            moves.push((part, place));
        }
        for (part, place) in moves {
            if let Some(parent) = place.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::rename(part, place)?;
        }
        // The deepest first: none is named before what it holds is.
        folders.iter().rev().try_for_each(|folder| File::open(folder)?.sync_all())
    }

    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        if_there(fs::read(self.dir.join(path)))
    }
}

impl Store for Folder {
    fn put(&self, files: &[(TileId, Vec<u8>)]) -> io::Result<()> {
        let _one = self.writing.lock();
        self.write(files.iter().map(|(tile, bytes)| (tile.path(), &bytes[..])))
    }

    fn get(&self, tile: TileId) -> io::Result<Option<Vec<u8>>> {
        self.read(&tile.path())
    }

    fn has(&self, tile: TileId) -> io::Result<bool> {
        let found = if_there(fs::metadata(self.dir.join(tile.path())))?;
        Ok(found.is_some_and(|found| tile.fits(found.len())))
    }

    fn has_any(&self) -> io::Result<bool> {
        let entries = if_there(fs::read_dir(self.dir.join("tile")))?;
        let first = entries.and_then(|mut entries| entries.next()).transpose()?;
        Ok(first.is_some())
    }

    fn remove_wider(&self, tiles: &[TileId]) -> io::Result<()> {
        for tile in tiles {
            let partial = self.dir.join(format!("{}.p", tile.full().path()));
            let Some(entries) = if_there(fs::read_dir(&partial))? else { continue };
            for entry in entries {
                let name = entry?.file_name();
                let width: Option<u16> = name.to_str().and_then(|name| name.parse().ok());
                if width.is_some_and(|width| width > tile.width) {
                    fs::remove_file(partial.join(name))?;
                }
            }
        }
        Ok(())
    }

    fn remove_partials(&self, full: &[TileId]) -> io::Result<()> {
        for tile in full {
            if_there(fs::remove_dir_all(self.dir.join(format!("{}.p", tile.path()))))?;
        }
        Ok(())
    }

    fn checkpoint(&self) -> io::Result<Option<String>> {
        let bytes = self.read(CHECKPOINT)?;
        let text = bytes.map(String::from_utf8).transpose();
        text.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the checkpoint is not text"))
    }

    fn publish(&self, before: Option<&str>, checkpoint: &str) -> io::Result<Published> {
        let _one = self.writing.lock();
        let now = self.checkpoint()?;
        if now.as_deref() != Some(checkpoint) && now.as_deref() != before {
            return Ok(Published::Moved);
        }
        // Also if it is there: a process that died may not have synced it.
        self.write([(CHECKPOINT.to_owned(), checkpoint.as_bytes())].into_iter())?;
        Ok(Published::Yes)
    }
}
