//! Of which bytes a frame is made.
//!
//! ```text
//! frame   magic 8 | length u32 | crc32c u32 | id 32 | first u64 | count u32 | items
//! item    length u32 | bytes
//! ```
//! The items of a batch are its records: `count` of them, the first with number
//! `first`. A frame whose count is 0 holds intents of blocks, as many as there is room
//! for in its length, and stands before record `first`.
//!
//! `length` counts the bytes after the checksum, which covers them and the
//! length. Integers are little-endian. The magic holds a byte that no JSON text
//! holds, so nothing a client sends can look like a frame.

use webwallet_ledger::Hash;

pub(super) const MAGIC: &[u8; 8] = b"\xffWWlog1\n";
/// Magic, length and checksum.
const HEAD: usize = 16;
/// Batch id, first number, count.
const FIXED: usize = 32 + 8 + 4;
/// No frame is longer: what a length beyond it means is damage.
pub(super) const FRAME_BYTES_MAX: usize = 16 << 20;

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
    Intents(Vec<(Place, Vec<u8>)>),
}

impl Frame {
    /// The number of the record that comes after it.
    pub(crate) fn next(&self) -> u64 {
        match &self.content {
            Content::Records(records) => self.first + records.len() as u64,
            Content::Intents(_) => self.first,
        }
    }
}

/// The frame, and where in it each item is: offset, length, checksum.
pub(super) fn encode(
    id: &Hash,
    first: u64,
    count: u32,
    items: &[&[u8]],
) -> (Vec<u8>, Vec<(u64, u32, u32)>) {
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
    let length = (frame.len() - HEAD) as u32;
    frame[8..12].copy_from_slice(&length.to_le_bytes());
    let sum = checksum(length, &frame[HEAD..]);
    frame[12..16].copy_from_slice(&sum.to_le_bytes());
    (frame, within)
}

fn checksum(length: u32, body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&length.to_le_bytes()), body)
}

fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// The frame at this offset and where it ends, if it is whole and its checksum holds.
pub(super) fn decode(bytes: &[u8], at: usize, segment: u64) -> Option<(Frame, usize)> {
    if &bytes_at::<8>(bytes, at)? != MAGIC {
        return None;
    }
    let length = u32::from_le_bytes(bytes_at(bytes, at + 8)?);
    let sum = u32::from_le_bytes(bytes_at(bytes, at + 12)?);
    let end = (at + HEAD).checked_add(length as usize)?;
    let body = bytes.get(at + HEAD..end)?;
    if length as usize > FRAME_BYTES_MAX || checksum(length, body) != sum {
        return None;
    }
    let id = Hash(bytes_at(body, 0)?);
    let first = u64::from_le_bytes(bytes_at(body, 32)?);
    let count = u32::from_le_bytes(bytes_at(body, 40)?);
    let mut items = Vec::new();
    let mut offset = FIXED;
    while offset < body.len() {
        let length = u32::from_le_bytes(bytes_at(body, offset)?);
        let from = offset + 4;
        offset = from.checked_add(length as usize)?;
        let bytes = body.get(from..offset)?;
        let sum = crc32c::crc32c(bytes);
        let place = Place { segment, offset: (at + HEAD + from) as u64, length, sum };
        items.push((place, bytes.to_vec()));
    }
    let content = match count {
        0 => Content::Intents(items),
        _ if items.len() != count as usize => return None,
        _ => Content::Records(items),
    };
    Some((Frame { id, first, content }, end))
}
