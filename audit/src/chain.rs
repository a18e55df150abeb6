//! The documents of a log held against one another: their order, what blocks
//! and stacks say of what stands before them, numbers, keys and times.
//!
//! Everything here follows from the documents alone; what records mean is for
//! [`crate::replay`].

use webwallet_ledger::block::{Block, Genesis, Keys, Stack};
use webwallet_ledger::checkpoint::Checkpoint;
use webwallet_ledger::hash::Hash;
use webwallet_ledger::leaf::Kind;
use webwallet_ledger::merkle::{Node, Range, Sha3, TreeHash};
use webwallet_ledger::note::{SignatureLine, VerifierKey};
use webwallet_ledger::time::Time;

use crate::finding::{Code, Finding, Findings, Place};
use crate::read::kind_name;
use crate::trust::Trust;

/// How far a block may be ahead of the auditor's clock.
const AHEAD_MS: i64 = 5 * 60 * 1_000;

/// How far the block that is open has come: leaves of later rows follow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// Nothing of it was read.
    Begun,
    Stack,
    Keys,
    Records,
    /// It holds the genesis: nothing more may come but its block.
    Genesis,
}

/// What block `h` must say, gathered since block `h - 1`.
struct Open {
    step: Step,
    /// Index of its first leaf, which is the size of the checkpoint before.
    first: u64,
    leaves: u64,
    records: u64,
    root: Range<Sha3>,
    /// Root of the log at size `first`.
    log: Node,
    /// The key that signed the checkpoint of that size.
    signer: VerifierKey,
    stacked: bool,
    /// Time of its change of keys.
    keys: Option<Time>,
    /// Time of its last record.
    time: Option<Time>,
}

impl Open {
    fn new(first: u64, log: Node, signer: VerifierKey) -> Open {
        let (step, root) = (Step::Begun, Range::new());
        Open {
            step,
            first,
            leaves: 0,
            records: 0,
            root,
            log,
            signer,
            stacked: false,
            keys: None,
            time: None,
        }
    }
}

/// The log as far as it was read.
pub(crate) struct Chain<'a> {
    domain: &'a str,
    now: Time,
    /// Whether times are looked at.
    times: bool,
    pub trust: Trust,
    genesis: Option<(Hash, Time)>,
    open: Open,
    /// Block documents read.
    pub blocks: u64,
    /// Records read, and leaves that nobody can read.
    pub records: u64,
    /// Number of the last record, as it says.
    number: u64,
    /// Of the last record.
    time: Option<Time>,
    /// Name of the last block.
    pub head: Option<Hash>,
    /// Of the last block that could be read.
    pub block_time: Option<Time>,
    stacks: u64,
    last_stack: Option<Hash>,
    /// Height of the first block that is in no stack.
    unstacked: u64,
    unstacked_root: Range<Sha3>,
}

/// Takes the findings at one leaf.
struct At<'f> {
    place: Place,
    found: &'f mut Findings,
}

impl At<'_> {
    fn note(&mut self, code: Code, field: &str, expected: impl ToString, actual: impl ToString) {
        self.found.leaf(Finding::at(self.place, code, field, expected, actual));
    }

    /// The field of a document is what follows from what stands before it.
    fn same<T: PartialEq + ToString>(&mut self, field: &str, expected: T, actual: T) {
        if expected != actual {
            self.note(Code::Header, field, expected, actual);
        }
    }
}

impl<'a> Chain<'a> {
    pub fn new(domain: &'a str, now: Time, times: bool, trust: Trust, empty: Node) -> Chain<'a> {
        Chain {
            domain,
            now,
            times,
            genesis: None,
            open: Open::new(0, empty, trust.current().clone()),
            blocks: 0,
            records: 0,
            number: 0,
            time: None,
            head: None,
            block_time: None,
            stacks: 0,
            last_stack: None,
            unstacked: 0,
            unstacked_root: Range::new(),
            trust,
        }
    }

    /// Where a leaf of this kind stands.
    pub fn place(&self, leaf: u64, kind: Option<Kind>) -> Place {
        let counts = matches!(kind, Some(Kind::Record) | None);
        Place { leaf, block: self.blocks, number: self.records + u64::from(counts) }
    }

    /// A leaf of this kind comes: is it its turn?
    pub fn order(&mut self, place: Place, kind: Option<Kind>, found: &mut Findings) {
        let step = self.open.step;
        let (fits, next) = match kind {
            Some(Kind::Genesis) => (place.leaf == 0, Step::Genesis),
            // Block 0 holds the genesis and nothing else.
            Some(Kind::Block) => (self.blocks > 0 || step == Step::Genesis, step),
            None if place.leaf == 0 => (true, Step::Genesis),
            None => (true, step.max(Step::Records)),
            _ if self.blocks == 0 => (false, step),
            Some(Kind::Stack) => (step < Step::Stack, Step::Stack),
            Some(Kind::Keys) => (step < Step::Keys, Step::Keys),
            Some(Kind::Record) => (step <= Step::Records, Step::Records),
        };
        if !fits {
            let expected = match (place.leaf, self.blocks) {
                (0, _) => "the genesis",
                (_, 0) => "block 0",
                _ => "stack, keys, records, block in this order",
            };
            At { place, found }.note(Code::Header, "data.kind", expected, kind_name(kind));
            return;
        }
        self.open.step = next;
    }

    /// A leaf that is not a block document is part of the open block.
    pub fn hold(&mut self, kind: Option<Kind>, inside: Node) {
        self.open.leaves += 1;
        self.open.root.push(inside);
        match kind {
            Some(Kind::Record) => {
                self.open.records += 1;
                self.records += 1;
            }
            None => self.records += 1,
            Some(_) => {}
        }
    }

    pub fn genesis(&mut self, place: Place, genesis: &Genesis, found: &mut Findings) {
        At { place, found }.same("data.key", self.domain, &genesis.key.name);
        // Anywhere else it begins nothing, whatever stands in its place.
        if place.leaf == 0 {
            self.genesis = Some((genesis.hash, genesis.time));
            // A key of another log is none that this one could hand on.
            if genesis.key.name == self.domain {
                self.trust.begin(&genesis.key);
                self.open.signer = genesis.key.clone();
            }
        }
    }

    pub fn keys(&mut self, place: Place, keys: &Keys, found: &mut Findings) {
        let mut at = At { place, found };
        if keys.old != *self.trust.current() {
            at.note(Code::Keys, "data.old", self.trust.current(), &keys.old);
        }
        if keys.new.name != self.domain {
            at.note(Code::Keys, "data.new", self.domain, &keys.new);
        }
        if keys.new == keys.old {
            at.note(Code::Keys, "data.new", "another key than data.old", &keys.new);
        }
        if !keys.verify() {
            let expected = "signatures of this document by data.old and data.new";
            at.note(Code::Keys, "meta.signatures", expected, keys.signatures.join(", "));
        }
        // One that is dated before a theft would excuse what the thief signed.
        if let Some(before) = self.block_time.filter(|before| self.times && keys.time < *before) {
            at.note(Code::Time, "data.time", format!("{before} or later"), keys.time);
        }
        self.open.keys = Some(keys.time);
        self.trust.meet(&keys.old);
        self.trust.follow(&keys.new);
    }

    pub fn stack(&mut self, place: Place, stack: &Stack, found: &mut Findings) {
        let mut at = At { place, found };
        at.same("data.height", self.stacks, stack.height);
        if let Some(time) = self.block_time {
            at.same("data.time", time, stack.time);
        }
        if let Some(previous) = self.last_stack.or(self.genesis.map(|(hash, _)| hash)) {
            at.same("data.previous", previous, stack.previous);
        }
        at.same("data.first", self.unstacked, stack.first);
        at.same("data.blocks", self.blocks - self.unstacked, stack.blocks);
        let root = std::mem::take(&mut self.unstacked_root).root();
        at.same("data.root", Hash(root), Hash(stack.root));
        (self.stacks, self.last_stack) = (stack.height.saturating_add(1), Some(stack.hash));
        self.unstacked = self.blocks;
        self.open.stacked = true;
    }

    /// The number and time of a record.
    pub fn record(&mut self, place: Place, number: u64, time: Time, found: &mut Findings) {
        let mut at = At { place, found };
        let expected = self.number.saturating_add(1);
        if number != expected {
            at.note(Code::Gap, "data.number", expected, number);
        }
        let earliest = self.time.max(self.block_time);
        if let Some(earliest) = earliest.filter(|earliest| self.times && time < *earliest) {
            at.note(Code::Time, "data.time", format!("{earliest} or later"), time);
        }
        (self.number, self.time, self.open.time) = (number, Some(time), Some(time));
    }

    pub fn block(&mut self, place: Place, block: &Block, found: &mut Findings) {
        let header = &block.header;
        let mut at = At { place, found };
        at.same("data.height", self.blocks, header.height);
        let before = self.head.or(self.genesis.map(|(hash, _)| hash));
        if let Some(previous) = before {
            at.same("data.previous", previous, header.previous);
        }
        at.same("data.first", self.open.first, header.first);
        at.same("data.leaves", self.open.leaves, header.leaves);
        at.same("data.records", self.open.records, header.records);
        at.same("data.cleared", self.number, header.cleared);
        at.same("data.root", Hash(self.open.root.root()), Hash(header.root));
        // Of damaged tiles no other root can be expected.
        if at.found.tiles_are_good() {
            at.same("data.log", Hash(self.open.log), Hash(header.log));
            self.block_signature(&mut at, &header.signature);
        }
        self.block_time(&mut at, header.time);
        self.close(place, Some(block.hash));
        self.block_time = Some(header.time);
    }

    /// The block holds the log's signature on the checkpoint before it.
    fn block_signature(&self, at: &mut At<'_>, line: &str) {
        let (first, log) = (self.open.first, self.open.log);
        let text = Checkpoint { origin: self.domain.into(), size: first, root: log }.text();
        let key = &self.open.signer;
        if !SignatureLine::parse(line).is_ok_and(|line| key.verify(&text, &line)) {
            let expected = format!("the line of {key} on the checkpoint of size {first}");
            at.note(Code::Header, "data.signature", expected, line);
        }
    }

    fn block_time(&self, at: &mut At<'_>, time: Time) {
        let genesis = self.genesis.map(|(_, time)| time).filter(|_| self.blocks == 0);
        if let Some(expected) = genesis.or(self.open.time) {
            at.same("data.time", expected, time);
        }
        let before = self.block_time.filter(|_| self.blocks > 0);
        if before.is_some_and(|before| before.day() < time.day()) && !self.open.stacked {
            let expected = "a stack as first leaf, because a new day begins";
            at.note(Code::Header, "data.leaves", expected, "no stack");
        }
        if !self.times {
            return;
        }
        if let Some(before) = before.filter(|before| time < *before) {
            at.note(Code::Time, "data.time", format!("{before} or later"), time);
        }
        if let Some(keys) = self.open.keys.filter(|keys| time < *keys) {
            let expected = format!("{keys} or later, when its keys changed");
            at.note(Code::Time, "data.time", expected, time);
        }
        let latest = Time::from_unix_ms(self.now.unix_ms().saturating_add(AHEAD_MS));
        if time > latest {
            at.note(Code::Time, "data.time", format!("{latest} or earlier"), time);
        }
    }

    /// A block document ends its block, even one that cannot be read.
    pub fn close(&mut self, place: Place, name: Option<Hash>) {
        self.blocks += 1;
        self.head = name;
        self.unstacked_root.push(Sha3::leaf(&name.unwrap_or(Hash([0; 32])).0));
        let signer = self.trust.current().clone();
        // The root is set when the leaf itself is in the tree.
        self.open = Open::new(place.leaf + 1, [0; 32], signer);
    }

    /// The root of the log up to and with the last block document.
    pub fn sealed(&mut self, log: Node) {
        self.open.log = log;
    }
}
