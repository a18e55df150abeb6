//! Reading a request's body: at most so many bytes, in at most so much time, and in the
//! room that there is for all of them.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::{Instant, timeout, timeout_at};
use webwallet_ledger::limits::BODY_BYTES_MAX;
use webwallet_ledger::request::body_too_large;
use webwallet_ledger::{Code, Rejection};

use crate::problem::{Other, Problem};
use crate::room::Place;

/// Bytes of a refused body that are read and thrown away. A connection that is
/// closed while its peer still sends is reset, and the peer may never see the
/// answer; but nobody gets to send for ever.
const DISCARDED_BYTES_MAX: u64 = 1024 * 1024;

/// The whole body, if it is no larger than the protocol allows.
pub(crate) async fn read(
    request: Request,
    within: Duration,
    place: &mut Place,
) -> Result<Bytes, Problem> {
    match timeout(within, collect(request.into_body(), place)).await {
        Ok(read) => read,
        Err(_) => Err(Problem::new(
            Other::Unavailable,
            format!("the body did not arrive within {} ms", within.as_millis()),
        )),
    }
}

async fn collect(mut body: Body, place: &mut Place) -> Result<Bytes, Problem> {
    let announced = body.size_hint().lower();
    if announced > BODY_BYTES_MAX as u64 {
        return Err(too_large(Some(announced)));
    }
    let Some(first) = next(&mut body).await? else {
        return Ok(Bytes::new());
    };
    if body.is_end_stream() && first.len() <= BODY_BYTES_MAX {
        place.take(first.len())?;
        return Ok(first);
    }
    // Grows with what comes, as its place does.
    let mut whole = BytesMut::new();
    let mut part = Some(first);
    while let Some(bytes) = part {
        let size = whole.len() + bytes.len();
        if size > BODY_BYTES_MAX {
            return Err(too_large(discard(body, size as u64).await));
        }
        place.take(bytes.len())?;
        whole.extend_from_slice(&bytes);
        part = next(&mut body).await?;
    }
    Ok(whole.freeze())
}

/// The next bytes of the body; none at its end.
pub(crate) async fn next(body: &mut Body) -> Result<Option<Bytes>, Problem> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken(&error))?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// A body that is not framed as HTTP has it; or one broken off by its peer, who is
/// hardly listening any more.
fn broken(error: &axum::Error) -> Problem {
    let mut cause = error.source();
    while let Some(error) = cause {
        let kind = error.downcast_ref().map(io::Error::kind);
        if let Some(ErrorKind::InvalidInput | ErrorKind::InvalidData) = kind {
            let detail = "the body's chunks are not as HTTP has them (RFC 9112, section 7.1)";
            return Rejection::new(Code::Malformed, "", detail).into();
        }
        cause = error.source();
    }
    Problem::new(Other::Unavailable, "the body broke off")
}

/// Reads on without keeping anything. The size of the whole, if it ended.
pub(crate) async fn discard(mut body: Body, mut size: u64) -> Option<u64> {
    while size <= DISCARDED_BYTES_MAX {
        match next(&mut body).await {
            Ok(Some(bytes)) => size += bytes.len() as u64,
            Ok(None) => return Some(size),
            Err(_) => break,
        }
    }
    None
}

/// A request's body, which is read by its handler, and on from there by whoever refuses
/// the request.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<Incoming>>);

impl Shared {
    /// Of a request, which goes on with it.
    pub(crate) fn of(request: http::Request<Incoming>) -> (Request, Shared) {
        let (parts, body) = request.into_parts();
        let shared = Shared(Arc::new(Mutex::new(body)));
        (Request::from_parts(parts, Body::new(shared.clone())), shared)
    }

    /// Reads what has not been read, until then at the latest, so that who still sends
    /// comes to read why he is refused.
    pub(crate) async fn discard(self, until: Instant) {
        if self.size_hint().lower() <= DISCARDED_BYTES_MAX {
            let _ = timeout_at(until, discard(Body::new(self), 0)).await;
        }
    }

    fn body(&self) -> MutexGuard<'_, Incoming> {
        self.0.lock()
    }
}

impl HttpBody for Shared {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut *self.body()).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body().size_hint()
    }
}

fn too_large(actual: Option<u64>) -> Problem {
    let read = actual.map_or(BODY_BYTES_MAX + 1, |size| size as usize);
    let mut rejection = body_too_large(read);
    if actual.is_none() {
        // It went on for longer than anybody counted.
        rejection.actual = None;
    }
    rejection.into()
}
