//! Connections: how many, how long silent, and how they end.

use std::time::{Duration, Instant};

use axum::body::Body;
use http::{Request, StatusCode, Version};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use webwallet_api_gateway::Limits;

use crate::listening::{
    Listening, PATIENCE, code, http2, listen, post, read_one, read_to_end, send, status,
};
use crate::standin::{issue, person};

/// Strangers would fill the memory with headers, or clients within the limit be turned away.
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

/// Connections that say nothing would pile up, until nobody who pays gets one.
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

/// Whoever pays while a store hangs would hear nothing, and not know that he may send again.
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

const ALIVE: &[u8] = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n";

/// Two connections that have been answered and stay open.
async fn two_in_use(server: &Listening) -> [TcpStream; 2] {
    let mut open = [server.connect().await, server.connect().await];
    for stream in &mut open {
        stream.write_all(ALIVE).await.expect("sent");
        assert_eq!(status(&read_one(stream).await), 200);
    }
    open
}

/// In a crowd people would be turned away, or the server take more than its machine has.
#[tokio::test]
async fn one_connection_too_many_waits() {
    let server = listen(Limits { connections_max: 2, ..Limits::default() }).await;
    let open = two_in_use(&server).await;
    let mut third = server.connect().await;
    third.write_all(ALIVE).await.expect("sent");
    let early = timeout(Duration::from_millis(300), third.readable()).await;
    assert!(early.is_err(), "the third was answered while two were open");
    drop(open);
    assert_eq!(status(&read_one(&mut third).await), 200);
}

/// One client would take everybody's connections, or lose its own by asking for one too many.
#[tokio::test]
async fn one_connection_too_many_of_a_client_is_closed() {
    let server = listen(Limits { connections_per_client_max: 2, ..Limits::default() }).await;
    let mut open = two_in_use(&server).await;
    let mut third = server.connect().await;
    let mut nothing = [0; 1];
    let closed = timeout(PATIENCE, third.read(&mut nothing)).await.expect("in time");
    assert!(matches!(closed, Ok(0) | Err(_)));
    // The others are none the worse.
    open[0].write_all(ALIVE).await.expect("sent");
    assert_eq!(status(&read_one(&mut open[0]).await), 200);
}

/// At every upgrade somebody would not hear that his payment has cleared.
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
    idle.write_all(ALIVE).await.expect("sent");
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

/// A store that hangs would keep an operator from ever restarting a gateway.
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
        (b"GET /livez HTTP/1.1\r\nhost: x, y\r\nconnection: close\r\n\r\n", Some(400)),
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
