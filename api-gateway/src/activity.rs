//! Whether a connection is of use: a request is in flight on it, or was a moment ago, and
//! its peer reads the answers that come as they are made.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Instant;

/// When a connection was last of use.
pub(crate) struct Activity {
    /// What it may be idle for, before the first request and after one.
    first: Duration,
    idle: Duration,
    begun: AtomicBool,
    in_flight: AtomicUsize,
    ended: Mutex<Instant>,
    /// Since when answers that come as they are made have not been asked to go on, by
    /// a number of their own.
    unread: Mutex<HashMap<u64, Instant>>,
    lasting: AtomicU64,
}

impl Activity {
    pub(crate) fn new(first: Duration, idle: Duration) -> Activity {
        Activity {
            first,
            idle,
            begun: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            ended: Mutex::new(Instant::now()),
            unread: Mutex::default(),
            lasting: AtomicU64::new(0),
        }
    }

    /// When to look again; none if the connection has been idle for too long, or
    /// its peer does not read one of its answers, which holds what is to go into it.
    pub(crate) fn idle_until(&self) -> Option<Instant> {
        let now = Instant::now();
        let idle = if self.begun.load(Ordering::Acquire) { self.idle } else { self.first };
        let ended = match self.in_flight.load(Ordering::Acquire) {
            0 => *self.ended.lock().unwrap_or_else(PoisonError::into_inner),
            _ => now,
        };
        let unread = self.unread().values().min().copied();
        let until = unread.map_or(ended, |unread| unread.min(ended)) + idle;
        (until > now).then_some(until)
    }

    fn unread(&self) -> MutexGuard<'_, HashMap<u64, Instant>> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request in flight; dropped also when its peer goes away.
pub(crate) struct Busy(Arc<Activity>);

impl Busy {
    pub(crate) fn new(activity: Arc<Activity>) -> Busy {
        activity.begun.store(true, Ordering::Release);
        activity.in_flight.fetch_add(1, Ordering::AcqRel);
        Busy(activity)
    }

    /// The same for an answer that comes as it is made.
    pub(crate) fn until_the_end_of(self, body: Body) -> Lasts {
        let number = self.0.lasting.fetch_add(1, Ordering::Relaxed);
        Lasts { busy: self, number, body }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        *self.0.ended.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
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
        let mut unread = self.busy.0.unread();
        match &polled {
            Poll::Ready(_) => drop(unread.insert(self.number, Instant::now())),
            Poll::Pending => drop(unread.remove(&self.number)),
        }
        drop(unread);
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
        self.busy.0.unread().remove(&self.number);
    }
}
