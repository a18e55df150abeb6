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
    let arguments = ["--admin", "127.0.0.1:0", "--data", folder.to_str().expect("UTF-8")];
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
    let syncs = |place: &str| {
        let syncs =
            between.iter().filter(|line| line.contains("fdatasync(") || line.contains("fsync("));
        syncs.filter(|line| line.contains(place)).count()
    };
    let all = syncs("sync(");
    println!("between the request and its 201: {all} syncs");
    assert_eq!((syncs("/graphstore/log/"), syncs("/hashtable/"), all), (1, 1, 2), "{between:#?}");
}

fn places(lines: &[&str], text: &str) -> Vec<usize> {
    (0..lines.len()).filter(|i| lines[*i].contains(text)).collect()
}
