//! Room for the bodies of all requests together, and for the large answers that are not
//! read yet: no more than so many bytes.
//!
//! A place is taken for bytes that have come, not for those announced: keeping
//! others out costs a peer the sending of every byte.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use webwallet_ledger::limits::BODY_BYTES_MAX;

use crate::answer::Lasting;
use crate::limits::Limits;
use crate::problem::{Other, Problem};

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
