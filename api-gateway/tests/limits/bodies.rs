//! Bodies: how large each may be, how long it is waited for, and how many at once.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use axum::body::Body;
use http::{Request, StatusCode, Version};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use webwallet_api_gateway::Limits;

use crate::listening::{
    BODY_MAX, PATIENCE, code, grown, http2, listen, post, post_chunked, read_one, read_to_end,
    send, status,
};
use crate::standin::{self, Deployment, issue, person};

/// A request that just fits would be refused, or over one protocol any size be let in.
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

/// A client that asks before it sends, as those of Java and Node may, would wait for leave for
/// ever, and its payments would not clear.
#[tokio::test]
async fn whoever_asks_first_is_let_send() {
    let server = listen(Limits::default()).await;
    for (n, path, expected) in [(1, "/transaction", "201"), (2, "/batch", "200")] {
        let body = issue(person(1), person(2), "10", n);
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        let mut stream = server.connect().await;
        stream.write_all(head.as_bytes()).await.expect("sent");
        let mut leave = [0; 25];
        let asked = timeout(PATIENCE, stream.read_exact(&mut leave)).await;
        asked.expect("an answer").expect("leave");
        assert_eq!(&leave, b"HTTP/1.1 100 Continue\r\n\r\n", "{path}");
        stream.write_all(&body).await.expect("sent");
        let answer = read_to_end(&mut stream).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{path}: {answer}");
        assert!(answer.contains(&format!("\"number\":\"{n}\"")), "{path}: {answer}");
    }
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
