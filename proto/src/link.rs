//! The one seam between services: what lies under every generated client.
//!
//! A [`Link`] is either a socket to another process or the server object of
//! this one. Callers cannot tell which: the same statuses, the same deadline,
//! the same limits, the same end when a call is dropped. `tests/all/link.rs` runs
//! one list of cases on both.
//!
//! In-process, a call is a function call: the handler runs in its caller's
//! task, there is no buffer, no queue and no other task. And what a message was
//! made of may come with it, as an extension of the request or the response: the
//! receiver need not read again what this process has just read. No socket ever
//! carries one, so whoever looks for it does without where there is none.
//!
//! What a caller sees:
//! - **Deadline.** Every link has one, and a request may carry a shorter one
//!   (`tonic::Request::set_timeout`). It runs from the call until the answer
//!   begins, connecting included, and anew for each further part of the
//!   answer: a stream may last, but not fall silent. Then `DEADLINE_EXCEEDED`.
//!   It is kept here and nowhere else: servers in the same process never look
//!   at `grpc-timeout`, and tonic's and tower's own time-outs surface as
//!   `CANCELLED` and `UNKNOWN`. So that header is taken off, and a server
//!   learns of a passed deadline as it learns of any other dropped call.
//! - **Dropping a call** drops the server's future, wherever it stands. What a
//!   server must finish, it hands to a task of its own.
//! - **`UNAVAILABLE`**: no connection, a broken one, or a handler that
//!   panicked. Nothing is known of the outcome. A link never repeats a call by
//!   itself; that is for the caller, who knows what may be repeated.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};
use tonic::{
    Status,
    body::Body,
    transport::{Channel, Endpoint, Uri},
};
use tower::{Service, ServiceExt as _};

use crate::engine::chain;
use crate::panic::caught;
use crate::tls::Tls;
use crate::token::Token;

/// A connection that cannot be made within this time is unavailable.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// How often a connection is pinged.
pub(crate) const PING_EVERY: Duration = Duration::from_secs(10);
/// One on which a ping stays unanswered for so long is dead.
pub(crate) const PING_ANSWERED_WITHIN: Duration = Duration::from_secs(5);
/// HTTP/2 flow control: what one call, and all calls of a connection, may have
/// under way unread. The protocol's default of 64 KiB would stall on one record.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = 8 * 1024 * 1024;
/// Headers of an answer, status details included.
pub(crate) const HEADER_BYTES_MAX: u32 = 16 * 1024;

/// What lies under the generated clients: a socket, or a server of this process.
/// Cloning is cheap; clones share the connection.
#[derive(Clone)]
pub struct Link {
    transport: Transport,
    deadline: Duration,
    /// What goes with every call, if the server asks for it.
    token: Option<http::HeaderValue>,
}

#[derive(Clone)]
enum Transport {
    Remote(Channel),
    Embedded(Arc<dyn Fn(http::Request<Body>) -> Answering<Infallible> + Send + Sync>),
}

type Answering<E> = Pin<Box<dyn Future<Output = Result<http::Response<Body>, E>> + Send>>;

/// Why a link to another process cannot be described.
#[derive(Debug, thiserror::Error)]
#[error("`{uri}` is not the address of a service: {why}")]
pub struct BadAddress {
    uri: String,
    why: String,
}

impl Link {
    /// A link to a server in another process, for example
    /// `http://10.0.0.7:7001`. It connects on the first call, and again after a
    /// connection was lost; that nobody listens shows when a call is made.
    ///
    /// Must be called within a tokio runtime: the connection is driven there.
    ///
    /// # Errors
    /// If `uri` is not of the form `http://host:port`.
    pub fn remote(uri: &str, deadline: Duration) -> Result<Link, BadAddress> {
        Ok(Link::over(endpoint(uri, "http", deadline)?, deadline))
    }

    /// The same over TLS, for example `https://graphstore.internal:7001`. The
    /// server must show a certificate of our CA for that name; ours is shown if
    /// it asks.
    ///
    /// # Errors
    /// If `uri` is not of the form `https://host:port`.
    pub fn remote_tls(uri: &str, tls: &Tls, deadline: Duration) -> Result<Link, BadAddress> {
        let endpoint = endpoint(uri, "https", deadline)?;
        let endpoint = endpoint
            .tls_config(tls.client())
            .map_err(|error| BadAddress { uri: uri.to_owned(), why: chain(&error) })?;
        Ok(Link::over(endpoint, deadline))
    }

    fn over(endpoint: Endpoint, deadline: Duration) -> Link {
        Link { transport: Transport::Remote(endpoint.connect_lazy()), deadline, token: None }
    }

    /// A link to a server object of this process: no socket, no other task.
    pub fn embedded<S>(server: S, deadline: Duration) -> Link
    where
        S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        Link {
            transport: Transport::Embedded(Arc::new(move |request| {
                caught(server.clone(), request)
            })),
            deadline,
            token: None,
        }
    }

    /// The same link, with a token in every call.
    pub fn with_token(self, token: &Token) -> Link {
        Link { token: Some(token.header()), ..self }
    }
}

impl Service<http::Request<Body>> for Link {
    type Response = http::Response<Answer>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Status>> + Send>>;

    /// Always ready: waiting for a connection is part of the call, so that the
    /// deadline covers it.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let deadline = match request.headers_mut().remove("grpc-timeout") {
            Some(shorter) => self.deadline.min(timeout(&shorter).unwrap_or(Duration::MAX)),
            None => self.deadline,
        };
        if let Some(token) = &self.token {
            request.headers_mut().insert(http::header::AUTHORIZATION, token.clone());
        }
        let transport = self.transport.clone();
        Box::pin(async move {
            let answer = async {
                match transport {
                    Transport::Embedded(call) => {
                        call(request).await.map_err(|never| match never {})
                    }
                    Transport::Remote(channel) => {
                        let unsendable = Arc::new(OnceLock::new());
                        let request = request.map(|body| {
                            let unsendable = unsendable.clone();
                            Body::new(Question { body, unsendable })
                        });
                        channel.oneshot(request).await.map_err(|error| {
                            let own = unsendable.get().cloned();
                            own.unwrap_or_else(|| failure(&error))
                        })
                    }
                }
            };
            match tokio::time::timeout(deadline, answer).await {
                Ok(answer) => Ok(answer?.map(|body| Answer { body, deadline, silence: None })),
                Err(_) => Err(too_late()),
            }
        })
    }
}

/// How a connection is made and kept.
fn endpoint(uri: &str, scheme: &str, deadline: Duration) -> Result<Endpoint, BadAddress> {
    let bad = |why: String| BadAddress { uri: uri.to_owned(), why };
    let parsed: Uri = uri.parse().map_err(|e| bad(format!("{e}")))?;
    if parsed.scheme_str() != Some(scheme) || parsed.authority().is_none() {
        return Err(bad(format!("it must be {scheme}://host:port")));
    }
    Ok(Endpoint::from(parsed)
        .connect_timeout(CONNECT_MAX.min(deadline))
        // Small messages both ways: Nagle's algorithm would add 40 ms.
        .tcp_nodelay(true)
        .tcp_keepalive(Some(PING_EVERY))
        .http2_keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_ANSWERED_WITHIN)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_max_header_list_size(HEADER_BYTES_MAX))
}

/// The body of a request to another process, watched for what the client itself
/// refuses to send: a message over the limit. The transport would report that
/// as a broken stream and forget why.
struct Question {
    body: Body,
    unsendable: Arc<OnceLock<Status>>,
}

impl http_body::Body for Question {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let part = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Err(status)) = &part {
            self.unsendable.get_or_init(|| status.clone());
        }
        Poll::Ready(part)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer, watched for silence.
pub struct Answer {
    body: Body,
    deadline: Duration,
    /// Runs while nothing has come since the last part. Made only when there is
    /// something to wait for, which in-process there seldom is.
    silence: Option<Pin<Box<Sleep>>>,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if let Poll::Ready(part) = Pin::new(&mut this.body).poll_frame(cx) {
            this.silence = None;
            // A status that a server gives comes in trailers; an error here is
            // a broken connection.
            return Poll::Ready(part.map(|part| part.map_err(broken)));
        }
        let deadline = this.deadline;
        let silence = this.silence.get_or_insert_with(|| Box::pin(sleep(deadline)));
        ready!(silence.as_mut().poll(cx));
        // Whatever was still to come is not wanted any more: let the server know.
        this.body = Body::empty();
        Poll::Ready(Some(Err(too_late())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn too_late() -> Status {
    Status::deadline_exceeded("no answer within the deadline")
}

fn broken(status: Status) -> Status {
    Status::unavailable(format!("the connection broke: {}", status.message()))
}

/// A call that got no answer from its server, with all that is known of why.
fn failure(error: &tonic::transport::Error) -> Status {
    Status::unavailable(chain(error))
}

/// `grpc-timeout`: at most eight digits and a unit. `None` if it is not that.
fn timeout(value: &http::HeaderValue) -> Option<Duration> {
    let (unit, digits) = value.as_bytes().split_last()?;
    if digits.len() > 8 {
        return None;
    }
    let amount: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(match unit {
        b'H' => Duration::from_secs(amount * 3600),
        b'M' => Duration::from_secs(amount * 60),
        b'S' => Duration::from_secs(amount),
        b'm' => Duration::from_millis(amount),
        b'u' => Duration::from_micros(amount),
        b'n' => Duration::from_nanos(amount),
        _ => return None,
    })
}
