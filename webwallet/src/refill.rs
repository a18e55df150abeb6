//! Puts into Redis again what it may have lost: records, from the Graphstore that
//! cleared them.
//!
//! The store says when it is in doubt and what is missing (`hashtable/src/redis/watch.rs`);
//! the Graphstore says what there should be. Records whose bytes it has dropped, because
//! they are sealed, are in the log; this does not read the log, and says so.

use std::time::Duration;

use anyhow::{Context as _, bail};
use futures::TryStreamExt as _;
use tonic::Code;
use webwallet_hashtable::{Document, Redis, Store as _};
use webwallet_ledger::Hash;
use webwallet_proto::graphstore::v1::graphstore_client::GraphstoreClient;
use webwallet_proto::graphstore::v1::{
    ClearedRequest, Record, RecordRequest, StatusRequest, record_request::Key,
};
use webwallet_proto::link::Link;

/// Records of one call and one put.
const RECORDS: u32 = 1_000;
/// After the first failure and, doubling, the next ones: whoever is away comes back
/// soon, but what only an operator mends is not tried again every second.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Waits for doubts and settles them, for ever.
pub async fn keep(redis: Redis, mut graphstore: GraphstoreClient<Link>) {
    let mut pause = PAUSE;
    loop {
        let doubt = redis.doubted().await;
        let refilled = async {
            let status = graphstore.status(StatusRequest {}).await?.into_inner();
            let Some(first) = redis.first_missing(&doubt, status.number).await? else {
                return Ok(0);
            };
            tracing::warn!(first, upto = status.number, "records are missing in redis");
            refill(&redis, &mut graphstore, first).await
        };
        let settled: anyhow::Result<()> = async {
            let refilled: u64 = refilled.await?;
            redis.settle(&doubt, refilled).await?;
            tracing::info!(refilled, "redis has every record");
            Ok(())
        }
        .await;
        if let Err(why) = settled {
            tracing::warn!("redis is not filled yet: {why:#}");
            tokio::time::sleep(pause).await;
            pause = PAUSE_MAX.min(2 * pause);
        } else {
            pause = PAUSE;
        }
    }
}

/// Puts every record from this number on, and says how many.
async fn refill(
    redis: &Redis,
    graphstore: &mut GraphstoreClient<Link>,
    first: u64,
) -> anyhow::Result<u64> {
    let dropped = dropped(graphstore, first).await?;
    let mut after = dropped.unwrap_or(first - 1);
    let mut refilled = 0;
    loop {
        let request = ClearedRequest { after, limit: RECORDS };
        let records = graphstore.cleared(request).await?.into_inner();
        let documents: Vec<Document> =
            records.err_into().and_then(async |record| document(record)).try_collect().await?;
        let Some(last) = documents.last() else { break };
        after = last.number();
        refilled += documents.len() as u64;
        redis.put(documents).await?;
    }
    if let Some(dropped) = dropped {
        bail!(
            "records {first} to {dropped} are missing and only in the log; run: webwallet rebuild hashtable"
        );
    }
    Ok(refilled)
}

fn document(record: Record) -> anyhow::Result<Document> {
    let name = Hash::from_slice(&record.hash).context("a record without its hash")?;
    let document = Document::new(name, record.body, record.number);
    document.map_err(|why| anyhow::anyhow!("record {}: {why}", record.number))
}

/// The last record from `first` on whose bytes Graphstore has dropped, if `first`
/// is one. It drops them in order.
async fn dropped(
    graphstore: &mut GraphstoreClient<Link>,
    first: u64,
) -> anyhow::Result<Option<u64>> {
    let request = ClearedRequest { after: first - 1, limit: 1 };
    let next = match graphstore.cleared(request).await {
        Ok(records) => records.into_inner().try_next().await,
        Err(status) => Err(status),
    };
    match next {
        Ok(_) => return Ok(None),
        Err(status) if status.code() == Code::OutOfRange => {}
        Err(status) => return Err(status.into()),
    }
    let (mut gone, mut there) =
        (first, graphstore.status(StatusRequest {}).await?.into_inner().number + 1);
    while there - gone > 1 {
        let middle = gone + (there - gone) / 2;
        let request = RecordRequest { key: Some(Key::Number(middle)) };
        let record = graphstore.record(request).await?.into_inner().record;
        match record {
            Some(record) if record.body.is_empty() => gone = middle,
            _ => there = middle,
        }
    }
    Ok(Some(gone))
}
