//! Requests and their records, as a client sees them: what clears, what is refused, and what
//! is read again.

use std::time::{Duration, Instant};

use axum::body::Body;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use webwallet_api_gateway::schema;
use webwallet_ledger::{Hash, document};
use webwallet_proto::blockstack::v1::Receipt;

use crate::standin::{self, Deployment, body, documented, draft, issue, person, time};

/// Whoever sends again after a lost answer would pay twice, or not get the record he has paid for.
#[tokio::test]
async fn a_request_clears_and_its_repeat_is_answered_with_the_same_bytes() {
    let server = Deployment::new();
    let [alice, bob, carol] = [1, 2, 3].map(person);
    let ious = [
        draft(alice, bob, "10", 1).sign(&alice.secret),
        draft(alice, carol, "5", 2).sign(&alice.secret),
    ];
    let first = server.post(body(&ious)).await;
    assert_eq!(first.status, StatusCode::CREATED, "{first:?}");
    documented::<schema::RecordAnswer>(&first);
    let hash = first.json()["data"]["hash"]["value"].as_str().expect("a hash").to_owned();
    let path = format!("/transaction/{hash}");
    assert_eq!(first.header("location"), Some(path.as_str()));
    assert_eq!(first.header("idempotent-replayed"), None);
    // The body is the stored document itself.
    let stored = server.stores.documents.lock().expect("lock").values().next().cloned();
    let stored = stored.expect("kept");
    assert_eq!(document::name(&stored).expect("a document").to_string(), hash);
    assert_eq!(first.body, [&b"{\"data\":"[..], &stored, b"}"].concat());

    let [one, two] = ious;
    let again = server.post(body(&[two, one])).await;
    assert_eq!(again.status, StatusCode::OK);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!((&again.body, again.header("location")), (&first.body, Some(path.as_str())));
}

/// Somebody whose payment has cleared would be told that it was refused, and pay again.
#[tokio::test]
async fn a_repeat_is_found_before_its_bad_signature_or_address_is_refused() {
    let server = Deployment::new();
    let [alice, bob] = [1, 2].map(person);
    let good = issue(alice, bob, "10", 1);
    let first = server.post(good.clone()).await;
    let text = String::from_utf8(good).expect("text");
    let mut request: Value = serde_json::from_str(&text).expect("JSON");
    let signature = &mut request["data"]["inputs"][0]["meta"]["signatures"][0]["string"];
    *signature = json!("00".repeat(64));
    let bad_signature = server.post(request.to_string()).await;
    assert_eq!(bad_signature.status, StatusCode::OK, "{bad_signature:?}");
    assert_eq!(bad_signature.body, first.body);
    request["data"]["inputs"][0]["meta"]["signatures"] = json!([]);
    assert_eq!(server.post(request.to_string()).await.body, first.body);
    // Not so where the hash is not the hash of what was sent.
    request["data"]["inputs"][0]["data"]["amount"] = json!("11");
    assert_eq!(server.post(request.to_string()).await.code(), "hash_mismatch");
}

/// Whoever is refused would not learn which IOU, which limit and which step next, and try in vain.
#[tokio::test]
async fn rejections_carry_what_a_client_needs() {
    let server = Deployment::new();
    let [alice, bob, carol] = [1, 2, 3].map(person);
    let both = body(&[
        draft(alice, bob, "10", 1).sign(&alice.secret),
        draft(alice, bob, "5", 2).sign(&alice.secret),
    ]);
    let record = server.post(both).await.json()["data"]["hash"]["value"].clone();

    let half = server.post(issue(alice, bob, "10", 1)).await;
    assert_eq!((half.code().as_str(), half.status), ("iou_already_cleared", StatusCode::CONFLICT));
    assert_eq!(half.json()["transaction"], record);
    assert_eq!(half.json()["pointer"], "/data/inputs/0");
    assert_eq!(half.json()["conflict"]["cleared"]["hash"]["value"], record);
    assert_eq!(
        half.json()["conflict"]["sent"],
        serde_json::from_slice::<Value>(&issue(alice, bob, "10", 1)).expect("JSON")
    );
    assert_eq!(half.json()["error"]["message"], "iou-already-cleared");
    documented::<schema::Problem>(&half);

    let mut too_much = draft(bob, carol, "16", 3);
    too_much.symbol = alice.address;
    let too_much = server.post(body(&[too_much.sign(&bob.secret)])).await;
    assert_eq!(too_much.code(), "balance_below_min");
    let json = too_much.json();
    assert_eq!((&json["limit"], &json["actual"]), (&json!("0"), &json!("-1")));
    assert_eq!(json["account"], format!("{}|{}", alice.address, bob.address));
    assert_eq!(json["retry"], "rebuild");
    documented::<schema::Problem>(&too_much);

    let mut expired = draft(alice, bob, "1", 4);
    expired.expiry = time("2026-01-01T00:00:00.000Z");
    let expired = server.post(body(&[expired.sign(&alice.secret)])).await;
    assert_eq!(expired.code(), "expired");

    let mut elsewhere = draft(alice, bob, "1", 5);
    elsewhere.domain = "example.org".to_owned();
    let elsewhere = server.post(body(&[elsewhere.sign(&alice.secret)])).await;
    assert_eq!(elsewhere.code(), "wrong_domain");

    let forged = server.post(body(&[draft(alice, bob, "1", 6).unsigned()])).await;
    assert_eq!(forged.code(), "signature_missing");
    for nonsense in ["", "{", "[]", "null", "{\"data\":{\"inputs\":[]}}", "\u{feff}{}"] {
        let refused = server.post(nonsense).await;
        assert_eq!((refused.code().as_str(), refused.status.as_u16()), ("malformed", 400));
        assert!(refused.json()["pointer"].is_string());
    }
    assert_eq!(server.post(vec![0xff; 100]).await.code(), "malformed");
}

/// Who asks first must be told what will happen, and nothing must have happened.
#[tokio::test]
async fn a_dry_run_says_what_would_be_left_and_leaves_nothing() {
    let server = Deployment::new();
    let [alice, bob, carol] = [1, 2, 3].map(person);
    let ask = async |query: &str, body: Vec<u8>| {
        let request = Request::post(format!("/transaction?{query}")).body(Body::from(body));
        server.send(request.expect("a request")).await
    };
    let ten = issue(alice, bob, "10", 1);
    let dry = ask("dry_run=true", ten.clone()).await;
    assert_eq!((dry.status, dry.header("location")), (StatusCode::OK, None), "{dry:?}");
    documented::<schema::RepeatAnswer>(&dry);
    assert_eq!(server.get("/transaction/1").await.code(), "not_found");
    assert!(server.stores.documents.lock().expect("lock").is_empty());

    let real = ask("dry_run=false", ten.clone()).await;
    assert_eq!(real.status, StatusCode::CREATED);
    assert_eq!(dry.json()["data"]["outputs"], real.json()["data"]["data"]["outputs"]);
    let repeat = ask("dry_run=true", ten).await;
    assert_eq!(
        (repeat.status, repeat.header("idempotent-replayed")),
        (StatusCode::OK, Some("true"))
    );
    assert_eq!(repeat.body, dry.body);

    let mut too_much = draft(bob, carol, "16", 3);
    too_much.symbol = alice.address;
    let too_much = body(&[too_much.sign(&bob.secret)]);
    let refused = ask("dry_run=true", too_much.clone()).await;
    assert_eq!(refused.code(), "balance_below_min");
    assert_eq!(refused.body, server.post(too_much).await.body);
    for wrong in ["dry_run=yes", "dry_run=", "dry_run", "dryrun=true", "dry_run=true&dry_run=true"]
    {
        assert_eq!(
            ask(wrong, issue(alice, bob, "1", 9)).await.code(),
            "parameter_invalid",
            "{wrong}"
        );
    }
    assert_eq!(server.get("/transaction/2").await.code(), "not_found");
}

/// Under a number that a new server gives anew, a browser would go on showing the old payment.
#[tokio::test]
async fn a_record_is_read_by_hash_for_ever_and_by_number() {
    let server = Deployment::new();
    let [alice, bob] = [1, 2].map(person);
    let cleared = server.post(issue(alice, bob, "10", 1)).await;
    let path = cleared.header("location").expect("a location").to_owned();
    let hash = path.strip_prefix("/transaction/").expect("a hash");
    // By a number it is asked for again: a server that begins anew gives it to another record, and what a browser or a
    // proxy kept for ever would be shown in its place.
    let rows =
        [(path.as_str(), "public, max-age=31536000, immutable"), ("/transaction/1", "no-cache")];
    for (path, kept) in rows {
        let read = server.get(path).await;
        assert_eq!((read.status, &read.body), (StatusCode::OK, &cleared.body));
        let tag = format!("\"{hash}\"");
        assert_eq!(read.header("etag"), Some(tag.as_str()));
        assert_eq!(read.header("cache-control"), Some(kept));
        for (asked, status) in [
            (tag.clone(), 304),
            (format!("W/{tag}"), 304),
            (format!("\"x\", {tag}"), 304),
            ("*".to_owned(), 304),
            ("\"x\"".to_owned(), 200),
        ] {
            let request = Request::get(path).header("if-none-match", &asked);
            let read = server.send(request.body(Body::empty()).expect("a request")).await;
            assert_eq!(read.status.as_u16(), status, "{asked}");
            assert_eq!(read.body.is_empty(), status == 304);
            assert_eq!(read.header("etag"), Some(tag.as_str()));
        }
    }
    for absent in ["/transaction/2", "/transaction/99999999999999999999999"] {
        assert_eq!(server.get(absent).await.code(), "not_found");
    }
    let absent = format!("/transaction/{}", Hash([7; 32]));
    assert_eq!(server.get(&absent).await.code(), "not_found");
    for bad in ["0", "01", "-1", "x", &hash.to_uppercase(), "%ff", "1%00"] {
        let refused = server.get(&format!("/transaction/{bad}")).await;
        assert_eq!(refused.code(), "parameter_invalid", "{bad}");
    }
}

/// What is only kept would pass for paid, and what was paid for never sent.
#[tokio::test]
async fn existence_is_not_execution() {
    let server = Deployment::new();
    let [alice, bob] = [1, 2].map(person);
    // Something else that is kept under its hash.
    let other = br#"{"data":{"identities":[]},"hash":{},"meta":{}}"#;
    server.stores.keep(Hash([9; 32]), other);
    assert_eq!(server.get(&format!("/transaction/{}", Hash([9; 32]))).await.code(), "not_found");

    // A record that only Graphstore has so far is read from there.
    let cleared = server.post(issue(alice, bob, "10", 1)).await;
    let path = cleared.header("location").expect("a location").to_owned();
    server.stores.documents.lock().expect("lock").clear();
    assert_eq!(server.get(&path).await.body, cleared.body);
    server.stores.fail("get", tonic::Code::DataLoss);
    assert_eq!(server.get(&path).await.body, cleared.body);
    // Nobody can say that it is not there while one could not be asked.
    let absent = format!("/transaction/{}", Hash([7; 32]));
    assert_eq!(server.get(&absent).await.code(), "unavailable");
}

/// A payee could not show what the payer signed, or would show it of a history that is gone.
#[tokio::test]
async fn an_iou_is_read_as_it_was_signed() {
    let server = Deployment::new();
    let [alice, bob] = [1, 2].map(person);
    let draft = draft(alice, bob, "10", 1);
    let (iou, path) = (draft.sign(&alice.secret), format!("/iou/{}", draft.hash()));
    assert_eq!(server.get(&path).await.code(), "not_found");
    server.post(body(&[standin::draft(alice, bob, "1", 9).sign(&alice.secret), iou.clone()])).await;
    let read = server.get(&path).await;
    assert_eq!(read.status, StatusCode::OK, "{read:?}");
    documented::<schema::IouAnswer>(&read);
    assert_eq!(read.json()["data"]["number"], "1");
    assert!(String::from_utf8_lossy(&read.body).contains(&String::from_utf8_lossy(&iou)[..]));
    // Another history has the same IOU in another record: nobody is to be told that what they kept of it is still so.
    let anew = Deployment::new();
    anew.post(body(&[iou])).await;
    let tag = read.header("etag").expect("a tag").to_owned();
    let request = Request::get(&path).header("if-none-match", tag);
    let other = anew.send(request.body(Body::empty()).expect("a request")).await;
    assert_eq!((other.status, other.header("cache-control")), (StatusCode::OK, Some("no-cache")));
    assert_eq!(server.get("/iou/x").await.code(), "parameter_invalid");
}

/// A payment that was confirmed would be in one place only, and gone with that disk.
#[tokio::test]
async fn no_good_answer_leaves_before_both_stores_have_the_record() {
    let server = Deployment::new();
    let [alice, bob] = [1, 2].map(person);
    let request = issue(alice, bob, "10", 1);
    for (call, code, expected) in [
        ("clear", tonic::Code::Unavailable, "unavailable"),
        ("clear", tonic::Code::ResourceExhausted, "overloaded"),
        ("clear", tonic::Code::Internal, "unavailable"),
        ("put", tonic::Code::DeadlineExceeded, "unavailable"),
        ("put", tonic::Code::DeadlineExceeded, "unavailable"),
    ] {
        server.stores.fail(call, code);
        let refused = server.post(request.clone()).await;
        assert_eq!(refused.code(), expected, "{call} {code:?}");
        assert_eq!((refused.status.as_u16(), &refused.json()["retry"]), (503, &json!("same")));
        server.stores.mend();
    }
    // It cleared at the fourth try; now it is kept as well.
    assert!(server.stores.documents.lock().expect("lock").is_empty());
    assert_eq!(server.post(request.clone()).await.status, StatusCode::OK);
    assert_eq!(server.stores.documents.lock().expect("lock").len(), 1);
    // A record found for a request that is refused now is kept again, too.
    server.stores.documents.lock().expect("lock").clear();
    let stripped = body(&[draft(alice, bob, "10", 1).unsigned()]);
    server.stores.fail("replay", tonic::Code::Unavailable);
    assert_eq!(server.post(stripped.clone()).await.code(), "unavailable");
    server.stores.mend();
    assert_eq!(server.post(stripped).await.status, StatusCode::OK);
    assert_eq!(server.stores.documents.lock().expect("lock").len(), 1);
    for (call, path) in [
        ("record", format!("/iou/{}", Hash([1; 32]))),
        ("accounts", format!("/address/{}", bob.address)),
        ("outputs", format!("/address/{0}/outputs/unspent?counter={0}", bob.address)),
    ] {
        server.stores.fail(call, tonic::Code::Unknown);
        assert_eq!(server.get(&path).await.code(), "unavailable", "{path}");
        server.stores.mend();
    }
}

/// What somebody was paid is read and proven without the one who decided it, and a store that
/// is silent takes no longer than the next one needs to answer in its place.
#[tokio::test]
async fn a_record_is_read_from_whichever_store_has_it() {
    let server = Deployment::new();
    let [alice, bob] = [1, 2].map(person);
    let cleared = server.post(issue(alice, bob, "10", 1)).await;
    let by_hash = cleared.header("location").expect("a location").to_owned();
    let read = async |path: &str| {
        let answer = server.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {answer:?}");
        answer.body
    };
    *server.stores.silent.lock().expect("lock") = Some("get");
    assert_eq!(read(&by_hash).await, cleared.body);
    *server.stores.silent.lock().expect("lock") = None;
    let kept = server.stores.documents.lock().expect("lock").clone();
    let (hash, record) = kept.into_iter().next().expect("one");
    let (hash, text) = (hash.into(), "it".to_owned());
    let receipt = Receipt { number: 1, hash, record, text, ..Receipt::default() };
    *server.stores.sealed.lock().expect("lock") = vec![receipt];
    for call in ["record", "numbered", "get"] {
        server.stores.fail(call, tonic::Code::Unavailable);
        for path in ["/transaction/1", &by_hash] {
            assert_eq!(read(path).await, cleared.body, "{call}");
            assert_eq!(&read(&format!("{path}/receipt")).await[..], b"it", "{call}");
        }
        server.stores.mend();
    }
    // Nobody is told of what may be there that it is not.
    for (call, path) in [
        ("record", "/transaction/2".to_owned()),
        ("record", "/transaction/2/receipt".to_owned()),
        ("get", format!("/transaction/{}", Hash([1; 32]))),
        ("get", format!("/transaction/{}/receipt", Hash([1; 32]))),
    ] {
        server.stores.fail(call, tonic::Code::Unavailable);
        assert_eq!(server.get(&path).await.code(), "unavailable", "{call} {path}");
        server.stores.mend();
        assert_eq!(server.get(&path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

/// A log that has agreed with the stores and is silent now costs nobody a second.
#[tokio::test]
async fn no_request_waits_for_a_silent_log() {
    let server = Deployment::new();
    let path = format!("/address/{}", person(1).address);
    assert_eq!(server.get(&path).await.status, StatusCode::OK);
    *server.stores.silent.lock().expect("lock") = Some("status");
    let mut waited = Duration::ZERO;
    for _ in 0..7 {
        // What is known is older than a second each other time.
        tokio::time::sleep(Duration::from_millis(700)).await;
        let began = Instant::now();
        assert_eq!(server.get(&path).await.status, StatusCode::OK);
        waited += began.elapsed();
    }
    assert!(waited < Duration::from_secs(2), "{waited:?}");
}
