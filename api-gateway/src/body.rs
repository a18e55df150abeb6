//! Reading a request's body: at most so many bytes, in at most so much time,
//! and no more than so many bytes of all requests together. And what large answers
//! hold until they are read.
//!
//! A place is taken for bytes that have come, not for those announced: keeping
//! others out costs a peer the sending of every byte.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};
use webwallet_ledger::limits::BODY_BYTES_MAX;
use webwallet_ledger::request::body_too_large;
use webwallet_ledger::{Code, Rejection};

use crate::answer::Lasting;
use crate::limits::Limits;
use crate::problem::{Other, Problem};

/// Bytes of a refused body that are read and thrown away. A connection that is
/// closed while its peer still sends is reset, and the peer may never see the
/// answer; but nobody gets to send for ever.
const DISCARDED_BYTES_MAX: u64 = 1024 * 1024;

/// Bytes of a piece in which a large answer goes out.
const PIECE_BYTES: usize = 64 * 1024;
/// An answer to a question of so many bytes or less has no place of its own. (One to a
/// request never needs one: that it has cleared must not be refused.)
const ANSWER_BYTES_MIN: usize = 4 * 1024;
/// Who reads an answer in its place more slowly than this is cut: a few of them would
/// keep everybody else's answers out for hours.
const READ_BYTES_PER_SECOND_MIN: usize = 64 * 1024;
/// Room for any answer: the largest are bundles of 256 leaves of 60 KiB.
const ANSWER_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Room for the bodies of all requests or answers, counted in bytes.
#[derive(Clone)]
pub(crate) struct Room(Arc<Semaphore>);

/// What one of them has taken of it; given back when dropped.
pub(crate) struct Place {
    room: Arc<Semaphore>,
    taken: Option<OwnedSemaphorePermit>,
}

impl Room {
    /// For what is sent to us.
    pub(crate) fn of_requests(limits: &Limits) -> Room {
        Room::new(limits.body_bytes_in_flight_max.max(BODY_BYTES_MAX))
    }

    /// For what we send.
    pub(crate) fn of_answers(limits: &Limits) -> Room {
        Room::new(limits.answer_bytes_in_flight_max.max(ANSWER_BYTES_MAX))
    }

    fn new(bytes: usize) -> Room {
        Room(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }

    /// An answer to a question in its place, until it is read or given up: in pieces, so
    /// that it is seen whether its client reads. `patience`: how long that may take beside
    /// the time in which it can be read.
    pub(crate) async fn placed(
        &self,
        response: Response,
        patience: Duration,
    ) -> Result<Response, Problem> {
        let size = response.body().size_hint().exact().unwrap_or_default();
        if size <= ANSWER_BYTES_MIN as u64 {
            return Ok(response);
        }
        let mut place = self.place();
        place.take(usize::try_from(size).unwrap_or(usize::MAX))?;
        let (parts, body) = response.into_parts();
        let whole = body
            .collect()
            .await
            .map_err(|_| Problem::new(Other::Unavailable, "the answer could not be made"))?;
        let (rest, began) = (whole.to_bytes(), Instant::now());
        let pieces = Pieces { rest, given: 0, began, patience, _place: place };
        let mut response = Response::from_parts(parts, Body::new(pieces));
        response.extensions_mut().insert(Lasting);
        Ok(response)
    }

    /// A place without a byte yet.
    pub(crate) fn place(&self) -> Place {
        Place { room: self.0.clone(), taken: None }
    }
}

impl Place {
    /// Cuts off the place of so many of its bytes, or of all it has.
    pub(crate) fn part(&mut self, bytes: usize) -> Place {
        let taken = match &mut self.taken {
            Some(taken) if bytes < taken.num_permits() => taken.split(bytes),
            taken => taken.take(),
        };
        Place { room: self.room.clone(), taken }
    }

    /// Gives back what is more than so many bytes.
    pub(crate) fn keep(&mut self, bytes: usize) {
        let taken = self.taken.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        drop(self.part(taken.saturating_sub(bytes)));
    }

    /// Takes room for so many bytes more; never by waiting.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), Problem> {
        let full = || Problem::new(Other::Overloaded, "what is in flight is as large as may be");
        let bytes = u32::try_from(bytes).map_err(|_| full())?;
        let more = self.room.clone().try_acquire_many_owned(bytes).map_err(|_| full())?;
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            None => self.taken = Some(more),
        }
        Ok(())
    }
}

/// An answer of which a piece goes out after the other.
struct Pieces {
    rest: Bytes,
    given: usize,
    began: Instant,
    patience: Duration,
    _place: Place,
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let next = self.rest.len().min(PIECE_BYTES);
        if next == 0 {
            return Poll::Ready(None);
        }
        let within = (self.given / READ_BYTES_PER_SECOND_MIN) as u64;
        if self.began.elapsed() > self.patience + Duration::from_secs(within) {
            let slow = io::Error::new(ErrorKind::TimedOut, "the answer is read too slowly");
            return Poll::Ready(Some(Err(slow)));
        }
        self.given += next;
        let piece = self.rest.split_to(next);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

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
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Eighteen readers who took a piece a minute once kept everybody else's bundles out
    /// for hours.
    #[tokio::test]
    async fn an_answer_in_its_place_is_read_at_some_rate_or_given_up() {
        let patience = Duration::from_secs(5);
        for (given, seconds, goes_on) in
            [(0, 4, true), (0, 6, false), (30, 30, true), (30, 40, false)]
        {
            let room = Room::of_answers(&Limits::default());
            let given = given * READ_BYTES_PER_SECOND_MIN;
            let began = Instant::now() - Duration::from_secs(seconds);
            let rest = Bytes::from_static(b"the rest");
            let mut answer = Pieces { rest, given, began, patience, _place: room.place() };
            let next = answer.frame().await.expect("not the end");
            assert_eq!(next.is_ok(), goes_on, "{given} bytes in {seconds} s");
        }
    }
}
