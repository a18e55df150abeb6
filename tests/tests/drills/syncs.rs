//! What the kernel saw between a lone request and its 201. If this failed, a
//! confirmed payment might only have been in memory.

use std::process::Command;

use webwallet_tests::party::{issue, party};
use webwallet_tests::process::{Process, agent, binary, post};

#[test]
fn one_synced_write_of_the_log_and_one_of_the_documents_before_the_answer() {
    let data = tempfile::tempdir().expect("a folder");
    let trace = data.path().join("trace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-s", "40", "-o"]).arg(&trace);
    strace.args(["-e", "trace=fdatasync,fsync,read,recvfrom,write,writev,sendto,sendmsg"]);
    strace.arg(binary());
    let folder = data.path().join("data");
    let folder = folder.to_str().expect("UTF-8");
    // A block of the first would be written while the second is on its way.
    let arguments = ["--admin", "127.0.0.1:0", "--data", folder, "--seal", "manual"];
    let server = Process::start_by(strace, &arguments);
    let agent = agent();
    // The first request may still make files; the second is like all later ones.
    for note in ["first", "second"] {
        let body = issue(&party("alice"), &party("bob"), "1", note);
        assert_eq!(post(&agent, &server.url(), &body).expect("an answer").status, 201);
    }
    // Killing the tracer would let the server run on: end the server itself.
    let children = format!("/proc/{0}/task/{0}/children", server.id());
    let traced = std::fs::read_to_string(children).expect("the traced process");
    assert!(Command::new("kill").args(["-KILL", traced.trim()]).status().expect("runs").success());
    let trace = loop {
        let text = std::fs::read_to_string(&trace).expect("a trace");
        if text.contains("killed by SIGKILL") {
            break text;
        }
    };

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
