//! Proofs of balances: what is read is written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use webwallet_ledger::state::Proof;

fuzz_target!(|data: &[u8]| {
    if let Ok(proof) = Proof::parse(data) {
        let json = proof.to_json();
        let again = Proof::parse(&json).expect("its own bytes");
        assert_eq!(again.to_json(), json);
        let _ = proof.check(&proof.key, &[0; 32]);
    }
});
