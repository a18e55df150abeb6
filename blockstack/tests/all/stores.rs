//! What `store.rs` promises, shown on the folder. What would be lost if this
//! failed: a checkpoint over files that are not all there, or two heads.

use std::fs;
use std::path::Path;

use webwallet_blockstack::{Folder, Published, Store as _};
use webwallet_ledger::tile::TileId;

fn open(dir: &Path) -> Folder {
    Folder::open(&dir.join("log")).expect("a folder")
}

fn tile(path: &str) -> TileId {
    path.parse().expect("a tile")
}

/// A mirror of the folder would miss the files where the public format has them.
#[test]
fn files_are_there_whole_under_the_paths_they_are_served_by() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    let files: Vec<(TileId, Vec<u8>)> =
        ["tile/0/000.p/7", "tile/0/x001/067", "tile/entries/000.p/7", "tile/1/000.p/1"]
            .iter()
            .map(|path| (tile(path), path.as_bytes().to_vec()))
            .collect();
    for (name, _) in &files {
        assert_eq!(store.get(*name).expect("read"), None);
    }
    store.put(&files).expect("stored");
    store.put(&files).expect("a repeat is no error");
    for store in [store, open(dir.path())] {
        for (name, bytes) in &files {
            assert_eq!(store.get(*name).expect("read").as_ref(), Some(bytes));
            let served = dir.path().join("log").join(name.path());
            assert_eq!(fs::read(served).expect("read"), *bytes);
        }
    }
}

/// A log would be signed on though proofs of what is in it cannot be made any more.
#[test]
fn a_file_that_is_gone_or_cut_short_is_not_there() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    let rows =
        [("tile/0/000", 8_192, true), ("tile/0/000", 8_160, false), ("tile/1/000.p/3", 96, true)];
    let entries = [("tile/entries/000", 0, false), ("tile/entries/000", 100_000, true)];
    for (path, bytes, there) in rows.into_iter().chain(entries) {
        store.put(&[(tile(path), vec![0; bytes])]).expect("stored");
        assert_eq!(store.has(tile(path)).expect("looked"), there, "{path} of {bytes} bytes");
    }
    assert!(!store.has(tile("tile/0/001")).expect("looked"));
}

/// The disk would fill with what full tiles hold; or a tile be gone that proofs are made of.
#[test]
fn partial_tiles_go_and_everything_else_stays() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    let names = ["tile/0/000.p/7", "tile/0/000.p/9", "tile/0/000", "tile/0/001.p/3"].map(tile);
    store.put(&names.map(|name| (name, b"x".to_vec()))).expect("stored");
    store.remove_partials(&[names[2]]).expect("removed");
    store.remove_partials(&[names[2]]).expect("and again");
    let left = names.map(|name| store.get(name).expect("read").is_some());
    assert_eq!(left, [false, false, true, true]);
}

/// Strangers would find tiles of a block that was never published, and call an honest log false.
#[test]
fn wider_tiles_go_and_everything_else_stays() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    let paths = ["tile/0/000.p/7", "tile/0/000.p/9", "tile/0/000", "tile/0/001.p/3"];
    let names = paths.map(tile);
    store.put(&names.map(|name| (name, b"x".to_vec()))).expect("stored");
    let edge = [names[0], TileId { width: 0, ..names[3] }, tile("tile/1/000.p/1")];
    for _ in 0..2 {
        store.remove_wider(&edge).expect("removed");
        let left = names.map(|name| store.get(name).expect("read").is_some());
        assert_eq!(left, [true, false, true, false]);
    }
}

/// What a crash left half written would pile up, or stand in the way of the next block.
#[test]
fn a_file_that_a_crash_left_unfinished_is_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let unfinished = dir.path().join("log/.unfinished");
    fs::create_dir_all(&unfinished).expect("made");
    fs::write(unfinished.join("0"), "hal").expect("written");
    let store = open(dir.path());
    assert!(!unfinished.exists());
    store.put(&[(tile("tile/0/000.p/1"), b"whole".to_vec())]).expect("stored");
}

/// A block would be published over a file that is missing, or the log never go on.
#[test]
fn a_disk_that_fails_is_said_and_the_same_again_succeeds() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    let files = [(tile("tile/0/000.p/1"), b"one".to_vec()), (tile("tile/1/000.p/1"), vec![2])];
    // A file stands where a folder belongs: the first is written, the second not.
    fs::create_dir_all(dir.path().join("log/tile")).expect("made");
    fs::write(dir.path().join("log/tile/1"), "in the way").expect("written");
    assert!(store.put(&files).is_err());
    fs::remove_file(dir.path().join("log/tile/1")).expect("removed");
    store.put(&files).expect("stored");
    for (name, bytes) in &files {
        assert_eq!(store.get(*name).expect("read").as_ref(), Some(bytes));
    }
}

/// Of two processes the one that lags would put its head over the newer one.
#[test]
fn the_head_moves_only_from_what_was_read() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    let publish = |before, after| store.publish(before, after).expect("an answer");
    assert_eq!(store.checkpoint().expect("read"), None);
    assert_eq!(publish(Some("none"), "one"), Published::Moved);
    assert_eq!(publish(None, "one"), Published::Yes);
    assert_eq!(publish(None, "one"), Published::Yes, "the same again");
    assert_eq!(publish(None, "two"), Published::Moved);
    assert_eq!(publish(Some("one"), "two"), Published::Yes);
    assert_eq!(publish(Some("one"), "two"), Published::Yes, "its answer was lost");
    assert_eq!(publish(Some("one"), "three"), Published::Moved);
    assert_eq!(store.checkpoint().expect("read").as_deref(), Some("two"));
    assert_eq!(open(dir.path()).checkpoint().expect("read").as_deref(), Some("two"));
    assert_eq!(fs::read_to_string(dir.path().join("log/checkpoint")).expect("read"), "two");
}
