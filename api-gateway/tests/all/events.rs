//! Following what clears. If this failed, a shop would not see a payment, or
//! would see it twice.

use axum::body::{Body, BodyDataStream};
use futures::StreamExt as _;
use http::{Request, StatusCode};
use serde_json::Value;
use webwallet_api_gateway::schema;
use webwallet_ledger::Hash;
use webwallet_proto::blockstack::v1::Receipt;

use crate::standin::{Answer, Deployment, body, draft, issue, person};

/// So many payments, one after another.
async fn pay(server: &Deployment, from: u64, count: u64) {
    let [alice, bob] = [1, 2].map(person);
    for n in from..from + count {
        assert_eq!(server.post(issue(alice, bob, "1", n)).await.status, StatusCode::CREATED);
    }
}

async fn ask(server: &Deployment, path: &str, headers: &[(&str, &str)]) -> Answer {
    let request =
        headers.iter().fold(Request::get(path), |r, (name, value)| r.header(*name, *value));
    server.send(request.body(Body::empty()).expect("a request")).await
}

/// A stream of events, as its reader has it.
struct Stream {
    body: BodyDataStream,
    text: String,
}

impl Stream {
    async fn open(server: &Deployment, path: &str, last: Option<&str>) -> Stream {
        use tower::ServiceExt as _;
        let mut request = Request::get(path).header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let request = request.body(Body::empty()).expect("a request");
        let response = server.router.clone().oneshot(request).await.expect("infallible");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        // Or nothing reaches a reader behind nginx.
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        Stream { body: response.into_body().into_data_stream(), text: String::new() }
    }

    /// The next block of lines; none at the end.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(block);
            }
            let bytes = self.body.next().await?.expect("a body");
            self.text.push_str(std::str::from_utf8(&bytes).expect("UTF-8"));
        }
    }

    /// The number of the next event, which must say it everywhere.
    async fn number(&mut self) -> u64 {
        loop {
            let block = self.block().await.expect("a stream goes on");
            let Some((id, data)) = block.split_once("\ndata: ") else { continue };
            let event: schema::Event = serde_json::from_str(data).expect("an event");
            assert_eq!(id, format!("id: {}", event.number));
            assert_eq!(event.transaction.data.number, event.number);
            return event.number.parse().expect("a number");
        }
    }
}

fn numbers(page: &Answer) -> Vec<u64> {
    assert_eq!(
        (page.status, page.header("content-type")),
        (StatusCode::OK, Some("application/x-ndjson"))
    );
    let lines = std::str::from_utf8(&page.body).expect("UTF-8").lines();
    let number = |line| {
        let event: schema::Event = serde_json::from_str(line).expect("an event");
        assert_eq!(
            serde_json::to_value(&event).expect("JSON"),
            serde_json::from_str::<Value>(line).expect("JSON")
        );
        assert_eq!(event.hash, event.transaction.hash.value);
        assert_eq!(event.time, event.transaction.data.time);
        event.number.parse().expect("a number")
    };
    lines.map(number).collect()
}

#[tokio::test]
async fn pages_follow_one_another_without_a_gap() {
    let server = Deployment::new();
    assert_eq!(numbers(&server.get("/events").await), [] as [u64; 0]);
    pay(&server, 1, 150).await;
    assert_eq!(numbers(&server.get("/events").await), (1..=150).collect::<Vec<_>>());
    assert_eq!(numbers(&server.get("/events?after=97&limit=3").await), [98, 99, 100]);
    let all = numbers(
        &ask(&server, "/events?after=0&limit=101", &[("accept", "application/x-ndjson")]).await,
    );
    assert_eq!(all, (1..=101).collect::<Vec<_>>());
    assert_eq!(numbers(&server.get("/events?after=150").await), [] as [u64; 0]);
    // Whoever has seen more than there is would never be told what comes up to there.
    for after in ["151", "18446744073709551615"] {
        let refused = server.get(&format!("/events?after={after}")).await;
        assert_eq!(refused.code(), "not_found", "{after}");
        let last = [("accept", "text/event-stream"), ("last-event-id", after)];
        let refused = ask(&server, "/events", &last).await;
        assert_eq!(refused.code(), "not_found", "{after}");
        assert!(refused.json()["detail"].as_str().is_some_and(|why| why.contains("is 150")));
    }
    for wrong in ["after=-1", "after=x", "limit=0", "limit=1001", "skip=1"] {
        assert_eq!(
            server.get(&format!("/events?{wrong}")).await.code(),
            "parameter_invalid",
            "{wrong}"
        );
    }
    let stream = |name, value| [("accept", "text/event-stream"), (name, value)];
    for (path, headers) in
        [("/events?limit=1", stream("x", "y")), ("/events", stream("last-event-id", "x"))]
    {
        assert_eq!(ask(&server, path, &headers).await.code(), "parameter_invalid", "{path}");
    }
    let twice = [stream("last-event-id", "1"), stream("last-event-id", "2")].concat();
    assert_eq!(ask(&server, "/events", &twice).await.code(), "parameter_invalid");
}

/// With Hashtable away, a page that is read one by one from the others takes hours.
#[tokio::test]
async fn what_was_dropped_is_read_from_hashtable_or_from_the_log() {
    let server = Deployment::new();
    pay(&server, 1, 3).await;
    let page = numbers(&server.get("/events").await);
    let sealed = server.get("/events").await;
    let receipts = sealed.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let receipts = receipts.map(|line| {
        let event: Value = serde_json::from_slice(line).expect("an event");
        let hash: Hash = event["hash"].as_str().expect("a hash").parse().expect("a hash");
        let number = event["number"].as_str().expect("a number").parse().expect("a number");
        let record = server.stores.documents.lock().expect("lock")[&hash.0.to_vec()].clone();
        Receipt { number, hash: hash.0.to_vec().into(), record, ..Receipt::default() }
    });
    *server.stores.sealed.lock().expect("lock") = receipts.collect();
    server.stores.fail("cleared", tonic::Code::OutOfRange);
    server.stores.fail("numbered", tonic::Code::Unavailable);
    server.stores.fail("get", tonic::Code::Unavailable);
    assert_eq!(numbers(&server.get("/events").await), page);
}

/// Silence would say that nothing has cleared, which nobody knows any more.
#[tokio::test]
async fn a_silent_stream_ends_when_the_server_becomes_read_only() {
    let server = Deployment::new();
    let mut stream = Stream::open(&server, "/events", None).await;
    *server.stores.read_only.lock().expect("lock") = Some("Graphstore is behind".into());
    assert_eq!(stream.block().await.as_deref(), Some("retry: 1000\nid: 0"));
    assert_eq!(stream.block().await, None);
}

/// A store that fails in the middle of a page must not look like the end.
#[tokio::test]
async fn a_page_that_cannot_be_ended_is_cut_and_one_that_cannot_begin_is_refused() {
    let server = Deployment::new();
    pay(&server, 1, 3).await;
    server.stores.fail("cleared", tonic::Code::Unavailable);
    assert_eq!(server.get("/events").await.code(), "unavailable");
    // What Graphstore has dropped is in Hashtable.
    server.stores.fail("cleared", tonic::Code::OutOfRange);
    assert_eq!(numbers(&server.get("/events?after=1").await), [2, 3]);
    server.stores.fail("numbered", tonic::Code::Unavailable);
    // And where that is away too, one by one from whoever has it.
    assert_eq!(numbers(&server.get("/events?after=1&limit=1").await), [2]);
    server.stores.fail("record", tonic::Code::Unavailable);
    assert_eq!(server.get("/events").await.code(), "unavailable");
}

#[tokio::test]
async fn a_stream_starts_where_it_is_told() {
    let server = Deployment::new();
    pay(&server, 1, 5).await;
    let mut now = Stream::open(&server, "/events", None).await;
    assert_eq!(now.block().await.as_deref(), Some("retry: 1000\nid: 5"));
    let mut first = Stream::open(&server, "/events?after=0", None).await;
    let mut resumed = Stream::open(&server, "/events?after=0", Some("3")).await;
    assert_eq!(resumed.block().await.as_deref(), Some("retry: 1000\nid: 3"));
    pay(&server, 6, 2).await;
    for number in 6..=7 {
        assert_eq!(now.number().await, number);
    }
    for number in 1..=7 {
        assert_eq!(first.number().await, number);
    }
    for number in 4..=7 {
        assert_eq!(resumed.number().await, number);
    }
    server.gateway.drain();
    // It ends with the server, and not before.
    assert_eq!(now.block().await, None);
}

/// Whoever reads more slowly than payments come gets all of them, and keeps
/// nobody waiting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_lags_is_served_from_the_history() {
    let server = Deployment::new();
    let mut slow = Stream::open(&server, "/events", None).await;
    let mut quick = Stream::open(&server, "/events", None).await;
    // More than is kept at hand, which is 16 MiB: large ones, in which thirty are paid.
    let [alice, bob] = [1, 2].map(person);
    let (mut paid, mut bytes) = (0, 0);
    while bytes < 20 * 1024 * 1024 {
        let iou = |n| draft(alice, bob, "1", paid * 100 + n).sign(&alice.secret);
        let cleared = server.post(body(&(0..30).map(iou).collect::<Vec<_>>())).await;
        assert_eq!(cleared.status, StatusCode::CREATED);
        (paid, bytes) = (paid + 1, bytes + cleared.body.len());
        assert_eq!(quick.number().await, paid);
    }
    for number in 1..=paid {
        assert_eq!(slow.number().await, number);
    }
    pay(&server, 1_000_000, 1).await;
    assert_eq!((slow.number().await, quick.number().await), (paid + 1, paid + 1));
}

/// A store that is away for a while delays what clears; it is not passed over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_outlives_a_store_that_is_away() {
    let server = Deployment::new();
    let mut stream = Stream::open(&server, "/events", None).await;
    server.stores.fail("cleared", tonic::Code::Unavailable);
    pay(&server, 1, 3).await;
    let mut late = Stream::open(&server, "/events?after=1", None).await;
    server.stores.mend();
    for number in 1..=3 {
        assert_eq!(stream.number().await, number);
    }
    assert_eq!((late.number().await, late.number().await), (2, 3));
}
