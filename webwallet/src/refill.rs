//! Puts into Redis again what it may have lost.
//!
//! The store says when it is in doubt and what is missing (`hashtable/src/redis/watch.rs`);
//! Graphstore, which cleared the records, and Blockstack, which published the blocks, say
//! what there should be. Graphstore has the bytes of what is not sealed yet; all before that
//! is in the log.

use std::collections::HashSet;
use std::ops::Range;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use futures::TryStreamExt as _;
use tonic::Status;
use webwallet_blockstack::HEIGHTS_AT_ONCE;
use webwallet_hashtable::redis::Doubt;
use webwallet_hashtable::{Document, Error, Redis, Store as _};
use webwallet_ledger::Hash;
use webwallet_ledger::block::{AtHeight, BLOCK_RECORDS_MAX, Block, Header};
use webwallet_ledger::leaf::Leaf;
use webwallet_ledger::tile::{Level, TILE_WIDTH, TileId, parse_bundle};
use webwallet_proto::blockstack::v1::blockstack_client::BlockstackClient;
use webwallet_proto::blockstack::v1::{self as log, block_request, inclusion_request};
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
    /// Has what is sealed. Without it, that is left to `webwallet rebuild hashtable`, and
    /// nothing is said of blocks.
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
                let why = match why.downcast_ref::<Status>() {
                    Some(status) => status.message().to_owned(),
                    None => format!("{why:#}"),
                };
                tracing::warn!("redis is not filled yet: {why}");
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
        let looked_at_all = doubt.is_of_all();
        refilled += self.refill_blocks(redis, &mut doubt).await?;
        if doubt.is_of_all() && !looked_at_all {
            // Where a block is missing an older record may be: all of them are looked at next.
            return Ok(());
        }
        match redis.settle(&doubt, refilled).await? {
            false => {}
            true if self.blockstack.is_some() => {
                tracing::info!(refilled, "redis has every record and every block");
            }
            true => tracing::warn!(
                refilled,
                "redis has every record; whether it has every block is not known here: start Blockstack again, which looks at all of them; and set its address (--blockstack)"
            ),
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
        let domain = &self.domain;
        let size = log.status(log::StatusRequest {}).await?.into_inner().size;
        let leaf = Some(inclusion_request::Leaf::Number(first));
        let asked = log::InclusionRequest { leaf, size: Some(size) };
        let found = log.inclusion(asked).await?.into_inner().inclusion;
        let found = found.with_context(|| format!("record {first} is not in the log"))?;
        let mut refilled = 0;
        // From before the beginning of its block, which has a few leaves beside its records.
        let block_max = BLOCK_RECORDS_MAX / u64::from(TILE_WIDTH) + 1;
        let first = (found.index / u64::from(TILE_WIDTH)).saturating_sub(block_max);
        let mut kept = Leaves::after(first * u64::from(TILE_WIDTH), domain);
        for tile in (first..).map_while(|index| TileId::at(Level::Entries, index, size)) {
            let leaves = bundle(log, tile).await?;
            let documents = leaves.iter().map(|leaf| kept.documents(leaf));
            let documents = documents.collect::<anyhow::Result<Vec<_>>>()?.concat();
            refilled += leaves.len() as u64;
            redis.put(documents).await?;
        }
        Ok(refilled)
    }

    /// Puts every published block that is missing, and says how many documents those are:
    /// whoever has lost the log would sign another block of such a height. After a new start
    /// it looks backwards, until so many are there.
    async fn refill_blocks(&mut self, redis: &Redis, doubt: &mut Doubt) -> anyhow::Result<u64> {
        let Some(log) = &mut self.blockstack else { return Ok(0) };
        let status = log.status(log::StatusRequest {}).await?.into_inner();
        // It may be another log than the one whose blocks Redis had.
        if let Some(why) = status.held() {
            bail!("the log does not say which blocks it has: {why}");
        }
        let mut end = status.height.map_or(0, |height| height + 1);
        let mut refilled = 0;
        while end > 0 {
            let from = end.saturating_sub(HEIGHTS_AT_ONCE);
            let missing = missing_blocks(redis, &self.domain, from..end).await?;
            if let Some(first) = missing.first() {
                tracing::warn!(first, upto = end - 1, "blocks are missing in redis");
                redis.found_missing(doubt).await?;
            } else if !doubt.is_of_all() {
                break;
            }
            let mut documents = Vec::new();
            for height in missing {
                let block = block(log, &self.domain, height, status.size).await;
                documents.extend(block.with_context(|| format!("block {height} of the log"))?);
            }
            refilled += documents.len() as u64;
            redis.put(documents).await?;
            end = from;
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

/// Of which of these heights the block, or one of its leaves that are no records, is missing.
async fn missing_blocks(
    redis: &Redis,
    domain: &str,
    heights: Range<u64>,
) -> anyhow::Result<Vec<u64>> {
    let names: Vec<Hash> = heights.clone().map(|height| AtHeight::name(domain, height)).collect();
    let entries = kept(redis, &names).await?;
    let entries: Vec<Option<AtHeight>> =
        entries.iter().map(|entry| AtHeight::parse(entry.as_ref()?).ok()).collect();
    let parts = |entry: &AtHeight| [&entry.documents[..], &[entry.block]].concat();
    let names: Vec<Hash> = entries.iter().flatten().flat_map(parts).collect();
    let found = kept(redis, &names).await?;
    let there: HashSet<Hash> = names
        .iter()
        .zip(found)
        .filter(|(_, found)| found.is_some())
        .map(|(name, _)| *name)
        .collect();
    let is_whole = |entry: &AtHeight| parts(entry).iter().all(|name| there.contains(name));
    let missing = heights.zip(&entries).filter(|(_, entry)| !entry.as_ref().is_some_and(is_whole));
    Ok(missing.map(|(height, _)| height).collect())
}

/// What Redis has of these. Where one is damaged, nothing is said to be there: a put mends it.
async fn kept(redis: &Redis, names: &[Hash]) -> anyhow::Result<Vec<Option<Bytes>>> {
    match redis.get(names).await {
        Err(Error::Damaged(_)) => Ok(vec![None; names.len()]),
        found => Ok(found?),
    }
}

/// A block of a log of this size, as Hashtable keeps it: without its records.
async fn block(
    log: &mut BlockstackClient<Link>,
    domain: &str,
    height: u64,
    size: u64,
) -> anyhow::Result<Vec<Document>> {
    let asked = log::BlockRequest { key: Some(block_request::Key::Height(height)) };
    let found = log.block(asked).await?.into_inner().block.context("it has none")?;
    let Header { first, leaves, records, .. } = Block::parse(&found.body)?.header;
    let (others, width) = (leaves.saturating_sub(records), u64::from(TILE_WIDTH));
    let mut kept = Leaves::after(first, domain);
    let mut documents = Vec::new();
    // They stand before its records, and nearly no block has any.
    for index in first..first.saturating_add(others) {
        let tile = TileId::at(Level::Entries, index / width, size).context("it ends before")?;
        let bundle = bundle(log, tile).await?;
        let leaf = bundle.get((index % width) as usize).context("its bundle is short")?;
        documents.extend(kept.documents(leaf)?);
    }
    documents.extend(kept.documents(&found.body)?);
    Ok(documents)
}

/// The leaves of one bundle.
async fn bundle(log: &mut BlockstackClient<Link>, tile: TileId) -> anyhow::Result<Vec<Vec<u8>>> {
    let asked = log::TileRequest { path: tile.path() };
    let bundle = log.tile(asked).await?.into_inner().body;
    let bundle = bundle.with_context(|| format!("the log has no {tile}"))?;
    let leaves = parse_bundle(&bundle, tile.width).with_context(|| tile.path())?;
    Ok(leaves.iter().map(|leaf| leaf.to_vec()).collect())
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
