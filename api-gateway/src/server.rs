//! The listener: accepts connections, speaks HTTP/1.1 and HTTP/2 on them, and
//! lets go of peers that are silent, slow or too many.
//!
//! It is a loop of our own because every limit has to be explicit: the usual
//! one-line servers have no cap on connections, and wait for ever for a first
//! byte. It knows nothing of the paths behind it; the admin listener runs on it
//! as well.
//!
//! What is no HTTP is answered by hyper itself (400, 414 or 431 without a body)
//! before any of our code runs.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::uri::Authority;
use http::{HeaderValue, Method, Request, StatusCode, Version, header};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{Instant as TokioInstant, sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use webwallet_ledger::{Code, Rejection};
use webwallet_proto::incoming::accept;

use crate::activity::{Activity, Busy};
use crate::answer::Lasting;
use crate::body::Shared;
use crate::clients::{Admission, Clients, Connected};
use crate::limits::Limits;
use crate::problem::{Other, Problem};
use crate::room::PIECE_BYTES;

/// The least that hyper takes for HTTP/1 headers. It reads in powers of two, so
/// that only those are exact limits.
const HTTP1_BUFFER_BYTES_MIN: usize = 8_192;
/// HTTP/2 flow control: what one request, and all requests of a connection, may
/// have under way unread; a body of the greatest size fits. What was read is no
/// longer of a window: it counts against `Limits::body_bytes_in_flight_max`.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// HTTP/2 streams of a connection that its peer opened and reset before anybody looked at them, and that were reset for its
/// mistakes: one more ends the connection (CVE-2023-44487, "rapid reset"). Nobody honest comes near.
const PEER_RESETS_MAX: usize = 20;
const MISTAKES_MAX: usize = 100;

/// Serves `router` on `listener` until `shutdown` is cancelled; then takes no
/// more connections, lets the requests in flight end, and returns, at the
/// latest after the drain time of `limits`.
///
/// With `tls`, it speaks HTTPS and nothing else. A handshake has as long as the
/// headers of a request.
pub async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    limits: &Limits,
    shutdown: CancellationToken,
) {
    let connections_max = limits.connections_max.clamp(1, Semaphore::MAX_PERMITS >> 3);
    let permits = Arc::new(Semaphore::new(connections_max));
    let clients = Clients::new(limits);
    let builder = Arc::new(builder(limits));
    let limits = Arc::new(limits.clone());
    let open = metrics::gauge!("webwallet_gateway_connections");
    loop {
        // First a place, then the connection: one too many waits with the kernel.
        let permit = tokio::select! {
            permit = permits.clone().acquire_owned() => permit,
            () = shutdown.cancelled() => break,
        };
        let Ok(permit) = permit else { break };
        let (stream, peer) = tokio::select! {
            accepted = accept(&listener) => accepted,
            () = shutdown.cancelled() => break,
        };
        let Some(client) = clients.connect(peer.ip(), Instant::now()) else {
            metrics::counter!("webwallet_gateway_connections_refused_total").increment(1);
            continue;
        };
        let connection = Connection {
            client,
            peer: peer.ip(),
            limits: limits.clone(),
            builder: builder.clone(),
            router: router.clone(),
            shutdown: shutdown.clone(),
        };
        let (open, tls) = (open.clone(), tls.clone());
        let handshake_timeout = limits.header_read_timeout();
        tokio::spawn(async move {
            open.increment(1.0);
            match tls {
                None => connection.serve(stream).await,
                Some(tls) => match timeout(handshake_timeout, tls.accept(stream)).await {
                    Ok(Ok(stream)) => connection.serve(stream).await,
                    Ok(Err(error)) => {
                        tracing::debug!(peer = %connection.peer, %error, "no TLS with this peer");
                    }
                    Err(_) => {
                        tracing::debug!(peer = %connection.peer, "the handshake took too long")
                    }
                },
            }
            open.decrement(1.0);
            drop(permit);
        });
    }
    drop(listener);
    let all = u32::try_from(connections_max).unwrap_or(u32::MAX);
    if timeout(limits.drain_timeout(), permits.acquire_many(all)).await.is_err() {
        tracing::warn!("some requests did not end within the drain time");
    }
}

fn builder(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let header_bytes = limits.header_bytes_max;
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_read_timeout())
        .max_buf_size((header_bytes as usize).next_power_of_two().max(HTTP1_BUFFER_BYTES_MIN))
        .max_headers(limits.headers_max);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.http2_streams_max.max(1))
        .max_pending_accept_reset_streams(PEER_RESETS_MAX)
        .max_local_error_reset_streams(MISTAKES_MAX)
        // h2 refuses a list of exactly its maximum.
        .max_header_list_size(header_bytes.saturating_add(1))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(PIECE_BYTES);
    builder
}

/// One accepted connection and what it needs.
struct Connection {
    client: Connected,
    peer: IpAddr,
    limits: Arc<Limits>,
    builder: Arc<auto::Builder<TokioExecutor>>,
    router: Router,
    shutdown: CancellationToken,
}

impl Connection {
    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        // Whoever says nothing at all has as long as for a request's headers. (hyper's own
        // time for them runs from where it knows that this is HTTP/1.)
        let idle = self.limits.idle_timeout();
        let first = self.limits.header_read_timeout().min(idle);
        let activity = Arc::new(Activity::new(first, idle));
        let client = Arc::new(self.client);
        let router = self.router;
        let service = {
            let activity = activity.clone();
            let body_read_timeout = self.limits.body_read_timeout();
            service_fn(move |request: Request<Incoming>| {
                let busy = Busy::new(activity.clone());
                let client = client.clone();
                let router = router.clone();
                let until = TokioInstant::now() + body_read_timeout;
                answer(client, router, request, until, busy)
            })
        };
        let mut connection = pin!(self.builder.serve_connection(TokioIo::new(stream), service));
        let mut alarm = pin!(sleep_until(TokioInstant::now() + first));
        let mut closing = false;
        loop {
            tokio::select! {
                biased;
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(peer = %self.peer, %error, "connection ended");
                    }
                    return;
                }
                () = self.shutdown.cancelled(), if !closing => closing = true,
                () = alarm.as_mut() => {
                    if closing {
                        tracing::debug!(peer = %self.peer, "connection cut");
                        return;
                    }
                    if let Some(until) = activity.idle_until() {
                        alarm.as_mut().reset(until);
                        continue;
                    }
                    closing = true;
                }
            }
            // Asked to end: what is in flight is answered, then the peer hears
            // that no more is taken. A peer that does not read is cut off.
            connection.as_mut().graceful_shutdown();
            alarm.as_mut().reset(TokioInstant::now() + self.limits.drain_timeout());
        }
    }
}

/// The answer to a request, whose body has come by then or is not waited for.
async fn answer(
    client: Arc<Connected>,
    router: Router,
    request: Request<Incoming>,
    until: TokioInstant,
    busy: Busy,
) -> Result<Response, Infallible> {
    // A client that asks first has sent nothing, and when it is refused never will.
    let waits_for_leave = request.headers().contains_key(header::EXPECT);
    // There may be many of them on one connection, and no window to send them through.
    let one_of_many = request.version() == Version::HTTP_2;
    let (request, body) = Shared::of(request);
    let response = decide(client, router, request).await?;
    let status = response.status();
    if (status.is_client_error() || status.is_server_error()) && !waits_for_leave {
        body.discard(until).await;
    }
    let lasts = one_of_many || response.extensions().get::<Lasting>().is_some();
    Ok(match lasts && !response.body().is_end_stream() {
        false => response,
        true => response.map(|body| Body::new(busy.until_the_end_of(body))),
    })
}

async fn decide(
    client: Arc<Connected>,
    router: Router,
    mut request: Request<Body>,
) -> Result<Response, Infallible> {
    if !names_its_host(&request) {
        let detail = "a request has one Host header, which names a host (RFC 9112, section 3.2)";
        return Ok(refused(&request, Rejection::new(Code::Malformed, "", detail).into()));
    }
    let Admission { admitted, wait } = client.admit(Instant::now());
    if !wait.is_zero() {
        sleep(wait).await;
    }
    if admitted {
        // For what is many requests in one.
        request.extensions_mut().insert(client);
        let mut response = router.oneshot(request).await?;
        if response.status() == StatusCode::NOT_MODIFIED {
            // It would be that of the answer that is not sent (RFC 9110, section 8.6).
            response.headers_mut().remove(header::CONTENT_LENGTH);
        }
        return Ok(response);
    }
    let limit = client.requests_per_second();
    let detail = format!("this address sends more than the {limit} requests a second that it may");
    Ok(refused(&request, Problem::new(Other::RateLimited, detail).with_limit(limit)))
}

/// Whether what stands between the client and us, and we, agree on which server is
/// meant. HTTP/2 has the authority instead, which hyper sees to.
fn names_its_host(request: &Request<Body>) -> bool {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let is_one = |host: &HeaderValue| Authority::try_from(host.as_bytes()).is_ok();
    request.version() != Version::HTTP_11
        || hosts.next().is_some_and(is_one) && hosts.next().is_none()
}

/// The refusal of a request that the router, which knows how to answer HEAD, does not see.
fn refused(request: &Request<Body>, problem: Problem) -> Response {
    metrics::counter!("webwallet_gateway_refusals_total", "code" => problem.kind().code())
        .increment(1);
    let refusal = problem.render(request.uri().path());
    if request.method() == Method::HEAD { refusal.map(|_| Body::empty()) } else { refusal }
}
