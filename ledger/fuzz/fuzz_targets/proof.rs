//! Proofs in trees of any size: always an answer, never a fall.
#![no_main]

use libfuzzer_sys::fuzz_target;
use webwallet_ledger::merkle::{Node, Sha256, check_consistency, check_inclusion};

fuzz_target!(|data: (u64, u64, Vec<Node>)| {
    let (a, b, path) = data;
    let (old, new) = ([0; 32], path.last().copied().unwrap_or_default());
    if check_inclusion::<Sha256>(old, a, b, &path, &new).is_ok() {
        assert!(a < b && path.is_empty());
    }
    if check_consistency::<Sha256>(a, b, &path, &old, &new).is_ok() {
        assert!(a == b && path.is_empty());
    }
});
