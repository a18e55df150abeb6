//! Documents under their hash: any, and the two kinds that anybody may supply.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{HASH, PUBLIC};

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
