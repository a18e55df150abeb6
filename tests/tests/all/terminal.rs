//! Commands and servers whose terminal has gone, whose disk is full, and that are
//! given files which are none.

use std::fs::{File, Permissions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use webwallet_tests::party::{issue, party};
use webwallet_tests::process::{Process, agent, binary, get, post};

fn full_disk() -> Stdio {
    Stdio::from(File::options().write(true).open("/dev/full").expect("/dev/full"))
}

/// A pipe that is full, and that nobody reads.
fn no_room() -> Stdio {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    // What a pipe of Linux holds (pipe(7)).
    writer.write_all(&[b'x'; 65_536]).expect("there is room");
    std::mem::forget(reader);
    writer.into()
}

/// The end of a pipe whose reader has gone.
fn no_reader() -> Stdio {
    let (_, writer) = std::io::pipe().expect("a pipe");
    Stdio::from(writer)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// A full disk under the log, a `tee` that was ended, or one that has stalled, must not stop
/// payments.
#[test]
fn a_server_whose_log_cannot_be_written_goes_on() {
    for (name, stderr) in
        [("full", full_disk as fn() -> Stdio), ("closed", no_reader), ("stalled", no_room)]
    {
        let data = tempfile::tempdir().expect("a folder");
        let mut command = Command::new(binary());
        command.stderr(stderr());
        let arguments = ["--admin", "127.0.0.1:0", "--data", text(data.path()), "--log", "debug"];
        let server = Process::start_by(command, &arguments);
        for n in 0..3 {
            let body = issue(&party("alice"), &party("bob"), "1", &format!("payment {n}"));
            let answer = post(&agent(), &server.url(), &body).expect("an answer");
            assert_eq!(answer.status, 201, "{name}");
        }
        // Sealed, too: every thread of it lives.
        let receipt = Command::new(binary())
            .args(["receipt", "3", "--url", &server.url()])
            .env("WEBWALLET_HOME", data.path().join("home"))
            .output();
        assert!(receipt.expect("it runs").status.success(), "{name}");
        assert_eq!(server.terminate(), Some(0), "{name}");
    }
}

/// A supervisor that has stalled could not end its server but by SIGKILL, with payments in flight.
#[test]
fn a_server_whose_first_line_nobody_reads_ends_in_order() {
    let data = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(binary());
    command.args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data"]);
    command.arg(data.path()).stdout(no_room()).stderr(Stdio::piped());
    let mut server = command.spawn().expect("it starts");
    let mut said = BufReader::new(server.stderr.take().expect("a pipe")).lines();
    assert!(said.any(|line| line.expect("UTF-8").contains("\"serving\"")));
    let sent = Command::new("kill").args(["-TERM", &server.id().to_string()]).status();
    assert!(sent.expect("kill runs").success());
    let (began, limit) = (Instant::now(), Duration::from_secs(60));
    let status = loop {
        if let Some(status) = server.try_wait().expect("a child") {
            break status;
        }
        if began.elapsed() > limit {
            server.kill().expect("killed");
        }
    };
    assert_eq!(status.code(), Some(0), "{status}");
}

/// A disk that fills with a line for each call to a store that is away takes the server with it;
/// and whoever reads the log must see that not all is there.
#[test]
fn what_is_said_again_and_again_is_left_out_and_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let mut command = Command::new(binary());
    command.stderr(File::create(&log).expect("a file"));
    let [graphstore, hashtable, blockstack] =
        ["http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3"];
    let services =
        ["--graphstore", graphstore, "--hashtable", hashtable, "--blockstack", blockstack];
    let gateway = ["--role", "gateway", "--admin", "127.0.0.1:0", "--log", "warn"];
    let server = Process::start_by(command, &[&gateway[..], &services].concat());
    let lines = |message: &str| -> Vec<Value> {
        let log = std::fs::read_to_string(&log).expect("UTF-8");
        let lines = log.lines().filter_map(|line| serde_json::from_str(line).ok());
        lines.filter(|line: &Value| line["message"] == message).collect()
    };
    let (agent, began) = (agent(), Instant::now());
    let mut asked = 0;
    // Of one second more is said in the next, which this has to reach.
    while lines("more of the same was left out").is_empty() {
        assert!(began.elapsed() < Duration::from_secs(60), "{asked} asked, and none left out");
        for _ in 0..50 {
            assert_eq!(get(&agent, &server.url(), "/transaction/1").status, 503);
            asked += 1;
        }
    }
    let (said, seconds) = (lines("a service failed"), began.elapsed().as_secs() + 1);
    assert!(said.iter().any(|line| line["call"] == "Graphstore.Record"), "{said:?}");
    assert!(said.len() as u64 <= 10 * (seconds + 1), "{} lines in {seconds} s", said.len());
    let left_out: u64 = lines("more of the same was left out")
        .iter()
        .map(|line| line["left_out"].as_u64().expect("a count"))
        .sum();
    // Three of each request, and one of the gateway's own: that Blockstack has gone.
    let most = 3 * asked + 1;
    assert!(left_out > 0 && said.len() as u64 + left_out <= most, "{left_out} of {most}");
    assert_eq!(server.terminate(), Some(0));
}

/// Whoever closes the terminal of a server, or has a new certificate taken up, cuts off nobody's
/// payment; and what was started to outlive its terminal does.
#[test]
fn a_server_that_is_hung_up_ends_in_order() {
    let data = tempfile::tempdir().expect("a folder");
    let hang_up = |server: &Process| {
        let sent = Command::new("kill").args(["-HUP", &server.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    };
    let server = Process::all(data.path(), &[]);
    hang_up(&server);
    // One that a signal has ended has no status.
    assert_eq!(server.terminate(), Some(0));
    let mut command = Command::new("nohup");
    command.arg(binary()).stderr(Stdio::null());
    let arguments = ["--admin", "127.0.0.1:0", "--data", text(data.path())];
    let server = Process::start_by(command, &arguments);
    hang_up(&server);
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id()));
    let status = status.expect("a process");
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = u64::from_str_radix(ignored.expect("a mask").trim(), 16).expect("a mask");
    assert_eq!(ignored & 1, 1, "SIGHUP is ignored still");
    let body = issue(&party("alice"), &party("bob"), "1", "after it");
    assert_eq!(post(&agent(), &server.url(), &body).expect("an answer").status, 201);
    assert_eq!(server.terminate(), Some(0));
}

/// A script goes by the exit status, whether our complaints can be read or not.
#[test]
fn commands_end_as_they_would_where_nobody_reads() {
    let folder = tempfile::tempdir().expect("a folder");
    let nowhere = folder.path().join("nowhere");
    let fsck = ["fsck", "--data", text(&nowhere)];
    let cases: [(&[&str], i32); 5] = [
        (&["balance", "nobody"], 2),
        (&["key", "list"], 0),
        (&fsck, 2),
        (&["explain", "no_such_code"], 2),
        (&["serve", "--domain", "BAD"], 2),
    ];
    for (arguments, expected) in cases {
        for (name, stderr) in [("full", full_disk as fn() -> Stdio), ("closed", no_reader)] {
            let mut command = Command::new(binary());
            command.args(arguments).env("WEBWALLET_HOME", &nowhere).stdout(Stdio::null());
            let status = command.stderr(stderr()).status().expect("it runs");
            assert_eq!(status.code(), Some(expected), "{arguments:?}, {name}");
        }
    }
}

/// A wallet that waits for ever, or takes all memory, is of no use to anybody.
#[test]
fn what_has_no_end_or_is_no_file_is_not_waited_for() {
    let home = tempfile::tempdir().expect("a folder");
    let timed = |arguments: &[&str]| {
        let mut command = Command::new("timeout");
        command.arg("60").arg(binary()).args(arguments).env("WEBWALLET_HOME", home.path());
        command.output().expect("it runs")
    };
    let key = "localhost+84bf3f8d+ASvR7FNQRI7twMSHKVA+xTxI18r/puP95RrQPUK5gNBO";
    let refused = timed(&["verify", "/dev/zero", "--key", key]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("more than"), "{refused:?}");
    assert_eq!(timed(&["swap", "show", "/dev/zero"]).status.code(), Some(2));
    std::fs::create_dir(home.path().join("keys")).expect("made");
    let pipe = home.path().join("keys/alice.json");
    let made = Command::new("mkfifo").args(["-m", "600", text(&pipe)]).status();
    assert!(made.expect("it runs").success());
    let listed = timed(&["key", "list"]);
    assert_eq!(listed.status.code(), Some(0), "{listed:?}");
    let why = String::from_utf8_lossy(&listed.stderr).into_owned();
    assert!(why.contains("no regular file"), "{why}");
}

/// Whoever may read the log key can sign another history; its owner should hear of it.
#[test]
fn secrets_that_others_may_read_are_named_in_the_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, token) = (folder.path().join("data"), folder.path().join("token"));
    std::fs::write(&token, "a-token-of-more-than-16-characters").expect("written");
    let open = |file: &Path, mode| {
        std::fs::set_permissions(file, Permissions::from_mode(mode)).expect("changed");
    };
    let warnings = || {
        let mut command = Command::new(binary());
        let error = folder.path().join("stderr");
        command.stderr(File::create(&error).expect("a file"));
        command.env("WEBWALLET_ADMIN_TOKEN_FILE", &token);
        let arguments = ["--admin", "127.0.0.1:0", "--data", text(&data)];
        let server = Process::start_by(command, &arguments);
        assert_eq!(server.terminate(), Some(0));
        let lines = BufReader::new(File::open(&error).expect("a file")).lines();
        let named =
            lines.map(|line| line.expect("UTF-8")).filter(|line| line.contains("chmod 600"));
        named.collect::<Vec<_>>()
    };
    open(&token, 0o600);
    assert_eq!(warnings(), [] as [&str; 0]);
    open(&token, 0o640);
    open(&data.join("log-key"), 0o604);
    let warned = warnings();
    assert_eq!(warned.len(), 2, "{warned:?}");
    assert!(warned.iter().any(|line| line.contains(&format!("chmod 600 {}", text(&token)))));
    assert!(warned.iter().any(|line| line.contains("/log-key")));
    // A key that was to be used, and is not there, is not made up.
    let missing = folder.path().join("no-such-key");
    let output = Command::new(binary())
        .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data"])
        .args([text(&data), "--domain", "example.net", "--log-key", text(&missing)])
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(why.contains("no-such-key") && !missing.exists(), "{why}");
}
