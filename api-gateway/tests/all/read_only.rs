//! While the stores disagree: nothing clears, nothing is said to be absent or current that
//! may not be so, and what is sealed is read on.

use axum::body::Body;
use http::{Request, StatusCode};
use webwallet_proto::blockstack::v1::Receipt;

use crate::standin::{Books, Deployment, issue, person};

/// A number given while the stores disagree may have been given before: two
/// payments would bear it.
#[tokio::test]
async fn nothing_clears_while_the_stores_disagree_or_were_never_compared() {
    let [alice, bob] = [1, 2].map(person);
    let server = Deployment::new();
    *server.stores.read_only.lock().expect("lock") = Some("graphstore lags by 3".to_owned());
    let refused = server.post(issue(alice, bob, "10", 1)).await;
    assert_eq!(refused.code(), "read_only");
    assert!(refused.json()["detail"].as_str().is_some_and(|d| d.contains("lags by 3")));
    let ready = server.get("/readyz").await;
    assert_eq!(ready.code(), "unavailable");
    assert!(ready.json()["detail"].as_str().is_some_and(|d| d.contains("lags by 3")));

    let never = Deployment::new();
    never.stores.failing.lock().expect("lock").insert("blockstack", tonic::Code::Unavailable);
    assert_eq!(never.post(issue(alice, bob, "10", 1)).await.code(), "unavailable");
    assert!(never.stores.documents.lock().expect("lock").is_empty(), "nothing was stored");

    // A log that was there, and is restarted: payments go on.
    let server = Deployment::new();
    assert_eq!(server.get("/readyz").await.status, StatusCode::OK);
    server.stores.failing.lock().expect("lock").insert("blockstack", tonic::Code::Unavailable);
    assert_eq!(server.get("/readyz").await.code(), "unavailable");
    assert_eq!(server.post(issue(alice, bob, "10", 1)).await.status, StatusCode::CREATED);
    // But not over a Graphstore that went back meanwhile: Hashtable knows its numbers, until
    // it has given all of them again.
    server.stores.fail("put", tonic::Code::FailedPrecondition);
    let refused = server.post(issue(alice, bob, "10", 2)).await;
    assert_eq!(refused.code(), "read_only");
    // What its operator is told: which store it is, and the command.
    assert_eq!(refused.json()["detail"], "the stores disagree");
    server.stores.failing.lock().expect("lock").remove("put");
    assert_eq!(server.post(issue(alice, bob, "10", 3)).await.code(), "read_only");
    server.stores.failing.lock().expect("lock").remove("blockstack");
    assert_eq!(server.get("/readyz").await.status, StatusCode::OK);
    assert_eq!(server.post(issue(alice, bob, "10", 3)).await.status, StatusCode::CREATED);
}

/// Whoever is told that what has cleared never did pays once more.
#[tokio::test]
async fn while_stores_disagree_nothing_is_said_to_be_absent() {
    let server = Deployment::new();
    let (name, unit) = ("0".repeat(64), person(1).address);
    let mut paths = vec![
        format!("/transaction/{name}"),
        format!("/iou/{name}"),
        format!("/address/{unit}/proof?counter={unit}"),
        format!("/address/{unit}/proof?counter={unit}&height=7"),
        format!("/unit/{unit}/proof"),
        format!("/unit/{unit}/proof?height=7"),
        format!("/block/{name}"),
    ];
    let others = [
        "/transaction/7",
        "/transaction/7/receipt",
        "/checkpoint/3",
        "/tile/0/001",
        "/proof/consistency?from=1&to=9",
        "/block/7",
        "/block/latest",
        "/block/7/transactions",
        "/stack/7",
        "/stack/latest",
    ];
    paths.extend(others.map(str::to_owned));
    for path in &paths {
        assert_eq!(server.get(path).await.code(), "not_found", "{path}");
    }
    let behind = Deployment::new();
    *behind.stores.read_only.lock().expect("lock") = Some("Graphstore is behind".into());
    for path in &paths {
        let answer = behind.get(path).await;
        assert_eq!((answer.code().as_str(), answer.status.as_u16()), ("read_only", 503), "{path}");
    }
}

/// Whoever is told an old balance has what he was paid since, as it seems, no more; or still has what he has spent.
#[tokio::test]
async fn while_stores_disagree_nothing_old_is_said_to_be_current() {
    let server = Deployment::new();
    let [alice, bob] = [1, 2].map(person);
    server.post(issue(alice, bob, "10", 1)).await;
    let (of, unit) = (bob.address, alice.address);
    let current = [
        format!("/address/{of}"),
        format!("/address/{of}?counter={unit}"),
        format!("/address/{of}/outputs/unspent?counter={unit}"),
        format!("/address/{of}/outputs/history?counter={unit}"),
        format!("/unit/{unit}"),
        format!("/unit/{unit}/holders"),
        "/events?after=1".to_owned(),
    ];
    for path in &current {
        assert_eq!(server.get(path).await.status, StatusCode::OK, "{path}");
    }
    *server.stores.read_only.lock().expect("lock") = Some("Graphstore is behind".into());
    // What the log has said is not taken for true any longer.
    assert_eq!(server.get("/readyz").await.code(), "unavailable");
    for path in &current {
        assert_eq!(server.get(path).await.code(), "read_only", "{path}");
    }
    // Nor is anybody sent away until a record is sealed, while nothing is.
    assert_eq!(server.get("/transaction/1/receipt").await.code(), "read_only");
    let stream = Request::get("/events").header("accept", "text/event-stream");
    let stream = server.send(stream.body(Body::empty()).expect("a request")).await;
    assert_eq!(stream.code(), "read_only");
    // What has cleared has cleared.
    for path in ["/events", "/transaction/1"] {
        assert_eq!(server.get(path).await.status, StatusCode::OK, "{path}");
    }
}

/// An old head that passes for the newest hides every payment after it; the true end of a
/// log is audited whatever else the stores disagree about.
#[tokio::test]
async fn an_older_checkpoint_is_not_said_to_be_the_newest() {
    let server = Deployment::new();
    let newest = ["/checkpoint", "/proof/inclusion?index=0"];
    let fixed = ["/checkpoint/2", "/proof/inclusion?index=0&size=2"];
    let intend = |height| *server.stores.intended.lock().expect("lock") = height;
    *server.stores.read_only.lock().expect("lock") = Some("the log is behind".into());
    for height in [None, Some(0)] {
        intend(height);
        for path in newest {
            assert_eq!(server.get(path).await.status, StatusCode::OK, "{path}");
        }
    }
    intend(Some(1));
    for path in newest {
        assert_eq!(server.get(path).await.code(), "read_only", "{path}");
    }
    for path in fixed {
        assert_eq!(server.get(path).await.status, StatusCode::OK, "{path}");
    }
    let card = server.get("/.well-known/webwallet").await;
    assert_eq!((card.status, card.json().get("checkpoint")), (StatusCode::OK, None));
}

/// The proof of a payment is its holder's, whatever Graphstore was put back from.
#[tokio::test]
async fn what_is_sealed_is_proven_though_graphstore_has_forgotten_it() {
    let server = Deployment::new();
    let [alice, bob] = [1, 2].map(person);
    let cleared = server.post(issue(alice, bob, "10", 1)).await;
    let by_hash = format!("{}/receipt", cleared.header("location").expect("a location"));
    let kept: Vec<_> = server.stores.documents.lock().expect("lock").keys().cloned().collect();
    let seal = |hash: Vec<u8>| {
        let text = "a receipt".to_owned();
        let receipt = Receipt { number: 1, hash: hash.into(), text, ..Receipt::default() };
        *server.stores.sealed.lock().expect("lock") = vec![receipt];
    };
    seal(kept[0].clone());
    *server.stores.books.lock().expect("lock") = Books::default();
    *server.stores.read_only.lock().expect("lock") = Some("Graphstore is behind".into());
    assert_eq!(server.get("/readyz").await.code(), "unavailable");
    for path in ["/transaction/1/receipt", &by_hash] {
        let receipt = server.get(path).await;
        assert_eq!((receipt.status, &receipt.body[..]), (StatusCode::OK, &b"a receipt"[..]));
        // Another log proves the same record otherwise.
        assert_eq!(receipt.header("cache-control"), Some("no-cache"), "{path}");
    }
    assert_eq!(server.get("/transaction/2/receipt").await.code(), "read_only");
    // What is kept need not have cleared: the log has another record of that number.
    seal(vec![7; 32]);
    assert_eq!(server.get(&by_hash).await.code(), "read_only");
}
