//! Receipts, and proofs about the log and the state.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{Block, HASH, Record};

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

/// A tile or an entry bundle: bytes. As the list of numbers that bytes are elsewhere, clients would read it as JSON.
#[derive(Debug, ToSchema)]
#[schema(value_type = String, format = Binary)]
pub struct Tile(pub Vec<u8>);

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
