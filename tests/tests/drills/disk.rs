//! Disks that fail: the kernel refuses a write or a sync, in the middle of a start or
//! of a payment. If this failed, what was confirmed on a full or a dying disk would be
//! gone, or cleared twice.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use webwallet_tests::party::{DOMAIN, issue, party};
use webwallet_tests::process::{Process, agent, binary, get, post};

use crate::rounds;

/// Calls that fail and how, by themselves or in one file of a store.
const FAULTS: [(&str, Option<&str>); 5] = [
    ("pwrite64:error=ENOSPC", Some("graphstore/log/00000000000000000001.log")),
    ("fdatasync:error=EIO", Some("graphstore/log/00000000000000000001.log")),
    ("write:error=ENOSPC", Some("hashtable/0.jnl")),
    ("fdatasync:error=EIO", Some("hashtable/0.jnl")),
    // Of the published log's files, which are new ones each time.
    ("fsync:error=EIO", None),
];
/// Payments under each fault: enough for every thread to come to its call.
const PAYMENTS: usize = 8;

/// A server under which one call of each thread fails, and its tracer. Without an
/// address it has not started.
struct Faulty {
    tracer: Child,
    url: Option<String>,
}

impl Faulty {
    fn start(data: &Path, trace: &Path, fault: &str, file: Option<&str>, nth: usize) -> Faulty {
        let (call, _) = fault.split_once(':').expect("a call");
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o"]).arg(trace);
        if let Some(file) = file {
            strace.arg("-P").arg(data.join(file));
        }
        strace.arg("-e").arg(format!("trace={call}"));
        strace.arg("-e").arg(format!("inject={fault}:when={nth}"));
        strace.arg(binary()).args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        strace.args(["--domain", DOMAIN, "--data"]).arg(data);
        let pipes = strace.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut tracer = pipes.spawn().expect("strace runs");
        let mut line = String::new();
        let mut out = BufReader::new(tracer.stdout.take().expect("piped"));
        out.read_line(&mut line).expect("readable");
        let line: Option<serde_json::Value> = serde_json::from_str(&line).ok();
        let url = line.map(|line| format!("http://{}", line["listen"].as_str().expect("listen")));
        Faulty { tracer, url }
    }

    fn kill(mut self) {
        let id = self.tracer.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        for child in children.unwrap_or_default().split_whitespace() {
            // It may have ended by itself.
            let _ = Command::new("kill").args(["-KILL", child]).stderr(Stdio::null()).status();
        }
        self.tracer.wait().expect("it ends");
    }
}

#[test]
fn no_confirmed_payment_is_lost_to_a_failing_disk() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().canonicalize().expect("its path").join("data");
    let trace = folder.path().join("trace");
    let (from, to) = (party("alice"), party("bob"));
    let agent = agent();
    // The files are there before any of their calls fails.
    assert_eq!(Process::all(&data, &[]).terminate(), Some(0));
    let mut confirmed: HashMap<String, Vec<u8>> = HashMap::new();
    let mut hits: BTreeMap<String, usize> = BTreeMap::new();
    let (mut failed, mut unstarted) = (0, 0);
    for nth in 1..=rounds(2, 8) {
        for (fault, file) in FAULTS {
            let server = Faulty::start(&data, &trace, fault, file, nth);
            let mut open = Vec::new();
            match &server.url {
                None => unstarted += 1,
                Some(url) => {
                    for i in 0..PAYMENTS {
                        let body = issue(&from, &to, "1", &format!("{fault} {file:?} {nth} {i}"));
                        match post(&agent, url, &body) {
                            Ok(answer) if answer.status == 201 => {
                                confirmed.insert(number_in(&answer.body), answer.body);
                            }
                            Ok(answer) if answer.status == 503 => open.push(body),
                            other => panic!("neither cleared nor unknown: {other:?}"),
                        }
                    }
                }
            }
            server.kill();
            let traced = std::fs::read_to_string(&trace).expect("a trace");
            let place = format!("{fault} {}", file.unwrap_or_default());
            *hits.entry(place).or_default() += traced.matches("(INJECTED)").count();
            // On a good disk again: what was unknown becomes known, once.
            let server = Process::all(&data, &[]);
            failed += open.len();
            for body in open {
                let answer = post(&agent, &server.url(), &body).expect("an answer");
                assert!([200, 201].contains(&answer.status), "{answer:?}");
                let again = post(&agent, &server.url(), &body).expect("an answer");
                assert_eq!((again.status, &again.body), (200, &answer.body));
                confirmed.insert(number_in(&answer.body), answer.body);
            }
            assert_eq!(server.terminate(), Some(0), "after {fault} {file:?} {nth}");
        }
    }
    println!(
        "{} confirmed, {failed} unknown at first, {unstarted} starts refused; calls that failed: {hits:?}",
        confirmed.len()
    );
    assert!(hits.values().all(|hits| *hits > 0), "a fault that never came: {hits:?}");
    let server = Process::all(&data, &[]);
    for (number, body) in &confirmed {
        let again = get(&agent, &server.url(), &format!("/transaction/{number}"));
        assert_eq!(&again.body, body, "record {number}");
    }
    assert_eq!(server.terminate(), Some(0));
    let mut fsck = Command::new(binary());
    let fsck = fsck.args(["fsck", "--domain", DOMAIN, "--data"]).arg(&data).output().expect("runs");
    assert!(fsck.status.success(), "{}", String::from_utf8_lossy(&fsck.stdout));
}

fn number_in(answer: &[u8]) -> String {
    let answer: serde_json::Value = serde_json::from_slice(answer).expect("JSON");
    answer["data"]["data"]["number"].as_str().expect("a number").to_owned()
}
