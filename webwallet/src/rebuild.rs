//! `webwallet rebuild hashtable|graphstore|log`: any one of the three stores out
//! of the other two, byte for byte.
//!
//! The server must be stopped: its data directory is locked while it runs. What
//! is rebuilt is checked as it is written (hashes, clearing, the roots of every
//! block), so nothing wrong in one store is carried into another.

use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use webwallet_blockstack::{HEIGHTS_AT_ONCE, LogFolder, LoggedBlock, OTHER_BLOCKS};
use webwallet_graphstore::Store as Graph;
use webwallet_graphstore::store::{Batch, Committed, Intended, Intent, Stored};
use webwallet_hashtable::{Document, Store as Documents};
use webwallet_ledger::block::{AtHeight, Block};
use webwallet_ledger::clear::{Cleared, clear};
use webwallet_ledger::leaf::{Entry, Leaf};
use webwallet_ledger::state::State;
use webwallet_ledger::{AccountId, Hash, Record, Request, document};

use crate::refill::Leaves;

/// Documents put at a time.
const PIECE: usize = 500;
/// Records committed, or blocks intended, at a time: Neo4j has ten seconds for it, and a record
/// with many IOUs takes it 50 ms, a block a journey there and back.
const TOGETHER: usize = 100;
/// How large they are together: what every engine takes at once.
const TOGETHER_BYTES: usize = 1 << 20;
/// How often a commit whose answer was lost is sent again.
const TRIES_MAX: usize = 10;

/// Puts every leaf of the log into Hashtable, and then what Graphstore has beyond
/// the log. Returns how many documents those are.
///
/// # Errors
/// The log does not give its own root, or a store fails.
pub async fn hashtable(
    documents: &impl Documents,
    graph: &impl Graph,
    log: Option<&LogFolder>,
    domain: &str,
) -> anyhow::Result<u64> {
    let (mut piece, mut count, mut number) = (Vec::new(), 0, 0);
    let mut kept = Leaves::after(0, domain);
    for leaf in log.into_iter().flat_map(LogFolder::leaves) {
        let (index, bytes) = leaf.context("the log cannot be read")?;
        piece.extend(kept.documents(&bytes).with_context(|| format!("leaf {index}"))?);
        number = piece.last().map_or(0, Document::number).max(number);
        count += 1;
        if piece.len() >= PIECE {
            put(documents, &mut piece).await?;
        }
    }
    put(documents, &mut piece).await?;
    Ok(count + outbox(documents, graph, number).await?)
}

/// Puts into Hashtable what has cleared after this number, which is what was not sealed
/// when a store was lost or left. Returns how many documents those are.
async fn outbox(
    documents: &impl Documents,
    graph: &impl Graph,
    mut number: u64,
) -> anyhow::Result<u64> {
    let mut count = 0;
    loop {
        let records = graph.cleared(number, PIECE as u32).await?;
        let Some(last) = records.last() else { return Ok(count) };
        number = last.number;
        let made = |record: Stored| Document::new(record.hash, record.bytes.into(), record.number);
        let mut piece = records.into_iter().map(made).collect::<Result<Vec<_>, _>>()?;
        count += piece.len() as u64;
        put(documents, &mut piece).await?;
    }
}

/// Brings all that has cleared from two stores into two others, which hold none of it or
/// only the first. Returns the last number.
///
/// # Errors
/// The others hold something else or more, or a store fails.
pub async fn migrate(
    (graph, documents): (&impl Graph, &impl Documents),
    (new_graph, new_documents): (&impl Graph, &impl Documents),
    log: Option<&LogFolder>,
    domain: &str,
) -> anyhow::Result<u64> {
    let number = graph.head().await?.number;
    let (height, sealed) = last(log)?.map_or((0, 0), |b| (b.header.height + 1, b.header.cleared));
    for held in [new_graph.head().await?.number, new_documents.highest().await?] {
        ensure!(held <= number, "records up to {held} are there already, and here only {number}");
    }
    // Graphstore is made from Hashtable, which may not have the last of them yet.
    outbox(documents, graph, sealed).await?;
    let made = graphstore(new_graph, documents, log, domain).await?;
    ensure!(
        made == number,
        "the log and Hashtable end with record {made}, Graphstore with {number}; `webwallet fsck` says more"
    );
    intents(graph, new_graph, height).await?;
    hashtable(new_documents, new_graph, log, domain).await?;
    Ok(number)
}

/// The last block of a log.
fn last(log: Option<&LogFolder>) -> anyhow::Result<Option<Block>> {
    log.map(LogFolder::last).transpose().context("the log cannot be read")
}

/// Brings the blocks from a height on over that are intended and not published yet: else
/// others would be made of those heights, and there would be no way back.
async fn intents(
    graph: &impl Graph,
    new_graph: &impl Graph,
    mut height: u64,
) -> anyhow::Result<()> {
    loop {
        let intents = graph.intents(height, HEIGHTS_AT_ONCE as u32).await?;
        let Some(last) = intents.last() else { return Ok(()) };
        height = last.height + 1;
        for together in intents.chunks(TOGETHER) {
            intend(new_graph, together).await?;
        }
    }
}

async fn put(documents: &impl Documents, piece: &mut Vec<Document>) -> anyhow::Result<()> {
    let others = piece.iter().filter(|document| document.number() == 0);
    let (names, bytes): (Vec<_>, Vec<_>) = others.map(|d| (d.name(), d.bytes().clone())).unzip();
    documents.put(std::mem::take(piece)).await.context("Hashtable does not take them")?;
    // Of a height it keeps the first block that it was given.
    let kept = documents.get(&names).await?;
    ensure!(
        kept.iter().map(Option::as_ref).eq(bytes.iter().map(Some)),
        "Hashtable has other blocks than this log: {OTHER_BLOCKS}"
    );
    Ok(())
}

/// Clears every record of the log again, in a Graphstore that holds none or only
/// the first of them, comparing the roots at every block; and then what Hashtable has
/// beyond the log: blocks by their heights, and records by their numbers. Returns the last
/// number.
///
/// # Errors
/// What is in the log is not what clearing gives, or a store fails.
pub async fn graphstore(
    graph: &impl Graph,
    documents: &impl Documents,
    log: Option<&LogFolder>,
    domain: &str,
) -> anyhow::Result<u64> {
    is_of_this_log(documents, log, domain).await?;
    let mut again =
        Again { graph, domain, state: State::new(), cleared: vec![], intents: vec![], bytes: 0 };
    let (mut height, mut sealed) = (0, 0);
    for block in log.into_iter().flat_map(LogFolder::blocks) {
        let block = block.context("the log cannot be read")?;
        (height, sealed) = again.block(block).await?;
    }
    // The log may be older than what was published of it: its blocks must be the same again.
    while let Some(block) = stored_block(documents, domain, height, sealed).await? {
        (height, sealed) = again.block(block).await?;
    }
    again.written().await?;
    // Records behind a block that is missing may be in blocks, too.
    let later: Vec<Hash> =
        (height..height + HEIGHTS_AT_ONCE).map(|later| AtHeight::name(domain, later)).collect();
    let later = documents.get(&later).await?.into_iter().position(|found| found.is_some());
    if let Some(later) = later {
        bail!(
            "Hashtable has block {}, and block {height} is in no store: restore the newest copy of the log",
            height + later as u64
        );
    }
    loop {
        let head = graph.head().await?.number;
        let beyond = documents.numbered(head, PIECE as u32).await?;
        if beyond.is_empty() {
            let highest = documents.highest().await?;
            ensure!(
                highest <= head,
                "Hashtable has record {highest}, but record {} is in no store: restore a backup that has it, of Hashtable or of Graphstore",
                head + 1
            );
            return Ok(head);
        }
        for document in &beyond {
            again.record(document.bytes()).await?;
        }
        again.written().await?;
    }
}

/// That Hashtable has no other block of the height with which the log ends: what follows it
/// there would be the blocks of another log.
async fn is_of_this_log(
    documents: &impl Documents,
    log: Option<&LogFolder>,
    domain: &str,
) -> anyhow::Result<()> {
    if let Some(last) = last(log)?
        && let Some(entry) = entry(documents, domain, last.header.height).await?
    {
        ensure!(
            entry.block == last.hash,
            "Hashtable has another block {} than this log: {OTHER_BLOCKS}",
            last.header.height
        );
    }
    Ok(())
}

/// Which block Hashtable has of a height.
async fn entry(
    documents: &impl Documents,
    domain: &str,
    height: u64,
) -> anyhow::Result<Option<AtHeight>> {
    let found = documents.get(&[AtHeight::name(domain, height)]).await?.pop().flatten();
    Ok(found.map(|entry| AtHeight::parse(&entry)).transpose()?)
}

/// Blocks of which the records clear again, one after the other. What follows one another is
/// written together: a Graphstore that syncs for each block would need hours for a day.
struct Again<'a, G> {
    graph: &'a G,
    domain: &'a str,
    /// What all blocks until now leave.
    state: State,
    /// Records that are not written yet.
    cleared: Vec<Entry>,
    /// Blocks that are not intended yet: their records come first.
    intents: Vec<Intent>,
    /// How large both are.
    bytes: usize,
}

impl<G: Graph> Again<'_, G> {
    /// Takes in the next block, if its records give its state. Returns the height after it, and
    /// its last record.
    async fn block(&mut self, block: LoggedBlock) -> anyhow::Result<(u64, u64)> {
        let LoggedBlock { block, documents, records } = block;
        let height = block.header.height;
        records.iter().for_each(|record| self.state.apply(record));
        let (accounts, units) = self.state.roots();
        ensure!(
            (accounts, units) == (block.header.state, block.header.units),
            "block {height}: its records do not give its state; `webwallet-audit` says more"
        );
        for record in &records {
            self.record(&record.bytes).await?;
        }
        let (time, cleared) = (block.header.time, block.header.cleared);
        let documents = documents.into_iter().map(Bytes::from).collect();
        let intent = Intent { height, cleared, time, documents, block: block.bytes.into() };
        let bytes = intent.encode().len();
        if self.intents.len() >= TOGETHER || self.bytes + bytes > TOGETHER_BYTES {
            self.written().await?;
        }
        self.bytes += bytes;
        self.intents.push(intent);
        Ok((height + 1, cleared))
    }

    /// Takes in the next record.
    async fn record(&mut self, record: &[u8]) -> anyhow::Result<()> {
        if self.cleared.len() >= TOGETHER || self.bytes + record.len() > TOGETHER_BYTES {
            self.written().await?;
        }
        self.bytes += record.len();
        self.cleared.push(read(record, self.domain)?);
        Ok(())
    }

    /// Writes what is not written yet.
    async fn written(&mut self) -> anyhow::Result<()> {
        commit(self.graph, std::mem::take(&mut self.cleared)).await?;
        self.bytes = 0;
        intend(self.graph, &std::mem::take(&mut self.intents)).await
    }
}

/// Whether Hashtable has the blocks of a log, from its first one on.
pub async fn has_blocks(documents: &impl Documents, domain: &str) -> anyhow::Result<bool> {
    let first = documents.get(&[AtHeight::name(domain, 0)]).await?;
    Ok(first.into_iter().any(|found| found.is_some()))
}

/// The block of a height out of Hashtable, after the record `sealed`; `None` if none was made.
async fn stored_block(
    documents: &impl Documents,
    domain: &str,
    height: u64,
    sealed: u64,
) -> anyhow::Result<Option<LoggedBlock>> {
    let Some(entry) = entry(documents, domain, height).await? else { return Ok(None) };
    let lacks = || {
        format!(
            "Hashtable has not all of block {height}, which may be published: restore the newest copy of the log, or a Hashtable that has it"
        )
    };
    let AtHeight { block, documents: others } = entry;
    let block = documents.get(&[block]).await?.pop().flatten().with_context(lacks)?;
    let block = Block::parse(&block)?;
    let found = documents.get(&others).await?.into_iter().flatten();
    let found: Vec<Vec<u8>> = found.map(|document| document.to_vec()).collect();
    let mut records = Vec::new();
    while let after = sealed + records.len() as u64
        && after < block.header.cleared
    {
        let limit = (block.header.cleared - after).min(PIECE as u64) as u32;
        let next = documents.numbered(after, limit).await?;
        ensure!(!next.is_empty(), lacks());
        for document in next {
            records.push(Arc::new(Record::parse(document.bytes())?));
        }
    }
    let header = &block.header;
    ensure!(
        (header.leaves, header.records)
            == (found.len() as u64 + header.records, records.len() as u64),
        lacks()
    );
    Ok(Some(LoggedBlock { block, documents: found, records }))
}

/// A record and its request.
fn read(bytes: &[u8], domain: &str) -> anyhow::Result<Entry> {
    match Leaf::parse(bytes, domain)? {
        Leaf::Record(entry) => Ok(*entry),
        _ => bail!("a document that should be a record is none"),
    }
}

/// Commits those records that Graphstore does not have, after clearing them again.
async fn commit(graph: &impl Graph, entries: Vec<Entry>) -> anyhow::Result<()> {
    let head = graph.head().await?.number;
    let mut requests: Vec<(Entry, Request)> = Vec::new();
    for entry in entries {
        let number = entry.record.number;
        if number <= head {
            let there = graph.numbered(number).await?.map(|stored| stored.hash);
            ensure!(
                there == Some(entry.record.hash),
                "Graphstore's record {number} is another one: give it an empty store to be rebuilt in"
            );
            continue;
        }
        let request =
            entry.request.clone().map_err(|why| anyhow::anyhow!("record {number}: {why}"))?;
        requests.push((entry, request));
    }
    let mut accounts: Vec<AccountId> = requests
        .iter()
        .flat_map(|(entry, _)| entry.record.outputs.iter().map(|o| o.account))
        .collect();
    accounts.sort_unstable();
    accounts.dedup();
    let ious: Vec<Hash> = requests.iter().flat_map(|(_, request)| request.ious()).collect();
    let mut loaded = graph.load(&accounts, &ious).await?;
    let locks: Vec<_> = requests.iter().flat_map(|(_, request)| request.collects()).collect();
    loaded.locks = graph.locks(&locks).await?;
    let mut records = Vec::new();
    for (entry, request) in requests {
        let record = entry.record;
        match clear(&request, record.number, record.time, &loaded) {
            Ok(Cleared::Now(again)) if again.bytes == record.bytes => {
                loaded.apply(&again);
                records.push(Arc::new(again));
            }
            Ok(_) => bail!("record {} is not what clearing gives", record.number),
            Err(why) => bail!("record {} does not clear: {why}", record.number),
        }
    }
    if records.is_empty() {
        return Ok(());
    }
    let batch = Batch::new(records);
    for _ in 0..TRIES_MAX {
        match graph.commit(&batch).await? {
            Committed::Yes => return Ok(()),
            Committed::Deposed => bail!("another Graphstore writes to this store; stop it first"),
            Committed::Unknown => {}
        }
    }
    bail!("the engine does not answer")
}

async fn intend(graph: &impl Graph, intents: &[Intent]) -> anyhow::Result<()> {
    let stored = match graph.intend(intents, false).await? {
        Intended::Stored(stored) => stored,
        Intended::Refused(why) => bail!("Graphstore refuses: {why}"),
    };
    match stored.iter().zip(intents).find(|(stored, intent)| stored != intent) {
        None => Ok(()),
        Some((other, intent)) => bail!(
            "Graphstore holds another block {}, {}: give it an empty store to be rebuilt in",
            intent.height,
            document::name(&other.block)
                .map_or_else(|_| "unreadable".to_owned(), |n| n.to_string())
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use webwallet_graphstore::Embedded;
    use webwallet_ledger::signature::public_of;
    use webwallet_ledger::{Address, Draft, Time};

    use super::*;

    const DOMAIN: &str = "example.net";

    fn stores(folder: &Path) -> (Embedded, webwallet_hashtable::Embedded) {
        let documents = webwallet_hashtable::Embedded::open(&folder.join("documents"));
        (Embedded::open(&folder.join("graph")).expect("a graphstore"), documents.expect("opened"))
    }

    /// Clears three payments; of these Hashtable lacks one.
    async fn three(stores: &(Embedded, webwallet_hashtable::Embedded), lacked: Option<u64>) {
        let (graph, documents) = stores;
        let time: Time = "2026-06-01T12:00:00.000Z".parse().expect("a time");
        let [alice, bob] = [[1; 32], [2; 32]].map(|key| Address::of_public(&public_of(&key)));
        for number in 1..=3 {
            let draft = Draft {
                domain: DOMAIN.into(),
                source: alice,
                target: bob,
                symbol: alice,
                amount: "1".into(),
                random: format!("payment {number}"),
                expiry: time.plus_days(1),
                active: None,
                credit: None,
                locker: None,
                solver: None,
            };
            let request = Request::from_inputs(&[draft.sign(&[1; 32])], DOMAIN);
            let request = request.expect("a request");
            let accounts = [alice, bob].map(|address| AccountId { unit: alice, address });
            let loaded = graph.load(&accounts, &request.ious()).await.expect("loaded");
            let Ok(Cleared::Now(record)) = clear(&request, number, time, &loaded) else {
                panic!("it clears")
            };
            if lacked != Some(number) {
                let (name, bytes) = (record.hash, record.bytes.clone().into());
                let document = Document::new(name, bytes, number).expect("a document");
                documents.put(vec![document]).await.expect("put");
            }
            graph.commit(&Batch::new(vec![Arc::new(record)])).await.expect("committed");
        }
    }

    /// "Rebuilt", an operator reads, and the payments behind a gap are gone without a word.
    #[tokio::test]
    async fn a_gap_in_what_is_left_is_said() {
        let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
        let [whole, empty] = [0, 1].map(|n: usize| stores(folders[n].path()));
        three(&whole, Some(2)).await;
        let rebuilt = graphstore(&empty.0, &whole.1, None, DOMAIN).await;
        let why = rebuilt.expect_err("not all of it").to_string();
        assert!(why.contains("has record 3, but record 2 is in no store"), "{why}");
    }

    /// A block that was not published yet when a server moved: made anew on the other engines
    /// it would be another one, and the way back closed.
    #[tokio::test]
    async fn what_is_intended_moves_along() {
        let folders = [(); 3].map(|()| tempfile::tempdir().expect("a folder"));
        let [here, there, other] = [0, 1, 2].map(|n: usize| stores(folders[n].path()));
        three(&here, None).await;
        let time = here.0.head().await.expect("a head").time.expect("a time");
        let intent = |height: u64, cleared: u64, block: &'static str| Intent {
            height,
            cleared,
            time,
            documents: vec![Bytes::from("a genesis")],
            block: Bytes::from(block),
        };
        let intents = vec![intent(0, 2, "a block"), intent(1, 3, "the next")];
        for intent in &intents {
            here.0.intend(std::slice::from_ref(intent), false).await.expect("intended");
        }
        let moved = migrate((&here.0, &here.1), (&there.0, &there.1), None, DOMAIN).await;
        assert_eq!(moved.expect("moved"), 3);
        assert_eq!(there.0.intents(0, 10).await.expect("intents"), intents);
        // And back, where all of it is.
        let back = migrate((&there.0, &there.1), (&here.0, &here.1), None, DOMAIN).await;
        assert_eq!(back.expect("moved"), 3);
        // Into stores that have gone another way.
        three(&other, None).await;
        other.0.intend(&[intent(0, 3, "another")], false).await.expect("intended");
        let why = migrate((&here.0, &here.1), (&other.0, &other.1), None, DOMAIN).await;
        let why = format!("{:#}", why.expect_err("another block 0"));
        assert!(why.contains("block 0") && why.contains("give it an empty store"), "{why}");
    }
}
