//! What the server says of itself: who it is, whether it is well, and what its
//! refusals mean.

use std::time::Instant;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri};
use tokio::sync::Mutex;
use webwallet_ledger::block::RULES;
use webwallet_ledger::limits;

use crate::answer::{self, Form};
use crate::gateway::Gateway;
use crate::media;
use crate::problem::{Kind, Other, Problem};
use crate::query::{self, LIMIT_MAX, Query};
use crate::schema;

/// Who this server is
///
/// Its domain, the keys of its log, newest first, its newest checkpoint, the rules it clears by, and its limits.
#[utoipa::path(
    get,
    path = "/.well-known/webwallet",
    tag = "server",
    responses(
        (status = 200, description = "The server's card", body = schema::Server),
        (status = "4XX", description = "Refused", body = schema::Problem, content_type = "application/problem+json"),
        (status = 503, description = "The log did not answer", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_server(
    State(gateway): State<Gateway>,
    uri: Uri,
) -> Result<Response, Problem> {
    Query::parse(uri.query(), &[])?;
    let log = gateway.prover().status().await?;
    let newest = gateway.shows_the_newest().await.is_ok();
    let card = schema::Server {
        domain: gateway.domain().to_owned(),
        keys: log.keys,
        checkpoint: Some(log.checkpoint).filter(|checkpoint| newest && !checkpoint.is_empty()),
        rules: RULES.to_owned(),
        limits: schema::ServerLimits {
            body_bytes: limits::BODY_BYTES_MAX,
            inputs: limits::INPUTS_MAX,
            signatures: limits::SIGNATURES_MAX,
            iou_signatures: limits::IOU_SIGNATURES_MAX,
            record_bytes: limits::RECORD_BYTES_MAX,
            depth: limits::DEPTH_MAX,
            values: limits::VALUES_MAX,
            page: LIMIT_MAX,
            document_bytes: gateway.limits().document_bytes_max,
            header_bytes: gateway.limits().header_bytes_max,
            connections_per_client: positive(gateway.limits().connections_per_client_max),
            requests_per_second_per_client: positive(
                gateway.limits().requests_per_second_per_client_max,
            ),
            ious_per_second_per_source: positive(gateway.limits().ious_per_second_per_source_max),
            ious_per_second_per_issuer: positive(gateway.limits().ious_per_second_per_issuer_max),
        },
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    Ok(answer::current(StatusCode::OK, answer::json(&card)))
}

/// Zero means that there is no such limit.
fn positive<N: Default + PartialEq>(limit: N) -> Option<N> {
    Some(limit).filter(|limit| *limit != N::default())
}

/// Whether the process runs
///
/// It says nothing of the stores; see `/readyz`.
#[utoipa::path(
    get,
    path = "/livez",
    tag = "server",
    responses(
        (status = 200, description = "It does", body = schema::Health),
        (status = "4XX", description = "Refused", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_livez(uri: Uri) -> Result<Response, Problem> {
    Query::parse(uri.query(), &[])?;
    let health = schema::Health { status: "alive".to_owned(), ..schema::Health::default() };
    Ok(answer::current(StatusCode::OK, answer::json(&health)))
}

/// Whether requests can be served
///
/// Asks both stores and the log at once, for at most two seconds; whoever asks while that goes on is told the same. The
/// detail of a refusal names what is missing.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "server",
    responses(
        (status = 200, description = "They can", body = schema::Health),
        (status = "4XX", description = "Refused", body = schema::Problem, content_type = "application/problem+json"),
        (status = 503, description = "They cannot: what is missing", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_readyz(
    State(gateway): State<Gateway>,
    uri: Uri,
) -> Result<Response, Problem> {
    Query::parse(uri.query(), &[])?;
    let (health, mut missing) = Readiness::of(gateway.clone()).await;
    if gateway.draining().is_cancelled() {
        missing.insert(0, "the server is shutting down".to_owned());
    }
    if missing.is_empty() {
        Ok(answer::current(StatusCode::OK, answer::json(&health)))
    } else {
        Err(Problem::new(Other::Unavailable, missing.join("; ")))
    }
}

/// What the last look at the stores and the log found. Each look takes turns on connections that
/// clearing needs, so there is one at a time, and whoever asks meanwhile is told the same: what
/// was so since it began.
#[derive(Default)]
pub(crate) struct Readiness(Mutex<Option<Look>>);

struct Look {
    ended: Instant,
    /// What is unusual of the server, and what is missing.
    found: (schema::Health, Vec<String>),
}

impl Readiness {
    /// A look goes on when whoever has begun it has left: others may wait for it.
    async fn of(gateway: Gateway) -> (schema::Health, Vec<String>) {
        let look = tokio::spawn(async move { gateway.readiness().look(&gateway).await });
        let failed = |_| (schema::Health::default(), vec!["no look is possible".to_owned()]);
        look.await.unwrap_or_else(failed)
    }

    async fn look(&self, gateway: &Gateway) -> (schema::Health, Vec<String>) {
        let asked = Instant::now();
        let mut last = self.0.lock().await;
        if let Some(look) = &*last
            && look.ended > asked
        {
            return look.found.clone();
        }
        let (mut health, mut log) = (schema::Health::default(), schema::Health::default());
        let (mut missing, sealing) = tokio::join!(
            gateway.stores().missing(gateway.domain(), &mut health),
            gateway.prover().missing(gateway.domain(), &mut log)
        );
        missing.extend(sealing);
        let schema::Health { manual_seal, given_log_key, .. } = log;
        let health =
            schema::Health { status: "ready".to_owned(), manual_seal, given_log_key, ..health };
        let found = (health, missing);
        *last = Some(Look { ended: Instant::now(), found: found.clone() });
        found
    }
}

/// What a refusal means
///
/// Cause, cure and an example of one code: the page that the `type` of a refusal names. Browsers, and whoever else asks
/// for `text/html`, get it as a page to read.
#[utoipa::path(
    get,
    path = "/problems/{code}",
    tag = "server",
    params(("code" = schema::KnownCode, Path, description = "`code` of a refusal")),
    responses(
        (status = 200, description = "Its meaning", content(
            (schema::Explanation = "application/json"),
            (String = "text/html"),
        )),
        (status = "4XX", description = "No refusal has this code, or another refusal", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_problem(
    code: Result<Path<String>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Query::parse(uri.query(), &[])?;
    let code = query::segment(code)?;
    let kind = Kind::named(&code)
        .ok_or_else(|| Problem::new(Other::NotFound, "no refusal has this code"))?;
    if media::prefers_html(&headers) {
        return Ok(answer::now(StatusCode::OK, Form::Html, page(kind)));
    }
    let explanation = schema::Explanation::from(kind);
    Ok(answer::current(StatusCode::OK, answer::json(&explanation)))
}

/// The same for people.
fn page(kind: Kind) -> String {
    // Only our own words stand here; a `<` among them is no tag all the same.
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;");
    let meaning = kind.meaning();
    let parts = [("Cause", meaning.cause), ("Cure", meaning.cure), ("Example", meaning.example)];
    let parts = parts.map(|(name, text)| format!("<h2>{name}</h2>\n<p>{}</p>\n", escaped(text)));
    let (code, title) = (meaning.code, escaped(meaning.title));
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{code}</title>\n\
         <h1>{code}</h1>\n<p>{title}</p>\n<p>Status {}; retry: {}.</p>\n{}</html>\n",
        meaning.status,
        kind.retry(),
        parts.concat()
    )
}
