//! Whether a refusal can be right. What a server refuses for ever is forgotten, and paid anew: by
//! one that lies, or is broken, the first would clear later beside the second.

use webwallet_ledger::amount::Amount;
use webwallet_ledger::iou::Iou;
use webwallet_ledger::limits::RECORD_BYTES_MAX;
use webwallet_ledger::rejection::Code;
use webwallet_ledger::request::Request;

use crate::problem::Problem;
use crate::{clock, conflict, iou};

/// More than a record has beside its one IOU: what that leaves, and the names of all.
const AROUND_IOU_BYTES: usize = 4_096;

/// Whether it can be seen here that a request was not refused rightly.
pub fn is_wrong(problem: &Problem, request: &[u8], domain: &str) -> anyhow::Result<bool> {
    let (Ok(code), Ok(sent)) = (problem.code.parse::<Code>(), Request::parse(request, domain))
    else {
        return Ok(false);
    };
    let ious = &sent.inputs;
    Ok(match code {
        Code::IouAlreadyCleared => conflict::proven(problem.body(), request).is_none(),
        Code::Expired => {
            let now = clock::now()?;
            ious.iter().all(|iou| iou.expiry > now)
        }
        // For ever only where it expires before; later, where it is so by our clock as well.
        Code::NotYetActive => {
            let (now, later) = (clock::now()?, problem.may_succeed_later());
            let waits = |iou: &Iou, active| active >= iou.expiry || (later && active > now);
            !ious.iter().any(|iou| iou.active.is_some_and(|active| waits(iou, active)))
        }
        Code::LockNotFound | Code::LockNotYours | Code::LockClosed | Code::LockUnsolved => {
            sent.collects().next().is_none()
        }
        // Of many IOUs, or a long one, the record may be: what they leave is in it, too.
        Code::TooLarge => ious.len() == 1 && request.len() < RECORD_BYTES_MAX - AROUND_IOU_BYTES,
        Code::CreditNotByIssuer => {
            ious.iter().all(|iou| iou.credit.is_none() || iou.source == iou.symbol)
        }
        Code::CreditNotGranted => !ious.iter().any(withdraws),
        // An issuer may owe what it likes, and credit that is granted lowers a limit.
        Code::BalanceBelowMin => !ious.iter().any(|iou| iou.source != iou.symbol || withdraws(iou)),
        // Only an issuer has such a limit, and what a lock held may go back to one.
        Code::BalanceAboveMax => {
            ious.iter().all(|iou| iou.target != iou.symbol && iou.solver.is_none())
        }
        // What the bytes alone decide.
        code if code < Code::IouAlreadyCleared => iou::verified(&sent).is_ok(),
        _ => false,
    })
}

fn withdraws(iou: &Iou) -> bool {
    iou.credit.as_ref().is_some_and(|credit| *credit > Amount::zero())
}
