//! Whether this store is the one that the records in Hashtable are from.
//!
//! Whoever puts an older copy of it back, or another one, would have the same money
//! paid out a second time, with everybody's confirmation: Hashtable is empty at the
//! numbers that this store gives next only if nothing has cleared since. So before the
//! first request is decided, the newest record in Hashtable is looked for here.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tonic::Status;
use webwallet_proto::hashtable::OTHER_RECORDS;
use webwallet_proto::hashtable::v1::hashtable_client::HashtableClient;
use webwallet_proto::hashtable::v1::{NumberedRequest, StatusRequest};
use webwallet_proto::link::Link;

use crate::store::Store;

/// How long after it did not answer, or had other records, it is asked again.
const AGAIN_AFTER: Duration = Duration::from_millis(250);

/// Whether requests may be decided.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Held {
    /// It was found to be the same history, or nobody asked for that.
    Good,
    /// Hashtable has not answered yet, and why.
    Unknown(String),
    /// Why nothing may clear until an operator has mended it.
    Bad(String),
}

/// The outcome, as soon as there is one.
#[derive(Clone)]
pub(crate) struct Beside(watch::Receiver<Held>);

impl Beside {
    /// Of a store that stands alone, as in tests and tools.
    pub(crate) fn nobody() -> Beside {
        Beside(watch::channel(Held::Good).1)
    }

    /// Asks, and goes on asking until it is good: a Hashtable may be away, or the wrong
    /// one, and its operator put that right while this runs.
    pub(crate) async fn hashtable(
        store: Arc<impl Store>,
        hashtable: HashtableClient<Link>,
    ) -> Beside {
        let (told, held) = watch::channel(Held::Unknown(String::new()));
        tell(&told, compared(&*store, hashtable.clone()).await);
        if !matches!(*held.borrow(), Held::Good) {
            tokio::spawn(async move {
                while !matches!(*told.borrow(), Held::Good) {
                    tokio::select! {
                        () = told.closed() => return,
                        () = tokio::time::sleep(AGAIN_AFTER) => {}
                    }
                    tell(&told, compared(&*store, hashtable.clone()).await);
                }
            });
        }
        Beside(held)
    }

    /// Whether requests may be decided here, and it can be told what is so now and what is
    /// not there: an older copy cannot.
    ///
    /// # Errors
    /// `UNAVAILABLE` while it is not known, `FAILED_PRECONDITION` where it is not.
    pub(crate) fn is_this_history(&self) -> Result<(), Status> {
        match &*self.0.borrow() {
            Held::Good => Ok(()),
            Held::Unknown(_) => Err(Status::unavailable("Hashtable has not been asked yet")),
            Held::Bad(why) => Err(Status::failed_precondition(why.clone())),
        }
    }
}

/// Passes on what has come out. Silence takes nothing back.
fn tell(told: &watch::Sender<Held>, outcome: Held) {
    told.send_if_modified(|held| {
        let takes_back =
            matches!((&outcome, &*held), (Held::Unknown(_), Held::Good | Held::Bad(_)));
        let is_new = outcome != *held && !takes_back;
        if is_new {
            match &outcome {
                Held::Good => {}
                Held::Unknown(why) => {
                    tracing::warn!(why, "nothing clears until Hashtable has been asked");
                }
                Held::Bad(why) => tracing::error!(why, "nothing clears until this is mended"),
            }
            *held = outcome;
        }
        is_new
    });
}

/// The newest record of Hashtable, looked for in this store.
async fn compared(store: &impl Store, hashtable: HashtableClient<Link>) -> Held {
    match bad(store, hashtable).await {
        Ok(None) => Held::Good,
        Ok(Some(why)) => Held::Bad(why),
        Err(why) => Held::Unknown(why),
    }
}

/// Why the two are not of one history, if they are not.
async fn bad(
    store: &impl Store,
    mut hashtable: HashtableClient<Link>,
) -> Result<Option<String>, String> {
    let why = |status: Status| status.message().to_owned();
    let number = hashtable.status(StatusRequest {}).await.map_err(why)?.into_inner().number;
    let Some(before) = number.checked_sub(1) else { return Ok(None) };
    let call = NumberedRequest { after: before, limit: 1 };
    let named = hashtable.names(call).await.map_err(why)?.into_inner().hashes;
    let ours = store.numbered(number).await.map_err(|error| error.to_string())?;
    Ok(match (ours, named.first()) {
        (None, _) => Some(format!(
            "Hashtable has record {number}, which is not here: this Graphstore was put back to an older state; restore the newer one, or run `webwallet rebuild graphstore`"
        )),
        (Some(ours), Some(theirs)) if ours.hash.0 != theirs[..] => Some(format!(
            "Hashtable has another record {number} than this Graphstore, {}: they are not of one history; {OTHER_RECORDS}",
            ours.hash
        )),
        _ => None,
    })
}
