//! After a loss: the log's files out of the other stores.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use webwallet_ledger::checkpoint::Checkpoint;
use webwallet_proto::graphstore::v1::graphstore_client::GraphstoreClient;
use webwallet_proto::hashtable::v1::hashtable_client::HashtableClient;
use webwallet_proto::link::Link;

use crate::guard;
use crate::key::LogKey;
use crate::sealing::{Sealing, Stop};
use crate::store::Store;
use crate::{Config, StartError, prepare};

/// How often what fails is tried: over some seconds.
const TRIES_MAX: u32 = 10;

/// Writes every file of the log again, out of Graphstore's intents and the
/// records in Hashtable. The published checkpoint stays, and must come out
/// again: before that is known nothing is written over. No Blockstack may run over
/// these stores meanwhile. Answers the size.
///
/// # Errors
/// The stores do not give the log that was published, or cannot be read.
pub async fn log<S: Store>(
    config: Config,
    store: S,
    key: LogKey,
    graphstore: GraphstoreClient<Link>,
    hashtable: HashtableClient<Link>,
) -> Result<u64, StartError> {
    let (_commands, inbox) = mpsc::channel(1);
    let (_stop, ended) = watch::channel(false);
    let mut sealing =
        prepare(&config, Arc::new(store), key, (graphstore, hashtable), inbox, ended)?;
    // Somebody looks on, who can see to it that there is room.
    sealing.tries_max = Some(TRIES_MAX);
    if let Some((note, checkpoint)) = sealing.published().map_err(refused)? {
        rehearse(&mut sealing, &note, checkpoint).await?;
        sealing.forget();
        (sealing.note, sealing.rehearses) = (Some(note), false);
    } else {
        // Nothing says how long it was but Hashtable.
        let newest = sealing.newest_intent().await.map_err(refused)?;
        sealing.nothing_is_beyond(newest).await.map_err(refused)?;
    }
    let had_files = sealing.reader.store.has_any();
    sealing.catch_up().await.map_err(refused)?;
    match (sealing.chain.log.size(), had_files) {
        // It was to be made out of nothing.
        (0, Ok(true)) => Err(StartError::Refused(guard::beginning_lost())),
        (size, _) => Ok(size),
    }
}

/// Makes the log without writing anything: one that does not pass through the published one
/// would be a second history. The files that are there may be the only whole copy of it, and a
/// size is no proof.
async fn rehearse<S: Store>(
    sealing: &mut Sealing<S>,
    note: &str,
    checkpoint: Checkpoint,
) -> Result<(), StartError> {
    let size = checkpoint.size;
    (sealing.rebuilt, sealing.rehearses) = (Some(checkpoint), true);
    let rehearsed = sealing.catch_up().await;
    let is_signed = Checkpoint::open(note.as_bytes(), &sealing.chain.keys).is_ok()
        || sealing.key.has_signed(note);
    // Only once all keys up to there were seen.
    if !is_signed && sealing.chain.log.size() >= size {
        return Err(StartError::Refused(
            "the file `checkpoint` of the log is damaged: no key of this log has signed it; restore it, or remove it and run `webwallet rebuild log` again".to_owned(),
        ));
    }
    rehearsed.map_err(refused)?;
    let end = sealing.intended_end(size).await.map_err(refused)?;
    if end != size {
        return Err(StartError::Refused(format!(
            "the published log has {size} leaves, and no block of Graphstore's ends there, but one at {end}; run `webwallet rebuild graphstore`"
        )));
    }
    Ok(())
}

/// What an operator is told who waits for a log to be made.
fn refused(stop: Stop) -> StartError {
    StartError::Refused(match stop {
        Stop::Failed(why) => format!("{why}; see to that, and run `webwallet rebuild log` again"),
        Stop::ReadOnly(why) | Stop::Apart(why) => why,
        Stop::Refused(status) => status.message().to_owned(),
        Stop::Ended => "it was ended".to_owned(),
    })
}
