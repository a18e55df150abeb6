//! Requests, and what is answered of them: alone, in a batch, or to whoever follows.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{HASH, Iou, Output, Problem, Record};

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
pub struct RepeatAnswer {
    /// What tells the two apart: a record has a `hash`.
    pub data: RepeatOrRehearsal,
    /// A `.tlog-proof` file, of a record that was sealed in time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
}

/// A record that was there before, or, with `dry_run=true`, what would be left.
// The choice is made here, and not of whole answers: those have the same members, and generated clients that look at no
// more took one for the other. Nor do its cases have words of their own, which some generators trip over beside `$ref`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
#[expect(missing_docs, reason = "they would be written beside `$ref`")]
pub enum RepeatOrRehearsal {
    Repeat(Box<Record>),
    Rehearsal(Rehearsal),
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
