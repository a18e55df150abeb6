//! The files of the log: begun with their space reserved, read frame by frame, and mended
//! where the last write was cut off.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use fs4::FileExt as _;

use super::frame::{Frame, MAGIC, decode};
use super::{broken, failed};
use crate::store::Error;

pub(super) fn path(dir: &Path, segment: u64) -> PathBuf {
    dir.join(format!("{segment:020}.log"))
}

/// The first numbers of the files that hold anything, ascending.
pub(super) fn segments(dir: &Path) -> Result<Vec<u64>, Error> {
    let entries = fs::read_dir(dir).map_err(|e| failed(dir, "read", &e))?;
    let mut segments = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| failed(dir, "read", &e))?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".log"));
        let Some(number) = number.and_then(|number| number.parse::<u64>().ok()) else { continue };
        if !is_blank(&entry.path()).map_err(|e| failed(&entry.path(), "read", &e))? {
            segments.push(number);
        }
    }
    segments.sort_unstable();
    Ok(segments)
}

/// Whether nothing was ever written into a file. It was begun, and then there was no
/// room: what came next, if it was smaller, went into the file before, and so another
/// name than its own comes after that.
fn is_blank(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let mut bytes = [0; 4096];
    loop {
        match file.read(&mut bytes)? {
            0 => return Ok(true),
            read if bytes[..read].iter().any(|byte| *byte != 0) => return Ok(false),
            _ => {}
        }
    }
}

pub(super) fn reopen(dir: &Path, segment: u64) -> Result<File, Error> {
    let path = path(dir, segment);
    let file = OpenOptions::new().read(true).write(true).open(&path);
    file.map_err(|e| failed(&path, "open", &e))
}

/// A new file with its space reserved, durable under its name.
pub(crate) fn create(dir: &Path, segment: u64, bytes: u64) -> io::Result<File> {
    let path = path(dir, segment);
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).open(&path)?;
    let reserved = file.allocate(bytes).and_then(|()| file.sync_all());
    if let Err(error) = reserved.and_then(|()| File::open(dir)?.sync_all()) {
        // The disk is full: not for what nobody uses.
        let _ = fs::remove_file(&path);
        return Err(error);
    }
    Ok(file)
}

/// What the last file of a log is read with.
#[derive(Clone, Copy)]
pub(super) struct Last {
    /// The log is not cut below this record.
    pub(super) known: u64,
    pub(super) segment_bytes: u64,
}

/// The log has lost records that were synced: no start may go on without them.
pub(super) fn shorter(dir: &Path, next: u64, known: u64) -> Error {
    broken(format!(
        "the log in {} ends before record {next}, but its index knows record {known}: \
         records that were synced are lost",
        dir.display()
    ))
}

/// Reads the frames of one file; returns where the next one goes.
pub(super) fn read_segment(
    dir: &Path,
    segment: u64,
    last: Option<Last>,
    next: &mut u64,
    mut each: impl FnMut(Frame) -> Result<(), Error>,
) -> Result<u64, Error> {
    let path = path(dir, segment);
    let bytes = fs::read(&path).map_err(|e| failed(&path, "read", &e))?;
    let (mut at, mut last_at, mut frames) = (0, 0, Vec::new());
    while let Some((frame, end)) = decode(&bytes, at, segment) {
        if frame.first != *next {
            return Err(broken(format!(
                "{} at byte {at}: a frame begins with record {} where {next} was expected",
                path.display(),
                frame.first
            )));
        }
        *next = frame.next();
        (last_at, at) = (at, end);
        frames.push(frame);
    }
    let rest = &bytes[at..];
    let torn = rest.iter().any(|byte| *byte != 0);
    if torn {
        let finder = memchr::memmem::Finder::new(MAGIC);
        let valid_after = finder
            .find_iter(&rest[1..])
            .map(|i| at + 1 + i)
            .any(|i| decode(&bytes, i, segment).is_some());
        // Not zero and not a frame: torn, if nothing valid comes after it.
        if valid_after || last.is_none() {
            return Err(broken(format!(
                "{} is damaged at byte {at}, in the frame that begins with record {next}, and there are \
                 sound frames after it; the log is not read past damage",
                path.display()
            )));
        }
    }
    if let Some(Last { known, segment_bytes }) = last {
        // Before anything is cut: what is there may be evidence.
        if *next <= known {
            return Err(shorter(dir, *next, known));
        }
        let mend = || {
            let file = OpenOptions::new().write(true).open(&path)?;
            if torn {
                tracing::warn!(file = %path.display(), at, "cut a torn frame off the end of the log");
                file.set_len(at as u64)?;
                file.allocate(segment_bytes)?;
            }
            // After a failed sync a page may be clean without being on disk.
            file.write_all_at(&bytes[last_at..at], last_at as u64)?;
            file.sync_all()?;
            File::open(dir)?.sync_all()
        };
        mend().map_err(|e: io::Error| failed(&path, "mend", &e))?;
    }
    frames.into_iter().try_for_each(&mut each)?;
    Ok(at as u64)
}
