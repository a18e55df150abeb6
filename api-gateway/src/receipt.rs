//! `GET /transaction/{name}/receipt`: the proof that a record is in the log, for
//! its holder to keep.

use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use webwallet_ledger::Hash;
use webwallet_ledger::leaf::{Leaf, Outline};
use webwallet_ledger::receipt::Receipt;
use webwallet_proto::blockstack::v1 as wire;

use crate::answer::{self, Form, Kept};
use crate::gateway::Gateway;
use crate::media;
use crate::problem::{Other, Problem};
use crate::query::{self, Query};
use crate::schema;
use crate::stores::record::Key;
use crate::transaction::{self, Name};

/// Seconds after which a record that is not sealed yet should be.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// Read a record's receipt
///
/// A `.tlog-proof` file (c2sp.org/tlog-proof@v1): the record, its inclusion proof and the signed checkpoint.
/// Anybody can verify it offline with the verifier key. With `Accept: application/json` the same as JSON.
/// What is sealed has its receipt also while nothing clears (`read_only`).
#[utoipa::path(
    get,
    path = "/transaction/{name}/receipt",
    tag = "proofs",
    params(("name" = String, Path, description = "64 lower-case hex digits, or a number from 1", example = "1")),
    responses(
        (status = 200, description = "The receipt", content(
            (String = "text/plain"),
            (schema::Receipt = "application/json"),
        )),
        (status = 202, description = "Cleared, and not sealed yet", body = schema::NotSealed,
            headers(("Retry-After" = String, description = "seconds"))),
        (status = 304, description = "`If-None-Match` named the answer's `ETag`"),
        (status = "4XX", description = "Refused", body = schema::Problem, content_type = "application/problem+json"),
        (status = 503, description = "A store or the log did not answer; or whether it has cleared is not known, or nothing is sealed (`read_only`)", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_receipt(
    State(gateway): State<Gateway>,
    name: Result<Path<String>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Query::parse(uri.query(), &[])?;
    let name = transaction::named(&query::segment(name)?)?;
    let number = match name {
        Name::Hash(hash) => {
            let record = transaction::by_hash(&gateway, hash).await?;
            record.and_then(|record| number_of(&record, gateway.domain()))
        }
        Name::Number(number) => Some(number),
        Name::Beyond => None,
    };
    let Some(number) = number else { return Err(gateway.absent(transaction::NOTHING).await) };
    // What is sealed is proven by the log alone, whether Graphstore is away, or was put back
    // and has forgotten it.
    let receipt = gateway.prover().receipt(number, Duration::ZERO).await?;
    match (receipt, name) {
        // What is kept may never have cleared, and a Graphstore that was put back has given a
        // number again: then another record has it in the log. By its number, that one is meant.
        (Some(receipt), Name::Hash(hash)) if receipt.hash[..] != hash.0 => {
            Err(gateway.absent(transaction::NOTHING).await)
        }
        // By whatever name: another log, or this one under its next key, proves the same record otherwise.
        (Some(receipt), _) => {
            let (form, body) = match media::prefers_json(&headers) {
                true => (Form::Json, json(&receipt)?),
                false => (Form::Text, Bytes::from(receipt.text)),
            };
            Ok(answer::unnamed(&headers, Kept::WhileTrue, form, body))
        }
        (None, name) => not_sealed(&gateway, number, &name).await,
    }
}

/// The number in a record, of which nothing else is read here: it may be of a hundred IOUs.
fn number_of(record: &[u8], domain: &str) -> Option<u64> {
    match Leaf::outline(record, domain) {
        Ok(Outline::Record { number, .. }) => Some(number),
        _ => None,
    }
}

/// That a record has cleared and is in no block yet.
async fn not_sealed(gateway: &Gateway, number: u64, name: &Name) -> Result<Response, Problem> {
    let key = match name {
        Name::Hash(hash) => Key::Record(*hash),
        Name::Number(_) | Name::Beyond => Key::Number(number),
    };
    if gateway.stores().record(key).await?.is_none() {
        return Err(gateway.absent(transaction::NOTHING).await);
    }
    // While nothing is sealed, to come again is no advice.
    gateway.prover().permit().await?;
    let state = schema::NotSealed { state: "cleared".to_owned(), number: number.to_string() };
    let mut response = answer::current(StatusCode::ACCEPTED, answer::json(&state));
    response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
    Ok(response)
}

/// The receipt as JSON; the record in it is the stored document, byte for byte.
fn json(receipt: &wire::Receipt) -> Result<Bytes, Problem> {
    let node = |node: &Bytes| Hash::from_slice(node).map(|hash| hash.0);
    let path: Option<Vec<_>> = receipt.path.iter().map(node).collect();
    let receipt = path.and_then(|path| {
        let (record, checkpoint) = (receipt.record.to_vec(), receipt.checkpoint.clone());
        Receipt { record, index: receipt.index, path, checkpoint }.to_json().ok()
    });
    receipt.map(Bytes::from).ok_or_else(|| {
        tracing::error!("Blockstack gave a receipt that cannot be read");
        Problem::new(Other::Unavailable, "the log gave an answer that cannot be read")
    })
}
