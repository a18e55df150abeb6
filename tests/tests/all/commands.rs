//! Commands that a person types, as processes: what they print and the code
//! they end with. Scripts are built on both.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use serde_json::Value;
use webwallet_ledger::Code;
use webwallet_ledger::request::body_of;
use webwallet_tests::party::{Party, draft, now, party};
use webwallet_tests::process::{Process, agent, binary, get, post};
use webwallet_tests::world::Sockets;

/// Runs the binary with something on its standard input.
fn run(arguments: &[&str], input: &[u8], variables: &[(&str, &str)]) -> Output {
    let mut child = Command::new(binary())
        .args(arguments)
        .env_remove("WEBWALLET_HOME")
        .env_remove("WEBWALLET_URL")
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    child.stdin.take().expect("piped").write_all(input).expect("it reads");
    child.wait_with_output().expect("it ends")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

/// What it printed, after it ended well.
fn done(arguments: &[&str]) -> String {
    let output = run(arguments, b"", &[]);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
    assert!(output.stderr.is_empty(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout).to_owned()
}

/// The files in the outbox of a home.
pub(crate) fn outbox(home: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(home.join("outbox")).expect("the outbox");
    files.map(|file| file.expect("a file").path()).collect()
}

fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"))
}

/// IOUs that other software signed, good ones and forged ones. A wallet that
/// judged them otherwise would refuse somebody's money, or take none for some.
#[test]
fn iou_verify_judges_every_vector() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join("iou-signatures.json");
    let vectors = std::fs::read(file).expect("the vectors");
    let cases = json(text(&vectors))["cases"].as_array().expect("cases").clone();
    let command =
        ["iou", "verify", "-", "--at", "2027-01-01T00:00:00.000Z", "--domain", "example.net"];
    let output = run(&[&command[..], &["--json"]].concat(), &vectors, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let verdicts: Vec<Value> = text(&output.stdout).lines().map(json).collect();
    assert_eq!((cases.len(), verdicts.len()), (58, 58));
    let valid = verdicts.iter().filter(|verdict| verdict["valid"] == true).count();
    println!("{valid} of {} vectors are valid", verdicts.len());
    assert_eq!(valid, 17);
    for (case, verdict) in cases.iter().zip(&verdicts) {
        let name = case["name"].as_str().expect("a name");
        assert_eq!(verdict["hash"], case["iou"]["hash"]["value"], "{name}");
        let code = verdict["code"].as_str().unwrap_or("valid");
        assert_eq!(verdict["valid"], code == "valid", "{name}");
        let expected: &[&str] = match name {
            // Good, but of another domain.
            "sample-0" | "sample-1" | "sample-2" | "ecdsa-unicode-and-escapes" => &["wrong_domain"],
            // Good by its signature, with fields that may not stand together.
            "ecdsa-all-fields" => &["malformed"],
            _ if case["strict"] == true => &["valid"],
            _ => {
                assert_ne!(code, "valid", "{name}");
                continue;
            }
        };
        assert!(expected.contains(&code), "{name}: {verdict}");
    }
    // For people: the same, in words.
    let output = run(&command, &vectors, &[]);
    assert_eq!(output.status.code(), Some(1));
    let valid = text(&output.stdout).lines().filter(|line| line.starts_with("valid ")).count();
    assert_eq!(valid, 17);
}

/// Whoever asks how much there is of a unit sees what was issued, and to whom.
#[test]
fn a_unit_its_holders_and_a_document_are_read_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Process::all(&folder.path().join("data"), &[]);
    let (url, home) = (server.url(), folder.path().join("home"));
    let at = [("WEBWALLET_URL", url.as_str()), ("WEBWALLET_HOME", home.to_str().expect("UTF-8"))];
    let webwallet = |arguments: &[&str]| {
        let output = run(arguments, b"", &at);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout).to_owned()
    };
    for name in ["alice", "bob", "carol"] {
        webwallet(&["key", "new", name]);
    }
    webwallet(&["issue", "--from", "alice", "--to", "bob", "--amount", "10"]);
    webwallet(&["issue", "--from", "alice", "--to", "carol", "--amount", "0.5", "--credit", "-7"]);
    let unit = json(&webwallet(&["unit", "alice", "--json"]))["data"].clone();
    let part = |name: &str| unit[name].as_str().expect("a text").to_owned();
    assert_eq!(["supply", "locked", "accounts", "credit"].map(part), ["10.5", "0", "3", "7"]);
    assert!(webwallet(&["unit", "alice"]).contains("10.5"));
    let mut nets = Vec::new();
    let mut more = String::new();
    loop {
        let mut page = vec!["unit", "alice", "--holders", "--json", "--limit", "1"];
        if !more.is_empty() {
            page.extend(["--cursor", &more]);
        }
        let page = json(&webwallet(&page))["data"].clone();
        nets.push(page["holders"][0]["balance"]["net"].as_str().expect("a net").to_owned());
        let Some(next) = page["next"].as_str() else { break };
        more = next.to_owned();
    }
    nets.sort();
    assert_eq!(nets, ["-10.5", "0.5", "10"]);
    // A cursor may begin with a hyphen; whether it is one, the server says.
    let output = run(&["unit", "alice", "--holders", "--cursor", "-no"], b"", &at);
    assert!(text(&output.stdout).contains("cursor"), "{}", text(&output.stderr));

    let data = r#"{"for":"bread"}"#;
    let name = webwallet_ledger::Hash::sha3(data.as_bytes());
    let hash = format!(r#"{{"steps":"stringify:data","types":"sha3-256","value":"{name}"}}"#);
    let document = format!(r#"{{"data":{data},"hash":{hash},"meta":{{}}}}"#);
    let file = folder.path().join("document.json");
    std::fs::write(&file, format!("{document}\n")).expect("written");
    let file = file.to_str().expect("UTF-8");
    for _ in 0..2 {
        assert_eq!(webwallet(&["document", "put", file]).trim_end(), document);
    }
    assert_eq!(webwallet(&["document", "get", &name.to_string()]).trim_end(), document);
    let unknown = run(&["document", "get", &"0".repeat(64)], b"", &at);
    assert_eq!(unknown.status.code(), Some(1));
}

/// The first thing a newcomer runs.
#[test]
fn demo_shows_everything_and_ends_well() {
    let begun = Instant::now();
    let shown = done(&["demo"]);
    println!("webwallet demo took {:.2} s", begun.elapsed().as_secs_f64());
    let curls =
        shown.lines().filter(|line| line.trim_start().starts_with("$ curl -s http")).count();
    assert!(curls >= 4, "{shown}");
    for part in ["201: ", "200, replayed: ", "422 balance_below_min", "carol", "sum       0"] {
        assert!(shown.contains(part), "{part:?} in:\n{shown}");
    }
}

#[test]
fn what_explains_the_program_needs_nothing() {
    let script = done(&["completions", "bash"]);
    assert!(script.contains("complete -F _webwallet"), "{script}");
    assert!(done(&["man"]).starts_with(".ie"), "a page in roff");
    let settings = done(&["config", "show", "--json"]);
    assert!(settings.contains("body_bytes_in_flight_max") && settings.contains("domain"));
    settings.lines().for_each(|line| drop(json(line)));
    let listed = done(&["explain", "--json"]);
    let listed = listed.lines().map(|line| json(line)["code"].as_str().unwrap_or("").to_owned());
    let rejections = Code::ALL.iter().map(|code| code.as_str().to_owned());
    assert!(
        listed.take(Code::ALL.len()).eq(rejections),
        "every code of a rejection, in their order"
    );
    let explained = json(done(&["explain", "balance_below_min", "--json"]).trim_end());
    assert_eq!(
        (&explained["code"], &explained["status"]),
        (&"balance_below_min".into(), &422.into())
    );
    for member in ["title", "retry", "cause", "cure", "example"] {
        assert!(explained[member].as_str().is_some_and(|text| !text.is_empty()), "{explained}");
    }
    for wrong in [&["serve", "--no-such-flag"][..], &["no-such-command"]] {
        let output = run(wrong, b"", &[]);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        assert!(output.stdout.is_empty() && text(&output.stderr).contains("no-such-"), "{wrong:?}");
    }
}

/// A signed IOU is money on paper: what may still be cleared is not thrown away.
#[test]
fn what_may_clear_later_stays_in_the_outbox() {
    let data = tempfile::tempdir().expect("a folder");
    let server = Process::all(data.path(), &[]);
    let home = tempfile::tempdir().expect("a folder");
    let (url, folder) = (server.url(), home.path().to_str().expect("UTF-8"));
    let variables = [("WEBWALLET_HOME", folder), ("WEBWALLET_URL", url.as_str())];
    let bob = party("bob").address.to_string();
    let pay = ["--from", "alice", "--to", bob.as_str(), "--amount", "1", "--json"];
    let outbox = || outbox(home.path());
    for name in ["alice", "carol"] {
        assert!(run(&["key", "new", name], b"", &variables).status.success());
    }
    // Only asked for: nothing clears, and nothing is kept.
    let command = [&["issue", "--dry-run"][..], &pay].concat();
    let asked = run(&command, b"", &variables);
    assert_eq!(asked.status.code(), Some(0), "{}", text(&asked.stderr));
    assert_eq!(json(text(&asked.stdout))["outputs"][1]["balance"]["net"], "1");
    let shown = run(&command[..command.len() - 1], b"", &variables);
    assert!(text(&shown.stdout).contains("\nwould clear  alice -1, "), "{}", text(&shown.stdout));
    assert_eq!(get(&agent(), &url, "/transaction/1").status, 404);
    // Never to be cleared as it is; cleared: neither is kept.
    let command = [&["pay", "--unit", "carol"][..], &pay].concat();
    let refused = run(&command, b"", &variables);
    assert_eq!(json(text(&refused.stdout))["code"], "balance_below_min");
    // It is signed all the same, and somebody has it.
    assert!(text(&refused.stderr).contains("stays good until 20"), "{}", text(&refused.stderr));
    assert!(run(&[&["issue"][..], &pay].concat(), b"", &variables).status.success());
    assert_eq!(outbox(), [] as [PathBuf; 0]);
    // Not yet: kept, and the next attempt is named and keeps it as well.
    let command = [&["issue", "--active", "2099-01-01T00:00:00.000Z"][..], &pay].concat();
    let command = [&command[..], &["--expiry", "2099-01-02T00:00:00.000Z"]].concat();
    let refused = run(&command, b"", &variables);
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused.stderr));
    let problem = json(text(&refused.stdout));
    assert_eq!((&problem["code"], &problem["retry"]), (&"not_yet_active".into(), &"later".into()));
    let kept = outbox();
    assert_eq!(kept.len(), 1);
    let file = kept[0].to_str().expect("UTF-8");
    assert!(text(&refused.stderr).contains(&format!("webwallet post {file}")));
    assert_eq!(run(&["post", file], b"", &variables).status.code(), Some(1));
    assert_eq!(outbox(), kept);
    // Paid once more both would clear; and nobody is in doubt about this one.
    let again = run(&command, b"", &variables);
    assert_eq!((again.status.code(), outbox()), (Some(2), kept), "{again:?}");
    let told = text(&again.stderr);
    assert!(told.contains("it clears from 2099-01-01") && !told.contains("nobody knows"), "{told}");
}

/// A server whose clock is far behind, or a wallet whose clock is far ahead: what was signed clears
/// by itself once its expiry is near enough, beside what was paid in its place.
#[test]
fn what_expires_too_far_from_now_is_kept_and_not_paid_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let (clock, home) = (folder.path().join("clock"), folder.path().join("home"));
    std::fs::write(&clock, "2010-01-01T00:00:00.000Z").expect("a clock");
    let clocked = ["--test-clock", clock.to_str().expect("UTF-8")];
    let server = Process::all(&folder.path().join("data"), &clocked);
    let url = server.url();
    let variables =
        [("WEBWALLET_HOME", home.to_str().expect("UTF-8")), ("WEBWALLET_URL", url.as_str())];
    assert!(run(&["key", "new", "alice"], b"", &variables).status.success());
    let bob = party("bob").address.to_string();
    let pay = ["issue", "--from", "alice", "--to", bob.as_str(), "--amount", "1"];
    let issue = |more: &[&str]| run(&[&pay[..], more].concat(), b"", &variables);
    let refused = issue(&[]);
    assert!(text(&refused.stdout).contains("expiry_too_far"), "{refused:?}");
    let kept = outbox(&home);
    assert_eq!(kept.len(), 1, "{refused:?}");
    let file = kept[0].to_str().expect("UTF-8");
    assert!(text(&refused.stderr).contains(&format!("webwallet post {file}")), "{refused:?}");
    let again = issue(&[]);
    assert!(text(&again.stderr).contains("--once-more"), "{again:?}");
    // The same in a file of one's own is not kept, and told.
    let elsewhere = folder.path().join("iou.json");
    std::fs::copy(file, &elsewhere).expect("copied");
    let refused = run(&["post", elsewhere.to_str().expect("UTF-8")], b"", &variables);
    assert!(text(&refused.stderr).contains("once its expiry is near enough"), "{refused:?}");
    // The clock is put right.
    std::fs::write(folder.path().join("now"), now().to_string())
        .and_then(|()| std::fs::rename(folder.path().join("now"), &clock))
        .expect("a clock");
    let cleared = run(&["post", file], b"", &variables);
    assert_eq!((cleared.status.code(), outbox(&home).len()), (Some(0), 0), "{cleared:?}");
    // Where the wallet's clock was wrong, it is known from when on it clears.
    let far = now().plus_days(3_700).to_string();
    let [kept, domain] = [file, "example.net"];
    let offline = ["--expiry", &far, "--offline", "--domain", domain, "-o", kept];
    assert_eq!(issue(&offline).status.code(), Some(0));
    let waits = issue(&[]);
    let told = text(&waits.stderr);
    assert!(told.contains("it clears from 20") && told.contains("--once-more"), "{told}");
}

/// Whoever takes for paid what can never clear learns of it when it is too late; and an IOU
/// that others have signed is in no other place than its file.
#[test]
fn what_is_over_is_not_signed_and_what_is_signed_is_not_replaced() {
    let home = tempfile::tempdir().expect("a folder");
    let variables = [("WEBWALLET_HOME", home.path().to_str().expect("UTF-8"))];
    assert!(run(&["key", "new", "alice"], b"", &variables).status.success());
    let bob = party("bob").address.to_string();
    let issue = |more: &[&str]| {
        let pay = ["issue", "--from", "alice", "--to", bob.as_str(), "--amount", "1"];
        run(&[&pay[..], &["--domain", "example.net", "--json"], more].concat(), b"", &variables)
    };
    for (flag, time, code) in [
        ("--expiry", "2020-01-01T00:00:00Z", "expired"),
        ("--until", "2020-01-01T00:00:00Z", "lock_closed"),
        // Refused today, it would clear one day for whoever has seen it.
        ("--expiry", "2200-01-01T00:00:00Z", "expiry_too_far"),
    ] {
        let refused = issue(&[flag, time]);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        assert_eq!(json(text(&refused.stdout))["code"], code);
        assert!(!home.path().join("outbox").exists(), "{flag}");
    }
    // Whose unit it is does not become until when it is locked.
    let refused = issue(&["--unit", "bob"]);
    let told = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(told.contains("webwallet pay --unit") && !told.contains("'--until'"), "{told}");
    let file = home.path().join("iou.json");
    let offline = ["--offline", "-o", file.to_str().expect("UTF-8")];
    assert_eq!(issue(&offline).status.code(), Some(0));
    let signed = std::fs::read(&file).expect("an IOU");
    let refused = issue(&offline);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(text(&refused.stderr).contains("something else"), "{refused:?}");
    assert_eq!(std::fs::read(&file).expect("an IOU"), signed);
}

/// A proxy would ask its own machine in place of this one; and whoever runs it would have the
/// operator's token.
#[test]
fn no_proxy_is_between_a_command_and_its_own_server() {
    let data = tempfile::tempdir().expect("a folder");
    let server = Process::all(&data.path().join("data"), &[]);
    let (url, admin) = (server.url(), server.line["admin"].as_str().expect("an address"));
    let admin = format!("http://{admin}");
    // Nobody answers there.
    let proxy = "http://127.0.0.1:1";
    let proxies = [("ALL_PROXY", proxy), ("HTTP_PROXY", proxy), ("NO_PROXY", "")];
    let code = |arguments: &[&str]| run(arguments, b"", &proxies).status.code();
    assert_eq!(code(&["health", "--url", &url]), Some(0));
    assert_eq!(code(&["seal", "--admin", &admin]), Some(0));
    assert_eq!(code(&["checkpoint", "--url", &url]), Some(0));
    assert_eq!(code(&["demo"]), Some(0));
    let audited = Command::new(binary().with_file_name("webwallet-audit"))
        .args([url.as_str(), "--key", server.line["key"].as_str().expect("a key")])
        .envs(proxies)
        .output()
        .expect("it runs");
    assert!(audited.status.success(), "{audited:?}");
    // An address that is not known to be of this machine, and leads to it.
    let [elsewhere, its_admin] = [&url, &admin].map(|url| url.replace("127.0.0.1", "0.0.0.0"));
    assert_eq!(code(&["checkpoint", "--url", &elsewhere]), Some(2), "the proxy is asked");
    assert_eq!(code(&["health", "--url", &elsewhere]), Some(0));
    // It is the server that answers: its operator must call it by a name of its own.
    assert_eq!(code(&["seal", "--admin", &its_admin]), Some(1));
}

/// Two addresses stand in the first line of a server; who takes the wrong one is told which is
/// right, and does not look for a command that seems to be gone.
#[test]
fn a_command_for_the_admin_listener_is_told_where_it_belongs() {
    let data = tempfile::tempdir().expect("a folder");
    let server = Process::all(&data.path().join("data"), &[]);
    for command in ["seal", "rotate-log-key"] {
        let refused = run(&[command, "--json", "--admin", &server.url()], b"", &[]);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        assert_eq!(json(text(&refused.stdout))["code"], "not_found");
        let told = text(&refused.stderr);
        assert!(told.contains("no admin listener") && told.contains("--admin"), "{told}");
        assert!(told.contains(&server.url()), "{told}");
    }
}

/// Who writes an address by heart is told which scheme it has, and not what a library made of
/// bytes that it did not expect.
#[test]
fn an_address_with_the_wrong_scheme_is_told_the_right_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = |name: &str| folder.path().join(name).display().to_string();
    let key = rcgen::KeyPair::generate().expect("a key");
    let names = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("parameters");
    let certificate = names.self_signed(&key).expect("a certificate");
    std::fs::write(place("cert"), certificate.pem()).expect("written");
    std::fs::write(place("key"), key.serialize_pem()).expect("written");
    let tls = ["--tls-cert", &place("cert"), "--tls-key", &place("key")];
    let plain = Process::all(&folder.path().join("plain"), &[]);
    let secret = Process::all(&folder.path().join("secret"), &tls);
    let admin = format!("http://{}", plain.line["admin"].as_str().expect("an address"));
    let https = |url: &str| url.replace("http://", "https://");
    for (url, admin, scheme) in
        [(https(&plain.url()), https(&admin), "http://"), (secret.url(), secret.url(), "https://")]
    {
        let commands: [&[&str]; 3] = [
            &["checkpoint", "--url", &url],
            &["events", "--url", &url],
            &["seal", "--admin", &admin],
        ];
        for command in commands {
            let failed = run(command, b"", &[]);
            assert_eq!(failed.status.code(), Some(2), "{command:?}: {failed:?}");
            let cure = format!("begin the address with {scheme}");
            assert!(text(&failed.stderr).contains(&cure), "{command:?}: {failed:?}");
        }
    }
}

/// Nobody knows what became of a payment: whoever pays anew may pay twice.
#[test]
fn a_payment_whose_fate_is_unknown_is_asked_for_and_not_paid_anew() {
    let home = tempfile::tempdir().expect("a folder");
    let variables = [("WEBWALLET_HOME", home.path().to_str().expect("UTF-8"))];
    assert!(run(&["key", "new", "alice"], b"", &variables).status.success());
    let bob = party("bob").address.to_string();
    let outbox = || outbox(home.path());
    // It takes the request, and is gone.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let nowhere = format!("http://{}", silent.local_addr().expect("an address"));
    std::thread::spawn(move || silent.incoming().for_each(drop));
    let issue = |url: &str, domain: &str, more: &[&str]| {
        let pay = ["issue", "--from", "alice", "--to", bob.as_str(), "--amount", "1"];
        run(&[&pay[..], &["--url", url, "--domain", domain], more].concat(), b"", &variables)
    };
    let lost = issue(&nowhere, "example.net", &[]);
    assert_eq!(lost.status.code(), Some(2), "{}", text(&lost.stdout));
    let kept = outbox();
    let file = kept[0].to_str().expect("UTF-8");
    assert!(text(&lost.stderr).contains(&format!("webwallet post {file} --url {nowhere}")));
    let again = issue(&nowhere, "example.net", &[]);
    assert_eq!((again.status.code(), outbox()), (Some(2), kept.clone()));
    assert!(text(&again.stderr).contains("--once-more"), "{}", text(&again.stderr));
    // The same money in other digits is the same payment.
    let digits = ["issue", "--from", "alice", "--to", bob.as_str(), "--amount", "1.0"];
    let digits = [&digits[..], &["--url", &nowhere, "--domain", "example.net"]].concat();
    assert_eq!(run(&digits, b"", &variables).status.code(), Some(2));
    assert_eq!(outbox(), kept);
    // One that has expired may have cleared before.
    let iou = std::fs::read_to_string(&kept[0]).expect("the IOU");
    let expiry = json(&iou)["data"]["expiry"].as_str().expect("a time").to_owned();
    std::fs::write(&kept[0], iou.replace(&expiry, "2020-01-01T00:00:00.000Z")).expect("changed");
    assert_eq!(issue(&nowhere, "example.net", &[]).status.code(), Some(2));
    assert_eq!(outbox(), kept);
    std::fs::write(&kept[0], iou).expect("changed back");
    // Another payment is another one; and who means it pays once more.
    issue(&nowhere, "example.org", &[]);
    issue(&nowhere, "example.net", &["--once-more"]);
    assert_eq!(outbox().len(), 3);
    // A server that it was not written for says nothing of what became of it.
    let data = tempfile::tempdir().expect("a folder");
    let server = Process::all(data.path(), &[]);
    for file in outbox() {
        let path = file.to_str().expect("UTF-8");
        let posted = run(&["post", path, "--url", &server.url()], b"", &variables);
        let ours = !text(&posted.stdout).contains("wrong_domain");
        // Nor is it posted there again.
        assert!(ours || !text(&posted.stderr).contains(&server.url()), "{posted:?}");
        assert_eq!((posted.status.success(), file.exists()), (ours, !ours), "{posted:?}");
    }
    assert_eq!(outbox().len(), 1);
    // A server that has moved is not followed: a POST would arrive as something else.
    let moved = TcpListener::bind("127.0.0.1:0").expect("a port");
    let old = format!("http://{}", moved.local_addr().expect("an address"));
    let place = server.url();
    std::thread::spawn(move || {
        for stream in moved.incoming() {
            let mut stream = stream.expect("a connection");
            let answer = format!(
                "HTTP/1.1 301 Moved\r\nlocation: {place}/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            );
            assert!(stream.read(&mut [0; 65_536]).expect("a request") > 0);
            stream.write_all(answer.as_bytes()).expect("answered");
        }
    });
    let told = issue(&old, "example.net", &[]);
    assert_eq!(told.status.code(), Some(2));
    assert!(
        text(&told.stderr).contains(&format!("it has moved to \"{}/\"", server.url())),
        "{}",
        text(&told.stderr)
    );
    assert_eq!(outbox().len(), 2);
}

/// Who has lost patience does not know that the payment may still clear, and pays once more.
#[test]
fn a_payment_that_is_ended_before_its_answer_says_where_it_is_kept() {
    use std::os::unix::process::ExitStatusExt as _;
    let bob = party("bob").address.to_string();
    for (signal, number) in [("-INT", 2), ("-TERM", 15)] {
        let home = tempfile::tempdir().expect("a folder");
        let folder = home.path().to_str().expect("UTF-8");
        assert!(run(&["key", "new", "alice", "--home", folder], b"", &[]).status.success());
        // It takes the request, and says nothing.
        let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", silent.local_addr().expect("an address"));
        let pay = ["issue", "--from", "alice", "--to", &bob, "--amount", "1", "--home", folder];
        // Whoever runs this in the background may have SIGINT ignored.
        let mut command = Command::new("env");
        command.arg("--default-signal=INT").arg(binary());
        command.args([&pay[..], &["--url", &url, "--domain", "example.net"]].concat());
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let paying = command.spawn().expect("it starts");
        let (mut asked, _) = silent.accept().expect("a connection");
        assert!(asked.read(&mut [0; 65_536]).expect("a request") > 0);
        let sent = Command::new("kill").args([signal, &paying.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
        let ended = paying.wait_with_output().expect("it ends");
        // So that a loop of a shell ends with it.
        assert_eq!(ended.status.signal(), Some(number), "{ended:?}");
        let file = outbox(home.path()).remove(0);
        let again = format!("webwallet post {} --url {url}", file.display());
        let told = text(&ended.stderr);
        assert!(told.contains(&again) && told.lines().count() == 1, "{signal}: {told}");
    }
}

/// What comes through a pipe is nowhere else: without its answer, whoever signs anew pays twice.
#[test]
fn what_is_piped_is_kept_until_its_answer_is_there() {
    let home = tempfile::tempdir().expect("a folder");
    let variables = [("WEBWALLET_HOME", home.path().to_str().expect("UTF-8"))];
    assert!(run(&["key", "new", "alice"], b"", &variables).status.success());
    let bob = party("bob").address.to_string();
    let pay = ["issue", "--from", "alice", "--to", bob.as_str(), "--amount", "1"];
    let pay = [&pay[..], &["--domain", "example.net"]].concat();
    let signed = run(&[&pay[..], &["--offline"]].concat(), b"", &variables).stdout;
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port");
    let nowhere = format!("http://{}", closed.local_addr().expect("an address"));
    drop(closed);
    let outbox = || outbox(home.path());
    for _ in 0..2 {
        let lost = run(&["post", "-", "--url", &nowhere], &signed, &variables);
        assert_eq!((lost.status.code(), outbox().len()), (Some(2), 1));
        let file = outbox().remove(0);
        let again = format!("webwallet post {} --url {nowhere}", file.display());
        assert!(text(&lost.stderr).contains(&again), "{}", text(&lost.stderr));
    }
    // And it is not signed a second time unasked.
    let anew = run(&[&pay[..], &["--url", &nowhere]].concat(), b"", &variables);
    assert!(text(&anew.stderr).contains("--once-more"), "{}", text(&anew.stderr));
    let data = tempfile::tempdir().expect("a folder");
    let server = Process::all(data.path(), &[]);
    let kept = outbox().remove(0);
    let posted = run(&["post", "-", "--url", &server.url()], &signed, &variables);
    assert!(posted.status.success() && !kept.exists(), "{posted:?}");
    // A broken producer has paid nothing.
    let none = run(&["batch", "-", "--url", &server.url()], b"\n", &variables);
    assert_eq!(none.status.code(), Some(2), "{}", text(&none.stdout));
}

/// A payee has what was piped in no other place: what never cleared must not go with what did, nor
/// with a balance that changes.
#[test]
fn what_is_piped_and_refused_is_kept_while_it_may_clear() {
    let data = tempfile::tempdir().expect("a folder");
    let server = Process::all(&data.path().join("data"), &[]);
    let url = server.url();
    let home = data.path().join("home");
    let variables = [("WEBWALLET_HOME", home.to_str().expect("UTF-8"))];
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(party);
    let issued =
        |source: &Party, note| draft(source, &bob, source, "10", note).sign(&source.secret);
    let (first, second) = (issued(&alice, "first"), issued(&carol, "second"));
    let posted = |ious: &[&[u8]]| {
        let (ious, post) = (ious.concat(), ["post", "-", "--url", &url]);
        let output = run(&post, &ious, &variables);
        (output.status.code(), text(&output.stdout).to_owned(), text(&output.stderr).to_owned())
    };
    assert_eq!(posted(&[&first]).0, Some(0));
    let (code, refused, told) = posted(&[&first, &second]);
    assert_eq!((code, outbox(&home).len()), (Some(1), 2), "{refused}{told}");
    assert!(refused.contains("iou_already_cleared"), "{refused}");
    // As it is printed, each on its own: the one cleared before, the other clears now.
    let commands: Vec<&str> = told
        .lines()
        .filter_map(|line| line.split_once("post "))
        .map(|(_, rest)| rest)
        .filter(|rest| rest.contains(" --url "))
        .collect();
    assert_eq!(commands.len(), 2, "{told}");
    for command in commands {
        let command: Vec<&str> = command.split(' ').collect();
        let done = run(&[&["post"][..], &command].concat(), b"", &variables);
        assert_eq!(done.status.code(), Some(0), "{done:?}");
    }
    assert_eq!(outbox(&home), [] as [PathBuf; 0]);
    assert_eq!(get(&agent(), &url, "/transaction/2").status, 200);
    // carol has nothing of alice's unit yet.
    let early = draft(&carol, &bob, &alice, "1", "early").sign(&carol.secret);
    let (code, refused, told) = posted(&[&early]);
    assert!(code == Some(1) && refused.contains("balance_below_min"), "{refused}");
    assert_eq!(outbox(&home).len(), 1, "{told}");
    assert!(told.contains("it is kept"), "{told}");
    let funds = draft(&alice, &carol, &alice, "1", "funds").sign(&alice.secret);
    assert_eq!(post(&agent(), &url, &body_of([funds.as_slice()])).expect("an answer").status, 201);
    let file = outbox(&home).remove(0);
    let done = run(&["post", file.to_str().expect("UTF-8"), "--url", &url], b"", &variables);
    assert_eq!((done.status.code(), outbox(&home).len()), (Some(0), 0), "{done:?}");
    // What never clears is forgotten.
    let forged = text(&issued(&alice, "forged")).replace("\"amount\":\"10\"", "\"amount\":\"11\"");
    assert_eq!((posted(&[forged.as_bytes()]).0, outbox(&home).len()), (Some(1), 0));
    // A batch may be larger than what can be kept: who pipes it is told.
    let requests = body_of([first.as_slice()]);
    server.kill();
    for (file, told) in [("-", "kept nowhere"), ("requests", "post the same again")] {
        let place = data.path().join(file);
        std::fs::write(&place, &requests).expect("written");
        let file = if file == "-" { file } else { place.to_str().expect("UTF-8") };
        let lost = run(&["batch", file, "--url", &url], &requests, &variables);
        assert_eq!(lost.status.code(), Some(2), "{lost:?}");
        assert!(text(&lost.stderr).contains(told), "{lost:?}");
    }
}

/// A refusal for each line of a request that was only written over many says nothing of what is
/// wrong; nor does one of a key that is right in what it stands in.
#[test]
fn a_batch_of_something_else_is_told_what_it_is() {
    let data = tempfile::tempdir().expect("a folder");
    let server = Process::all(&data.path().join("data"), &[]);
    let url = server.url();
    let (alice, bob) = (party("alice"), party("bob"));
    let iou = draft(&alice, &bob, &alice, "1", "one").sign(&alice.secret);
    let request: Value = json(text(&body_of([iou.as_slice()])));
    let pretty = serde_json::to_vec_pretty(&request).expect("JSON");
    let refused = run(&["batch", "-", "--url", &url], &pretty, &[]);
    assert_eq!((refused.status.code(), text(&refused.stdout)), (Some(2), ""), "{refused:?}");
    let told = text(&refused.stderr);
    assert!(told.contains("one whole request") && told.contains("jq -c"), "{told}");
    let refused = run(&["batch", "-", "--url", &url], &iou, &[]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(text(&refused.stdout).contains("this is an IOU"), "{refused:?}");
    // What is wrong in a request is named by its place.
    let wrong = text(&body_of([iou.as_slice()])).replace("\"amount\":", "\"amuont\":");
    let refused = run(&["batch", "-", "--url", &url], wrong.as_bytes(), &[]);
    assert!(text(&refused.stdout).contains(") at /data/inputs/0/data/amuont"), "{refused:?}");
    // An array may be written as one likes.
    let pretty = serde_json::to_vec_pretty(&[&request]).expect("JSON");
    let cleared = run(&["batch", "-", "--url", &url], &pretty, &[]);
    assert_eq!(cleared.status.code(), Some(0), "{cleared:?}");
}

/// A receipt that takes the place of something else may cost a key, or the only other proof.
#[test]
fn a_receipt_takes_the_place_of_no_other_file() {
    let home = tempfile::tempdir().expect("a folder");
    let variables = [("WEBWALLET_HOME", home.path().to_str().expect("UTF-8"))];
    assert!(run(&["key", "new", "alice"], b"", &variables).status.success());
    let data = tempfile::tempdir().expect("a folder");
    let server = Process::all(data.path(), &[]);
    let url = server.url();
    let bob = party("bob").address.to_string();
    for amount in ["1", "2"] {
        let pay = ["issue", "--from", "alice", "--to", &bob, "--amount", amount, "--url", &url];
        assert!(run(&pay, b"", &variables).status.success());
    }
    let code = |record: &str, file: &Path| {
        let file = file.to_str().expect("UTF-8");
        run(&["receipt", record, "-o", file, "--url", &url], b"", &variables).status.code()
    };
    let (key, proof) = (home.path().join("keys/alice.json"), home.path().join("proof"));
    let secret = std::fs::read(&key).expect("a key");
    assert_eq!((code("1", &key), std::fs::read(&key).expect("a key")), (Some(2), secret));
    assert_eq!(code("1", &proof), Some(0));
    let first = std::fs::read(&proof).expect("a receipt");
    assert_eq!((code("2", &proof), std::fs::read(&proof).expect("there")), (Some(2), first));
    assert_eq!(code("1", &proof), Some(0), "a newer one of the same record");
    // An operator who copies the address of the first line.
    let admin = server.line["admin"].as_str().expect("an address");
    assert!(run(&["seal", "--admin", admin], b"", &[]).status.success());
    // A backup that grows into itself ends with the disk that it was to outlive.
    let [inside, of] = [data.path().join("backup"), data.path().to_owned()];
    let of = ["--data", of.to_str().expect("UTF-8"), "--domain", "example.net"];
    let inside_of = [&["backup", inside.to_str().expect("UTF-8")], &of[..]].concat();
    let refused = run(&inside_of, b"", &[]);
    assert!(text(&refused.stderr).contains("name another folder"), "{refused:?}");
    assert!(!inside.exists());
}

/// What cannot be read may be the very payment that is about to be made again.
#[test]
fn what_cannot_be_read_in_the_outbox_is_looked_at_before_anything_is_paid() {
    let home = tempfile::tempdir().expect("a folder");
    let variables = [("WEBWALLET_HOME", home.path().to_str().expect("UTF-8"))];
    assert!(run(&["key", "new", "alice"], b"", &variables).status.success());
    let (bob, outbox) = (party("bob").address.to_string(), home.path().join("outbox"));
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port");
    let nowhere = format!("http://{}", closed.local_addr().expect("an address"));
    drop(closed);
    let issue = || {
        let pay = ["issue", "--from", "alice", "--to", &bob, "--amount", "1"];
        let at = ["--url", &nowhere, "--domain", "example.net"];
        let output = run(&[&pay[..], &at].concat(), b"", &variables);
        (output.status.code(), text(&output.stdout).len(), text(&output.stderr).to_owned())
    };
    std::fs::create_dir(&outbox).expect("made");
    let entry = outbox.join("entry.json");
    let kinds: [&dyn Fn(); 3] = [
        &|| std::fs::write(&entry, "{\"data\":").expect("written"),
        &|| std::fs::write(&entry, "{}").expect("written"),
        &|| assert!(Command::new("mkfifo").arg(&entry).status().expect("it runs").success()),
    ];
    for (n, make) in kinds.into_iter().enumerate() {
        make();
        let (code, signed, told) = issue();
        assert_eq!((code, signed), (Some(2), 0), "{n}: {told}");
        assert!(told.contains("entry.json") && told.contains("--once-more"), "{n}: {told}");
        std::fs::remove_file(&entry).expect("removed");
    }
    // What was never whole was never sent.
    std::fs::write(outbox.join(".tmp1234"), "{\"data\":").expect("written");
    assert!(issue().1 > 0, "it is signed");
}

/// Scripts go by the exit status, whether somebody reads or not.
#[test]
fn what_was_refused_is_refused_without_a_reader_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let forged = folder.path().join("forged.json");
    std::fs::write(&forged, "{}\n{}\n").expect("written");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let status = Command::new(binary())
        .args(["iou", "verify"])
        .arg(&forged)
        .stdout(writer)
        .status()
        .expect("it runs");
    assert_eq!(status.code(), Some(1));
    // And nothing is not valid.
    for nothing in ["", "[]", r#"{"data":{"inputs":[]}}"#] {
        let output = run(&["iou", "verify", "-"], nothing.as_bytes(), &[]);
        assert_eq!(output.status.code(), Some(2), "{nothing}: {}", text(&output.stdout));
        let told = text(&output.stderr);
        assert!(told.contains("no IOU in standard input") && told.contains("--offline"), "{told}");
    }
}

/// A setting that is lost is the default one; one that holds a password is shown to all.
#[test]
fn settings_are_neither_lost_nor_shown_with_a_password() {
    use std::os::unix::ffi::OsStrExt as _;
    let folder = std::ffi::OsStr::from_bytes(b"/srv/caf\xe9");
    let output =
        Command::new(binary()).args(["config", "show"]).env("WEBWALLET_DATA", folder).output();
    let output = output.expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("WEBWALLET_DATA is not UTF-8"),
        "{}",
        text(&output.stderr)
    );
    let secret = [("WEBWALLET_NEO4J", "bolt://neo4j:secret@host:7687")];
    let output = run(&["config", "show"], b"", &secret);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), ""));
    assert!(!text(&output.stderr).contains("secret@"), "{}", text(&output.stderr));
}

/// Who looks for a setting finds it, also before it is set; and one that is set by a
/// variable is not the default after all.
#[test]
fn every_setting_is_listed_and_taken_from_its_variable() {
    let shown = |variables: &[(&str, &str)]| {
        let output = run(&["config", "show", "--json"], b"", variables);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        json(text(&output.stdout))
    };
    let settings = shown(&[]);
    for name in ["redis", "neo4j_password_file", "tls_ca_file", "test_clock", "metrics"] {
        assert_eq!(settings[name]["value"], Value::Null, "{name} in {settings}");
        assert_eq!(settings[name]["from"], "default", "{name} in {settings}");
    }
    let listed = done(&["config", "show"]);
    let redis = listed.lines().find(|line| line.starts_with("redis ")).expect("a line");
    assert!(redis.contains("(not set)"), "{redis}");
    let clock = shown(&[("WEBWALLET_TEST_CLOCK", "/run/clock")])["test_clock"].clone();
    assert_eq!((&clock["value"], &clock["from"]), (&"/run/clock".into(), &"environment".into()));
    // What our tests are told must not stop the servers that they start.
    shown(&[("WEBWALLET_TEST_ENGINE", "x")]);
}

/// A key that cannot be used is no reason to lose sight of all others.
#[test]
fn keys_are_listed_beside_one_that_cannot_be_used() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = tempfile::tempdir().expect("a folder");
    let variables = [("WEBWALLET_HOME", home.path().to_str().expect("UTF-8"))];
    for name in ["alice", "bob"] {
        assert!(run(&["key", "new", name], b"", &variables).status.success());
    }
    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(home.path().join("keys/alice.json"), open).expect("changed");
    let listed = run(&["key", "list", "--json"], b"", &variables);
    assert_eq!(
        (listed.status.code(), &json(text(&listed.stdout))["name"]),
        (Some(0), &"bob".into())
    );
    assert!(text(&listed.stderr).contains("cannot use the key alice"), "{}", text(&listed.stderr));
}

/// Whoever is told that an IOU was used twice need not believe the server.
#[test]
fn a_conflict_is_verified_without_a_server() {
    let data = tempfile::tempdir().expect("a folder");
    let server = Process::all(data.path(), &[]);
    let (alice, bob) = (party("alice"), party("bob"));
    let iou = |note| draft(&alice, &bob, &alice, "1", note).sign(&alice.secret);
    let both = body_of([iou("a").as_slice(), iou("b").as_slice()]);
    assert_eq!(post(&agent(), &server.url(), &both).expect("an answer").status, 201);
    // Formatted as its sender likes; what was signed is the same.
    let half =
        String::from_utf8(body_of([iou("c").as_slice(), iou("a").as_slice()])).expect("UTF-8");
    let refused = post(&agent(), &server.url(), half.replace(",\"", " ,\n\"").as_bytes());
    let refused = refused.expect("an answer");
    assert_eq!((refused.status, refused.code().as_str()), (409, "iou_already_cleared"));
    server.kill();
    let verify = |refusal: &[u8]| {
        let output = run(&["verify-conflict", "-", "--json"], refusal, &[]);
        (output.status.code(), json(text(&output.stdout)))
    };
    let (code, verdict) = verify(&refused.body);
    assert_eq!((code, &verdict["valid"], &verdict["number"]), (Some(0), &true.into(), &"1".into()));
    let used = json(text(&iou("a")))["hash"]["value"].clone();
    assert_eq!(verdict["ious"], serde_json::json!([used]));
    let said = run(&["verify-conflict", "-"], &refused.body, &[]);
    assert!(text(&said.stdout).starts_with("confirmed: record 1 "), "{}", text(&said.stdout));
    // What somebody made up is not confirmed.
    let original = refused.json();
    let forged = |change: &dyn Fn(&mut Value)| {
        let mut refusal = original.clone();
        change(&mut refusal["conflict"]);
        verify(refusal.to_string().as_bytes())
    };
    let signature = "/data/inputs/1/meta/signatures/0/string";
    let forgeries: [&dyn Fn(&mut Value); 4] = [
        &|c| *c["sent"].pointer_mut(signature).expect("there") = "00".repeat(64).into(),
        &|c| drop(c["sent"]["data"]["inputs"].as_array_mut().expect("inputs").pop()),
        &|c| c["cleared"]["data"]["number"] = "2".into(),
        &|c| c["sent"]["data"]["inputs"] = c["cleared"]["meta"]["inputs"].clone(),
    ];
    for (n, forgery) in forgeries.into_iter().enumerate() {
        let (code, verdict) = forged(forgery);
        assert_eq!((code, &verdict["valid"]), (Some(1), &false.into()), "forgery {n}");
    }
}

/// Told that stores are sound which nobody uses, an operator stops looking.
#[test]
fn stores_that_nobody_uses_are_neither_made_nor_sound() {
    let folder = tempfile::tempdir().expect("a folder");
    let nowhere = folder.path().join("nowhere");
    let data = nowhere.to_str().expect("UTF-8");
    let service = ["--role", "blockstack", "--graphstore", "http://127.0.0.1:1", "--hashtable"];
    let service = [&service[..], &["http://127.0.0.1:1"]].concat();
    for (more, why) in
        [(&[][..], "the settings of that server"), (&service, "the stores themselves")]
    {
        for command in [&["fsck"][..], &["rebuild", "log"], &["rebuild", "graphstore"]] {
            let output = run(&[command, &["--data", data], more].concat(), b"", &[]);
            assert_eq!(output.status.code(), Some(2), "{command:?}: {}", text(&output.stdout));
            assert!(text(&output.stderr).contains(why), "{}", text(&output.stderr));
            assert!(!nowhere.exists(), "{command:?} made {data}");
        }
    }
}

/// The domain is for ever: a slip of the finger is not, while nothing has begun.
#[test]
fn a_start_that_is_refused_binds_no_data_directory() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let serve = ["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data"];
    let serve = [&serve[..], &[data.to_str().expect("UTF-8"), "--domain", "exmaple.net"]].concat();
    let clock = folder.path().join("clock");
    std::fs::write(&clock, "noon").expect("written");
    for wrong in [
        ["--redis", "redis://127.0.0.1:1"],
        ["--neo4j", "bolt://127.0.0.1:1"],
        ["--log-key", "/nowhere/log-key"],
        ["--test-clock", "/nowhere/clock"],
        ["--test-clock", clock.to_str().expect("UTF-8")],
    ] {
        let output = run(&[&serve[..], &wrong].concat(), b"", &[]);
        assert_eq!(output.status.code(), Some(1), "{wrong:?}: {}", text(&output.stderr));
    }
    let server = Process::of_domain(
        "example.net",
        &["--admin", "127.0.0.1:0", "--data", data.to_str().expect("UTF-8")],
    );
    assert_eq!(server.terminate(), Some(0));
}

/// Whoever takes a server for tests for a real one would trust its times.
#[test]
fn health_tells_of_a_test_clock() {
    let data = tempfile::tempdir().expect("a folder");
    let clock = data.path().join("clock");
    std::fs::write(&clock, "2026-01-01T00:00:00.000Z").expect("a clock");
    let clock = ["--test-clock", clock.to_str().expect("UTF-8")];
    for (more, expected) in [(&[][..], Value::Null), (&clock, Value::Bool(true))] {
        let server = Process::all(&data.path().join("data"), more);
        let health = get(&agent(), &server.url(), "/readyz");
        assert_eq!((health.status, &health.json()["test_clock"]), (200, &expected));
        assert_eq!(get(&agent(), &server.url(), "/livez").json(), json(r#"{"status":"alive"}"#));
    }
    // A gateway has no clock and seals nothing: it says what others say.
    let apart = get(&agent(), Sockets::apart().url(), "/readyz").json();
    assert_eq!(apart, json(r#"{"status":"ready","test_clock":true,"manual_seal":true}"#));
}

/// Whoever watches a server reads what its numbers mean beside them.
#[test]
fn every_number_at_metrics_is_explained() {
    let data = tempfile::tempdir().expect("a folder");
    let server = Process::all(data.path(), &[]);
    let (alice, bob) = (party("alice"), party("bob"));
    let iou = draft(&alice, &bob, &alice, "1", "a payment").sign(&alice.secret);
    let paid = post(&agent(), &server.url(), &body_of([iou.as_slice()])).expect("an answer");
    assert_eq!(paid.status, 201);
    let admin = format!("http://{}", server.line["admin"].as_str().expect("an address"));
    done(&["seal", "--admin", &admin]);
    let shown = get(&agent(), &admin, "/metrics").body;
    let shown = text(&shown);
    let names = shown.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let names: Vec<&str> = names.collect();
    for part in ["gateway", "graphstore", "hashtable", "blockstack"] {
        assert!(names.iter().any(|name| name.contains(part)), "{part}: {names:?}");
    }
    for name in names {
        assert!(shown.contains(&format!("# HELP {name} ")), "{name}");
    }
    // What has cleared and gets into no block shows, also from the first moment on.
    for service in ["graphstore", "blockstack"] {
        let newest = format!("webwallet_{service}_number 1");
        assert!(shown.lines().any(|line| line == newest), "{newest}: {shown}");
    }
}

/// Whoever keeps the documents apart must see when some of them are doubted or lost.
#[test]
fn a_role_without_rest_shows_its_metrics() {
    let data = tempfile::tempdir().expect("a folder");
    let data = data.path().to_str().expect("UTF-8");
    let role = ["--role", "hashtable", "--data", data];
    let server = Process::start(&[&role[..], &["--metrics", "127.0.0.1:0"]].concat());
    let metrics = format!("http://{}", server.line["admin"].as_str().expect("an address"));
    let shown = get(&agent(), &metrics, "/metrics");
    assert_eq!(shown.status, 200);
    assert!(text(&shown.body).contains("webwallet_"), "{}", text(&shown.body));
    assert_eq!(get(&agent(), &metrics, "/seal").status, 404);
    assert_eq!(server.terminate(), Some(0));
    let output = run(&["serve", "--metrics", "127.0.0.1:0", "--data", data], b"", &[]);
    assert_eq!(output.status.code(), Some(2), "a gateway has its admin listener");
}
