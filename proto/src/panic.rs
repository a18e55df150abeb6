//! A panic in a handler ends that one call with `UNAVAILABLE`, and nothing else.
//!
//! Without this the two transports differ: in-process, a handler runs inside
//! its caller's task and would take that down too; over a socket, its stream
//! would be reset and the caller told `CANCELLED`. A panic is a bug all the
//! same: it is counted on the server's log as an error, and the caller learns
//! no more than that it may try again.

use std::{
    convert::Infallible,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::FutureExt as _;
use http_body::{Frame, SizeHint};
use tonic::{Status, body::Body};
use tower::{Layer, Service};

type Request = http::Request<Body>;
type Response = http::Response<Body>;
type Answer = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

fn status() -> Status {
    Status::unavailable("the service failed while it answered; nothing is known of the outcome")
}

/// Catches what `call` of one server panics with, also while it streams.
pub(crate) fn caught<S>(mut server: S, request: Request) -> Answer
where
    S: Service<Request, Response = Response, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
{
    let path = request.uri().path().to_owned();
    Box::pin(async move {
        // Unwind safe: whatever was half done belongs to this call alone and is
        // dropped with it; what services share, they guard themselves.
        let answer = AssertUnwindSafe(async { server.call(request).await });
        match answer.catch_unwind().await {
            Ok(Ok(response)) => {
                Ok(response.map(|body| Body::new(CaughtBody { path, body, ended: false })))
            }
            Ok(Err(never)) => match never {},
            Err(_) => {
                tracing::error!(path, "a handler panicked");
                Ok(status().into_http())
            }
        }
    })
}

/// The body of an answer: a panic while streaming becomes its last status.
struct CaughtBody {
    path: String,
    body: Body,
    ended: bool,
}

impl http_body::Body for CaughtBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut self.body).poll_frame(cx)));
        polled.unwrap_or_else(|_| {
            tracing::error!(path = self.path, "a handler panicked while it streamed");
            self.ended = true;
            self.body = Body::empty();
            let mut trailers = http::HeaderMap::new();
            Poll::Ready(Some(
                status().add_header(&mut trailers).map(|()| Frame::trailers(trailers)),
            ))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The same as a layer, for servers on a socket.
#[derive(Clone, Copy)]
pub(crate) struct CatchPanics;

impl<S> Layer<S> for CatchPanics {
    type Service = Caught<S>;

    fn layer(&self, server: S) -> Caught<S> {
        Caught(server)
    }
}

/// A server whose panics are caught.
#[derive(Clone)]
pub(crate) struct Caught<S>(S);

impl<S> Service<Request> for Caught<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Answer {
        // The clone left behind is polled ready again before its next call.
        let next = self.0.clone();
        caught(std::mem::replace(&mut self.0, next), request)
    }
}
