//! One audit, from the checkpoint to the verdict.

use std::fmt::Display;
use std::num::NonZero;
use std::thread;

use webwallet_ledger::checkpoint::Checkpoint;
use webwallet_ledger::hash::Hash;
use webwallet_ledger::leaf::{Fault, Kind, Leaf};
use webwallet_ledger::merkle::{Sha256, TreeHash};
use webwallet_ledger::note::{Note, VerifierKey};
use webwallet_ledger::rejection::Rejection;
use webwallet_ledger::signature::Keys;
use webwallet_ledger::tile::TILE_WIDTH;
use webwallet_ledger::time::Time;

use crate::chain::Chain;
use crate::finding::{Code, Finding, Findings, Place};
use crate::read::{Bundle, Content, Read, Reader, TileFault, kind_name};
use crate::replay::{Replay, dotted};
use crate::source::{Source, SourceError};
use crate::tree::Tree;
use crate::trust::{Trust, read_checkpoint};
use crate::workers;

/// Keys of signers that are remembered, at about 300 bytes each.
const SIGNERS: usize = 1 << 16;
/// Requests on their way to a server at the same time: it answers them from
/// far away, while the processors have nothing to do.
const REMOTE_THREADS: usize = 8;
/// Bundles missing one after the other until reading stops: a checkpoint can
/// claim more leaves than anybody will ever read.
const MISSING_MAX: u32 = 1_000;

/// What is asked about a log.
#[derive(Clone, Debug)]
pub struct Audit {
    /// A key of the log that the caller knows from elsewhere.
    pub key: VerifierKey,
    /// The log's origin.
    pub domain: String,
    /// A checkpoint seen before, a whole note: the log must extend it, and
    /// signatures before it are not verified again.
    pub from: Option<Vec<u8>>,
    /// Notes, tiles, order, hashes and numbers only; nothing of what records mean.
    pub structure: bool,
    /// How old the last block may be, in milliseconds.
    pub max_age_ms: Option<i64>,
    /// The auditor's time.
    pub now: Time,
}

/// How far an audit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Leaves done.
    pub leaves: u64,
    /// Leaves of the log.
    pub size: u64,
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// In their order; none if the log is accepted.
    pub findings: Vec<Finding>,
    /// Findings beyond those that are listed.
    pub unlisted: u64,
    /// Leaves that were not read: so much was missing or wrong before them.
    pub unread: u64,
    /// Leaves that the checkpoint speaks for.
    pub size: u64,
    /// Block documents read.
    pub blocks: u64,
    /// Records read.
    pub records: u64,
    /// Name of the last block.
    pub head: Option<Hash>,
    /// Why the rest could not be read, of a log in which something was found before.
    pub failure: Option<String>,
}

impl Report {
    /// Is nothing wrong?
    pub fn is_accepted(&self) -> bool {
        self.findings.is_empty()
    }
}

impl Audit {
    /// Reads the whole log. `progress` is called now and then.
    ///
    /// # Errors
    /// [`SourceError`] when the log cannot be read, and nothing is wrong in what was. Whatever
    /// is wrong *in* it is a finding: a host that is found out must not get out of it by
    /// answering no more.
    pub fn run(
        &self,
        source: &Source,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Report, SourceError> {
        let note = source.checkpoint()?;
        let mut found = Findings::default();
        let (note, checkpoint) = match read_checkpoint(&note, &self.domain) {
            Ok(read) => read,
            Err(error) => return Ok(unread(no_checkpoint("checkpoint", &error))),
        };
        if self.key.name != self.domain {
            let key = self.key.to_string();
            found.whole(Finding::whole(Code::Note, "key", &self.domain, &key));
        }
        let from = match self.from.as_deref().map(|from| read_checkpoint(from, &self.domain)) {
            Some(Err(error)) => {
                // The log itself may still be read.
                found.whole(no_checkpoint("from", &error));
                None
            }
            from => from.and_then(Result::ok),
        };
        let (from_note, from) = from.unzip();
        let from_note = from_note.zip(from.as_ref()).map(|(note, from)| (from.size, note));
        let size = checkpoint.size;
        let reader = Reader {
            source,
            size,
            domain: &self.domain,
            structure: self.structure,
            known: from.as_ref().map_or(0, |from| from.size),
            keys: Keys::new(SIGNERS),
        };
        let trust = Trust::new(self.key.clone(), from_note);
        let empty = Sha256::empty();
        let mut log = Log {
            source,
            chain: Chain::new(&self.domain, self.now, !self.structure, trust, empty),
            tree: Tree::new(size),
            replay: (!self.structure).then(Replay::new),
            from,
            rewritten: None,
            missing: 0,
            hidden: false,
            last: None,
            last_block: None,
            found,
        };
        log.look_back();
        let bundles = size.div_ceil(TILE_WIDTH.into());
        let read = workers::each_bundle(&reader, bundles, threads(source), |bundle| {
            let go_on = log.bundle(bundle)?;
            progress(Progress { leaves: log.tree.leaves(), size });
            Ok(go_on)
        });
        let report = log.finish(self, &note, size, &checkpoint.root);
        match read {
            Err(error) if report.is_accepted() => Err(error),
            read => Ok(Report { failure: read.err().map(|error| error.to_string()), ..report }),
        }
    }
}

fn no_checkpoint(field: &str, error: &impl Display) -> Finding {
    Finding::whole(Code::Note, field, "a checkpoint of this log", &error.to_string())
}

/// The report on a log of which not even the head could be read.
fn unread(finding: Finding) -> Report {
    Report {
        findings: vec![finding],
        unlisted: 0,
        unread: 0,
        size: 0,
        blocks: 0,
        records: 0,
        head: None,
        failure: None,
    }
}

fn threads(source: &Source) -> usize {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    if source.is_remote() { processors.max(REMOTE_THREADS) } else { processors }
}

/// The log as it is taken in, leaf by leaf.
struct Log<'a> {
    source: &'a Source,
    chain: Chain<'a>,
    tree: Tree,
    replay: Option<Replay>,
    /// The checkpoint seen before.
    from: Option<Checkpoint>,
    /// Whether the root at its size is another, once the log has come to it.
    rewritten: Option<bool>,
    /// Bundles missing up to here, without one in between.
    missing: u32,
    /// Some bundle could not be read: its leaves are known by their hashes alone.
    hidden: bool,
    last: Option<(Place, Option<Kind>)>,
    last_block: Option<Place>,
    found: Findings,
}

impl Log<'_> {
    /// Takes the next bundle; `false` when there is no point in going on.
    fn bundle(&mut self, bundle: Bundle) -> Result<bool, SourceError> {
        let mut faults = bundle.faults;
        faults.sort_by_key(|fault| (fault.offset, fault.rank));
        let damaged = !faults.is_empty();
        let mut faults = faults.into_iter().peekable();
        for (offset, read) in (0_u16..).zip(bundle.leaves) {
            let kind = read.kind();
            let place = self.chain.place(self.tree.leaves(), kind);
            if offset == 0 {
                self.tree.begin(self.source, place, &mut self.found)?;
                if damaged {
                    self.tree.spoil(0);
                }
            }
            while let Some(TileFault { rank, path, detail, .. }) =
                faults.next_if(|fault| fault.offset == offset)
            {
                self.found.tile(rank, Finding::wrong(place, Code::Tile, path, detail));
            }
            self.leaf(place, kind, read);
        }
        self.missing = if bundle.missing { self.missing + 1 } else { 0 };
        self.hidden |= bundle.missing;
        Ok(self.missing < MISSING_MAX && !self.found.are_enough())
    }

    fn leaf(&mut self, place: Place, kind: Option<Kind>, read: Read) {
        self.chain.order(place, kind, &mut self.found);
        match &read.content {
            Content::Missing => {}
            Content::Broken(error) => {
                let code = match error.fault {
                    Fault::Encoding => Code::Encoding,
                    Fault::Hash => Code::Hash,
                    Fault::Header => Code::Header,
                };
                let field = dotted(&error.pointer);
                self.found.leaf(Finding::wrong(place, code, field, &error.detail));
                if kind == Some(Kind::Block) {
                    self.chain.close(place, error.name);
                }
            }
            Content::Outline { number, time } => {
                self.chain.record(place, *number, *time, &mut self.found);
            }
            Content::Leaf(leaf, signatures) => self.document(place, leaf, signatures.as_deref()),
        }
        if kind != Some(Kind::Block) {
            self.chain.hold(kind, read.inside);
        }
        self.tree.push(read.outside, &mut self.found);
        if kind == Some(Kind::Block) {
            self.chain.sealed(self.tree.root());
            self.last_block = Some(place);
        }
        self.look_back();
        self.last = Some((place, kind));
    }

    fn document(&mut self, place: Place, leaf: &Leaf, signatures: Option<&Rejection>) {
        let found = &mut self.found;
        match leaf {
            Leaf::Genesis(genesis) => self.chain.genesis(place, genesis, found),
            Leaf::Keys(keys) => self.chain.keys(place, keys, found),
            Leaf::Stack(stack) => self.chain.stack(place, stack, found),
            Leaf::Record(entry) => {
                self.chain.record(place, entry.record.number, entry.record.time, found);
                if let Some(replay) = &mut self.replay {
                    replay.record(place, entry, signatures, found);
                }
            }
            Leaf::Block(block) => {
                self.chain.block(place, block, found);
                if let Some(replay) = &mut self.replay {
                    replay.block(place, &block.header, found);
                }
            }
        }
    }

    /// At the size of the checkpoint seen before, its root must come out.
    fn look_back(&mut self) {
        let Some(from) = &self.from else { return };
        if self.rewritten.is_none() && from.size == self.tree.leaves() {
            self.rewritten = Some(self.tree.root() != from.root);
            if from.size > 0 {
                self.chain.trust.look_back(from.size);
            }
        }
    }

    fn finish(mut self, audit: &Audit, note: &Note, size: u64, root: &[u8; 32]) -> Report {
        let found = &mut self.found;
        let unread = size - self.tree.leaves();
        self.tree.finish(root, found);
        // Whatever else is damaged: these are the leaves that were signed.
        let proven = unread == 0 && self.tree.root() == *root;
        let (blocks, head) = (self.chain.blocks, self.chain.head);
        let last = self.last.filter(|(_, kind)| *kind != Some(Kind::Block) && unread == 0);
        if let Some((place, kind)) = last {
            let actual = kind_name(kind);
            found.leaf(Finding::at(place, Code::Header, "data.kind", "block", actual));
        }
        if let (Some(max_age), Some(time), Some(place)) =
            (audit.max_age_ms.filter(|_| unread == 0), self.chain.block_time, self.last_block)
        {
            let earliest = Time::from_unix_ms(audit.now.unix_ms().saturating_sub(max_age));
            if time < earliest {
                let expected = format!("{earliest} or later");
                found.leaf(Finding::at(place, Code::Stale, "data.time", expected, time));
            }
        }
        if audit.max_age_ms.is_some() && size == 0 && *root == Sha256::empty() {
            // Every log was empty once, and has signed that it was.
            found.whole(Finding::whole(Code::Stale, "size", "a block", "none"));
        }
        if let Some(from) = &self.from {
            let rewritten = match from.size == size {
                true => from.root != *root,
                false => {
                    let other = self.rewritten == Some(true);
                    other && (proven || !found.damaged_below(from.size))
                }
            };
            if from.size > size || rewritten {
                let expected = format!("a log that extends size {} {}", from.size, Hash(from.root));
                let actual = format!("size {size} {}", Hash(*root));
                found.whole(Finding::whole(Code::Rewrite, "root", &expected, &actual));
            }
            if self.rewritten.is_none() {
                // The log is shorter; its last key may tell that all the same.
                self.chain.trust.look_back(from.size);
            }
        }
        let records = self.chain.records;
        self.chain.trust.finish(note, proven && !self.hidden, found);
        let (findings, unlisted) = self.found.finish();
        Report { findings, unlisted, unread, size, blocks, records, head, failure: None }
    }
}
