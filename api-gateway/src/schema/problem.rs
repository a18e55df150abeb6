//! Refusals, and what their codes mean.

use serde::{Deserialize, Serialize};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use super::{Record, Transaction};
use crate::problem::Kind;

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

impl From<Kind> for Explanation {
    fn from(kind: Kind) -> Explanation {
        let meaning = kind.meaning();
        Explanation {
            code: meaning.code.to_owned(),
            title: meaning.title.to_owned(),
            status: meaning.status,
            retry: kind.retry().to_owned(),
            cause: meaning.cause.to_owned(),
            cure: meaning.cure.to_owned(),
            example: meaning.example.to_owned(),
        }
    }
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

/// A code in an answer: any text, for a client that was made today must be able to read the refusals of a later server.
#[derive(Debug)]
pub struct ProblemCode;

/// Every code there is, for who asks what one means.
#[derive(Debug)]
pub struct KnownCode;

impl PartialSchema for ProblemCode {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some(
                "A `KnownCode`, which says what each means; a later server may have others, of which `status` and `retry` say what to do.",
            ))
            .examples(["balance_below_min"])
            .into()
    }
}

impl PartialSchema for KnownCode {
    fn schema() -> RefOr<Schema> {
        let lines = Kind::all().map(|kind| {
            let meaning = kind.meaning();
            format!("- `{}` ({}): {}", meaning.code, meaning.status, meaning.title)
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

impl ToSchema for KnownCode {}
