//! Whether a connection is of use: a request is in flight on it, or was a moment ago, and
//! its peer reads the answers that come as they are made.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::Instant;

/// When a connection was last of use.
pub(crate) struct Activity {
    /// What it may be idle for, before the first request and after one.
    first: Duration,
    idle: Duration,
    of_use: Mutex<Use>,
}

struct Use {
    /// Has there been a request?
    begun: bool,
    in_flight: usize,
    /// When the last one that has ended did.
    ended: Instant,
    /// Since when answers that come as they are made have not been asked to go on, by
    /// a number of their own.
    unread: HashMap<u64, Instant>,
    /// Numbers given to such answers.
    lasting: u64,
}

impl Activity {
    pub(crate) fn new(first: Duration, idle: Duration) -> Activity {
        let (ended, unread) = (Instant::now(), HashMap::new());
        let of_use = Use { begun: false, in_flight: 0, ended, unread, lasting: 0 };
        Activity { first, idle, of_use: Mutex::new(of_use) }
    }

    /// When to look again; none if the connection has been idle for too long, or
    /// its peer does not read one of its answers, which holds what is to go into it.
    pub(crate) fn idle_until(&self) -> Option<Instant> {
        let (now, use_of) = (Instant::now(), self.of_use.lock());
        let idle = if use_of.begun { self.idle } else { self.first };
        let ended = if use_of.in_flight == 0 { use_of.ended } else { now };
        let unread = use_of.unread.values().min();
        let until = unread.map_or(ended, |unread| ended.min(*unread)) + idle;
        (until > now).then_some(until)
    }
}

/// A request in flight; dropped also when its peer goes away.
pub(crate) struct Busy(Arc<Activity>);

impl Busy {
    pub(crate) fn new(activity: Arc<Activity>) -> Busy {
        let mut use_of = activity.of_use.lock();
        use_of.begun = true;
        use_of.in_flight += 1;
        drop(use_of);
        Busy(activity)
    }

    /// The same for an answer that comes as it is made.
    pub(crate) fn until_the_end_of(self, body: Body) -> Lasts {
        let mut use_of = self.0.of_use.lock();
        use_of.lasting += 1;
        let number = use_of.lasting;
        drop(use_of);
        Lasts { busy: self, number, body }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut use_of = self.0.of_use.lock();
        use_of.ended = Instant::now();
        use_of.in_flight -= 1;
    }
}

/// An answer that is in use until its end. Who has been given a piece and does not ask
/// for the next one does not read; who asks, and there is none, waits for us.
pub(crate) struct Lasts {
    busy: Busy,
    number: u64,
    body: Body,
}

impl HttpBody for Lasts {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        let mut use_of = self.busy.0.of_use.lock();
        match &polled {
            Poll::Ready(_) => use_of.unread.insert(self.number, Instant::now()),
            Poll::Pending => use_of.unread.remove(&self.number),
        };
        drop(use_of);
        polled
    }

    /// Never: whoever has taken the last piece shows that by asking for more.
    fn is_end_stream(&self) -> bool {
        false
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Lasts {
    fn drop(&mut self) {
        self.busy.0.of_use.lock().unread.remove(&self.number);
    }
}
