//! The append log: the truth of the embedded engine.
//!
//! One frame a batch, one `fdatasync` a frame, in files of a fixed size whose
//! space is reserved ahead (appending to reserved space costs two thirds of
//! growing a file). A file is named by the number of its first record.
//!
//! ```text
//! frame   magic 8 | length u32 | crc32c u32 | id 32 | first u64 | count u32 | items
//! item    length u32 | bytes
//! ```
//! The items of a batch are its records: `count` of them, the first with number
//! `first`. A frame whose count is 0 holds one item all the same, the intent of a
//! block, and stands before record `first`.
//!
//! `length` counts the bytes after the checksum, which covers them and the
//! length. Integers are little-endian. The magic holds a byte that no JSON text
//! holds, so nothing a client sends can look like a frame.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use fs4::FileExt as _;
use webwallet_ledger::Hash;

use crate::store::{Batch, Error};

const MAGIC: &[u8; 8] = b"\xffWWlog1\n";
/// Magic, length and checksum.
const HEAD: usize = 16;
/// Batch id, first number, count.
const FIXED: usize = 32 + 8 + 4;
/// A file's size; a frame that does not fit begins the next file.
pub(crate) const SEGMENT_BYTES: u64 = 16 << 20;
/// No frame is longer: what a length beyond it means is damage.
pub(crate) const FRAME_BYTES_MAX: usize = 16 << 20;
/// Files kept open for reading.
const OPEN_FILES_MAX: usize = 256;

/// Where the bytes of a record or an intent are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The first number of the file.
    pub(crate) segment: u64,
    /// Offset of the bytes.
    pub(crate) offset: u64,
    /// How many.
    pub(crate) length: u32,
    /// CRC-32C of them, checked on every read.
    pub(crate) sum: u32,
}

/// A frame as read back.
pub(crate) struct Frame {
    pub(crate) id: Hash,
    /// Number of its first record, or of the record that comes after it.
    pub(crate) first: u64,
    pub(crate) content: Content,
}

/// What a frame holds.
pub(crate) enum Content {
    Records(Vec<(Place, Vec<u8>)>),
    Intent(Place, Vec<u8>),
}

impl Frame {
    /// The number of the record that comes after it.
    pub(crate) fn next(&self) -> u64 {
        match &self.content {
            Content::Records(records) => self.first + records.len() as u64,
            Content::Intent(..) => self.first,
        }
    }
}

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
                    Content::Intent(..) => frame.first > from,
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

    /// Appends the intent of a block before record `next` and syncs it.
    pub(crate) fn append_intent(&self, intent: &[u8], next: u64) -> Result<Option<Place>, Error> {
        Ok(self.write(&Hash::sha3(intent), next, 0, &[intent])?.pop())
    }

    fn write(
        &self,
        id: &Hash,
        first: u64,
        count: u32,
        items: &[&[u8]],
    ) -> Result<Vec<Place>, Error> {
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut frame, within) = encode(id, first, count, items);
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
        let length = (frame.len() - HEAD) as u32;
        frame[8..12].copy_from_slice(&length.to_le_bytes());
        let sum = checksum(length, &frame[HEAD..]);
        frame[12..16].copy_from_slice(&sum.to_le_bytes());
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
        let mut fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        match fault.take_if(|fault| *fault == here) {
            Some(fault) => Err(broken(format!("a test failed this write {fault:?} effect"))),
            None => Ok(()),
        }
    }

    /// The bytes of a record.
    pub(crate) fn read(&self, place: Place) -> Result<Vec<u8>, Error> {
        let file =
            self.open.lock().unwrap_or_else(PoisonError::into_inner).get(&place.segment).cloned();
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
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= OPEN_FILES_MAX {
            open.clear();
        }
        open.insert(segment, file);
    }
}

/// The frame, its length and checksum still zero, and where in it each item is:
/// offset, length, checksum.
fn encode(id: &Hash, first: u64, count: u32, items: &[&[u8]]) -> (Vec<u8>, Vec<(u64, u32, u32)>) {
    let bytes: usize = items.iter().map(|item| 4 + item.len()).sum();
    let mut frame = Vec::with_capacity(HEAD + FIXED + bytes);
    frame.extend_from_slice(MAGIC);
    frame.extend_from_slice(&[0; 8]);
    frame.extend_from_slice(&id.0);
    frame.extend_from_slice(&first.to_le_bytes());
    frame.extend_from_slice(&count.to_le_bytes());
    let mut within = Vec::with_capacity(items.len());
    for item in items {
        let length = item.len() as u32;
        frame.extend_from_slice(&length.to_le_bytes());
        within.push((frame.len() as u64, length, crc32c::crc32c(item)));
        frame.extend_from_slice(item);
    }
    (frame, within)
}

fn checksum(length: u32, body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&length.to_le_bytes()), body)
}

fn path(dir: &Path, segment: u64) -> PathBuf {
    dir.join(format!("{segment:020}.log"))
}

/// The first numbers of the files that hold anything, ascending.
fn segments(dir: &Path) -> Result<Vec<u64>, Error> {
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

fn reopen(dir: &Path, segment: u64) -> Result<File, Error> {
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
struct Last {
    /// The log is not cut below this record.
    known: u64,
    segment_bytes: u64,
}

/// The log has lost records that were synced: no start may go on without them.
fn shorter(dir: &Path, next: u64, known: u64) -> Error {
    broken(format!(
        "the log in {} ends before record {next}, but its index knows record {known}: \
         records that were synced are lost",
        dir.display()
    ))
}

/// Reads the frames of one file; returns where the next one goes.
fn read_segment(
    dir: &Path,
    segment: u64,
    last: Option<Last>,
    next: &mut u64,
    mut each: impl FnMut(Frame) -> Result<(), Error>,
) -> Result<u64, Error> {
    let path = path(dir, segment);
    let bytes = fs::read(&path).map_err(|e| failed(&path, "read", &e))?;
    let (mut at, mut last_at, mut frames) = (0, 0, Vec::new());
    while let Some(frame) = decode(&bytes, at, segment) {
        if frame.first != *next {
            return Err(broken(format!(
                "{} at byte {at}: a frame begins with record {} where {next} was expected",
                path.display(),
                frame.first
            )));
        }
        *next = frame.next();
        last_at = at;
        at += frame_bytes(&bytes, at);
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

/// Bytes of the valid frame at this offset.
fn frame_bytes(bytes: &[u8], at: usize) -> usize {
    HEAD + number::<4>(bytes, at + 8).map_or(0, u32::from_le_bytes) as usize
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// The frame at this offset, if it is whole and its checksum holds.
fn decode(bytes: &[u8], at: usize, segment: u64) -> Option<Frame> {
    if &number::<8>(bytes, at)? != MAGIC {
        return None;
    }
    let length = u32::from_le_bytes(number(bytes, at + 8)?);
    let sum = u32::from_le_bytes(number(bytes, at + 12)?);
    let end = (at + HEAD).checked_add(length as usize)?;
    let body = bytes.get(at + HEAD..end)?;
    if length as usize > FRAME_BYTES_MAX || checksum(length, body) != sum {
        return None;
    }
    let id = Hash(number(body, 0)?);
    let first = u64::from_le_bytes(number(body, 32)?);
    let count = u32::from_le_bytes(number(body, 40)?);
    let mut items = Vec::new();
    let mut offset = FIXED;
    for _ in 0..count.max(1) {
        let length = u32::from_le_bytes(number(body, offset)?);
        let from = offset + 4;
        offset = from.checked_add(length as usize)?;
        let bytes = body.get(from..offset)?;
        let sum = crc32c::crc32c(bytes);
        let place = Place { segment, offset: (at + HEAD + from) as u64, length, sum };
        items.push((place, bytes.to_vec()));
    }
    let content = match count {
        0 => items.pop().map(|(place, intent)| Content::Intent(place, intent))?,
        _ => Content::Records(items),
    };
    (offset == body.len()).then_some(Frame { id, first, content })
}
