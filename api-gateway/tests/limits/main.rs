//! Every limit at its boundary, over real sockets: exactly at it is served, one
//! over is not. A limit that is off by one is found here and not by an attacker.

#[path = "../all/standin.rs"]
mod standin;
mod unread;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use axum::body::Body;
use http::{Request, StatusCode, Version};
use http_body_util::BodyExt as _;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use standin::{Answer, Deployment, issue, person};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use webwallet_api_gateway::{Limits, serve};

const BODY_MAX: usize = 131_072;
/// Longer than anything here takes, shorter than a person's patience.
const PATIENCE: Duration = Duration::from_secs(20);

/// A deployment behind a socket.
struct Listening {
    deployment: Deployment,
    address: SocketAddr,
    shutdown: CancellationToken,
    served: JoinHandle<()>,
}

async fn listen(limits: Limits) -> Listening {
    let deployment = Deployment::with(limits.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let shutdown = CancellationToken::new();
    let (router, token) = (deployment.router.clone(), shutdown.clone());
    let served = tokio::spawn(async move { serve(listener, None, router, &limits, token).await });
    Listening { deployment, address, shutdown, served }
}

impl Listening {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("a connection")
    }

    /// Sends bytes on a connection of their own and reads until it is closed.
    async fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.expect("sent");
        read_to_end(&mut stream).await
    }
}

async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .expect("closed in time")
        .expect("read");
    // HTTP/2 frames are not text.
    String::from_utf8_lossy(&answer).into_owned()
}

/// Reads one answer with a Content-Length.
async fn read_one(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&answer).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|l| l.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |n| n.parse().expect("a length"));
            if body.len() >= length {
                return text;
            }
        }
        let mut buffer = [0; 4096];
        let n = timeout(PATIENCE, stream.read(&mut buffer)).await.expect("in time").expect("read");
        assert!(n > 0, "closed after {text:?}");
        answer.extend_from_slice(&buffer[..n]);
    }
}

fn status(answer: &str) -> u16 {
    let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    status.and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer:?}"))
}

fn code(answer: &str) -> String {
    let body = answer.split_once("\r\n\r\n").expect("a body").1;
    let problem: Value = serde_json::from_str(body).expect("a problem");
    problem["code"].as_str().expect("a code").to_owned()
}

/// A good request, grown by white space to an exact size.
fn grown(n: u64, size: usize) -> Vec<u8> {
    let mut body = issue(person(1), person(2), "1", n);
    body.resize(size, b' ');
    body
}

fn post(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /transaction HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn post_chunked(body: &[u8]) -> Vec<u8> {
    let mut bytes = b"POST /transaction HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
        transfer-encoding: chunked\r\n\r\n"
        .to_vec();
    for chunk in body.chunks(5_000) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

async fn http2(server: &Listening) -> http2::SendRequest<Body> {
    let io = TokioIo::new(server.connect().await);
    let (sender, connection) =
        http2::handshake(TokioExecutor::new(), io).await.expect("a handshake");
    tokio::spawn(connection);
    sender
}

async fn send(sender: &mut http2::SendRequest<Body>, request: Request<Body>) -> Answer {
    let response = timeout(PATIENCE, sender.send_request(request)).await.expect("in time");
    let (parts, body) = response.expect("an answer").into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    Answer { status: parts.status, headers: parts.headers, body }
}

#[tokio::test]
async fn a_body_has_128_kib_and_not_a_byte_more() {
    let server = listen(Limits::default()).await;
    assert_eq!(status(&server.exchange(&post(&grown(1, BODY_MAX))).await), 201);
    assert_eq!(status(&server.exchange(&post_chunked(&grown(2, BODY_MAX))).await), 201);
    for bytes in [post(&grown(3, BODY_MAX + 1)), post_chunked(&grown(4, BODY_MAX + 1))] {
        let refused = server.exchange(&bytes).await;
        assert_eq!((status(&refused), code(&refused).as_str()), (413, "too_large"));
        assert!(refused.contains(r#""limit":"131072","actual":"131073""#), "{refused}");
    }
    let mut sender = http2(&server).await;
    for (n, size, expected) in [(5, BODY_MAX, 201), (6, BODY_MAX + 1, 413)] {
        let request = Request::post("http://x/transaction").version(Version::HTTP_2);
        let request = request.body(Body::from(grown(n, size))).expect("a request");
        assert_eq!(send(&mut sender, request).await.status.as_u16(), expected);
    }
}

/// A client that announces too much is told so before it has sent it, and one
/// that does not announce what it sends cannot make the server read for ever.
#[tokio::test]
async fn a_body_that_is_far_too_large_is_not_waited_for() {
    let server = listen(Limits::default()).await;
    for expect in ["", "expect: 100-continue\r\n"] {
        let head = format!(
            "POST /transaction HTTP/1.1\r\nhost: x\r\n{expect}content-length: 1000000000000\r\n\r\n"
        );
        let mut stream = server.connect().await;
        stream.write_all(head.as_bytes()).await.expect("sent");
        let refused = read_one(&mut stream).await;
        assert_eq!((status(&refused), code(&refused).as_str()), (413, "too_large"));
    }
    // Announced a little too much, and asked first: no leave is given.
    let head = "POST /transaction HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n\
        content-length: 131073\r\n\r\n";
    let mut stream = server.connect().await;
    stream.write_all(head.as_bytes()).await.expect("sent");
    assert_eq!(status(&read_one(&mut stream).await), 413);
    // Without end.
    let mut stream = server.connect().await;
    let head = "POST /transaction HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("sent");
    let chunk = [b"8000\r\n".to_vec(), vec![b' '; 0x8000], b"\r\n".to_vec()].concat();
    let endless = async { while stream.write_all(&chunk).await.is_ok() {} };
    timeout(PATIENCE, endless).await.expect("the server closes the connection");
}

/// A client that still sends when it is refused has to read why; a closed connection tells it nothing, and it sends the
/// same again.
#[tokio::test]
async fn what_is_still_sent_by_whoever_is_refused_is_read() {
    let server =
        listen(Limits { requests_per_second_per_client_max: 8, ..Limits::default() }).await;
    let body = vec![b' '; 900_000];
    let mut stream = server.connect().await;
    let mut ask = async |line: &str, header: &str, body: &[u8]| {
        let length = body.len();
        let head =
            format!("{line} HTTP/1.1\r\nhost: x\r\n{header}content-length: {length}\r\n\r\n");
        stream.write_all(&[head.as_bytes(), body].concat()).await.expect("sent");
        status(&read_one(&mut stream).await)
    };
    for (line, header, expected) in [
        ("POST /batch", "content-type: text/html\r\n", 415),
        ("POST /batch?mode=x", "", 400),
        ("POST /transaction", "content-type: text/html\r\n", 415),
        ("PUT /transaction", "", 405),
        ("POST /nowhere", "", 404),
        ("POST /unit/x", "accept: text/html\r\n", 406),
    ] {
        assert_eq!(ask(line, header, &body).await, expected, "{line}");
        // The connection is as good as before.
        assert_eq!(ask("GET /livez", "", b"").await, 200, "after {line}");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let mut last = 200;
    for _ in 0..40 {
        last = ask("POST /livez", "", &body).await;
        if last == 429 {
            break;
        }
    }
    assert_eq!(last, 429);

    // Whoever asks first sends nothing; whoever sends nothing all the same is answered in time.
    let server = listen(Limits { body_read_timeout_ms: 2_000, ..Limits::default() }).await;
    for (expect, waited_for) in [("expect: 100-continue\r\n", false), ("", true)] {
        let began = Instant::now();
        let mut stream = server.connect().await;
        let head = format!("PUT /batch HTTP/1.1\r\nhost: x\r\n{expect}content-length: 9\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("sent");
        assert_eq!(status(&read_one(&mut stream).await), 405);
        assert_eq!(began.elapsed() >= Duration::from_secs(2), waited_for, "{expect:?}");
    }
}

#[tokio::test]
async fn headers_are_bounded_in_number_and_size() {
    let server = listen(Limits { headers_max: 10, ..Limits::default() }).await;
    for (headers, expected) in [(10, 200), (11, 431)] {
        let more: String = (0..headers - 2).map(|n| format!("x{n}: 1\r\n")).collect();
        let request = format!("GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{more}\r\n");
        assert_eq!(status(&server.exchange(request.as_bytes()).await), expected, "{headers}");
    }
    for (max, http1_max) in [(8_192, 8_192), (16_384, 16_384), (20_000, 32_768)] {
        let limits = Limits { header_bytes_max: max as u32, ..Limits::default() };
        let server = listen(limits).await;
        for (size, expected) in [(http1_max, 200), (http1_max + 1, 431)] {
            let frame = "GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx: \r\n\r\n";
            let value = format!("x: {}\r\n", "a".repeat(size - frame.len()));
            let request = frame.replace("x: \r\n", &value);
            assert_eq!(request.len(), size);
            assert_eq!(status(&server.exchange(request.as_bytes()).await), expected, "{size}");
        }
        // HTTP/2 counts name, value and 32 for each, pseudo-headers included.
        let mut sender = http2(&server).await;
        let pseudo = [":method", "GET", ":scheme", "http", ":authority", "x", ":path", "/livez"];
        let pseudo = pseudo.concat().len() + 4 * 32;
        for (size, expected) in [(max, 200), (max + 1, 431)] {
            let value = "a".repeat(size - pseudo - 33);
            let request = Request::get("http://x/livez").version(Version::HTTP_2);
            let request = request.header("x", value).body(Body::empty()).expect("a request");
            let answer = send(&mut sender, request).await;
            assert_eq!(answer.status.as_u16(), expected, "{size}");
        }
    }
}

/// A shop that sells little hears of its one payment of the day.
#[tokio::test]
async fn a_stream_of_events_is_no_silence() {
    let limits = Limits {
        header_read_timeout_ms: 100,
        idle_timeout_ms: 100,
        drain_timeout_ms: 100,
        ..Limits::default()
    };
    let server = listen(limits).await;
    let mut stream = server.connect().await;
    let question = b"GET /events HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n";
    stream.write_all(question).await.expect("sent");
    let (mut text, mut paid) = (String::new(), false);
    while !text.contains("data: ") {
        let mut buffer = [0; 4096];
        let count = timeout(PATIENCE, stream.read(&mut buffer)).await.expect("in time");
        let count = count.expect("read");
        assert!(count > 0, "the stream was cut: {text}");
        text.push_str(&String::from_utf8_lossy(&buffer[..count]));
        if !paid && text.contains("id: 0\n") {
            // Several times as long as a connection may be idle.
            tokio::time::sleep(Duration::from_secs(1)).await;
            let cleared = server.deployment.post(issue(person(1), person(2), "1", 1)).await;
            assert_eq!(cleared.status, StatusCode::CREATED);
            paid = true;
        }
    }
}

#[tokio::test]
async fn silence_ends_a_connection() {
    let limits = Limits {
        header_read_timeout_ms: 300,
        // Not before there was a request.
        idle_timeout_ms: 8_000,
        body_read_timeout_ms: 300,
        drain_timeout_ms: 200,
        ..Limits::default()
    };
    let server = listen(limits).await;
    let silent = async |sent: &[u8]| {
        let began = Instant::now();
        let mut stream = server.connect().await;
        stream.write_all(sent).await.expect("sent");
        let answer = read_to_end(&mut stream).await;
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        assert!(began.elapsed() > Duration::from_millis(200), "{:?}", began.elapsed());
        answer
    };
    // Not a byte; the beginning of either protocol; half a head.
    for sent in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n", b"GET /livez HTTP/1.1\r\nhost:"] {
        silent(sent).await;
    }
    // Kept alive, but not used.
    let answer = silent(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(status(&answer), 200);
    // The HTTP/2 preface and settings, and then nothing.
    silent(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    // Half a body.
    let answer =
        silent(b"POST /transaction HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{").await;
    assert_eq!((status(&answer), code(&answer).as_str()), (503, "unavailable"));
}

#[tokio::test]
async fn a_request_is_answered_in_time_or_told_to_come_again() {
    let server = listen(Limits { request_timeout_ms: 300, ..Limits::default() }).await;
    *server.deployment.stores.clear_delay_ms.lock().expect("lock") = 600_000;
    let answer = server.exchange(&post(&issue(person(1), person(2), "1", 1))).await;
    assert_eq!((status(&answer), code(&answer).as_str()), (503, "unavailable"));
    *server.deployment.stores.clear_delay_ms.lock().expect("lock") = 0;
    let answer = server.exchange(&post(&issue(person(1), person(2), "1", 1))).await;
    assert!([200, 201].contains(&status(&answer)));
}

#[tokio::test]
async fn one_connection_too_many_waits() {
    let server = listen(Limits { connections_max: 2, ..Limits::default() }).await;
    let request = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut open = [server.connect().await, server.connect().await];
    for stream in &mut open {
        stream.write_all(request).await.expect("sent");
        assert_eq!(status(&read_one(stream).await), 200);
    }
    let mut third = server.connect().await;
    third.write_all(request).await.expect("sent");
    let early = timeout(Duration::from_millis(300), third.readable()).await;
    assert!(early.is_err(), "the third was answered while two were open");
    drop(open);
    assert_eq!(status(&read_one(&mut third).await), 200);
}

#[tokio::test]
async fn one_connection_too_many_of_a_client_is_closed() {
    let server = listen(Limits { connections_per_client_max: 2, ..Limits::default() }).await;
    let request = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut open = [server.connect().await, server.connect().await];
    for stream in &mut open {
        stream.write_all(request).await.expect("sent");
        assert_eq!(status(&read_one(stream).await), 200);
    }
    let mut third = server.connect().await;
    let mut nothing = [0; 1];
    let closed = timeout(PATIENCE, third.read(&mut nothing)).await.expect("in time");
    assert!(matches!(closed, Ok(0) | Err(_)));
    // The others are none the worse.
    open[0].write_all(request).await.expect("sent");
    assert_eq!(status(&read_one(&mut open[0]).await), 200);
}

/// How many more may come through, beside the burst, on a machine that is busy: as many as time has passed for.
fn refilled(began: Instant, per_second: u32) -> usize {
    (began.elapsed().as_secs_f64() * f64::from(per_second)).ceil() as usize
}

#[tokio::test]
async fn one_request_too_many_of_a_client_is_refused() {
    let server =
        listen(Limits { requests_per_second_per_client_max: 3, ..Limits::default() }).await;
    let sender = http2(&server).await;
    let began = Instant::now();
    let asked = (0..12).map(|_| {
        let mut sender = sender.clone();
        async move {
            let request = Request::get("http://x/livez").version(Version::HTTP_2);
            send(&mut sender, request.body(Body::empty()).expect("a request")).await
        }
    });
    let answers = futures::future::join_all(asked).await;
    let answered = answers.iter().filter(|answer| answer.status == 200).count();
    assert!((3..=3 + refilled(began, 3)).contains(&answered), "{answered} of 12");
    let refused = answers.iter().find(|answer| answer.status != 200).expect("one too many");
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (429, "rate_limited"));
    assert_eq!(refused.header("retry-after"), Some("1"));
}

/// One source, or everybody in one unit, cannot take all there is to have; what was one too many is told so, and stored nowhere.
#[tokio::test]
async fn one_iou_too_many_of_a_source_or_in_a_unit_is_refused() {
    let (alice, bob, carol) = (person(1), person(2), person(3));
    let of_source = Limits { ious_per_second_per_source_max: 3, ..Limits::default() };
    let in_unit = Limits { ious_per_second_per_issuer_max: 3, ..Limits::default() };
    for (limits, member, whose) in [(of_source, "source", alice), (in_unit, "symbol", alice)] {
        let server = Deployment::with(limits);
        let began = Instant::now();
        let mut cleared = Vec::new();
        let (request, answer) = loop {
            let request = issue(alice, bob, "1", cleared.len() as u64);
            let answer = server.post(request.clone()).await;
            match answer.status {
                StatusCode::CREATED => cleared.push(request),
                _ => break (request, answer),
            }
            assert!(cleared.len() <= 3 + refilled(began, 3), "{} of {member}", cleared.len());
        };
        assert!(cleared.len() >= 3, "{} of {member}", cleared.len());
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (429, "rate_limited"));
        let problem = answer.json();
        assert_eq!(problem["pointer"], format!("/data/inputs/0/data/{member}"));
        assert_eq!((&problem["limit"], &problem["retry"]), (&"3".into(), &"same".into()));
        assert!(problem["detail"].as_str().expect("text").contains(&whose.address.to_string()));
        assert_eq!(answer.header("retry-after"), Some("1"));
        // Somebody else, in another unit, is none the worse.
        assert_eq!(server.post(issue(carol, bob, "1", 1)).await.status, StatusCode::CREATED);
        // What has cleared is answered again, however little is left.
        for request in cleared {
            let again = server.post(request).await;
            assert_eq!(again.status, StatusCode::OK, "{:?}", again.json());
        }
        // The refused one was stored nowhere: in time, it clears for the first time.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(server.post(request).await.status, StatusCode::CREATED);
    }
}

/// What is another's cannot be used up by what everybody can send in his name: garbage, refusals, repeats of what has
/// cleared, and rehearsals of what has not.
#[tokio::test]
async fn nobody_else_uses_up_an_allowance() {
    let limits = Limits {
        ious_per_second_per_source_max: 2,
        ious_per_second_per_issuer_max: 2,
        ..Limits::default()
    };
    let server = Deployment::with(limits);
    let (alice, bob, mallory) = (person(1), person(2), person(3));
    let (first, second) = (issue(alice, bob, "1", 1), issue(alice, bob, "1", 2));
    assert_eq!(server.post(first.clone()).await.status, StatusCode::CREATED);
    for n in 0..20 {
        assert_eq!(server.post(first.clone()).await.status, StatusCode::OK);
        // Bob has it, and says what it would leave.
        let rehearsal = Request::post("/transaction?dry_run=true");
        let rehearsal = rehearsal.body(Body::from(second.clone())).expect("a request");
        assert_eq!(server.send(rehearsal).await.status, StatusCode::OK);
        // Signed by somebody else.
        let forged = standin::draft(alice, bob, "1", 100 + n).sign(&mallory.secret);
        assert!(server.post(standin::body(&[forged])).await.status.is_client_error());
        // In alice's unit, by somebody who has none of it.
        let mut draft = standin::draft(mallory, bob, "1", 200 + n);
        draft.symbol = alice.address;
        let refused = server.post(standin::body(&[draft.sign(&mallory.secret)])).await;
        assert_eq!(refused.code(), "balance_below_min");
    }
    assert_eq!(server.post(second).await.status, StatusCode::CREATED);
}

/// As much together as one after the other.
#[tokio::test]
async fn batches_and_crowds_have_no_more_than_single_requests() {
    let limits = Limits { ious_per_second_per_source_max: 4, ..Limits::default() };
    let (alice, bob) = (person(1), person(2));
    let refused_of = |codes: &[u64]| codes.iter().filter(|code| **code == 429).count();

    for mode in ["", "?mode=stop"] {
        let server = Deployment::with(limits.clone());
        let began = Instant::now();
        let lines = (1..=40).map(|n| issue(alice, bob, "1", n));
        let body = lines.flat_map(|line| [&line[..], b"\n"].concat()).collect::<Vec<u8>>();
        let request = Request::post(format!("/batch{mode}"));
        let request = request.header("content-type", "application/x-ndjson");
        let answer = server.send(request.body(Body::from(body)).expect("a request")).await;
        let text = String::from_utf8(answer.body.to_vec()).expect("text");
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let codes: Vec<u64> =
            lines.iter().map(|line| line["status"].as_u64().expect("a status")).collect();
        let cleared = codes.iter().filter(|code| **code == 201).count();
        assert!((4..=4 + refilled(began, 4)).contains(&cleared), "{mode} {codes:?}");
        let refused = lines.iter().find(|line| line["status"] == 429).expect("one too many");
        assert_eq!(refused["problem"]["code"], "rate_limited");
        // A line has no headers of its own.
        assert_eq!(refused["problem"]["retry_after"], 1);
        assert_eq!(refused["problem"]["pointer"], "/data/inputs/0/data/source");
        // Stopped at the first, or each answered for itself.
        let expected = if mode.is_empty() { 40 } else { cleared + 1 };
        assert_eq!(codes.len(), expected, "{codes:?}");
    }

    let server = Deployment::with(limits);
    let began = Instant::now();
    let posts = (1..=40).map(|n| {
        let (router, body) = (server.router.clone(), issue(alice, bob, "1", n));
        tokio::spawn(async move {
            let request = Request::post("/transaction").body(Body::from(body));
            standin::answer(router, request.expect("a request")).await.status.as_u16()
        })
    });
    let mut codes = Vec::new();
    for post in posts.collect::<Vec<_>>() {
        codes.push(u64::from(post.await.expect("answered")));
    }
    let cleared = codes.iter().filter(|code| **code == 201).count();
    assert!((4..=4 + refilled(began, 4)).contains(&cleared), "crowd: {codes:?}");
    assert_eq!(cleared + refused_of(&codes), 40, "{codes:?}");
}

/// A batch is no way around the limit, and none of it is lost.
#[tokio::test]
async fn lines_of_a_batch_are_requests_of_their_client() {
    let server =
        listen(Limits { requests_per_second_per_client_max: 5, ..Limits::default() }).await;
    let lines = (1..=12).map(|n| issue(person(1), person(2), "1", n));
    let body = lines.flat_map(|line| [&line[..], b"\n"].concat()).collect::<Vec<u8>>();
    let head = format!(
        "POST /batch HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
        content-type: application/x-ndjson\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let began = Instant::now();
    let answer = server.exchange(&[head.as_bytes(), &body].concat()).await;
    assert_eq!(answer.matches("\"status\":201").count(), 12, "{answer}");
    // Five at once, and seven of which each takes its fifth of a second.
    assert!(began.elapsed() >= Duration::from_millis(1_399), "{:?}", began.elapsed());
}

/// Who asks faster than he may is not allowed to keep the server busy with saying no.
#[tokio::test]
async fn a_client_far_above_its_rate_is_answered_slowly() {
    let server =
        listen(Limits { requests_per_second_per_client_max: 5, ..Limits::default() }).await;
    let mut stream = server.connect().await;
    let request = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n";
    let began = Instant::now();
    let mut answers = 0;
    while began.elapsed() < Duration::from_secs(2) {
        stream.write_all(request).await.expect("sent");
        read_one(&mut stream).await;
        answers += 1;
    }
    // The burst, as many refusals, and as many of both as two to three seconds bring.
    assert!((10..=2 * 5 * 4).contains(&answers), "{answers} answers in two seconds");
}

#[tokio::test]
async fn streams_of_one_connection_are_bounded() {
    let server = listen(Limits { http2_streams_max: 2, ..Limits::default() }).await;
    *server.deployment.stores.clear_delay_ms.lock().expect("lock") = 400;
    let mut sender = http2(&server).await;
    // The limit is known once the server's settings have come.
    let alive = Request::get("http://x/livez").version(Version::HTTP_2);
    send(&mut sender, alive.body(Body::empty()).expect("a request")).await;
    let began = Instant::now();
    let posts = (1..=4).map(|n| {
        let mut sender = sender.clone();
        tokio::spawn(async move {
            let request = Request::post("http://x/transaction").version(Version::HTTP_2);
            let body = Body::from(issue(person(1), person(2), "1", n));
            send(&mut sender, request.body(body).expect("a request")).await.status
        })
    });
    for post in posts.collect::<Vec<_>>() {
        assert_eq!(post.await.expect("sent"), StatusCode::CREATED);
    }
    // Two at a time: four of 400 ms take two rounds.
    assert!(began.elapsed() >= Duration::from_millis(800), "{:?}", began.elapsed());
}

/// The frames of one HTTP/2 connection, for what no client library sends.
fn frames(of_stream: impl Fn(u32) -> Vec<u8>, streams: u32) -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend_from_slice(&frame(4, 0, 0, b""));
    (0..streams).for_each(|n| bytes.extend_from_slice(&of_stream(2 * n + 1)));
    bytes
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A GET, with or without the end of the stream.
fn head(stream: u32, path: &str, ends: bool) -> Vec<u8> {
    let path = [&[4, path.len() as u8], path.as_bytes()].concat();
    let block = [&b"\x82\x86"[..], &path, b"\x01\x01x"].concat();
    frame(1, if ends { 5 } else { 4 }, stream, &block)
}

/// Opening and resetting costs a peer next to nothing: without an end to it, one connection keeps a server busy.
#[tokio::test]
async fn streams_that_are_reset_in_a_row_end_their_connection() {
    const ENHANCE_YOUR_CALM: u8 = 11;
    let server =
        listen(Limits { idle_timeout_ms: 500, drain_timeout_ms: 200, ..Limits::default() }).await;
    let reset =
        |stream| [head(stream, "/livez", true), frame(3, 0, stream, &[0, 0, 0, 8])].concat();
    // A window that grows beyond what it may be is a mistake, for which its stream is reset.
    let mistake = |stream| {
        [head(stream, "/livez", false), frame(8, 0, stream, &[0x7f, 255, 255, 255])].concat()
    };
    for (what, sent, calmed) in [
        ("20 resets", frames(reset, 20), false),
        ("60 resets", frames(reset, 60), true),
        ("50 mistakes", frames(mistake, 50), false),
        ("150 mistakes", frames(mistake, 150), true),
    ] {
        let mut stream = server.connect().await;
        stream.write_all(&sent).await.expect("sent");
        let mut answer = Vec::new();
        let ended = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        // What it had not read when it closed may come back as a reset of the connection.
        drop(ended.expect("the server closes the connection"));
        let mut rest = &answer[..];
        let mut last = None;
        while let [a, b, c, kind, _, _, _, _, _, after @ ..] = rest {
            let (payload, after) = after.split_at(u32::from_be_bytes([0, *a, *b, *c]) as usize);
            last = if *kind == 7 { Some(payload[7]) } else { last };
            rest = after;
        }
        assert_eq!(last == Some(ENHANCE_YOUR_CALM), calmed, "{what}: GOAWAY {last:?}");
    }
}

/// A page from elsewhere, open in somebody's browser, must not be able to read what that browser can reach.
#[tokio::test]
async fn no_page_of_another_origin_is_let_in() {
    let server = listen(Limits::default()).await;
    for (method, path, expected) in
        [("GET", "/livez", 200), ("OPTIONS", "/transaction", 405), ("OPTIONS", "/livez", 405)]
    {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\norigin: https://example.com\r\n\
            access-control-request-method: POST\r\nconnection: close\r\n\r\n"
        );
        let answer = server.exchange(request.as_bytes()).await;
        assert_eq!(status(&answer), expected, "{method} {path}");
        assert!(!answer.to_ascii_lowercase().contains("access-control-"), "{answer}");
    }
}

/// The queue's only thread is kept busy by large requests; of those that come
/// meanwhile, as many as fit wait, and the others are told at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_says_overloaded() {
    let limits = Limits {
        verify_queue_max: NonZeroUsize::new(1).expect("one"),
        verify_threads: 1,
        ..Limits::default()
    };
    let deployment = Deployment::with(limits);
    let (alice, bob) = (person(1), person(2));
    let large = |n: u64| {
        let iou = |i| standin::draft(alice, bob, "1", n * 100 + i).sign(&alice.secret);
        standin::body(&(0..40).map(iou).collect::<Vec<_>>())
    };
    let mut posts = Vec::new();
    for n in 0..60 {
        let (router, body) = (deployment.router.clone(), large(n));
        posts.push(async move {
            let request = Request::post("/transaction").body(Body::from(body));
            standin::answer(router, request.expect("a request")).await
        });
    }
    let began = Instant::now();
    let posts: Vec<_> = posts.into_iter().map(tokio::spawn).collect();
    let (mut cleared, mut refused) = (0, 0);
    for post in posts {
        let answer = post.await.expect("answered");
        match answer.status {
            StatusCode::CREATED => cleared += 1,
            _ => {
                assert_eq!(answer.code(), "overloaded");
                assert_eq!(answer.json()["retry"], "same");
                refused += 1;
            }
        }
    }
    assert!(cleared > 0 && refused > 0, "{cleared} cleared, {refused} refused");
    assert!(began.elapsed() < PATIENCE);
    // Nothing of it lasts: the next is served.
    assert_eq!(deployment.post(issue(alice, bob, "1", 9_999)).await.status, StatusCode::CREATED);
}

/// What many send together is bounded, to the byte, until they are answered.
#[tokio::test]
async fn bodies_in_flight_are_bounded_together() {
    let small = issue(person(1), person(2), "1", 1);
    for (over, expected) in [(0, 201), (1, 503)] {
        let limits = Limits { body_bytes_in_flight_max: 2 * BODY_MAX, ..Limits::default() };
        let server = listen(limits).await;
        *server.deployment.stores.clear_delay_ms.lock().expect("lock") = 600_000;
        let mut large = [(2, BODY_MAX), (3, BODY_MAX - small.len() + over)].map(|(n, size)| {
            let (address, bytes) = (server.address, post(&grown(n, size)));
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await.expect("a connection");
                stream.write_all(&bytes).await.expect("sent");
                read_to_end(&mut stream).await
            })
        });
        for _ in &large {
            server.deployment.stores.clearing.notified().await;
        }
        *server.deployment.stores.clear_delay_ms.lock().expect("lock") = 0;
        let answer = server.exchange(&post(&small)).await;
        assert_eq!(status(&answer), expected, "{over}");
        if expected == 503 {
            assert_eq!(code(&answer), "overloaded");
        }
        server.deployment.stores.go_on.notify_waiters();
        for large in &mut large {
            assert_eq!(status(&large.await.expect("sent")), 201);
        }
        // Nothing of it lasts.
        assert_eq!(status(&server.exchange(&post(&grown(4, BODY_MAX))).await), 201);
    }
}

/// The head of a batch, whose body comes in chunks.
const BATCH: &[u8] = b"POST /batch HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
    content-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n";

fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

/// What is thrown away of a batch takes no room from everybody else.
#[tokio::test]
async fn what_a_batch_does_not_hold_takes_no_room() {
    for (nothing, expected) in [(b'x', [413, 201].as_slice()), (b' ', &[201]), (b'\n', &[201])] {
        let limits = Limits { body_bytes_in_flight_max: 2 * BODY_MAX, ..Limits::default() };
        let server = listen(limits).await;
        let mut bytes = BATCH.to_vec();
        for _ in 0..64 {
            bytes.extend(chunk(&[nothing; 16 * 1024]));
        }
        bytes.extend(chunk(&[b"\n", &issue(person(1), person(2), "1", 1)[..], b"\n"].concat()));
        bytes.extend(chunk(b""));
        let answer = server.exchange(&bytes).await;
        let statuses = answer.split("\"status\":").skip(1).filter_map(|rest| rest.get(..3));
        let lines: Vec<u16> = statuses.filter_map(|status| status.parse().ok()).collect();
        // The document of a problem says its status as well.
        assert_eq!(lines.first(), expected.first(), "{answer}");
        assert_eq!(lines.last(), expected.last(), "{answer}");
    }
}

/// A request that comes byte by byte would keep the room of others for ever; a batch may last all the same.
#[tokio::test]
async fn each_request_of_a_batch_has_its_time_and_no_more() {
    let limits = Limits { body_read_timeout_ms: 2_000, ..Limits::default() };
    let server = listen(limits).await;
    let (pause, bytes) = (Duration::from_millis(300), issue(person(1), person(2), "1", 1));
    let halves = bytes.split_at(bytes.len() / 2);
    let mut lasting = server.connect().await;
    lasting.write_all(BATCH).await.expect("sent");
    for _ in 0..5 {
        for half in [halves.0, &[halves.1, b"\n"].concat()] {
            lasting.write_all(&chunk(half)).await.expect("sent");
            tokio::time::sleep(pause).await;
        }
    }
    lasting.write_all(&chunk(b"")).await.expect("sent");
    let answer = read_to_end(&mut lasting).await;
    assert_eq!(answer.matches(",\"data\":").count(), 5, "{answer}");

    let (mut answer, mut endless) = server.connect().await.into_split();
    let sending = tokio::spawn(async move {
        endless.write_all(BATCH).await.expect("sent");
        while endless.write_all(&chunk(b"x")).await.is_ok() {
            tokio::time::sleep(pause).await;
        }
    });
    let mut ended = Vec::new();
    // What was still sent when the server closed may come back as a reset.
    drop(timeout(PATIENCE, answer.read_to_end(&mut ended)).await.expect("in time"));
    let ended = String::from_utf8_lossy(&ended);
    assert!(ended.contains("\"code\":\"unavailable\""), "{ended}");
    drop(answer);
    timeout(PATIENCE, sending).await.expect("cut in time").expect("sent");
}

/// RFC 9110, section 8.6: of an answer that is not sent, another length than its own
/// would be believed by a cache.
#[tokio::test]
async fn what_is_not_modified_has_no_length() {
    let server = listen(Limits::default()).await;
    let posted = server.deployment.post(issue(person(1), person(2), "1", 1)).await;
    assert_eq!(posted.status, StatusCode::CREATED);
    let mut sender = http2(&server).await;
    let ask = |tag: Option<&str>| {
        let request = Request::get("http://x/transaction/1").version(Version::HTTP_2);
        let request = match tag {
            Some(tag) => request.header("if-none-match", tag),
            None => request,
        };
        request.body(Body::empty()).expect("a request")
    };
    let whole = send(&mut sender, ask(None)).await;
    let tag = whole.headers["etag"].to_str().expect("text").to_owned();
    assert!(whole.headers.contains_key("content-length"));
    let answer = send(&mut sender, ask(Some(&tag))).await;
    assert_eq!(answer.status, StatusCode::NOT_MODIFIED);
    assert!(!answer.headers.contains_key("content-length"), "{:?}", answer.headers);
}

/// A client that waits for the end of the answer, before it ends its batch, gets it.
#[tokio::test]
async fn a_batch_that_has_stopped_is_not_waited_for() {
    let server = listen(Limits { body_read_timeout_ms: 300, ..Limits::default() }).await;
    let mut stream = server.connect().await;
    let stopping = String::from_utf8_lossy(BATCH).replace("/batch", "/batch?mode=stop");
    // At once: the head alone might be waited for too long.
    let bytes = [stopping.as_bytes(), &chunk(b"nonsense\n")].concat();
    stream.write_all(&bytes).await.expect("sent");
    let answer = read_to_end(&mut stream).await;
    assert!(answer.contains("\"code\":\"malformed\"") && answer.ends_with("0\r\n\r\n"), "{answer}");
}

/// Data after the head of an answer to HEAD breaks the stream for strict clients.
#[tokio::test]
async fn a_refusal_of_head_has_no_body() {
    let server =
        listen(Limits { requests_per_second_per_client_max: 1, ..Limits::default() }).await;
    let mut sender = http2(&server).await;
    let mut refused = false;
    // On a busy machine a second may pass between two.
    while !refused {
        let request = Request::head("http://x/livez").version(Version::HTTP_2);
        let answer = send(&mut sender, request.body(Body::empty()).expect("a request")).await;
        assert!(answer.body.is_empty(), "{:?}", answer.body);
        refused = answer.status == StatusCode::TOO_MANY_REQUESTS;
    }
}

#[tokio::test]
async fn shutting_down_lets_what_is_in_flight_end() {
    let server = listen(Limits { drain_timeout_ms: 600_000, ..Limits::default() }).await;
    *server.deployment.stores.clear_delay_ms.lock().expect("lock") = 600_000;
    let mut busy = server.connect().await;
    let body = issue(person(1), person(2), "1", 1);
    let head =
        format!("POST /transaction HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
    busy.write_all(&[head.as_bytes(), &body].concat()).await.expect("sent");
    let mut idle = server.connect().await;
    idle.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    read_one(&mut idle).await;
    server.deployment.stores.clearing.notified().await;
    server.shutdown.cancel();
    assert_eq!(read_to_end(&mut idle).await, "");
    server.deployment.stores.go_on.notify_waiters();
    let answer = read_to_end(&mut busy).await;
    assert_eq!(status(&answer), 201);
    timeout(PATIENCE, server.served).await.expect("in time").expect("served");
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn shutting_down_does_not_wait_for_ever() {
    let server = listen(Limits { drain_timeout_ms: 300, ..Limits::default() }).await;
    *server.deployment.stores.clear_delay_ms.lock().expect("lock") = 600_000;
    let mut busy = server.connect().await;
    busy.write_all(&post(&issue(person(1), person(2), "1", 1))).await.expect("sent");
    server.deployment.stores.clearing.notified().await;
    server.shutdown.cancel();
    timeout(PATIENCE, server.served).await.expect("in time").expect("served");
}

/// What is no HTTP is refused, and the next connection is served.
#[tokio::test]
async fn nonsense_on_a_socket_does_no_harm() {
    let server = listen(Limits { header_read_timeout_ms: 300, ..Limits::default() }).await;
    for (bytes, expected) in [
        (&b"\0\0\0\0\r\n\r\n"[..], Some(400)),
        (b"GET\r\n\r\n", Some(400)),
        (b"GET / HTTP/9.9\r\n\r\n", Some(400)),
        (b"GET /livez HTTP/1.1\r\nconnection: close\r\n\r\n", Some(400)),
        (b"GET /livez HTTP/1.1\r\nhost: x\r\nhost: y\r\nconnection: close\r\n\r\n", Some(400)),
        (b"POST /transaction HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\nzz\r\nabc\r\n0\r\n\r\n", Some(400)),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", Some(400)),
        (b"POST /transaction HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n", Some(400)),
        (b"POST /transaction HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx", Some(400)),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnonsense nonsense nonsense", None),
    ] {
        let mut stream = server.connect().await;
        stream.write_all(bytes).await.expect("sent");
        let mut answer = Vec::new();
        // Closed or reset; never left open.
        let closed = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        assert!(closed.is_ok(), "{bytes:?}");
        if let Some(expected) = expected {
            assert_eq!(status(&String::from_utf8_lossy(&answer)), expected, "{bytes:?}");
        }
    }
    let alive =
        server.exchange(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert_eq!(status(&alive), 200);
}
