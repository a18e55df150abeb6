//! The fixed answer: the gateway's listener with nothing behind it.
//!
//! What it serves a second is H, the most that this HTTP stack can do for the
//! same requests and answers of the same size. Runs as a process of its own,
//! like the server it is compared with.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::routing::post;
use clap::Args;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use webwallet_api_gateway::Limits;

use crate::output::{self, Outcome};

/// `webwallet bench-fixed`
#[derive(Args)]
pub struct Fixed {
    /// Bytes of the answer
    #[arg(long)]
    bytes: usize,
}

impl Fixed {
    /// Serves until killed.
    pub fn run(&self) -> anyhow::Result<Outcome> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let answer = Bytes::from(vec![b'x'; self.bytes]);
            let location = format!("/transaction/{}", "0".repeat(64));
            // The body is taken in whole, as the real route does.
            let route = post(move |body: Bytes| async move {
                drop(body);
                let headers = [
                    (header::CONTENT_TYPE, "application/json".to_owned()),
                    (header::LOCATION, location),
                ];
                (StatusCode::CREATED, headers, answer)
            });
            let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
            output::line(json!({ "listen": listener.local_addr()?.to_string() }).to_string())?;
            let router = Router::new().route("/transaction", route);
            webwallet_api_gateway::serve(
                listener,
                None,
                router,
                &Limits::default(),
                CancellationToken::new(),
            )
            .await;
            Ok(Outcome::Done)
        })
    }
}
