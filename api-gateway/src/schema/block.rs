//! Blocks and stacks as they stand in the log.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{HashOf, Record};

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
    /// Of its last record, or, without one, when it was sealed. Hashed text: to be kept as it is written.
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
    /// Of its last block. Hashed text: to be kept as it is written.
    #[schema(example = "2026-06-01T12:00:00.000Z")]
    pub time: String,
}
