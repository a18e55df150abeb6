//! A backup that cannot be restored, or that a restored server goes on from with another
//! history, is found out on the worst day of an operator.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use webwallet_ledger::request::body_of;
use webwallet_tests::deployment::{Deployment, on_every_engine};
use webwallet_tests::engines::{Engines, redis_emptied};
use webwallet_tests::party::{DOMAIN, draft, party};
use webwallet_tests::process::{Answer, Process, agent, binary, get, post};

use crate::proofs::{copy, live, operate, seal, text, verdict};

/// An operator's command: its exit status, its answer, and what it says to people.
fn command(stores: &Deployment<'_>, arguments: &[&str]) -> (Option<i32>, Value, String) {
    let arguments = [arguments, &["--json"]].concat();
    let output = stores.command(&arguments).output().expect("it runs");
    println!("{arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
    let answer = text(&output.stdout).lines().last().unwrap_or("null").to_owned();
    let answer = serde_json::from_str(&answer).expect("JSON");
    (output.status.code(), answer, text(&output.stderr).to_owned())
}

/// What is asked for before and after: records, the checkpoint and every block.
fn answers(server: &Process, records: u64, blocks: u64) -> Vec<Answer> {
    let records = (1..=records).map(|number| format!("/transaction/{number}"));
    let receipts = records.clone().map(|path| format!("{path}/receipt"));
    let blocks = (0..blocks).map(|height| format!("/block/{height}"));
    let paths = records.chain(receipts).chain(blocks).chain(["/checkpoint".to_owned()]);
    paths
        .map(|path| get(&agent(), &server.url(), &path))
        .inspect(|a| assert_eq!(a.status, 200))
        .collect()
}

/// A server with three records in a block.
fn sealed(stores: &Deployment<'_>) -> Process {
    let server = stores.serve(&["--seal", "manual"]);
    live(&server.url(), 0, 3);
    seal(&server);
    server
}

fn place(folder: &Path) -> &str {
    folder.to_str().expect("a path in UTF-8")
}

/// Everything was lost but the backup, which was taken while the server ran, again and
/// again, also over a rotation of the log key.
#[test]
fn a_server_comes_back_from_its_backup_and_goes_on() {
    on_every_engine(comes_back);
}

fn comes_back(stores: &Deployment<'_>) {
    let server = stores.serve(&["--seal", "manual"]);
    let folder = stores.folder().join("backup");
    let backup = || command(stores, &["backup", place(&folder)]);
    let (code, _, said) = backup();
    assert!(code == Some(2) && said.contains("no log"), "nothing is sealed yet: {said}");
    live(&server.url(), 0, 5);
    seal(&server);
    let (code, first, _) = backup();
    assert_eq!((code, &first["records"]), (Some(0), &"5".into()), "{first}");
    operate(&server, &["rotate-log-key"]);
    live(&server.url(), 5, 300);
    seal(&server);
    let (code, second, _) = backup();
    assert_eq!((code, &second["records"]), (Some(0), &"305".into()), "{second}");
    let (_, third, _) = backup();
    assert_eq!(third["files"], "0", "only what is new is written");
    let blocks = second["block"].as_str().expect("a height").parse::<u64>().expect("a number") + 1;
    let before = answers(&server, 305, blocks);
    let old_key = server.line["key"].as_str().expect("a key").to_owned();
    // Whoever tries it out beside the server must not bring that down.
    let drill = Deployment::embedded().clearing_as(stores).keeping_as(stores);
    let (code, ..) = command(&drill, &["restore", place(&folder)]);
    assert_eq!(code, if stores.name() == "embedded" { Some(0) } else { Some(2) });
    // Not in it, and so lost: nobody has seen it in a block.
    live(&server.url(), 305, 1);
    server.kill();
    for store in ["hashtable", "graphstore"] {
        stores.lose(store);
    }
    std::fs::remove_dir_all(stores.data()).expect("lost");

    let (code, restored, _) = command(stores, &["restore", place(&folder)]);
    assert_eq!((code, &restored["records"]), (Some(0), &"305".into()), "{restored}");
    assert_eq!(command(stores, &["fsck"]).0, Some(0), "{}", stores.name());
    let server = stores.serve(&["--seal", "manual"]);
    assert_eq!(answers(&server, 305, blocks), before, "{}", stores.name());
    live(&server.url(), 305, 2);
    seal(&server);
    let key = server.line["key"].as_str().expect("a key");
    let (code, lines) = verdict(&server.url(), &old_key, &[]);
    assert_eq!(code, Some(0), "{lines:?}");
    assert_eq!(lines.last().expect("a verdict")["records"], "307");
    assert_ne!(key, old_key, "the rotated key signs on");
    assert_eq!(server.terminate(), Some(0));
}

/// Two histories under one key, or half of one: each is refused before anything is written.
#[test]
fn what_is_there_is_never_written_over() {
    let stores = Deployment::embedded();
    let server = sealed(&stores);
    assert_eq!(server.terminate(), Some(0));
    let backup = stores.folder().join("backup");
    assert_eq!(command(&stores, &["backup", place(&backup)]).0, Some(0));
    let refused = |stores: &Deployment<'_>, arguments: &[&str], part: &str| {
        let (code, _, said) = command(stores, arguments);
        assert!(
            matches!(code, Some(1 | 2)) && said.contains(part),
            "{arguments:?} {code:?}: {said}"
        );
    };
    // The server itself, another domain, somebody's folder.
    let data = stores.data();
    let other = Deployment::embedded();
    assert_eq!(sealed(&other).terminate(), Some(0));
    refused(&other, &["restore", place(&backup)], "restore into a data directory of its own");
    refused(&stores, &["backup", place(&data)], "data directory of a server");
    refused(&stores, &["backup", place(stores.folder())], "one is in the other");
    refused(&other, &["backup", place(stores.folder())], "not a data directory");
    // A restore into the backup would leave stores in it, and no later backup goes in.
    let link = stores.folder().join("link");
    std::os::unix::fs::symlink(&backup, &link).expect("linked");
    for at in [backup.clone(), link.clone(), link.join("new"), stores.folder().to_owned()] {
        let mut restore = Command::new(binary());
        restore.args(["restore", place(&backup), "--domain", DOMAIN, "--data", place(&at)]);
        let output = restore.output().expect("it runs");
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        assert!(output.status.code() == Some(2) && said.contains("one is in the other"), "{said}");
    }
    assert_eq!(command(&stores, &["backup", place(&backup)]).0, Some(0));
    refused(
        &stores,
        &["restore", place(stores.folder())],
        "is no folder that `webwallet backup` wrote",
    );
    // To look at the backup as at a server would leave stores in it, and no later one goes in.
    let uses: [&[&str]; 3] = [
        &["fsck"],
        &["rebuild", "hashtable"],
        &["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"],
    ];
    for arguments in uses {
        let mut uses = Command::new(binary());
        let looked = uses.args(arguments).args(["--domain", DOMAIN, "--data", place(&backup)]);
        let looked = looked.output().expect("it runs");
        let said = String::from_utf8_lossy(&looked.stderr);
        assert!(!looked.status.success(), "{arguments:?}: {said}");
        assert!(said.contains("webwallet-audit") && said.contains("webwallet restore"), "{said}");
    }
    assert_eq!(command(&stores, &["backup", place(&backup)]).0, Some(0));
    // Another log's backup, with another key and as many leaves.
    let other = Deployment::embedded();
    let server = other.serve(&["--seal", "manual"]);
    live(&server.url(), 99, 3);
    seal(&server);
    assert_eq!(server.terminate(), Some(0));
    refused(&other, &["backup", place(&backup)], "not an earlier one of this log");
    // A store that has other records.
    let behind = Deployment::embedded();
    copy(&other.data().join("graphstore"), &behind.data().join("graphstore"));
    let version = other.data().join("version");
    std::fs::copy(version, behind.data().join("version")).expect("copied");
    refused(&behind, &["restore", place(&backup)], "restore into one of its own");
    assert!(
        !behind.data().join("log/checkpoint").exists() && !behind.data().join("log-key").exists()
    );
    // A backup that has suffered.
    let damaged = stores.folder().join("damaged");
    copy(&backup, &damaged);
    let tile = damaged.join("log/tile/entries/000.p");
    let tile =
        std::fs::read_dir(&tile).expect("a bundle").next().expect("one").expect("read").path();
    let whole = std::fs::read(&tile).expect("read");
    let mut bytes = whole.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&tile, &bytes).expect("written");
    let empty = Deployment::embedded();
    let (code, ..) = command(&empty, &["restore", place(&damaged)]);
    assert!(matches!(code, Some(1 | 2)));
    assert!(!empty.data().join("log/checkpoint").exists(), "no server starts over half of it");
    // Nor is what is half there called sound.
    refused(&empty, &["fsck"], "has not ended: run it again");
    std::fs::write(&tile, &whole).expect("mended");
    // What an attempt has left is gone on from.
    assert_eq!(command(&empty, &["restore", place(&damaged)]).0, Some(0));
    std::fs::remove_file(empty.data().join("log/checkpoint")).expect("as if it had been ended");
    assert_eq!(command(&empty, &["restore", place(&damaged)]).0, Some(0));
    // Also from one that has done all, and was ended before it said so.
    assert_eq!(command(&empty, &["restore", place(&damaged)]).0, Some(0));
    assert_eq!(command(&empty, &["fsck"]).0, Some(0));
    std::fs::remove_file(damaged.join("log-key")).expect("removed");
    refused(&Deployment::embedded(), &["restore", place(&damaged)], "has not the key");
    // A server that has gone on since.
    let server = empty.serve(&["--seal", "manual"]);
    live(&server.url(), 3, 1);
    seal(&server);
    assert_eq!(server.terminate(), Some(0));
    refused(&empty, &["restore", place(&backup)], "restore into a data directory of its own");
}

/// What was cleared in small pieces comes back in pieces that the log takes, too: a backup that
/// nobody can restore is none.
#[test]
fn the_largest_records_come_back() {
    let (stores, empty) = (Deployment::embedded(), Deployment::embedded());
    let server = stores.serve(&[]);
    let (agent, [alice, bob]) = (agent(), ["alice", "bob"].map(party));
    for n in 0..350 {
        let pay = |i| draft(&alice, &bob, &alice, "1", &format!("{n} {i}")).sign(&alice.secret);
        let ious: Vec<Vec<u8>> = (0..72).map(pay).collect();
        let request = body_of(ious.iter().map(Vec::as_slice));
        let cleared = post(&agent, &server.url(), &request).expect("an answer");
        assert_eq!(cleared.status, 201, "{}", cleared.json());
        assert!(cleared.body.len() > 50_000);
    }
    assert_eq!(server.terminate(), Some(0));
    let folder = tempfile::tempdir().expect("a folder");
    let backup = folder.path().join("backup");
    assert_eq!(command(&stores, &["backup", place(&backup)]).0, Some(0));
    let (code, restored, told) = command(&empty, &["restore", place(&backup)]);
    assert_eq!((code, &restored["records"]), (Some(0), &"350".into()), "{told}");
    assert_eq!(command(&empty, &["fsck"]).0, Some(0));
}

/// A server that outgrew its own files takes all that has cleared along, also what is in no
/// block yet, and can come back.
#[test]
fn records_are_brought_to_other_engines_and_back() {
    let engines = Engines::empty();
    let (here, there) = (Deployment::embedded(), engines.deployment());
    let server = here.serve(&["--seal", "manual"]);
    live(&server.url(), 0, 6);
    seal(&server);
    live(&server.url(), 6, 3);
    let records = |server: &Process, count: u64| -> Vec<Answer> {
        (1..=count).map(|n| get(&agent(), &server.url(), &format!("/transaction/{n}"))).collect()
    };
    let before = records(&server, 9);
    assert_eq!(command(&here, &["migrate", "--to", "redis+neo4j"]).0, Some(2), "which engines?");
    let both = here.clearing_as(&there).keeping_as(&there);
    let (code, _, said) = command(&both, &["migrate", "--to", "redis+neo4j"]);
    assert!(code == Some(2) && said.contains("in use by another webwallet"), "{code:?} {said}");
    server.kill();
    let (code, moved, _) = command(&both, &["migrate", "--to", "redis+neo4j"]);
    assert_eq!((code, &moved["migrated"]), (Some(0), &"9".into()), "{moved}");
    assert_eq!(command(&both, &["fsck"]).0, Some(0));
    let server = both.serve(&["--seal", "manual"]);
    assert_eq!(records(&server, 9), before);
    live(&server.url(), 9, 2);
    seal(&server);
    live(&server.url(), 11, 2);
    let before = records(&server, 13);
    server.kill();
    // What was left here is older now, and says so to nobody: it must not be served.
    let (code, _, said) = command(&both, &["migrate", "--to", "redis+neo4j"]);
    assert!(code != Some(0) && said.contains("13"), "{said}");
    let (code, moved, _) = command(&both, &["migrate", "--to", "embedded"]);
    assert_eq!((code, &moved["migrated"]), (Some(0), &"13".into()), "{moved}");
    let none = Deployment::embedded();
    let here = both.clearing_as(&none).keeping_as(&none);
    assert_eq!(command(&here, &["fsck"]).0, Some(0));
    let server = here.serve(&["--seal", "manual"]);
    assert_eq!(records(&server, 13), before);
    live(&server.url(), 13, 1);
    seal(&server);
    let key = server.line["key"].as_str().expect("a key");
    assert_eq!(verdict(&server.url(), key, &[]).0, Some(0));
}

/// A command over the wrong folder ended the clearing of a server that had nothing to do with it,
/// until somebody started that again.
#[test]
fn who_is_refused_deposes_nobody() {
    let engines = Engines::empty();
    let ours = engines.deployment();
    let server = sealed(&ours);
    // A server of the same domain whose folder is named beside the engines of this one.
    let other = Deployment::embedded();
    let theirs = other.serve(&["--seal", "manual"]);
    live(&theirs.url(), 0, 4);
    seal(&theirs);
    theirs.kill();
    let wrong = other.clearing_as(&ours).keeping_as(&ours);
    for arguments in [
        ["rebuild", "log"],
        ["rebuild", "hashtable"],
        ["rebuild", "graphstore"],
        ["migrate", "--to=embedded"],
    ] {
        let (code, _, said) = command(&wrong, &arguments);
        assert!(code == Some(2) && said.contains("another block 1"), "{arguments:?}: {said}");
    }
    let empty = Deployment::embedded().clearing_as(&ours).keeping_as(&ours);
    let free = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let refused = empty.command(&[&["serve"][..], &free].concat()).output().expect("it runs");
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(text(&refused.stderr).contains("(--data)"), "{refused:?}");
    live(&server.url(), 3, 1);
    seal(&server);
}

/// A disk was lost, and nothing of what cleared: its operator would have a history that nobody serves.
#[test]
fn a_lost_data_directory_is_made_again_from_a_backup_and_the_engines() {
    let engines = Engines::empty();
    let stores = engines.deployment();
    let server = sealed(&stores);
    let folder = stores.folder().join("backup");
    assert_eq!(command(&stores, &["backup", place(&folder)]).0, Some(0));
    live(&server.url(), 3, 2);
    seal(&server);
    let newest = get(&agent(), &server.url(), "/checkpoint");
    // In no block when it ends.
    live(&server.url(), 5, 1);
    server.kill();
    std::fs::remove_dir_all(stores.data()).expect("lost");
    let free = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let refused = stores.command(&[&["serve"][..], &free].concat()).output().expect("it runs");
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let said = text(&refused.stderr);
    assert!(said.contains("a copy of a backup in the place of"), "{said}");
    let looked = stores.command(&[&["doctor", "--json"][..], &free].concat()).output();
    let looked = text(&looked.expect("it runs").stdout).to_owned();
    let neo4j = looked.lines().find(|line| line.contains("\"neo4j\"")).expect("a line on it");
    assert!(neo4j.contains("\"wrong\"") && neo4j.contains("rebuild log"), "{looked}");
    let (code, _, said) = command(&stores, &["restore", place(&folder)]);
    assert!(code == Some(2) && said.contains("a copy of the backup in its place"), "{said}");
    std::fs::remove_dir_all(stores.data()).expect("no more than a lock");
    copy(&folder, &stores.data());
    assert_eq!(command(&stores, &["rebuild", "log"]).0, Some(0));
    let server = stores.serve(&["--seal", "manual"]);
    assert_eq!(get(&agent(), &server.url(), "/checkpoint"), newest);
    assert_eq!(get(&agent(), &server.url(), "/transaction/6").status, 200);
    live(&server.url(), 6, 1);
    seal(&server);
    assert_eq!(server.terminate(), Some(0));
    assert_eq!(command(&stores, &["fsck"]).0, Some(0));
}

/// A log that is older than what was published of it, beside a Hashtable that is whole: the
/// command that the server names must lead back to the same checkpoint, and not to another
/// of the same size.
#[test]
fn a_log_that_went_back_is_made_whole_and_not_forked() {
    on_every_engine(|stores| {
        let name = stores.name();
        let server = sealed(stores);
        let (log, old) = (stores.data().join("log"), stores.folder().join("old"));
        copy(&log, &old);
        live(&server.url(), 3, 4);
        seal(&server);
        operate(&server, &["rotate-log-key"]);
        operate(&server, &["seal", "--stack"]);
        live(&server.url(), 7, 2);
        seal(&server);
        // In no block when it ends.
        live(&server.url(), 9, 1);
        let newest = get(&agent(), &server.url(), "/checkpoint");
        assert_eq!(server.terminate(), Some(0));
        let damages: [(&str, &dyn Fn()); 3] = [
            ("the log of last night", &|| {
                std::fs::remove_dir_all(&log).expect("lost");
                copy(&old, &log);
            }),
            ("its checkpoint alone", &|| {
                std::fs::copy(old.join("checkpoint"), log.join("checkpoint")).expect("put back");
            }),
            ("nothing of the log", &|| std::fs::remove_dir_all(&log).expect("lost")),
        ];
        for (what, damage) in damages {
            damage();
            stores.lose("graphstore");
            let server = stores.serve(&["--seal", "manual"]);
            let ready = get(&agent(), &server.url(), "/readyz");
            let said = text(&ready.body);
            assert!(ready.status == 503 && said.contains("rebuild graphstore"), "{what}: {said}");
            assert_eq!(server.terminate(), Some(0));
            assert_eq!(command(stores, &["rebuild", "graphstore"]).0, Some(0), "{what}, {name}");
            let server = stores.serve(&["--seal", "manual"]);
            assert_eq!(get(&agent(), &server.url(), "/checkpoint"), newest, "{what}, {name}");
            assert_eq!(get(&agent(), &server.url(), "/transaction/10").status, 200, "{what}");
            assert_eq!(server.terminate(), Some(0));
            assert_eq!(command(stores, &["fsck"]).0, Some(0), "{what}, {name}");
        }
        // With the intents it heals by itself, also from before a change of the key.
        std::fs::copy(old.join("checkpoint"), log.join("checkpoint")).expect("put back");
        let server = stores.serve(&["--seal", "manual"]);
        assert_eq!(get(&agent(), &server.url(), "/checkpoint"), newest, "{name}");
        assert_eq!(server.terminate(), Some(0));
    });
}

/// What a damaged checkpoint needs is said at once, and not found by trying commands in turn.
#[test]
fn a_damaged_checkpoint_is_named_with_what_mends_it() {
    let stores = Deployment::embedded();
    let server = sealed(&stores);
    let newest = get(&agent(), &server.url(), "/checkpoint");
    assert_eq!(server.terminate(), Some(0));
    let file = stores.data().join("log/checkpoint");
    let whole = std::fs::read_to_string(&file).expect("read");
    let lines: Vec<&str> = whole.lines().collect();
    let size: u64 = lines[1].parse().expect("a size");
    let root = lines[2].replacen(|c: char| c.is_ascii_lowercase(), "A", 1);
    let damaged = [
        whole.replacen(lines[1], &(size - 1).to_string(), 1),
        whole.replacen(lines[2], &root, 1),
        format!("{}AAAA\n", &whole[..whole.len() - 5]),
    ];
    for damaged in damaged {
        std::fs::write(&file, &damaged).expect("written");
        let server = stores.serve(&["--seal", "manual"]);
        let ready = get(&agent(), &server.url(), "/readyz");
        let said = text(&ready.body);
        assert!(ready.status == 503 && said.contains("or remove it"), "{damaged}: {said}");
        assert_eq!(get(&agent(), &server.url(), "/checkpoint").status, 503, "{damaged}");
        assert_eq!(server.terminate(), Some(0));
        let (code, _, said) = command(&stores, &["rebuild", "log"]);
        assert!(code != Some(0) && said.contains("remove it"), "{damaged}: {said}");
        std::fs::remove_file(&file).expect("as it says");
        assert_eq!(command(&stores, &["rebuild", "log"]).0, Some(0));
        let server = stores.serve(&["--seal", "manual"]);
        assert_eq!(get(&agent(), &server.url(), "/checkpoint"), newest);
        assert_eq!(server.terminate(), Some(0));
    }
}

/// A backup that cannot be written to its end, after a change of the key, costs nobody the one
/// that was there; and what a Hashtable has beyond a backup comes back with it.
#[test]
fn an_older_backup_stays_good_and_hashtable_fills_it_up() {
    let stores = Deployment::embedded();
    let server = sealed(&stores);
    let old_key = server.line["key"].as_str().expect("a key").to_owned();
    let folder = stores.folder().join("backup");
    assert_eq!(command(&stores, &["backup", place(&folder)]).0, Some(0));
    operate(&server, &["rotate-log-key"]);
    live(&server.url(), 3, 2);
    seal(&server);
    let newest = get(&agent(), &server.url(), "/checkpoint");
    let size = text(&newest.body).lines().nth(1).expect("a size").to_owned();
    let in_the_way = folder.join(format!("log/tile/0/000.p/{size}/x"));
    std::fs::create_dir_all(&in_the_way).expect("made");
    assert_eq!(command(&stores, &["backup", place(&folder)]).0, Some(2));
    std::fs::remove_dir_all(in_the_way.parent().expect("a folder")).expect("removed");
    let other = Deployment::embedded();
    assert_eq!(command(&other, &["restore", place(&folder)]).0, Some(0), "the older one");
    assert_eq!(server.terminate(), Some(0));
    // The machine of Hashtable is whole, and so is the newest key.
    // The key that the newer one had brought already.
    std::fs::remove_file(folder.join("log-key.next")).expect("removed");
    let whole = Deployment::embedded();
    copy(&stores.data().join("hashtable"), &whole.data().join("hashtable"));
    std::fs::copy(stores.data().join("version"), whole.data().join("version")).expect("copied");
    let (code, restored, _) = command(&whole, &["restore", place(&folder)]);
    assert_eq!((code, &restored["records"]), (Some(0), &"5".into()), "{restored}");
    // As deploy/README.md says: not before the restore, and before the log is made.
    let (code, _, said) = command(&whole, &["rebuild", "log"]);
    assert!(code != Some(0) && said.contains("put that one back"), "{said}");
    std::fs::copy(stores.data().join("log-key"), whole.data().join("log-key")).expect("copied");
    assert_eq!(command(&whole, &["rebuild", "log"]).0, Some(0));
    assert_eq!(verdict(place(&whole.data().join("log")), &old_key, &[]).0, Some(0));
    let server = whole.serve(&["--seal", "manual"]);
    assert_eq!(get(&agent(), &server.url(), "/checkpoint"), newest);
    assert_eq!(server.terminate(), Some(0));
    assert_eq!(command(&whole, &["fsck"]).0, Some(0));
}

/// Wherever a backup ends (a kill, a full disk), and however often in turn, over changes of the
/// log key that are done or only begun: the folder holds a log and the key that signed it.
#[test]
fn a_backup_may_end_anywhere() {
    let stores = Deployment::embedded();
    let server = sealed(&stores);
    let (data, folder) = (stores.data(), stores.folder().join("backup"));
    let file = |name: &str| folder.join(name);
    let (key, next) = (file("log-key"), file("log-key.next"));
    let sealed_again = |from: usize| {
        operate(&server, &["rotate-log-key"]);
        live(&server.url(), from, 2);
        seal(&server);
    };
    // It stops where it would write the file beside which this folder stands.
    let ended = |obstacle: &str| {
        let obstacle = file(obstacle);
        std::fs::create_dir_all(obstacle.join("x")).expect("made");
        assert_eq!(command(&stores, &["backup", place(&folder)]).0, Some(2), "{obstacle:?}");
        std::fs::remove_dir_all(&obstacle).expect("removed");
    };
    let restored = |records: &str, what: &str| {
        let (code, restored, _) = command(&Deployment::embedded(), &["restore", place(&folder)]);
        assert_eq!((code, &restored["records"]), (Some(0), &records.into()), "{what}");
    };
    let bundle = || {
        let checkpoint = get(&agent(), &server.url(), "/checkpoint");
        let size = text(&checkpoint.body).lines().nth(1).expect("a size").to_owned();
        format!("log/tile/0/000.p/{size}")
    };
    // The first one: no log without its key.
    std::fs::create_dir(&folder).expect("made");
    std::fs::copy(data.join("version"), file("version")).expect("copied");
    ended("log-key.unfinished");
    assert!(!file("log/checkpoint").exists(), "a log whose key is nowhere");
    ended(&bundle());
    assert_eq!(command(&stores, &["backup", place(&folder)]).0, Some(0));
    restored("3", "the first");
    let old = std::fs::read(&key).expect("read");
    // The next, with the log and before its key is in its place.
    sealed_again(3);
    ended("log-key.unfinished");
    restored("5", "the log is there");
    std::fs::copy(data.join("log-key"), &next).expect("copied");
    std::fs::write(&key, &old).expect("as if it had been ended a moment before");
    restored("5", "the key is beside");
    // And one after it that comes to nothing.
    sealed_again(5);
    ended(&bundle());
    restored("5", "the one before");
    // A change of the key waits: its block is not published yet.
    let other = Deployment::embedded();
    assert_eq!(sealed(&other).terminate(), Some(0));
    std::fs::copy(other.data().join("log-key"), data.join("log-key.next")).expect("copied");
    ended("log-key.unfinished");
    restored("7", "with a change that waits");
    ended("log-key.next.unfinished");
    restored("7", "the same again");
    assert_eq!(command(&stores, &["backup", place(&folder)]).0, Some(0));
    let keys = |folder: &Path| {
        ["log-key", "log-key.next"].map(|name| std::fs::read(folder.join(name)).expect("read"))
    };
    assert_eq!(keys(&folder), keys(&data), "both, as on the server");
    restored("7", "all of it");
}

/// A Hashtable that went back is filled to the last block, those without records too: else the
/// next loss of the log would be mended with another block of that height.
#[test]
fn a_hashtable_that_went_back_knows_every_block_again() {
    let stores = Deployment::embedded();
    let (data, old) = (stores.data(), stores.folder().join("old"));
    let server = sealed(&stores);
    assert_eq!(server.terminate(), Some(0));
    for store in ["log", "graphstore", "hashtable"] {
        copy(&data.join(store), &old.join(store));
    }
    let put_back = |store: &str| {
        std::fs::remove_dir_all(data.join(store)).expect("lost");
        copy(&old.join(store), &data.join(store));
    };
    let server = stores.serve(&["--seal", "manual"]);
    // A block without records, and one with.
    operate(&server, &["seal", "--stack"]);
    live(&server.url(), 3, 2);
    seal(&server);
    let newest = get(&agent(), &server.url(), "/checkpoint");
    assert_eq!(server.terminate(), Some(0));
    put_back("hashtable");
    assert_eq!(stores.serve(&["--seal", "manual"]).terminate(), Some(0));
    put_back("log");
    put_back("graphstore");
    assert_eq!(command(&stores, &["rebuild", "graphstore"]).0, Some(0));
    let server = stores.serve(&["--seal", "manual"]);
    assert_eq!(get(&agent(), &server.url(), "/checkpoint"), newest);
    assert_eq!(server.terminate(), Some(0));
}

/// The same of a Redis that is emptied under a running server: with the next loss of the log
/// and of Graphstore two checkpoints of one size would be signed.
#[test]
fn a_redis_that_is_emptied_under_a_server_knows_every_block_again() {
    let redis = webwallet_engines::Redis::private();
    let stores = Deployment::embedded().keeping_in(&redis);
    let server = sealed(&stores);
    // Blocks with a leaf that is no record, without any, and with records.
    operate(&server, &["seal", "--stack"]);
    operate(&server, &["rotate-log-key"]);
    operate(&server, &["seal"]);
    live(&server.url(), 3, 2);
    seal(&server);
    let newest = get(&agent(), &server.url(), "/checkpoint");
    let client = redis::Client::open(&*redis.url).expect("an address");
    let mut connection = client.get_connection().expect("Redis answers");
    let mut keys = || redis::cmd("DBSIZE").query::<u64>(&mut connection).expect("answered");
    let before = keys();
    redis_emptied(&redis);
    filled_again(&redis);
    assert_eq!(keys(), before);
    assert_eq!(server.terminate(), Some(0));
    for store in ["graphstore", "log"] {
        stores.lose(store);
    }
    assert_eq!(command(&stores, &["rebuild", "graphstore"]).0, Some(0));
    let server = stores.serve(&["--seal", "manual"]);
    assert_eq!(get(&agent(), &server.url(), "/checkpoint"), newest);
    assert_eq!(server.terminate(), Some(0));
    assert_eq!(command(&stores, &["fsck"]).0, Some(0));
}

/// Waits until what an emptied Redis had is in it again.
fn filled_again(redis: &webwallet_engines::Redis) {
    let client = redis::Client::open(&*redis.url).expect("an address");
    let mut connection = client.get_connection().expect("Redis answers");
    let begun = Instant::now();
    let mut format = || -> Option<String> {
        redis::cmd("GET").arg("example.net:format").query(&mut connection).expect("answered")
    };
    while format().as_deref() != Some("1 whole") {
        assert!(begun.elapsed() < Duration::from_secs(60), "Redis is not filled again");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A checkpoint whose key the other stores do not know yet is newer than they are, and not
/// damaged: whoever removes it has two logs.
#[test]
fn a_checkpoint_that_is_newer_than_the_stores_is_not_called_damaged() {
    let stores = Deployment::embedded();
    let (data, old) = (stores.data(), stores.folder().join("old"));
    let server = sealed(&stores);
    assert_eq!(server.terminate(), Some(0));
    copy(&data, &old);
    let server = stores.serve(&["--seal", "manual"]);
    operate(&server, &["rotate-log-key"]);
    live(&server.url(), 3, 2);
    seal(&server);
    assert_eq!(server.terminate(), Some(0));
    for store in ["graphstore", "hashtable"] {
        std::fs::remove_dir_all(data.join(store)).expect("lost");
        copy(&old.join(store), &data.join(store));
    }
    std::fs::copy(old.join("log-key"), data.join("log-key")).expect("put back");
    let (code, _, said) = command(&stores, &["rebuild", "log"]);
    assert!(code != Some(0) && said.contains("rebuild graphstore"), "{said}");
    assert!(!said.contains("remove"), "{said}");
}
