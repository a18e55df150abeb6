//! What a stranger gets out of a server: a log to audit while it lives and after
//! it is gone, receipts that outlive it, and three stores of which any one can be
//! lost. If these failed, users would hold promises instead of proofs.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use webwallet_ledger::block::AtHeight;
use webwallet_ledger::{Hash, Pointer};
use webwallet_tests::deployment::{Deployment, on_every_engine};
use webwallet_tests::engines::Engines;
use webwallet_tests::party::{DOMAIN, Party, issue, lock, party, pay, take};
use webwallet_tests::process::{Answer, Process, agent, binary, get, post};

pub fn run(program: &Path, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).output().expect("it runs");
    println!("{}{}", text(&output.stdout), text(&output.stderr));
    output
}

pub fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

/// The auditor, built beside the server.
fn auditor() -> PathBuf {
    let auditor = binary().with_file_name("webwallet-audit");
    assert!(auditor.exists(), "build it with: cargo build --profile ci --workspace");
    auditor
}

/// The second auditor; Python reads the file itself.
fn python() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../audit/python/webwallet_audit.py")
}

/// The last line of an audit.
pub fn verdict(place: &str, key: &str, more: &[&str]) -> (Option<i32>, Vec<Value>) {
    let arguments = [&[place, "--key", key, "--json"], more].concat();
    let output = run(&auditor(), &arguments);
    let lines = text(&output.stdout).lines();
    let lines = lines.map(|line| serde_json::from_str(line).expect("JSON Lines"));
    (output.status.code(), lines.collect())
}

pub fn second_verdict(place: &str, key: &str) -> (Option<i32>, Vec<Value>) {
    let script = python();
    let script = script.to_str().expect("a path in UTF-8");
    let output = run(Path::new("python3"), &[script, place, "--key", key, "--json"]);
    let lines = text(&output.stdout).lines();
    let lines = lines.map(|line| serde_json::from_str(line).expect("JSON Lines"));
    (output.status.code(), lines.collect())
}

/// Three people, payments, and a repeat: what every test here has in its log.
pub fn live(url: &str, from: usize, payments: usize) {
    let agent = agent();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(party);
    for i in from..from + payments {
        let body = match i % 3 {
            0 => issue(&alice, &bob, "5", &format!("issue {i}")),
            1 => pay(&bob, &carol, &alice, "1", &format!("pay {i}")),
            _ => pay(&carol, &alice, &alice, "0.5", &format!("back {i}")),
        };
        let answer = post(&agent, url, &body).expect("an answer");
        assert_eq!(answer.status, 201, "{answer:?}");
    }
}

/// Makes a block of what was cleared.
pub fn seal(server: &Process) {
    operate(server, &["seal"]);
}

/// A command of the operator to a server that runs.
pub fn operate(server: &Process, arguments: &[&str]) {
    let admin = format!("http://{}", server.line["admin"].as_str().expect("admin"));
    let arguments = [arguments, &["--admin", &admin]].concat();
    assert_eq!(run(&binary(), &arguments).status.code(), Some(0));
}

/// Waits until this record is sealed; gives its receipt.
fn receipt(url: &str, number: u64) -> Vec<u8> {
    let (agent, until) = (agent(), Instant::now() + Duration::from_secs(30));
    loop {
        let answer = get(&agent, url, &format!("/transaction/{number}/receipt"));
        match answer.status {
            200 => return answer.body,
            202 if Instant::now() < until => std::thread::sleep(Duration::from_millis(20)),
            _ => panic!("no receipt: {answer:?}"),
        }
    }
}

pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        match entry.file_type().expect("a kind").is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).expect("copied")),
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found
}

/// A folder behind Python's own web server; ends with the test.
pub struct Mirror(Child, pub String);

impl Mirror {
    pub fn of(folder: &Path) -> Mirror {
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr();
        let port = port.expect("an address").port().to_string();
        let mut server = Command::new("python3");
        server.args(["-m", "http.server", &port, "--bind", "127.0.0.1", "--directory"]);
        let server = server.arg(folder).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mirror = Mirror(server.expect("python3"), format!("http://127.0.0.1:{port}"));
        let until = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(format!("127.0.0.1:{port}")).is_err() {
            assert!(Instant::now() < until, "python3 -m http.server does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        mirror
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A stranger needs a copy of some files and one key, not the server.
#[test]
fn a_log_is_accepted_from_a_live_server_and_from_a_copy_when_it_is_gone() {
    let data = tempfile::tempdir().expect("a folder");
    let server = Process::all(&data.path().join("data"), &[]);
    let key = server.line["key"].as_str().expect("the first line says the key").to_owned();
    live(&server.url(), 0, 30);
    let saved = receipt(&server.url(), 2);
    // Audited while it clears.
    let url = server.url();
    let busy = std::thread::spawn(move || live(&url, 30, 60));
    for _ in 0..3 {
        let (code, lines) = verdict(&server.url(), &key, &[]);
        assert_eq!(code, Some(0), "{lines:?}");
    }
    busy.join().expect("every payment cleared");
    receipt(&server.url(), 90);
    let (code, lines) = second_verdict(&server.url(), &key);
    assert_eq!(code, Some(0), "{lines:?}");
    let mirror = data.path().join("mirror");
    copy(&data.path().join("data/log"), &mirror);
    server.kill();

    // The origin is gone; any web server will do.
    let served = Mirror::of(&mirror);
    let (code, lines) = verdict(&served.1, &key, &[]);
    assert_eq!(code, Some(0), "{lines:?}");
    let last = lines.last().expect("a verdict");
    assert_eq!((&last["result"], &last["records"]), (&"accepted".into(), &"90".into()), "{last}");
    let place = mirror.to_str().expect("a path in UTF-8");
    assert_eq!(verdict(place, &key, &[]).1.last(), Some(last));
    assert_eq!(second_verdict(place, &key).1.last(), Some(last));

    // A receipt from before needs neither.
    let file = data.path().join("receipt");
    std::fs::write(&file, &saved).expect("written");
    let file = file.to_str().expect("a path in UTF-8");
    assert_eq!(run(&auditor(), &["receipt", file, "--key", &key]).status.code(), Some(0));
    assert_eq!(run(&binary(), &["verify", file, "--key", &key]).status.code(), Some(0));
    let script = python();
    let script = script.to_str().expect("a path in UTF-8");
    let second = run(Path::new("python3"), &[script, "receipt", file, "--key", &key]);
    assert_eq!(second.status.code(), Some(0));

    // One byte of any file, and both name where.
    for path in files(&mirror) {
        let good = std::fs::read(&path).expect("read");
        let mut bad = good.clone();
        let middle = bad.len() / 2;
        bad[middle] ^= 4;
        std::fs::write(&path, &bad).expect("written");
        let (code, lines) = verdict(place, &key, &[]);
        let (second_code, second_lines) = second_verdict(place, &key);
        assert_eq!((code, second_code), (Some(1), Some(1)), "{}", path.display());
        for field in ["code", "block", "number"] {
            assert_eq!(lines[0][field], second_lines[0][field], "{}: {lines:?}", path.display());
        }
        assert!(lines[0]["code"].as_str().is_some_and(|code| code.starts_with("A-")));
        std::fs::write(&path, &good).expect("written");
    }
    assert_eq!(verdict(place, &key, &[]).0, Some(0));
}

/// What a client can read of a server.
fn answers(url: &str, last: u64) -> Vec<Answer> {
    let agent = agent();
    let mut paths: Vec<String> = (1..=last).map(|n| format!("/transaction/{n}")).collect();
    for name in ["alice", "bob", "carol"] {
        let (address, unit) = (party(name).address, party("alice").address);
        paths.push(format!("/address/{address}"));
        paths.push(format!("/address/{address}/outputs/history?counter={unit}&limit=1000"));
        paths.push(format!("/address/{address}/outputs/unspent?counter={unit}&limit=1000"));
        paths.push(format!("/address/{address}/proof?counter={unit}&height=1"));
    }
    paths.extend(["/checkpoint", "/block/0", "/block/1", "/block/latest"].map(str::to_owned));
    paths.extend((1..=last).map(|n| format!("/transaction/{n}/receipt")));
    let answers = paths.iter().map(|path| {
        let answer = get(&agent, url, path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer
    });
    answers.collect()
}

/// Any one store can be lost: the other two make it again, byte for byte.
#[test]
fn each_store_is_rebuilt_from_the_other_two() {
    on_every_engine(each_is_rebuilt);
}

fn each_is_rebuilt(stores: &Deployment<'_>) {
    let clock = stores.folder().join("clock");
    std::fs::write(&clock, "2026-01-01T00:00:00.000Z").expect("written");
    let clock = clock.to_str().expect("a path in UTF-8");
    let controls = ["--seal", "manual", "--test-clock", clock];
    let serve = || stores.serve(&controls);
    let server = serve();
    let health = get(&agent(), &server.url(), "/readyz").json();
    let unusual = (&health["manual_seal"], &health["test_clock"], health.get("given_log_key"));
    assert_eq!(unusual, (&true.into(), &true.into(), None), "a server for tests says so");
    live(&server.url(), 0, 18);
    let open = locked(&server.url(), "an open lock");
    let used = locked(&server.url(), "a lock that is used");
    seal(&server);
    live(&server.url(), 20, 19);
    taken(&server.url(), used, "used");
    seal(&server);
    // Cleared, and not sealed when the store is lost.
    live(&server.url(), 40, 4);
    let unsealed_lock = locked(&server.url(), "an unsealed lock");
    let before = answers(&server.url(), 40);
    let unsealed = |server: &Process| -> Vec<Answer> {
        (41..=45).map(|n| get(&agent(), &server.url(), &format!("/transaction/{n}"))).collect()
    };
    let unsealed_before = unsealed(&server);
    assert_eq!(server.terminate(), Some(0));
    let command = |arguments: &[&str]| {
        let output = stores.command(arguments).args(["--test-clock", clock]).output();
        let output = output.expect("it runs");
        println!("{arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
        output.status.code()
    };
    let name = stores.name();
    assert_eq!(command(&["fsck"]), Some(0), "sound before, {name}");
    for lost in ["hashtable", "graphstore", "log"] {
        stores.lose(lost);
        assert_eq!(command(&["rebuild", lost]), Some(0), "rebuild {lost}, {name}");
        assert_eq!(command(&["fsck"]), Some(0), "sound after rebuild {lost}, {name}");
        let server = serve();
        assert_eq!(answers(&server.url(), 40), before, "after rebuild {lost}, {name}");
        assert_eq!(unsealed(&server), unsealed_before, "after rebuild {lost}, {name}");
        assert_eq!(server.terminate(), Some(0));
    }
    // It goes on as if nothing had been.
    let server = serve();
    live(&server.url(), 45, 3);
    taken(&server.url(), open, "now too");
    taken(&server.url(), unsealed_lock, "and this");
    seal(&server);
    let key = server.line["key"].as_str().expect("a key");
    assert_eq!(verdict(&server.url(), key, &[]).0, Some(0), "{name}");
    assert_eq!(second_verdict(&server.url(), key).0, Some(0), "{name}");
}

/// A log whose beginning nobody knows any more is not begun anew: its key would sign two
/// histories, and every receipt that anybody holds would have another beside it.
#[test]
fn a_log_without_its_checkpoint_and_its_blocks_is_not_begun_anew() {
    let stores = Deployment::embedded();
    let serve = || stores.serve(&["--seal", "manual"]);
    let server = serve();
    live(&server.url(), 0, 3);
    seal(&server);
    assert_eq!(server.terminate(), Some(0));
    stores.lose("graphstore");
    let checkpoint = stores.folder().join("data/log/checkpoint");
    let kept = std::fs::read(&checkpoint).expect("a checkpoint");
    std::fs::remove_file(&checkpoint).expect("lost as well");
    let (hashtable, aside) = (stores.data().join("hashtable"), stores.folder().join("aside"));
    std::fs::rename(&hashtable, &aside).expect("lost too");
    let command = |arguments: &[&str]| {
        let output = stores.command(arguments).output().expect("it runs");
        (output.status.code(), format!("{}{}", text(&output.stdout), text(&output.stderr)))
    };
    for arguments in [&["fsck"][..], &["rebuild", "log"], &["rebuild", "graphstore"]] {
        let (code, said) = command(arguments);
        assert!(code != Some(0) && said.contains("checkpoint"), "{arguments:?} {code:?}: {said}");
    }
    let server = serve();
    let ready = get(&agent(), &server.url(), "/readyz");
    assert!(ready.status == 503 && text(&ready.body).contains("checkpoint"), "{ready:?}");
    let body = issue(&party("alice"), &party("bob"), "1", "new");
    let answer = post(&agent(), &server.url(), &body);
    assert_eq!(answer.expect("an answer").status, 503);
    assert_eq!(server.terminate(), Some(0));
    // With it, or with the Hashtable, which knows every block, everything comes back.
    std::fs::write(&checkpoint, &kept).expect("restored");
    assert_eq!(command(&["rebuild", "graphstore"]).0, Some(0));
    assert_eq!(command(&["rebuild", "hashtable"]).0, Some(0));
    assert_eq!(command(&["fsck"]).0, Some(0));
    std::fs::remove_dir_all(&hashtable).expect("removed");
    std::fs::rename(&aside, &hashtable).expect("found again");
    std::fs::remove_file(&checkpoint).expect("lost again");
    stores.lose("graphstore");
    let server = serve();
    let ready = get(&agent(), &server.url(), "/readyz");
    assert!(ready.status == 503 && text(&ready.body).contains("rebuild graphstore"), "{ready:?}");
    assert_eq!(server.terminate(), Some(0));
    let (code, said) = command(&["rebuild", "log"]);
    assert!(code != Some(0) && said.contains("rebuild graphstore"), "{code:?}: {said}");
    assert_eq!(command(&["rebuild", "graphstore"]).0, Some(0));
    assert_eq!(serve().terminate(), Some(0));
    assert_eq!(std::fs::read(&checkpoint).expect("read"), kept);
}

/// Locks 2 of alice's for bob.
fn locked(url: &str, note: &str) -> Pointer {
    let [alice, bob] = ["alice", "bob"].map(party);
    let answer = post(&agent(), url, &lock(&alice, &bob, "2", note)).expect("an answer");
    assert_eq!(answer.status, 201, "{answer:?}");
    let record = answer.json()["data"]["hash"]["value"].as_str().expect("a hash").to_owned();
    format!("{record}::1").parse().expect("a pointer")
}

/// bob takes what is locked for him, and nobody could before or after.
fn taken(url: &str, lock: Pointer, note: &str) {
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(party);
    let post = |by: &Party, note: &str| {
        let body = take(by, &alice, lock, note);
        let answer = post(&agent(), url, &body).expect("an answer");
        (answer.status, answer.json()["code"].as_str().map(str::to_owned))
    };
    let refused = |code: &str| (422, Some(code.to_owned()));
    assert_eq!(post(&carol, "not hers"), refused("lock_not_yours"));
    assert_eq!(post(&bob, note), (201, None));
    assert_eq!(post(&bob, &format!("{note} again")), refused("lock_not_found"));
}

/// A lock that Graphstore has forgotten is somebody's money.
#[test]
fn fsck_names_a_lock_that_is_not_there() {
    let engines = Engines::empty();
    let stores = engines.deployment();
    let server = stores.serve(&[]);
    let (open, used) = (locked(&server.url(), "stays open"), locked(&server.url(), "is used up"));
    taken(&server.url(), used, "used");
    assert_eq!(server.terminate(), Some(0));
    let fsck = || -> (Option<i32>, Vec<Value>) {
        let output = stores.command(&["fsck", "--json"]).output().expect("it runs");
        let lines = text(&output.stdout).lines().map(serde_json::from_str);
        (output.status.code(), lines.collect::<Result<_, _>>().expect("JSON Lines"))
    };
    assert_eq!(fsck().0, Some(0));
    // Forgotten, open again, and of another; and the record that made it.
    let damages = [
        (format!("MATCH (l:Lock {{id: '{open}'}}) REMOVE l:Open"), "1"),
        (
            format!(
                "MATCH (l:Lock {{id: '{open}'}}) SET l:Open WITH l MATCH (u:Lock {{id: '{used}'}}) SET u:Open"
            ),
            "2",
        ),
        (
            format!(
                "MATCH (u:Lock {{id: '{used}'}}) REMOVE u:Open WITH u MATCH (l:Lock {{id: '{open}'}}) SET l.address = l.source"
            ),
            "1",
        ),
    ];
    for (damage, number) in damages {
        engines.cypher(&damage);
        let (code, lines) = fsck();
        assert_eq!((code, &lines[0]["code"]), (Some(1), &"F-LOCK".into()), "{damage}: {lines:?}");
        let locks: Vec<_> = lines.iter().filter(|line| line["code"] == "F-LOCK").collect();
        assert!(locks.iter().all(|lock| lock["number"] == number), "{damage}: {locks:?}");
    }
    // And the log could not be made anew from records that are not found by their numbers.
    engines.forget("example.net:n:2");
    let found = |line: &Value| (line["code"].clone(), line["number"].clone());
    let (_, lines) = fsck();
    let indexed: Vec<_> = lines.iter().map(found).filter(|(code, _)| code == "F-INDEX").collect();
    assert_eq!(indexed, [("F-INDEX".into(), "2".into())]);
}

/// Where a chain of outputs went wrong is where an operator has to look, and not at its end.
#[test]
fn fsck_names_the_first_record_at_which_a_chain_is_another() {
    let engines = Engines::empty();
    let stores = engines.deployment();
    let server = stores.serve(&[]);
    live(&server.url(), 0, 9);
    assert_eq!(server.terminate(), Some(0));
    let fsck = || -> Vec<(String, String)> {
        let output = stores.command(&["fsck", "--json"]).output().expect("it runs");
        let lines = text(&output.stdout).lines().map(serde_json::from_str);
        let lines = lines.collect::<Result<Vec<Value>, _>>().expect("JSON Lines");
        let words = |line: &Value| {
            let word = |name: &str| line[name].as_str().map(str::to_owned);
            Some((word("code")?, word("number").unwrap_or_default()))
        };
        let mut found: Vec<_> = lines.iter().filter_map(words).collect();
        found.sort();
        found
    };
    let found = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(code, number)| ((*code).into(), (*number).into())).collect()
    };
    assert_eq!(fsck(), []);
    // The issuer's output and bob's are another.
    engines.cypher("MATCH (:Transaction {n: 4})-[:OUTPUTS]->(o:Output) SET o.net = '77'");
    assert_eq!(fsck(), found(&[("F-CHAIN", "4"), ("F-CHAIN", "4")]));
    // And after that bob's and carol's are missing.
    let lost = "MATCH (:Transaction {n: 5})-[:OUTPUTS]->(o:Output) DETACH DELETE o";
    engines.cypher(lost);
    assert_eq!(fsck(), found(&[("F-CHAIN", "4"), ("F-CHAIN", "4"), ("F-CHAIN", "5")]));
}

/// An operator must not find out from an auditor that a store is damaged.
#[test]
fn fsck_names_what_is_missing() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let server = Process::all(&data, &[]);
    live(&server.url(), 0, 12);
    receipt(&server.url(), 12);
    let place = data.to_str().expect("a path in UTF-8");
    let fsck = || run(&binary(), &["fsck", "--data", place, "--domain", "example.net", "--json"]);
    // A server that runs is not a damaged one.
    assert_eq!(fsck().status.code(), Some(2));
    assert_eq!(server.terminate(), Some(0));
    std::fs::remove_dir_all(data.join("hashtable")).expect("removed");
    let output = fsck();
    assert_eq!(output.status.code(), Some(1));
    let lines: Vec<Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!((&lines[0]["code"], &lines[0]["number"]), (&"F-MISSING".into(), &"1".into()));
    // The records, and the blocks.
    let missing = lines.last().expect("a summary")["findings"]["F-MISSING"].as_u64();
    assert!(missing > Some(12), "{missing:?}");
}

/// An alarm at each kill, and documents lost to the rebuilding that it called for.
#[test]
fn what_a_kill_leaves_for_the_next_start_is_no_damage() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let place = data.to_str().expect("a path in UTF-8");
    let fsck = || {
        let output =
            run(&binary(), &["fsck", "--data", place, "--domain", "example.net", "--json"]);
        let summary = text(&output.stdout).lines().last().expect("a summary").to_owned();
        let summary: Value = serde_json::from_str(&summary).expect("JSON");
        (output.status.code(), summary)
    };
    let server = Process::all(&data, &["--seal", "manual"]);
    live(&server.url(), 0, 2);
    server.kill();
    // As between the commit and the put.
    std::fs::remove_dir_all(data.join("hashtable")).expect("removed");
    let (code, summary) = fsck();
    assert_eq!((code, &summary["pending"]), (Some(0), &"2".into()), "{summary}");
    let server = Process::all(&data, &["--seal", "manual"]);
    seal(&server);
    assert_eq!(get(&agent(), &server.url(), "/transaction/2").status, 200);
    live(&server.url(), 2, 1);
    server.kill();
    assert_eq!(fsck().1["pending"], "0");
    std::fs::remove_dir_all(data.join("hashtable")).expect("removed");
    let (code, summary) = fsck();
    assert_eq!((code, &summary["pending"]), (Some(1), &"1".into()), "{summary}");
    assert_eq!(summary["findings"]["F-MISSING"], 4, "two records and two blocks: {summary}");
}

/// A server that outgrew its own files: what had cleared and was not sealed yet was once
/// forgotten on the way, and its numbers were given again.
#[test]
fn a_server_is_brought_to_other_engines_with_all_that_has_cleared() {
    let engines = Engines::empty();
    let there = engines.deployment();
    let stores = Deployment::embedded();
    let server = stores.serve(&["--seal", "manual"]);
    live(&server.url(), 0, 6);
    seal(&server);
    live(&server.url(), 6, 3);
    let records = |server: &Process| -> Vec<Answer> {
        (1..=9).map(|n| get(&agent(), &server.url(), &format!("/transaction/{n}"))).collect()
    };
    let before = records(&server);
    assert_eq!(server.terminate(), Some(0));
    let refused = |stores: &Deployment<'_>, arguments: &[&str], parts: &[&str]| {
        let output = stores.command(arguments).output().expect("it runs");
        let said = text(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(parts.iter().all(|part| said.contains(part)), "{arguments:?}: {said}");
    };
    let done = |stores: &Deployment<'_>, arguments: &[&str]| {
        let output = stores.command(arguments).output().expect("it runs");
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    };
    let serve = ["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    // One after the other: the graph first, out of all that is here; then the documents, out
    // of log and graph. Both at once is `migrate` (`backup.rs`).
    let stores = stores.keeping_as(&there);
    refused(&stores, &serve, &["records up to 9", "rebuild hashtable"]);
    let stores = stores.clearing_as(&there);
    refused(&stores, &serve, &["records up to 9", "migrate --to redis+neo4j"]);
    refused(&stores, &["rebuild", "graphstore"], &["records up to 9", "rebuild hashtable"]);
    refused(&stores, &["rebuild", "hashtable"], &["records up to 9", "rebuild graphstore"]);
    let stores = stores.keeping_as(&Deployment::embedded());
    done(&stores, &["rebuild", "graphstore"]);
    let stores = stores.keeping_as(&there);
    done(&stores, &["rebuild", "hashtable"]);
    done(&stores, &["fsck"]);
    let server = stores.serve(&[]);
    assert_eq!(records(&server), before);
    // Nothing waits in a store alone when a server has ended: what it clears is sealed.
    live(&server.url(), 9, 1);
    assert_eq!(server.terminate(), Some(0));
    let server = stores.serve(&["--seal", "manual"]);
    assert_eq!(get(&agent(), &server.url(), "/transaction/10/receipt").status, 200);
}

/// Whoever mixed up a backup is told by the command that looks, not by a server that does
/// not clear any more.
#[test]
fn fsck_holds_the_log_against_the_stores() {
    let stores = Deployment::embedded();
    let server = stores.serve(&["--seal", "manual"]);
    live(&server.url(), 0, 3);
    seal(&server);
    assert_eq!(server.terminate(), Some(0));
    let (data, old) = (stores.data(), stores.folder().join("old"));
    let copied = |from: &Path, to: &Path| {
        let copied = Command::new("cp").arg("-a").args([from, to]).status().expect("it runs");
        assert!(copied.success());
    };
    copied(&data, &old);
    let server = stores.serve(&["--seal", "manual"]);
    live(&server.url(), 3, 4);
    seal(&server);
    assert_eq!(server.terminate(), Some(0));
    let found = || {
        let output = stores.command(&["fsck", "--json"]).output().expect("it runs");
        let lines = text(&output.stdout).lines();
        let lines: Vec<Value> =
            lines.map(|line| serde_json::from_str(line).expect("JSON")).collect();
        (output.status.code(), lines.last().expect("a summary")["findings"].clone())
    };
    assert_eq!(found(), (Some(0), serde_json::json!({})));
    // Of the bundles of the first leaves the longest is the one that is read.
    let bundles = std::fs::read_dir(data.join("log/tile/entries/000.p")).expect("listed");
    let bundles = bundles.map(|entry| entry.expect("an entry").path());
    let size = |path: &PathBuf| std::fs::metadata(path).expect("there").len();
    let whole = bundles.max_by_key(size).expect("one");
    let bytes = std::fs::read(&whole).expect("read");
    std::fs::write(&whole, [&bytes[..bytes.len() - 1], b"!"].concat()).expect("written");
    assert_eq!(found(), (Some(1), serde_json::json!({ "F-LOG": 1 })));
    std::fs::write(&whole, &bytes).expect("written");
    for store in ["graphstore", "hashtable"] {
        std::fs::rename(data.join(store), stores.folder().join(store)).expect("moved");
        copied(&old.join(store), &data.join(store));
    }
    // Four records and their block, which Hashtable has lost as well.
    assert_eq!(found(), (Some(1), serde_json::json!({ "F-LOG": 5, "F-MISSING": 1 })));
}

/// Hashtable alone has the blocks when the log is lost: a block that it has not, or has
/// otherwise, would be made a second time. And over a Redis with the blocks of another server
/// nothing is sealed, rebuilt or called sound.
#[test]
fn a_redis_with_blocks_of_another_log_is_named() {
    let redis = webwallet_engines::Redis::private();
    let stores = Deployment::embedded().keeping_in(&redis);
    let server = stores.serve(&["--seal", "manual"]);
    live(&server.url(), 0, 3);
    seal(&server);
    assert_eq!(server.terminate(), Some(0));
    let command = |arguments: &[&str]| {
        let output = stores.command(arguments).output().expect("it runs");
        (output.status.code(), format!("{}{}", text(&output.stdout), text(&output.stderr)))
    };
    assert_eq!(command(&["fsck"]).0, Some(0));
    let other = AtHeight { block: Hash::sha3(b"another"), documents: Vec::new() };
    let at = |height| {
        let (name, entry) = other.document(DOMAIN, height);
        (format!("{DOMAIN}:{name}"), [&Hash::sha3(&entry).0[..], &entry].concat())
    };
    let client = redis::Client::open(&*redis.url).expect("an address");
    let mut connection = client.get_connection().expect("Redis answers");
    let (beyond, value) = at(2);
    redis::cmd("SET").arg(&beyond).arg(value).exec(&mut connection).expect("put");
    let (code, said) = command(&["fsck"]);
    assert!(code == Some(1) && said.contains("F-AHEAD Hashtable has block 2"), "{said}");
    redis::cmd("DEL").arg(&beyond).exec(&mut connection).expect("taken out");
    let (key, value) = at(1);
    redis::cmd("DEL").arg(&key).exec(&mut connection).expect("taken out");
    let (code, said) = command(&["fsck"]);
    assert!(code == Some(1) && said.contains("F-MISSING"), "{said}");
    assert!(said.contains("all of block 1") && said.contains("1 findings"), "{said}");
    redis::cmd("SET").arg(&key).arg(value).exec(&mut connection).expect("put");
    let (code, said) = command(&["fsck"]);
    assert!(code == Some(1) && said.contains("F-LOG"), "{said}");
    assert!(said.contains("as block 1") && said.contains("1 findings"), "{said}");
    let server = stores.serve(&["--seal", "manual"]);
    let ready = get(&agent(), &server.url(), "/readyz");
    assert!(ready.status == 503, "{ready:?}");
    assert!(text(&ready.body).contains("another block 1"), "{ready:?}");
    assert_eq!(server.terminate(), Some(0));
    for store in ["hashtable", "graphstore"] {
        let (code, said) = command(&["rebuild", store]);
        assert!(code == Some(2) && said.contains("name another Redis"), "{store}: {said}");
    }
}

/// An operator who is told "sound" starts a server that clears nothing.
#[test]
fn fsck_names_a_log_that_no_server_goes_on_from() {
    let stores = Deployment::embedded();
    let server = stores.serve(&["--seal", "manual"]);
    let data = stores.data();
    let checkpoint = data.join("log/checkpoint");
    let mut heads = Vec::new();
    for n in 0..4 {
        live(&server.url(), n, 1);
        seal(&server);
        heads.push(std::fs::read(&checkpoint).expect("a head"));
    }
    assert_eq!(server.terminate(), Some(0));
    let kept = stores.folder().join("kept");
    let copied = |from: &Path, to: &Path| {
        let copied = Command::new("cp").arg("-a").args([from, to]).status().expect("it runs");
        assert!(copied.success());
    };
    copied(&data, &kept);
    let fsck = || {
        let output = stores.command(&["fsck", "--json"]).output().expect("it runs");
        let lines = text(&output.stdout).lines();
        let mut lines: Vec<Value> =
            lines.map(|line| serde_json::from_str(line).expect("JSON")).collect();
        lines.pop();
        let said = |line: &Value| line["detail"].as_str().expect("a text").to_owned();
        let said = lines.iter().inspect(|line| assert_eq!(line["code"], "F-LOG")).map(said);
        (output.status.code(), said.collect::<Vec<_>>())
    };
    assert_eq!(fsck(), (Some(0), vec![]));
    // A server that ended before it had published its last block goes on by itself.
    std::fs::write(&checkpoint, &heads[2]).expect("written");
    assert_eq!(fsck(), (Some(0), vec![]));
    let other = || {
        let folder = tempfile::tempdir().expect("a folder");
        let server = Process::all(folder.path(), &[]);
        assert_eq!(server.terminate(), Some(0));
        std::fs::read(folder.path().join("log-key")).expect("a key")
    };
    let tiles = std::fs::read_dir(data.join("log/tile/0/000.p")).expect("listed");
    let widest = tiles.map(|tile| tile.expect("a tile").path()).max_by_key(|tile| {
        let width = tile.file_name().and_then(|name| name.to_str()).and_then(|w| w.parse().ok());
        width.unwrap_or(0)
    });
    let widest: PathBuf = widest.expect("a tile");
    let damages: [(&str, &dyn Fn()); 8] = [
        ("tile/0/000.p/", &|| std::fs::remove_dir_all(data.join("log/tile/0")).expect("removed")),
        ("not the one of its hash in tile/0/000.p/", &|| {
            let mut tile = std::fs::read(&widest).expect("a tile");
            tile[40] ^= 1;
            std::fs::write(&widest, tile).expect("written");
        }),
        ("has no checkpoint", &|| std::fs::remove_file(&checkpoint).expect("removed")),
        ("has no checkpoint", &|| std::fs::remove_dir_all(data.join("log")).expect("removed")),
        ("remove it and run", &|| std::fs::write(&checkpoint, "").expect("written")),
        ("ends with block 2", &|| std::fs::write(&checkpoint, &heads[1]).expect("written")),
        ("log-key is missing", &|| std::fs::remove_file(data.join("log-key")).expect("removed")),
        ("not the log's newest", &|| {
            std::fs::write(data.join("log-key"), other()).expect("written");
        }),
    ];
    for (part, damage) in damages {
        std::fs::remove_dir_all(&data).expect("removed");
        copied(&kept, &data);
        damage();
        let (code, said) = fsck();
        assert!(code == Some(1) && said.len() == 1 && said[0].contains(part), "{part}: {said:?}");
        assert!(part != "log-key is missing" || !data.join("log-key").exists(), "none is made");
    }
}

/// A key that leaks is replaced; whoever holds the old one can still follow.
#[test]
fn a_rotated_log_key_is_followed_from_the_old_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Process::all(&folder.path().join("data"), &[]);
    let old = server.line["key"].as_str().expect("a key").to_owned();
    live(&server.url(), 0, 5);
    let before = receipt(&server.url(), 2);
    let admin = format!("http://{}", server.line["admin"].as_str().expect("admin"));
    let rotated = run(&binary(), &["rotate-log-key", "--admin", &admin, "--json"]);
    assert_eq!(rotated.status.code(), Some(0));
    let rotated: Value = serde_json::from_slice(&rotated.stdout).expect("JSON");
    let new = rotated["key"].as_str().expect("a key").to_owned();
    live(&server.url(), 5, 5);
    let after = receipt(&server.url(), 10);
    for key in [&old, &new] {
        assert_eq!(verdict(&server.url(), key, &[]).0, Some(0), "{key}");
        assert_eq!(second_verdict(&server.url(), key).0, Some(0), "{key}");
    }
    let card = get(&agent(), &server.url(), "/.well-known/webwallet").json();
    assert_eq!(card["keys"], serde_json::json!([new, old]));
    // With all keys of the log a receipt is valid, whenever it was made.
    let file = folder.path().join("receipt");
    for receipt in [before, after] {
        std::fs::write(&file, receipt).expect("written");
        let file = file.to_str().expect("a path in UTF-8");
        let verified = run(&binary(), &["verify", file, "--key", &new, "--key", &old]);
        assert_eq!(verified.status.code(), Some(0), "{verified:?}");
    }
}
