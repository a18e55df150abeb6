//! The append log: the truth of the embedded engine.
//!
//! One frame a batch, one `fdatasync` a frame, in files of a fixed size whose
//! space is reserved ahead (appending to reserved space costs two thirds of
//! growing a file). A file is named by the number of its first record.
//! [`frame`] says of which bytes a frame is made, [`segment`] how a file of them is begun,
//! read and mended.

mod frame;
mod segment;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use webwallet_ledger::Hash;

pub(crate) use self::frame::{Content, Frame, Place};
use self::frame::{FRAME_BYTES_MAX, encode};
pub(crate) use self::segment::create;
use self::segment::{Last, path, read_segment, reopen, segments, shorter};
use crate::store::{Batch, Error};

/// A file's size; a frame that does not fit begins the next file.
pub(crate) const SEGMENT_BYTES: u64 = 16 << 20;
/// Files kept open for reading.
const OPEN_FILES_MAX: usize = 256;

/// The log, open for one writer and any number of readers.
pub(crate) struct Log {
    dir: PathBuf,
    segment_bytes: u64,
    tail: Mutex<Tail>,
    open: Mutex<HashMap<u64, Arc<File>>>,
    /// The next append fails so.
    #[cfg(test)]
    pub(crate) fault: Mutex<Option<Fault>>,
}

/// How a write of a test fails: without effect, or with it.
#[cfg(test)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    Without,
    With,
}

struct Tail {
    file: Arc<File>,
    segment: u64,
    offset: u64,
}

fn broken(what: impl Into<String>) -> Error {
    Error::Broken(what.into())
}

fn failed(path: &Path, doing: &str, error: &io::Error) -> Error {
    broken(format!("cannot {doing} {}: {error}", path.display()))
}

impl Log {
    /// Opens the log and calls `each` for every frame that ends after record
    /// `from`, in order. What is replayed is on disk: the last frame may have
    /// been written but not synced before a crash, so it is written once more.
    /// A torn last frame is cut; but not below record `known`, which others
    /// know to have been synced here.
    pub(crate) fn open(
        dir: &Path,
        segment_bytes: u64,
        from: u64,
        known: u64,
        mut each: impl FnMut(Frame) -> Result<(), Error>,
    ) -> Result<Log, Error> {
        let made = fs::create_dir_all(dir).and_then(|()| {
            // So that the folder itself is still there after a power failure.
            let parents = dir.ancestors().skip(1).take(2).filter(|p| !p.as_os_str().is_empty());
            parents.map(File::open).try_for_each(|parent| parent?.sync_all())
        });
        made.map_err(|e| failed(dir, "create", &e))?;
        let segments = segments(dir)?;
        if segments.first().is_some_and(|first| *first != 1) {
            let first = path(dir, 1);
            return Err(broken(format!(
                "the first file of the log, {}, is missing",
                first.display()
            )));
        }
        // The file before the one that begins after `from` holds `from`.
        let begin = segments.partition_point(|first| *first <= from + 1).saturating_sub(1);
        let mut tail = (1, 0);
        let mut next = segments.get(begin).copied().unwrap_or(1);
        for (i, segment) in segments.iter().enumerate().skip(begin) {
            if *segment != next {
                return Err(broken(format!(
                    "the log in {} has a gap: record {next} should be the first of a file",
                    dir.display()
                )));
            }
            let last = (i + 1 == segments.len()).then_some(Last { known, segment_bytes });
            let end = read_segment(dir, *segment, last, &mut next, |frame| {
                // An intent that stands right after `from` came after it.
                let after = match frame.content {
                    Content::Records(_) => frame.next() > from + 1,
                    Content::Intents(_) => frame.first > from,
                };
                if after { each(frame) } else { Ok(()) }
            })?;
            tail = (*segment, end);
        }
        if next <= known {
            return Err(shorter(dir, next, known));
        }
        let file = match segments.is_empty() {
            true => {
                create(dir, 1, segment_bytes).map_err(|e| failed(&path(dir, 1), "create", &e))?
            }
            false => reopen(dir, tail.0)?,
        };
        let file = Arc::new(file);
        let open = Mutex::new(HashMap::from([(tail.0, file.clone())]));
        let tail = Mutex::new(Tail { file, segment: tail.0, offset: tail.1 });
        Ok(Log {
            dir: dir.to_path_buf(),
            segment_bytes,
            tail,
            open,
            #[cfg(test)]
            fault: Mutex::default(),
        })
    }

    /// Appends a batch and syncs it. Returns the place of each record.
    pub(crate) fn append(&self, batch: &Batch) -> Result<Vec<Place>, Error> {
        let first = batch.records.first().map_or(0, |record| record.number);
        let records: Vec<&[u8]> = batch.records.iter().map(|record| &record.bytes[..]).collect();
        self.write(&batch.id, first, records.len() as u32, &records)
    }

    /// Appends the intents of blocks before record `next` and syncs them. Returns the place
    /// of each.
    pub(crate) fn append_intents(
        &self,
        intents: &[Vec<u8>],
        next: u64,
    ) -> Result<Vec<Place>, Error> {
        let items: Vec<&[u8]> = intents.iter().map(Vec::as_slice).collect();
        self.write(&Hash::sha3(&intents.concat()), next, 0, &items)
    }

    fn write(
        &self,
        id: &Hash,
        first: u64,
        count: u32,
        items: &[&[u8]],
    ) -> Result<Vec<Place>, Error> {
        let mut tail = self.tail.lock();
        let (frame, within) = encode(id, first, count, items);
        if frame.len() > FRAME_BYTES_MAX {
            // Written, it would be taken for damage at the next start.
            return Err(Error::Unavailable(format!("a batch of {} bytes", frame.len())));
        }
        // A file full of nothing but intents grows on: the next one would have
        // its name.
        let full = tail.offset + frame.len() as u64 > self.segment_bytes && tail.offset > 0;
        if full && tail.segment != first {
            // The file before is whole: with room again, or a file descriptor, it goes on.
            let file = create(&self.dir, first, self.segment_bytes);
            let file = Arc::new(file.map_err(|e| {
                let path = path(&self.dir, first);
                Error::Unavailable(format!("cannot create {}: {e}", path.display()))
            })?);
            self.remember(first, file.clone());
            *tail = Tail { file, segment: first, offset: 0 };
        }
        #[cfg(test)]
        self.fault(Fault::Without)?;
        let written = tail.file.write_all_at(&frame, tail.offset);
        // After a failed sync the kernel may have dropped the pages: what the
        // file holds is unknown, so nobody may write on.
        written
            .and_then(|()| tail.file.sync_data())
            .map_err(|e| failed(&path(&self.dir, tail.segment), "write", &e))?;
        let place = |(offset, length, sum): (u64, u32, u32)| Place {
            segment: tail.segment,
            offset: tail.offset + offset,
            length,
            sum,
        };
        #[cfg(test)]
        self.fault(Fault::With)?;
        let places = within.into_iter().map(place).collect();
        tail.offset += frame.len() as u64;
        Ok(places)
    }

    #[cfg(test)]
    fn fault(&self, here: Fault) -> Result<(), Error> {
        let mut fault = self.fault.lock();
        match fault.take_if(|fault| *fault == here) {
            Some(fault) => Err(broken(format!("a test failed this write {fault:?} effect"))),
            None => Ok(()),
        }
    }

    /// The bytes of a record.
    pub(crate) fn read(&self, place: Place) -> Result<Vec<u8>, Error> {
        let file = self.open.lock().get(&place.segment).cloned();
        let file = match file {
            Some(file) => file,
            None => {
                let file = Arc::new(reopen(&self.dir, place.segment)?);
                self.remember(place.segment, file.clone());
                file
            }
        };
        let mut bytes = vec![0; place.length as usize];
        file.read_exact_at(&mut bytes, place.offset)
            .map_err(|e| failed(&path(&self.dir, place.segment), "read", &e))?;
        if crc32c::crc32c(&bytes) != place.sum {
            let path = path(&self.dir, place.segment);
            return Err(broken(format!("{} is damaged at byte {}", path.display(), place.offset)));
        }
        Ok(bytes)
    }

    fn remember(&self, segment: u64, file: Arc<File>) {
        let mut open = self.open.lock();
        if open.len() >= OPEN_FILES_MAX {
            open.clear();
        }
        open.insert(segment, file);
    }
}
