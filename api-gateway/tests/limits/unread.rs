//! Answers that nobody reads, or too slowly: what is made for them is bounded, and given
//! up in time.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use webwallet_api_gateway::Limits;

use crate::batches::{BATCH, chunk};
use crate::listening::{PATIENCE, code, listen, post, status};
use crate::standin::{LARGE, body, draft, issue, person};
use crate::streams::{frame, head};

/// Answers that nobody reads hold what is to go into them, and so room of others.
#[tokio::test]
async fn a_batch_whose_answers_are_not_read_is_cut() {
    let limits = Limits { idle_timeout_ms: 300, drain_timeout_ms: 200, ..Limits::default() };
    let server = listen(limits).await;
    let mut stream = server.connect().await;
    stream.write_all(BATCH).await.expect("sent");
    let some = chunk("x\n".repeat(4_096).as_bytes());
    let unread = async {
        loop {
            if let Err(cut) = stream.write_all(&some).await {
                return cut;
            }
        }
    };
    timeout(PATIENCE, unread).await.expect("cut in time");
}

const BUNDLE: &[u8] = b"GET /tile/entries/000 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

/// What is made for clients who do not read it is bounded, and given up in time.
#[tokio::test]
async fn large_answers_that_are_not_read_are_bounded_together() {
    let limits = Limits {
        answer_bytes_in_flight_max: 0,
        idle_timeout_ms: 1_500,
        drain_timeout_ms: 200,
        ..Limits::default()
    };
    let server = listen(limits).await;
    // Two of them find room.
    let mut unread = [server.connect().await, server.connect().await];
    for stream in &mut unread {
        stream.write_all(BUNDLE).await.expect("sent");
        let mut head = [0; 12];
        stream.read_exact(&mut head).await.expect("the answer begins");
        assert_eq!(&head, b"HTTP/1.1 200");
    }
    let refused = server.exchange(BUNDLE).await;
    assert_eq!((status(&refused), code(&refused).as_str()), (503, "overloaded"));
    // Small ones are not held up; and what nobody reads is given up.
    assert_eq!(
        status(
            &server.exchange(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await
        ),
        200
    );
    let served = async {
        loop {
            let answer = server.exchange(BUNDLE).await;
            if status(&answer) == 200 {
                break answer;
            }
        }
    };
    let answer = timeout(PATIENCE, served).await.expect("in time");
    assert_eq!(answer.split_once("\r\n\r\n").expect("a body").1.len(), LARGE.len());
    drop(unread);
}

/// An auditor on a thin line gets his bundle, as long as he reads it.
#[tokio::test]
async fn a_large_answer_that_is_read_slowly_comes_whole() {
    let limits = Limits { idle_timeout_ms: 2_000, drain_timeout_ms: 100, ..Limits::default() };
    let server = listen(limits).await;
    let mut stream = server.connect().await;
    stream.write_all(BUNDLE).await.expect("sent");
    let (mut buffer, mut length) = (vec![0; 512 * 1024], 0);
    // What the kernel holds is read at once; the rest takes longer than any time-out.
    loop {
        let n = timeout(PATIENCE, stream.read(&mut buffer)).await.expect("in time").expect("read");
        if n == 0 {
            break;
        }
        length += n;
        tokio::time::sleep(Duration::from_millis(n as u64 / 4096)).await;
    }
    assert!(length > LARGE.len(), "{length}");
}

/// The beginning of an HTTP/2 connection on which nothing can be sent back: its windows
/// have no room.
fn blind() -> Vec<u8> {
    let settings = frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]);
    [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &settings].concat()
}

/// A connection has many answers at a time; whoever reads none of them, and asks on,
/// would have them all kept for as long as he likes.
#[tokio::test]
async fn small_answers_that_are_not_read_end_their_connection() {
    let limits = Limits { idle_timeout_ms: 600, drain_timeout_ms: 200, ..Limits::default() };
    let server = listen(limits).await;
    let mut stream = server.connect().await;
    stream.write_all(&blind()).await.expect("sent");
    let asking = async {
        for n in 0.. {
            if stream.write_all(&head(2 * n + 1, "/livez", true)).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, asking).await.expect("cut in time");
}

/// Many answers of some kilobytes take as much as a few of megabytes. But that something
/// has cleared is said whatever others leave unread.
#[tokio::test]
async fn answers_of_some_kilobytes_are_bounded_with_the_large_ones() {
    let limits = Limits { answer_bytes_in_flight_max: 0, ..Limits::default() };
    let server = listen(limits).await;
    let inputs = (1..=30).flat_map(|n| {
        let body = issue(person(1), person(2), "1", n);
        let mut body: Value = serde_json::from_slice(&body).expect("JSON");
        body["data"]["inputs"].as_array_mut().map(std::mem::take).expect("inputs")
    });
    let body = serde_json::json!({ "data": { "inputs": inputs.collect::<Vec<_>>() } }).to_string();
    assert_eq!(status(&server.exchange(&post(body.as_bytes())).await), 201);
    let record = b"GET /transaction/1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let size = server.exchange(record).await.len();
    assert!((20_000..60_000).contains(&size), "{size}");

    let mut unread = [server.connect().await, server.connect().await];
    for stream in &mut unread {
        stream.write_all(BUNDLE).await.expect("sent");
        stream.read_exact(&mut [0; 12]).await.expect("the answer begins");
    }
    let mut stream = server.connect().await;
    let asked = (0..120).map(|n| head(2 * n + 1, "/transaction/1", true)).collect::<Vec<_>>();
    stream.write_all(&[blind(), asked.concat()].concat()).await.expect("sent");
    let refused = async {
        loop {
            let answer = server.exchange(record).await;
            if status(&answer) != 200 {
                break answer;
            }
        }
    };
    let refused = timeout(PATIENCE, refused).await.expect("in time");
    assert_eq!((status(&refused), code(&refused).as_str()), (503, "overloaded"));
    assert_eq!(status(&server.exchange(&post(body.as_bytes())).await), 200);
}

fn open(method: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
        content-type: application/x-ndjson\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Pages and streams of events and the answers to batches have no size, and were in no room:
/// one client had a gateway hold 1.5 GB of them.
#[tokio::test]
async fn what_comes_as_it_is_made_and_is_not_read_is_bounded_together() {
    let room = 64 << 20;
    let server = listen(Limits { answer_bytes_in_flight_max: room, ..Limits::default() }).await;
    let payment = |n| issue(person(1), person(2), "1", n);
    assert_eq!(status(&server.exchange(&post(&payment(1))).await), 201);
    let events = open("GET", "/events", b"");
    let places = u32::try_from(room / 4 * 3 / (192 << 10)).expect("few");
    let mut unread = Vec::new();
    for asked in [places / 2, places / 2 - 1] {
        let mut stream = server.connect().await;
        let asked = (0..asked).map(|n| head(2 * n + 1, "/events", true)).collect::<Vec<_>>();
        stream.write_all(&[blind(), asked.concat()].concat()).await.expect("sent");
        unread.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(status(&server.exchange(&events).await), 200, "the last place");
    let mut last = server.connect().await;
    last.write_all(&[blind(), head(1, "/events", true)].concat()).await.expect("sent");
    let refused = async {
        loop {
            let answer = server.exchange(&events).await;
            if status(&answer) != 200 {
                break answer;
            }
        }
    };
    let refused = timeout(PATIENCE, refused).await.expect("in time");
    assert_eq!((status(&refused), code(&refused).as_str()), (503, "overloaded"));
    // Others are served, and batches clear.
    assert_eq!(status(&server.exchange(BUNDLE).await), 200);
    let batch = open("POST", "/batch", &payment(2));
    let cleared = server.exchange(&batch).await;
    assert!(status(&cleared) == 200 && cleared.contains("\"status\":201"), "{cleared}");
    drop((unread, last));
    let served = async { while status(&server.exchange(&events).await) != 200 {} };
    timeout(PATIENCE, served).await.expect("in time");
}

/// A line of some bytes is answered with both requests of a conflict; sixty-three of them
/// may be made before the one ahead of them is. They wait for room that others do not give
/// back, and are not lost: what they answer has cleared.
#[tokio::test]
async fn long_lines_of_a_batch_wait_for_room() {
    let limits = Limits { answer_bytes_in_flight_max: 0, ..Limits::default() };
    let server = listen(limits).await;
    let inputs = (1..=60).map(|n| draft(person(1), person(2), "1", n).sign(&person(1).secret));
    let together = body(&inputs.collect::<Vec<_>>());
    assert_eq!(status(&server.exchange(&post(&together)).await), 201);
    let conflict = [issue(person(1), person(2), "1", 1), b"\n".to_vec()].concat();
    let batch = async |slow| {
        *server.deployment.stores.put_delay_ms.lock().expect("lock") = 1_000;
        let slow = [issue(person(1), person(2), "1", slow), b"\n".to_vec()].concat();
        let batch = open("POST", "/batch", &[slow, conflict.repeat(80)].concat());
        server.exchange(&batch).await
    };
    let whole = batch(100).await;
    assert_eq!(whole.matches("\"code\":\"iou_already_cleared\"").count(), 80);
    assert!(whole.len() > 80 * 40_000 && whole.ends_with("0\r\n\r\n"), "{}", whole.len());

    let mut unread = [server.connect().await, server.connect().await];
    for stream in &mut unread {
        stream.write_all(BUNDLE).await.expect("sent");
        stream.read_exact(&mut [0; 12]).await.expect("the answer begins");
    }
    let whole = batch(101).await;
    assert_eq!(whole.matches("\"code\":\"iou_already_cleared\"").count(), 80);
    assert!(whole.ends_with("0\r\n\r\n"), "{}", whole.len());
}
