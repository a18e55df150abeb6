//! The signatures of many requests at once.
//!
//! Requests that arrive together are verified together, because a batch costs
//! half as much; the verdict on each is the same as alone.

use rand_core::CryptoRng;

use crate::claim::Claim;
use crate::rejection::{Code, Rejection};
use crate::request::Request;
use crate::signature::{self, Check, Keys};

/// Verifies every signature of every request.
///
/// `random` must be unpredictable to whoever made the requests: a batch that is
/// weighed with known numbers can be made to balance.
///
/// # Errors
/// For each request `signature_invalid`, pointing at the first bad signature of
/// its lowest input; or else `puzzle_unsolved`.
pub fn verify(
    requests: &[&Request],
    keys: &Keys,
    random: &mut impl CryptoRng,
) -> Vec<Result<(), Rejection>> {
    let ious = requests.iter().flat_map(|request| &request.inputs);
    let checks = ious.flat_map(|iou| &iou.claims.list).filter_map(|claim| match claim {
        Claim::Check(check) => Some(check),
        Claim::Bad(_) => None,
    });
    let checks: Vec<&Check> = checks.collect();
    let mut verdicts = signature::verify(&checks, keys, random).into_iter();
    let judge = |request: &&Request| {
        let mut outcome = Ok(());
        for (i, iou) in request.inputs.iter().enumerate() {
            for (j, claim) in iou.claims.list.iter().enumerate() {
                let bad = match claim {
                    Claim::Bad(detail) => Some(*detail),
                    // Every check has its verdict; a missing one must not pass.
                    Claim::Check(_) if verdicts.next().unwrap_or(false) => None,
                    Claim::Check(_) => Some("the signature is not this key's over hash.value"),
                };
                if let (Some(detail), Ok(())) = (bad, &outcome) {
                    let pointer = format!("/data/inputs/{i}/meta/signatures/{j}");
                    outcome = Err(Rejection::new(Code::SignatureInvalid, pointer, detail));
                }
            }
        }
        outcome.and_then(|()| solved(request))
    };
    requests.iter().map(judge).collect()
}

/// Whether the signatures weigh enough, each of them being good.
fn solved(request: &Request) -> Result<(), Rejection> {
    for (i, iou) in request.inputs.iter().enumerate() {
        if let Some((threshold, weight)) = iou.claims.unsolved {
            let pointer = format!("/data/inputs/{i}/meta/signatures");
            let detail = "the signatures weigh less than the source's puzzle needs";
            return Err(
                Rejection::new(Code::PuzzleUnsolved, pointer, detail).measured(threshold, weight)
            );
        }
    }
    Ok(())
}
