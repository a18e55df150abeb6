//! What the kernel saw, and in which order: between a lone request and its 201, and
//! before a checkpoint or a log key is where others find it. If this failed, a confirmed
//! payment, or a block that was published, might only have been in memory.

use std::process::Command;

use webwallet_tests::party::{issue, party};
use webwallet_tests::process::{Process, agent, binary, post};

/// The trace of a server that seals when it is told to, while somebody uses it.
fn traced(calls: &str, uses: impl FnOnce(&Process)) -> String {
    let data = tempfile::tempdir().expect("a folder");
    let trace = data.path().join("trace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-s", "40", "-e", calls, "-o"]).arg(&trace).arg(binary());
    let folder = data.path().join("data");
    let folder = folder.to_str().expect("UTF-8");
    let arguments = ["--admin", "127.0.0.1:0", "--data", folder, "--seal", "manual"];
    let server = Process::start_by(strace, &arguments);
    let children = format!("/proc/{0}/task/{0}/children", server.id());
    let traced = Traced(std::fs::read_to_string(children).expect("the traced process"));
    uses(&server);
    drop(traced);
    loop {
        let text = std::fs::read_to_string(&trace).expect("a trace");
        if text.contains("killed by SIGKILL") {
            return text;
        }
    }
}

/// Killing the tracer would let the server run on: the server itself is ended, also
/// where a test fails.
struct Traced(String);

impl Drop for Traced {
    fn drop(&mut self) {
        // What did not end, the test waits for.
        let _ = Command::new("kill").args(["-KILL", self.0.trim()]).status();
    }
}

fn pay(server: &Process, note: &str) {
    let body = issue(&party("alice"), &party("bob"), "1", note);
    assert_eq!(post(&agent(), &server.url(), &body).expect("an answer").status, 201);
}

#[test]
fn one_synced_write_of_the_log_and_one_of_the_documents_before_the_answer() {
    let calls = "trace=fdatasync,fsync,read,recvfrom,write,writev,sendto,sendmsg";
    // The first request may still make files; the second is like all later ones.
    let trace = traced(calls, |server| ["first", "second"].iter().for_each(|n| pay(server, n)));
    let lines: Vec<&str> = trace.lines().collect();
    let posts: Vec<usize> = places(&lines, "POST /transaction");
    let answers: Vec<usize> = places(&lines, "HTTP/1.1 201");
    assert_eq!((posts.len(), answers.len()), (2, 2), "two requests, two answers");
    let between = &lines[posts[1]..answers[1]];
    // One that was begun, but had not returned when the answer left, proves nothing.
    let done = finished_syncs(between);
    let syncs = |place: &str| done.iter().filter(|line| line.contains(place)).count();
    let all = done.len();
    println!("between the request and its 201: {all} syncs");
    assert_eq!((syncs("/graphstore/log/"), syncs("/hashtable/"), all), (1, 1, 2), "{between:#?}");
}

#[test]
fn no_checkpoint_and_no_key_is_to_be_found_before_what_it_stands_for_is_on_disk() {
    let trace = traced("trace=fdatasync,fsync,rename,renameat,renameat2", |server| {
        for (note, command) in [("1", "seal"), ("2", "rotate-log-key"), ("3", "seal")] {
            pay(server, note);
            let admin = format!("http://{}", server.line["admin"].as_str().expect("admin"));
            let mut operate = Command::new(binary());
            let output = operate.args([command, "--admin", &admin]).output().expect("it runs");
            assert_eq!(output.status.code(), Some(0), "{command}");
        }
    });
    let lines: Vec<&str> = trace.lines().collect();
    // `rename("FROM", "TO")`, and which line that was.
    let moves = lines.iter().enumerate().filter(|(_, line)| line.contains(" rename"));
    let moves = moves.filter_map(|(at, line)| {
        // Of a call that another thread got into, the second line has no names.
        let mut names = line.split('"').skip(1).step_by(2);
        Some((at, names.next()?, names.next()?))
    });
    let moves: Vec<_> = moves.collect();
    let synced = |from: usize, to: usize, file: &str| {
        finished_syncs(&lines[from..to]).iter().any(|sync| sync.contains(&format!("<{file}>")))
    };
    let of = |part: &str| -> Vec<(usize, &str, &str)> {
        moves.iter().filter(|(_, _, to)| to.contains(part)).copied().collect()
    };
    let [tiles, checkpoints, keys] = ["/log/tile/", "/log/checkpoint", "/log-key"].map(of);
    assert!(tiles.len() >= 6 && checkpoints.len() >= 3 && keys.len() >= 2, "{moves:#?}");
    for (at, from, to) in [&tiles[..], &checkpoints, &keys].concat() {
        // What only changes its name was looked at when it got the first one.
        let again = moves.iter().any(|(_, _, to)| *to == from);
        assert!(again || synced(0, at, from), "{to} had its name before it was on disk");
    }
    let folder = |file: &'_ str| file.rsplit_once('/').expect("a folder").0.to_owned();
    for (at, _, to) in &tiles {
        let next = checkpoints.iter().find(|(published, ..)| published > at);
        let (published, ..) = next.expect("it is published");
        assert!(synced(*at, *published, &folder(to)), "{to} was published before it had its name");
    }
    // A block names the new key from the moment that its intent is on disk.
    for (at, _, to) in keys.iter().filter(|(_, _, to)| to.ends_with(".next")) {
        let intent = lines[*at..].iter().position(|line| line.contains("/graphstore/log/"));
        let intent = at + intent.expect("a block follows");
        assert!(synced(*at, intent, &folder(to)), "{to} was in a block before it had its name");
    }
}

/// What is signed and forgotten in a power cut is paid once more, and both clear; and what an
/// address holds is lost with a key that was not on disk.
#[test]
fn a_key_and_a_signed_iou_are_on_disk_before_they_are_of_use() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Process::all(&folder.path().join("data"), &[]);
    let home = folder.path().join("new/home");
    let trace = folder.path().join("trace");
    let traced = |arguments: &[&str]| {
        let mut strace = Command::new("strace");
        let calls = "trace=fdatasync,fsync,write,writev,sendto,sendmsg";
        strace.args(["-f", "-y", "-s", "40", "-e", calls, "-o"]).arg(&trace).arg(binary());
        strace.args(arguments).env("WEBWALLET_HOME", &home).env("WEBWALLET_URL", server.url());
        let output = strace.output().expect("it runs");
        assert!(output.status.success(), "{output:?}");
        std::fs::read_to_string(&trace).expect("a trace")
    };
    let is_synced = |lines: &[&str], place: &str| {
        let place = format!("<{}{place}", home.display());
        let syncs = finished_syncs(lines);
        assert!(syncs.iter().any(|sync| sync.contains(&place)), "{place}: {lines:#?}");
    };
    let made = traced(&["key", "new", "alice"]);
    let lines: Vec<&str> = made.lines().collect();
    // Whoever reads its address may be paid there.
    let printed = places(&lines, "write(1<").into_iter().next().expect("its address is printed");
    for place in ["/keys/", "/keys>", ">"] {
        is_synced(&lines[..printed], place);
    }
    let bob = party("bob").address.to_string();
    let paid = traced(&["issue", "--from", "alice", "--to", &bob, "--amount", "1"]);
    let lines: Vec<&str> = paid.lines().collect();
    let [posted] = places(&lines, "POST /transaction")[..] else { panic!("one post: {paid}") };
    for place in ["/outbox/", "/outbox>", ">"] {
        is_synced(&lines[..posted], place);
    }
}

/// The syncs of a trace that both began and returned 0 in it. Where another
/// thread got in between, the call and its return are two lines of one thread:
/// `7 fdatasync(3</file> <unfinished ...>`, `7 <... fdatasync resumed>) = 0`.
fn finished_syncs<'a>(lines: &[&'a str]) -> Vec<&'a str> {
    let thread = |line: &'a str| line.split_whitespace().next().unwrap_or_default();
    let succeeded = |line: &str| line.trim_end().ends_with("= 0");
    let begun = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line.contains("fdatasync(") || line.contains("fsync("));
    let finished = begun.filter(|(at, line)| {
        if !line.contains("<unfinished") {
            return succeeded(line);
        }
        // The next line of a thread in a call is that call's return.
        let next = lines[at + 1..].iter().find(|next| thread(next) == thread(line));
        next.is_some_and(|next| next.contains("sync resumed>") && succeeded(next))
    });
    finished.map(|(_, line)| *line).collect()
}

/// A sync that failed, or had not ended, would pass for one here, and hide such a loss.
#[test]
fn only_a_sync_that_returned_counts() {
    let trace = [
        "7 fdatasync(3</a/log>) = 0",
        "8 fdatasync(4</b> <unfinished ...>",
        "9 fsync(5</c>) = -1 EIO (Input/output error)",
        "8 <... fdatasync resumed>) = 0",
        "9 fdatasync(6</d> <unfinished ...>",
        "8 write(1, \"x\", 1) = 1",
    ];
    assert_eq!(finished_syncs(&trace), [trace[0], trace[1]]);
    assert_eq!(finished_syncs(&trace[..3]), [trace[0]]);
}

fn places(lines: &[&str], text: &str) -> Vec<usize> {
    (0..lines.len()).filter(|i| lines[*i].contains(text)).collect()
}
