//! What every good answer has: JSON, and how long it stays true.

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use webwallet_ledger::Hash;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// A record never changes, so it may be kept for ever (RFC 8246).
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// A balance may change at any moment.
const NOT_AT_ALL: HeaderValue = HeaderValue::from_static("no-store");

/// `{"data":` and the document as it is stored, byte for byte, `}`.
pub(crate) fn data(document: &[u8]) -> Bytes {
    let mut body = Vec::with_capacity(document.len() + 9);
    body.extend_from_slice(b"{\"data\":");
    body.extend_from_slice(document);
    body.push(b'}');
    Bytes::from(body)
}

/// An answer that is true now.
pub(crate) fn current(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, JSON);
    headers.insert(header::CACHE_CONTROL, NOT_AT_ALL);
    response
}

/// An answer that is true for ever, named by a hash; 304 without it to whom
/// already has it.
pub(crate) fn immutable(asked: &HeaderMap, name: &Hash, body: impl FnOnce() -> Bytes) -> Response {
    let tag = format!("\"{name}\"");
    let mut response = if holds(asked, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut response = Response::new(Body::from(body()));
        response.headers_mut().insert(header::CONTENT_TYPE, JSON);
        response
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, FOR_EVER);
    insert(headers, header::ETAG, &tag);
    response
}

/// Sets a header from text of our own making; all of it is plain ASCII.
pub(crate) fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// Whether `If-None-Match` names the tag (weak comparison, RFC 9110, 13.1.2).
fn holds(asked: &HeaderMap, tag: &str) -> bool {
    asked.get_all(header::IF_NONE_MATCH).iter().any(|value| {
        let Ok(text) = value.to_str() else { return false };
        text.split(',')
            .map(str::trim)
            .any(|held| held == "*" || held.strip_prefix("W/").unwrap_or(held) == tag)
    })
}
