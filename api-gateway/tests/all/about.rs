//! What the server says of itself.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use webwallet_api_gateway::{Limits, schema};

use crate::standin::{self, DOMAIN, Deployment, documented};

/// People would be sent to a gateway that cannot clear, and wallets not know whose server it is.
#[tokio::test]
async fn the_server_says_who_and_how_it_is() {
    let server = Deployment::new();
    let card = server.get("/.well-known/webwallet").await;
    documented::<schema::Server>(&card);
    let json = card.json();
    assert_eq!((&json["domain"], &json["rules"]), (&json!(DOMAIN), &json!("1")));
    assert_eq!(json["keys"], json!(["example.net+00000000+AAAA"]));
    assert_eq!(json["limits"]["body_bytes"], 131_072);
    assert_eq!(json["checkpoint"], standin::CHECKPOINT);

    assert_eq!(server.get("/livez").await.status, StatusCode::OK);
    let ready = server.get("/readyz").await;
    documented::<schema::Health>(&ready);
    assert!(ready.json().get("test_clock").is_none(), "only where there is one");
    for path in ["/livez", "/readyz", "/problems/malformed"] {
        assert_eq!(server.get(&format!("{path}?x=1")).await.code(), "parameter_invalid", "{path}");
    }
    for (call, missing) in [("status", "graphstore"), ("get", "hashtable")] {
        server.stores.fail(call, tonic::Code::Unavailable);
        let refused = server.get("/readyz").await;
        assert_eq!(refused.code(), "unavailable");
        assert!(refused.json()["detail"].as_str().is_some_and(|d| d.contains(missing)));
        server.stores.mend();
    }
    server.gateway.drain();
    assert_eq!(server.get("/readyz").await.code(), "unavailable");
    assert_eq!(server.get("/livez").await.status, StatusCode::OK);

    let strange = Deployment::of("example.org", Limits::default());
    let refused = strange.get("/readyz").await;
    assert!(refused.json()["detail"].as_str().is_some_and(|d| d.contains("domain")));
}

/// Whoever asks a thousand times whether it is ready would take the turns that payments need.
#[tokio::test]
async fn all_who_ask_at_once_whether_it_is_ready_cost_one_look() {
    let server = Deployment::new();
    let looks = || *server.stores.looks.lock().expect("lock");
    *server.stores.silent.lock().expect("lock") = Some("get");
    // Who began it has left, and it goes on for the others.
    let first = server.get("/readyz");
    assert!(tokio::time::timeout(Duration::from_millis(100), first).await.is_err());
    let asked = futures::future::join_all((0..100).map(|_| server.get("/readyz"))).await;
    assert!(asked.iter().all(|refused| refused.code() == "unavailable"));
    assert_eq!(looks(), 1);
    // What was found then says nothing of now.
    *server.stores.silent.lock().expect("lock") = None;
    assert_eq!(server.get("/readyz").await.status, StatusCode::OK);
    assert_eq!(looks(), 2);
}
