//! What there is of a unit, and who has it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ADDRESS, Balance};

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
