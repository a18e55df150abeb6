//! What every good answer has: its form, and how long it stays true.

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures::Stream;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use webwallet_ledger::Hash;

/// The form of an answer.
#[derive(Clone, Copy)]
pub(crate) enum Form {
    Json,
    Text,
    /// A page that a browser shows.
    Html,
    Bytes,
    /// JSON, a document a line.
    Lines,
    /// Server-sent events.
    Events,
}

impl Form {
    fn media_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Form::Json => "application/json",
            Form::Text => "text/plain; charset=utf-8",
            Form::Html => "text/html; charset=utf-8",
            Form::Bytes => "application/octet-stream",
            Form::Lines => "application/x-ndjson",
            Form::Events => "text/event-stream",
        })
    }
}

/// Marks an answer whose body comes as it is made: its connection is in use
/// until the body's end.
#[derive(Clone, Copy)]
pub(crate) struct Lasting;

/// Tells a proxy to send on what comes when it comes.
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

/// How long an answer that stays true may be kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Its URL names it by a hash, and so nothing else in any history (RFC 8246); or it is a tile, of which
    /// c2sp.org/tlog-tiles wants as much.
    ForEver,
    /// It is a receipt, of which another log has another; or its URL names it by a number, a height or a size, which whoever begins anew on other data, or puts another
    /// server behind the same name, gives to something else. So a cache asks each time, and is answered 304.
    WhileTrue,
}

impl Kept {
    fn header(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Kept::ForEver => "public, max-age=31536000, immutable",
            Kept::WhileTrue => "no-cache",
        })
    }
}

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

/// A value of ours as JSON.
pub(crate) fn json(value: &impl Serialize) -> Bytes {
    // Only structs of text and numbers come here; writing them cannot fail.
    serde_json::to_vec(value).unwrap_or_default().into()
}

/// Hashes as answers write them.
pub(crate) fn hex(hashes: &[Bytes]) -> Vec<String> {
    let hex = |hash: &Bytes| hash.iter().map(|byte| format!("{byte:02x}")).collect();
    hashes.iter().map(hex).collect()
}

/// JSON that is true now.
pub(crate) fn current(status: StatusCode, body: impl Into<Body>) -> Response {
    now(status, Form::Json, body)
}

/// An answer that is true now.
pub(crate) fn now(status: StatusCode, form: Form, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, form.media_type());
    headers.insert(header::CACHE_CONTROL, NOT_AT_ALL);
    response
}

/// An answer that comes as it is made. Where the rest cannot be made, its
/// connection is cut, so that nobody takes what has come for the whole: but in HTTP/1.0, where
/// that is how every such answer ends. There a client counts the lines of a batch, and of
/// events asks for those after the last.
pub(crate) fn lasting(
    form: Form,
    body: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static,
) -> Response {
    let mut response = now(StatusCode::OK, form, Body::from_stream(body));
    response.extensions_mut().insert(Lasting);
    // nginx, as it is installed, keeps the pieces of an answer until it has a few kB of them or the end: a reader of
    // events would see nothing.
    response.headers_mut().insert(UNBUFFERED, HeaderValue::from_static("no"));
    response
}

/// JSON that has a hash for its name; 304 without it to whom already has it.
pub(crate) fn named(
    asked: &HeaderMap,
    kept: Kept,
    name: &Hash,
    body: impl FnOnce() -> Bytes,
) -> Response {
    tagged(asked, kept, &format!("\"{name}\""), Form::Json, body)
}

/// An answer that has no name but its own bytes.
pub(crate) fn unnamed(asked: &HeaderMap, kept: Kept, form: Form, body: Bytes) -> Response {
    tagged(asked, kept, &format!("\"{}\"", Hash::sha3(&body)), form, || body)
}

/// JSON that stays true if it was asked for by all its numbers, else is true now.
pub(crate) fn fixed_if(fixed: bool, asked: &HeaderMap, body: Bytes) -> Response {
    match fixed {
        true => unnamed(asked, Kept::WhileTrue, Form::Json, body),
        false => current(StatusCode::OK, body),
    }
}

/// An answer that is kept for ever, and so needs no tag by which to ask whether it still holds.
pub(crate) fn untagged(form: Form, body: Bytes) -> Response {
    let mut response = now(StatusCode::OK, form, body);
    response.headers_mut().insert(header::CACHE_CONTROL, Kept::ForEver.header());
    response
}

/// An answer under this tag.
fn tagged(
    asked: &HeaderMap,
    kept: Kept,
    tag: &str,
    form: Form,
    body: impl FnOnce() -> Bytes,
) -> Response {
    let mut response = if holds(asked, tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut response = Response::new(Body::from(body()));
        response.headers_mut().insert(header::CONTENT_TYPE, form.media_type());
        response
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, kept.header());
    insert(headers, header::ETAG, tag);
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
