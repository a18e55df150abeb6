//! Batches, without a socket. If these failed, somebody who sends a thousand
//! payments would not know which of them have cleared.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::body::{Body, BodyDataStream, Bytes};
use futures::StreamExt as _;
use futures::channel::mpsc;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use webwallet_api_gateway::schema;

use crate::standin::{Deployment, body, draft, issue, person};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

async fn send(server: &Deployment, query: &str, body: Body) -> BodyDataStream {
    // Its form is seen where it begins.
    ask(server, Request::post(format!("/batch{query}")).body(body).expect("a request")).await
}

async fn ask(server: &Deployment, request: Request<Body>) -> BodyDataStream {
    let response = server.router.clone().oneshot(request).await.expect("infallible");
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    // Or who sends through nginx and waits for an answer before the next request waits for ever.
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    response.into_body().into_data_stream()
}

/// The lines of an answer that has come whole.
async fn lines(mut answer: BodyDataStream) -> Vec<schema::BatchLine> {
    let mut text = Vec::new();
    while let Some(bytes) = answer.next().await {
        text.extend_from_slice(&bytes.expect("a body"));
    }
    let text = String::from_utf8(text).expect("UTF-8");
    let line = |(index, text): (usize, &str)| {
        let line: schema::BatchLine = serde_json::from_str(text).expect("a line");
        assert_eq!(
            serde_json::to_value(&line).expect("JSON"),
            serde_json::from_str::<Value>(text).expect("JSON")
        );
        assert_eq!(line.index, index as u64);
        line
    };
    text.lines().enumerate().map(line).collect()
}

fn statuses(lines: &[schema::BatchLine]) -> Vec<u16> {
    lines.iter().map(|line| line.status).collect()
}

/// In order: bob pays what he has from the line before; a repeat, nonsense and a
/// payment too many are refused each for itself.
fn requests() -> Vec<Vec<u8>> {
    let [alice, bob, carol] = [1, 2, 3].map(person);
    let of_bob = |amount, random| {
        let mut iou = draft(bob, carol, amount, random);
        iou.symbol = alice.address;
        body(&[iou.sign(&bob.secret)])
    };
    vec![
        issue(alice, bob, "10", 1),
        of_bob("4", 2),
        of_bob("7", 3),
        b"nonsense".to_vec(),
        issue(alice, bob, "10", 1),
        of_bob("6", 4),
        vec![b'x'; 128 * 1024 + 1],
        issue(alice, bob, "1", 5),
    ]
}

const STATUSES: [u16; 8] = [201, 201, 422, 400, 200, 201, 413, 201];

#[tokio::test]
async fn each_request_is_answered_as_if_it_were_alone() {
    for separator in ["\n", ","] {
        let server = Deployment::new();
        // Whoever is quicker than the one before waits for it.
        *server.stores.put_delay_ms.lock().expect("lock") = 100;
        let (first, last) = if separator == "," { ("[", "]") } else { ("", "\n") };
        let text = requests().join(separator.as_bytes());
        let text = [first.as_bytes(), &text, last.as_bytes()].concat();
        let answered = lines(send(&server, "", text.into()).await).await;
        assert_eq!(statuses(&answered), STATUSES, "{separator:?}");
        let alone = Deployment::new();
        for (line, request) in answered.iter().zip(requests()) {
            let answer = alone.post(request).await;
            assert_eq!(line.status, answer.status.as_u16());
            let mut expected = answer.json();
            match &line.problem {
                None => assert_eq!(json!(line.data), expected["data"]),
                Some(problem) => {
                    expected["instance"] = json!("/batch");
                    assert_eq!(json!(problem), expected);
                }
            }
        }
        let kept = server.stores.documents.lock().expect("lock").len();
        assert_eq!(kept, 4, "what was answered is in both stores");
    }
}

/// Of a file with a request a line, one line that is none costs the others nothing: they would be told that
/// there is something after the array, and never be looked at.
#[tokio::test]
async fn where_lines_are_announced_an_array_is_a_line() {
    let (alice, bob) = (person(1), person(2));
    let text = [&b"[{},{}]"[..], &issue(alice, bob, "1", 1), b"[]"].join(&b'\n');
    for (kind, expected) in [
        ("application/x-ndjson", &[400, 201, 400][..]),
        ("Application/X-NDJSON; charset=utf-8", &[400, 201, 400]),
        ("application/json", &[400, 400, 400]),
    ] {
        let server = Deployment::new();
        let request = Request::post("/batch").header("content-type", kind);
        let answer = ask(&server, request.body(Body::from(text.clone())).expect("a request")).await;
        assert_eq!(statuses(&lines(answer).await), expected, "{kind}");
    }
}

/// Told to sign anew what the line before has just paid, somebody pays twice.
#[tokio::test]
async fn a_refused_line_that_repeats_one_on_its_way_is_answered_with_its_record() {
    let server = Deployment::new();
    *server.stores.clear_delay_ms.lock().expect("lock") = 100;
    let [alice, bob] = [1, 2].map(person);
    let good = issue(alice, bob, "10", 1);
    let mut bare: Value = serde_json::from_slice(&good).expect("JSON");
    bare["data"]["inputs"][0]["meta"]["signatures"] = json!([]);
    let text = [good, bare.to_string().into_bytes(), issue(alice, bob, "1", 2)];
    let answered = lines(send(&server, "", text.join(&b'\n').into()).await).await;
    assert_eq!(statuses(&answered), [201, 200, 201]);
    assert_eq!(json!(answered[0].data), json!(answered[1].data));
}

/// What was to be paid only if all before it was paid would be paid all the same.
#[tokio::test]
async fn stop_ends_at_the_first_refusal_and_clears_nothing_after_it() {
    let server = Deployment::new();
    let text = requests().join(&b'\n');
    let answered = lines(send(&server, "?mode=stop", text.into()).await).await;
    assert_eq!(statuses(&answered), STATUSES[..3]);
    assert_eq!(server.get("/transaction/3").await.code(), "not_found");
}

#[tokio::test]
async fn what_is_no_batch_is_refused_as_a_whole_and_what_breaks_off_says_where() {
    let server = Deployment::new();
    let ask = async |query: &str, kind: &str| {
        let request = Request::post(format!("/batch{query}")).header("content-type", kind);
        server.send(request.body(Body::from("")).expect("a request")).await
    };
    assert_eq!(ask("?mode=some", "application/json").await.code(), "parameter_invalid");
    assert_eq!(ask("", "text/html").await.code(), "media_type");
    let other = Deployment::new();
    *other.stores.read_only.lock().expect("lock") = Some("a test".into());
    let request = Request::post("/batch").body(Body::from("{}")).expect("a request");
    assert_eq!(other.send(request).await.code(), "read_only");

    assert!(lines(send(&server, "", Body::empty()).await).await.is_empty());
    let [alice, bob] = [1, 2].map(person);
    let good = String::from_utf8(issue(alice, bob, "1", 1)).expect("UTF-8");
    let broken = lines(send(&server, "", format!("[{good} {good}").into()).await).await;
    assert_eq!(statuses(&broken), [400]);
    let broken = lines(send(&server, "", format!("[{good},]").into()).await).await;
    assert_eq!(statuses(&broken), [201, 400]);
    let good = String::from_utf8(issue(alice, bob, "1", 2)).expect("UTF-8");
    let broken_off = futures::stream::iter([Ok(Bytes::from(good + "\n{")), Err("cut")]);
    let answered = lines(send(&server, "", Body::from_stream(broken_off)).await).await;
    assert_eq!(statuses(&answered), [201, 503]);
}

/// Payments before the mistake that are passed over in silence are taken for paid.
#[tokio::test]
async fn what_stands_before_a_broken_array_is_answered_and_so_is_the_break() {
    for mode in ["", "?mode=stop"] {
        let server = Deployment::new();
        let [alice, bob] = [1, 2].map(person);
        let good = (1..=3).map(|n| issue(alice, bob, "1", n)).collect::<Vec<_>>().join(&b',');
        let body = [b"[", &good[..], b",,"].concat();
        let answered = lines(send(&server, mode, body.into()).await).await;
        assert_eq!(statuses(&answered), [201, 201, 201, 400], "{mode}");
    }
}

/// A server that must not clear any more says so to a batch that is under way, too.
#[tokio::test]
async fn a_batch_ends_where_the_server_becomes_read_only() {
    for mode in ["", "?mode=stop"] {
        let server = Deployment::new();
        let (mut line, body) = mpsc::channel::<Result<Bytes, std::io::Error>>(1);
        let mut answers = send(&server, mode, Body::from_stream(body)).await;
        let [alice, bob] = [1, 2].map(person);
        let mut n = 0;
        // What Blockstack has said holds for a second.
        let until = Instant::now() + PATIENCE;
        let refused = loop {
            n += 1;
            let payment = [&issue(alice, bob, "1", n)[..], b"\n"].concat();
            line.try_send(Ok(payment.into())).expect("room for a line");
            let answer = answers.next().await.expect("an answer").expect("a body");
            let answer: Value = serde_json::from_slice(&answer).expect("a line");
            if answer["status"] != 201 {
                break answer;
            }
            *server.stores.read_only.lock().expect("lock") = Some("a test".into());
            assert!(Instant::now() < until, "{n} payments cleared");
        };
        assert_eq!(
            (&refused["status"], &refused["problem"]["code"]),
            (&503.into(), &"read_only".into())
        );
    }
}

/// Where Graphstore goes away, what it has not answered may be sent again.
#[tokio::test]
async fn a_store_that_fails_leaves_the_rest_to_be_sent_again() {
    let server = Deployment::new();
    let [alice, bob] = [1, 2].map(person);
    let text: Vec<Vec<u8>> = (0..100).map(|n| issue(alice, bob, "1", n)).collect();
    server.stores.fail("clear", tonic::Code::Unavailable);
    let answered = lines(send(&server, "", text.join(&b'\n').into()).await).await;
    assert_eq!(statuses(&answered), [503; 100]);
    assert!(answered.iter().all(|line| line.problem.as_ref().is_some_and(|p| p.retry == "same")));
    server.stores.mend();
    let answered = lines(send(&server, "", text.join(&b'\n').into()).await).await;
    assert_eq!(statuses(&answered), [201; 100]);
}

/// A cut of a moment must not refuse the rest of somebody's thousand payments.
#[tokio::test]
async fn the_line_after_a_failure_clears() {
    let server = Deployment::new();
    let mut batch = Batch::open(&server).await;
    assert_eq!(batch.pay(1).await["status"], 201);
    for call in ["clear", "clear_all"] {
        server.stores.fail(call, tonic::Code::Unavailable);
        assert_eq!(batch.pay(2).await["problem"]["retry"], "same");
        server.stores.mend();
        assert_eq!(batch.pay(2).await["status"], if call == "clear" { 201 } else { 200 });
    }
}

/// Who does not hear that the operator must act sends again every second.
#[tokio::test]
async fn a_line_says_the_same_of_a_store_as_a_request_alone() {
    let server = Deployment::new();
    let mut batch = Batch::open(&server).await;
    for code in [tonic::Code::FailedPrecondition, tonic::Code::ResourceExhausted] {
        server.stores.fail("clear", code);
        server.stores.fail("clear_all", code);
        let mut alone = server.post(issue(person(1), person(2), "1", 1)).await.json();
        alone["instance"] = json!("/batch");
        assert_eq!(batch.pay(1).await["problem"], alone);
    }
}

/// All calls to a store share one connection, and the streams that it has: batches that wait
/// for their clients would leave none for payments.
#[tokio::test]
async fn an_idle_batch_holds_no_stream_to_a_store() {
    let server = Deployment::new();
    let open = || server.stores.clear_all_streams.lock().expect("lock").open;
    let mut batch = Batch::open(&server).await;
    batch.line.try_send(Ok("\n".into())).expect("room for a line");
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(open(), 0, "before the first request");
    for n in 1..=3 {
        assert_eq!(batch.pay(n).await["status"], 201);
        let until = Instant::now() + PATIENCE;
        while open() > 0 {
            assert!(Instant::now() < until, "after request {n}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// The same of those that do not wait.
#[tokio::test]
async fn so_many_batches_have_a_stream_to_a_store_at_a_time_and_no_more() {
    let server = Deployment::new();
    *server.stores.clear_delay_ms.lock().expect("lock") = 1_000;
    let batches = (1..=300).map(|n| {
        let text = issue(person(1), person(2), "1", n);
        async { statuses(&lines(send(&server, "", text.into()).await).await) }
    });
    let answered = futures::future::join_all(batches).await;
    assert!(answered.iter().all(|statuses| statuses[..] == [201]), "{answered:?}");
    assert_eq!(server.stores.clear_all_streams.lock().expect("lock").most, 256);
}

/// A batch that goes on, line by line.
struct Batch {
    line: mpsc::Sender<Result<Bytes, std::io::Error>>,
    answers: BodyDataStream,
}

impl Batch {
    async fn open(server: &Deployment) -> Batch {
        let (line, body) = mpsc::channel(1);
        let answers = send(server, "", Body::from_stream(body)).await;
        Batch { line, answers }
    }

    /// The answer to the payment of this number.
    async fn pay(&mut self, n: u64) -> Value {
        let payment = [&issue(person(1), person(2), "1", n)[..], b"\n"].concat();
        self.line.try_send(Ok(payment.into())).expect("room for a line");
        let answer = tokio::time::timeout(PATIENCE, self.answers.next()).await;
        let answer = answer.expect("in time").expect("an answer").expect("a body");
        serde_json::from_slice(&answer).expect("a line")
    }
}

/// A client that pauses gets its answers meanwhile; one that does not read is
/// not read for ever.
#[tokio::test]
async fn answers_come_while_requests_are_sent_and_what_is_held_is_bounded() {
    let server = Deployment::new();
    let [alice, bob] = [1, 2].map(person);
    let line = move |n| Bytes::from([issue(alice, bob, "1", n), b"\n".to_vec()].concat());
    let (mut requests, sent) = mpsc::unbounded::<Result<Bytes, std::io::Error>>();
    let mut answers = send(&server, "", Body::from_stream(sent)).await;
    for n in 0..5 {
        requests.start_send(Ok(line(n))).expect("sent");
        let answer = answers.next().await.expect("an answer").expect("a body");
        let answer: schema::BatchLine = serde_json::from_slice(&answer).expect("a line");
        assert_eq!((answer.index, answer.status), (n, 201));
    }
    drop(requests);
    assert!(answers.next().await.is_none());

    let taken = Arc::new(AtomicUsize::new(0));
    let counted = taken.clone();
    let endless = futures::stream::iter(5..).map(move |n| {
        counted.fetch_add(1, Ordering::SeqCst);
        Ok::<_, std::io::Error>(line(n))
    });
    let mut answers = send(&server, "", Body::from_stream(endless)).await;
    answers.next().await.expect("an answer").expect("a body");
    let held = taken.load(Ordering::SeqCst);
    assert!(held <= 256, "{held} requests were read before the second answer was");
}
