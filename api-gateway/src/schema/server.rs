//! What a server says of itself.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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

/// How a server is. What is unusual of it, `/readyz` says.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
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
