//! The OpenAPI document: what is committed is what the code says, and what it
//! says is there.

use axum::body::Body;
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use webwallet_api_gateway::openapi_text;
use webwallet_api_gateway::problem::Kind;

use crate::standin::Deployment;

const COMMITTED: &str = include_str!("../../openapi.json");

/// A client made from a document that lags would send what the server refuses.
#[test]
fn the_committed_document_is_the_one_of_the_code() {
    let code = openapi_text();
    if let Some(line) = code.lines().zip(COMMITTED.lines()).position(|(a, b)| a != b) {
        panic!("openapi.json differs from the code at line {}. {REGENERATE}", line + 1);
    }
    assert_eq!(code.len(), COMMITTED.len(), "openapi.json differs at its end. {REGENERATE}");
}

const REGENERATE: &str = "If the change is meant, write it anew with: \
    cargo run -p webwallet-api-gateway --example openapi > /tmp/openapi.json && \
    mv /tmp/openapi.json api-gateway/openapi.json";

/// A client would meet a refusal that its generated types have no name for.
#[test]
fn it_is_openapi_3_1_and_lists_every_code() {
    let document: Value = serde_json::from_str(COMMITTED).expect("JSON");
    assert!(document["openapi"].as_str().is_some_and(|v| v.starts_with("3.1")));
    let codes = document["components"]["schemas"]["KnownCode"]["enum"].as_array();
    let codes: Vec<&str> = codes.expect("an enum").iter().filter_map(Value::as_str).collect();
    assert_eq!(codes, Kind::all().map(Kind::code).collect::<Vec<_>>());
}

/// Every `$ref` leads somewhere: a broken one makes generated clients useless.
#[test]
fn every_reference_leads_somewhere() {
    fn walk(value: &Value, document: &Value) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(reference)) = members.get("$ref") {
                    let pointer = reference.strip_prefix('#').expect("a local reference");
                    assert!(document.pointer(pointer).is_some(), "{reference}");
                }
                members.values().for_each(|member| walk(member, document));
            }
            Value::Array(elements) => elements.iter().for_each(|e| walk(e, document)),
            _ => {}
        }
    }
    let document: Value = serde_json::from_str(COMMITTED).expect("JSON");
    walk(&document, &document);
}

/// Whoever goes by the document would call a method that is not there, or miss one that is.
#[tokio::test]
async fn every_documented_path_answers_exactly_its_methods() {
    let server = Deployment::new();
    let document: Value = serde_json::from_str(COMMITTED).expect("JSON");
    for (path, item) in document["paths"].as_object().expect("paths") {
        let mut concrete = path.replace("{code}", "expired");
        for (name, value) in [("name", "1"), ("hash", "x"), ("address", "x"), ("unit", "x")] {
            concrete = concrete.replace(&format!("{{{name}}}"), value);
        }
        for (name, value) in [("height", "0"), ("size", "1"), ("path", "0/000")] {
            concrete = concrete.replace(&format!("{{{name}}}"), value);
        }
        assert!(!concrete.contains('{'), "{path}");
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            let documented = item.get(method.as_str().to_lowercase()).is_some();
            let request = Request::builder().method(&method).uri(&concrete).body(Body::empty());
            let answer = server.send(request.expect("a request")).await;
            let refused = answer.status == StatusCode::METHOD_NOT_ALLOWED;
            assert_eq!(documented, !refused, "{method} {path}");
        }
    }
}

/// Whoever tries the API in `/docs` for the first time sends what is shown there: it must be a request, and be answered by a rule.
#[tokio::test]
async fn the_request_that_is_shown_is_one() {
    let vectors = include_str!("../../../tests/vectors/iou-signatures.json");
    let vectors: Value = serde_json::from_str(vectors).expect("JSON");
    let shown = json!({ "data": { "inputs": [vectors["cases"][0]["iou"]] } });
    let document: Value = serde_json::from_str(COMMITTED).expect("JSON");
    let server = Deployment::new();
    let example = |path: &str, form: &str| {
        let content = &document["paths"][path]["post"]["requestBody"]["content"];
        content[form]["example"].clone()
    };
    assert_eq!(example("/transaction", "application/json"), shown);
    assert_eq!(server.post(shown.to_string()).await.code(), "wrong_domain");
    for (form, expected) in [("application/json", json!([shown])), ("application/x-ndjson", shown)]
    {
        let example = example("/batch", form);
        assert_eq!(example, expected, "{form}");
        let request = Request::post("/batch").header("content-type", form);
        let request = request.body(Body::from(example.to_string())).expect("a request");
        let answer = server.send(request).await;
        assert_eq!(answer.json()["problem"]["code"], "wrong_domain", "{form}");
    }
}

/// Behind a firewall there would be no page, and elsewhere strangers would learn the server's name.
#[tokio::test]
async fn it_is_served_and_browsed_offline() {
    let server = Deployment::new();
    let served = server.get("/openapi.json").await;
    assert_eq!(served.header("content-type"), Some("application/json"));
    let committed: Value = serde_json::from_str(COMMITTED).expect("JSON");
    assert_eq!(served.json(), committed);

    let moved = server.get("/docs").await;
    assert_eq!((moved.status.as_u16(), moved.header("location")), (303, Some("/docs/")));
    let index = server.get("/docs/").await;
    assert_eq!(index.status, StatusCode::OK);
    let html = String::from_utf8_lossy(&index.body).into_owned();
    // Whatever the page names is served from here.
    let mut files = 0;
    for part in html.split(['"', '\'']).filter(|p| p.ends_with(".js") || p.ends_with(".css")) {
        assert!(!part.contains("//"), "{part} is elsewhere");
        let file = server.get(&format!("/docs/{}", part.trim_start_matches("./"))).await;
        assert_eq!(file.status, StatusCode::OK, "{part}");
        files += 1;
    }
    assert!(files >= 3, "{html}");
    let initializer = server.get("/docs/swagger-initializer.js").await;
    let initializer = String::from_utf8_lossy(&initializer.body).into_owned();
    assert!(initializer.contains("/openapi.json"));
    // Or the reader's browser sends the server's name to strangers.
    assert!(initializer.contains("\"validatorUrl\": \"none\""), "{initializer}");
}
