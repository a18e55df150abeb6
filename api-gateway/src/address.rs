//! `GET /address/{address}` and its outputs: what somebody holds, and how it
//! came about.
//!
//! An unknown address is no refusal: anybody may make one, and it holds nothing.
//! But while the stores disagree, nothing here is answered: what Graphstore holds
//! then may be long past.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use http::Uri;
use webwallet_ledger::{Address, Pointer};
use webwallet_proto::graphstore::v1 as graph;

use crate::cursor::List;
use crate::gateway::Gateway;
use crate::page::{Page, balance, text};
use crate::problem::Problem;
use crate::query::{self, Query};
use crate::schema;

/// The balances of an address
///
/// One line for each unit it has an account in, in the order of the units. With `counter` that unit only.
#[utoipa::path(
    get,
    path = "/address/{address}",
    tag = "addresses",
    params(
        ("address" = String, Path, description = "whose"),
        ("counter" = Option<String>, Query, description = "only this unit"),
        ("limit" = Option<u32>, Query, description = "1 to 1000, default 100", minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
        ("skip" = Option<u64>, Query, description = "units to pass over; not beside `cursor`, which leads further", maximum = 10000),
    ),
    responses(
        (status = 200, description = "Its accounts; none for an unknown address", body = schema::AddressAnswer,
            headers(("Link" = String, description = "`rel=\"next\"`, where there is more"))),
        (status = "4XX", description = "Refused", body = schema::Problem, content_type = "application/problem+json"),
        (status = 503, description = "A store did not answer; or what is current is not known (`read_only`)", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_address(
    State(gateway): State<Gateway>,
    address: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Response, Problem> {
    let query = Query::parse(uri.query(), &["counter", "limit", "cursor", "skip"])?;
    let address = address_of("the path", &query::segment(address)?)?;
    let counter = counter(&query)?.map(|unit| unit.to_string()).unwrap_or_default();
    let filter = [address.as_str(), &counter];
    let page = Page::of(List { name: "units", filter: &filter }, &uri, &query)?;
    let call = graph::AccountsRequest {
        address: address.to_string(),
        unit: counter.clone(),
        after: page.after::<Address>()?,
        skip: page.skip,
        limit: page.limit(),
    };
    gateway.prover().permit().await?;
    let accounts = gateway.stores().accounts(call).await?;
    let mut body = b"{\"data\":{\"address\":".to_vec();
    text(&mut body, address.as_str());
    body.extend_from_slice(b",\"units\":[");
    let key = |last: &graph::Account| last.unit.clone().into_bytes();
    Ok(page.answer(body, &accounts, key, |body, account| {
        body.extend_from_slice(b"{\"counter\":");
        text(body, &account.unit);
        balance(body, [&account.net, &account.min, &account.max]);
        body.extend_from_slice(b",\"pointer\":");
        text(body, &account.pointer);
        body.push(b'}');
    }))
}

/// What an account can spend
///
/// The account's current output, then the open locks between it and somebody else, in the order of their pointers.
#[utoipa::path(
    get,
    path = "/address/{address}/outputs/unspent",
    tag = "addresses",
    params(
        ("address" = String, Path, description = "whose"),
        ("counter" = String, Query, description = "in which unit"),
        ("limit" = Option<u32>, Query, description = "1 to 1000, default 100", minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
        ("skip" = Option<u64>, Query, description = "outputs to pass over; not beside `cursor`, which leads further", maximum = 10000),
    ),
    responses(
        (status = 200, description = "Outputs; none for an unknown account", body = schema::OutputsAnswer,
            headers(("Link" = String, description = "`rel=\"next\"`, where there is more"))),
        (status = "4XX", description = "Refused", body = schema::Problem, content_type = "application/problem+json"),
        (status = 503, description = "A store did not answer; or what is current is not known (`read_only`)", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_unspent(
    State(gateway): State<Gateway>,
    address: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Response, Problem> {
    outputs(&gateway, "unspent", address, &uri).await
}

/// The history of an account
///
/// Its outputs, newest first. The list is stable under new outputs: a cursor leads to what is older than the page before.
#[utoipa::path(
    get,
    path = "/address/{address}/outputs/history",
    tag = "addresses",
    params(
        ("address" = String, Path, description = "whose"),
        ("counter" = String, Query, description = "in which unit"),
        ("limit" = Option<u32>, Query, description = "1 to 1000, default 100", minimum = 1, maximum = 1000),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
        ("skip" = Option<u64>, Query, description = "outputs to pass over; not beside `cursor`, which leads further", maximum = 10000),
    ),
    responses(
        (status = 200, description = "Outputs; none for an unknown account", body = schema::OutputsAnswer,
            headers(("Link" = String, description = "`rel=\"next\"`, where there is more"))),
        (status = "4XX", description = "Refused", body = schema::Problem, content_type = "application/problem+json"),
        (status = 503, description = "A store did not answer; or what is current is not known (`read_only`)", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_history(
    State(gateway): State<Gateway>,
    address: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Response, Problem> {
    outputs(&gateway, "history", address, &uri).await
}

async fn outputs(
    gateway: &Gateway,
    name: &'static str,
    address: Result<Path<String>, PathRejection>,
    uri: &Uri,
) -> Result<Response, Problem> {
    let query = Query::parse(uri.query(), &["counter", "limit", "cursor", "skip"])?;
    let address = address_of("the path", &query::segment(address)?)?;
    let unit = counter(&query)?
        .ok_or_else(|| query::invalid("parameter counter is missing: the unit to list"))?;
    let filter = [address.as_str(), unit.as_str()];
    let page = Page::of(List { name, filter: &filter }, uri, &query)?;
    let unspent = name == "unspent";
    let (before, after) = match unspent {
        true => (0, page.after::<Pointer>()?),
        false => (page.before()?, String::new()),
    };
    let call = graph::OutputsRequest {
        unit: unit.to_string(),
        address: address.to_string(),
        unspent,
        before,
        skip: page.skip,
        limit: page.limit(),
        after,
    };
    gateway.prover().permit().await?;
    let outputs = gateway.stores().outputs(call).await?;
    let key = |last: &graph::Output| match unspent {
        // The account's own output stands before every lock, whatever their names are.
        true if last.number > 0 => Pointer::LOWEST.to_string().into_bytes(),
        true => last.pointer.clone().into_bytes(),
        false => last.number.to_be_bytes().to_vec(),
    };
    Ok(page.answer(b"{\"data\":{\"outputs\":[".to_vec(), &outputs, key, |body, output| {
        body.extend_from_slice(b"{\"pointer\":");
        text(body, &output.pointer);
        body.extend_from_slice(b",\"content\":");
        body.extend_from_slice(&output.content);
        body.push(b'}');
    }))
}

pub(crate) fn address_of(place: &str, text: &str) -> Result<Address, Problem> {
    text.parse().map_err(|error: webwallet_ledger::address::NotAnAddress| {
        query::invalid(format!("{place} names no address: {error}"))
    })
}

fn counter(query: &Query<'_>) -> Result<Option<Address>, Problem> {
    query.get("counter").map(|text| address_of("parameter counter", text)).transpose()
}
