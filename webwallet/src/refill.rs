//! Puts into Redis again what it may have lost.
//!
//! The store says when it is in doubt and what is missing (`hashtable/src/redis/watch.rs`);
//! Graphstore, which cleared the records, says what there should be. It has the bytes of
//! what is not sealed yet; all before that is in the log.

use std::time::Duration;

use anyhow::{Context as _, bail};
use futures::TryStreamExt as _;
use webwallet_hashtable::redis::Doubt;
use webwallet_hashtable::{Document, Redis, Store as _};
use webwallet_ledger::Hash;
use webwallet_ledger::block::{AtHeight, BLOCK_RECORDS_MAX};
use webwallet_ledger::leaf::Leaf;
use webwallet_ledger::tile::{Level, TILE_WIDTH, TileId, parse_bundle};
use webwallet_proto::blockstack::v1::blockstack_client::BlockstackClient;
use webwallet_proto::blockstack::v1::{self as log, inclusion_request};
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

/// Where lost documents are fetched from.
pub struct Sources {
    /// Has cleared everything, and has the bytes of what is not sealed.
    pub graphstore: GraphstoreClient<Link>,
    /// Has what is sealed. Without it, that is left to `webwallet rebuild hashtable`.
    pub blockstack: Option<BlockstackClient<Link>>,
    /// The log's.
    pub domain: String,
}

impl Sources {
    /// Waits for doubts and settles them, for ever.
    pub async fn keep(mut self, redis: Redis) {
        let mut pause = PAUSE;
        loop {
            let doubt = redis.doubted().await;
            if let Err(why) = self.fill(&redis, doubt).await {
                tracing::warn!("redis is not filled yet: {why:#}");
                tokio::time::sleep(pause).await;
                pause = PAUSE_MAX.min(2 * pause);
            } else {
                pause = PAUSE;
            }
        }
    }

    /// Puts what is missing, and settles the doubt.
    async fn fill(&mut self, redis: &Redis, mut doubt: Doubt) -> anyhow::Result<()> {
        let number = self.graphstore.status(StatusRequest {}).await?.into_inner().number;
        let mut refilled = 0;
        if let Some(first) = redis.first_missing(&mut doubt, number).await? {
            tracing::warn!(first, upto = number, "records are missing in redis");
            refilled = self.refill(redis, first).await?;
        }
        if redis.settle(&doubt, refilled).await? {
            tracing::info!(refilled, "redis has every record");
        }
        Ok(())
    }

    /// Puts every record from this number on, and says how many documents those are.
    async fn refill(&mut self, redis: &Redis, first: u64) -> anyhow::Result<u64> {
        let dropped = self.dropped(first).await?;
        let mut refilled = match dropped {
            Some(_) => self.refill_from_log(redis, first).await?,
            None => 0,
        };
        let mut after = dropped.unwrap_or(first - 1);
        loop {
            let request = ClearedRequest { after, limit: RECORDS };
            let records = self.graphstore.cleared(request).await?.into_inner();
            let documents: Vec<Document> =
                records.err_into().and_then(async |record| document(record)).try_collect().await?;
            let Some(last) = documents.last() else { break };
            after = last.number();
            refilled += documents.len() as u64;
            redis.put(documents).await?;
        }
        match dropped {
            Some(dropped) if self.blockstack.is_none() => bail!(
                "records {first} to {dropped} are missing and only in the log; set the address of \
                 the Blockstack (--blockstack), or run: webwallet rebuild hashtable"
            ),
            _ => Ok(refilled),
        }
    }

    /// Puts every leaf of the log from a record on.
    async fn refill_from_log(&mut self, redis: &Redis, first: u64) -> anyhow::Result<u64> {
        let Some(log) = &mut self.blockstack else { return Ok(0) };
        let size = log.status(log::StatusRequest {}).await?.into_inner().size;
        let leaf = Some(inclusion_request::Leaf::Number(first));
        let asked = log::InclusionRequest { leaf, size: Some(size) };
        let found = log.inclusion(asked).await?.into_inner().inclusion;
        let found = found.with_context(|| format!("record {first} is not in the log"))?;
        let mut refilled = 0;
        // From before the beginning of its block, which has a few leaves beside its records.
        let block_max = BLOCK_RECORDS_MAX / u64::from(TILE_WIDTH) + 1;
        let first = (found.index / u64::from(TILE_WIDTH)).saturating_sub(block_max);
        let mut kept = Leaves::after(first * u64::from(TILE_WIDTH), &self.domain);
        for tile in (first..).map_while(|index| TileId::at(Level::Entries, index, size)) {
            let asked = log::TileRequest { path: tile.path() };
            let bundle = log.tile(asked).await?.into_inner().body;
            let bundle = bundle.with_context(|| format!("the log has no {tile}"))?;
            let leaves = parse_bundle(&bundle, tile.width).with_context(|| tile.path())?;
            let documents = leaves.iter().map(|leaf| kept.documents(leaf));
            let documents = documents.collect::<anyhow::Result<Vec<_>>>()?.concat();
            refilled += leaves.len() as u64;
            redis.put(documents).await?;
        }
        Ok(refilled)
    }

    /// The last record from `first` on whose bytes Graphstore has dropped, if `first`
    /// is one. It drops them in order.
    async fn dropped(&mut self, first: u64) -> anyhow::Result<Option<u64>> {
        let end = self.graphstore.status(StatusRequest {}).await?.into_inner().number + 1;
        if !self.is_dropped(first).await? {
            return Ok(None);
        }
        let (mut gone, mut there) = (first, end);
        while there - gone > 1 {
            let middle = gone + (there - gone) / 2;
            match self.is_dropped(middle).await? {
                true => gone = middle,
                false => there = middle,
            }
        }
        Ok(Some(gone))
    }

    /// Asked of the store itself: `Cleared` answers from memory too, records alone, and
    /// blocks are in the log only.
    async fn is_dropped(&mut self, number: u64) -> anyhow::Result<bool> {
        let request = RecordRequest { key: Some(Key::Number(number)) };
        let record = self.graphstore.record(request).await?.into_inner().record;
        Ok(record.is_some_and(|record| record.body.is_empty()))
    }
}

fn document(record: Record) -> anyhow::Result<Document> {
    let name = Hash::from_slice(&record.hash).context("a record without its hash")?;
    let document = Document::new(name, record.body, record.number);
    document.map_err(|why| anyhow::anyhow!("record {}: {why}", record.number))
}

/// Leaves of a log in their order, as Hashtable keeps them.
pub struct Leaves<'d> {
    domain: &'d str,
    /// Where they begin.
    first: u64,
    /// Those that are no records, since the last block.
    others: Vec<Hash>,
}

impl<'d> Leaves<'d> {
    /// From this one on.
    pub fn after(first: u64, domain: &'d str) -> Leaves<'d> {
        Leaves { domain, first, others: Vec::new() }
    }

    /// The next leaf; and after a block, which block it is by its height.
    pub fn documents(&mut self, bytes: &[u8]) -> anyhow::Result<Vec<Document>> {
        let leaf = Leaf::parse(bytes, self.domain)?;
        let number = match &leaf {
            Leaf::Record(entry) => entry.record.number,
            _ => 0,
        };
        let mut documents = vec![Document::new(leaf.hash(), bytes.to_vec().into(), number)?];
        match &leaf {
            Leaf::Record(_) => {}
            Leaf::Block(block) => {
                let others = std::mem::take(&mut self.others);
                // Of one whose beginning was not seen it is not known.
                if block.header.first >= self.first {
                    let entry = AtHeight { block: block.hash, documents: others };
                    let (name, bytes) = entry.document(self.domain, block.header.height);
                    documents.push(Document::new(name, bytes.into(), 0)?);
                }
            }
            other => self.others.push(other.hash()),
        }
        Ok(documents)
    }
}
