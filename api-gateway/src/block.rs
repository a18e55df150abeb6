//! `GET /block/...` and `GET /stack/...`: the chain of blocks as documents.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, StatusCode, Uri};
use webwallet_proto::blockstack::v1::block_request::Key;

use crate::answer::{self, Form, Kept};
use crate::gateway::Gateway;
use crate::problem::Problem;
use crate::prover::Document;
use crate::query::{self, Query};
use crate::schema;

/// The name of the newest block and stack.
const LATEST: &str = "latest";

/// Read a block
///
/// By its height, its hash, or `latest`.
#[utoipa::path(
    get,
    path = "/block/{name}",
    tag = "proofs",
    params(("name" = String, Path, description = "a height from 0, 64 lower-case hex digits, or `latest`", example = "0")),
    responses(
        (status = 200, description = "The block document", body = schema::BlockAnswer),
        (status = 304, description = "`If-None-Match` named the answer's `ETag`"),
        (status = "4XX", description = "Refused", body = schema::Problem, content_type = "application/problem+json"),
        (status = 503, description = "The log did not answer; or whether it is there, or the newest, is not known (`read_only`)", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_block(
    State(gateway): State<Gateway>,
    name: Result<Path<String>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Query::parse(uri.query(), &[])?;
    let name = query::segment(name)?;
    let key = match name.parse::<webwallet_ledger::Hash>() {
        Ok(hash) => Some(Key::Hash(Bytes::copy_from_slice(&hash.0))),
        Err(_) if name == LATEST => None,
        Err(_) => Some(Key::Height(query::decimal(&name).ok_or_else(|| {
            query::invalid(
                "a block is named by its height (a number from 0), by its hash (64 lower-case hex digits) or by `latest`",
            )
        })?)),
    };
    let kept = match key {
        Some(Key::Hash(_)) => Some(Kept::ForEver),
        Some(_) => Some(Kept::WhileTrue),
        None => {
            gateway.shows_the_newest().await?;
            None
        }
    };
    let block = gateway.prover().block(key).await?;
    document(&gateway, block, kept, &headers).await
}

/// Read the records of a block
///
/// In the order of their numbers.
#[utoipa::path(
    get,
    path = "/block/{height}/transactions",
    tag = "proofs",
    params(("height" = String, Path, description = "from 0", example = "0")),
    responses(
        (status = 200, description = "Its records", body = schema::BlockRecordsAnswer),
        (status = 304, description = "`If-None-Match` named the answer's `ETag`"),
        (status = "4XX", description = "Refused", body = schema::Problem, content_type = "application/problem+json"),
        (status = 503, description = "The log did not answer; or whether it is there, or the newest, is not known (`read_only`)", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_block_transactions(
    State(gateway): State<Gateway>,
    height: Result<Path<String>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Query::parse(uri.query(), &[])?;
    let height = query::number("a block", &query::segment(height)?)?;
    let _turn = gateway.bundle().await;
    let records = gateway.prover().records(height).await?;
    let Some(records) = records else { return Err(gateway.absent(NOTHING).await) };
    let mut body = b"{\"data\":{\"transactions\":[".to_vec();
    body.extend_from_slice(&records.join(&b','));
    body.extend_from_slice(b"]}}");
    Ok(answer::unnamed(&headers, Kept::WhileTrue, Form::Json, Bytes::from(body)))
}

/// Read a stack
///
/// The blocks since the stack before it, those of a day unless the operator asked for one, by its height or `latest`.
#[utoipa::path(
    get,
    path = "/stack/{name}",
    tag = "proofs",
    params(("name" = String, Path, description = "a height from 0, or `latest`", example = "0")),
    responses(
        (status = 200, description = "The stack document", body = schema::StackAnswer),
        (status = 304, description = "`If-None-Match` named the answer's `ETag`"),
        (status = "4XX", description = "Refused", body = schema::Problem, content_type = "application/problem+json"),
        (status = 503, description = "The log did not answer; or whether it is there, or the newest, is not known (`read_only`)", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_stack(
    State(gateway): State<Gateway>,
    name: Result<Path<String>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Query::parse(uri.query(), &[])?;
    let name = query::segment(name)?;
    let height = match name.as_str() {
        LATEST => None,
        height => Some(query::decimal(height).ok_or_else(|| {
            query::invalid("a stack is named by its height (a number from 0) or by `latest`")
        })?),
    };
    if height.is_none() {
        gateway.shows_the_newest().await?;
    }
    let stack = gateway.prover().stack(height).await?;
    document(&gateway, stack, height.map(|_| Kept::WhileTrue), &headers).await
}

/// `kept` where it was asked for by a name, and not as the latest.
async fn document(
    gateway: &Gateway,
    found: Option<Document>,
    kept: Option<Kept>,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let Some(found) = found else { return Err(gateway.absent(NOTHING).await) };
    Ok(match kept {
        None => answer::current(StatusCode::OK, answer::data(&found.body)),
        Some(kept) => answer::named(headers, kept, &found.hash, || answer::data(&found.body)),
    })
}

const NOTHING: &str = "nothing of that name has been sealed here";
