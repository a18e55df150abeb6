//! IOUs as they are signed, and where one has cleared.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{ADDRESS, HASH, HashOf, POINTER, PUBLIC, Puzzle};

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
    /// The last moment it clears at. Signed text: to be kept as it is written.
    #[schema(example = "2027-01-01T00:00:00.000Z")]
    pub expiry: String,
    /// The first moment it clears at. Signed text: to be kept as it is written.
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
    /// From this time on. Signed text: to be kept as it is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "2026-06-01T00:00:00.000Z")]
    pub active: Option<String>,
    /// Before this time; from then on it is its source's. Signed text: to be kept as it is written.
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
