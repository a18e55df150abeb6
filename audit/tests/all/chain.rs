//! A small log made with the ledger's functions alone: what a server would
//! write, and, by the same hand that holds the log's key, what a lying server
//! might. Everything is fixed, so two runs give the same bytes.

use std::fs;
use std::path::Path;
use std::rc::Rc;

use serde_json::{Value, json};
use webwallet_audit::{Audit, Report, Source};
use webwallet_ledger::block::{Block, Genesis, Header, Keys, Stack};
use webwallet_ledger::checkpoint::Checkpoint;
use webwallet_ledger::clear::{self, Cleared};
use webwallet_ledger::merkle::{Node, Range, Sha3, Sha256, TreeHash};
use webwallet_ledger::note::{self, Note, VerifierKey};
use webwallet_ledger::state::State;
use webwallet_ledger::tile::{self, Level, TileId};
use webwallet_ledger::{
    Account, AccountId, Address, Draft, Hash, Record, Request, Time, signature,
};
use webwallet_ledger::{History, RecordOf};

/// The log's origin.
pub const DOMAIN: &str = "audit.example";
/// 2025-01-15T12:00:00.000Z.
pub const START_MS: i64 = 1_736_942_400_000;

/// The secret of a person, or of a log's key.
pub fn secret(name: &str) -> [u8; 32] {
    Hash::sha3(name.as_bytes()).0
}

/// The address of a person.
pub fn address(name: &str) -> Address {
    Address::of_public(&signature::public_of(&secret(name)))
}

/// What a block will be asked to hold before it is written.
pub type Edit = Rc<dyn Fn(&mut Header)>;

/// The log while it is written.
#[derive(Clone)]
pub struct Log {
    /// Every leaf so far.
    pub leaves: Vec<Vec<u8>>,
    /// Every checkpoint so far.
    pub checkpoints: Vec<String>,
    /// The writer's time in milliseconds; tests move it.
    pub now_ms: i64,
    /// Number of the last record.
    pub number: u64,
    /// Applied to the header of the next block.
    pub edit: Option<Edit>,
    pub state: State,
    key: [u8; 32],
    tree: Range<Sha256>,
    head: Hash,
    pub height: u64,
    /// Leaves of the open block: stack, keys, records.
    open: Vec<Vec<u8>>,
    pub open_records: u64,
    signature: String,
    pub last_time: Time,
    pub block_time: Time,
    stacks: u64,
    last_stack: Hash,
    unstacked: Vec<Hash>,
    made: u64,
}

struct Accounts<'a>(&'a State);

impl History for Accounts<'_> {
    fn account(&self, account: &AccountId) -> Option<Account> {
        self.0.account(account)
    }

    fn record_of(&self, _: &Hash) -> Option<RecordOf> {
        None
    }

    fn lock(&self, pointer: &webwallet_ledger::Pointer) -> Option<webwallet_ledger::Lock> {
        self.0.lock(pointer)
    }
}

impl Log {
    /// A log with its block 0.
    pub fn new() -> Log {
        Log::beginning_with(Log::first_key())
    }

    /// A log whose genesis names this key, whoever signs.
    pub fn beginning_with(first_key: VerifierKey) -> Log {
        let time = Time::from_unix_ms(START_MS);
        let key = secret("log key 1");
        let genesis = Genesis::new(DOMAIN, time, first_key);
        let mut log = Log {
            leaves: Vec::new(),
            checkpoints: Vec::new(),
            now_ms: START_MS,
            number: 0,
            edit: None,
            state: State::new(),
            key,
            tree: Range::new(),
            head: genesis.hash,
            height: 0,
            open: vec![genesis.bytes],
            open_records: 0,
            signature: String::new(),
            last_time: time,
            block_time: time,
            stacks: 0,
            last_stack: genesis.hash,
            unstacked: Vec::new(),
            made: 0,
        };
        log.publish();
        log.seal();
        log
    }

    /// The key that signs now.
    pub fn key(&self) -> VerifierKey {
        note::verifier_key(DOMAIN, &self.key)
    }

    /// The key of the genesis.
    pub fn first_key() -> VerifierKey {
        note::verifier_key(DOMAIN, &secret("log key 1"))
    }

    pub fn time(&self) -> Time {
        Time::from_unix_ms(self.now_ms)
    }

    /// An IOU that clears now, for tests to change.
    pub fn draft(&mut self, source: &str, target: &str, amount: &str, unit: &str) -> Draft {
        self.made += 1;
        Draft {
            domain: DOMAIN.into(),
            source: address(source),
            target: address(target),
            symbol: address(unit),
            amount: amount.into(),
            random: format!("random {:08}", self.made),
            expiry: Time::from_unix_ms(self.now_ms + 86_400_000),
            active: None,
            credit: None,
            locker: None,
            solver: None,
        }
    }

    /// The record of these IOUs, as it should be cleared now.
    pub fn cleared(&self, ious: &[Vec<u8>]) -> Record {
        let request = Request::from_inputs(ious, DOMAIN).expect("a request");
        let history = Accounts(&self.state);
        match clear::clear(&request, self.number + 1, self.time(), &history) {
            Ok(Cleared::Now(record)) => record,
            other => panic!("does not clear: {other:?}"),
        }
    }

    /// A record with these IOUs and outputs, whether it should be there or not.
    pub fn forged(&self, ious: &[Vec<u8>], outputs: Value) -> Vec<u8> {
        let ious: Vec<Value> =
            ious.iter().map(|iou| serde_json::from_slice(iou).expect("an IOU")).collect();
        let hashes: Vec<Value> =
            ious.iter().map(|iou| json!({"hash": iou["hash"]["value"]})).collect();
        document(
            json!({
                "domain": DOMAIN, "inputs": hashes, "kind": "record",
                "number": (self.number + 1).to_string(), "outputs": outputs,
                "time": self.time().to_string(),
            }),
            json!({"inputs": ious}),
        )
    }

    /// Puts a record into the open block. What it says is believed.
    pub fn record(&mut self, bytes: Vec<u8>) {
        if let Ok(record) = Record::parse(&bytes) {
            self.state.apply(&record);
            (self.number, self.last_time) = (record.number, record.time);
        }
        self.open_records += 1;
        self.open.push(bytes);
    }

    /// Puts any leaf into the open block.
    pub fn leaf(&mut self, bytes: Vec<u8>) {
        self.open.push(bytes);
    }

    /// Clears one payment.
    pub fn pay(&mut self, source: &str, target: &str, amount: &str, unit: &str) {
        let iou = self.draft(source, target, amount, unit).sign(&secret(source));
        self.clear(&[iou]);
    }

    /// Clears a request.
    pub fn clear(&mut self, ious: &[Vec<u8>]) {
        let record = self.cleared(ious).bytes;
        self.record(record);
    }

    /// The stack of all blocks since the last one, as first leaf of the block.
    pub fn stack(&mut self) {
        self.stack_as(|stack| stack);
    }

    /// The same as another document.
    pub fn stack_as(&mut self, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
        let blocks = self.unstacked.len() as u64;
        let mut root = Range::<Sha3>::new();
        self.unstacked.drain(..).for_each(|block| root.push(Sha3::leaf(&block.0)));
        let (previous, first) = (self.last_stack, self.height - blocks);
        let (time, root) = (self.block_time, root.root());
        let stack = Stack::new(DOMAIN, self.stacks, time, previous, first, blocks, root);
        (self.stacks, self.last_stack) = (self.stacks + 1, stack.hash);
        self.open.insert(0, change(stack.bytes));
    }

    /// A new key signs from this block on.
    pub fn rotate(&mut self, name: &str) {
        let keys = Keys::new(DOMAIN, self.next_time(), &self.key, &secret(name));
        self.rotate_by(keys.bytes, name);
    }

    /// The same by another document.
    pub fn rotate_by(&mut self, keys: Vec<u8>, name: &str) {
        self.key = secret(name);
        self.open.push(keys);
    }

    /// What the open block will have as its time.
    pub fn next_time(&self) -> Time {
        if self.open_records > 0 { self.last_time } else { self.time() }
    }

    /// Ends the open block and publishes its checkpoint.
    pub fn seal(&mut self) {
        let mut root = Range::<Sha3>::new();
        self.open.iter().for_each(|leaf| root.push(Sha3::leaf(leaf)));
        let (state, units) = self.state.roots();
        let time = self.next_time();
        let mut header = Header {
            domain: DOMAIN.into(),
            height: self.height,
            previous: self.head,
            first: self.tree.size(),
            leaves: self.open.len() as u64,
            records: self.open_records,
            cleared: self.number,
            time: if self.height == 0 { Time::from_unix_ms(START_MS) } else { time },
            root: root.root(),
            log: self.tree.root(),
            signature: self.signature.clone(),
            state,
            units,
        };
        if let Some(edit) = self.edit.take() {
            edit(&mut header);
        }
        self.end_block(Block::new(header));
    }

    /// Ends the open block with this document.
    pub fn end_block(&mut self, block: Block) {
        (self.head, self.block_time) = (block.hash, block.header.time);
        self.height += 1;
        self.unstacked.push(block.hash);
        self.open.push(block.bytes);
        for leaf in std::mem::take(&mut self.open) {
            self.tree.push(Sha256::leaf(&leaf));
            self.leaves.push(leaf);
        }
        self.open_records = 0;
        self.publish();
    }

    fn publish(&mut self) {
        let (origin, size, root) = (DOMAIN.to_owned(), self.tree.size(), self.tree.root());
        let note = Checkpoint { origin, size, root }.sign(&self.key);
        let line = note.trim_end().rsplit('\n').next().expect("a line");
        self.signature = line.to_owned();
        self.checkpoints.push(note);
    }

    /// Writes `checkpoint` and `tile/`, in the widths of the last checkpoint
    /// and of every checkpoint named by its place.
    pub fn write(&self, directory: &Path, earlier: &[usize]) {
        let size_of = |note: &String| {
            let note = Note::parse(note.as_bytes()).expect("our own note");
            Checkpoint::parse(&note.text).expect("our own checkpoint").size
        };
        let last = self.checkpoints.last().expect("one is there");
        let earlier = earlier.iter().map(|i| &self.checkpoints[*i]);
        for size in earlier.chain([last]).map(size_of) {
            write_tiles(directory, &self.leaves[..size as usize]);
        }
        fs::write(directory.join("checkpoint"), last).expect("written");
    }
}

/// Tiles and bundles over these leaves.
pub fn write_tiles(directory: &Path, leaves: &[Vec<u8>]) {
    let mut rows: Vec<Vec<Node>> = vec![leaves.iter().map(|leaf| Sha256::leaf(leaf)).collect()];
    while let Some(row) = rows.last().filter(|row| row.len() >= 256) {
        let next = row.chunks_exact(256).map(webwallet_ledger::merkle::root::<Sha256>).collect();
        rows.push(next);
    }
    for id in tile::tiles_for(0, leaves.len() as u64) {
        let start = id.index as usize * 256;
        let end = start + usize::from(id.width);
        let bytes = match id.level {
            Level::Entries => tile::encode_bundle(&leaves[start..end]).expect("a bundle"),
            Level::Hashes(level) => tile::encode_hashes(&rows[usize::from(level)][start..end]),
        };
        let path = directory.join(TileId::path(&id));
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, bytes).expect("written");
    }
}

/// The canonical document of this data.
pub fn document(data: Value, meta: Value) -> Vec<u8> {
    let hash = Hash::sha3(&canonical(&data)).to_string();
    let hash = json!({"steps": "stringify:data", "types": "sha3-256", "value": hash});
    canonical(&json!({"data": data, "hash": hash, "meta": meta}))
}

/// The same document with other data, named anew.
pub fn edited(bytes: &[u8], edit: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut value: Value = serde_json::from_slice(bytes).expect("JSON");
    edit(&mut value["data"]);
    document(value["data"].clone(), value["meta"].clone())
}

/// RFC 8785.
pub fn canonical(value: &Value) -> Vec<u8> {
    serde_json_canonicalizer::to_vec(value).expect("canonical")
}

/// Some of everything: stacks, keys, several inputs, credit, empty blocks, and
/// enough leaves for tiles of two levels.
pub fn sample() -> Log {
    let mut log = Log::new();
    log.pay("alice", "bob", "1000", "alice");
    log.pay("bob", "carol", "4.50", "alice");
    log.seal();
    log.now_ms += 1_000;
    // Credit, and a circle between strangers in one request.
    let mut grant = log.draft("alice", "dave", "0", "alice");
    grant.credit = Some("-20".into());
    let ious = [
        grant.sign(&secret("alice")),
        log.draft("dave", "erin", "15", "alice").sign(&secret("dave")),
    ];
    log.clear(&ious);
    let circle = [("x", "y"), ("y", "z"), ("z", "x")];
    let circle =
        circle.map(|(from, to)| log.draft(from, to, "5", "unit nobody has").sign(&secret(from)));
    log.clear(&circle);
    log.rotate_before_records("log key 2");
    log.seal();
    log.now_ms += 600_000;
    log.seal();
    log.now_ms += 86_400_000;
    log.stack();
    for i in 0..700 {
        log.now_ms += 1;
        log.pay("bob", ["carol", "dave", "frank"][i % 3], "0.25", "alice");
        if i % 90 == 89 {
            log.seal();
        }
    }
    log.seal();
    log.stack();
    log.pay("carol", "alice", "1", "alice");
    log.seal();
    log
}

impl Log {
    /// The document of a new key stands before the records of its block.
    pub fn rotate_before_records(&mut self, name: &str) {
        let records = std::mem::take(&mut self.open);
        self.rotate(name);
        self.open.extend(records);
    }
}

/// An audit with the genesis key, a minute after the log was written.
pub fn question(log: &Log) -> Audit {
    Audit {
        key: Log::first_key(),
        domain: DOMAIN.into(),
        from: None,
        structure: false,
        max_age_ms: None,
        now: Time::from_unix_ms(log.now_ms + 60_000),
    }
}

/// What the auditor says of the log there.
pub fn ask(audit: &Audit, place: &str) -> Report {
    let source = Source::open(place, None).expect("a place");
    audit.run(&source, &mut |_| {}).expect("readable")
}
