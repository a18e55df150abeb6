//! A long random life, the same on every engine. If these failed, what somebody
//! owns would depend on which database the operator has chosen.

use std::collections::BTreeMap;

use webwallet_tests::engines::Engines;
use webwallet_tests::trace::{Trace, live};
use webwallet_tests::world::{InProcess, Rules, World};

/// `WEBWALLET_TEST_SEED` leads through another life.
fn seed() -> u64 {
    let seed = std::env::var("WEBWALLET_TEST_SEED").ok();
    seed.map_or(20_261_121, |seed| seed.parse().expect("WEBWALLET_TEST_SEED is a number"))
}

const REQUESTS: usize = 20_000;

/// How often each thing happened: a life in which nothing is refused tests nothing.
fn counts(history: &[String]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in history {
        let words: Vec<&str> = line.split(' ').collect();
        let what = if words[1] == "rejected" { words[2] } else { words[1] };
        *counts.entry(what.to_owned()).or_default() += 1;
    }
    counts
}

fn same(expected: &[String], world: &mut impl World) {
    let history = live(Trace::new(seed(), REQUESTS), world);
    let differs = expected.iter().zip(&history).find(|(a, b)| a != b);
    assert_eq!(differs, None, "seed {}: the rules (left), {} (right)", seed(), world.name());
    assert_eq!(history.len(), expected.len());
}

#[test]
fn the_same_life_leaves_the_same_history_on_every_engine() {
    let history = live(Trace::new(seed(), REQUESTS), &mut Rules::new());
    let counts = counts(&history);
    println!("seed {}: {counts:?}", seed());
    for what in [
        "cleared",
        "replayed",
        "balance_below_min",
        "credit_not_granted",
        "credit_not_by_issuer",
        "iou_already_cleared",
        "expired",
        "expiry_too_far",
        "not_yet_active",
        "signature_missing",
        "wrong_domain",
        "malformed",
    ] {
        assert!(counts.get(what).is_some_and(|n| *n >= 10), "{what} hardly happened: {counts:?}");
    }
    same(&history, &mut InProcess::new());
    let engines = Engines::empty();
    same(&history, &mut InProcess::on_engines(&engines));
}
