//! The OpenAPI document and its offline browser.
//!
//! The document is made from the handlers, the types in [`crate::schema`] and the forms in [`crate::forms`].
//! `openapi.json` beside this crate is a copy of it for people and tools without
//! a server; a test holds it against the code.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use bytes::Bytes;
use http::{HeaderValue, StatusCode, Uri, header};
use serde_json::{Value, json};
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::Config;

use crate::answer;
use crate::forms;
use crate::gateway::Gateway;
use crate::problem::{Other, Problem};
use crate::query::{self, Query};
use crate::schema;

/// What stands around the paths.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "WebWallet",
        description = "Any address issues its own unit of account and pays with signed IOUs. \
            URLs are part of the protocol: `/address/{address}` is the name of a wallet. \
            Amounts and numbers are decimal strings, times are RFC 3339 UTC with milliseconds, hashes are lower-case hex. \
            All of them are text that is signed or hashed: a time that is read and written again in another form (`.000Z` \
            left out, say) spoils the signature, so keep it as text. \
            HEAD works wherever GET does. Every refusal is `application/problem+json` with a stable `code`.",
        contact(name = "Whoever runs the server"),
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    servers((url = "/")),
    tags(
        (name = "transactions", description = "Clear IOUs, and read what cleared"),
        (name = "addresses", description = "What somebody holds"),
        (name = "units", description = "How much there is of a unit, and who has it"),
        (name = "documents", description = "Puzzles and custom data, kept for whoever knows their name"),
        (name = "proofs", description = "Blocks, checkpoints, receipts: what nobody has to trust the server for"),
        (name = "server", description = "Who the server is, and whether it is well"),
    ),
    components(schemas(schema::KnownCode, schema::ProblemCode))
)]
struct Frame;

pub(crate) fn frame() -> OpenApi {
    Frame::openapi()
}

/// The document with what its types cannot say.
pub(crate) fn formed(document: &OpenApi) -> Value {
    let mut document = serde_json::to_value(document).unwrap_or_default();
    // Said outright: nobody needs leave for anything here.
    document["security"] = json!([]);
    forms::add(&mut document);
    document
}

/// `/openapi.json` and `/docs`. They are about the API, not of it, and so not
/// in the document.
pub(crate) fn router(document: &OpenApi) -> Router<Gateway> {
    let json = Bytes::from(formed(document).to_string());
    let config = Arc::new(Config::from("/openapi.json").validator_url("none"));
    let page = move |path: Result<Path<String>, PathRejection>| {
        let config = config.clone();
        async move { file(&query::segment(path)?, config) }
    };
    let index = page.clone();
    Router::new()
        .route("/openapi.json", get(move |uri: Uri| async move { whole(&uri, json) }))
        .route("/docs", get(|| async { Redirect::to("/docs/") }))
        .route("/docs/", get(move || index(Ok(Path("index.html".to_owned())))))
        .route("/docs/{*path}", get(page))
}

fn whole(uri: &Uri, json: Bytes) -> Result<Response, Problem> {
    Query::parse(uri.query(), &[])?;
    Ok(answer::current(StatusCode::OK, json))
}

/// One file of the browser, out of this program: nothing is fetched from elsewhere, nor asked of it (left to itself, it has
/// the document judged by validator.swagger.io wherever the server has a name).
fn file(path: &str, config: Arc<Config<'static>>) -> Result<Response, Problem> {
    let Ok(Some(file)) = utoipa_swagger_ui::serve(path, config) else {
        return Err(Problem::new(Other::NotFound, "there is no such page"));
    };
    let mut response = Body::from(file.bytes.into_owned()).into_response();
    answer::insert(response.headers_mut(), header::CONTENT_TYPE, &file.content_type);
    if file.gzpipped {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}
