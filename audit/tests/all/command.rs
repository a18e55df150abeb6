//! The command as an auditor runs it: exit codes, JSON, and a log read over HTTP.

use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;

use serde_json::{Value, json};
use webwallet_audit::{Code, Source, consistency};
use webwallet_ledger::checkpoint::Checkpoint;
use webwallet_ledger::merkle::{self, Node, Sha256, TreeHash as _};
use webwallet_ledger::receipt::Receipt;
use webwallet_ledger::tile::{self, Level, TileError, TileId};

use crate::chain::{DOMAIN, Log, canonical, sample, secret};
use crate::written;

fn command(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_webwallet-audit"));
    command.args(args).stdin(Stdio::null()).output().expect("it runs")
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("one JSON document a line")).collect()
}

/// Serves a directory as any static web server does, as long as the test runs.
fn served(directory: &Path) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let directory = directory.to_owned();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let directory = directory.clone();
            thread::spawn(move || serve(stream, directory));
        }
    });
    url
}

fn serve(stream: TcpStream, directory: PathBuf) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    loop {
        let request = lines.next()?.ok()?;
        while !lines.next()?.ok()?.is_empty() {}
        let path = request.split(' ').nth(1)?.trim_start_matches('/').to_owned();
        let (status, body) = match std::fs::read(directory.join(path)) {
            Ok(body) => ("200 OK", body),
            Err(error) if error.kind() == ErrorKind::IsADirectory => ("500 Error", Vec::new()),
            Err(_) => ("404 Not Found", Vec::new()),
        };
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
        (&stream).write_all(&[head.as_bytes(), &body].concat()).ok()?;
    }
}

/// The answer must be the same from files and from a web server.
#[test]
fn a_directory_and_its_url_are_accepted_alike() {
    let log = sample();
    let directory = written(&log);
    let (place, key) = (directory.path().to_str().expect("a path"), log.key().to_string());
    let url = served(directory.path());
    let mut results = Vec::new();
    for place in [place, &url, &format!("{url}/")] {
        let output = command(&[place, "--key", &key, "--json"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        results.push(lines(&output));
    }
    assert_eq!(results[0], results[1]);
    assert_eq!(results[0], results[2]);
    let last = results[0].last().expect("a result");
    assert_eq!((results[0].len(), &last["result"]), (1, &"accepted".into()));
    assert_eq!(last["size"], log.leaves.len().to_string());
    assert_eq!(last["records"], log.number.to_string());
    assert_eq!(last["head"].as_str().map(str::len), Some(64));
    let keys: Vec<&String> = last.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["blocks", "head", "records", "result", "size"]);
}

/// A finding as scripts read it.
#[test]
fn a_finding_is_one_line_of_json_and_one_line_of_text() {
    let log = sample();
    let directory = written(&log);
    let path = directory.path().join("tile/entries/000");
    let mut bytes = std::fs::read(&path).expect("a file");
    bytes[50] ^= 1;
    std::fs::write(path, bytes).expect("written");
    let (place, key) = (directory.path().to_str().expect("a path"), log.key().to_string());
    let output = command(&[place, "--key", &key, "--json", "--structure"]);
    assert_eq!(output.status.code(), Some(1));
    let found = lines(&output);
    let keys: Vec<&String> = found[0].as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["actual", "block", "code", "expected", "field", "leaf", "number"]);
    assert_eq!((&found[0]["code"], &found[0]["leaf"]), (&"A-TILE".into(), &"0".into()));
    assert_eq!(found.last().expect("a result")["result"], "rejected");
    let output = command(&[place, "--key", &key, "--structure"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(text.starts_with("A-TILE     block 0, number 0, leaf 0: "), "{text}");
}

/// A script goes by the exit status: a rejected log must not become anything else
/// because a pager was left or a disk is full.
#[test]
fn the_verdict_is_the_same_whoever_reads_it() {
    let (good, bad) = (written(&sample()), written(&sample()));
    let path = bad.path().join("tile/entries/000");
    let mut bytes = std::fs::read(&path).expect("a file");
    bytes[50] ^= 1;
    std::fs::write(path, bytes).expect("written");
    let (true_one, false_one) = (good.path().join("receipt"), bad.path().join("receipt"));
    std::fs::write(&true_one, receipt(&sample(), 300).to_text()).expect("written");
    std::fs::write(&false_one, "no receipt").expect("written");
    let text = |path: &Path| path.to_str().expect("a path").to_owned();
    let key = sample().key().to_string();
    for (expected, place, proof) in
        [(0, good.path(), true_one.as_path()), (1, bad.path(), &false_one)]
    {
        for arguments in [vec![text(place)], vec!["receipt".to_owned(), text(proof)]] {
            for json in [&[][..], &["--json"]] {
                for (out, error) in [(false, false), (true, false), (false, true), (true, true)] {
                    let nowhere = |full: bool| match full {
                        true => Stdio::from(full_disk()),
                        false => Stdio::from(no_reader()),
                    };
                    let status = Command::new(env!("CARGO_BIN_EXE_webwallet-audit"))
                        .args(&arguments)
                        .args(["--key", &key])
                        .args(json)
                        .stdout(nowhere(out))
                        .stderr(nowhere(error))
                        .status();
                    let status = status.expect("it runs").code();
                    assert_eq!(status, Some(expected), "{arguments:?} {json:?} {out} {error}");
                }
            }
        }
    }
    let status = Command::new(env!("CARGO_BIN_EXE_webwallet-audit"))
        .args(["/nowhere", "--key", &key])
        .stderr(full_disk())
        .status();
    assert_eq!(status.expect("it runs").code(), Some(2));
}

fn full_disk() -> std::fs::File {
    std::fs::File::options().write(true).open("/dev/full").expect("/dev/full")
}

/// The end of a pipe whose reader has gone.
fn no_reader() -> std::io::PipeWriter {
    let (_, writer) = std::io::pipe().expect("a pipe");
    writer
}

/// An auditor that waits for ever says nothing; whoever keeps the log could want that.
#[test]
fn what_has_no_end_or_is_no_file_is_not_waited_for() {
    let log = sample();
    let directory = written(&log);
    let key = log.key().to_string();
    let timed = |arguments: &[&str]| {
        let mut command = Command::new("timeout");
        command.args(["60", env!("CARGO_BIN_EXE_webwallet-audit")]).args(arguments);
        command.args(["--key", &key]).output().expect("it runs")
    };
    let endless = timed(&["receipt", "/dev/zero"]);
    assert_eq!(endless.status.code(), Some(1), "{endless:?}");
    let bundle = directory.path().join("tile/entries/000");
    std::fs::remove_file(&bundle).expect("removed");
    assert!(Command::new("mkfifo").arg(&bundle).status().expect("it runs").success());
    let found = timed(&[directory.path().to_str().expect("a path"), "--json"]);
    assert_eq!(found.status.code(), Some(1), "{found:?}");
    assert_eq!(lines(&found)[0]["code"], "A-TILE");
    let head = directory.path().join("checkpoint");
    std::fs::remove_file(&head).expect("removed");
    assert!(Command::new("mkfifo").arg(&head).status().expect("it runs").success());
    assert_eq!(timed(&[directory.path().to_str().expect("a path")]).status.code(), Some(2));
}

/// What is no log and what is no command line can be told from a bad log.
#[test]
fn what_cannot_be_checked_is_neither_accepted_nor_rejected() {
    let empty = tempfile::TempDir::new().expect("a directory");
    let empty = empty.path().to_str().expect("a path");
    let key = Log::first_key().to_string();
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("one");
    let nobody = format!("http://{nobody}");
    let spaced = format!("a{}", key.replacen("audit", "\u{1}udit", 1));
    let cases: [&[&str]; 13] = [
        &[],
        &[empty],
        &[empty, "--key", &key],
        &["/nowhere/at/all", "--key", &key],
        &[&nobody, "--key", &key],
        &[empty, "--key", "not a key"],
        &[empty, "--key", &spaced],
        &[empty, "--key", &key, "--domain="],
        &[empty, "--key", &key, "--max-age=+5"],
        &[empty, "--key", &key, "--max-age=4294967296"],
        &[empty, "--key", &key, "--max-age="],
        &["receipt", "/nowhere/at/all", "--key", &key],
        &["consistency", "/nowhere", "/nowhere", "--source", empty, "--key", &key],
    ];
    for case in cases {
        let output = command(case);
        assert_eq!(output.status.code(), Some(2), "{case:?}: {output:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{case:?}");
    }
    // What is said of it is read by others than who gave the password.
    for place in [&nobody, &served(Path::new(empty))] {
        let place = place.replace("http://", "HTTP://alice:SECRET@");
        let told = command(&[&place, "--key", &key]);
        let told = String::from_utf8(told.stderr).expect("UTF-8");
        assert!(told.contains("HTTP://127.0.0.1") && !told.contains("SECRET"), "{told}");
    }
}

/// A host that is found out must not get out of it by answering no more.
#[test]
fn what_was_found_before_the_host_failed_is_said() {
    let mut lying = Log::new();
    let thief = lying.draft("alice", "mallory", "1", "alice").sign(&secret("alice"));
    let record = lying.cleared(&[thief]).bytes;
    let mut record: Value = serde_json::from_slice(&record).expect("JSON");
    let signature = &mut record["meta"]["inputs"][0]["meta"]["signatures"][0];
    signature["string"] = "00".repeat(64).into();
    lying.record(canonical(&record));
    (0..300).for_each(|_| lying.pay("alice", "bob", "1", "alice"));
    lying.seal();
    for (log, failed, found) in [(lying, 1, "A-SIG"), (sample(), 2, "")] {
        let (directory, key) = (written(&log), log.key().to_string());
        let place = directory.path().to_str().expect("a path");
        let size = log.leaves.len() as u64;
        let last = TileId::at(Level::Entries, size / 256, size).expect("a bundle");
        let last = directory.path().join(last.path());
        std::fs::remove_file(&last).expect("removed");
        std::fs::create_dir(&last).expect("made");
        let output = command(&[&served(directory.path()), "--key", &key, "--json"]);
        assert_eq!(output.status.code(), Some(failed), "{output:?}");
        let code = lines(&output).first().map(|line| line["code"].clone());
        assert_eq!(code, (failed == 1).then(|| found.into()), "{output:?}");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains("500"), "{told}");
        // In a folder that is no file of a log, and a link in a circle is none, either.
        assert_eq!(command(&[place, "--key", &key]).status.code(), Some(1));
        std::fs::remove_dir(&last).expect("removed");
        std::os::unix::fs::symlink(&last, &last).expect("linked");
        let output = command(&[place, "--key", &key, "--json"]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert_eq!(lines(&output)[0]["code"], "A-TILE");
    }
}

/// The receipt of a leaf against the last checkpoint.
fn receipt(log: &Log, index: u64) -> Receipt {
    let size = log.leaves.len() as u64;
    let mut subtree = |first: u64, leaves: u64| -> Result<Node, TileError> {
        tile::subtree_from_tiles(first, leaves, size, |id| {
            let start = id.first_leaf().expect("a leaf") as usize;
            let under = 256_usize.pow(match id.level {
                Level::Hashes(level) => level.into(),
                Level::Entries => 0,
            });
            let hashes = (0..usize::from(id.width)).map(|i| {
                let leaves = &log.leaves[start + i * under..start + (i + 1) * under];
                let leaves: Vec<Node> = leaves.iter().map(|leaf| Sha256::leaf(leaf)).collect();
                merkle::root::<Sha256>(&leaves)
            });
            Ok::<Vec<Node>, TileError>(hashes.collect())
        })
    };
    let path = merkle::inclusion::<Sha256, _>(index, size, &mut subtree).expect("a path");
    let checkpoint = log.checkpoints.last().expect("one").clone();
    Receipt { record: log.leaves[index as usize].clone(), index, path, checkpoint }
}

/// Long after the server is gone.
#[test]
fn a_receipt_is_verified_offline() {
    let log = sample();
    let directory = tempfile::TempDir::new().expect("a directory");
    let file = directory.path().join("receipt.tlog-proof");
    let name = file.to_str().expect("a path");
    let key = log.key().to_string();
    let record = receipt(&log, 300);
    let json = record.to_json().expect("JSON");
    // As `webwallet receipt --json` prints it, too.
    let printed = [&json[..], b"\n"].concat();
    for text in [record.to_text().into_bytes(), json, printed] {
        std::fs::write(&file, text).expect("written");
        let output = command(&["receipt", name, "--key", &key, "--json"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(lines(&output)[0]["index"], "300");
        assert_eq!(command(&["receipt", name, "--key", &key]).status.code(), Some(0));
        let other = Log::first_key().to_string();
        assert_eq!(command(&["receipt", name, "--key", &other]).status.code(), Some(1));
    }
    // Nor what a wallet does not take for one.
    let indented = [&b" "[..], &record.to_json().expect("JSON")].concat();
    let indented = String::from_utf8(indented).expect("UTF-8");
    for bad in [record.to_text().replace("index 300", "index 301"), "no receipt".into(), indented] {
        std::fs::write(&file, bad).expect("written");
        let output = command(&["receipt", name, "--key", &key, "--json"]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert_eq!(lines(&output)[0]["result"], "rejected");
    }
}

/// Two saved heads and the tiles between them.
#[test]
fn consistency_is_proved_from_tiles() {
    let log = sample();
    let directory = written(&log);
    let place = directory.path().to_str().expect("a path");
    let note = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("a path").to_owned()
    };
    let last = log.checkpoints.last().expect("one");
    let new = note("new", last);
    let (first_key, key) = (Log::first_key().to_string(), log.key().to_string());
    let ask = |old: &str, new: &str| {
        let args = ["--source", place, "--key", &key, "--key", &first_key, "--json"];
        let output = command(&[&["consistency", old, new], &args[..]].concat());
        let code =
            lines(&output)[0].get("code").map(|code| code.as_str().expect("text").to_owned());
        (output.status.code(), code)
    };
    let found = |code: &str| (Some(1), Some(code.to_owned()));
    for checkpoint in &log.checkpoints {
        assert_eq!(ask(&note("old", checkpoint), &new), (Some(0), None));
    }
    let mut other = Log::new();
    other.pay("alice", "mallory", "1", "alice");
    other.seal();
    let old = note("old", other.checkpoints.last().expect("one"));
    assert_eq!(ask(&old, &new), found("A-REWRITE"));
    let longer = note("longer", last);
    let shorter = note("shorter", &log.checkpoints[3]);
    assert_eq!(ask(&longer, &shorter), found("A-REWRITE"));
    // Two heads of one size prove it alone, whatever the tiles are those of.
    let size = log.leaves.len() as u64;
    let other = Checkpoint { origin: DOMAIN.into(), size, root: [7; 32] };
    let other = note("other", &other.sign(&secret("log key 2")));
    assert_eq!(ask(&other, &new), found("A-REWRITE"));
    assert_eq!(ask(&new, &other), found("A-REWRITE"));
    let forged = note("old", &last.replacen("\n7", "\n8", 1));
    assert_eq!(ask(&forged, &new), found("A-NOTE"));
    let one_key = ["consistency", &note("old", &log.checkpoints[0]), &new, "--source", place];
    let told = lines(&command(&[&one_key[..], &["--key", &key, "--json"]].concat())).remove(0);
    assert_eq!((&told["code"], &told["field"]), (&json!("A-NOTE"), &json!("old")));
    assert!(told["expected"].as_str().is_some_and(|expected| expected.contains("each")), "{told}");
    std::fs::remove_file(directory.path().join("tile/1/000.p/2")).expect("removed");
    let old = note("old", &log.checkpoints[5]);
    assert_eq!(ask(&old, &new), found("A-TILE"));
}

/// A size that no tree can have must not pass for that of the empty tree, of
/// which every log is an extension.
#[test]
fn no_tree_has_more_leaves_than_can_be_counted() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let size = (1 << 63) + 1;
    let write = |id: TileId| {
        let path = directory.path().join(id.path());
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        std::fs::write(path, vec![0; 32 * usize::from(id.width)]).expect("written");
    };
    for (level, index) in [(7, 0), (0, (1 << 63) / 256)] {
        write(TileId::at(Level::Hashes(level), index, size).expect("a tile"));
    }
    let source = Source::open(directory.path().to_str().expect("a path"), None).expect("a place");
    let note = |size: u64, root: Node| {
        let checkpoint = Checkpoint { origin: DOMAIN.into(), size, root };
        checkpoint.sign(&secret("log key 1")).into_bytes()
    };
    let empty = Sha256::empty();
    for (old, new) in [(note(0, empty), note(size, empty)), (note(size, empty), note(size, empty))]
    {
        let found = consistency(&old, &new, &[Log::first_key()], &source).expect("readable");
        assert_eq!(found.map(|finding| finding.code), Some(Code::Tile));
    }
}

/// A proof as other implementations of RFC 6962 make and refuse it.
#[test]
fn test_vectors_come_out_as_they_should() {
    let feed = |text: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_webwallet-audit"))
            .args(["merkle", "--json"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it runs");
        child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("read");
        child.wait_with_output().expect("it ends")
    };
    let one = r#"{"leafIdx":0,"treeSize":1,"root":"bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=",
        "leafHash":"bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=","proof":null,"desc":"one","wantErr":false}"#;
    let output = feed(&format!("{one}\n[{one},{one}]"));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(lines(&output).last().expect("a result")["vectors"], "3");
    let output = feed(&one.replace("\"treeSize\":1", "\"treeSize\":2"));
    assert_eq!(output.status.code(), Some(1));
    // Of what cannot be read nothing is accepted; and where nothing was given, nothing was asked.
    for (text, code) in [("{}", 1), ("zz", 1), (" \n", 2)] {
        assert_eq!(feed(text).status.code(), Some(code), "{text}");
    }
}
