//! Serving services to other processes: one listener, with health, reflection
//! and every limit written down.
//!
//! Only for a role that runs apart. In one process, clients reach servers
//! through [`Link::embedded`](crate::link::Link::embedded) and nothing listens.
//! Whoever can connect is trusted, unless a [`Token`](crate::token::Guarded) or a
//! certificate is asked for: bind it where only our own services can, or ask.

use std::{convert::Infallible, future::Future};

use tokio::net::TcpListener;
use tonic::{
    Status,
    body::Body,
    server::NamedService,
    service::{Routes, RoutesBuilder},
    transport::Server,
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_health::server::{HealthReporter, HealthService};
use tower::Service;

use crate::{
    FILE_DESCRIPTOR_SET,
    incoming::{SILENCE_MAX, STRANGER_MAX, incoming},
    link::{
        CONNECTION_WINDOW_BYTES, HEADER_BYTES_MAX, Link, PING_ANSWERED_WITHIN, PING_EVERY,
        STREAM_WINDOW_BYTES,
    },
    panic::CatchPanics,
    tls::Tls,
};

/// Asks a server of ours whether one of its services does its work.
///
/// # Errors
/// No server answers there, or it does not have this service.
pub async fn is_serving(link: Link, service: &str) -> Result<bool, Status> {
    let request = HealthCheckRequest { service: service.to_owned() };
    let reply = HealthClient::new(link).check(request).await?.into_inner();
    Ok(reply.status() == ServingStatus::Serving)
}

/// Bytes of a question about health or services. Anybody who connects may ask
/// them, without a token: a name is all there is in them.
const QUESTION_BYTES_MAX: usize = 4 * 1024;

/// Calls in flight on one connection; more wait in their client.
pub const STREAMS_MAX: u32 = 1024;

/// The services of one listener.
///
/// ```no_run
/// # use webwallet_proto::{serve::Services, hashtable::{server, v1::hashtable_server::Hashtable}};
/// # async fn f(service: impl Hashtable) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:7001").await?;
/// let mut services = Services::new();
/// services.add(server(service)).await;
/// services.serve(listener, std::future::pending()).await?;
/// # Ok(()) }
/// ```
pub struct Services {
    routes: RoutesBuilder,
    names: Vec<&'static str>,
    health: HealthReporter,
    tls: Tls,
}

impl Services {
    /// None yet.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Services {
        Services {
            routes: Routes::builder(),
            names: Vec::new(),
            health: HealthReporter::new(),
            tls: Tls::default(),
        }
    }

    /// Speaks TLS if there is a certificate to show, and asks for one of the CA
    /// if there is a CA.
    pub fn with_tls(self, tls: Tls) -> Services {
        Services { tls, ..self }
    }

    /// Adds a gRPC server and reports it as serving.
    pub async fn add<S>(&mut self, server: S)
    where
        S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        self.health.set_serving::<S>().await;
        self.names.push(S::NAME);
        self.routes.add_service(server);
    }

    /// Changes what `grpc.health.v1` answers, also while serving.
    pub fn health(&self) -> HealthReporter {
        self.health.clone()
    }

    /// Serves until `shutdown`, then lets the calls in flight end.
    ///
    /// # Errors
    /// If the listener fails.
    pub async fn serve(
        mut self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let health = tonic_health::pb::health_server::HealthServer::new(
            HealthService::from_health_reporter(self.health),
        )
        .max_decoding_message_size(QUESTION_BYTES_MAX);
        let mut reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .with_service_name("grpc.health.v1.Health")
            .with_service_name("grpc.reflection.v1.ServerReflection");
        // List what is mounted here, not all that could be.
        for name in self.names {
            reflection = reflection.with_service_name(name);
        }
        let reflection = reflection.build_v1()?.max_decoding_message_size(QUESTION_BYTES_MAX);
        self.routes.add_service(health).add_service(reflection);

        let server = match self.tls.server() {
            Some(tls) => Server::builder().tls_config(tls)?,
            None => Server::builder(),
        };
        server
            .layer(CatchPanics)
            .max_concurrent_streams(STREAMS_MAX)
            .http2_max_header_list_size(HEADER_BYTES_MAX)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .http2_keepalive_interval(Some(PING_EVERY))
            .http2_keepalive_timeout(Some(PING_ANSWERED_WITHIN))
            // A gateway that gives up on all its calls at once is no attack; the
            // default of 20 would cut its connection and fail the others.
            .http2_max_pending_accept_reset_streams(Some(STREAMS_MAX as usize))
            .add_routes(self.routes.routes())
            .serve_with_incoming_shutdown(incoming(listener, SILENCE_MAX, STRANGER_MAX), shutdown)
            .await?;
        Ok(())
    }
}
