//! `PUT` and `GET /document/{hash}`: puzzles and custom data, kept for whoever
//! knows their name.
//!
//! IOUs carry what they need, so nothing depends on these. Records are no documents
//! in this sense: they are at `/transaction/{hash}`, which asks whoever has decided;
//! that something is kept here says nothing about what has cleared.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri, header};
use webwallet_ledger::{Code, Hash, Rejection, Supplied};

use crate::answer::{self, Kept};
use crate::gateway::Gateway;
use crate::problem::{Other, Problem};
use crate::query::{self, Query};
use crate::{body, media, schema};

/// Have a document kept
///
/// A puzzle, or custom data of an IOU: its `data`, its `hash` by any of the functions IOUs may be named with, and an
/// empty `meta`. `data` with the two keys of a puzzle is read as one; custom data has at most 10 keys, and is none of
/// the server's own documents. When the answer comes it is durable; a repeat changes nothing. In canonical form it is at
/// most as large as the server's `document_bytes` says, which may be 0. Nothing depends on it: IOUs carry what they need.
#[utoipa::path(
    put,
    path = "/document/{hash}",
    tag = "documents",
    params(("hash" = String, Path, description = "`hash.value` of the document: 64 lower-case hex digits")),
    request_body(content = schema::DocumentAnswer, description = "The document, as it is answered"),
    responses(
        (status = 201, description = "It is kept", body = schema::DocumentAnswer,
            headers(("Location" = String, description = "`/document/{hash}`"))),
        (status = 200, description = "It was kept before", body = schema::DocumentAnswer,
            headers(("Location" = String, description = "`/document/{hash}`"))),
        (status = "4XX", description = "Refused", body = schema::Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not known: send the same bytes again", body = schema::Problem,
            content_type = "application/problem+json",
            headers(("Retry-After" = String, description = "seconds"))),
    )
)]
pub(crate) async fn put_document(
    State(gateway): State<Gateway>,
    hash: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Problem> {
    Query::parse(request.uri().query(), &[])?;
    let hash = named(&query::segment(hash)?)?;
    media::check_body(request.headers())?;
    gateway.prover().permit().await?;
    let mut place = gateway.bodies().place();
    let body = body::read(request, gateway.limits().body_read_timeout(), &mut place).await?;
    let document = Supplied::parse(&body, gateway.limits().document_bytes_max)?;
    if document.name() != hash {
        let detail = "the document has another name than the path";
        return Err(Rejection::new(Code::HashMismatch, "/data/hash/value", detail).into());
    }
    // What is there already is not written again.
    let status = match gateway.stores().supplied(&hash).await? {
        Some(_) => StatusCode::OK,
        None => {
            gateway.stores().supply(&document).await?;
            StatusCode::CREATED
        }
    };
    let mut response = answer::current(status, answer::data(document.bytes()));
    answer::insert(response.headers_mut(), header::LOCATION, &format!("/document/{hash}"));
    Ok(response)
}

/// Read a document
///
/// Only what somebody has supplied by `PUT`; the answer never changes. A record is at `/transaction/{hash}`.
#[utoipa::path(
    get,
    path = "/document/{hash}",
    tag = "documents",
    params(("hash" = String, Path, description = "`hash.value` of the document: 64 lower-case hex digits")),
    responses(
        (status = 200, description = "The document", body = schema::DocumentAnswer,
            headers(("ETag" = String, description = "the document's hash, quoted"),
                ("Cache-Control" = String, description = "immutable"))),
        (status = 304, description = "`If-None-Match` named the document's hash"),
        (status = "4XX", description = "Refused", body = schema::Problem, content_type = "application/problem+json"),
        (status = 503, description = "A store did not answer", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_document(
    State(gateway): State<Gateway>,
    hash: Result<Path<String>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Query::parse(uri.query(), &[])?;
    let hash = named(&query::segment(hash)?)?;
    let document = gateway.stores().supplied(&hash).await?;
    let document = document
        .ok_or_else(|| Problem::new(Other::NotFound, "nobody has supplied such a document here"))?;
    Ok(answer::named(&headers, Kept::ForEver, &hash, || answer::data(&document)))
}

fn named(text: &str) -> Result<Hash, Problem> {
    text.parse()
        .map_err(|_| query::invalid("a document is named by its hash: 64 lower-case hex digits"))
}
