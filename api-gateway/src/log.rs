//! The log as a stranger reads it: checkpoints, tiles, and proofs about both.
//!
//! The paths are those of c2sp.org/tlog-tiles, so this server's URL is the URL of
//! its log. Tiles are kept for ever, as that format wants it; what has a size or a number for its name is asked for again.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, StatusCode, Uri};
use webwallet_proto::blockstack::v1::inclusion_request::Leaf;

use crate::answer::{self, Form, Kept};
use crate::gateway::Gateway;
use crate::problem::Problem;
use crate::query::{self, Query};
use crate::schema;

/// The signed head of the log
///
/// A signed note (c2sp.org/tlog-checkpoint), new with every block.
#[utoipa::path(
    get,
    path = "/checkpoint",
    tag = "proofs",
    responses(
        (status = 200, description = "The newest checkpoint", body = String, content_type = "text/plain"),
        (status = "4XX", description = "There is no block yet, or another refusal", body = schema::Problem, content_type = "application/problem+json"),
        (status = 503, description = "The log did not answer; or whether it is there, or the newest, is not known (`read_only`)", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_checkpoint(
    State(gateway): State<Gateway>,
    uri: Uri,
) -> Result<Response, Problem> {
    Query::parse(uri.query(), &[])?;
    gateway.shows_the_newest().await?;
    let note = gateway.prover().checkpoint(None).await?;
    let Some(note) = note else { return Err(gateway.absent("there is no block yet").await) };
    Ok(answer::now(StatusCode::OK, Form::Text, note))
}

/// The signed head of the log, as it was
///
/// Of a size at which a block ended.
#[utoipa::path(
    get,
    path = "/checkpoint/{size}",
    tag = "proofs",
    params(("size" = String, Path, description = "leaves under it", example = "2")),
    responses(
        (status = 200, description = "The checkpoint of that size", body = String, content_type = "text/plain"),
        (status = 304, description = "`If-None-Match` named the answer's `ETag`"),
        (status = "4XX", description = "Refused", body = schema::Problem, content_type = "application/problem+json"),
        (status = 503, description = "The log did not answer; or whether it is there, or the newest, is not known (`read_only`)", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_checkpoint_at(
    State(gateway): State<Gateway>,
    size: Result<Path<String>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Query::parse(uri.query(), &[])?;
    let size = query::number("size", &query::segment(size)?)?;
    let note = gateway.prover().checkpoint(Some(size)).await?;
    let Some(note) = note else {
        return Err(gateway.absent("no block ended at this size").await);
    };
    Ok(answer::unnamed(&headers, Kept::WhileTrue, Form::Text, Bytes::from(note)))
}

/// A tile or an entry bundle
///
/// Exactly as c2sp.org/tlog-tiles: `0/x001/067`, `entries/000.p/5`.
#[utoipa::path(
    get,
    path = "/tile/{*path}",
    tag = "proofs",
    params(("path" = String, Path, description = "`{L}/{N}[.p/{W}]` or `entries/{N}[.p/{W}]`", example = "entries/000.p/1")),
    responses(
        (status = 200, description = "Its bytes", body = inline(schema::Tile), content_type = "application/octet-stream",
            headers(("Cache-Control" = String, description = "`immutable`"))),
        (status = "4XX", description = "Refused", body = schema::Problem, content_type = "application/problem+json"),
        (status = 503, description = "The log did not answer; or whether it is there, or the newest, is not known (`read_only`)", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_tile(
    State(gateway): State<Gateway>,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Response, Problem> {
    Query::parse(uri.query(), &[])?;
    let path = format!("tile/{}", query::segment(path)?);
    let _turn = if path.starts_with("tile/entries/") { gateway.bundle().await } else { None };
    let tile = gateway.prover().tile(path).await?;
    let Some(tile) = tile else { return Err(gateway.absent("the log has no such tile").await) };
    // There may be sixteen million bytes to hash for a tag.
    Ok(answer::untagged(Form::Bytes, tile))
}

/// Prove that a leaf is in the log
///
/// RFC 6962 inclusion over SHA-256. The leaf is that of record `number`, or leaf `index`.
#[utoipa::path(
    get,
    path = "/proof/inclusion",
    tag = "proofs",
    params(
        ("number" = Option<String>, Query, description = "of a record", example = "1"),
        ("index" = Option<String>, Query, description = "of a leaf, from 0"),
        ("size" = Option<String>, Query, description = "of the tree; the newest checkpoint's where absent"),
    ),
    responses(
        (status = 200, description = "The proof", body = schema::Inclusion),
        (status = 304, description = "`If-None-Match` named the answer's `ETag`"),
        (status = "4XX", description = "Refused", body = schema::Problem, content_type = "application/problem+json"),
        (status = 503, description = "The log did not answer; or whether it is there, or the newest, is not known (`read_only`)", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_inclusion(
    State(gateway): State<Gateway>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let query = Query::parse(uri.query(), &["number", "index", "size"])?;
    let leaf = match (query.number("number")?, query.number("index")?) {
        (Some(number), None) => Leaf::Number(number),
        (None, Some(index)) => Leaf::Index(index),
        _ => return Err(query::invalid("number or index is needed, and not both")),
    };
    let size = query.number("size")?;
    if size.is_none() {
        gateway.shows_the_newest().await?;
    }
    let Some(proof) = gateway.prover().inclusion(leaf, size).await? else {
        let nothing = "that leaf is not in a tree of that size that is sealed";
        return Err(gateway.absent(nothing).await);
    };
    let inclusion = schema::Inclusion {
        index: proof.index.to_string(),
        size: proof.size.to_string(),
        path: answer::hex(&proof.path),
    };
    Ok(answer::fixed_if(size.is_some(), &headers, answer::json(&inclusion)))
}

/// Prove that the log has only grown
///
/// RFC 6962 consistency over SHA-256.
#[utoipa::path(
    get,
    path = "/proof/consistency",
    tag = "proofs",
    params(
        ("from" = String, Query, description = "the smaller size", example = "2"),
        ("to" = String, Query, description = "the larger size"),
    ),
    responses(
        (status = 200, description = "The proof", body = schema::Consistency),
        (status = 304, description = "`If-None-Match` named the answer's `ETag`"),
        (status = "4XX", description = "Refused", body = schema::Problem, content_type = "application/problem+json"),
        (status = 503, description = "The log did not answer; or whether it is there, or the newest, is not known (`read_only`)", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_consistency(
    State(gateway): State<Gateway>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let query = Query::parse(uri.query(), &["from", "to"])?;
    let (Some(from), Some(to)) = (query.number("from")?, query.number("to")?) else {
        return Err(query::invalid("from and to are needed"));
    };
    let Some(proof) = gateway.prover().consistency(from, to).await? else {
        return Err(gateway.absent("the log is not sealed up to that size").await);
    };
    let consistency = schema::Consistency {
        from: from.to_string(),
        to: to.to_string(),
        path: answer::hex(&proof.path),
    };
    Ok(answer::unnamed(&headers, Kept::WhileTrue, Form::Json, answer::json(&consistency)))
}
