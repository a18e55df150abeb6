//! `GET /address/{address}` and its outputs: what somebody holds, and how it
//! came about.
//!
//! An unknown address is no refusal: anybody may make one, and it holds nothing.
//! But while the stores disagree, nothing here is answered: what Graphstore holds
//! then may be long past.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use http::{StatusCode, Uri, header};
use serde_json::Value;
use webwallet_ledger::{Address, Pointer};
use webwallet_proto::graphstore::v1 as graph;

use crate::answer;
use crate::cursor::List;
use crate::gateway::Gateway;
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
    let (limit, skip) = (query.limit()?, query.skip()?);
    let filter = [address.as_str(), &counter];
    let list = List { name: "units", filter: &filter };
    let after = match query.get("cursor") {
        Some(cursor) => list.text::<Address>(cursor)?,
        None => String::new(),
    };
    // One more than is shown tells whether there is more.
    let call = graph::AccountsRequest {
        address: address.to_string(),
        unit: counter.clone(),
        after,
        skip,
        limit: limit + 1,
    };
    gateway.prover().permit().await?;
    let mut accounts = gateway.stores().accounts(call).await?;
    let more = accounts.len() > limit as usize;
    accounts.truncate(limit as usize);
    let next = accounts.last().filter(|_| more).map(|last| list.cursor(last.unit.as_bytes()));

    let mut body = b"{\"data\":{\"address\":".to_vec();
    text(&mut body, address.as_str());
    body.extend_from_slice(b",\"units\":[");
    for (i, account) in accounts.iter().enumerate() {
        body.extend_from_slice(if i == 0 { b"{\"counter\":" } else { b",{\"counter\":" });
        text(&mut body, &account.unit);
        balance(&mut body, [&account.net, &account.min, &account.max]);
        body.extend_from_slice(b",\"pointer\":");
        text(&mut body, &account.pointer);
        body.push(b'}');
    }
    body.push(b']');
    Ok(page(body, &uri, &query, next))
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
    let (limit, skip) = (query.limit()?, query.skip()?);
    let filter = [address.as_str(), unit.as_str()];
    let list = List { name, filter: &filter };
    let unspent = name == "unspent";
    let (mut before, mut after) = (0, String::new());
    if let Some(cursor) = query.get("cursor") {
        match unspent {
            true => after = list.text::<Pointer>(cursor)?,
            false => before = list.number(cursor)?,
        }
    }
    let call = graph::OutputsRequest {
        unit: unit.to_string(),
        address: address.to_string(),
        unspent,
        before,
        skip,
        limit: limit + 1,
        after,
    };
    gateway.prover().permit().await?;
    let mut outputs = gateway.stores().outputs(call).await?;
    let more = outputs.len() > limit as usize;
    outputs.truncate(limit as usize);
    let key = |last: &graph::Output| match unspent {
        // The account's own output stands before every lock, whatever their names are.
        true if last.number > 0 => list.cursor(Pointer::LOWEST.to_string().as_bytes()),
        true => list.cursor(last.pointer.as_bytes()),
        false => list.cursor(&last.number.to_be_bytes()),
    };
    let next = outputs.last().filter(|_| more).map(key);

    let mut body = b"{\"data\":{\"outputs\":[".to_vec();
    for (i, output) in outputs.iter().enumerate() {
        body.extend_from_slice(if i == 0 { b"{\"pointer\":" } else { b",{\"pointer\":" });
        text(&mut body, &output.pointer);
        body.extend_from_slice(b",\"content\":");
        body.extend_from_slice(&output.content);
        body.push(b'}');
    }
    body.push(b']');
    Ok(page(body, uri, &query, next))
}

pub(crate) fn address_of(place: &str, text: &str) -> Result<Address, Problem> {
    text.parse().map_err(|error: webwallet_ledger::address::NotAnAddress| {
        query::invalid(format!("{place} names no address: {error}"))
    })
}

fn counter(query: &Query<'_>) -> Result<Option<Address>, Problem> {
    query.get("counter").map(|text| address_of("parameter counter", text)).transpose()
}

/// Appends a JSON string.
pub(crate) fn text(body: &mut Vec<u8>, text: &str) {
    body.extend_from_slice(Value::from(text).to_string().as_bytes());
}

/// Appends the key `balance`; net, min and max.
pub(crate) fn balance(body: &mut Vec<u8>, [net, min, max]: [&str; 3]) {
    for (key, value) in [(",\"balance\":{\"net\":", net), (",\"min\":", min), (",\"max\":", max)] {
        body.extend_from_slice(key.as_bytes());
        text(body, value);
    }
    body.push(b'}');
}

/// Ends a page: `next` in the body and as a link.
pub(crate) fn page(
    mut body: Vec<u8>,
    uri: &Uri,
    query: &Query<'_>,
    next: Option<String>,
) -> Response {
    let Some(cursor) = next else {
        body.extend_from_slice(b"}}");
        return answer::current(StatusCode::OK, body);
    };
    body.extend_from_slice(b",\"next\":");
    text(&mut body, &cursor);
    body.extend_from_slice(b"}}");
    let mut link = form_urlencoded::Serializer::new(String::new());
    for name in ["counter", "limit"] {
        if let Some(value) = query.get(name) {
            link.append_pair(name, value);
        }
    }
    let link = link.append_pair("cursor", &cursor).finish();
    let mut response = answer::current(StatusCode::OK, body);
    let link = format!("<{}?{link}>; rel=\"next\"", uri.path());
    answer::insert(response.headers_mut(), header::LINK, &link);
    response
}
