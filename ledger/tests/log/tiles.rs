//! Tiles and bundles. If one of these failed, a mirror of the log could not be
//! read, or would be read as something else than what was logged.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use webwallet_ledger::merkle::{
    Node, Sha256, TreeHash, check_consistency, check_inclusion, consistency, inclusion, range, root,
};
use webwallet_ledger::tile::{
    Level, TileError, TileId, encode_bundle, encode_hashes, parse_bundle, parse_hashes,
    subtree_from_tiles, tiles_for,
};

fn tile(level: Level, index: u64, width: u16) -> TileId {
    TileId { level, index, width }
}

/// A path from a stranger could lead out of the log's folder, to the key that signs it.
#[test]
fn a_tile_has_one_path() {
    for (id, path) in [
        (tile(Level::Hashes(0), 0, 256), "tile/0/000"),
        (tile(Level::Hashes(0), 1_234_067, 256), "tile/0/x001/x234/067"),
        (tile(Level::Hashes(0), 1067, 5), "tile/0/x001/067.p/5"),
        (tile(Level::Hashes(7), 0, 255), "tile/7/000.p/255"),
        (tile(Level::Hashes(1), 999, 256), "tile/1/999"),
        (tile(Level::Hashes(1), 1000, 1), "tile/1/x001/000.p/1"),
        (tile(Level::Entries, 1_000_000, 256), "tile/entries/x001/x000/000"),
        (tile(Level::Entries, 0, 17), "tile/entries/000.p/17"),
        (tile(Level::Entries, (1 << 56) - 1, 256), "tile/entries/x072/x057/x594/x037/x927/935"),
    ] {
        assert_eq!(id.path(), path);
        assert_eq!(path.parse(), Ok(id), "{path}");
    }
    for path in [
        "",
        "tile",
        "tile/0",
        "tile/0/",
        "/tile/0/000",
        "tile/0/000/",
        "tile//000",
        "tile/00/000",
        "tile/+0/000",
        "tile/8/000",
        "tile/64/000",
        "tile/x/000",
        "tile/entries",
        "tile/Entries/000",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/+01",
        "tile/0/x000",
        "tile/0/x000/001",
        "tile/0/001/002",
        "tile/0/x01/002",
        "tile/0/x001/x002",
        "tile/0/1000",
        "tile/0/000.p",
        "tile/0/000.p/",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/257",
        "tile/0/000.p/05",
        "tile/0/000.p/5.p/5",
        "tile/0/000.p/5/",
        "tile/0/x018/x446/x744/x073/x709/x551/616",
        "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
        "tile/7/001",
        "tile/0/000\n",
        "tile/0/000.p/65541",
        "tile/../checkpoint",
    ] {
        assert_eq!(path.parse::<TileId>(), Err(TileError::Path), "{path}");
    }
}

#[test]
fn the_tiles_of_the_public_format() {
    // The two examples in the text of c2sp.org/tlog-tiles.
    let mut rows: BTreeMap<Level, Vec<TileId>> = BTreeMap::new();
    tiles_for(0, 70_000).for_each(|id| rows.entry(id.level).or_default().push(id));
    let shape = |level| {
        let row: &Vec<TileId> = &rows[&level];
        (row.iter().filter(|id| id.is_full()).count(), row.last().map(|id| id.width))
    };
    assert_eq!(shape(Level::Entries), (273, Some(112)));
    assert_eq!(shape(Level::Hashes(0)), (273, Some(112)));
    assert_eq!(shape(Level::Hashes(1)), (1, Some(17)));
    assert_eq!(shape(Level::Hashes(2)), (0, Some(1)));
    assert_eq!(rows.len(), 4);
    let paths: Vec<String> = tiles_for(0, 256).map(|id| id.path()).collect();
    assert_eq!(paths, ["tile/entries/000", "tile/0/000", "tile/1/000.p/1"]);
    // Only what is new or has grown.
    let paths: Vec<String> = tiles_for(255, 257).map(|id| id.path()).collect();
    let grown = ["tile/entries/000", "tile/entries/001.p/1", "tile/0/000", "tile/0/001.p/1"];
    assert_eq!(paths[..4], grown);
    assert_eq!(paths[4..], ["tile/1/000.p/1"]);
    assert_eq!(tiles_for(5, 5).count() + tiles_for(6, 5).count() + tiles_for(0, 0).count(), 0);
    // A size that lies costs nothing until somebody asks for all of it.
    assert_eq!(tiles_for(0, u64::MAX).take(1000).count(), 1000);
    assert!(tiles_for(u64::MAX - 1, u64::MAX).count() >= 2);
}

#[test]
fn a_tile_is_as_wide_as_its_tree_and_its_file_as_long() {
    for (index, size, width) in [
        (0, 0, None),
        (0, 1, Some(1)),
        (0, 256, Some(256)),
        (1, 256, None),
        (1, 257, Some(1)),
        (u64::MAX, u64::MAX, None),
    ] {
        let found = TileId::at(Level::Entries, index, size).map(|id| id.width);
        assert_eq!(found, width, "{index} of {size}");
    }
    assert_eq!(tile(Level::Entries, 0, 17).full(), tile(Level::Entries, 0, 256));
    // Hashes have 32 bytes, leaves two and more.
    for (level, bytes, fits) in [
        (Level::Hashes(0), 95, false),
        (Level::Hashes(0), 96, true),
        (Level::Hashes(0), 97, false),
        (Level::Entries, 5, false),
        (Level::Entries, 6, true),
        (Level::Entries, 1_000, true),
    ] {
        assert_eq!(tile(level, 0, 3).fits(bytes), fits, "{level:?} {bytes}");
    }
}

#[test]
fn a_bundle_holds_its_leaves_and_nothing_else() {
    let leaves: Vec<Vec<u8>> = vec![b"one".to_vec(), vec![], vec![7; 65_535]];
    let bytes = encode_bundle(&leaves).expect("short enough");
    assert_eq!(bytes[..5], *b"\0\x03one");
    assert_eq!(parse_bundle(&bytes, 3), Ok(leaves.iter().map(Vec::as_slice).collect()));
    assert_eq!(parse_bundle(&bytes, 2), Err(TileError::Long(65_537)));
    assert_eq!(parse_bundle(&bytes, 4), Err(TileError::Short(3)));
    for cut in [0, 1, 4, 5, 6, 8, bytes.len() - 1] {
        assert!(matches!(parse_bundle(&bytes[..cut], 3), Err(TileError::Short(_))), "cut at {cut}");
    }
    assert_eq!(parse_bundle(&[], 0), Ok(vec![]));
    assert_eq!(encode_bundle([vec![0; 65_536]]), Err(TileError::Leaf(65_536)));

    let hashes = [[1; 32], [2; 32]];
    assert_eq!(parse_hashes(&encode_hashes(&hashes), 2), Ok(hashes.to_vec()));
    for (length, width) in [(64, 1), (64, 3), (63, 2), (65, 2), (0, 1)] {
        let refused = Err(TileError::Width { expected: width, actual: length });
        assert_eq!(parse_hashes(&vec![0; length], width), refused);
    }
}

/// The files of a log that was published at each of these sizes.
fn publish(leaves: &[Node], sizes: &[u64]) -> HashMap<TileId, Vec<u8>> {
    let (mut files, mut from) = (HashMap::new(), 0);
    for size in sizes {
        for id in tiles_for(from, *size) {
            let Level::Hashes(level) = id.level else { continue };
            let under = 256_usize.pow(level.into());
            let first = id.first_leaf().expect("a small tree") as usize;
            let hashes: Vec<Node> = leaves[first..first + under * usize::from(id.width)]
                .chunks(under)
                .map(root::<Sha256>)
                .collect();
            files.insert(id, encode_hashes(&hashes));
        }
        from = *size;
    }
    files
}

/// Whoever has nothing but the files of a log could prove no payment with them.
#[test]
fn tiles_prove_every_leaf_and_every_older_tree() {
    let leaves: Vec<Node> = (0..70_000_u32).map(|i| Sha256::leaf(&i.to_be_bytes())).collect();
    let sizes = [1, 200, 256, 257, 600, 65_536, 65_537, 70_000];
    let files = publish(&leaves, &sizes);
    let older: Vec<Node> =
        sizes.iter().map(|size| root::<Sha256>(&leaves[..*size as usize])).collect();
    for (size, whole) in sizes.iter().zip(&older) {
        let mut subtree = |first, count| {
            subtree_from_tiles(first, count, *size, |id| parse_hashes(&files[&id], id.width))
        };
        let taken = range::<Sha256, TileError>(*size, &mut subtree).expect("all tiles are there");
        assert_eq!(taken.map(|range| range.root()), Some(*whole));
        for at in [0, 1, 255, 256, 599, 65_535, 65_536, 69_999].into_iter().filter(|at| at < size) {
            let path = inclusion::<Sha256, TileError>(at, *size, &mut subtree).expect("tiles");
            let leaf = leaves[at as usize];
            assert_eq!(check_inclusion::<Sha256>(leaf, at, *size, &path, whole), Ok(()));
        }
        for (from, old) in sizes.iter().zip(&older).filter(|(from, _)| *from <= size) {
            let path = consistency::<Sha256, TileError>(*from, *size, &mut subtree).expect("tiles");
            assert_eq!(check_consistency::<Sha256>(*from, *size, &path, old, whole), Ok(()));
        }
    }
}

#[test]
fn a_subtree_that_is_none_is_refused() {
    let none = |first, leaves, size| {
        let read = |_| -> Result<Vec<Node>, TileError> { panic!("no tile to read") };
        subtree_from_tiles(first, leaves, size, read) == Err(TileError::Subtree { first, leaves })
    };
    for (first, leaves, size) in [
        (0, 0, 9),
        (0, 3, 9),
        (1, 2, 9),
        (8, 2, 9),
        (0, 16, 9),
        (u64::MAX, 1, 9),
        (1 << 63, 1 << 63, u64::MAX),
    ] {
        assert!(none(first, leaves, size), "{first} {leaves} {size}");
    }
    let short = subtree_from_tiles(4, 4, 9, |_| Ok::<_, TileError>(vec![[0; 32]; 7]));
    assert_eq!(short, Err(TileError::Width { expected: 9, actual: 7 * 32 }));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// A path and its tile are two names of one thing.
    #[test]
    fn paths_are_read_as_written(level in 0..9_u8, size in any::<u64>(), index in any::<u64>(), shift in 0..64_u32) {
        let level = level.checked_sub(1).map_or(Level::Entries, Level::Hashes);
        if let Some(id) = TileId::at(level, index >> shift, size) {
            prop_assert_eq!(id.path().parse(), Ok(id));
            prop_assert!(id.first_leaf().is_some_and(|first| first < size));
            prop_assert_eq!(id.full().path().parse(), Ok(id.full()));
        }
    }

    /// Any text is the path of a tile or refused, and a tile has no other path.
    #[test]
    fn any_path(path in "tile/(entries|[0-9]{1,2})/(x?[0-9]{1,4}/?){1,4}(\\.p/[0-9]{1,3})?") {
        if let Ok(id) = path.parse::<TileId>() {
            prop_assert_eq!(id.path(), path);
        }
    }

    /// Any bytes are a bundle or refused, and leaves have no other bundle.
    #[test]
    fn any_bundle(leaves in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..6), cut in 0..9_usize) {
        let bytes = encode_bundle(&leaves).expect("short leaves");
        let width = leaves.len() as u16;
        prop_assert_eq!(parse_bundle(&bytes, width), Ok(leaves.iter().map(Vec::as_slice).collect()));
        let rest = &bytes[cut.min(bytes.len())..];
        for width in 0..8 {
            if let Ok(read) = parse_bundle(rest, width) {
                prop_assert_eq!(&encode_bundle(read).expect("short leaves")[..], rest);
            }
        }
    }
}
