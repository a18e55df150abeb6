//! `webwallet fsck`: are the three stores whole, and do they say the same?
//!
//! Every record is read from both stores and cleared once more by the rules; what
//! Graphstore holds of accounts, chains and IOUs must be what comes out. It reads
//! only. A data directory is locked by its server, which must be stopped; beside
//! one on Redis and Neo4j it may run, best while nothing clears.
//!
//! Signatures are not checked again: that is what the audit of the log is for.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use rand::RngExt as _;
use serde::Serialize;
use webwallet_blockstack::LogKey;
use webwallet_blockstack::rebuild::LogFolder;
use webwallet_graphstore::Store as Graph;
use webwallet_graphstore::store::{Intent, Page, Placed, Stored, Totals, Unit};
use webwallet_hashtable::{Error as Kept, Store as Documents};
use webwallet_ledger::account::Balance;
use webwallet_ledger::block::{AtHeight, Block};
use webwallet_ledger::checkpoint::Checkpoint;
use webwallet_ledger::clear::{Cleared, clear};
use webwallet_ledger::leaf::Leaf;
use webwallet_ledger::note::VerifierKey;
use webwallet_ledger::{
    Account, AccountId, Address, Amount, Hash, History, Lock, Output, Pointer, Record, RecordOf,
    Time, document,
};

use crate::file;

/// Records and accounts asked for at a time.
const PAGE: usize = 500;
/// Findings of one code that are told; more of them are counted.
const TOLD_MAX: u64 = 20;

/// Why Hashtable may have other blocks, and what to do.
const OTHER: &str = "it is of another log, or another server goes on with this one; stop this server if that is so, else name another Redis (--redis)";

/// Something that is not as it should be.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub struct Finding {
    /// Which rule of the stores is broken.
    pub code: &'static str,
    /// The record at which it shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// One sentence.
    pub detail: String,
}

/// What was looked at.
#[derive(Debug, Default, Serialize)]
pub struct Summary {
    /// `sound` or `damaged`.
    pub result: &'static str,
    /// Records that were read.
    pub records: String,
    /// Accounts that were compared.
    pub accounts: String,
    /// Findings by code, also those not told one by one.
    pub findings: BTreeMap<&'static str, u64>,
}

/// A log on disk, and what it is signed with.
pub struct OnDisk {
    /// What is published of it; empty before the first block.
    pub folder: PathBuf,
    /// The file of its key.
    pub key: PathBuf,
}

/// Where a published log ends.
struct End {
    /// Of its last block.
    height: u64,
    /// What signs from there on.
    newest: Option<VerifierKey>,
}

/// Looks at both stores and at the log, and tells every finding as it comes.
///
/// # Errors
/// A store does not answer.
pub async fn check(
    graph: &impl Graph,
    documents: &impl Documents,
    log: &OnDisk,
    domain: &str,
    mut tell: impl FnMut(&Finding) -> anyhow::Result<()>,
) -> anyhow::Result<Summary> {
    let (books, names) = (Books::default(), BTreeMap::new());
    let mut check = Check { graph, documents, domain, books, names, found: Vec::new() };
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut told = |found: &mut Vec<Finding>| -> anyhow::Result<()> {
        for finding in found.drain(..) {
            let count = counts.entry(finding.code).or_default();
            *count += 1;
            if *count <= TOLD_MAX {
                tell(&finding)?;
            }
        }
        Ok(())
    };
    for fault in graph.faults().await? {
        check.find("F-ENGINE", None, fault);
    }
    let head = graph.head().await?;
    if let Some(theirs) = head.domain.as_ref().filter(|theirs| *theirs != domain) {
        let detail = format!("Graphstore holds the records of {theirs:?}, not of {domain:?}");
        check.find("F-DOMAIN", None, detail);
    }
    for first in (1..=head.number).step_by(PAGE) {
        let last = head.number.min(first + PAGE as u64 - 1);
        check.records(first..=last).await?;
        told(&mut check.found)?;
    }
    check.accounts().await?;
    check.locks().await?;
    check.units().await?;
    check.sums();
    check.log(log, head.intent).await?;
    let highest = documents.highest().await?;
    // Asked for again: a server may have cleared meanwhile.
    let last = graph.head().await?.number;
    if highest > last {
        let detail = format!(
            "Hashtable has a record beyond Graphstore's last one, {last}: Graphstore is older than it; rebuild it"
        );
        check.find("F-AHEAD", Some(highest), detail);
    }
    told(&mut check.found)?;
    let accounts = check.books.accounts.len().to_string();
    let result = if counts.is_empty() { "sound" } else { "damaged" };
    Ok(Summary { result, records: head.number.to_string(), accounts, findings: counts })
}

struct Check<'a, G, D> {
    graph: &'a G,
    documents: &'a D,
    domain: &'a str,
    books: Books,
    /// What Graphstore calls its records.
    names: BTreeMap<u64, Hash>,
    found: Vec<Finding>,
}

/// What the records leave, by the rules alone.
#[derive(Default)]
struct Books {
    accounts: HashMap<AccountId, Line>,
    ious: HashMap<Hash, RecordOf>,
    locks: BTreeMap<Pointer, Lock>,
    time: Option<Time>,
}

/// An account, and all its outputs as one sum that does not depend on their order.
struct Line {
    account: Account,
    number: u64,
    outputs: u64,
    sum: u128,
}

impl History for Books {
    fn account(&self, account: &AccountId) -> Option<Account> {
        self.accounts.get(account).map(|line| line.account.clone())
    }

    fn record_of(&self, iou: &Hash) -> Option<RecordOf> {
        self.ious.get(iou).copied()
    }

    fn lock(&self, pointer: &Pointer) -> Option<Lock> {
        self.locks.get(pointer).cloned()
    }
}

impl Books {
    fn apply(&mut self, record: &Record) {
        self.time = self.time.max(Some(record.time));
        for ((id, account), output) in record.accounts().zip(&record.outputs) {
            let mark = mark(&account.output, record.number, output);
            let line = self.accounts.entry(id).or_insert_with(|| Line {
                account: account.clone(),
                number: 0,
                outputs: 0,
                sum: 0,
            });
            line.account = account;
            line.number = record.number;
            line.outputs += 1;
            line.sum = line.sum.wrapping_add(mark);
        }
        record.collects.iter().for_each(|used| drop(self.locks.remove(used)));
        self.locks.extend(record.locked().map(|(pointer, lock)| (pointer, lock.clone())));
        let at = record.cleared();
        for iou in &record.inputs {
            self.ious.entry(*iou).or_insert(at);
        }
    }
}

/// One output as a number: pointer, number and content.
fn mark(pointer: &Pointer, number: u64, output: &Output) -> u128 {
    let mut bytes = pointer.to_string().into_bytes();
    bytes.extend(number.to_be_bytes());
    output.write(&mut bytes);
    let digest = Hash::sha3(&bytes);
    let half: [u8; 16] = std::array::from_fn(|i| digest.0[i]);
    u128::from_be_bytes(half)
}

/// Where of two lists of locks one has another than the other, or none.
fn others(ours: Vec<(Pointer, Lock)>, theirs: Vec<(Pointer, Lock)>) -> BTreeSet<Pointer> {
    let (ours, theirs) = (BTreeMap::from_iter(ours), BTreeMap::from_iter(theirs));
    let pointers = ours.keys().chain(theirs.keys()).copied();
    pointers.filter(|pointer| ours.get(pointer) != theirs.get(pointer)).collect()
}

impl<G: Graph, D: Documents> Check<'_, G, D> {
    fn find(&mut self, code: &'static str, number: Option<u64>, detail: impl Into<String>) {
        let number = number.map(|number| number.to_string());
        self.found.push(Finding { code, number, detail: detail.into() });
    }

    async fn records(&mut self, numbers: std::ops::RangeInclusive<u64>) -> anyhow::Result<()> {
        let mut kept_names = BTreeMap::new();
        for number in numbers.clone() {
            let Some(stored) = self.graph.numbered(number).await? else {
                self.find("F-NUMBER", Some(number), "Graphstore has no record of this number");
                continue;
            };
            self.names.insert(number, stored.hash);
            if self.graph.named(stored.hash).await?.is_none_or(|named| named.number != number) {
                let detail = format!("Graphstore does not find record {} by its name", stored.hash);
                self.find("F-NAME", Some(number), detail);
            }
            let kept = self.kept(&stored).await?;
            if kept.is_some() {
                kept_names.insert(number, stored.hash);
            }
            let bytes = match (stored.bytes.is_empty(), kept) {
                (true, Some(kept)) => kept,
                (true, None) => continue,
                (false, kept) => {
                    if kept.is_some_and(|kept| kept != stored.bytes) {
                        let detail = "the two stores have different bytes for this record";
                        self.find("F-BYTES", Some(number), detail);
                    }
                    stored.bytes
                }
            };
            self.record(number, &bytes).await?;
        }
        self.numbers(numbers, &kept_names).await
    }

    /// That Hashtable finds the records that it has by their numbers, too.
    async fn numbers(
        &mut self,
        numbers: std::ops::RangeInclusive<u64>,
        kept: &BTreeMap<u64, Hash>,
    ) -> anyhow::Result<()> {
        let (mut next, last) = numbers.into_inner();
        // One by one behind one that is missing or damaged, as others may be.
        let mut one = false;
        while next <= last {
            let asked = if one { 1 } else { last - next + 1 };
            let names = match self.documents.names(next - 1, asked as u32).await {
                Ok(names) => names,
                Err(_) if !one => {
                    one = true;
                    continue;
                }
                // An engine that answers nothing is not looked at.
                Err(error) => match self.documents.get(&[]).await {
                    Ok(_) => Vec::new(),
                    Err(_) => return Err(error.into()),
                },
            };
            one = names.is_empty();
            // They end before the first that is missing.
            let found = names.into_iter().map(Some).chain([None]);
            for (number, name) in (next..=last).zip(found).take(asked as usize) {
                next = number + 1;
                if kept.get(&number).is_some_and(|kept| name != Some(*kept)) {
                    let detail = "Hashtable does not find the record by its number";
                    self.find("F-INDEX", Some(number), detail);
                }
            }
        }
        Ok(())
    }

    /// The record's bytes in Hashtable.
    async fn kept(&mut self, stored: &Stored) -> anyhow::Result<Option<Vec<u8>>> {
        let number = Some(stored.number);
        match self.documents.get(&[stored.hash]).await {
            Ok(found) => match found.into_iter().next().flatten() {
                Some(bytes) => Ok(Some(bytes.to_vec())),
                None => {
                    let detail = format!("Hashtable has no record {}", stored.hash);
                    self.find("F-MISSING", number, detail);
                    Ok(None)
                }
            },
            Err(Kept::Damaged(name)) => {
                self.find("F-DAMAGED", number, format!("Hashtable's copy of {name} is damaged"));
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn record(&mut self, number: u64, bytes: &[u8]) -> anyhow::Result<()> {
        let (record, request) = match Leaf::parse(bytes, self.domain) {
            Ok(Leaf::Record(entry)) => (entry.record, entry.request),
            Ok(_) => {
                self.find("F-RECORD", Some(number), "it is another document than a record");
                return Ok(());
            }
            Err(error) => {
                self.find("F-RECORD", Some(number), format!("it cannot be read: {error}"));
                return Ok(());
            }
        };
        if record.number != number {
            let detail = format!("the record says that it is {}", record.number);
            self.find("F-NUMBER", Some(number), detail);
        }
        if Some(record.time) < self.books.time {
            self.find("F-TIME", Some(number), "its time is before that of the record before it");
        }
        let again = request.and_then(|request| clear(&request, number, record.time, &self.books));
        match again {
            Ok(Cleared::Now(again)) if again.bytes == bytes => {}
            Ok(Cleared::Now(_)) => {
                self.find(
                    "F-RECORD",
                    Some(number),
                    "its outputs are not those that clearing gives",
                );
            }
            Ok(Cleared::Before(at)) => {
                let detail = format!("its IOUs have cleared before, as record {}", at.number);
                self.find("F-TWICE", Some(number), detail);
            }
            Err(rejection) => {
                self.find("F-RECORD", Some(number), format!("it does not clear: {rejection}"));
            }
        }
        let loaded = self.graph.load(&[], &record.inputs).await?;
        for iou in &record.inputs {
            if loaded.ious.get(iou).is_none_or(|at| at.number != number) {
                let detail = format!("Graphstore does not know that IOU {iou} is in this record");
                self.find("F-IOU", Some(number), detail);
            }
        }
        self.books.apply(&record);
        Ok(())
    }

    /// Every account and every output of its chain.
    async fn accounts(&mut self) -> anyhow::Result<()> {
        let mut ids: Vec<AccountId> = self.books.accounts.keys().copied().collect();
        ids.sort_unstable();
        for ids in ids.chunks(PAGE) {
            let loaded = self.graph.load(ids, &[]).await?;
            for id in ids {
                let chain = self.chain(*id).await?;
                let Some(line) = self.books.accounts.get(id) else { continue };
                let right = loaded.accounts.get(id) == Some(&line.account);
                let whole = chain == (line.outputs, line.sum);
                if right && whole {
                    continue;
                }
                let (last, output) = (line.number, line.account.output);
                let number = Some(self.first_other(*id, output).await?.unwrap_or(last));
                if !right {
                    let detail =
                        format!("Graphstore's balance or current output of {id} is another");
                    self.find("F-HEAD", number, detail);
                }
                if !whole {
                    let detail = format!("Graphstore's chain of outputs of {id} is another");
                    self.find("F-CHAIN", number, detail);
                }
            }
        }
        Ok(())
    }

    /// Every open lock, and that the two who may use it find it and no other.
    async fn locks(&mut self) -> anyhow::Result<()> {
        let locks: Vec<(Pointer, Lock)> =
            self.books.locks.iter().map(|(pointer, lock)| (*pointer, lock.clone())).collect();
        for locks in locks.chunks(PAGE) {
            let pointers: Vec<Pointer> = locks.iter().map(|(pointer, _)| *pointer).collect();
            let found = self.graph.locks(&pointers).await?;
            for (pointer, lock) in locks.iter().filter(|(at, lock)| found.get(at) != Some(lock)) {
                let detail = format!("Graphstore has another lock, or none, at {pointer}: {lock}");
                let number = self.number_of(pointer).await?;
                self.find("F-LOCK", number, detail);
            }
        }
        let mut of: BTreeMap<AccountId, Vec<(Pointer, Lock)>> = BTreeMap::new();
        for (pointer, lock) in locks {
            for address in [lock.account.address, lock.source] {
                let id = AccountId { unit: lock.account.unit, address };
                of.entry(id).or_default().push((pointer, lock.clone()));
            }
        }
        // Those who have none, too: what was used must be gone.
        let ids = self.books.accounts.keys().copied().chain(of.keys().copied());
        for id in ids.collect::<BTreeSet<_>>() {
            let (mut listed, mut after) = (Vec::new(), None);
            loop {
                let page = self.graph.locks_of(id, after, PAGE as u32).await?;
                after = page.last().map(|(pointer, _)| *pointer);
                if page.is_empty() {
                    break;
                }
                listed.extend(page);
            }
            let ours = of.remove(&id).unwrap_or_default();
            if listed != ours {
                let mut numbers = Vec::new();
                for pointer in others(ours, listed) {
                    numbers.extend(self.number_of(&pointer).await?);
                }
                let detail = format!("Graphstore lists other open locks of {id}");
                self.find("F-LOCK", numbers.into_iter().min(), detail);
            }
        }
        Ok(())
    }

    /// What Graphstore says that each unit comes to, and its list of holders.
    async fn units(&mut self) -> anyhow::Result<()> {
        let mut units: BTreeMap<Address, (Unit, Vec<(Address, Balance)>)> = BTreeMap::new();
        let nothing = || Unit { supply: Amount::zero(), totals: Totals::default() };
        for (id, line) in &self.books.accounts {
            let (unit, holders) = units.entry(id.unit).or_insert_with(|| (nothing(), Vec::new()));
            let balance = &line.account.balance;
            unit.totals.accounts += 1;
            match &balance.min {
                Some(min) if !id.is_issuer() => {
                    unit.totals.credit = unit.totals.credit.minus(min);
                }
                _ => unit.supply = balance.net.negated(),
            }
            holders.push((id.address, balance.clone()));
        }
        for lock in self.books.locks.values() {
            let (unit, _) =
                units.entry(lock.account.unit).or_insert_with(|| (nothing(), Vec::new()));
            unit.totals.locked = unit.totals.locked.plus(&lock.amount);
        }
        for (address, (unit, mut holders)) in units {
            let told = self.graph.unit(address).await?;
            if told != unit {
                let detail = format!("Graphstore says {told:?} of {address}, and it is {unit:?}");
                self.find("F-UNIT", None, detail);
            }
            holders.sort_unstable_by_key(|(address, _)| *address);
            if self.holders(address).await? != holders {
                let detail = format!("Graphstore lists other holders of {address}");
                self.find("F-UNIT", None, detail);
            }
        }
        Ok(())
    }

    async fn holders(&self, unit: Address) -> anyhow::Result<Vec<(Address, Balance)>> {
        let (mut listed, mut after) = (Vec::new(), None);
        loop {
            let page = self.graph.holders(unit, after, 0, PAGE as u32).await?;
            let Some((last, _)) = page.last() else { return Ok(listed) };
            after = Some(*last);
            listed.extend(page);
        }
    }

    /// How many outputs an account has in Graphstore, and their sum.
    async fn chain(&self, id: AccountId) -> anyhow::Result<(u64, u128)> {
        let (mut count, mut sum) = (0, 0u128);
        let add = |_, mark| {
            count += 1;
            sum = sum.wrapping_add(mark);
        };
        self.outputs(id, add).await?;
        Ok((count, sum))
    }

    /// The number and mark of every output that an account has in Graphstore.
    async fn outputs(&self, id: AccountId, mut each: impl FnMut(u64, u128)) -> anyhow::Result<()> {
        let mut before = 0;
        loop {
            let page = Page { before, skip: 0, limit: PAGE as u32 };
            let outputs = self.graph.outputs(id, page).await?;
            let Some(last) = outputs.last() else { return Ok(()) };
            before = last.number;
            for Placed { pointer, output, number } in &outputs {
                each(*number, mark(pointer, *number, output));
            }
        }
    }

    /// The first record of whose output of an account Graphstore's chain has not, or has
    /// another; or in which it has one that no record made. The records are followed from the
    /// account's last output back: it is asked where something is wrong, and not otherwise.
    async fn first_other(&self, id: AccountId, last: Pointer) -> anyhow::Result<Option<u64>> {
        let (mut held, mut first) = (BTreeMap::new(), None);
        let mut hold = |number, mark| {
            held.insert(number, mark);
        };
        self.outputs(id, &mut hold).await?;
        let mut next = Some(last);
        while let Some(pointer) = next {
            // Behind one that cannot be read nothing is known.
            let Some(record) = self.named(pointer.record).await? else { return Ok(first) };
            let output = record.outputs.get(pointer.index as usize);
            let Some(output) = output.filter(|output| output.account == id) else {
                return Ok(first);
            };
            let number = record.number;
            if held.remove(&number) != Some(mark(&pointer, number, output)) {
                first = Some(number);
            }
            next = record.spent(output);
        }
        Ok(first.into_iter().chain(held.into_keys()).min())
    }

    /// The record of this name, as Hashtable has it, or else Graphstore.
    async fn named(&self, name: Hash) -> anyhow::Result<Option<Record>> {
        let kept = match self.documents.get(&[name]).await {
            Ok(found) => found.into_iter().next().flatten(),
            Err(Kept::Damaged(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let bytes = match kept {
            Some(bytes) => bytes.to_vec(),
            None => self.graph.named(name).await?.map_or_else(Vec::new, |stored| stored.bytes),
        };
        Ok(Record::parse(&bytes).ok().filter(|record| record.hash == name))
    }

    /// The number of the record that made a lock.
    async fn number_of(&self, lock: &Pointer) -> anyhow::Result<Option<u64>> {
        Ok(self.graph.named(lock.record).await?.map(|stored| stored.number))
    }

    /// That the published log is what a server goes on from: of these records, of the blocks
    /// that Graphstore knows, not far behind them, and signed with the key that is here.
    async fn log(&mut self, log: &OnDisk, intent: Option<u64>) -> anyhow::Result<()> {
        let Some(intent) = intent else { return self.unknown(log).await };
        if !log.key.exists() {
            let detail = format!(
                "the log key {} is missing: put it back; a new one signs another log",
                log.key.display()
            );
            self.find("F-LOG", None, detail);
        }
        let checkpoint = log.folder.join("checkpoint");
        let end = match checkpoint.exists() {
            false => None,
            true => match self.follow(&log.folder).await? {
                Ok(end) => Some(end),
                Err(why) => {
                    self.find("F-LOG", None, why);
                    return Ok(());
                }
            },
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
            let randomness = Arc::new(|| rand::rng().random());
            let detail = match LogKey::read(&log.key, self.domain, randomness) {
                Err(why) => why.to_string(),
                // That it is missing has been said.
                Ok(None) => return Ok(()),
                Ok(Some(key)) if key.has(&newest) => return Ok(()),
                Ok(Some(_)) => format!(
                    "the log key {} is not the log's newest, {newest}: put that one back; or the newest checkpoint, if this one is older",
                    log.key.display()
                ),
            };
            self.find("F-LOG", None, detail);
        }
        Ok(())
    }

    /// A log of which Graphstore knows no block.
    async fn unknown(&mut self, log: &OnDisk) -> anyhow::Result<()> {
        if !log.folder.join("checkpoint").exists() {
            if let Some(why) = LogFolder::beginning_lost(&log.folder)? {
                self.find("F-LOG", None, why);
            }
        } else if let Err(why) = self.follow(&log.folder).await? {
            self.find("F-LOG", None, why);
        }
        Ok(())
    }

    /// Reads the log to its end, and holds it against the stores. What is wrong with its
    /// files, and what to do.
    async fn follow(&mut self, folder: &Path) -> anyhow::Result<Result<End, String>> {
        let damaged = |why: String| {
            Ok(Err(format!("the log's files are damaged: {why}; run `webwallet rebuild log`")))
        };
        let (log, note) = match (LogFolder::open(folder), file::read(&folder.join("checkpoint"))) {
            (Ok(log), Ok(note)) if log.checkpoint().origin == self.domain => (log, note),
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
                Leaf::parse(&bytes, self.domain).map_err(|why| format!("leaf {index}: {why}"))
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
                    let intent = self.graph.intents(height, 1).await?.into_iter().next();
                    if intent
                        .is_none_or(|intent| intent.height != height || intent.block != block.bytes)
                    {
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
        leaves.push(AtHeight { block: block.hash, documents }.document(self.domain, height));
        let names: Vec<Hash> = leaves.iter().map(|(name, _)| *name).collect();
        let found = match self.documents.get(&names).await {
            Err(Kept::Damaged(name)) => {
                let detail = format!("Hashtable's copy of {name}, of block {height}, is damaged");
                self.find("F-DAMAGED", None, detail);
                return Ok(());
            }
            found => found?,
        };
        let is_other = |(found, (_, bytes)): (&Option<Bytes>, &(Hash, Vec<u8>))| {
            found.as_ref().is_some_and(|found| found != bytes)
        };
        if found.iter().zip(&leaves).any(is_other) {
            let detail = format!("Hashtable has another than the log as block {height}: {OTHER}");
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
        let heights = first..first + PAGE as u64;
        let names: Vec<Hash> = heights.map(|at| AtHeight::name(self.domain, at)).collect();
        let found = match self.documents.get(&names).await {
            Err(Kept::Damaged(name)) => {
                self.find("F-DAMAGED", None, format!("Hashtable's copy of {name} is damaged"));
                return Ok(());
            }
            found => found?,
        };
        for (height, entry) in (first..).zip(found) {
            let Some(entry) = entry else { continue };
            let intent = self.graph.intents(height, 1).await?.into_iter().next();
            let intent = intent.filter(|intent| intent.height == height);
            let is_of = |intent: &Intent| {
                let name = document::name(&intent.block);
                AtHeight::parse(&entry).is_ok_and(|entry| name == Ok(entry.block))
            };
            match intent {
                Some(intent) if is_of(&intent) => {}
                Some(_) => {
                    let detail =
                        format!("Hashtable has another block {height} than Graphstore: {OTHER}");
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

    /// What everybody holds of a unit, and what is locked, is what its issuer owes.
    fn sums(&mut self) {
        let mut sums: BTreeMap<Address, Amount> = BTreeMap::new();
        for (id, line) in &self.books.accounts {
            let sum = sums.entry(id.unit).or_insert_with(Amount::zero);
            *sum = sum.plus(&line.account.balance.net);
        }
        for lock in self.books.locks.values() {
            let sum = sums.entry(lock.account.unit).or_insert_with(Amount::zero);
            *sum = sum.plus(&lock.amount);
        }
        for (unit, sum) in sums.into_iter().filter(|(_, sum)| *sum != Amount::zero()) {
            self.find("F-SUM", None, format!("the balances in {unit} sum to {sum}, not to 0"));
        }
    }
}
