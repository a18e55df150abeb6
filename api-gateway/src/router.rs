//! Which path leads where, on both listeners.

use axum::Router;
use axum::middleware::from_fn_with_state;
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::edge::{self, Edge};
use crate::gateway::Gateway;
use crate::limits::Limits;
use crate::room::Answers;
use crate::{
    about, address, admin, batch, block, document, events, iou, log, openapi, receipt, state,
    transaction, unit,
};

impl Gateway {
    /// The public API.
    pub fn router(&self) -> Router {
        let (router, document) = routes().split_for_parts();
        let router = router.merge(openapi::router(&document)).with_state(self.clone());
        edged(router, Edge::new("public", self.limits(), self.answers().clone()))
    }

    /// What only the operator may see. See [`admin::Access`].
    pub fn admin_router(&self, access: admin::Access) -> Router {
        edged(
            admin::router(self, access),
            Edge::new("admin", self.limits(), Answers::new(self.limits())),
        )
    }
}

/// What only the operator may see of a service that speaks no REST: its metrics.
pub fn metrics_router(limits: &Limits, access: admin::Access) -> Router {
    edged(admin::metrics(access), Edge::new("admin", limits, Answers::new(limits)))
}

fn edged(router: Router, edge: Edge) -> Router {
    router
        .fallback(edge::not_found)
        .method_not_allowed_fallback(edge::method_not_allowed)
        .layer(from_fn_with_state(edge, edge::pass))
}

/// The routes of the API and their documentation: one list, so that neither can
/// have what the other has not.
fn routes() -> OpenApiRouter<Gateway> {
    let mut routes = OpenApiRouter::with_openapi(openapi::frame())
        .routes(routes!(transaction::post_transaction))
        .routes(routes!(transaction::get_transaction))
        .routes(routes!(batch::post_batch))
        .routes(routes!(events::get_events))
        .routes(routes!(iou::get_iou))
        .routes(routes!(address::get_address))
        .routes(routes!(address::get_unspent))
        .routes(routes!(address::get_history))
        .routes(routes!(unit::get_unit))
        .routes(routes!(unit::get_holders))
        .routes(routes!(document::put_document, document::get_document))
        .routes(routes!(receipt::get_receipt))
        .routes(routes!(state::get_account_proof))
        .routes(routes!(state::get_unit_proof))
        .routes(routes!(block::get_block))
        .routes(routes!(block::get_block_transactions))
        .routes(routes!(block::get_stack))
        .routes(routes!(log::get_checkpoint))
        .routes(routes!(log::get_checkpoint_at))
        .routes(routes!(log::get_tile))
        .routes(routes!(log::get_inclusion))
        .routes(routes!(log::get_consistency))
        .routes(routes!(about::get_server))
        .routes(routes!(about::get_problem))
        .routes(routes!(about::get_livez))
        .routes(routes!(about::get_readyz));
    // OpenAPI has no word for a parameter that spans segments.
    let paths = &mut routes.get_openapi_mut().paths.paths;
    if let Some(tile) = paths.remove("/tile/{*path}") {
        paths.insert("/tile/{path}".to_owned(), tile);
    }
    routes
}

/// The OpenAPI 3.1 document of the public API.
pub fn document() -> Value {
    openapi::formed(&routes().into_openapi())
}

/// The document as it is committed: indented JSON and a newline.
pub fn text() -> String {
    format!("{:#}\n", document())
}
