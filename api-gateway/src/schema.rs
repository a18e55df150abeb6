//! The shapes of requests and answers, as the OpenAPI document shows them.
//!
//! What clears or not is decided by `webwallet_ledger`, and records are sent on
//! as the bytes that were stored: most of these types are for readers, human or
//! not. A test reads real answers into them and writes them out again, so that
//! they cannot drift from what is sent.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::problem::Kind;

const ADDRESS: &str = "wS1EU4AtgzD6VDtsrJyGKXmkQdvkWt9Qeq";
const HASH: &str = "488c38b545da49890313e5f355a40ae842e622dc86d3ee815a6dac31bdd25530";
const POINTER: &str = "488c38b545da49890313e5f355a40ae842e622dc86d3ee815a6dac31bdd25530::0";
const PUBLIC: &str = "5e3ddda5abbcd6b5fb02b9f3f2e28fc4cb1fa5ed3a6d8f4fe9d2fa2e0a3d4a47";

/// A request to clear IOUs, all or none.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(title = "Transaction")]
pub struct Transaction {
    /// What is to be cleared.
    pub data: TransactionData,
}

/// The IOUs of a request.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct TransactionData {
    /// All different, with at most 128 signatures together.
    #[schema(min_items = 1, max_items = 100)]
    pub inputs: Vec<Iou>,
}

/// A signed statement of debt.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Iou {
    /// What is owed; it is what the hash is of.
    pub data: IouData,
    /// The hash that the signatures sign.
    pub hash: HashOf,
    /// The signatures, and custom data if its hash is in `data`.
    pub meta: IouMeta,
}

/// What is owed.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct IouData {
    /// The server it is written for.
    #[schema(example = "example.net")]
    pub domain: String,
    /// Who owes and signs.
    #[schema(example = json!(ADDRESS))]
    pub source: String,
    /// Who is owed; not the source.
    #[schema(example = "wT99yCRnoYrN3KvTte3XhkUzjB9naFbwHo")]
    pub target: String,
    /// How much: a decimal, at most 60 digits before and 40 after the point.
    #[schema(example = "10.5")]
    pub amount: String,
    /// The unit: its issuer's address.
    #[schema(example = json!(ADDRESS))]
    pub symbol: String,
    /// Tells equal payments apart: 8 to 100 characters.
    #[schema(example = "5a1f0e9cbb7d44c2a8d3f61e92b70c45", min_length = 8, max_length = 100)]
    pub random: String,
    /// The last moment it clears at.
    #[schema(example = "2027-01-01T00:00:00.000Z")]
    pub expiry: String,
    /// The first moment it clears at.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "2026-06-01T00:00:00.000Z")]
    pub active: Option<String>,
    /// Credit the issuer grants the target (`-` and a decimal) or withdraws (a decimal).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "-100")]
    pub credit: Option<String>,
    /// Hash of `meta.custom.data`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom: Option<String>,
    /// Locks the amount: the target may use it under these conditions, and the source gets it back after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locker: Option<Locker>,
    /// The lock that the source uses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub solver: Option<Solver>,
}

/// Until when and on what conditions the target may use a lock.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Locker {
    /// When.
    pub timers: Timers,
    /// SHA-256 of what the target must show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub puzzle: Option<String>,
    /// Hash of the puzzle whose identities must sign.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
}

/// When a lock is open to its target.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Timers {
    /// From this time on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "2026-06-01T00:00:00.000Z")]
    pub active: Option<String>,
    /// Before this time; from then on it is its source's.
    #[schema(example = "2027-06-01T00:00:00.000Z")]
    pub expiry: String,
}

/// The use of a lock.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Solver {
    /// The lock.
    #[schema(example = json!(POINTER))]
    pub output: String,
    /// What the lock's puzzle is the SHA-256 of: text, or `0x` and 64 hex digits for 32 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hashee: Option<String>,
}

/// How a document is hashed, and its hash.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct HashOf {
    /// Always `stringify:data`: the canonical JSON (RFC 8785) of `data`.
    #[schema(example = "stringify:data")]
    pub steps: String,
    /// `sha3-256`, `sha256` or `sha256:sha256`; of the server's own documents `sha3-256`.
    #[schema(example = "sha3-256")]
    pub types: String,
    /// The hash.
    #[schema(example = json!(HASH))]
    pub value: String,
}

/// What an IOU carries beside the hashed part.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct IouMeta {
    /// Every one must verify; one at least is the source's.
    #[schema(min_items = 1, max_items = 16)]
    pub signatures: Vec<Signature>,
    /// `{data, hash}`: anything with at most 10 keys, if `data.custom` is its hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom: Option<Value>,
    /// The puzzles that signatures here are for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_items = 1, max_items = 16)]
    pub scripts: Option<Vec<Puzzle>>,
}

/// Who may sign for an address that several keys hold together.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Puzzle {
    /// What the hash is of; the address is made from its canonical JSON.
    pub data: PuzzleData,
    /// Its hash, by which signatures name it.
    pub hash: HashOf,
    /// Always empty.
    pub meta: serde_json::Map<String, Value>,
}

/// The keys, and what weight of them is needed.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PuzzleData {
    /// What solves it.
    pub conditions: Conditions,
    /// The keys, each once.
    #[schema(min_items = 1, max_items = 16)]
    pub identities: Vec<Identity>,
}

/// What solves a puzzle.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Conditions {
    /// Signatures of weight.
    pub multisig: Multisig,
}

/// The weight that signatures must have together.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Multisig {
    /// The weight.
    #[schema(minimum = 1, maximum = 2147483647, example = 2)]
    pub threshold: u32,
}

/// A key of a puzzle.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Identity {
    /// `eddsa-ed25519` or `ecdsa-ed25519`.
    #[schema(example = "eddsa-ed25519")]
    pub scheme: String,
    /// The public key in hex.
    #[schema(example = json!(PUBLIC))]
    pub public: String,
    /// What its signature weighs; 1 where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 2147483647, example = 1)]
    pub weight: Option<u32>,
}

/// One signature over `hash.value`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Signature {
    /// `eddsa-ed25519` or `ecdsa-ed25519`.
    #[schema(example = "eddsa-ed25519")]
    pub scheme: String,
    /// The address of the public key, or that of the puzzle it signs for.
    #[schema(example = json!(ADDRESS))]
    pub signer: String,
    /// Hash of the puzzle it signs for, which is in `meta.scripts`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// The public key in hex.
    #[schema(example = json!(PUBLIC))]
    pub public: String,
    /// The signature in hex.
    pub string: String,
    /// Always `sha256:ripemd160`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "sha256:ripemd160")]
    pub linker: Option<String>,
}

/// A record, in the form it is stored in.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RecordAnswer {
    /// The record.
    pub data: Record,
}

/// A record, and its receipt where that was waited for.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ClearedAnswer {
    /// The record.
    pub data: Record,
    /// A `.tlog-proof` file, if the record was sealed in time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
}

/// A record that was there before; or, of a rehearsal, the outputs that the request would leave.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum RepeatOrRehearsal {
    /// The request had cleared before.
    Repeat(Box<ClearedAnswer>),
    /// `dry_run=true`: nothing cleared.
    Rehearsal(RehearsalAnswer),
}

/// What a request would leave.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RehearsalAnswer {
    /// What it would leave now.
    pub data: Rehearsal,
}

/// What a request would leave.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Rehearsal {
    /// As they would stand in its record.
    pub outputs: Vec<Output>,
}

/// What becomes of the rest of a batch after a refusal.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum BatchMode {
    /// Each request is on its own.
    Independent,
    /// The first refusal ends the batch.
    Stop,
}

/// The answer to one request of a batch: `data` or `problem`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct BatchLine {
    /// Its place in the batch, from 0.
    #[schema(example = 0)]
    pub index: u64,
    /// The status that it would have been answered with alone.
    #[schema(example = 201)]
    pub status: u16,
    /// The record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Record>,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// Something cleared: a line of NDJSON, or the data of a server-sent event.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// The record's number.
    #[schema(example = "1")]
    pub number: String,
    /// When it cleared.
    #[schema(example = "2026-06-01T12:00:00.000Z")]
    pub time: String,
    /// The record's hash.
    #[schema(example = json!(HASH))]
    pub hash: String,
    /// The record.
    pub transaction: Record,
}

/// What a cleared request has left.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Record {
    /// What cleared; it is what the hash is of.
    pub data: RecordData,
    /// The record's name.
    pub hash: HashOf,
    /// The IOUs as they were signed.
    pub meta: RecordMeta,
}

/// What cleared.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RecordData {
    /// Always `record`.
    #[schema(example = "record")]
    pub kind: String,
    /// The server.
    #[schema(example = "example.net")]
    pub domain: String,
    /// Its place in the order of clearing, from 1, without gaps.
    #[schema(example = "1")]
    pub number: String,
    /// When it cleared.
    #[schema(example = "2026-06-01T12:00:00.000Z")]
    pub time: String,
    /// The hashes of its IOUs, in the order of the request.
    pub inputs: Vec<InputName>,
    /// One for each account it touched.
    pub outputs: Vec<Output>,
}

/// The name of an IOU.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct InputName {
    /// `hash.value` of the IOU.
    #[schema(example = json!(HASH))]
    pub hash: String,
}

/// The IOUs of a record.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RecordMeta {
    /// In the order of the request.
    pub inputs: Vec<Iou>,
}

/// An account after a clearing.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Output {
    /// Whose account.
    #[schema(example = json!(ADDRESS))]
    pub address: String,
    /// What is in it.
    pub balance: Balance,
    /// In which unit: its issuer's address.
    #[schema(example = json!(ADDRESS))]
    pub counter: String,
    /// The outputs it consumed.
    #[schema(example = json!([POINTER]))]
    pub sources: Vec<String>,
    /// Of a locked output: the conditions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locker: Option<Locker>,
    /// Of a locked output: whose it is again when its time is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// A balance and its limits, as decimal strings.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Balance {
    /// Received less paid.
    #[schema(example = "10")]
    pub net: String,
    /// `net` cannot fall below: a decimal or `-Infinity`.
    #[schema(example = "0")]
    pub min: String,
    /// `net` cannot rise above: a decimal or `Infinity`.
    #[schema(example = "Infinity")]
    pub max: String,
}

/// An IOU that cleared.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct IouAnswer {
    /// The IOU and where it cleared.
    pub data: ClearedIou,
}

/// An IOU and its record.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ClearedIou {
    /// As it was signed.
    pub iou: Iou,
    /// The hash of its record.
    #[schema(example = json!(HASH))]
    pub transaction: String,
    /// The number of its record.
    #[schema(example = "1")]
    pub number: String,
}

/// What an address holds.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AddressAnswer {
    /// One page of it.
    pub data: Holdings,
}

/// The accounts of an address.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Holdings {
    /// Whose.
    #[schema(example = json!(ADDRESS))]
    pub address: String,
    /// In the order of the units.
    pub units: Vec<Holding>,
    /// The cursor of the next page, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One account.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Holding {
    /// The unit: its issuer's address.
    #[schema(example = json!(ADDRESS))]
    pub counter: String,
    /// What is in it.
    pub balance: Balance,
    /// Its current output.
    #[schema(example = json!(POINTER))]
    pub pointer: String,
}

/// What a unit comes to.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct UnitAnswer {
    /// As the last record left it.
    pub data: Unit,
}

/// A unit, added up: sums may have more digits than each amount.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Unit {
    /// The unit: its issuer's address.
    #[schema(example = json!(ADDRESS), format = "address", min_length = 34, max_length = 34)]
    pub unit: String,
    /// What its issuer owes: all that others hold, and all that is locked.
    #[schema(example = "10.5", pattern = r"^(0|[1-9][0-9]*)(\.[0-9]{1,40})?$")]
    pub supply: String,
    /// What is in open locks, and so in nobody's balance.
    #[schema(example = "0", pattern = r"^(0|[1-9][0-9]*)(\.[0-9]{1,40})?$")]
    pub locked: String,
    /// Accounts ever made in it, the issuer's and those at zero included.
    #[schema(example = "2", pattern = "^(0|[1-9][0-9]*)$")]
    pub accounts: String,
    /// Credit now granted by the issuer: how far all others together may go below zero.
    #[schema(example = "100", pattern = r"^(0|[1-9][0-9]*)(\.[0-9]{1,40})?$")]
    pub credit: String,
}

/// The holders of a unit.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct HoldersAnswer {
    /// One page of them.
    pub data: Holders,
}

/// A page of holders.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Holders {
    /// In the order of their addresses.
    pub holders: Vec<Holder>,
    /// The cursor of the next page, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One holder.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Holder {
    /// Who.
    #[schema(example = json!(ADDRESS))]
    pub address: String,
    /// What they hold; the issuer's net is what it owes, below zero.
    pub balance: Balance,
}

/// A document that somebody has supplied.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct DocumentAnswer {
    /// The document.
    pub data: Document,
}

/// A puzzle, or custom data of an IOU.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Document {
    /// What the hash is of.
    pub data: serde_json::Map<String, Value>,
    /// Its name.
    pub hash: HashOf,
    /// Always empty.
    pub meta: serde_json::Map<String, Value>,
}

/// Outputs of an account.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct OutputsAnswer {
    /// One page of them.
    pub data: Outputs,
}

/// A page of outputs.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Outputs {
    /// Newest first.
    pub outputs: Vec<PlacedOutput>,
    /// The cursor of the next page, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// An output and its name.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PlacedOutput {
    /// The record's hash and the place in its outputs.
    #[schema(example = json!(POINTER))]
    pub pointer: String,
    /// The output, as it stands in the record.
    pub content: Output,
}

/// A receipt.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Receipt {
    /// The record's number.
    #[schema(example = "1")]
    pub number: String,
    /// The record's hash.
    #[schema(example = json!(HASH))]
    pub hash: String,
    /// The leaf's place in the log.
    #[schema(example = "2")]
    pub index: String,
    /// The inclusion proof, from the leaf's neighbour upwards, in hex.
    pub path: Vec<String>,
    /// The signed head, a signed note.
    pub checkpoint: String,
    /// The record; its canonical JSON is the leaf.
    pub record: Record,
}

/// A record that is not sealed yet.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct NotSealed {
    /// Always `cleared`.
    #[schema(example = "cleared")]
    pub state: String,
    /// The record's number.
    #[schema(example = "1")]
    pub number: String,
}

/// A proof that a leaf is in the log (RFC 6962, SHA-256).
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Inclusion {
    /// The leaf's place, from 0.
    #[schema(example = "2")]
    pub index: String,
    /// Leaves of the tree.
    #[schema(example = "4")]
    pub size: String,
    /// From the leaf's neighbour upwards, in hex.
    pub path: Vec<String>,
}

/// A proof that a log has only grown (RFC 6962, SHA-256).
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Consistency {
    /// The smaller size.
    #[schema(example = "2")]
    pub from: String,
    /// The larger size.
    #[schema(example = "4")]
    pub to: String,
    /// Hashes in hex.
    pub path: Vec<String>,
}

/// A block.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct BlockAnswer {
    /// The block.
    pub data: Block,
}

/// A block as it stands in the log.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Block {
    /// What it says; it is what the hash is of.
    pub data: BlockData,
    /// Its name.
    pub hash: HashOf,
    /// Always empty.
    pub meta: Value,
}

/// What a block says.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct BlockData {
    /// Number of the last record cleared so far; `0`: none.
    #[schema(example = "1")]
    pub cleared: String,
    /// The server.
    #[schema(example = "example.net")]
    pub domain: String,
    /// Index of its first leaf.
    #[schema(example = "2")]
    pub first: String,
    /// From 0.
    #[schema(example = "1")]
    pub height: String,
    /// Always `block`.
    #[schema(example = "block")]
    pub kind: String,
    /// Leaves without the block itself.
    #[schema(example = "1")]
    pub leaves: String,
    /// SHA-256 root of the log before it.
    pub log: String,
    /// Hash of the block before it.
    pub previous: String,
    /// Records in it.
    #[schema(example = "1")]
    pub records: String,
    /// SHA3-256 root over its leaves.
    pub root: String,
    /// The version of the rules.
    #[schema(example = "1")]
    pub rules: String,
    /// The signature line of the checkpoint before it.
    pub signature: String,
    /// Root of all accounts after it.
    pub state: String,
    /// Of its last record.
    #[schema(example = "2026-06-01T12:00:00.000Z")]
    pub time: String,
    /// Root of all units after it.
    pub units: String,
}

/// The records of a block.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct BlockRecordsAnswer {
    /// The records.
    pub data: BlockRecords,
}

/// The records of a block.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct BlockRecords {
    /// In the order of their numbers.
    pub transactions: Vec<Record>,
}

/// A stack.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct StackAnswer {
    /// The stack.
    pub data: Stack,
}

/// A stack of blocks as it stands in the log.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Stack {
    /// What it says; it is what the hash is of.
    pub data: StackData,
    /// Its name.
    pub hash: HashOf,
    /// Always empty.
    pub meta: Value,
}

/// What a stack says.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct StackData {
    /// Blocks in it.
    #[schema(example = "144")]
    pub blocks: String,
    /// The server.
    #[schema(example = "example.net")]
    pub domain: String,
    /// Height of its first block.
    #[schema(example = "0")]
    pub first: String,
    /// From 0.
    #[schema(example = "0")]
    pub height: String,
    /// Always `stack`.
    #[schema(example = "stack")]
    pub kind: String,
    /// Hash of the stack before it.
    pub previous: String,
    /// SHA3-256 root over the hashes of its blocks.
    pub root: String,
    /// The version of the rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "1")]
    pub rules: Option<String>,
    /// Of its last block.
    #[schema(example = "2026-06-01T12:00:00.000Z")]
    pub time: String,
}

/// A proof of an account or a unit.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct StateProofAnswer {
    /// The proof, and the block it leads to.
    pub data: ProvenState,
}

/// A proof, and the block it leads to.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ProvenState {
    /// The way through the tree.
    pub proof: StateProof,
    /// The block whose `state` or `units` is the root.
    pub block: Block,
}

/// The way from a key to the root of the state.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct StateProof {
    /// The key, in hex.
    pub key: String,
    /// What stands there; absent if nothing does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// The leaf that stands in the way of a missing one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other: Option<OtherLeaf>,
    /// Hashes beside the way, root first, in hex.
    pub siblings: Vec<String>,
}

/// A leaf that stands in the way of a missing one.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct OtherLeaf {
    /// Its key, in hex.
    pub key: String,
    /// SHA3-256 of its value, in hex.
    pub valuehash: String,
}

/// A server's card.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Server {
    /// Its name: IOUs for another are refused.
    #[schema(example = "example.net")]
    pub domain: String,
    /// Verifier keys of its log as signed-note strings, newest first.
    pub keys: Vec<String>,
    /// The signed head of its log; absent before the first block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// The version of the rules it clears by.
    #[schema(example = "1")]
    pub rules: String,
    /// What it takes on.
    pub limits: ServerLimits,
    /// The version of the program.
    #[schema(example = "0.1.0")]
    pub version: String,
}

/// What a server takes on.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ServerLimits {
    /// Bytes of a body.
    pub body_bytes: usize,
    /// IOUs in a request.
    pub inputs: usize,
    /// Signatures in a request.
    pub signatures: usize,
    /// Signatures under one IOU.
    pub iou_signatures: usize,
    /// Bytes of the record that a request leaves.
    pub record_bytes: usize,
    /// Objects and arrays inside one another.
    pub depth: usize,
    /// JSON values in a body.
    pub values: usize,
    /// Elements of a page.
    pub page: u32,
    /// Bytes of a document that is kept by `PUT /document`; 0: none is.
    pub document_bytes: usize,
    /// Bytes of a request's headers.
    pub header_bytes: u32,
    /// Connections of one client, if the operator has set a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections_per_client: Option<usize>,
    /// Requests a second of one client, if the operator has set a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_second_per_client: Option<u32>,
    /// IOUs a second of one source, if the operator has set a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ious_per_second_per_source: Option<u32>,
    /// IOUs a second in one unit, if the operator has set a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ious_per_second_per_issuer: Option<u32>,
}

/// How a server is.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `alive` or `ready`.
    #[schema(example = "ready")]
    pub status: String,
    /// True where the time is read from a file: a server for tests. Absent elsewhere.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub test_clock: bool,
    /// True where nothing is sealed but on command: a server for tests. Absent elsewhere.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub manual_seal: bool,
    /// True where the log key was given to the server, and may be known to others: a server for tests. Absent elsewhere.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub given_log_key: bool,
    /// True where the Redis that keeps the documents may lose some: a server for experiments. Absent elsewhere.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lossy_redis: bool,
}

/// What a code means.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// The code.
    #[schema(value_type = ProblemCode)]
    pub code: String,
    /// One line for people.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// `never`, `same` (the same bytes again), `rebuild` (sign anew) or `later`.
    #[schema(example = "rebuild")]
    pub retry: String,
    /// What leads to it.
    pub cause: String,
    /// What to do about it.
    pub cure: String,
    /// A case of it.
    pub example: String,
}

/// A refusal (RFC 9457).
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// The page that explains the code.
    #[schema(example = "/problems/balance_below_min")]
    pub r#type: String,
    /// One line for people, the same for every refusal of this code.
    #[schema(example = "A balance would fall below its lower limit.")]
    pub title: String,
    /// HTTP status.
    #[schema(example = 422)]
    pub status: u16,
    /// One sentence for people on this refusal.
    pub detail: String,
    /// The path of the request.
    #[schema(example = "/transaction")]
    pub instance: String,
    /// Why: of several that apply to a request, the first of the list.
    #[schema(value_type = ProblemCode)]
    pub code: String,
    /// `never`, `same` (the same bytes again), `rebuild` (sign anew) or `later`.
    #[schema(example = "rebuild")]
    pub retry: String,
    /// Seconds to wait before the same is sent again, where `Retry-After` would say so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 1)]
    pub retry_after: Option<u32>,
    /// JSON pointer to the guilty part of the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "/data/inputs/0")]
    pub pointer: Option<String>,
    /// The limit that was met.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "0")]
    pub limit: Option<String>,
    /// What met it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "-7")]
    pub actual: Option<String>,
    /// `unit|address` of the account whose limit was met.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The record that holds an IOU of the request already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction: Option<String>,
    /// The smallest change of the request that clears, as balances were when it was refused; left out where only an empty request would, or where the record of the changed request would still be too large.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suggestion: Vec<Change>,
    /// Both requests, as they were signed, where an IOU is in another record: `webwallet verify-conflict` verifies them offline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflict: Option<Box<Conflict>>,
    /// The refusal in the original system's form.
    pub error: OriginalError,
}

/// A change of the request: the IOU that the pointer leads to or into is signed anew, with a `random` of its own, or left out.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Change {
    /// JSON pointer into the request as it was sent: to an IOU, its `amount` or its `credit`.
    #[schema(example = "/data/inputs/0/data/amount")]
    pub pointer: String,
    /// What stands there instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "6")]
    pub value: Option<String>,
    /// `true`, where no `value` is: the part is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remove: Option<bool>,
}

/// Two signed requests with an IOU in common.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Conflict {
    /// The one that is refused.
    pub sent: Transaction,
    /// The record of the one that has cleared.
    pub cleared: Record,
}

/// A refusal in the original system's form.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct OriginalError {
    /// The code in its style.
    #[schema(example = "balance-below-min")]
    pub message: String,
    /// As `detail`.
    pub details: String,
}

/// Every code there is.
#[derive(Debug)]
pub struct ProblemCode;

impl PartialSchema for ProblemCode {
    fn schema() -> RefOr<Schema> {
        let lines = Kind::all().map(|kind| {
            format!("- `{}` ({}): {}", kind.code(), kind.status().as_u16(), kind.title())
        });
        let description = lines.collect::<Vec<_>>().join("\n");
        ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(Kind::all().map(Kind::code)))
            .description(Some(format!(
                "The rejections in order of precedence, then the other problems.\n\n{description}"
            )))
            .into()
    }
}

impl ToSchema for ProblemCode {}
