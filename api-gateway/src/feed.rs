//! The newest records, read once for all who follow them.
//!
//! A thousand readers of one feed cost the stores what one does: one task asks
//! for what clears, and keeps the last of it at hand. It runs while somebody
//! follows. Nobody is waited for: a reader is a number, the last one it was
//! given, and whoever falls behind what is at hand reads on in the history, at
//! its own pace, until it has caught up. So nothing is ever left out, and what a
//! slow reader holds is one piece of history.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use metrics::Gauge;
use parking_lot::{Mutex, MutexGuard};
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::problem::Problem;
use crate::stores::record::Cleared;
use crate::stores::{Stores, unreadable};

/// Bytes of events at hand, about: some ten thousand payments.
const RECENT_BYTES: usize = 16 * 1024 * 1024;
/// Bytes given to a reader at a time, about.
const PIECE_BYTES: usize = 64 * 1024;
/// Records asked for at a time, for all readers and for one that is behind.
const NEWS_RECORDS: u32 = 1_024;
pub(crate) const HISTORY_RECORDS: u32 = 64;
/// How long one question for news waits for them.
const NEWS_WITHIN: Duration = Duration::from_secs(2);
/// The wait before a store that did not answer is asked again.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// A record as readers of events are given it.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) number: u64,
    /// `{"number","time","hash","transaction"}`, on one line.
    pub(crate) json: Bytes,
}

impl Event {
    /// The event of a record.
    pub(crate) fn of(record: &Cleared) -> Result<Event, Problem> {
        #[derive(Deserialize)]
        struct Record<'a> {
            #[serde(borrow)]
            data: Data<'a>,
        }
        #[derive(Deserialize)]
        struct Data<'a> {
            time: &'a str,
        }
        let Cleared { number, hash, body } = record;
        let read: Record<'_> = serde_json::from_slice(body)
            .map_err(|error| unreadable(&format_args!("record {number}: {error}")))?;
        let head = format!(
            "{{\"number\":\"{number}\",\"time\":\"{}\",\"hash\":\"{hash}\",\"transaction\":",
            read.data.time
        );
        Ok(Event { number: *number, json: [head.as_bytes(), body, b"}"].concat().into() })
    }
}

/// What all readers of a gateway share.
pub(crate) struct Feed {
    stores: Stores,
    recent: Mutex<Recent>,
    /// The number of the newest event at hand.
    newest: watch::Sender<u64>,
}

#[derive(Default)]
struct Recent {
    /// Somebody reads what clears.
    running: bool,
    /// Without gaps, the newest last.
    events: VecDeque<Event>,
    bytes: usize,
}

impl Recent {
    fn push(&mut self, event: Event) {
        self.bytes += event.json.len();
        self.events.push_back(event);
        while self.bytes > RECENT_BYTES
            && let Some(oldest) = self.events.pop_front()
        {
            self.bytes -= oldest.json.len();
        }
    }

    /// The events after a number, a piece of them; none where the next one is
    /// not at hand.
    fn after(&self, number: u64) -> Vec<Event> {
        let Some(first) = self.events.front() else { return Vec::new() };
        let skip = number.checked_add(1).and_then(|next| next.checked_sub(first.number));
        let Some(skip) = skip else { return Vec::new() };
        let (mut bytes, mut piece) = (0, Vec::new());
        for event in self.events.iter().skip(usize::try_from(skip).unwrap_or(usize::MAX)) {
            bytes += event.json.len();
            piece.push(event.clone());
            if bytes >= PIECE_BYTES {
                break;
            }
        }
        piece
    }
}

impl Feed {
    pub(crate) fn new(stores: Stores) -> Arc<Feed> {
        let newest = watch::Sender::new(0);
        Arc::new(Feed { stores, recent: Mutex::default(), newest })
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock()
    }

    /// A reader of what comes after a number; of what comes from now on, if
    /// there is none.
    pub(crate) async fn follow(self: &Arc<Feed>, after: Option<u64>) -> Result<Reader, Problem> {
        let after = match after {
            Some(after) => after,
            None => self.stores.newest(0, Duration::ZERO).await?,
        };
        // Counted as a reader before it is asked whether anybody reads.
        let newest = self.newest.subscribe();
        let mut recent = self.recent();
        if !recent.running {
            recent.running = true;
            tokio::spawn(self.clone().keep());
        }
        drop(recent);
        let open = metrics::gauge!("webwallet_gateway_event_readers");
        open.increment(1.0);
        Ok(Reader { feed: self.clone(), newest, after, open })
    }

    /// Reads what clears for as long as anybody follows.
    async fn keep(self: Arc<Feed>) {
        let mut after = None;
        loop {
            {
                let mut recent = self.recent();
                if self.newest.receiver_count() == 0 {
                    *recent = Recent::default();
                    return;
                }
            }
            if let Err(problem) = self.news(&mut after).await {
                tracing::warn!(?problem, "the news cannot be read");
                sleep(AGAIN_AFTER).await;
            }
        }
    }

    /// Takes in what has cleared since; at first, only where that begins.
    async fn news(&self, after: &mut Option<u64>) -> Result<(), Problem> {
        let Some(last) = *after else {
            let newest = self.stores.newest(0, Duration::ZERO).await?;
            *after = Some(newest);
            self.newest.send_replace(newest);
            return Ok(());
        };
        self.stores.newest(last, NEWS_WITHIN).await?;
        // Asked in any case: who decides may have changed.
        for record in self.stores.history(last, NEWS_RECORDS).await? {
            let event = Event::of(&record)?;
            *after = Some(event.number);
            self.recent().push(event);
        }
        if let Some(newest) = *after {
            self.newest.send_replace(newest);
        }
        Ok(())
    }
}

/// One who follows.
pub(crate) struct Reader {
    feed: Arc<Feed>,
    newest: watch::Receiver<u64>,
    after: u64,
    open: Gauge,
}

impl Reader {
    /// The number that it goes on after.
    pub(crate) fn after(&self) -> u64 {
        self.after
    }

    /// The next events, as soon as there are any. Dropping the future loses
    /// nothing.
    pub(crate) async fn next(&mut self) -> Result<Vec<Event>, Problem> {
        loop {
            let newest = *self.newest.borrow_and_update();
            let mut events = self.feed.recent().after(self.after);
            let mut source = "recent";
            if events.is_empty() && newest > self.after {
                source = "history";
                let records = self.feed.stores.history(self.after, HISTORY_RECORDS).await?;
                events = records.iter().map(Event::of).collect::<Result<_, _>>()?;
            }
            if let Some(last) = events.last() {
                self.after = last.number;
                metrics::counter!("webwallet_gateway_events_total", "source" => source)
                    .increment(events.len() as u64);
                return Ok(events);
            }
            // Its sender is in the feed, which this reader holds.
            let _ = self.newest.changed().await;
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.open.decrement(1.0);
    }
}
