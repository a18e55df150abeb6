//! The log read by tools that are not ours: Go's `sumdb/note` and `sumdb/tlog`.
//! If this failed, stock verifiers, mirrors and witnesses would be of no use to
//! users, and all they had would be our word for our own proofs.

use std::path::{Path, PathBuf};
use std::process::Command;

use webwallet_ledger::checkpoint::Checkpoint;
use webwallet_ledger::note::VerifierKey;
use webwallet_ledger::tile;
use webwallet_tests::process::{Process, agent, get};

use crate::proofs::{Mirror, copy, live, run, seal, text};

/// Builds `tests/go` into a folder, offline.
fn built(folder: &Path) -> PathBuf {
    let reader = folder.join("log-reader");
    let mut go = Command::new("go");
    go.args(["build", "-o"]).arg(&reader).arg(".");
    go.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("go"));
    // As the machine has it: no other toolchain, no workspace, no module that
    // scripts/test has not fetched.
    let go = go.env("GOTOOLCHAIN", "local").env("GOPROXY", "off").env("GOWORK", "off");
    let output = go.output().expect("go runs; scripts/test installs it");
    assert!(output.status.success(), "scripts/test fetches its modules: {}", text(&output.stderr));
    reader
}

/// What the reader says of a log, and whether it accepts it.
fn read(reader: &Path, url: &str, key: &str, older: &Path) -> (Option<i32>, String) {
    let output = run(reader, &[url, key, older.to_str().expect("a path in UTF-8")]);
    (output.status.code(), format!("{}{}", text(&output.stdout), text(&output.stderr)))
}

/// The signed head, saved to a file.
fn head(server: &Process, file: PathBuf) -> PathBuf {
    std::fs::write(&file, get(&agent(), &server.url(), "/checkpoint").body).expect("written");
    file
}

#[test]
fn stock_go_verifies_checkpoint_tiles_inclusion_and_consistency() {
    let folder = tempfile::tempdir().expect("a folder");
    let reader = built(folder.path());
    let (data, fork) = (folder.path().join("data"), folder.path().join("fork"));
    let start = |data: &Path| Process::all(data, &["--seal", "manual"]);
    let server = start(&data);
    let key = server.line["key"].as_str().expect("the first line says the key").to_owned();
    live(&server.url(), 0, 150);
    seal(&server);
    let older = head(&server, folder.path().join("older"));
    assert_eq!(server.terminate(), Some(0));
    // The same operator with the same key, who tells somebody else another story.
    copy(&data, &fork);
    let server = start(&data);
    live(&server.url(), 150, 200);
    seal(&server);
    let (code, said) = read(&reader, &server.url(), &key, &older);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("354 entries in 5 files, extends 153"), "{said}");
    // As the older one, at its own address.
    let again = folder.path().join("again");
    std::fs::write(&again, get(&agent(), &server.url(), "/checkpoint/153").body).expect("written");
    assert_eq!(read(&reader, &server.url(), &key, &again).0, Some(0));

    let other = start(&fork);
    live(&other.url(), 1_000, 3);
    seal(&other);
    let forked = head(&other, folder.path().join("forked"));
    let (code, said) = read(&reader, &server.url(), &key, &forked);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("consistency: "), "{said}");

    // One byte of any file that it reads.
    let mirror = folder.path().join("mirror");
    copy(&data.join("log"), &mirror);
    let served = Mirror::of(&mirror);
    let url = format!("{}/", served.1);
    assert_eq!(read(&reader, &url, &key, &older).0, Some(0));
    let key_parsed: VerifierKey = key.parse().expect("a key");
    let note = std::fs::read(mirror.join("checkpoint")).expect("read");
    let (checkpoint, _) = Checkpoint::open(&note, &[key_parsed]).expect("a checkpoint");
    let tiles = tile::tiles_for(0, checkpoint.size).map(|id| id.path());
    let mut flipped = 0;
    for name in tiles.chain(["checkpoint".to_owned()]) {
        let path = mirror.join(&name);
        let good = std::fs::read(&path).expect("read");
        let mut bad = good.clone();
        let middle = bad.len() / 2;
        bad[middle] ^= 4;
        std::fs::write(&path, &bad).expect("written");
        let (code, said) = read(&reader, &url, &key, &older);
        assert_eq!(code, Some(1), "{name}: {said}");
        let named: &[&str] = match name.as_str() {
            "checkpoint" => &["checkpoint: "],
            name if name.starts_with("tile/entries") => &["inclusion of entry "],
            _ => &["inclusion of entry ", "tiles: "],
        };
        assert!(named.iter().any(|part| said.contains(part)), "{name}: {said}");
        std::fs::write(&path, &good).expect("written");
        flipped += 1;
    }
    assert_eq!(flipped, 6, "two bundles, three tiles and the checkpoint");
    assert_eq!(read(&reader, &url, &key, &older).0, Some(0));
}
