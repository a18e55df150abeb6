//! Drills: lives of servers at random, told truly and told falsely. Short by
//! default; `scripts/soak` runs them long.

#[path = "../all/chain.rs"]
#[allow(dead_code)]
mod chain;
mod corruption;
mod damage;
mod honest;
mod liar;
mod lies;
mod life;
mod lock_lies;
mod second;

use chain::{ask, question};

/// Code, block and number of a finding: what two auditors agree on.
type Found = (String, Option<u64>, Option<u64>);

/// So much in `scripts/test`, so much in `scripts/soak`.
fn rounds(short: u64, long: u64) -> u64 {
    match std::env::var("WEBWALLET_TEST_DRILLS").as_deref() {
        Ok("long") => long,
        _ => short,
    }
}
