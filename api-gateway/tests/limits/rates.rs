//! How much a second one client, one source or one unit may have.

use std::time::{Duration, Instant};

use axum::body::Body;
use http::{Request, StatusCode, Version};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use webwallet_api_gateway::Limits;

use crate::listening::{http2, listen, read_one, send};
use crate::standin::{self, Deployment, issue, person};

/// How many more may come through, beside the burst, on a machine that is busy: as many as time has passed for.
fn refilled(began: Instant, per_second: u32) -> usize {
    (began.elapsed().as_secs_f64() * f64::from(per_second)).ceil() as usize
}

/// One client would have the server to itself; or who is refused not know when to come again.
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
