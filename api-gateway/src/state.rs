//! Balances and supplies with their proofs against a signed head.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, Uri};
use webwallet_proto::blockstack::v1::StateProof;

use crate::address::address_of;
use crate::answer;
use crate::gateway::Gateway;
use crate::problem::Problem;
use crate::query::{self, Query};
use crate::schema;

/// Prove what an address held in a unit
///
/// After a block, with that block's document: the proof leads to its `state`. An account that was not there
/// has a proof as well.
#[utoipa::path(
    get,
    path = "/address/{address}/proof",
    tag = "proofs",
    params(
        ("address" = String, Path, description = "whose"),
        ("counter" = String, Query, description = "in which unit"),
        ("height" = Option<String>, Query, description = "of the block after which; the latest where absent"),
    ),
    responses(
        (status = 200, description = "The proof and its block", body = schema::StateProofAnswer),
        (status = 304, description = "`If-None-Match` named the answer's `ETag`"),
        (status = "4XX", description = "Refused", body = schema::Problem, content_type = "application/problem+json"),
        (status = 503, description = "The log did not answer; or whether it is there, or the newest, is not known (`read_only`)", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_account_proof(
    State(gateway): State<Gateway>,
    address: Result<Path<String>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let query = Query::parse(uri.query(), &["counter", "height"])?;
    let address = address_of("the path", &query::segment(address)?)?;
    let counter = query.get("counter").ok_or_else(|| query::invalid("counter is needed"))?;
    let counter = address_of("counter", counter)?;
    let height = query.number("height")?;
    if height.is_none() {
        gateway.shows_the_newest().await?;
    }
    let proof = gateway.prover().account_proof(&counter, &address, height).await?;
    proven(&gateway, proof, height, &headers).await
}

/// Prove the supply of a unit
///
/// After a block, with that block's document: the proof leads to its `units`.
#[utoipa::path(
    get,
    path = "/unit/{unit}/proof",
    tag = "proofs",
    params(
        ("unit" = String, Path, description = "its issuer's address"),
        ("height" = Option<String>, Query, description = "of the block after which; the latest where absent"),
    ),
    responses(
        (status = 200, description = "The proof and its block", body = schema::StateProofAnswer),
        (status = 304, description = "`If-None-Match` named the answer's `ETag`"),
        (status = "4XX", description = "Refused", body = schema::Problem, content_type = "application/problem+json"),
        (status = 503, description = "The log did not answer; or whether it is there, or the newest, is not known (`read_only`)", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_unit_proof(
    State(gateway): State<Gateway>,
    unit: Result<Path<String>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let query = Query::parse(uri.query(), &["height"])?;
    let unit = address_of("the path", &query::segment(unit)?)?;
    let height = query.number("height")?;
    if height.is_none() {
        gateway.shows_the_newest().await?;
    }
    let proof = gateway.prover().unit_proof(&unit, height).await?;
    proven(&gateway, proof, height, &headers).await
}

async fn proven(
    gateway: &Gateway,
    proof: Option<StateProof>,
    height: Option<u64>,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let Some(StateProof { proof, block }) = proof else {
        return Err(gateway.absent("there is no such block").await);
    };
    let parts: [&[u8]; 5] = [b"{\"data\":{\"proof\":", &proof, b",\"block\":", &block, b"}}"];
    Ok(answer::fixed_if(height.is_some(), headers, Bytes::from(parts.concat())))
}
