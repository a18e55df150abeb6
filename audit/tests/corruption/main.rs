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
mod second;

use webwallet_audit::{Audit, Report, Source};
use webwallet_ledger::Time;

use chain::{DOMAIN, Log};

/// Code, block and number of a finding: what two auditors agree on.
type Found = (String, Option<u64>, Option<u64>);

/// So much in `scripts/test`, so much in `scripts/soak`.
fn rounds(short: u64, long: u64) -> u64 {
    match std::env::var("WEBWALLET_TEST_DRILLS").as_deref() {
        Ok("long") => long,
        _ => short,
    }
}

/// An audit with the genesis key, a minute after the log was written.
fn question(log: &Log) -> Audit {
    Audit {
        key: Log::first_key(),
        domain: DOMAIN.into(),
        from: None,
        structure: false,
        max_age_ms: None,
        now: Time::from_unix_ms(log.now_ms + 60_000),
    }
}

fn ask(audit: &Audit, place: &str) -> Report {
    let source = Source::open(place).expect("a place");
    audit.run(&source, &mut |_| {}).expect("readable")
}
