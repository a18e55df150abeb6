//! `GET /unit/{unit}` and its holders: how much there is of a unit, and who has it.
//!
//! An unknown unit is no refusal: any address may issue one, and there is nothing
//! of it yet. While the stores disagree, nothing here is answered, as of addresses.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use http::{StatusCode, Uri};
use webwallet_ledger::Address;
use webwallet_proto::graphstore::v1 as graph;

use crate::address::address_of;
use crate::answer;
use crate::cursor::List;
use crate::gateway::Gateway;
use crate::page::{Page, balance, text};
use crate::problem::Problem;
use crate::query::{self, Query};
use crate::schema;

/// What a unit comes to
///
/// Its supply is what its issuer owes: all that others hold, and all that is locked. Of an address that has never
/// issued, everything is zero.
#[utoipa::path(
    get,
    path = "/unit/{unit}",
    tag = "units",
    params(("unit" = String, Path, description = "its issuer's address")),
    responses(
        (status = 200, description = "What there is of it now", body = schema::UnitAnswer),
        (status = "4XX", description = "Refused", body = schema::Problem, content_type = "application/problem+json"),
        (status = 503, description = "A store did not answer; or what is current is not known (`read_only`)", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_unit(
    State(gateway): State<Gateway>,
    unit: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Response, Problem> {
    Query::parse(uri.query(), &[])?;
    let unit = address_of("the path", &query::segment(unit)?)?;
    gateway.prover().permit().await?;
    let graph::UnitReply { supply, locked, credit, accounts } =
        gateway.stores().unit(&unit).await?;
    let (unit, accounts) = (unit.to_string(), accounts.to_string());
    let data = schema::Unit { unit, supply, locked, accounts, credit };
    Ok(answer::current(StatusCode::OK, answer::json(&schema::UnitAnswer { data })))
}

/// The holders of a unit
///
/// Every account ever made in it, the issuer's and those at zero included, in the order of addresses: the nets of all
/// and what is locked sum to zero. The list is stable under new accounts: a cursor leads to what follows the page before.
#[utoipa::path(
    get,
    path = "/unit/{unit}/holders",
    tag = "units",
    params(
        ("unit" = String, Path, description = "its issuer's address"),
        ("limit" = Option<u32>, Query, description = "1 to 1000, default 100", minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
        ("skip" = Option<u64>, Query, description = "holders to pass over; not beside `cursor`, which leads further", maximum = 10000),
    ),
    responses(
        (status = 200, description = "Its accounts; none of an unknown unit", body = schema::HoldersAnswer,
            headers(("Link" = String, description = "`rel=\"next\"`, where there is more"))),
        (status = "4XX", description = "Refused", body = schema::Problem, content_type = "application/problem+json"),
        (status = 503, description = "A store did not answer; or what is current is not known (`read_only`)", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_holders(
    State(gateway): State<Gateway>,
    unit: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Response, Problem> {
    let query = Query::parse(uri.query(), &["limit", "cursor", "skip"])?;
    let unit = address_of("the path", &query::segment(unit)?)?;
    let filter = [unit.as_str()];
    let page = Page::of(List { name: "holders", filter: &filter }, &uri, &query)?;
    let call = graph::HoldersRequest {
        unit: unit.to_string(),
        after: page.after::<Address>()?,
        skip: page.skip,
        limit: page.limit(),
    };
    gateway.prover().permit().await?;
    let holders = gateway.stores().holders(call).await?;
    let key = |last: &graph::Holder| last.address.clone().into_bytes();
    Ok(page.answer(b"{\"data\":{\"holders\":[".to_vec(), &holders, key, |body, holder| {
        body.extend_from_slice(b"{\"address\":");
        text(body, &holder.address);
        balance(body, [&holder.net, &holder.min, &holder.max]);
        body.push(b'}');
    }))
}
