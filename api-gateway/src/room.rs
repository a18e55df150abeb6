//! Room for the bodies of all requests together, and for the large answers that are not
//! read yet: no more than so many bytes.
//!
//! A place is taken for bytes that have come, not for those announced: keeping
//! others out costs a peer the sending of every byte. An answer that comes as it is
//! made has no size; its place is what it may hold at most.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use webwallet_ledger::limits::{BODY_BYTES_MAX, RECORD_BYTES_MAX};

use crate::answer::Lasting;
use crate::limits::Limits;
use crate::problem::{Other, Problem};
use crate::stores::record::HISTORY_BYTES;

/// Bytes of a piece in which a large answer goes out, and of what an HTTP/2 stream may
/// hold before it takes the next one.
pub(crate) const PIECE_BYTES: usize = 32 * 1024;
/// The place of an answer that comes as it is made: a piece of history, which may end with
/// the largest record, and what its HTTP/2 stream holds.
const LASTING_BYTES: usize = 192 * 1024;
const _: () = assert!(HISTORY_BYTES + RECORD_BYTES_MAX + 2 * PIECE_BYTES <= LASTING_BYTES);
/// A line of a batch of so many bytes or less has no place of its own: as many as are
/// made before they are read fit into that of the batch.
const LINE_BYTES_MIN: usize = 2 * 1024;
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

    fn new(bytes: usize) -> Room {
        Room(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }

    /// A place without a byte yet.
    pub(crate) fn place(&self) -> Place {
        Place { room: self.0.clone(), taken: None }
    }
}

/// Room for answers.
#[derive(Clone)]
pub(crate) struct Answers {
    all: Room,
    /// What of it answers to questions may take that come as they are made: they may go on
    /// for ever, and something is to be left for the others.
    lasting: Room,
}

impl Answers {
    pub(crate) fn new(limits: &Limits) -> Answers {
        let bytes = limits.answer_bytes_in_flight_max.max(ANSWER_BYTES_MAX);
        Answers { all: Room::new(bytes), lasting: Room::new(bytes / 4 * 3) }
    }

    /// An answer to a question, or one that comes as it is made, in its place until it is
    /// read or given up: in pieces, so that it is seen whether its client reads. `patience`:
    /// how long that may take beside the time in which it can be read.
    pub(crate) async fn placed(
        &self,
        response: Response,
        patience: Duration,
        asks: bool,
    ) -> Result<Response, Problem> {
        if response.extensions().get::<Lasting>().is_some() {
            return self.lasting(response, asks);
        }
        let size = response.body().size_hint().exact().unwrap_or_default();
        if size <= ANSWER_BYTES_MIN as u64 {
            return Ok(response);
        }
        let mut place = self.all.place();
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

    fn lasting(&self, response: Response, asks: bool) -> Result<Response, Problem> {
        let mut places = vec![self.all.place()];
        // Who follows events may do so for ever; that must not keep batches from clearing.
        if asks {
            places.push(self.lasting.place());
        }
        for place in &mut places {
            place.take(LASTING_BYTES).map_err(|_| {
                let detail = "as many events are followed and batches answered as may be: ask again later, or another gateway of this server";
                Problem::new(Other::Overloaded, detail)
            })?;
        }
        Ok(response.map(|body| Body::new(Kept { body, rest: Bytes::new(), _places: places })))
    }

    /// The place of a batch's line that is made and waits to be read: waited for, so that
    /// answers of others that are not read cut off nobody whose requests have cleared.
    pub(crate) async fn line(&self, bytes: usize, patience: Duration) -> io::Result<Place> {
        let mut place = self.all.place();
        if bytes > LINE_BYTES_MIN {
            let full = || io::Error::other("there is no room for lines that are not read");
            let bytes = u32::try_from(bytes).map_err(|_| full())?;
            let taken = timeout(patience, self.all.0.clone().acquire_many_owned(bytes)).await;
            place.taken = Some(taken.ok().and_then(Result::ok).ok_or_else(full)?);
        }
        Ok(place)
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

/// The next piece. A copy: what has not gone out of the last one must not hold the whole.
fn piece(rest: &mut Bytes) -> Bytes {
    Bytes::copy_from_slice(&rest.split_to(rest.len().min(PIECE_BYTES)))
}

/// An answer that comes as it is made, in its place until its end.
struct Kept {
    body: Body,
    /// What has been made and has not gone out.
    rest: Bytes,
    _places: Vec<Place>,
}

impl HttpBody for Kept {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                ended => return Poll::Ready(ended),
            }
        }
        Poll::Ready(Some(Ok(Frame::data(piece(&mut self.rest)))))
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
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let within = (self.given / READ_BYTES_PER_SECOND_MIN) as u64;
        if self.began.elapsed() > self.patience + Duration::from_secs(within) {
            let slow = io::Error::new(ErrorKind::TimedOut, "the answer is read too slowly");
            return Poll::Ready(Some(Err(slow)));
        }
        let piece = piece(&mut self.rest);
        self.given += piece.len();
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
            let room = Answers::new(&Limits::default()).all;
            let given = given * READ_BYTES_PER_SECOND_MIN;
            let began = Instant::now() - Duration::from_secs(seconds);
            let rest = Bytes::from_static(b"the rest");
            let mut answer = Pieces { rest, given, began, patience, _place: room.place() };
            let next = answer.frame().await.expect("not the end");
            assert_eq!(next.is_ok(), goes_on, "{given} bytes in {seconds} s");
        }
    }

    fn lasting(body: impl Into<Body>) -> Response {
        let mut response = Response::new(body.into());
        response.extensions_mut().insert(Lasting);
        response
    }

    /// Who follows a server beside a thousand others is not to be sent away; and beside them
    /// there is room for questions.
    #[tokio::test]
    async fn a_thousand_follow_events_at_a_time() {
        let answers = Answers::new(&Limits::default());
        let mut open = Vec::new();
        while let Ok(response) = answers.placed(lasting("x"), Duration::ZERO, true).await {
            open.push(response);
        }
        assert_eq!(open.len(), 1_024);
        assert!(answers.all.place().take(ANSWER_BYTES_MAX).is_ok());
        drop(open.pop());
        assert!(answers.placed(lasting("x"), Duration::ZERO, true).await.is_ok());
    }

    /// A piece that is larger than the place would be held beside it.
    #[tokio::test]
    async fn what_is_made_goes_out_in_small_pieces() {
        let answers = Answers::new(&Limits::default());
        let made: Vec<u8> = (0..=255).cycle().take(3 * PIECE_BYTES + 1).collect();
        let placed = answers.placed(lasting(made.clone()), Duration::ZERO, true).await;
        let (mut body, mut given) = (placed.expect("room").into_body(), Vec::new());
        while let Some(frame) = body.frame().await {
            let piece = frame.expect("a piece").into_data().expect("data");
            assert!(piece.len() <= PIECE_BYTES, "{}", piece.len());
            given.extend_from_slice(&piece);
        }
        assert!(given == made);
    }
}
