//! Batches over sockets, on every deployment: the same answers as one by one.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use webwallet_tests::deployment::Deployment;
use webwallet_tests::engines::Engines;
use webwallet_tests::party::{issue, party, time};
use webwallet_tests::process::{Answer, Process, agent, binary, post, post_to};
use webwallet_tests::world::{Sockets, World as _};

use crate::dry_run::Town;

const REQUESTS: usize = 300;

/// Requests that fit on a line.
fn requests() -> Vec<Vec<u8>> {
    let mut town = Town::new(23);
    let mut bodies = Vec::new();
    while bodies.len() < REQUESTS {
        let body = town.body();
        if !body.contains(&b'\n') && !body.starts_with(b"[") {
            bodies.push(body);
        }
    }
    bodies
}

/// What a batch answers, as the single requests would have been answered.
fn batched(url: &str, bodies: &[Vec<u8>]) -> Vec<(u16, Value)> {
    let answer = post_to(&agent(), url, "/batch", &bodies.join(&b'\n')).expect("an answer");
    let text = String::from_utf8(answer.body).expect("UTF-8");
    let line = |line: &str| {
        let mut line: Value = serde_json::from_str(line).expect("JSON");
        let status = line["status"].as_u64().expect("a status") as u16;
        let said = match line["problem"].take() {
            Value::Null => json!({ "data": line["data"] }),
            mut problem => {
                problem["instance"] = json!("/transaction");
                problem
            }
        };
        (status, said)
    };
    text.lines().map(line).collect()
}

/// Which of a thousand payments have cleared must not depend on how they were
/// sent, nor on what decides.
#[test]
fn a_batch_is_answered_as_its_requests_one_by_one_on_every_deployment() {
    let bodies = requests();
    let serve = |stores: &Deployment<'_>| {
        let clock = stores.folder().join("clock");
        std::fs::write(&clock, "2026-01-01T00:00:00.000Z").expect("a clock");
        stores.serve(&["--test-clock", clock.to_str().expect("UTF-8")])
    };
    let singles = Deployment::embedded();
    let server = serve(&singles);
    let agent = agent();
    let alone: Vec<(u16, Value)> = bodies
        .iter()
        .map(|body| {
            let answer: Answer = post(&agent, &server.url(), body).expect("an answer");
            (answer.status, answer.json())
        })
        .collect();
    let cleared = alone.iter().filter(|(status, _)| *status == 201).count();
    assert!((50..REQUESTS).contains(&cleared), "{cleared} cleared");

    let embedded = Deployment::embedded();
    assert_eq!(batched(&serve(&embedded).url(), &bodies), alone, "embedded");
    let engines = Engines::empty();
    assert_eq!(batched(&serve(&engines.deployment()).url(), &bodies), alone, "engines");
    let mut apart = Sockets::apart();
    apart.set_time(time("2026-01-01T00:00:00.000Z"));
    assert_eq!(batched(apart.url(), &bodies), alone, "processes");
}

/// Over one connection: a request, its answer, the next request.
#[test]
fn a_batch_is_answered_while_it_is_sent() {
    let data = tempfile::tempdir().expect("a folder");
    let server = Process::all(data.path(), &[]);
    let mut socket = TcpStream::connect(server.url().replace("http://", "")).expect("connected");
    let head = "POST /batch HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    socket.write_all(head.as_bytes()).expect("sent");
    let mut answers = BufReader::new(socket.try_clone().expect("a socket"));
    let (alice, bob) = (party("alice"), party("bob"));
    for n in 0..20 {
        let body = issue(&alice, &bob, "1", &format!("streamed {n}"));
        let chunk = format!("{:x}\r\n{}\n\r\n", body.len() + 1, String::from_utf8_lossy(&body));
        socket.write_all(chunk.as_bytes()).expect("sent");
        let line = loop {
            let mut line = String::new();
            assert!(answers.read_line(&mut line).expect("read") > 0);
            if line.starts_with("{\"index\"") {
                break line;
            }
        };
        let line: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!((&line["index"], &line["status"]), (&json!(n), &json!(201)));
    }
    socket.write_all(b"0\r\n\r\n").expect("sent");
    let mut rest = Vec::new();
    answers.by_ref().take(7).read_to_end(&mut rest).expect("read");
    assert_eq!(rest, b"\r\n0\r\n\r\n");
}

/// Whoever posts a file would not know which of its lines are paid, nor that one is not.
#[test]
fn the_command_posts_a_file_and_numbers_its_lines() {
    let data = tempfile::tempdir().expect("a folder");
    let server = Process::all(data.path(), &[]);
    let (alice, bob) = (party("alice"), party("bob"));
    let mut bodies: Vec<Vec<u8>> =
        (0..400).map(|n| issue(&alice, &bob, "1", &format!("line {n}"))).collect();
    bodies[250] = b"nonsense".to_vec();
    let file = data.path().join("requests");
    std::fs::write(&file, bodies.join(&b'\n')).expect("written");
    let run = |more: &[&str]| {
        let mut command = Command::new(binary());
        command.arg("batch").arg(&file).args(["--url", &server.url(), "--json"]).args(more);
        let output =
            command.env("WEBWALLET_HOME", data.path().join("home")).output().expect("runs");
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        lines.collect::<Vec<_>>()
    };
    let stopped = run(&["--stop"]);
    assert_eq!(stopped.len(), 251);
    let lines = run(&[]);
    assert_eq!(lines.len(), 400);
    for (n, line) in lines.iter().enumerate() {
        let status = match n {
            250 => 400,
            0..250 => 200,
            _ => 201,
        };
        assert_eq!((&line["index"], &line["status"]), (&json!(n), &json!(status)));
    }
}

/// An array may be written as one likes: cut at the end of a line, half of it would be sent, and
/// no repeat would ever get further.
#[test]
fn an_array_over_many_lines_is_sent_whole_however_large_it_is() {
    let data = tempfile::tempdir().expect("a folder");
    let server = Process::all(&data.path().join("data"), &[]);
    let (alice, bob) = (party("alice"), party("bob"));
    let requests: Vec<Value> = (0..300)
        .map(|n| issue(&alice, &bob, "1", &format!("element {n}")))
        .map(|body| serde_json::from_slice(&body).expect("JSON"))
        .collect();
    let file = data.path().join("requests");
    let run = |written: &[u8]| {
        std::fs::write(&file, written).expect("written");
        let mut command = Command::new(binary());
        command.arg("batch").arg(&file).args(["--url", &server.url(), "--json"]);
        command.env("WEBWALLET_HOME", data.path().join("home")).output().expect("runs")
    };
    let pretty = serde_json::to_vec_pretty(&requests).expect("JSON");
    let compact = serde_json::to_vec(&requests).expect("JSON");
    assert!(compact.len() > 128 * 1024);
    for (written, status) in [(&pretty, 201), (&compact, 200)] {
        let output = run(written);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{told}");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines.len(), 300);
        for (n, line) in lines.iter().enumerate() {
            assert_eq!((&line["index"], &line["status"]), (&json!(n), &json!(status)));
        }
    }
    // Of one that is none, nothing is sent.
    let broken = run(&pretty[..pretty.len() - 2]);
    assert_eq!((broken.status.code(), &broken.stdout[..]), (Some(2), &b""[..]), "{broken:?}");
    let told = String::from_utf8(broken.stderr).expect("UTF-8");
    assert!(told.contains("begins as an array") && told.contains("line "), "{told}");
}

/// A line that is an array is no request. A server that took it for all of what is sent with it would say of the payments
/// after it that they are refused, and never have looked at them.
#[test]
fn a_line_that_is_an_array_is_named_before_it_is_sent() {
    let data = tempfile::tempdir().expect("a folder");
    let server = Process::all(&data.path().join("data"), &[]);
    let (alice, bob) = (party("alice"), party("bob"));
    let pay = |n| issue(&alice, &bob, "1", &format!("beside an array {n}"));
    let file = data.path().join("requests");
    // The first fills what is sent at a time.
    let large = vec![b'x'; 128 * 1024];
    let pair = [&b" ["[..], &pay(1), b",", &pay(2), b"]"].concat();
    std::fs::write(&file, [large, pair, pay(3)].join(&b'\n')).expect("written");
    let mut command = Command::new(binary());
    command.arg("batch").arg(&file).args(["--url", &server.url(), "--json"]);
    let output = command.env("WEBWALLET_HOME", data.path().join("home")).output().expect("runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!((told.lines().count(), told.contains("\"status\":400")), (1, true), "{told}");
    assert!(said.contains("request 1") && said.contains("from 1 on were not sent"), "{said}");
    // Nothing of it has cleared.
    assert_eq!(post(&agent(), &server.url(), &pay(1)).expect("an answer").status, 201);
    assert_eq!(post(&agent(), &server.url(), &pay(3)).expect("an answer").status, 201);
}

/// What a server says of the first payments is not lost with what it never says of the others:
/// whoever is shown neither does not know which to ask for.
#[test]
fn the_command_tells_each_answer_as_it_comes_and_what_is_unknown_after_a_cut() {
    let data = tempfile::tempdir().expect("a folder");
    let server = Process::all(&data.path().join("data"), &[]);
    let (alice, bob) = (party("alice"), party("bob"));
    let bodies: Vec<Vec<u8>> =
        (0..3).map(|n| issue(&alice, &bob, "1", &format!("cut {n}"))).collect();
    let file = data.path().join("requests");
    std::fs::write(&file, bodies.join(&b'\n')).expect("written");
    let answers = post_to(&agent(), &server.url(), "/batch", &bodies.join(&b'\n'));
    let answers = String::from_utf8(answers.expect("answers").body).expect("UTF-8");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let (read, wait) = std::sync::mpsc::channel::<()>();
    let serving = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().expect("a connection");
        let mut asked = BufReader::new(socket.try_clone().expect("a socket"));
        let mut line = String::new();
        while asked.read_line(&mut line).expect("read") > 0 && !line.contains("cut 2") {}
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ncontent-length: 99999\r\n\r\n";
        socket.write_all(head.as_bytes()).expect("sent");
        for line in answers.split_inclusive('\n').take(2) {
            socket.write_all(line.as_bytes()).expect("sent");
            // No more of it before this one was told.
            if wait.recv().is_err() {
                return;
            }
        }
        socket.write_all(b"{\"index\":2,").expect("sent");
    });
    let mut command = Command::new(binary());
    command.arg("batch").arg(&file).args(["--url", &url, "--json"]);
    command.env("WEBWALLET_HOME", data.path().join("home"));
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut told = BufReader::new(child.stdout.take().expect("piped"));
    for n in 0..2 {
        let mut line = String::new();
        told.read_line(&mut line).expect("read");
        let line: Value = serde_json::from_str(&line).expect("an answer");
        assert_eq!((&line["index"], &line["status"]), (&json!(n), &json!(201)));
        read.send(()).expect("it waits");
    }
    serving.join().expect("served");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(said.contains("of the requests from 2 on"), "{said}");
}
