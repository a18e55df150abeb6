//! `GET /iou/{hash}`: an IOU as it was signed, and the record it cleared in.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, Uri};
use serde::Deserialize;
use serde_json::value::RawValue;
use webwallet_ledger::Hash;

use crate::answer::{self, Form, Kept};
use crate::gateway::Gateway;
use crate::problem::Problem;
use crate::query::{self, Query};
use crate::schema;
use crate::stores::record::{Cleared, Key};
use crate::stores::unreadable;

/// Read an IOU
///
/// Only IOUs that cleared here are known.
#[utoipa::path(
    get,
    path = "/iou/{hash}",
    tag = "transactions",
    params(("hash" = String, Path, description = "`hash.value` of the IOU: 64 lower-case hex digits")),
    responses(
        (status = 200, description = "The IOU and its record", body = schema::IouAnswer),
        (status = 304, description = "`If-None-Match` named the answer's `ETag`"),
        (status = "4XX", description = "Refused", body = schema::Problem, content_type = "application/problem+json"),
        (status = 503, description = "A store did not answer", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_iou(
    State(gateway): State<Gateway>,
    hash: Result<Path<String>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Query::parse(uri.query(), &[])?;
    let hash: Hash = query::segment(hash)?
        .parse()
        .map_err(|_| query::invalid("an IOU is named by its hash: 64 lower-case hex digits"))?;
    let record = gateway.stores().record(Key::Iou(hash)).await?;
    let Some(record) = record else {
        return Err(gateway.absent("no such IOU has cleared here").await);
    };
    let body = extract(&record, &hash).ok_or_else(|| {
        let name = record.hash;
        unreadable(&format_args!("record {name} does not hold IOU {hash}, by which it was found"))
    })?;
    // The hash is the IOU's, and not of the record that is named beside it: sent to a server that began anew, it clears in another.
    Ok(answer::unnamed(&headers, Kept::WhileTrue, Form::Json, body))
}

/// The IOU's own bytes out of the record, with the record's names.
fn extract(record: &Cleared, hash: &Hash) -> Option<Bytes> {
    let parts: Parts = serde_json::from_slice(&record.body).ok()?;
    let name = hash.to_string();
    let iou = parts.meta.inputs.into_iter().find(|iou| {
        serde_json::from_str::<Named>(iou.get()).is_ok_and(|named| named.hash.value == name)
    })?;
    let body = format!(
        r#"{{"data":{{"iou":{},"transaction":"{}","number":"{}"}}}}"#,
        iou.get(),
        record.hash,
        record.number
    );
    Some(Bytes::from(body))
}

#[derive(Deserialize)]
struct Parts<'a> {
    #[serde(borrow)]
    meta: Inputs<'a>,
}

#[derive(Deserialize)]
struct Inputs<'a> {
    #[serde(borrow)]
    inputs: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Named {
    hash: Name,
}

#[derive(Deserialize)]
struct Name {
    value: String,
}
