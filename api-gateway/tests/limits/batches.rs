//! Batches: what is held of one, and how long each of its requests may take.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use webwallet_api_gateway::Limits;

use crate::listening::{BODY_MAX, PATIENCE, listen, read_to_end};
use crate::standin::{issue, person};

/// The head of a batch, whose body comes in chunks.
pub const BATCH: &[u8] = b"POST /batch HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
    content-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n";

pub fn chunk(bytes: &[u8]) -> Vec<u8> {
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
