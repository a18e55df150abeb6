//! Records, and the outputs in them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ADDRESS, HASH, HashOf, Iou, Locker, POINTER};

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
    /// When it cleared. Hashed text: to be kept as it is written.
    #[schema(example = "2026-06-01T12:00:00.000Z")]
    pub time: String,
    /// The hashes of its IOUs, in the order of the request.
    pub inputs: Vec<InputName>,
    /// One for each account it touched, and then the locks it made.
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
