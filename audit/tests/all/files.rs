//! Files that were damaged: whatever byte of whatever file, it is found, and
//! the auditor always comes to an end.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;
use webwallet_audit::Audit;
use webwallet_ledger::checkpoint::Checkpoint;
use webwallet_ledger::merkle::{self, Node, Sha256, TreeHash as _};

use crate::chain::{DOMAIN, Log, sample, secret};
use crate::{ask, first, question};

/// The sample with partial tiles of every checkpoint it ever had.
fn kept() -> (Log, TempDir) {
    let log = sample();
    let directory = TempDir::new().expect("a directory");
    let all: Vec<usize> = (1..log.checkpoints.len()).collect();
    log.write(directory.path(), &all);
    (log, directory)
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found
}

/// Block and number where a leaf stands.
fn place(log: &Log, leaf: usize) -> (Option<u64>, Option<u64>) {
    let is = |kind: &str, leaf: &&Vec<u8>| {
        let text = String::from_utf8_lossy(leaf);
        text.contains(&format!("\"kind\":\"{kind}\""))
    };
    let before = &log.leaves[..leaf];
    let block = before.iter().filter(|leaf| is("block", leaf)).count() as u64;
    let records = &log.leaves[..=leaf];
    (Some(block), Some(records.iter().filter(|leaf| is("record", leaf)).count() as u64))
}

/// One flipped byte in any file is found, and a bundle's is named exactly.
#[test]
fn a_flipped_byte_in_any_file_is_found() {
    let (log, directory) = kept();
    let where_it_is = directory.path().to_str().expect("a path");
    let all = files(directory.path());
    assert!(all.len() > 30, "{} files", all.len());
    for path in all {
        let good = fs::read(&path).expect("a file");
        for at in [0, good.len() / 3, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).expect("written");
            let report = ask(&question(&log), where_it_is);
            let name = path.strip_prefix(directory.path()).expect("inside").display().to_string();
            let expected = if name == "checkpoint" { "A-NOTE" } else { "A-TILE" };
            assert_eq!(first(&report).0, expected, "{name} at {at}");
            if name.starts_with("tile/0/000") {
                let found = (report.findings[0].block, report.findings[0].number);
                assert_eq!(found, place(&log, at / 32), "{name} at {at}");
            }
        }
        fs::write(&path, good).expect("written");
    }
    assert_eq!(first(&ask(&question(&log), where_it_is)).0, "accepted");
}

/// A changed leaf is named, not the tile above it.
#[test]
fn a_changed_leaf_is_named_itself() {
    let (log, directory) = kept();
    let path = directory.path().join("tile/entries/001");
    let good = fs::read(&path).expect("a file");
    for leaf in [256, 300, 511] {
        let start: usize = log.leaves[256..leaf].iter().map(|leaf| leaf.len() + 2).sum();
        let mut bad = good.clone();
        bad[start + 2 + 100] ^= 1;
        fs::write(&path, bad).expect("written");
        let report = ask(&question(&log), directory.path().to_str().expect("a path"));
        assert_eq!(first(&report).0, "A-TILE");
        assert_eq!(report.findings[0].leaf, Some(leaf as u64));
        assert_eq!((report.findings[0].block, report.findings[0].number), place(&log, leaf));
        let tiles = report.findings.iter().filter(|f| f.code.as_str() == "A-TILE").count();
        assert_eq!(tiles, 1, "one damage, one finding: {:#?}", report.findings);
    }
}

/// Missing, cut off, too long, swapped: each names the lowest leaf under it.
#[test]
fn a_file_of_wrong_extent_is_found() {
    let (log, directory) = kept();
    let place_of = directory.path().to_str().expect("a path");
    let rows = [("tile/entries/001", 256), ("tile/0/001", 256), ("tile/1/000.p/2", 0)];
    for (name, leaf) in rows {
        let path = directory.path().join(name);
        let good = fs::read(&path).expect(name);
        for bad in [
            None,
            Some(&good[..good.len() - 1]),
            Some(&[good.as_slice(), &[0]].concat()),
            Some(&[]),
        ] {
            match bad {
                None => fs::remove_file(&path).expect("removed"),
                Some(bad) => fs::write(&path, bad).expect("written"),
            }
            let report = ask(&question(&log), place_of);
            assert_eq!(first(&report).0, "A-TILE", "{name}");
            assert_eq!(report.findings[0].leaf, Some(leaf as u64), "{name}");
            assert_eq!((report.findings[0].block, report.findings[0].number), place(&log, leaf));
        }
        fs::write(&path, good).expect("written");
    }
    assert_eq!(first(&ask(&question(&log), place_of)).0, "accepted");
}

/// Whoever hands on a directory hands on all of it: what bears the name of a
/// partial tile and is none would make two copies of one log.
#[test]
fn what_bears_the_name_of_a_partial_tile_is_one() {
    let (log, directory) = kept();
    let place_of = directory.path().to_str().expect("a path");
    for (row, leaf) in [("entries/000", 0), ("0/000", 0), ("entries/001", 256), ("0/001", 256)] {
        let folder = directory.path().join(format!("tile/{row}.p"));
        fs::create_dir_all(&folder).expect("made");
        let free = |width: &i32| !folder.join(width.to_string()).exists();
        let path =
            folder.join((1..256).find(free).expect("a width that no checkpoint had").to_string());
        for dangles in [false, true] {
            match dangles {
                false => fs::create_dir(&path).expect("made"),
                true => std::os::unix::fs::symlink("nowhere", &path).expect("made"),
            }
            let report = ask(&question(&log), place_of);
            assert_eq!(
                (first(&report).0, report.findings[0].leaf),
                ("A-TILE", Some(leaf)),
                "{row}"
            );
            match dangles {
                false => fs::remove_dir(&path).expect("removed"),
                true => fs::remove_file(&path).expect("removed"),
            }
        }
    }
    let path = directory.path().join("tile/1/000.p/1");
    fs::remove_file(&path).expect("there was one");
    fs::create_dir(path).expect("made");
    let report = ask(&question(&log), place_of);
    assert_eq!((first(&report).0, report.findings[0].leaf), ("A-TILE", Some(0)));
}

/// Tiles that agree with one another but not with what was signed.
#[test]
fn a_log_that_is_not_the_signed_one_is_found() {
    let (log, directory) = kept();
    let (size, root) = (log.leaves.len() as u64, [7; 32]);
    let note = Checkpoint { origin: DOMAIN.into(), size, root }.sign(&secret("log key 2"));
    fs::write(directory.path().join("checkpoint"), note).expect("written");
    let report = ask(&question(&log), directory.path().to_str().expect("a path"));
    assert_eq!(first(&report), ("A-TILE", Some(0), Some(0)));
}

/// A signed size of more leaves than there are atoms to write them must not
/// keep an auditor busy for ever.
#[test]
fn a_checkpoint_of_astronomic_size_comes_to_an_end() {
    let (log, directory) = kept();
    let huge = Checkpoint { origin: DOMAIN.into(), size: u64::MAX, root: [7; 32] };
    fs::write(directory.path().join("checkpoint"), huge.sign(&secret("log key 2")))
        .expect("written");
    for structure in [false, true] {
        let audit = Audit { structure, ..question(&log) };
        let report = ask(&audit, directory.path().to_str().expect("a path"));
        assert_eq!(first(&report).0, "A-TILE");
    }
}

/// What a path of a tile gives.
type Tile = fn(&str) -> Vec<u8>;

/// A log over HTTP of which every tile is there: what a path gives, and how often it was asked.
fn endless(checkpoint: String, tile: Tile) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let answer = move |stream: TcpStream| -> std::io::Result<()> {
        let mut reader = BufReader::new(&stream);
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if reader.read_line(&mut head)? == 0 {
                    return Ok(());
                }
            }
            let path = head.split(' ').nth(1).unwrap_or_default();
            let (status, body) = match path {
                "/checkpoint" => (200, checkpoint.clone().into_bytes()),
                // Whoever never has enough comes to an end here, lest the test does not.
                _ if count.fetch_add(1, Ordering::Relaxed) > ENOUGH => (404, Vec::new()),
                path => (200, tile(path)),
            };
            let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len());
            (&stream).write_all(&[head.as_bytes(), &body].concat())?;
        }
    };
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            // Who has enough goes.
            std::thread::spawn(move || answer(stream).ok());
        }
    });
    (url, asked)
}

/// Files of a log that are asked for at most.
const ENOUGH: usize = 30_000;

/// Whoever audits a stranger's log has an answer while they wait, however long the log is that
/// he makes up: garbage, or leaves of nothing under tiles that are right.
#[test]
fn a_log_without_end_is_given_up_after_many_findings() {
    let garbage = |_: &str| b"x".to_vec();
    let nothing = |path: &str| {
        let (path, width) = path.split_once(".p/").unwrap_or((path, "256"));
        let width: usize = width.parse().expect("a width");
        let level = path.split('/').nth(2).expect("a level");
        if level == "entries" {
            return vec![0; 2 * width];
        }
        let level: u32 = level.parse().expect("a level");
        let up = |node: Node| merkle::root::<Sha256>(&[node; 256]);
        let node = (0..level).fold(Sha256::leaf(b""), |node, _| up(node));
        vec![node; width].concat()
    };
    let log = sample();
    let size = 1 << 48;
    let checkpoint = Checkpoint { origin: DOMAIN.into(), size, root: [7; 32] };
    let others = checkpoint.sign(&secret("a key of somebody else"));
    let rows = [(garbage as Tile, "A-TILE"), (nothing, "A-ENCODING")];
    for (tile, code) in rows {
        let (url, asked) = endless(others.clone(), tile);
        let report = ask(&question(&log), &url);
        assert_eq!(first(&report), (code, Some(0), Some(1)));
        assert!(report.unread > 0 && report.findings.len() < 30_000);
        let asked = asked.load(Ordering::Relaxed);
        assert!(asked < ENOUGH, "{code}: {asked} files");
    }
}

/// Damage before a checkpoint seen before is damage, not a rewritten history.
#[test]
fn damage_is_not_called_a_rewrite() {
    let (log, directory) = kept();
    let path = directory.path().join("tile/entries/000");
    let mut bytes = fs::read(&path).expect("a file");
    bytes[100] ^= 1;
    fs::write(&path, bytes).expect("written");
    let from = log.checkpoints.last().expect("one").clone().into_bytes();
    let audit = Audit { from: Some(from), ..question(&log) };
    let report = ask(&audit, directory.path().to_str().expect("a path"));
    assert_eq!(first(&report), ("A-TILE", Some(0), Some(0)));
}
