//! What HTTP and browsers want of an answer.

use axum::body::Body;
use http::{Request, StatusCode, Version};
use webwallet_api_gateway::Limits;

use crate::listening::{http2, listen, send, status};
use crate::standin::{issue, person};

/// A page from elsewhere, open in somebody's browser, must not be able to read what that browser can reach.
#[tokio::test]
async fn no_page_of_another_origin_is_let_in() {
    let server = listen(Limits::default()).await;
    for (method, path, expected) in
        [("GET", "/livez", 200), ("OPTIONS", "/transaction", 405), ("OPTIONS", "/livez", 405)]
    {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\norigin: https://example.com\r\n\
            access-control-request-method: POST\r\nconnection: close\r\n\r\n"
        );
        let answer = server.exchange(request.as_bytes()).await;
        assert_eq!(status(&answer), expected, "{method} {path}");
        assert!(!answer.to_ascii_lowercase().contains("access-control-"), "{answer}");
    }
}

/// RFC 9110, section 8.6: of an answer that is not sent, another length than its own
/// would be believed by a cache.
#[tokio::test]
async fn what_is_not_modified_has_no_length() {
    let server = listen(Limits::default()).await;
    let posted = server.deployment.post(issue(person(1), person(2), "1", 1)).await;
    assert_eq!(posted.status, StatusCode::CREATED);
    let mut sender = http2(&server).await;
    let ask = |tag: Option<&str>| {
        let request = Request::get("http://x/transaction/1").version(Version::HTTP_2);
        let request = match tag {
            Some(tag) => request.header("if-none-match", tag),
            None => request,
        };
        request.body(Body::empty()).expect("a request")
    };
    let whole = send(&mut sender, ask(None)).await;
    let tag = whole.headers["etag"].to_str().expect("text").to_owned();
    assert!(whole.headers.contains_key("content-length"));
    let answer = send(&mut sender, ask(Some(&tag))).await;
    assert_eq!(answer.status, StatusCode::NOT_MODIFIED);
    assert!(!answer.headers.contains_key("content-length"), "{:?}", answer.headers);
}

/// Data after the head of an answer to HEAD breaks the stream for strict clients.
#[tokio::test]
async fn a_refusal_of_head_has_no_body() {
    let server =
        listen(Limits { requests_per_second_per_client_max: 1, ..Limits::default() }).await;
    let mut sender = http2(&server).await;
    let mut refused = false;
    // On a busy machine a second may pass between two.
    while !refused {
        let request = Request::head("http://x/livez").version(Version::HTTP_2);
        let answer = send(&mut sender, request.body(Body::empty()).expect("a request")).await;
        assert!(answer.body.is_empty(), "{:?}", answer.body);
        refused = answer.status == StatusCode::TOO_MANY_REQUESTS;
    }
}
