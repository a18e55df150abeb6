//! Looking again and again: settings change, servers restart, operators empty them.

use std::{sync::Weak, time::Duration};

use ::redis::{ErrorKind, RedisResult, Value, cmd};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::look::Seen;
use super::{READY, Redis, Shared, engine, text};
use crate::store::Error;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);
/// Numbers asked for at a time.
const WINDOW: u64 = 1_000;
const WHOLE: &str = "1 whole";
const FILLING: &str = "1 filling";

/// What may be missing, and why nobody knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Doubt {
    kind: Kind,
    /// Counts doubts: settling one settles no later one.
    count: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    #[default]
    None,
    /// The server was started anew: its newest records.
    Newest,
    /// It was emptied, is new, or was not filled to the end: any record.
    Any,
}

impl Doubt {
    /// Whether anything may be missing; else only what is newest.
    pub fn is_of_all(&self) -> bool {
        self.kind == Kind::Any
    }
}

/// What is known of the servers' identity, and what follows from it.
pub(super) struct Doubts {
    servers: Mutex<Vec<Seen>>,
    doubt: watch::Sender<Doubt>,
}

impl Default for Doubts {
    fn default() -> Doubts {
        Doubts { servers: Mutex::default(), doubt: watch::Sender::new(Doubt::default()) }
    }
}

impl Doubts {
    /// Compares what is seen with what was.
    pub(super) fn seen(&self, servers: &[Seen], format: Option<&str>) -> RedisResult<()> {
        let format = match format {
            Some(WHOLE) => Kind::None,
            None | Some(FILLING) => Kind::Any,
            Some(other) => {
                let what = "its documents are of a newer format; use the webwallet that wrote them";
                return Err((ErrorKind::InvalidClientConfig, what, other.to_owned()).into());
            }
        };
        let mut last = self.servers.lock();
        let same = last.iter().map(|seen| &seen.run_id).eq(servers.iter().map(|seen| &seen.run_id));
        // Of a Cluster one node may be emptied that has not the format. Nothing is ever
        // removed; but slots may move from node to node, and others may have keys there.
        let emptied = |(before, now): (&Seen, &Seen)| now.keys < before.keys / 2;
        let news = match () {
            () if !same => Kind::Newest,
            () if last.iter().zip(servers).any(emptied) => Kind::Any,
            () => Kind::None,
        };
        *last = servers.to_vec();
        let kind = format.max(news);
        self.doubt.send_if_modified(|doubt| {
            // Also for news in the middle of a doubt: what was found may be gone.
            let more = kind > doubt.kind || news != Kind::None;
            if more {
                tracing::info!(?kind, "redis is to be compared with what has cleared");
                metrics::counter!("webwallet_hashtable_doubts_total").increment(1);
                *doubt = Doubt { kind: kind.max(doubt.kind), count: doubt.count + 1 };
            }
            more
        });
        Ok(())
    }
}

/// Looks until the store is dropped.
pub(super) async fn run(shared: Weak<Shared>) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut answers = true;
    loop {
        ticks.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        let looked = shared.look_again().await;
        if looked.is_ok() != answers {
            answers = looked.is_ok();
            match looked {
                Ok(()) => tracing::info!("redis answers again"),
                Err(error) => tracing::error!(%error, "redis does not answer"),
            }
        }
    }
}

impl Shared {
    async fn look_again(&self) -> RedisResult<()> {
        let (connection, generation) = self.connection().await?;
        let looked = self.look_at(&connection).await;
        if looked.is_err() {
            self.drop_connection(generation).await;
        }
        looked
    }

    /// Whether a put would be confirmed, within a second.
    pub(super) async fn ready(&self) -> Result<(), Error> {
        let looked = tokio::time::timeout(READY, self.look_again()).await;
        match looked
            .map_err(|_| Error::Engine(format!("redis gave no answer for {READY:?}").into()))?
        {
            Err(error) => Err(engine(error)),
            Ok(()) => self.faults().map_or(Ok(()), |faults| Err(Error::Stopped(faults))),
        }
    }
}

/// Finding out what is missing, and putting it again. What is there is the
/// Graphstore's to say; these say what is here.
impl Redis {
    /// Waits until records may be missing: at the start, when the server was
    /// started anew, and when it was emptied.
    pub async fn doubted(&self) -> Doubt {
        let mut doubts = self.shared.doubts.doubt.subscribe();
        let doubt = doubts.wait_for(|doubt| doubt.kind != Kind::None).await;
        // Its sender lives as long as this store.
        doubt.map(|doubt| doubt.clone()).unwrap_or_default()
    }

    /// The lowest number up to `upto` of a record that is missing. Put all from there;
    /// then [`Redis::settle`].
    ///
    /// After a new start only the newest thousand are looked at: what a restart loses is the
    /// end of a file. Where one of them is missing, any may be.
    ///
    /// # Errors
    /// [`Error::Engine`]: Redis failed.
    pub async fn first_missing(&self, doubt: &mut Doubt, upto: u64) -> Result<Option<u64>, Error> {
        if doubt.kind == Kind::Any {
            self.mark(FILLING).await?;
        } else {
            let before_newest = upto.saturating_sub(WINDOW);
            if upto == 0 || self.missing(before_newest, upto).await?.is_none() {
                return Ok(None);
            }
            self.found_missing(doubt).await?;
        }
        let mut after = 0;
        while after < upto {
            let last = after.saturating_add(WINDOW).min(upto);
            if let Some(missing) = self.missing(after, last).await? {
                return Ok(Some(missing));
            }
            after = last;
        }
        Ok(None)
    }

    /// Says that something is missing: until that is settled anything is looked for, also by
    /// whoever opens this Redis next. What clears before it is put again is newer, and would
    /// hide the gap.
    ///
    /// # Errors
    /// [`Error::Engine`]: Redis failed.
    pub async fn found_missing(&self, doubt: &mut Doubt) -> Result<(), Error> {
        doubt.kind = Kind::Any;
        self.shared.doubts.doubt.send_modify(|now| now.kind = Kind::Any);
        self.mark(FILLING).await.map(drop)
    }

    /// The lowest number after one and up to another without its document.
    async fn missing(&self, after: u64, last: u64) -> Result<Option<u64>, Error> {
        let numbers = || after + 1..=last;
        let names = numbers().map(|number| self.shared.number_key(number));
        let names = self.shared.values(names).await.map_err(engine)?;
        let exists = names.iter().flatten().map(|name| {
            let mut exists = cmd("EXISTS");
            exists.arg(self.shared.key(String::from_utf8_lossy(name)));
            exists
        });
        let exists = self.shared.ask(exists.collect()).await.map_err(engine)?;
        let mut exists = exists.into_iter();
        let mut missing = names
            .iter()
            .zip(numbers())
            .filter(|(name, _)| name.is_none() || exists.next() != Some(Value::Int(1)));
        Ok(missing.next().map(|(_, number)| number))
    }

    /// Says that what was missing, so many documents, is here again. `false` where there is
    /// a new doubt.
    ///
    /// # Errors
    /// [`Error::Engine`]: Redis failed; the doubt stays.
    pub async fn settle(&self, doubt: &Doubt, refilled: u64) -> Result<bool, Error> {
        metrics::counter!("webwallet_hashtable_refilled_total").increment(refilled);
        // Of what was lost since, this says nothing, nor may a new start be told so.
        if self.shared.doubts.doubt.borrow().count != doubt.count {
            return Ok(false);
        }
        if doubt.kind == Kind::Any && !self.mark(WHOLE).await? {
            // Emptied meanwhile: a look will find that out.
            return Ok(false);
        }
        let settled = self.shared.doubts.doubt.send_if_modified(|now| {
            let same = now.count == doubt.count;
            if same {
                now.kind = Kind::None;
            }
            same
        });
        Ok(settled)
    }

    /// Sets the format; `WHOLE` only where there is one. Whether it is so now.
    async fn mark(&self, format: &str) -> Result<bool, Error> {
        let mut mark = cmd("SET");
        mark.arg(self.shared.key("format")).arg(format);
        if format == WHOLE {
            mark.arg("XX");
        }
        let answers = self.shared.commit(vec![vec![mark]]).await.map_err(engine)?;
        Ok(text(answers).map_err(engine)?.is_some())
    }
}
