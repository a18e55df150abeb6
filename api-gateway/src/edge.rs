//! The edge of the router: what happens to every request, whatever its path.
//!
//! Here, and only here, a [`Problem`] becomes bytes, because here its request's
//! path is known; and here requests are timed and counted. Labels are the
//! routes of the API, never what a client wrote: a client must not be able to
//! make series.

use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use tokio::time::timeout;

use crate::answer::Lasting;
use crate::limits::Limits;
use crate::media;
use crate::problem::{Other, Problem};
use crate::room::Answers;

/// What the edge needs to know of its router.
#[derive(Clone)]
pub(crate) struct Edge {
    /// Which listener, as its metrics say.
    listener: &'static str,
    /// From a request's headers to its answer.
    request_timeout: Duration,
    /// Where large answers have their place.
    answers: Answers,
    /// How long one may stay unread.
    idle_timeout: Duration,
}

impl Edge {
    /// Each listener has a room of its own: the public must not keep the operator out.
    pub(crate) fn new(listener: &'static str, limits: &Limits, answers: Answers) -> Edge {
        Edge {
            listener,
            request_timeout: limits.request_timeout(),
            answers,
            idle_timeout: limits.idle_timeout(),
        }
    }

    fn count(&self, route: &str, response: &Response, took: Duration) {
        let route = route.to_owned();
        metrics::histogram!(
            "webwallet_gateway_request_seconds",
            "listener" => self.listener,
            "route" => route.clone(),
        )
        .record(took);
        metrics::counter!(
            "webwallet_gateway_requests_total",
            "listener" => self.listener,
            "route" => route,
            "status" => response.status().as_str().to_owned(),
        )
        .increment(1);
    }
}

/// Where answers are not JSON, the client's wish is not asked.
const PAGES: [&str; 8] = [
    "/docs",
    "/metrics",
    "/checkpoint",
    "/tile",
    "/transaction/{name}/receipt",
    "/events",
    "/batch",
    "/problems",
];

/// Where the client's wish decides between two forms of one answer, and so a cache
/// must not give one for the other (RFC 9110, section 12.5.5).
pub(crate) const NEGOTIATED: [&str; 3] = ["/transaction/{name}/receipt", "/events", "/problems"];

/// Wraps every route, and the answers for none.
pub(crate) async fn pass(State(edge): State<Edge>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let uri = request.uri().clone();
    let asks = request.method().is_safe();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let page = route == "none" || PAGES.iter().any(|page| route.starts_with(page));
    let mut response = if page || media::accepts_json(request.headers()) {
        match timeout(edge.request_timeout, next.run(request)).await {
            Ok(response) => response,
            Err(_) => late(edge.request_timeout).into_response(),
        }
    } else {
        Problem::new(Other::NotAcceptable, "answers are application/json").into_response()
    };
    if asks || response.extensions().get::<Lasting>().is_some() {
        let placed = edge.answers.placed(response, edge.idle_timeout, asks).await;
        response = placed.unwrap_or_else(Problem::into_response);
    }
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        metrics::counter!("webwallet_gateway_refusals_total", "code" => problem.kind().code())
            .increment(1);
        let mut rendered = problem.render(uri.path());
        // What others have added, such as Allow.
        for (name, value) in response.headers() {
            rendered.headers_mut().entry(name).or_insert_with(|| value.clone());
        }
        response = rendered;
    }
    if NEGOTIATED.iter().any(|negotiated| route.starts_with(negotiated)) {
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    }
    edge.count(route, &response, began.elapsed());
    response
}

fn late(within: Duration) -> Problem {
    let detail = format!("there was no answer within {} ms", within.as_millis());
    Problem::new(Other::Unavailable, detail)
}

/// The answer for a path that is none of ours.
pub(crate) async fn not_found() -> Problem {
    Problem::new(Other::NotFound, "there is no such path")
}

/// The answer for a method that a path does not have.
pub(crate) async fn method_not_allowed() -> Problem {
    Problem::new(Other::MethodNotAllowed, "the Allow header names the methods of this path")
}
