//! Everything that somebody can do to a log's files who does not hold its key.

use std::fs;
use std::path::{Path, PathBuf};

use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::Value;
use webwallet_audit::Audit;
use webwallet_ledger::checkpoint::Checkpoint;
use webwallet_ledger::merkle::{Sha256, TreeHash as _};
use webwallet_ledger::note::Note;
use webwallet_ledger::tile::{Level, TILE_WIDTH, TileId, encode_bundle};

use crate::Found;
use crate::chain::{secret, write_tiles};
use crate::life::Life;

const WIDTH: usize = TILE_WIDTH as usize;

/// Who alters one file of a log.
pub struct Vandal<'a> {
    life: &'a Life,
    directory: &'a Path,
    random: StdRng,
    pub audit: Audit,
    /// Kinds of the leaves.
    kinds: Vec<String>,
}

/// What is altered, and what must be found of it.
pub const DAMAGES: &[fn(&mut Vandal<'_>) -> Found] = &[
    byte_of_a_leaf,
    // Two records that change places.
    |vandal| {
        let (one, other) = vandal.two_records();
        let leaves = &vandal.life.log.leaves;
        let (a, b) = (leaves[one].clone(), leaves[other].clone());
        vandal.put_leaf(one, b);
        vandal.put_leaf(other, a);
        vandal.tile(one.min(other), true)
    },
    // A hash of the lowest tiles.
    |vandal| {
        let leaf = vandal.any_leaf();
        let path = vandal.path(Level::Hashes(0), leaf / WIDTH);
        let at = (leaf % WIDTH) * 32 + vandal.random.random_range(0..32);
        vandal.flip(&path, at);
        vandal.tile(leaf, true)
    },
    // A hash of the tiles above.
    |vandal| {
        let hash = vandal.random.random_range(0..vandal.life.log.leaves.len() / WIDTH);
        let path = vandal.path(Level::Hashes(1), 0);
        let at = hash * 32 + vandal.random.random_range(0..32);
        vandal.flip(&path, at);
        vandal.tile(hash * WIDTH, true)
    },
    // A leaf with its hash: what is above them says otherwise.
    |vandal| {
        let leaf = vandal.any_leaf();
        let bytes = vandal.altered(leaf);
        vandal.forget_partial();
        let path = vandal.path(Level::Hashes(0), leaf / WIDTH);
        let mut hashes = fs::read(&path).expect("read");
        let at = leaf % WIDTH * 32;
        hashes[at..at + 32].copy_from_slice(&Sha256::leaf(&bytes));
        fs::write(path, hashes).expect("written");
        vandal.put_leaf(leaf, bytes);
        match leaf / WIDTH < vandal.life.log.leaves.len() / WIDTH {
            // Only the first leaf itself can have become unreadable.
            true => vandal.tile_under(leaf),
            false => vandal.tile(0, true),
        }
    },
    // All tiles over one altered leaf: what was signed says otherwise.
    |vandal| {
        let leaf = vandal.any_leaf();
        let mut leaves = vandal.life.log.leaves.clone();
        leaves[leaf] = vandal.altered(leaf);
        vandal.forget_partial();
        write_tiles(vandal.directory, &leaves);
        vandal.tile(0, true)
    },
    // A bundle of another extent.
    |vandal| {
        let index = vandal.any_leaf() / WIDTH;
        let path = vandal.path(Level::Entries, index);
        vandal.extend(&path);
        vandal.tile(index * WIDTH, false)
    },
    // A tile of another extent.
    |vandal| {
        let index = vandal.any_leaf() / WIDTH;
        let path = vandal.path(Level::Hashes(0), index);
        vandal.extend(&path);
        vandal.tile(index * WIDTH, true)
    },
    // A partial tile that stayed behind.
    |vandal| {
        let mut spare = vandal.spare();
        let Some((path, first)) = spare.pop() else { return byte_of_a_leaf(vandal) };
        let hashes = fs::read(&path).expect("read").len() / 32;
        let hash = vandal.random.random_range(0..hashes);
        let at = hash * 32 + vandal.random.random_range(0..32);
        vandal.flip(&path, at);
        vandal.tile(first + hash, true)
    },
    // A byte of the checkpoint.
    |vandal| {
        let path = vandal.directory.join("checkpoint");
        let length = fs::read(&path).expect("read").len();
        let at = vandal.random.random_range(0..length);
        vandal.flip(&path, at);
        vandal.whole("A-NOTE")
    },
    // The same checkpoint by another key.
    |vandal| {
        let note = vandal.life.log.checkpoints.last().expect("one");
        let note = Note::parse(note.as_bytes()).expect("a note");
        let checkpoint = Checkpoint::parse(&note.text).expect("a checkpoint");
        let forged = checkpoint.sign(&secret("thief"));
        fs::write(vandal.directory.join("checkpoint"), forged).expect("written");
        vandal.whole("A-NOTE")
    },
    // An older checkpoint, shown to somebody who has seen a later one.
    |vandal| {
        let checkpoints = &vandal.life.log.checkpoints;
        let (last, older) = checkpoints.split_last().expect("some");
        let at = vandal.random.random_range(1..older.len());
        vandal.life.log.write(vandal.directory, &[at]);
        fs::write(vandal.directory.join("checkpoint"), &older[at]).expect("written");
        vandal.audit.from = Some(last.clone().into_bytes());
        // What was signed by a key that came later cannot be known to be the log's.
        let size = size_of(&older[at]);
        match vandal.kinds[size..].iter().any(|kind| kind == "keys") {
            true => vandal.whole("A-NOTE"),
            false => vandal.whole("A-REWRITE"),
        }
    },
    // A head of the same size and another root, shown to somebody who has seen the first, and a
    // spoilt file that nobody needs.
    |vandal| {
        vandal.spoil_a_spare();
        vandal.has_seen_another(vandal.kinds.len());
        vandal.whole("A-REWRITE")
    },
    // The same, and a bundle is not there: two signed heads of one size need no leaf.
    |vandal| {
        let index = vandal.any_leaf() / WIDTH;
        fs::remove_file(vandal.path(Level::Entries, index)).expect("removed");
        vandal.has_seen_another(vandal.kinds.len());
        vandal.whole("A-REWRITE")
    },
    // Another history was shown until a block, and now a spoilt file that nobody needs.
    |vandal| {
        vandal.spoil_a_spare();
        let checkpoints = &vandal.life.log.checkpoints;
        let at = vandal.random.random_range(1..checkpoints.len());
        let size = size_of(&checkpoints[at]);
        vandal.has_seen_another(size);
        // By a key that was not in force then.
        match vandal.kinds[size..].iter().any(|kind| kind == "keys") {
            true => vandal.whole("A-NOTE"),
            false => vandal.whole("A-REWRITE"),
        }
    },
    // The checkpoint by another key, and a spoilt file that nobody needs.
    |vandal| {
        vandal.spoil_a_spare();
        let head = vandal.life.log.checkpoints.last().expect("one");
        let head = Note::parse(head.as_bytes()).expect("a note");
        let forged = Checkpoint::parse(&head.text).expect("a checkpoint").sign(&secret("thief"));
        fs::write(vandal.directory.join("checkpoint"), forged).expect("written");
        vandal.whole("A-NOTE")
    },
];

fn size_of(checkpoint: &str) -> usize {
    let note = Note::parse(checkpoint.as_bytes()).expect("a note");
    Checkpoint::parse(&note.text).expect("a checkpoint").size as usize
}

fn byte_of_a_leaf(vandal: &mut Vandal<'_>) -> Found {
    let leaf = vandal.any_leaf();
    let bytes = vandal.altered(leaf);
    vandal.put_leaf(leaf, bytes);
    vandal.tile(leaf, true)
}

impl Vandal<'_> {
    pub fn new<'a>(
        life: &'a Life,
        directory: &'a Path,
        random: StdRng,
        audit: Audit,
    ) -> Vandal<'a> {
        let kind = |leaf: &Vec<u8>| {
            let leaf: Value = serde_json::from_slice(leaf).expect("JSON");
            leaf["data"]["kind"].as_str().expect("a kind").to_owned()
        };
        let kinds = life.log.leaves.iter().map(kind).collect();
        Vandal { life, directory, random, audit, kinds }
    }

    fn any_leaf(&mut self) -> usize {
        self.random.random_range(0..self.kinds.len())
    }

    /// Two records of one bundle.
    fn two_records(&mut self) -> (usize, usize) {
        loop {
            let (one, other) = (self.any_leaf(), self.any_leaf());
            let records = [one, other].iter().all(|at| self.kinds[*at] == "record");
            if records && one != other && one / WIDTH == other / WIDTH {
                return (one, other);
            }
        }
    }

    /// The bytes of a leaf with one of them changed: any of a record's; of
    /// another, one that leaves it to be read, or nobody could say whether it
    /// was a record.
    fn altered(&mut self, leaf: usize) -> Vec<u8> {
        let mut bytes = self.life.log.leaves[leaf].clone();
        if self.kinds[leaf] == "record" {
            let at = self.random.random_range(0..bytes.len());
            bytes[at] ^= 1 << self.random.random_range(0..8);
            return bytes;
        }
        const VALUE: &[u8] = b"\"types\":\"sha3-256\",\"value\":\"";
        let start = bytes.windows(VALUE.len()).position(|at| at == VALUE).expect("a hash");
        let at = start + VALUE.len() + self.random.random_range(0..64);
        bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
        bytes
    }

    /// The file of a tile in its last width.
    fn path(&self, level: Level, index: usize) -> PathBuf {
        let size = self.kinds.len() as u64;
        let id = TileId::at(level, index as u64, size).expect("a tile of this log");
        self.directory.join(id.path())
    }

    /// Puts another leaf into its bundle.
    fn put_leaf(&self, leaf: usize, bytes: Vec<u8>) {
        let index = leaf / WIDTH;
        let path = self.path(Level::Entries, index);
        let bundle = fs::read(&path).expect("read");
        let width = (self.kinds.len() - index * WIDTH).min(WIDTH) as u16;
        let entries = webwallet_ledger::tile::parse_bundle(&bundle, width).expect("a bundle");
        let mut entries: Vec<Vec<u8>> = entries.into_iter().map(<[u8]>::to_vec).collect();
        entries[leaf % WIDTH] = bytes;
        fs::write(path, encode_bundle(&entries).expect("a bundle")).expect("written");
    }

    fn flip(&mut self, path: &Path, at: usize) {
        let mut bytes = fs::read(path).expect("read");
        bytes[at] ^= 1 << self.random.random_range(0..8);
        fs::write(path, bytes).expect("written");
    }

    /// Cuts a file, lets it grow, empties or removes it.
    fn extend(&mut self, path: &Path) {
        let mut bytes = fs::read(path).expect("read");
        match self.random.random_range(0..4) {
            0 => return fs::remove_file(path).expect("removed"),
            1 => bytes.clear(),
            2 => bytes.push(0),
            _ => bytes.truncate(self.random.random_range(1..bytes.len())),
        }
        fs::write(path, bytes).expect("written");
    }

    /// Partial hash tiles of level 0 that stayed behind, and their first leaves.
    fn spare(&self) -> Vec<(PathBuf, usize)> {
        let mut spare = Vec::new();
        for index in 0..self.kinds.len().div_ceil(WIDTH) {
            let folder = self.directory.join(format!("tile/0/{index:03}.p"));
            let Ok(files) = fs::read_dir(folder) else { continue };
            let mut files: Vec<PathBuf> = files.map(|file| file.expect("a file").path()).collect();
            files.retain(|file| *file != self.path(Level::Hashes(0), index));
            files.sort();
            spare.extend(files.into_iter().map(|file| (file, index * WIDTH)));
        }
        spare
    }

    /// Alters a partial tile that stayed behind, if there is one.
    fn spoil_a_spare(&mut self) {
        let Some((path, _)) = self.spare().pop() else { return };
        let length = fs::read(&path).expect("read").len();
        let at = self.random.random_range(0..length);
        self.flip(&path, at);
    }

    /// Who audits has seen a head of this size with another root, signed by today's key.
    fn has_seen_another(&mut self, size: usize) {
        let (origin, root) = (self.audit.domain.clone(), [7; 32]);
        let seen = Checkpoint { origin, size: size as u64, root };
        self.audit.from = Some(seen.sign(&secret(&self.life.key_name())).into_bytes());
    }

    /// Removes partial tiles and bundles that stayed behind.
    fn forget_partial(&self) {
        for (hashes, _) in self.spare() {
            let name =
                hashes.strip_prefix(self.directory.join("tile/0")).expect("below").to_owned();
            fs::remove_file(self.directory.join("tile/entries").join(name)).expect("removed");
            fs::remove_file(hashes).expect("removed");
        }
        for level in 1.. {
            let folder = self.directory.join(format!("tile/{level}/000.p"));
            let Ok(files) = fs::read_dir(folder) else { return };
            let newest = self.path(Level::Hashes(level), 0);
            let files = files.map(|file| file.expect("a file").path());
            files
                .filter(|file| *file != newest)
                .for_each(|file| fs::remove_file(file).expect("removed"));
        }
    }

    /// A-TILE at this leaf, which can be read or not.
    fn tile(&self, leaf: usize, readable: bool) -> Found {
        let count = |kind: &str, kinds: &[String]| kinds.iter().filter(|k| *k == kind).count();
        let before = &self.kinds[..leaf];
        let counts = self.kinds[leaf] == "record" || !readable;
        let number = count("record", before) + usize::from(counts);
        ("A-TILE".into(), Some(count("block", before) as u64), Some(number as u64))
    }

    /// A-TILE at the first leaf of the bundle of this one.
    fn tile_under(&self, leaf: usize) -> Found {
        self.tile(leaf / WIDTH * WIDTH, true)
    }

    fn whole(&self, code: &str) -> Found {
        (code.into(), None, None)
    }
}
