//! What can be found out of 256 leaves without knowing any other: hashes,
//! shape, signatures, and whether bundle and lowest tile agree. So it can be
//! done for many at once ([`crate::workers`]).

use rand::rngs::ThreadRng;
use webwallet_ledger::leaf::{Kind, Leaf, LeafError, Outline};
use webwallet_ledger::merkle::{Node, Sha3, Sha256, TreeHash};
use webwallet_ledger::rejection::Rejection;
use webwallet_ledger::signature::Keys;
use webwallet_ledger::tile::{self, Level, TileId};
use webwallet_ledger::time::Time;
use webwallet_ledger::{Request, verify};

use crate::source::{Found, Source, SourceError, rank};

/// Signatures that are verified together: more gain next to nothing.
const BATCH: usize = 1_024;

/// What every worker needs to know.
pub(crate) struct Reader<'a> {
    pub source: &'a Source,
    /// Leaves of the log.
    pub size: u64,
    pub domain: &'a str,
    /// Only outlines of records, nothing of what they mean.
    pub structure: bool,
    /// Leaves before this one were audited before: their signatures are not
    /// verified again.
    pub known: u64,
    pub keys: Keys,
}

/// One bundle with its tile.
pub(crate) struct Bundle {
    /// Leaves in it, be they there or not.
    pub leaves: Vec<Read>,
    pub faults: Vec<TileFault>,
    /// It cannot be taken apart, or is not there.
    pub missing: bool,
}

/// Something wrong with a tile or bundle.
pub(crate) struct TileFault {
    /// Of the lowest leaf that it concerns, in its bundle.
    pub offset: u16,
    /// Its place among faults at one leaf.
    pub rank: u8,
    /// The file.
    pub path: String,
    pub detail: String,
}

/// One leaf.
pub(crate) struct Read {
    /// Its hash in the log.
    pub outside: Node,
    /// Its hash in its block.
    pub inside: Node,
    pub content: Content,
}

/// What a leaf turned out to be.
pub(crate) enum Content {
    /// A document, and for a record what is wrong with its signatures.
    Leaf(Leaf, Option<Box<Rejection>>),
    /// A record of which only this was read.
    Outline { number: u64, time: Time },
    /// No document that fits its place.
    Broken(LeafError),
    /// Nothing: the bundle is not there or cannot be taken apart.
    Missing,
}

impl Read {
    /// None where nobody can tell.
    pub fn kind(&self) -> Option<Kind> {
        match &self.content {
            Content::Leaf(leaf, _) => Some(leaf.kind()),
            Content::Outline { .. } => Some(Kind::Record),
            Content::Broken(error) => error.kind,
            Content::Missing => None,
        }
    }
}

/// For people.
pub(crate) fn kind_name(kind: Option<Kind>) -> &'static str {
    kind.map_or("unreadable", Kind::as_str)
}

impl Reader<'_> {
    /// Reads these bundles, as far as they can be, and verifies the signatures in them. `room`
    /// is asked before a bundle of so many bytes is taken apart, and may wait.
    pub fn read(
        &self,
        bundles: std::ops::Range<u64>,
        random: &mut ThreadRng,
        mut room: impl FnMut(usize),
    ) -> (Vec<Bundle>, Option<SourceError>) {
        let (mut read, mut failure) = (Vec::new(), None);
        for index in bundles.clone() {
            match self.bundle(index, &mut room) {
                Ok(bundle) => read.push(bundle),
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        if !self.structure {
            let first = bundles.start * u64::from(tile::TILE_WIDTH);
            let known = usize::try_from(self.known.saturating_sub(first)).unwrap_or(usize::MAX);
            let leaves = read.iter_mut().flat_map(|bundle| &mut bundle.leaves);
            self.verify(leaves.skip(known), random);
        }
        (read, failure)
    }

    fn bundle(&self, index: u64, room: &mut impl FnMut(usize)) -> Result<Bundle, SourceError> {
        let mut faults = Faults::default();
        let Some(id) = TileId::at(Level::Entries, index, self.size) else {
            return Ok(Bundle { leaves: Vec::new(), faults: Vec::new(), missing: false });
        };
        let hashes = self.hashes(TileId { level: Level::Hashes(0), ..id }, &mut faults)?;
        let file = self.source.tile(id)?;
        let entries = file.as_ref().ok_or_else(|| "missing".to_owned()).and_then(|file| {
            room(file.bytes.len());
            tile::parse_bundle(&file.bytes, file.width).map_err(|error| error.to_string())
        });
        let entries = match entries {
            Ok(entries) => entries,
            Err(detail) => {
                faults.note(0, id, detail);
                let stored = hashes.unwrap_or_else(|| vec![[0; 32]; id.width.into()]);
                let leaves = stored.into_iter().map(missing).collect();
                return Ok(Bundle { leaves, faults: faults.0, missing: true });
            }
        };
        let entries = &entries[..id.width.into()];
        let leaves: Vec<Read> = entries.iter().map(|bytes| self.leaf(bytes)).collect();
        let outside = leaves.iter().map(|leaf| &leaf.outside);
        if let Some(hashes) = &hashes {
            let at = outside.zip(hashes).position(|(leaf, hash)| leaf != hash);
            faults.differs(at, id, "the leaf and its hash in the tile of level 0 do not fit");
        }
        self.narrower(id, entries, &leaves, &mut faults)?;
        Ok(Bundle { leaves, faults: faults.0, missing: false })
    }

    /// The tile's hashes, or none with a fault noted.
    fn hashes(&self, id: TileId, faults: &mut Faults) -> Result<Option<Vec<Node>>, SourceError> {
        Ok(faults.unless(id, read_hashes(self.source, id)?))
    }

    /// Versions of bundle and tile from when they were narrower hold the same,
    /// as far as they go.
    fn narrower(
        &self,
        id: TileId,
        entries: &[&[u8]],
        leaves: &[Read],
        faults: &mut Faults,
    ) -> Result<(), SourceError> {
        for width in self.source.narrower(id)? {
            let id = TileId { width, ..id };
            let Some(file) = self.source.narrow(id)? else { continue };
            match tile::parse_bundle(&file.bytes, width) {
                Err(error) => faults.note(0, id, error),
                Ok(old) => {
                    let at = old.iter().zip(entries).position(|(old, new)| old != new);
                    faults.differs(at, id, "the leaf is another than in the wider bundle");
                }
            }
        }
        let id = TileId { level: Level::Hashes(0), ..id };
        for width in self.source.narrower(id)? {
            let id = TileId { width, ..id };
            let Some(file) = self.source.narrow(id)? else { continue };
            let Some(hashes) = faults.unless(id, parse_hashes(&file, id)) else { continue };
            let leaves = leaves.iter().map(|leaf| &leaf.outside);
            let at = hashes.iter().zip(leaves).position(|(hash, leaf)| hash != leaf);
            faults.differs(at, id, "the hash is not that of the leaf");
        }
        Ok(())
    }

    fn leaf(&self, bytes: &[u8]) -> Read {
        let (outside, inside) = (Sha256::leaf(bytes), Sha3::leaf(bytes));
        let content = match self.structure {
            true => Leaf::outline(bytes, self.domain).map(|outline| match outline {
                Outline::Record { number, time } => Content::Outline { number, time },
                Outline::Leaf(leaf) => Content::Leaf(*leaf, None),
            }),
            false => Leaf::parse(bytes, self.domain).map(|leaf| Content::Leaf(leaf, None)),
        };
        let content = content.unwrap_or_else(Content::Broken);
        Read { outside, inside, content }
    }

    /// Notes of every record what is wrong with its signatures.
    fn verify<'r>(&self, leaves: impl Iterator<Item = &'r mut Read>, random: &mut ThreadRng) {
        type Waiting<'r> = Vec<(&'r Request, &'r mut Option<Box<Rejection>>)>;
        let mut batch: Waiting<'r> = Vec::new();
        let mut signatures = 0;
        let mut flush = |batch: &mut Waiting<'r>| {
            let requests: Vec<&Request> = batch.iter().map(|(request, _)| *request).collect();
            let verdicts = verify::verify(&requests, &self.keys, random);
            for ((_, bad), verdict) in batch.drain(..).zip(verdicts) {
                *bad = verdict.err().map(Box::new);
            }
        };
        for leaf in leaves {
            let Content::Leaf(Leaf::Record(entry), bad) = &mut leaf.content else { continue };
            let Ok(request) = &entry.request else { continue };
            signatures += request.signatures();
            batch.push((request, bad));
            if signatures >= BATCH {
                flush(&mut batch);
                signatures = 0;
            }
        }
        flush(&mut batch);
    }
}

/// The hashes of a tile, or what is wrong with its file.
pub(crate) fn read_hashes(
    source: &Source,
    id: TileId,
) -> Result<Result<Vec<Node>, String>, SourceError> {
    let file = source.tile(id)?;
    Ok(file.ok_or_else(|| "missing".into()).and_then(|file| parse_hashes(&file, id)))
}

/// The hashes of a tile in this file, which may be that of a wider one.
pub(crate) fn parse_hashes(file: &Found, id: TileId) -> Result<Vec<Node>, String> {
    let hashes = tile::parse_hashes(&file.bytes, file.width);
    let mut hashes = hashes.map_err(|error| error.to_string())?;
    hashes.truncate(id.width.into());
    Ok(hashes)
}

#[derive(Default)]
struct Faults(Vec<TileFault>);

impl Faults {
    fn note(&mut self, offset: u16, id: TileId, detail: impl ToString) {
        let (path, detail) = (id.path(), detail.to_string());
        self.0.push(TileFault { offset, rank: rank(id.level), path, detail });
    }

    /// The hashes, or none with a fault noted.
    fn unless(&mut self, id: TileId, hashes: Result<Vec<Node>, String>) -> Option<Vec<Node>> {
        hashes.map_err(|detail| self.note(0, id, detail)).ok()
    }

    /// Notes that a file differs from this place on, unless something there was
    /// noted already: then that is what is wrong.
    fn differs(&mut self, at: Option<usize>, id: TileId, detail: &str) {
        let at = at.and_then(|at| u16::try_from(at).ok());
        if let Some(at) = at.filter(|at| self.0.iter().all(|fault| fault.offset != *at)) {
            self.note(at, id, detail);
        }
    }
}

fn missing(outside: Node) -> Read {
    Read { outside, inside: [0; 32], content: Content::Missing }
}
