//! The log and its receipts, as a stranger reads them.

use axum::body::Body;
use http::{Request, StatusCode};
use serde_json::json;
use webwallet_api_gateway::{Limits, schema};
use webwallet_proto::blockstack::v1::Block;

use crate::standin::{self, Deployment, documented, issue, person};

/// Stock readers could not read the log, and a browser would go on showing another server's.
#[tokio::test]
async fn the_log_is_served_as_its_format_wants_it() {
    let server = Deployment::new();
    let newest = server.get("/checkpoint").await;
    assert_eq!((&newest.body[..], newest.status), (standin::CHECKPOINT.as_bytes(), StatusCode::OK));
    assert_eq!(newest.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(newest.header("cache-control"), Some("no-store"));
    // A tag that is not of the bytes would say of another server's tile that it is this one.
    let tile = server.get("/tile/0/000.p/2").await;
    assert_eq!(tile.header("content-type"), Some("application/octet-stream"));
    assert_eq!(tile.header("cache-control"), Some("public, max-age=31536000, immutable"));
    assert_eq!((tile.status, tile.header("etag")), (StatusCode::OK, None));
    // What is kept for ever under a size, and not under a hash, is shown in place of another server's.
    for (path, form) in [
        ("/checkpoint/2", "text/plain; charset=utf-8"),
        ("/proof/inclusion?index=0&size=2", "application/json"),
    ] {
        let fixed = server.get(path).await;
        assert_eq!((fixed.status, fixed.header("content-type")), (StatusCode::OK, Some(form)));
        assert_eq!(fixed.header("cache-control"), Some("no-cache"), "{path}");
        let tag = fixed.header("etag").expect("a tag").to_owned();
        let request = Request::get(path).header("if-none-match", tag);
        let held = server.send(request.body(Body::empty()).expect("a request")).await;
        assert_eq!((held.status, held.body.len()), (StatusCode::NOT_MODIFIED, 0));
    }
    let proof = server.get("/proof/inclusion?index=0&size=2").await;
    documented::<schema::Inclusion>(&proof);
    assert_eq!(proof.json()["path"], json!(["ab".repeat(32)]));
    for (path, code) in [
        ("/checkpoint/3", "not_found"),
        ("/checkpoint/x", "parameter_invalid"),
        ("/tile/nonsense", "parameter_invalid"),
        ("/tile/0/001", "not_found"),
        ("/proof/inclusion", "parameter_invalid"),
        ("/proof/inclusion?index=1&number=1", "parameter_invalid"),
        ("/proof/consistency?from=1", "parameter_invalid"),
        ("/proof/consistency?from=1&to=9", "not_found"),
        ("/block/7", "not_found"),
        ("/block/latest", "not_found"),
        ("/block/-1", "parameter_invalid"),
        ("/block/7/transactions", "not_found"),
        ("/stack/latest", "not_found"),
        ("/stack/x", "parameter_invalid"),
        ("/address/nobody/proof?counter=nobody", "parameter_invalid"),
        ("/unit/nobody/proof", "parameter_invalid"),
        ("/transaction/1/receipt", "not_found"),
    ] {
        assert_eq!(server.get(path).await.code(), code, "{path}");
    }
}

/// A crowd of questions is no fault of a machine, which would wake its operator.
#[tokio::test]
async fn a_log_that_is_asked_too_much_says_so() {
    let server = Deployment::new();
    server.stores.fail("blockstack", tonic::Code::ResourceExhausted);
    assert_eq!(server.get("/transaction/1/receipt").await.code(), "overloaded");
}

/// Told that the log did not answer, its operator looks at the network, and not at a disk that
/// loses files or at two processes of which one is older.
#[tokio::test]
async fn what_the_log_answered_is_not_said_to_be_silence() {
    let server = Deployment::new();
    let detail = async |path: &str| {
        let answer = server.get(path).await;
        assert_eq!(answer.code(), "unavailable", "{path}");
        answer.json()["detail"].as_str().expect("a text").to_owned()
    };
    let block = Some(Block { height: 1, hash: "short".into(), body: "{}".into() });
    *server.stores.block.lock().expect("lock") = block;
    assert!(detail("/block/1").await.contains("cannot be read"));
    server.stores.fail("blockstack", tonic::Code::DataLoss);
    assert!(detail("/checkpoint").await.contains("damaged"));
    server.stores.fail("blockstack", tonic::Code::Unavailable);
    assert!(detail("/checkpoint").await.contains("did not answer"));
}

/// Somebody's payment would fail, or be answered too late, for his wish to wait for its receipt.
#[tokio::test]
async fn a_record_that_is_not_sealed_yet_says_so() {
    let server = Deployment::new();
    let [alice, bob] = [1, 2].map(person);
    let request = |wait: &str, body: Vec<u8>| {
        let request = Request::post("/transaction").header("prefer", wait);
        request.body(Body::from(body)).expect("a request")
    };
    let waited = server.send(request("respond-async, wait=1", issue(alice, bob, "10", 1))).await;
    assert_eq!(waited.status, StatusCode::CREATED);
    assert_eq!(waited.header("preference-applied"), Some("wait=1"));
    documented::<schema::ClearedAnswer>(&waited);
    assert!(waited.json().get("receipt").is_none());
    // A wish is no condition: a payment does not fail for it.
    for (n, wait, applied) in [
        (2, "wait=0", None),
        (3, "wait=soon", None),
        (4, "wait=3600", Some("wait=8")),
        (5, "handling=lenient;wait=1", None),
        (6, "handling=lenient;x=y, wait=1", Some("wait=1")),
    ] {
        let paid = server.send(request(wait, issue(alice, bob, "10", n))).await;
        assert_eq!(paid.status, StatusCode::CREATED, "{wait}");
        assert_eq!(paid.header("preference-applied"), applied, "{wait}");
    }
    // Nor because the server has less time than was wished for: it would be answered too late to say that it has cleared.
    for (request_timeout_ms, applied) in [(5_500, Some("wait=4")), (1_900, None)] {
        let hasty = Deployment::with(Limits { request_timeout_ms, ..Limits::default() });
        let paid = hasty.send(request("wait=8", issue(alice, bob, "10", 1))).await;
        assert_eq!(paid.status, StatusCode::CREATED);
        assert_eq!(paid.header("preference-applied"), applied, "{request_timeout_ms} ms");
    }
    let receipt = server.get("/transaction/1/receipt").await;
    // A cache must not give the JSON of one reader to another who wants the text.
    assert_eq!(receipt.header("vary"), Some("Accept"));
    assert_eq!((receipt.status, receipt.header("retry-after")), (StatusCode::ACCEPTED, Some("1")));
    documented::<schema::NotSealed>(&receipt);
    assert_eq!(server.get("/transaction/9/receipt").await.code(), "not_found");
}
