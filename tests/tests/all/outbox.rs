//! What a wallet has signed and nobody has answered: it is kept, and told of. If one of
//! these failed, somebody would pay twice, or lose what he was paid.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use webwallet_ledger::request::body_of;
use webwallet_tests::command::{json, run, text};
use webwallet_tests::party::{Party, draft, now, party};
use webwallet_tests::process::{Process, agent, binary, get, post};

/// The files in the outbox of a home.
pub(crate) fn outbox(home: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(home.join("outbox")).expect("the outbox");
    files.map(|file| file.expect("a file").path()).collect()
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
