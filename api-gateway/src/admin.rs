//! The admin listener: metrics and health, for the operator alone.
//!
//! It belongs on a loopback address. Anywhere else a token is the least there
//! has to be; whoever binds the listener sees to that.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::{HeaderMap, HeaderValue, header};
use metrics_exporter_prometheus::PrometheusHandle;
use subtle::ConstantTimeEq as _;

use crate::about;
use crate::gateway::Gateway;
use crate::problem::{Other, Problem};

/// What the admin listener shows, and to whom.
#[derive(Clone)]
pub struct Access {
    /// Where metrics are read from. Its owner calls `run_upkeep` now and then:
    /// histograms grow until somebody does, or reads them.
    pub metrics: PrometheusHandle,
    /// The token to ask for; none on a loopback address.
    pub token: Option<String>,
}

pub(crate) fn router(gateway: &Gateway, access: Access) -> Router {
    let token = access.token.map(Arc::<str>::from);
    let metrics = access.metrics;
    let guarded = Router::new()
        .route("/metrics", get(move || async move { exposition(metrics.render()) }))
        .route_layer(from_fn_with_state(token, guard));
    // Health stays open: a load balancer has no token, and it gives nothing away.
    let health = Router::new()
        .route("/livez", get(about::get_livez))
        .route("/readyz", get(about::get_readyz))
        .with_state(gateway.clone());
    guarded.merge(health)
}

fn exposition(text: String) -> Response {
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

async fn guard(State(token): State<Option<Arc<str>>>, request: Request, next: Next) -> Response {
    match token {
        Some(token) if !bears(request.headers(), &token) => {
            Problem::new(Other::Unauthorized, "the token is missing or wrong").into_response()
        }
        _ => next.run(request).await,
    }
}

/// Whether the request bears the token. The time it takes says nothing of how
/// much of a wrong one was right; it does say whether the length is.
fn bears(headers: &HeaderMap, token: &str) -> bool {
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return false;
    };
    let value = value.as_bytes();
    let Some((scheme, given)) = value.split_at_checked("Bearer ".len()) else {
        return false;
    };
    scheme.eq_ignore_ascii_case(b"Bearer ") && given.ct_eq(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_opens() {
        let mut headers = HeaderMap::new();
        assert!(!bears(&headers, "secret"));
        for (value, opens) in [
            ("Bearer secret", true),
            ("bearer secret", true),
            ("Bearer secre", false),
            ("Bearer secrets", false),
            ("Bearer ", false),
            ("Bearer", false),
            ("Basic secret", false),
            ("secret", false),
        ] {
            headers.insert(header::AUTHORIZATION, HeaderValue::from_static(value));
            assert_eq!(bears(&headers, "secret"), opens, "{value}");
        }
    }
}
