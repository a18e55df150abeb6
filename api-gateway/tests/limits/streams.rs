//! Streams of an HTTP/2 connection: how many, and how many of them in vain.

use std::time::{Duration, Instant};

use axum::body::Body;
use http::{Request, StatusCode, Version};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use webwallet_api_gateway::Limits;

use crate::listening::{PATIENCE, http2, listen, send};
use crate::standin::{issue, person};

/// One connection would have as much under way as it likes, and everybody else wait.
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

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A GET, with or without the end of the stream.
pub fn head(stream: u32, path: &str, ends: bool) -> Vec<u8> {
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
