//! The proof in a conflict: an IOU was signed into two requests.
//!
//! A refusal with `iou_already_cleared` accuses somebody of paying twice with one
//! IOU. So it carries both requests, as they were signed: whoever reads it need
//! not believe this server. `webwallet verify-conflict` verifies them offline.

use bytes::Bytes;
use serde_json::value::RawValue;
use webwallet_ledger::{Code, Rejection, Request};

use crate::gateway::Gateway;
use crate::problem::{Conflict, Problem};
use crate::stores::record::Key;

/// The problem of a rejection, with both requests where it is a conflict.
pub(crate) async fn explained(gateway: &Gateway, rejection: Rejection, sent: &Bytes) -> Problem {
    let conflict = match (rejection.code, rejection.record) {
        (Code::IouAlreadyCleared, Some(record)) => {
            // Without it the refusal is as true; what failed is in the log.
            gateway.stores().record(Key::Record(record)).await.ok().flatten()
        }
        _ => None,
    };
    let conflict = conflict.and_then(|record| {
        let request = Request::parse(sent, gateway.domain()).ok()?.to_bytes();
        Some(Conflict { sent: raw(&request)?, cleared: raw(&record.body)? })
    });
    let problem = Problem::from(rejection);
    match conflict {
        Some(conflict) => problem.with_conflict(conflict),
        None => problem,
    }
}

fn raw(json: &[u8]) -> Option<Box<RawValue>> {
    serde_json::from_slice(json).ok()
}
