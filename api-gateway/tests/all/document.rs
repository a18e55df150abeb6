//! Documents, as a client supplies and reads them.

use axum::body::Body;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use webwallet_api_gateway::{Limits, schema};
use webwallet_ledger::hash::Types;

use crate::standin::{Answer, Deployment, documented, issue, person};

async fn put(server: &Deployment, name: &str, body: impl Into<Body>) -> Answer {
    let request = Request::put(format!("/document/{name}"));
    server.send(request.body(body.into()).expect("a request")).await
}

/// A document and its name by one of the functions.
fn document(data: &Value, types: Types) -> (String, Value) {
    let name = types.digest(data.to_string().as_bytes()).to_string();
    let hash = json!({ "steps": "stringify:data", "types": types.as_str(), "value": name });
    (name, json!({ "data": { "data": data, "hash": hash, "meta": {} } }))
}

fn puzzle() -> Value {
    let public = "5e3ddda5abbcd6b5fb02b9f3f2e28fc4cb1fa5ed3a6d8f4fe9d2fa2e0a3d4a47";
    json!({ "conditions": { "multisig": { "threshold": 1 } },
        "identities": [{ "public": public, "scheme": "eddsa-ed25519" }] })
}

/// An invoice that somebody signed for would be gone, or other words stand under its name.
#[tokio::test]
async fn a_document_is_kept_under_its_name_and_read_for_ever() {
    let server = Deployment::new();
    let invoice = json!({ "invoice": "2026/17", "lines": [{ "text": "bread" }] });
    for data in [puzzle(), invoice] {
        for types in [Types::Sha3, Types::Sha256, Types::Sha256Twice] {
            let (name, body) = document(&data, types);
            let path = format!("/document/{name}");
            assert_eq!(server.get(&path).await.code(), "not_found");
            // However it is written.
            let kept = put(&server, &name, format!("{body:#}")).await;
            documented::<schema::DocumentAnswer>(&kept);
            assert_eq!((kept.status, kept.json()), (StatusCode::CREATED, body.clone()));
            assert_eq!(kept.header("location"), Some(path.as_str()));
            let again = put(&server, &name, body.to_string()).await;
            assert_eq!((again.status, &again.body), (StatusCode::OK, &kept.body));
            let read = server.get(&path).await;
            assert_eq!((read.status, &read.body), (StatusCode::OK, &kept.body));
            assert!(read.header("cache-control").is_some_and(|c| c.contains("immutable")));
            assert_eq!(read.header("etag"), Some(format!("\"{name}\"").as_str()));
            let request = Request::get(&path).header("if-none-match", format!("\"{name}\""));
            let held = server.send(request.body(Body::empty()).expect("a request")).await;
            assert_eq!((held.status, held.body.len()), (StatusCode::NOT_MODIFIED, 0));
        }
    }
    let (name, body) = document(&json!({ "a": "b" }), Types::Sha3);
    server.stores.fail("supply", tonic::Code::Unavailable);
    let lost = put(&server, &name, body.to_string()).await;
    assert_eq!((lost.code(), &lost.json()["retry"]), ("unavailable".into(), &json!("same")));
}

/// Anybody could keep here what looks like a record, and show it as a payment.
#[tokio::test]
async fn nobody_supplies_what_is_not_a_puzzle_or_custom_data() {
    let server = Deployment::new();
    let custom = json!({ "text": "data" });
    let (name, good) = document(&custom, Types::Sha3);
    let with = |change: fn(&mut Value)| {
        let mut changed = good.clone();
        change(&mut changed["data"]);
        changed.to_string()
    };
    let of = |data: Value| document(&data, Types::Sha3).1.to_string();
    let mut unknown = puzzle();
    unknown["identities"][0]["scheme"] = json!("rsa");
    let eleven: serde_json::Map<_, _> = (0..11).map(|n| (n.to_string(), json!("x"))).collect();
    let cases = [
        (String::from("{}"), "malformed", ""),
        (String::from("not JSON"), "malformed", ""),
        (with(|d| d["meta"] = json!({ "signatures": [] })), "malformed", "/data/meta/signatures"),
        (with(|d| drop(d.as_object_mut().map(|d| d.remove("meta")))), "malformed", "/data"),
        (with(|d| d["data"]["text"] = json!(1)), "malformed", "/data/data/text"),
        (with(|d| d["data"]["text"] = json!("other")), "hash_mismatch", "/data/hash/value"),
        (with(|d| d["hash"]["types"] = json!("md5")), "unsupported_hash", "/data/hash/types"),
        (of(json!({ "other": "name" })), "hash_mismatch", "/data/hash/value"),
        (of(json!({ "kind": "record", "number": "1" })), "malformed", "/data/data/kind"),
        (of(json!({ "kind": "genesis" })), "malformed", "/data/data/kind"),
        (of(eleven.into()), "too_large", "/data/data"),
        (of(json!({ "conditions": {}, "identities": [] })), "malformed", "/data/data/conditions"),
        (of(unknown), "unsupported_scheme", "/data/data/identities/0/scheme"),
    ];
    for (body, code, pointer) in cases {
        let refused = put(&server, &name, body.clone()).await;
        let found = refused.json()["pointer"].as_str().unwrap_or_default().to_owned();
        assert_eq!((refused.code().as_str(), found.as_str()), (code, pointer), "{body}");
    }
    assert_eq!(put(&server, "x", good.to_string()).await.code(), "parameter_invalid");
    assert_eq!(server.get("/document/x").await.code(), "parameter_invalid");
    assert!(server.stores.supplied.lock().expect("lock").is_empty(), "nothing was kept");
    // What has cleared is no such document, and was not supplied.
    server.post(issue(person(1), person(2), "1", 1)).await;
    let record = server.get("/transaction/1").await.json();
    let record = record["data"]["hash"]["value"].as_str().expect("a hash").to_owned();
    assert_eq!(server.get(&format!("/document/{record}")).await.code(), "not_found");
}

/// The disk is the operator's.
#[tokio::test]
async fn a_document_is_as_large_as_the_operator_lets_it_be() {
    let (name, body) = document(&json!({ "text": "twelve bytes" }), Types::Sha3);
    let size = body["data"].to_string().len();
    for (limit, status) in [
        (size, StatusCode::CREATED),
        (size - 1, StatusCode::PAYLOAD_TOO_LARGE),
        (0, StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        let server = Deployment::with(Limits { document_bytes_max: limit, ..Limits::default() });
        let answer = put(&server, &name, body.to_string()).await;
        assert_eq!(answer.status, status, "limit {limit}");
        if status != StatusCode::CREATED {
            let json = answer.json();
            assert_eq!(
                (&json["limit"], &json["actual"]),
                (&json!(limit.to_string()), &json!(size.to_string()))
            );
        }
        let card = server.get("/.well-known/webwallet").await.json();
        assert_eq!(card["limits"]["document_bytes"], json!(limit));
    }
}
