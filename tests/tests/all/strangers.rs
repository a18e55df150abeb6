//! Servers that lie. A wallet is told what it wants to hear by whoever answers at the
//! address; what it does then may cost its owner the money twice.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use webwallet_ledger::lock::puzzle_of;
use webwallet_ledger::request::body_of;
use webwallet_tests::party::{issue, now, party};
use webwallet_tests::process::{Process, agent, binary, get, post};

use crate::outbox::outbox;

/// What the servers of these tests say that they are.
pub const CARD: &str = r#"{"domain":"example.net"}"#;

/// A server that answers every request with what the path and the body give.
pub fn stranger(
    answer: impl Fn(&str, &[u8]) -> (u16, &'static str, String) + Send + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(&stream);
            let (mut first, mut length) = (String::new(), 0);
            reader.read_line(&mut first).expect("a request");
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).expect("a header");
                let line = line.to_ascii_lowercase();
                if let Some(value) = line.strip_prefix("content-length:") {
                    length = value.trim().parse().expect("a length");
                }
                if line.trim().is_empty() {
                    break;
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).expect("a body");
            let path = first.split(' ').nth(1).unwrap_or_default();
            let (status, kind, text) = answer(path, &body);
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                text.len()
            );
            // Who has gone wants no answer.
            let _ = (&stream).write_all(&[head.as_bytes(), text.as_bytes()].concat());
        }
    });
    url
}

/// alice, whose keys are in a folder of her own.
pub struct Alice {
    pub home: tempfile::TempDir,
}

impl Alice {
    pub fn new() -> Alice {
        let alice = Alice { home: tempfile::tempdir().expect("a folder") };
        assert!(alice.run(&["key", "new", "alice"]).status.success());
        alice
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(binary());
        command.args(arguments).env("WEBWALLET_HOME", self.home.path()).env_remove("WEBWALLET_URL");
        command.output().expect("it runs")
    }

    pub fn issue(&self, url: &str) -> Output {
        let bob = party("bob").address.to_string();
        let what = ["issue", "--from", "alice", "--to", &bob, "--amount", "1"];
        self.run(&[&what[..], &["--domain", "example.net", "--url", url]].concat())
    }

    pub fn outbox(&self) -> Vec<PathBuf> {
        let Ok(files) = std::fs::read_dir(self.home.path().join("outbox")) else {
            return Vec::new();
        };
        files.map(|file| file.expect("a file").path()).collect()
    }
}

/// A server that tells the truth, of two payments.
pub fn with_two_records(data: &Path) -> Process {
    let server = Process::all(data, &[]);
    for n in ["one", "two"] {
        let body = issue(&party("alice"), &party("bob"), "1", n);
        assert_eq!(post(&agent(), &server.url(), &body).expect("an answer").status, 201);
    }
    server
}

pub fn said(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

pub fn path(file: &Path) -> &str {
    file.to_str().expect("UTF-8")
}

/// Whoever is told "cleared" of what is not pays once more, and has then paid twice.
#[test]
fn a_record_of_something_else_is_no_sign_that_a_payment_cleared() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Process::all(&folder.path().join("data"), &[]);
    let other = issue(&party("alice"), &party("bob"), "1", "another");
    let record = said(&post(&agent(), &server.url(), &other).expect("an answer").body);
    let alice = Alice::new();
    // Another's record; one whose name is another's; and one that was made up for this IOU.
    let lies: [fn(&str, &[u8]) -> String; 3] = [
        |record, _| record.to_owned(),
        |record, _| record.replace("\"time\":\"20", "\"time\":\"21"),
        |record, body| {
            let hash = said(body).split("\"hash\":{").nth(1).map(str::to_owned).expect("a hash");
            let hash = hash.split("\"value\":\"").nth(1).expect("a value")[..64].to_owned();
            let old = record.split("\"inputs\":[{\"hash\":\"").nth(1).expect("an input");
            record.replace(&old[..64].to_owned(), &hash)
        },
    ];
    for (n, lie) in lies.into_iter().enumerate() {
        let record = record.clone();
        let liar = stranger(move |_, body| (201, "application/json", lie(&record, body)));
        let told = alice.issue(&liar);
        assert_eq!(told.status.code(), Some(2), "{n}: {told:?}");
        assert!(!said(&told.stdout).contains("cleared"), "{n}: {told:?}");
        for part in ["not the record of this payment", "nobody knows", "webwallet post "] {
            assert!(said(&told.stderr).contains(part), "{n}, {part:?}: {told:?}");
        }
        let kept = alice.outbox();
        assert_eq!(kept.len(), 1, "{n}");
        // The same for what is posted again; and an honest server clears it.
        let again = alice.run(&["post", path(&kept[0]), "--url", &liar]);
        assert_eq!((again.status.code(), alice.outbox()), (Some(2), kept.clone()), "{again:?}");
        let done = alice.run(&["post", path(&kept[0]), "--url", &server.url()]);
        assert_eq!((done.status.code(), alice.outbox().len()), (Some(0), 0), "{done:?}");
    }
    let requests = folder.path().join("requests");
    let [first, second] = ["one", "two"].map(|n| issue(&party("alice"), &party("bob"), "1", n));
    std::fs::write(&requests, [&first[..], &second].join(&b'\n')).expect("written");
    let line = format!("{{\"index\":0,\"status\":201,{}\n", &record[1..]);
    let liar = stranger(move |_, _| (200, "application/x-ndjson", line.clone()));
    let told = alice.run(&["batch", path(&requests), "--url", &liar]);
    assert_eq!((told.status.code(), &told.stdout[..]), (Some(2), &b""[..]), "{told:?}");
    // One that answers only some of them says nothing of the rest.
    let record = said(&post(&agent(), &server.url(), &first).expect("an answer").body);
    let line = format!("{{\"index\":0,\"status\":201,{}\n", &record[1..]);
    let silent = stranger(move |_, _| (200, "application/x-ndjson", line.clone()));
    let told = alice.run(&["batch", path(&requests), "--url", &silent]);
    assert_eq!(told.status.code(), Some(2), "{told:?}");
    assert!(said(&told.stderr).contains("only 1 of 2"), "{told:?}");
}

/// Whoever believes a refusal that cannot be right pays anew, and the first payment clears later
/// beside the second.
#[test]
fn a_refusal_that_cannot_be_right_leaves_the_payment_open() {
    let data = tempfile::tempdir().expect("a folder");
    let server = Process::all(data.path(), &[]);
    let other = issue(&party("alice"), &party("bob"), "1", "another");
    let record = said(&post(&agent(), &server.url(), &other).expect("an answer").body);
    let record = record.strip_prefix("{\"data\":").and_then(|data| data.strip_suffix('}'));
    let conflict = format!(
        ",\"conflict\":{{\"sent\":{},\"cleared\":{}}}",
        said(&other),
        record.expect("an envelope")
    );
    let alice = Alice::new();
    for (code, more) in [
        ("malformed", ""),
        ("too_large", ""),
        ("hash_mismatch", ""),
        ("signature_invalid", ""),
        ("expired", ""),
        ("not_yet_active", ""),
        ("lock_not_found", ""),
        ("credit_not_by_issuer", ""),
        ("credit_not_granted", ""),
        ("balance_below_min", ""),
        ("balance_above_max", ""),
        ("iou_already_cleared", ""),
        ("iou_already_cleared", conflict.as_str()),
    ] {
        let problem = format!(r#"{{"code":"{code}","retry":"never"{more}}}"#);
        let liar = stranger(move |_, _| (422, "application/problem+json", problem.clone()));
        let refused = alice.issue(&liar);
        assert_eq!(refused.status.code(), Some(1), "{code}: {refused:?}");
        let told = said(&refused.stderr);
        assert!(
            told.contains("that is not so") && told.contains("webwallet post "),
            "{code}: {told}"
        );
        let anew = alice.issue(&server.url());
        assert_eq!(anew.status.code(), Some(2), "{code}: {anew:?}");
        let kept = alice.outbox();
        let done = alice.run(&["post", path(&kept[0]), "--url", &server.url()]);
        assert_eq!((done.status.code(), alice.outbox().len()), (Some(0), 0), "{code}: {done:?}");
    }
    // Credit that is granted lowers a limit, and keeps nobody above it.
    let short = r#"{"code":"balance_below_min","retry":"rebuild"}"#;
    let liar = stranger(move |_, _| (422, "application/problem+json", short.to_owned()));
    let bob = party("bob").address.to_string();
    let grant = ["issue", "--from", "alice", "--to", &bob, "--amount", "5", "--credit=-5"];
    let refused = alice.run(&[&grant[..], &["--domain", "example.net", "--url", &liar]].concat());
    assert!(said(&refused.stderr).contains("that is not so"), "{refused:?}");
    // What is not active yet by our clock either is no lie, alone or in a batch.
    let [active, expiry] = [1, 2].map(|days| now().plus_days(days).to_string());
    let early = ["issue", "--from", "alice", "--to", &bob, "--amount", "7", "--active", &active];
    let refused = alice.run(&[&early[..], &["--expiry", &expiry, "--url", &server.url()]].concat());
    let told = said(&refused.stderr);
    assert!(told.contains("to post it again later") && !told.contains("not so"), "{refused:?}");
    let kept = alice.outbox().into_iter().map(|file| std::fs::read_to_string(file).expect("read"));
    let early = kept.into_iter().find(|iou| iou.contains(&active)).expect("the early one");
    let requests = data.path().join("requests");
    std::fs::write(&requests, body_of([early.trim().as_bytes()])).expect("written");
    let told = alice.run(&["batch", path(&requests), "--url", &server.url()]);
    assert_eq!((told.status.code(), &told.stderr[..]), (Some(1), &b""[..]), "{told:?}");
}

/// A preimage is money: it is shown for the lock that its pointer names, and to no server that says
/// of another that it is the one, or that it was shown before.
#[test]
fn what_a_server_says_of_a_lock_is_held_against_its_record() {
    let data = tempfile::tempdir().expect("a folder");
    let server = Process::all(data.path(), &[]);
    let alice = Alice::new();
    assert!(alice.run(&["key", "new", "bob"]).status.success());
    let preimage = "5e".repeat(32);
    let hash = puzzle_of(&format!("0x{preimage}")).to_string();
    let until = now().plus_days(1).to_string();
    let lock = ["issue", "--from", "alice", "--to", "bob", "--amount", "1", "--until", &until];
    let more = ["--expiry", &until, "--hash-lock", &hash, "--url", &server.url(), "--json"];
    let locked = alice.run(&[&lock[..], &more].concat());
    let record: Value = serde_json::from_slice(&locked.stdout).expect("a record");
    let pointer = format!("{}::1", record["hash"]["value"].as_str().expect("a hash"));
    let release = |url: &str| {
        let release = ["release", &pointer, "--with", "bob", "--preimage", &preimage];
        alice.run(&[&release[..], &["--url", url]].concat())
    };
    let name = pointer.split("::").next().expect("a hash").to_owned();
    let cleared = format!(r#"{{"data":{{"transaction":"{name}"}}}}"#);
    type Lie = Box<dyn Fn(&str, String) -> String + Send>;
    let lies: [Lie; 3] = [
        Box::new(|path, text| match path.starts_with("/transaction/") {
            true => text.replace("\"net\":\"1\"", "\"net\":\"1000\""),
            false => text,
        }),
        Box::new(|path, text| if path.starts_with("/iou/") { "{}".to_owned() } else { text }),
        Box::new(move |path, text| match path.starts_with("/iou/") {
            true => cleared.clone(),
            false => text,
        }),
    ];
    for (n, lie) in lies.into_iter().enumerate() {
        let (url, secret) = (server.url(), preimage.clone());
        let liar = stranger(move |path, body| {
            assert!(!said(body).contains(&secret), "the preimage is shown");
            let answer = get(&agent(), &url, path);
            let text = lie(path, said(&answer.body));
            (if text == said(&answer.body) { answer.status } else { 200 }, "application/json", text)
        });
        let refused = release(&liar);
        assert_eq!(refused.status.code(), Some(2), "{n}: {refused:?}");
        assert!(!said(&refused.stdout).contains("signing"), "{n}: {refused:?}");
    }
    let released = release(&server.url());
    assert_eq!(released.status.code(), Some(0), "{released:?}");
}

/// Whoever does not know what became of a payment does what is printed: it asks the same server
/// with the same keys, leaves nothing behind that stands in the way of later payments, and
/// shows nobody's password.
#[test]
fn what_is_printed_to_ask_again_is_run_as_it_stands() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Process::all(&folder.path().join("data"), &[]);
    let (real, home) = (server.url(), folder.path().join("it's alice's"));
    let (url, lost) = (real.clone(), AtomicUsize::new(0));
    // It takes the first three, and says nothing.
    let silent = stranger(move |_, body| match lost.fetch_add(1, Ordering::Relaxed) {
        0..3 => (200, "application/json", String::new()),
        _ => {
            let answer = post(&agent(), &url, body).expect("an answer");
            let kind =
                if answer.status < 300 { "application/json" } else { "application/problem+json" };
            (answer.status, kind, said(&answer.body))
        }
    });
    let secret = silent.replace("http://", "http://alice:secret@");
    let program = binary();
    let programs = program.parent().expect("a folder");
    let run = |program: &Path, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).env("WEBWALLET_URL", &secret).env_remove("WEBWALLET_HOME");
        command.env("PATH", format!("{}:/usr/bin:/bin", programs.display()));
        let output = command.output().expect("it runs");
        let told = said(&output.stdout) + &said(&output.stderr);
        assert!(!told.contains("secret"), "{told}");
        (output.status.code(), told)
    };
    let alice = |arguments: &[&str]| run(&program, &[arguments, &["--home", path(&home)]].concat());
    assert_eq!(alice(&["key", "new", "alice"]).0, Some(0));
    let bob = party("bob").address.to_string();
    let issue = |amount: &str| {
        let what = ["issue", "--from", "alice", "--to", &bob, "--domain", "example.net"];
        alice(&[&what[..], &["--amount", amount]].concat())
    };
    let outbox = || outbox(&home);
    let (code, told) = issue("1");
    let printed = told.lines().find_map(|line| line.split_once("never paid twice): "));
    let (_, printed) = printed.unwrap_or_else(|| panic!("{told}"));
    assert_eq!((code, outbox().len()), (Some(2), 1), "{told}");
    let refused = issue("1.0").1;
    assert!(refused.trim_end().ends_with(printed), "{refused}");
    for amount in ["2", "3"] {
        assert_eq!(issue(amount).0, Some(2));
    }
    let (code, told) = run(Path::new("sh"), &["-c", printed]);
    assert_eq!((code, outbox().len()), (Some(0), 2), "{told}");
    // One of two has cleared: the other is not forgotten with it.
    let [first, second] = &outbox()[..] else { panic!("two files") };
    let iou = std::fs::read(first).expect("an IOU");
    assert_eq!(post(&agent(), &real, &body_of([&iou[..]])).expect("an answer").status, 201);
    let (code, told) = alice(&["post", path(first), path(second)]);
    assert_eq!((code, outbox().len()), (Some(1), 2), "{told}");
    assert_eq!(alice(&["post", path(first)]).0, Some(0));
    assert_eq!(outbox(), std::slice::from_ref(second));
    // And what clears together leaves together.
    let fourth = home.join("outbox/another.json");
    let offline = ["--domain", "example.net", "--offline", "-o", path(&fourth)];
    let what = ["issue", "--from", "alice", "--to", &bob, "--amount", "4"];
    assert_eq!(alice(&[&what[..], &offline].concat()).0, Some(0));
    let (code, told) = alice(&["post", path(second), path(&fourth)]);
    assert_eq!((code, outbox()), (Some(0), vec![]), "{told}");
}

/// A supervisor that takes any web server for ours leaves a dead one as it is; a script that
/// is given a page in place of JSON fails far from here.
#[test]
fn a_web_server_that_is_none_of_ours_is_not_believed() {
    let alice = Alice::new();
    let page = stranger(|_, _| (200, "text/html", "<!doctype html>\u{1b}[2Khello".to_owned()));
    let other = stranger(|_, _| (200, "application/json", r#"{"status":"ok"}"#.to_owned()));
    for url in [&page, &other] {
        let health = alice.run(&["health", "--url", url]);
        assert_eq!(health.status.code(), Some(1), "{health:?}");
    }
    let commands: [&[&str]; 3] = [&["balance", "alice"], &["transaction", "1"], &["block"]];
    for command in commands {
        let told = alice.run(&[command, &["--json", "--url", page.as_str()]].concat());
        assert_eq!((told.status.code(), &told.stdout[..]), (Some(2), &b""[..]), "{told:?}");
        let told = said(&told.stderr);
        assert!(told.contains(&page) && told.contains("no JSON"), "{told}");
        assert!(told.contains("<!doctype html>") && !told.contains('\u{1b}'), "{told}");
    }
}

/// Whoever leaves out the scheme is told so, and their password is not shown.
#[test]
fn an_address_without_a_scheme_is_named() {
    let alice = Alice::new();
    for command in [["balance", "alice", "--url"], ["seal", "--stack", "--admin"]] {
        let told = alice.run(&[&command[..], &["alice:secret@127.0.0.1:8081"]].concat());
        assert_eq!(told.status.code(), Some(2), "{told:?}");
        let told = said(&told.stderr);
        assert!(told.contains("begin with http:// or https://"), "{told}");
        assert!(told.contains("127.0.0.1:8081") && !told.contains("secret"), "{told}");
    }
}

/// Two windows post the same: both are told that it cleared, and neither that it failed.
#[test]
fn what_is_posted_twice_at_once_is_cleared_for_both() {
    let data = tempfile::tempdir().expect("a folder");
    let server = Process::all(data.path(), &[]);
    let alice = Alice::new();
    let (url, outbox) = (server.url(), alice.home.path().join("outbox"));
    let beside = stranger(move |_, body| {
        let answer = post(&agent(), &url, body).expect("an answer");
        // The other one was quicker.
        std::fs::remove_dir_all(&outbox).expect("removed");
        (answer.status, "application/json", said(&answer.body))
    });
    let done = alice.issue(&beside);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert!(said(&done.stdout).contains("cleared  record 1"), "{done:?}");
}

/// A server could erase what stands on the screen, and write that all is well.
#[test]
fn what_a_stranger_writes_does_not_move_the_terminal() {
    let alice = Alice::new();
    let bad = r"\u001b[2K\r\u202eall is well\n\u009b1m";
    let plain = |output: &Output| {
        let text = said(&output.stdout) + &said(&output.stderr);
        let harmful = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
        assert!(!text.contains(harmful), "{text:?}");
        assert!(text.contains(r"\u{1b}"), "{text}");
    };
    let problem = format!(
        r#"{{"code":"x{bad}","title":"{bad}","detail":"{bad} {bad}","pointer":"{bad}","limit":"{bad}","account":"{bad}|{bad}","suggestion":[{{"pointer":"/data/inputs/0/{bad}","value":"{bad}"}}]}}"#
    );
    let refusing = stranger(move |_, _| (422, "application/problem+json", problem.clone()));
    let refused = alice.run(&["balance", "alice", "--url", &refusing]);
    assert_eq!(refused.status.code(), Some(1));
    plain(&refused);
    assert_eq!(said(&refused.stdout).lines().count(), 8, "no line is of the server's making");
    let refused = alice
        .run(&["pay", "--from", "alice", "--to", "alice", "--amount", "1", "--url", &refusing]);
    assert_eq!(refused.status.code(), Some(2));
    plain(&refused);
    let record = format!(
        r#"{{"data":{{"data":{{"number":"{bad}","time":"{bad}","outputs":[{{"address":"{bad}","counter":"{bad}","balance":{{"net":"{bad}","min":"0","max":"0"}}}}]}},"hash":{{"value":"{bad}"}},"meta":{{"inputs":[{{"data":{{"source":"{bad}","target":"{bad}","amount":"{bad}","symbol":"{bad}"}}}}]}}}}}}"#
    );
    let known = record.clone();
    let telling = stranger(move |path, _| match path {
        "/.well-known/webwallet" => (200, "application/json", format!(r#"{{"domain":"{bad}"}}"#)),
        "/checkpoint" => (200, "text/plain", "\u{1b}[2K\n\n".to_owned()),
        _ => (200, "application/json", known.clone()),
    });
    let refused = alice.run(&["transaction", "1", "--url", &telling]);
    assert_eq!((refused.status.code(), &refused.stdout[..]), (Some(2), &b""[..]), "{refused:?}");
    // Nothing is signed for such a domain, whoever names it.
    let bob = party("bob").address.to_string();
    let paid = ["pay", "--from", "alice", "--to", &bob, "--amount", "1", "--url", &telling];
    let refused = alice.run(&paid);
    assert_eq!((refused.status.code(), &refused.stdout[..]), (Some(2), &b""[..]), "{refused:?}");
    let refused = alice.run(&[&paid[..], &["--offline", "--domain", "BAD domain"]].concat());
    assert_eq!((refused.status.code(), &refused.stdout[..]), (Some(2), &b""[..]), "{refused:?}");
    assert!(alice.outbox().is_empty());
    let head = alice.run(&["checkpoint", "--url", &telling]);
    assert_eq!((head.status.code(), &head.stdout[..]), (Some(2), &b""[..]), "{head:?}");
    let iou = alice.home.path().join("iou.json");
    std::fs::write(&iou, format!(r#"{{"hash":{{"value":"{bad}"}}}}"#)).expect("written");
    plain(&alice.run(&["iou", "verify", path(&iou)]));
}

/// Answers to what was not asked for: a program that asks by a name believes what it is given.
#[test]
fn what_was_not_asked_for_is_not_shown() {
    let data = tempfile::tempdir().expect("a folder");
    let server = with_two_records(&data.path().join("data"));
    let alice = Alice::new();
    let sealed = alice.run(&["receipt", "1", "--url", &server.url()]);
    assert!(sealed.status.success(), "{sealed:?}");
    let answer = |path: &str| said(&get(&agent(), &server.url(), path).body);
    let member = |answer: &str| {
        let json: Value = serde_json::from_str(answer).expect("JSON");
        json["data"]["hash"]["value"].as_str().expect("a hash").to_owned()
    };
    let [bob, carol] = ["bob", "carol"].map(|name| party(name).address.to_string());
    let (first, second) = (answer("/transaction/1"), answer("/transaction/2"));
    let block = answer("/block/0");
    let balance = answer(&format!("/address/{bob}"));
    let history =
        answer(&format!("/address/{bob}/outputs/history?counter={}", party("alice").address));
    let unit = answer(&format!("/unit/{}", party("alice").address));
    // One whose IOU was exchanged, under its right name.
    let forged = first.replace("\"amount\":\"1\"", "\"amount\":\"9\"");
    assert_ne!(forged, first);
    let (of_first, of_block) = (member(&first), member(&block));
    let asked: [(&[&str], &str, bool); 14] = [
        (&["transaction", "1"], &first, true),
        (&["transaction", &of_first], &first, true),
        (&["transaction", "1"], &second, false),
        (&["transaction", &of_first], &second, false),
        (&["transaction", "1"], &forged, false),
        (&["block", "0"], &block, true),
        (&["block", &of_block], &block, true),
        (&["block"], &block, true),
        (&["block", "1"], &block, false),
        (&["block", &of_first], &block, false),
        (&["balance", &bob], &balance, true),
        (&["balance", &carol], &balance, false),
        (&["history", &carol], &history, false),
        (&["unit", &bob], &unit, false),
    ];
    for (command, answer, is_it) in asked {
        let text = answer.to_owned();
        let liar = stranger(move |_, _| (200, "application/json", text.clone()));
        for form in [&[][..], &["--json"]] {
            let told = alice.run(&[command, &["--url", &liar], form].concat());
            match is_it {
                true => assert!(told.status.success(), "{command:?}: {told:?}"),
                false => {
                    assert_eq!(told.status.code(), Some(2), "{command:?}: {told:?}");
                    assert!(told.stdout.is_empty(), "{command:?}: {told:?}");
                    let why = said(&told.stderr);
                    assert!(why.contains("not what was asked for"), "{command:?}: {why}");
                }
            }
        }
    }
}

/// A document is asked for by its hash, and a terminal shows it.
#[test]
fn a_document_is_the_one_that_was_asked_for() {
    let alice = Alice::new();
    let data = "{\"note\":\"\u{202e}all is well\"}";
    let name = webwallet_ledger::Hash::sha3(data.as_bytes()).to_string();
    let hash = format!(r#"{{"steps":"stringify:data","types":"sha3-256","value":"{name}"}}"#);
    let text = format!(r#"{{"data":{{"data":{data},"hash":{hash},"meta":{{}}}}}}"#);
    let liar = stranger(move |_, _| (200, "application/json", text.clone()));
    let shown = alice.run(&["document", "get", &name, "--url", &liar]);
    assert_eq!(shown.status.code(), Some(0), "{shown:?}");
    assert!(said(&shown.stdout).contains(r"\u{202e}all"), "{shown:?}");
    // Nor is what is put kept because another is answered.
    let file = alice.home.path().join("own.json");
    let own = r#"{"data":{"note":"mine"},"hash":{"steps":"stringify:data","types":"sha3-256","value":"NAME"},"meta":{}}"#;
    let named = webwallet_ledger::Hash::sha3(br#"{"note":"mine"}"#).to_string();
    std::fs::write(&file, own.replace("NAME", &named)).expect("written");
    let own = file.to_str().expect("UTF-8");
    for form in [&[][..], &["--json"]] {
        let other = "0".repeat(64);
        let told = alice.run(&[&["document", "get", &other, "--url", &liar], form].concat());
        assert_eq!((told.status.code(), &told.stdout[..]), (Some(2), &b""[..]), "{told:?}");
        let told = alice.run(&[&["document", "put", own, "--url", &liar], form].concat());
        assert_eq!((told.status.code(), &told.stdout[..]), (Some(2), &b""[..]), "{told:?}");
    }
}

/// What is printed to go on with is pasted into a shell.
#[test]
fn a_cursor_of_a_stranger_is_one_word() {
    let alice = Alice::new();
    let bob = party("bob").address.to_string();
    let balance = r#"{"counter":"c","balance":{"net":"1","min":"0","max":"1"}}"#;
    let page =
        format!(r#"{{"data":{{"address":"{bob}","units":[{balance}],"next":"x; touch it's"}}}}"#);
    let liar = stranger(move |_, _| (200, "application/json", page.clone()));
    let told = alice.run(&["balance", &bob, "--url", &liar]);
    assert_eq!(told.status.code(), Some(0), "{told:?}");
    assert!(said(&told.stderr).contains(r"more with --cursor 'x; touch it'\''s'"), "{told:?}");
}

/// A shop that follows what clears must miss nothing, and see nothing twice or made up.
#[test]
fn events_are_those_that_were_asked_for() {
    let data = tempfile::tempdir().expect("a folder");
    let server = Process::all(&data.path().join("data"), &[]);
    for n in ["one", "two", "three"] {
        let body = issue(&party("alice"), &party("bob"), "1", n);
        assert_eq!(post(&agent(), &server.url(), &body).expect("an answer").status, 201);
    }
    let alice = Alice::new();
    let page = said(&get(&agent(), &server.url(), "/events?after=0").body);
    let [one, two, three] = page.lines().collect::<Vec<_>>()[..] else { panic!("{page}") };
    let renamed = two.replacen("\"number\":\"2\"", "\"number\":\"1\"", 1);
    let renamed = if renamed.starts_with("{\"number\":\"1\"") { renamed } else { panic!("{two}") };
    let made_up = one.replace("\"net\":\"1\"", "\"net\":\"9\"");
    assert_ne!(made_up, one);
    // Lines, how many of them are right, and whether all are.
    let earlier = one.replacen("\"time\":\"2", "\"time\":\"1", 1);
    assert!(record_of(&earlier) == record_of(one) && earlier != one, "{one}");
    let told: [(&[&str], usize, bool); 8] = [
        (&[one, two, three], 3, true),
        (&[one, three], 1, false),
        (&[one, one], 1, false),
        (&[three, two, one], 0, false),
        (&[two], 0, false),
        (&[&renamed], 0, false),
        (&[&made_up], 0, false),
        (&[&earlier], 0, false),
    ];
    for (lines, right, all) in told {
        let page = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let liar = stranger(move |path, _| match path.ends_with("after=0") {
            true => (200, "application/x-ndjson", page.clone()),
            false => (200, "application/x-ndjson", String::new()),
        });
        let listed = alice.run(&["events", "--json", "--url", &liar]);
        assert_eq!(listed.status.code(), Some(if all { 0 } else { 2 }), "{lines:?}: {listed:?}");
        assert_eq!(said(&listed.stdout).lines().count(), right, "{lines:?}: {listed:?}");
    }
    // The second stream goes on where the first was cut, or it is not believed.
    let event = |number: u64, line: &str| format!("id: {number}\ndata: {line}\n\n");
    let again = [
        event(3, three),
        event(1, one),
        "id: 2\n\n".to_owned() + &event(3, three),
        "x".repeat(2 << 20),
    ];
    for second in again {
        let first = "retry: 1000\nid: 0\n\n".to_owned() + &event(1, one);
        let asked = AtomicUsize::new(0);
        let liar = stranger(move |_, _| match asked.fetch_add(1, Ordering::Relaxed) {
            0 => (200, "text/event-stream", first.clone()),
            _ => (200, "text/event-stream", second.clone()),
        });
        let followed = alice.run(&["events", "--follow", "--after", "0", "--json", "--url", &liar]);
        assert_eq!(followed.status.code(), Some(2), "{followed:?}");
        assert_eq!(said(&followed.stdout).lines().count(), 1, "{followed:?}");
    }
    let page = stranger(|_, _| (200, "text/html", "<!doctype html>".to_owned()));
    let followed = alice.run(&["events", "--follow", "--url", &page]);
    assert_eq!(followed.status.code(), Some(2), "{followed:?}");
    assert!(said(&followed.stderr).contains("text/event-stream"), "{followed:?}");
}

/// The record of an event.
fn record_of(event: &str) -> Value {
    let event: Value = serde_json::from_str(event).expect("JSON");
    event["transaction"].clone()
}

/// Whoever takes a payment for answered that was not either loses it or pays it once more.
#[test]
fn a_batch_knows_only_what_each_answer_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Process::all(&folder.path().join("data"), &[]);
    let alice = Alice::new();
    let bodies = ["one", "two"].map(|n| issue(&party("alice"), &party("bob"), "1", n));
    let requests = folder.path().join("requests");
    std::fs::write(&requests, bodies.join(&b'\n')).expect("written");
    let records = bodies.map(|body| {
        let record = said(&post(&agent(), &server.url(), &body).expect("an answer").body);
        record[8..record.len() - 1].to_owned()
    });
    let cleared = |n: usize| format!(r#"{{"index":{n},"status":201,"data":{}}}"#, records[n]);
    let refused = |n: usize, code: &str, retry: &str| {
        format!(r#"{{"index":{n},"status":422,"problem":{{"code":"{code}","retry":"{retry}"}}}}"#)
    };
    let by_rule = |n| refused(n, "amount_overflow", "rebuild");
    let neither = |n: usize| format!(r#"{{"index":{n},"status":201}}"#);
    let null = |n: usize| format!(r#"{{"index":{n},"status":201,"data":null,"problem":null}}"#);
    let turned = format!(r#"{{"status":201,"data":{},"index":0}}"#, records[0]);
    // Answers, and whether the first refusal ends it; how many of them count, the exit code, and
    // what is said.
    let told = [
        (vec![turned, cleared(1)], false, 2, 0, ""),
        (vec![neither(0), neither(1)], false, 0, 2, "of the requests from 0 on"),
        (vec![cleared(0), null(1)], false, 1, 2, "of the requests from 1 on"),
        (vec![by_rule(0)], false, 1, 2, "only 1 of 2 requests"),
        (vec![by_rule(0)], true, 1, 1, ""),
        (vec![by_rule(0), cleared(1)], true, 1, 1, ""),
        (vec![cleared(0), by_rule(1), by_rule(2)], false, 2, 1, ""),
        (
            vec![cleared(0), refused(1, "unavailable", "same")],
            false,
            2,
            1,
            "whether 1 of the requests cleared, the first of them 1; post the same again",
        ),
        // Of a request whose hash is right it can only be a lie, and it may have cleared.
        (
            vec![cleared(0), refused(1, "hash_mismatch", "never")],
            false,
            2,
            1,
            "whether 1 of the requests cleared, the first of them 1; post the same again",
        ),
        (
            vec![cleared(0), r#"{"index":1,"status":422,"problem":1}"#.to_owned()],
            false,
            1,
            2,
            "from 1 on",
        ),
    ];
    for (lines, stop, count, code, words) in told {
        let flags: &[&str] = if stop { &["--stop"] } else { &[] };
        let text = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let liar = stranger(move |_, _| (200, "application/x-ndjson", text.clone()));
        for form in [&[][..], &["--json"]] {
            let batch = ["batch", path(&requests), "--url", &liar];
            let told = alice.run(&[&batch[..], flags, form].concat());
            let (out, why) = (said(&told.stdout), said(&told.stderr));
            assert_eq!(told.status.code(), Some(code), "{lines:?}: {out} {why}");
            assert_eq!(out.lines().count(), count, "{lines:?}: {out} {why}");
            assert!(
                why.contains(words) && (why.is_empty() == words.is_empty()),
                "{lines:?}: {why}"
            );
            for line in out.lines().filter(|_| !form.is_empty()) {
                let line: Value = serde_json::from_str(line).expect("whole JSON");
                assert!(line["data"].is_object() || line["problem"].is_object(), "{line}");
            }
        }
    }
}

/// A pipe may have no end, and no line of it either.
#[test]
fn what_is_piped_to_a_batch_is_not_read_without_end() {
    for begin in ["x", "[", "  \n [1"] {
        let mut command = Command::new(binary());
        command
            .args(["batch", "-", "--url", "http://127.0.0.1:1"])
            .stdin(std::process::Stdio::piped());
        let mut child = command.stderr(std::process::Stdio::piped()).spawn().expect("it starts");
        let mut pipe = child.stdin.take().expect("piped");
        let _ = pipe.write_all(begin.as_bytes());
        let more = vec![b' '; 1 << 20];
        let written = (0..100).take_while(|_| pipe.write_all(&more).is_ok()).count();
        drop(pipe);
        let ended = child.wait_with_output().expect("it ends");
        assert_eq!(ended.status.code(), Some(2), "{ended:?}");
        assert!(said(&ended.stderr).contains(" bytes"), "{ended:?}");
        assert!(written < 70, "{begin:?}: {written}");
    }
}
