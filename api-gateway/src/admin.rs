//! The admin listener: metrics, health, and what changes the server, for the
//! operator alone.
//!
//! It belongs on a loopback address. Anywhere else a token is the least there
//! has to be; whoever binds the listener sees to that.

use std::net::IpAddr;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use webwallet_proto::token::Token;

use crate::gateway::Gateway;
use crate::problem::{Kind, Other, Problem};
use crate::query::Query;
use crate::{about, answer};

/// What the admin listener shows, and to whom.
#[derive(Clone)]
pub struct Access {
    /// Where metrics are read from. Its owner calls `run_upkeep` now and then:
    /// histograms grow until somebody does, or reads them.
    pub metrics: PrometheusHandle,
    /// The token to ask for; none on a loopback address.
    pub token: Option<Token>,
}

/// The metrics alone.
pub(crate) fn metrics(access: Access) -> Router {
    let metrics = access.metrics.clone();
    let metrics = get(move || async move { exposition(metrics.render()) });
    guarded(Router::new().route("/metrics", metrics), access)
}

fn guarded(router: Router, access: Access) -> Router {
    router.route_layer(from_fn_with_state(access.token, guard))
}

pub(crate) fn router(gateway: &Gateway, access: Access) -> Router {
    let commands = Router::new().route("/seal", post(seal)).route("/log-key", post(rotate_log_key));
    let commands = guarded(commands.with_state(gateway.clone()), access.clone());
    // Health stays open: a load balancer has no token, and it gives nothing away.
    let health = Router::new()
        .route("/livez", get(about::get_livez))
        .route("/readyz", get(about::get_readyz))
        .with_state(gateway.clone());
    metrics(access).merge(commands).merge(health)
}

/// `POST /seal`: seals all that has cleared; `?stack=true` begins with a stack.
async fn seal(State(gateway): State<Gateway>, uri: Uri) -> Result<Response, Problem> {
    let stack = Query::parse(uri.query(), &["stack"])?.flag("stack")?;
    let sealed = gateway.prover().seal(stack).await?;
    let sealed = Sealed {
        height: sealed.height.to_string(),
        blocks: sealed.blocks.to_string(),
        records: sealed.records.to_string(),
        checkpoint: sealed.checkpoint,
    };
    Ok(answer::current(StatusCode::OK, answer::json(&Data { data: sealed })))
}

/// `POST /log-key`: makes a new log key, and a block that says so.
async fn rotate_log_key(State(gateway): State<Gateway>, uri: Uri) -> Result<Response, Problem> {
    Query::parse(uri.query(), &[])?;
    let rotated = gateway.prover().rotate_log_key().await.map_err(|problem| match problem.kind() {
        Kind::Other(Other::Unavailable) => problem.once(
            "the log did not answer, and may change its key all the same: see whether the first of `keys` in /.well-known/webwallet is a new one before you ask again",
        ),
        _ => problem,
    })?;
    let rotated = Rotated { key: rotated.key, height: rotated.height.to_string() };
    Ok(answer::current(StatusCode::OK, answer::json(&Data { data: rotated })))
}

#[derive(Serialize)]
struct Data<T> {
    data: T,
}

/// What was sealed.
#[derive(Serialize)]
struct Sealed {
    height: String,
    blocks: String,
    records: String,
    checkpoint: String,
}

/// The new key, and the block that says so.
#[derive(Serialize)]
struct Rotated {
    key: String,
    height: String,
}

fn exposition(text: String) -> Response {
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

async fn guard(State(token): State<Option<Token>>, request: Request, next: Next) -> Response {
    let refused = match token {
        Some(token) if !token.opens(request.headers()) => "the token is missing or wrong",
        None if !is_for_this_machine(&request) => "the Host header names another machine",
        _ if comes_from_a_page(request.headers()) => "a page of a browser has no business here",
        _ => return next.run(request).await,
    };
    Problem::new(Other::Unauthorized, refused).into_response()
}

/// Whether a page in the operator's browser sends it, who has a way to a loopback
/// address that its author has not. What is typed as an address has neither header.
fn comes_from_a_page(headers: &HeaderMap) -> bool {
    headers.contains_key(header::ORIGIN)
        || headers.get("sec-fetch-site").is_some_and(|site| site != "none")
}

/// Whether the request is meant for a loopback address. A page whose author lets its name
/// point at one (DNS rebinding) is to the browser a page of this listener, and its requests
/// look like no page's; but they bear its name.
fn is_for_this_machine(request: &Request) -> bool {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let authority = host.or(request.uri().authority().map(Authority::as_str));
    let Some(Ok(authority)) = authority.map(str::parse::<Authority>) else { return false };
    let host = authority.host().trim_matches(['[', ']']);
    let is_loopback = |address: IpAddr| address.to_canonical().is_loopback();
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(is_loopback)
}
