//! The published log, held against both stores and the key that is here.

use std::path::Path;

use bytes::Bytes;
use webwallet_blockstack::{HEIGHTS_AT_ONCE, LogFolder, OTHER_BLOCKS};
use webwallet_graphstore::Store as Graph;
use webwallet_graphstore::store::Intent;
use webwallet_hashtable::Store as Documents;
use webwallet_ledger::block::{AtHeight, Block};
use webwallet_ledger::checkpoint::Checkpoint;
use webwallet_ledger::leaf::Leaf;
use webwallet_ledger::note::VerifierKey;
use webwallet_ledger::{Hash, Record, document};

use super::Check;
use crate::{data, engine, file};

/// Where a published log ends.
struct End {
    /// Of its last block.
    height: u64,
    /// What signs from there on.
    newest: Option<VerifierKey>,
}

impl<G: Graph, D: Documents> Check<'_, G, D> {
    /// That the published log is what a server goes on from: of these records, of the blocks
    /// that Graphstore knows, not far behind them, and signed with the key that is here.
    pub(super) async fn log(&mut self, intent: Option<u64>) -> anyhow::Result<()> {
        let (folder, key) = (data::log(&self.config.data), engine::log_key(self.config));
        let shown = key.display();
        if intent.is_some() && !key.exists() {
            let detail =
                format!("the log key {shown} is missing: put it back; a new one signs another log");
            self.find("F-LOG", None, detail);
        }
        let checkpoint = folder.join("checkpoint");
        let end = match checkpoint.exists() {
            false => None,
            true => match self.follow(&folder).await? {
                Ok(end) => Some(end),
                Err(why) => {
                    self.find("F-LOG", None, why);
                    return Ok(());
                }
            },
        };
        let Some(intent) = intent else {
            if end.is_none()
                && let Some(why) = LogFolder::beginning_lost(&folder)?
            {
                self.find("F-LOG", None, why);
            }
            return Ok(());
        };
        // A server may have ended between a block's intent and its checkpoint.
        let behind = end.as_ref().map_or(intent, |end| intent.saturating_sub(end.height + 1));
        if behind > 0 {
            let detail = match &end {
                Some(End { height, .. }) => format!(
                    "the log ends with block {height}, and Graphstore knows of blocks up to {intent}: put its newest checkpoint back, or remove {} and run `webwallet rebuild log`",
                    checkpoint.display()
                ),
                None => format!(
                    "the log has no checkpoint, and Graphstore knows of blocks up to {intent}: put its newest copy back, or run `webwallet rebuild log`"
                ),
            };
            self.find("F-LOG", None, detail);
        }
        if let Some(end) = &end {
            self.beyond(end.height + 1).await?;
        }
        if let Some(newest) = end.and_then(|end| end.newest) {
            let detail = match engine::read_log_key(&key, &self.config.domain) {
                Err(why) => why.to_string(),
                // That it is missing has been said.
                Ok(None) => return Ok(()),
                Ok(Some(key)) if key.has(&newest) => return Ok(()),
                Ok(Some(_)) => format!(
                    "the log key {shown} is not the log's newest, {newest}: put that one back; or the newest checkpoint, if this one is older"
                ),
            };
            self.find("F-LOG", None, detail);
        }
        Ok(())
    }

    /// Graphstore's block of a height.
    async fn intent(&self, height: u64) -> anyhow::Result<Option<Intent>> {
        let found = self.graph.intents(height, 1).await?.into_iter().next();
        Ok(found.filter(|intent| intent.height == height))
    }

    /// Reads the log to its end, and holds it against the stores. What is wrong with its
    /// files, and what to do.
    async fn follow(&mut self, folder: &Path) -> anyhow::Result<Result<End, String>> {
        let damaged = |why: String| {
            Ok(Err(format!("the log's files are damaged: {why}; run `webwallet rebuild log`")))
        };
        let domain = &self.config.domain;
        let (log, note) = match (LogFolder::open(folder), file::read(&folder.join("checkpoint"))) {
            (Ok(log), Ok(note)) if log.checkpoint().origin == *domain => (log, note),
            (log, _) => {
                let why =
                    log.err().map_or("it is not of this log".to_owned(), |why| why.to_string());
                return Ok(Err(format!(
                    "the published checkpoint cannot be used: {why}; put the file `checkpoint` of the log back, or remove it and run `webwallet rebuild log`"
                )));
            }
        };
        let (mut keys, mut last, mut others) = (Vec::new(), None, Vec::new());
        for leaf in log.checked() {
            let leaf = leaf.map_err(|why| why.to_string()).and_then(|(index, bytes)| {
                Leaf::parse(&bytes, domain).map_err(|why| format!("leaf {index}: {why}"))
            });
            last = None;
            match leaf {
                Err(why) => return damaged(why),
                Ok(Leaf::Record(entry)) => {
                    let Record { number, hash, .. } = entry.record;
                    if self.names.get(&number) != Some(&hash) {
                        let detail = format!("the log has {hash} as this record, Graphstore not");
                        self.find("F-LOG", Some(number), detail);
                    }
                }
                Ok(Leaf::Block(block)) => {
                    self.block(&block, std::mem::take(&mut others)).await?;
                    let height = block.header.height;
                    last = Some(height);
                    let intent = self.intent(height).await?;
                    if intent.is_none_or(|intent| intent.block != block.bytes) {
                        let detail = format!("the log's block {height} is none of Graphstore's");
                        self.find("F-LOG", None, detail);
                    }
                }
                Ok(other) => {
                    others.push((other.hash(), other.bytes().to_vec()));
                    match other {
                        Leaf::Genesis(genesis) => keys.push(genesis.key),
                        Leaf::Keys(change) => keys.push(change.new),
                        _ => {}
                    }
                }
            }
        }
        if let Err(why) = Checkpoint::open(&note, &keys) {
            return damaged(format!("its checkpoint is {why}"));
        }
        Ok(match last {
            Some(height) => Ok(End { height, newest: keys.pop() }),
            None => return damaged("its last leaf is no block".to_owned()),
        })
    }

    /// That Hashtable has a block of the log, and its leaves that are no records, and nothing
    /// else under its height: whoever loses the log finds it there alone.
    async fn block(
        &mut self,
        block: &Block,
        mut leaves: Vec<(Hash, Vec<u8>)>,
    ) -> anyhow::Result<()> {
        let height = block.header.height;
        let documents = leaves.iter().map(|(name, _)| *name).collect();
        leaves.push((block.hash, block.bytes.clone()));
        let entry = AtHeight { block: block.hash, documents };
        leaves.push(entry.document(&self.config.domain, height));
        let names: Vec<Hash> = leaves.iter().map(|(name, _)| *name).collect();
        let of = format!(", of block {height},");
        let Some(found) = self.get(&names, None, &of).await? else { return Ok(()) };
        let is_other = |(found, (_, bytes)): (&Option<Bytes>, &(Hash, Vec<u8>))| {
            found.as_ref().is_some_and(|found| found != bytes)
        };
        if found.iter().zip(&leaves).any(is_other) {
            let detail =
                format!("Hashtable has another than the log as block {height}: {OTHER_BLOCKS}");
            self.find("F-LOG", None, detail);
        } else if found.contains(&None) {
            let detail = format!(
                "Hashtable does not have all of block {height}; run `webwallet rebuild hashtable`"
            );
            self.find("F-MISSING", None, detail);
        }
        Ok(())
    }

    /// That behind the end of the log Hashtable has Graphstore's blocks and no others.
    async fn beyond(&mut self, first: u64) -> anyhow::Result<()> {
        let heights = first..first + HEIGHTS_AT_ONCE;
        let names: Vec<Hash> =
            heights.map(|height| AtHeight::name(&self.config.domain, height)).collect();
        let Some(found) = self.get(&names, None, "").await? else { return Ok(()) };
        for (height, entry) in (first..).zip(found) {
            let Some(entry) = entry else { continue };
            let is_of = |intent: &Intent| {
                let name = document::name(&intent.block);
                AtHeight::parse(&entry).is_ok_and(|entry| name == Ok(entry.block))
            };
            match self.intent(height).await? {
                Some(intent) if is_of(&intent) => {}
                Some(_) => {
                    let detail = format!(
                        "Hashtable has another block {height} than Graphstore: {OTHER_BLOCKS}"
                    );
                    self.find("F-LOG", None, detail);
                }
                None => {
                    let detail = format!(
                        "Hashtable has block {height}, and neither the log nor Graphstore has; rebuild Graphstore"
                    );
                    self.find("F-AHEAD", None, detail);
                }
            }
        }
        Ok(())
    }
}
