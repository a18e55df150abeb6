//! Whether a refusal can be right. What a server refuses for ever is forgotten, and paid anew: by
//! one that lies, or is broken, the first would clear later beside the second.

use webwallet_ledger::Time;
use webwallet_ledger::rejection::Code;
use webwallet_ledger::request::Request;

use crate::problem::Problem;
use crate::{clock, conflict, iou};

/// Whether it can be seen here that a request was not refused rightly.
pub fn is_wrong(problem: &Problem, request: &[u8], domain: &str) -> anyhow::Result<bool> {
    let (Ok(code), Ok(request_read)) =
        (problem.code.parse::<Code>(), Request::parse(request, domain))
    else {
        return Ok(false);
    };
    let ious = &request_read.inputs;
    Ok(match code {
        Code::IouAlreadyCleared => conflict::proven(problem.body(), request).is_none(),
        Code::Expired => {
            let now = clock::now()?;
            ious.iter().all(|iou| iou.expiry > now)
        }
        // For ever only where it expires before.
        Code::NotYetActive => {
            let never = |active: Time, expiry: Time| active >= expiry;
            !ious.iter().any(|iou| iou.active.is_some_and(|active| never(active, iou.expiry)))
        }
        Code::LockNotFound | Code::LockNotYours | Code::LockClosed | Code::LockUnsolved => {
            request_read.collects().next().is_none()
        }
        // What the bytes alone decide.
        code if code < Code::IouAlreadyCleared => iou::verified(&request_read).is_ok(),
        _ => false,
    })
}
