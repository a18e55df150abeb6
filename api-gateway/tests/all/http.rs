//! What every path has: its words for what is not there, its methods, its forms.

use axum::body::Body;
use http::{Method, Request, StatusCode};
use webwallet_api_gateway::schema;

use crate::standin::{Deployment, documented, issue, person};

/// Whoever mistypes a path, or looks up a refusal, would not learn what to do instead.
#[tokio::test]
async fn what_is_not_there_is_said_in_the_right_words() {
    let server = Deployment::new();
    for path in
        ["/", "/transactions", "/transaction/1/2", "/address", "/metrics", "/x%ff", "/docs/no"]
    {
        let refused = server.get(path).await;
        assert_eq!(refused.code(), "not_found", "{path}");
        assert_eq!(refused.json()["instance"], path);
    }
    for (method, path, allow) in [
        (Method::GET, "/transaction", "POST"),
        (Method::HEAD, "/transaction", "POST"),
        (Method::PUT, "/transaction", "POST"),
        (Method::POST, "/transaction/1", "GET,HEAD"),
        (Method::DELETE, "/address/x", "GET,HEAD"),
        (Method::OPTIONS, "/livez", "GET,HEAD"),
        (Method::POST, "/docs/", "GET,HEAD"),
    ] {
        let request = Request::builder().method(&method).uri(path).body(Body::empty());
        let refused = server.send(request.expect("a request")).await;
        assert_eq!(refused.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        assert_eq!(refused.header("allow"), Some(allow));
        if method == Method::HEAD {
            assert!(refused.body.is_empty());
        } else {
            assert_eq!(refused.code(), "method_not_allowed");
        }
    }
    for code in ["balance_below_min", "not_found"] {
        let page = server.get(&format!("/problems/{code}")).await;
        documented::<schema::Explanation>(&page);
        assert_eq!(page.json()["code"], code);
        let browser = Request::get(format!("/problems/{code}"))
            .header("accept", "text/html,application/xhtml+xml,*/*;q=0.8")
            .body(Body::empty());
        let shown = server.send(browser.expect("a request")).await;
        assert_eq!(shown.header("content-type"), Some("text/html; charset=utf-8"));
        let (shown, cure) = (String::from_utf8_lossy(&shown.body), page.json()["cure"].clone());
        assert!(shown.contains(code) && shown.contains(cure.as_str().expect("a text")), "{shown}");
    }
    assert_eq!(server.get("/problems/x").await.code(), "not_found");
}

/// A payment would clear though its sender cannot read the answer, and he would pay again.
#[tokio::test]
async fn forms_are_negotiated_before_anything_is_done() {
    let server = Deployment::new();
    let [alice, bob] = [1, 2].map(person);
    let send = async |header: &str, value: &str, n: u64| {
        let request = Request::post("/transaction").header(header, value);
        let body = Body::from(issue(alice, bob, "1", n));
        server.send(request.body(body).expect("a request")).await
    };
    for (header, value, code) in [
        ("accept", "text/html", "not_acceptable"),
        ("accept", "application/json;q=0", "not_acceptable"),
        ("content-type", "application/xml", "media_type"),
        ("content-type", "text/plain;charset=latin1", "media_type"),
        ("content-encoding", "gzip", "media_type"),
        ("transfer-encoding", "gzip, chunked", "media_type"),
    ] {
        assert_eq!(send(header, value, 1).await.code(), code, "{header}: {value}");
    }
    for (n, header, value) in [
        (2, "accept", "*/*"),
        (3, "content-type", "application/json"),
        (4, "content-type", "text/plain;charset=UTF-8"),
        (5, "x-other", "1"),
    ] {
        assert_eq!(send(header, value, n).await.status, StatusCode::CREATED, "{header}: {value}");
    }
    for (header, values) in [
        ("content-type", ["application/json", "text/html"]),
        ("content-encoding", ["identity", "gzip"]),
    ] {
        let request = Request::post("/transaction").header(header, values[0]);
        let request = request.header(header, values[1]);
        let body = Body::from(issue(alice, bob, "1", 6));
        let twice = server.send(request.body(body).expect("a request")).await;
        assert_eq!(twice.code(), "media_type", "{header}: only the first of two was looked at");
    }
    let request = Request::post("/transaction?dry=1").body(Body::empty()).expect("a request");
    assert_eq!(server.send(request).await.code(), "parameter_invalid");
    // The refused ones cleared nothing.
    assert_eq!(server.get("/transaction/5").await.code(), "not_found");
    assert_eq!(server.get("/transaction/4").await.status, StatusCode::OK);
}

/// An example that is not so sends its reader the wrong way. Those of a listener's
/// other codes take more than one request, and are in tests of their own.
#[tokio::test]
async fn what_a_listener_refuses_is_refused_as_its_example_says() {
    let server = Deployment::new();
    let alice = person(1);
    server.post(issue(alice, person(2), "1", 1)).await;
    for (code, shown) in [
        ("not_found", ""),
        ("method_not_allowed", "GET,HEAD"),
        ("not_acceptable", ""),
        ("media_type", ""),
        ("parameter_invalid", "it is a number from 1 to 1000"),
    ] {
        // METHOD PATH [with HEADER: VALUE | ...][: what the answer says].
        let page = server.get(&format!("/problems/{code}")).await.json();
        let example = page["example"].as_str().expect("a text").trim_end_matches('.');
        let (asked, rest) = example.split_once(": ").unwrap_or((example, ""));
        let asked = asked.replace("ADDRESS", &alice.address.to_string());
        let mut words = asked.split(' ');
        let mut word = || words.next().unwrap_or_default();
        let mut request = Request::builder().method(word()).uri(word());
        match word() {
            "with" => request = request.header(word(), rest),
            _ => assert!(rest.ends_with(shown), "{example}"),
        }
        let answer = server.send(request.body(Body::empty()).expect("a request")).await;
        assert_eq!(answer.code(), code, "{example}");
        let told = format!("{:?} {}", answer.header("allow"), answer.json()["detail"]);
        assert!(told.contains(shown), "{example}: {told}");
    }
}

/// Whoever only looks whether something is there would be told what no reader is.
#[tokio::test]
async fn head_is_get_without_the_body() {
    let server = Deployment::new();
    server.post(issue(person(1), person(2), "1", 1)).await;
    for path in ["/transaction/1", "/transaction/2", "/livez", "/openapi.json", "/docs/"] {
        let got = server.get(path).await;
        let request = Request::head(path).body(Body::empty()).expect("a request");
        let head = server.send(request).await;
        assert_eq!((head.status, head.body.len()), (got.status, 0), "{path}");
        assert_eq!(head.header("content-type"), got.header("content-type"));
        let length = got.body.len().to_string();
        assert_eq!(head.header("content-length"), Some(length.as_str()), "{path}");
    }
}
