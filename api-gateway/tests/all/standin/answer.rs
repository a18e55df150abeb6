//! What a client sees, held against the OpenAPI document.

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tower::ServiceExt as _;
use webwallet_openapi::hold;

/// What a client sees.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// What a router answers, which the OpenAPI document must promise.
pub async fn answer(router: Router, request: Request<Body>) -> Answer {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let response = router.oneshot(request).await.expect("infallible");
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes();
    hold(&method, &uri, &parts, &body);
    Answer { status: parts.status, headers: parts.headers, body }
}

/// Reads an answer as the documented type and writes it out again: what the
/// document does not show would be lost, what it wrongly promises would fail.
pub fn documented<T: DeserializeOwned + Serialize>(answer: &Answer) {
    let read: T = serde_json::from_slice(&answer.body).expect("the documented type");
    assert_eq!(serde_json::to_value(&read).expect("JSON"), answer.json());
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The code of a refusal, which must have every member it owes.
    pub fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let json = self.json();
        let text = |name: &str| json[name].as_str().unwrap_or_else(|| panic!("{name} in {json}"));
        let code = text("code");
        assert_eq!(text("type"), format!("/problems/{code}"));
        assert_eq!(json["status"], self.status.as_u16());
        assert!(["never", "same", "rebuild", "later"].contains(&text("retry")), "{json}");
        assert!(!text("title").is_empty() && text("instance").starts_with('/'));
        assert_eq!(json["error"]["details"], text("detail"));
        assert!(json["error"]["message"].as_str().is_some_and(|m| !m.contains('_')), "{json}");
        let waits = [429, 503].contains(&self.status.as_u16());
        assert_eq!(self.headers.contains_key("retry-after"), waits, "{json}");
        assert!(!String::from_utf8_lossy(&self.body).contains("secret"), "{json}");
        code.to_owned()
    }
}
