//! What an address holds, and how it came about.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ADDRESS, Balance, Output, POINTER};

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

/// Outputs of an account.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct OutputsAnswer {
    /// One page of them.
    pub data: Outputs,
}

/// A page of outputs.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Outputs {
    /// Newest first; of those that are unspent, the account's current one and then its open locks, by their pointers.
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
