//! `webwallet fsck`: are the three stores whole, and do they say the same?
//!
//! Every record is read from both stores and cleared once more by the rules; what
//! Graphstore holds of accounts, chains and IOUs must be what comes out. It reads
//! only. A data directory is locked by its server, which must be stopped; beside
//! one on Redis and Neo4j it may run. What is compared with how things stand is compared
//! between two records: where more clear than that leaves room for, nothing is said of it.
//!
//! Signatures are not checked again: that is what the audit of the log is for.

mod books;
mod graph;
mod log;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use anyhow::ensure;
use bytes::Bytes;
use serde::Serialize;
use webwallet_graphstore::Store as Graph;
use webwallet_graphstore::store::Stored;
use webwallet_hashtable::{Error as Kept, Store as Documents};
use webwallet_ledger::Hash;
use webwallet_ledger::clear::{Cleared, clear};
use webwallet_ledger::leaf::Leaf;

use self::books::Books;
use crate::config::Config;
use crate::engine;

/// Records and accounts asked for at a time.
const PAGE: usize = 500;
/// Findings of one code that are told; more of them are counted.
const TOLD_MAX: u64 = 20;
/// How often it is tried to compare what Graphstore holds while nothing clears.
const COMPARED_MAX: u32 = 5;

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
    /// Records that are in no block and not in Hashtable yet: those that have just cleared, or had
    /// when a server was killed. It puts them there, at its next start at the latest.
    pub pending: String,
    /// Findings by code, also those not told one by one.
    pub findings: BTreeMap<&'static str, u64>,
}

/// Looks at both stores and at the log, and tells every finding as it comes.
///
/// # Errors
/// A store does not answer.
pub async fn check(
    config: &Config,
    graph: &impl Graph,
    documents: &impl Documents,
    mut tell: impl FnMut(&Finding) -> anyhow::Result<()>,
) -> anyhow::Result<Summary> {
    let mut check = Check {
        config,
        graph,
        documents,
        books: Books::default(),
        names: BTreeMap::new(),
        sealed: None,
        late: Vec::new(),
        counts: BTreeMap::new(),
        untold: Vec::new(),
    };
    for fault in graph.faults().await? {
        check.find("F-ENGINE", None, fault);
    }
    let (mut head, domain) = (graph.head().await?, &config.domain);
    check.sealed = sealed(config, head.intent);
    if let Some(theirs) = head.domain.as_ref().filter(|theirs| *theirs != domain) {
        let detail = format!("Graphstore holds the records of {theirs:?}, not of {domain:?}");
        check.find("F-DOMAIN", None, detail);
    }
    let (mut read, mut tries) = (0, 0);
    loop {
        for first in (read + 1..=head.number).step_by(PAGE) {
            let last = head.number.min(first + PAGE as u64 - 1);
            check.records(first..=last).await?;
            check.untold.drain(..).try_for_each(|finding| tell(&finding))?;
        }
        check.untold.drain(..).try_for_each(|finding| tell(&finding))?;
        read = head.number;
        let before = check.counts.clone();
        check.accounts().await?;
        check.locks().await?;
        check.units().await?;
        head = graph.head().await?;
        if head.number <= read {
            break;
        }
        // What cleared meanwhile is no damage.
        (check.counts, tries) = (before, tries + 1);
        check.untold.clear();
        ensure!(
            tries < COMPARED_MAX,
            "records clear faster than accounts are compared: {} since record {read}; stop the server, or look while less is paid; the records themselves {}",
            head.number - read,
            if check.counts.is_empty() { "are sound" } else { "are not, as said above" }
        );
    }
    for (unit, sum) in check.books.sums().into_iter().filter(|(_, sum)| !sum.is_zero()) {
        check.find("F-SUM", None, format!("the balances in {unit} sum to {sum}, not to 0"));
    }
    let pending = check.look_again(head.intent).await?;
    check.log(head.intent).await?;
    let highest = documents.highest().await?;
    // Asked for again: a server may have cleared meanwhile.
    let last = graph.head().await?.number;
    if highest > last {
        let detail = format!(
            "Hashtable has a record beyond Graphstore's last one, {last}: Graphstore is older than it; rebuild it"
        );
        check.find("F-AHEAD", Some(highest), detail);
    }
    check.untold.iter().try_for_each(tell)?;
    Ok(Summary {
        result: if check.counts.is_empty() { "sound" } else { "damaged" },
        records: read.to_string(),
        accounts: check.books.accounts.len().to_string(),
        pending: pending.to_string(),
        findings: check.counts,
    })
}

/// The last record in a published block, if the log says it, or nothing was ever sealed.
fn sealed(config: &Config, intent: Option<u64>) -> Option<u64> {
    match engine::published(&config.data) {
        Ok(Some(log)) => log.last().ok().map(|last| last.header.cleared),
        Ok(None) if intent.is_none() => Some(0),
        _ => None,
    }
}

struct Check<'a, G, D> {
    config: &'a Config,
    graph: &'a G,
    documents: &'a D,
    books: Books,
    /// What Graphstore calls its records.
    names: BTreeMap<u64, Hash>,
    /// See [`sealed`].
    sealed: Option<u64>,
    /// Records beyond it that Hashtable did not have.
    late: Vec<(u64, Hash)>,
    /// Findings by code.
    counts: BTreeMap<&'static str, u64>,
    /// Those to be told next.
    untold: Vec<Finding>,
}

impl<G: Graph, D: Documents> Check<'_, G, D> {
    fn find(&mut self, code: &'static str, number: Option<u64>, detail: impl Into<String>) {
        let count = self.counts.entry(code).or_default();
        *count += 1;
        if *count <= TOLD_MAX {
            let number = number.map(|number| number.to_string());
            self.untold.push(Finding { code, number, detail: detail.into() });
        }
    }

    async fn records(&mut self, numbers: RangeInclusive<u64>) -> anyhow::Result<()> {
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
                    stored.bytes.into()
                }
            };
            self.record(number, &bytes).await?;
        }
        self.numbers(numbers, &kept_names).await
    }

    /// That Hashtable finds the records that it has by their numbers, too.
    async fn numbers(
        &mut self,
        numbers: RangeInclusive<u64>,
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
    async fn kept(&mut self, stored: &Stored) -> anyhow::Result<Option<Bytes>> {
        let number = Some(stored.number);
        let Some(found) = self.get(&[stored.hash], number, "").await? else { return Ok(None) };
        let kept = found.into_iter().next().flatten();
        let is_sealed = self.sealed.is_none_or(|sealed| stored.number <= sealed);
        if kept.is_none() && (is_sealed || stored.bytes.is_empty()) {
            let detail = format!("Hashtable has no record {}", stored.hash);
            self.find("F-MISSING", number, detail);
        } else if kept.is_none() {
            // Graphstore has it, from where each start of Blockstack takes what is not sealed.
            self.late.push((stored.number, stored.hash));
        }
        Ok(kept)
    }

    /// How many records are still in no block and not in Hashtable. What was sealed meanwhile
    /// must be there.
    async fn look_again(&mut self, intent: Option<u64>) -> anyhow::Result<u64> {
        let (late, mut pending) = (std::mem::take(&mut self.late), 0);
        self.sealed = sealed(self.config, intent);
        for (number, hash) in late {
            let found = self.get(&[hash], Some(number), "").await?;
            match found.map(|found| found.into_iter().next().flatten()) {
                Some(None) if self.sealed.is_some_and(|sealed| number > sealed) => pending += 1,
                Some(None) => {
                    let detail = format!("Hashtable has no record {hash}");
                    self.find("F-MISSING", Some(number), detail);
                }
                _ => {}
            }
        }
        Ok(pending)
    }

    /// What Hashtable has of these documents of a record or, as said, a block; none if one of
    /// them is damaged.
    async fn get(
        &mut self,
        names: &[Hash],
        number: Option<u64>,
        of: &str,
    ) -> anyhow::Result<Option<Vec<Option<Bytes>>>> {
        match self.documents.get(names).await {
            Err(Kept::Damaged(name)) => {
                let detail = format!("Hashtable's copy of {name}{of} is damaged");
                self.find("F-DAMAGED", number, detail);
                Ok(None)
            }
            found => Ok(Some(found?)),
        }
    }

    async fn record(&mut self, number: u64, bytes: &[u8]) -> anyhow::Result<()> {
        let (record, request) = match Leaf::parse(bytes, &self.config.domain) {
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
}
