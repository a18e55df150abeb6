//! Following what clears, over sockets. If these failed, a shop would not see a
//! payment, or would see it twice.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use webwallet_tests::deployment::{Deployment, on_every_engine};
use webwallet_tests::party::{issue, party};
use webwallet_tests::process::{Process, agent, binary, get, post};

const READERS: usize = 1_000;
const CUTS: usize = 1_000;

/// Clears so many payments.
fn pay(url: &str, from: u64, count: u64) {
    let (agent, alice, bob) = (agent(), party("alice"), party("bob"));
    for n in from..from + count {
        let body = issue(&alice, &bob, "1", &format!("event {n}"));
        assert_eq!(post(&agent, url, &body).expect("an answer").status, 201);
    }
}

/// What a program sends to follow.
fn question(after: u64) -> String {
    format!(
        "GET /events HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\nlast-event-id: {after}\r\n\r\n"
    )
}

/// Takes whole events off what has come: their numbers. The chunks of HTTP are
/// cut out of nothing that matters: no line of an event is shorter than theirs.
struct Numbers {
    text: Vec<u8>,
}

impl Numbers {
    fn take(&mut self, bytes: &[u8]) -> Vec<u64> {
        self.text.extend_from_slice(bytes);
        let mut numbers = Vec::new();
        // `id: N`, `data: {...}` and an empty line; a chunk's size may stand between.
        while let Some(end) = find(&self.text, b"}\n\n") {
            let event = String::from_utf8_lossy(&self.text[..end]).into_owned();
            let number = event.rsplit("\nid: ").next().or(Some(&event)).expect("an id");
            let number = number.trim_start_matches("id: ").split('\n').next().expect("a line");
            numbers.push(number.parse().unwrap_or_else(|_| panic!("no id in {event}")));
            self.text.drain(..end + 3);
        }
        numbers
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// The history, in pages, from whichever store has it by now.
#[test]
fn pages_of_events_are_the_records_in_order() {
    on_every_engine(|stores: &Deployment<'_>| {
        let server = stores.serve(&[]);
        let (agent, url) = (agent(), server.url());
        pay(&url, 1, 40);
        // Sealed: an engine that drops what is sealed has dropped it, or does so now.
        let sealed = loop {
            let receipt = get(&agent, &url, "/transaction/40/receipt");
            if receipt.status == 200 {
                break receipt;
            }
        };
        assert!(!sealed.body.is_empty());
        pay(&url, 41, 10);
        let (mut after, mut seen) = (0, 0);
        loop {
            let page = get(&agent, &url, &format!("/events?after={after}&limit=7"));
            let lines = String::from_utf8(page.body).expect("UTF-8");
            for line in lines.lines() {
                let event: Value = serde_json::from_str(line).expect("JSON");
                seen += 1;
                assert_eq!(event["number"], seen.to_string());
                let record = get(&agent, &url, &format!("/transaction/{seen}")).json();
                assert_eq!(event["transaction"], record["data"]);
            }
            if lines.is_empty() {
                break;
            }
            after = seen;
        }
        assert_eq!(seen, 50, "on {}", stores.name());
    });
}

/// A thousand programs follow one server; each is given every payment.
#[test]
fn a_thousand_readers_at_once_see_every_number_in_order() {
    let data = tempfile::tempdir().expect("a folder");
    let server = Process::all(data.path(), &[]);
    let (url, address) = (server.url(), server.url().replace("http://", ""));
    const PAYMENTS: u64 = 40;
    pay(&url, 1, 10);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let open = AtomicU64::new(0);
        let open = &open;
        let read = |reader: usize| {
            let address = &address;
            async move {
                let mut socket = tokio::net::TcpStream::connect(address).await.expect("connected");
                // Some begin with the history, some with what is to come.
                let mut last = (reader % 11) as u64;
                socket.write_all(question(last).as_bytes()).await.expect("sent");
                let (mut numbers, mut buffer) = (Numbers { text: Vec::new() }, vec![0; 16 * 1024]);
                let mut heard = false;
                while last < PAYMENTS {
                    let count = socket.read(&mut buffer).await.expect("read");
                    assert!(count > 0, "reader {reader} was dropped after {last}");
                    if !std::mem::replace(&mut heard, true) {
                        open.fetch_add(1, Ordering::SeqCst);
                    }
                    for number in numbers.take(&buffer[..count]) {
                        last += 1;
                        assert_eq!(number, last, "reader {reader}");
                    }
                }
                // Holds on until all have seen all.
                socket
            }
        };
        let readers = futures::future::join_all((0..READERS).map(read));
        let url = url.clone();
        let paying = async {
            while open.load(Ordering::SeqCst) < READERS as u64 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            tokio::task::spawn_blocking(move || pay(&url, 11, PAYMENTS - 10)).await.expect("paid");
        };
        let (sockets, ()) = tokio::join!(readers, paying);
        assert_eq!(sockets.len(), READERS);
    });
    assert_eq!(server.terminate(), Some(0), "and streams do not hold up the end");
}

/// Networks cut; what was on its way is not lost, and not given twice.
#[test]
fn a_reader_cut_a_thousand_times_sees_every_number_once() {
    let data = tempfile::tempdir().expect("a folder");
    let server = Process::all(data.path(), &[]);
    let (url, address) = (server.url(), server.url().replace("http://", ""));
    let ended = AtomicBool::new(false);
    let paid = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::SeqCst) {
                pay(&url, paid.load(Ordering::SeqCst) + 1, 1);
                paid.fetch_add(1, Ordering::SeqCst);
            }
        });
        let mut random = StdRng::seed_from_u64(5);
        let (mut last, mut torn) = (0, 0);
        let mut read_until = |last: &mut u64, until: &dyn Fn(u64, usize) -> bool| {
            let mut socket = TcpStream::connect(&address).expect("connected");
            socket.write_all(question(*last).as_bytes()).expect("sent");
            let (mut numbers, mut buffer, mut bytes) = (Numbers { text: Vec::new() }, [0; 997], 0);
            while !until(*last, bytes) {
                let count = socket.read(&mut buffer).expect("read");
                assert!(count > 0, "dropped after {last}");
                bytes += count;
                for number in numbers.take(&buffer[..count]) {
                    *last += 1;
                    assert_eq!(number, *last);
                }
            }
            torn += usize::from(find(&numbers.text, b"data: ").is_some());
        };
        for _ in 0..CUTS {
            let cut = random.random_range(0..6_000);
            read_until(&mut last, &|_, bytes| bytes >= cut);
        }
        ended.store(true, Ordering::SeqCst);
        let all = paid.load(Ordering::SeqCst);
        read_until(&mut last, &|last, _| last >= all);
        println!("{CUTS} cuts, {torn} inside an event, {last} events");
        assert!(torn > 50 && last >= all);
    });
}

/// As a person at a terminal follows.
#[test]
fn the_command_lists_and_follows() {
    let data = tempfile::tempdir().expect("a folder");
    let server = Process::all(data.path(), &[]);
    let home = tempfile::tempdir().expect("a folder");
    let url = server.url();
    let events = |arguments: &[&str]| {
        let mut command = Command::new(binary());
        command.args(["events", "--url", &url]).args(arguments).env("WEBWALLET_HOME", home.path());
        command
    };
    pay(&url, 1, 3);
    let listed = events(&["--after", "1", "--json"]).output().expect("runs");
    let listed = String::from_utf8(listed.stdout).expect("UTF-8");
    let numbers: Vec<Value> = listed
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["number"].clone())
        .collect();
    assert_eq!(numbers, ["2", "3"]);
    let text = String::from_utf8(events(&[]).output().expect("runs").stdout).expect("UTF-8");
    assert!(text.starts_with("record 1 at ") && text.lines().count() == 3, "{text}");

    let mut child = events(&["--follow", "--after", "2", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut next = || {
        let line = lines.next().expect("a line").expect("read");
        serde_json::from_str::<Value>(&line).expect("JSON")["number"].clone()
    };
    assert_eq!(next(), "3");
    pay(&url, 4, 1);
    assert_eq!(next(), "4");
    // Over a server that is killed and comes back.
    let listen = server.line["listen"].as_str().expect("listen").to_owned();
    server.kill();
    let data = data.path().to_str().expect("UTF-8");
    let arguments = ["--admin", "127.0.0.1:0", "--data", data];
    let server = Process::start_at(Command::new(binary()), &listen, &arguments);
    pay(&server.url(), 5, 1);
    assert_eq!(next(), "5");
    child.kill().expect("killed");
    child.wait().expect("ended");
}
