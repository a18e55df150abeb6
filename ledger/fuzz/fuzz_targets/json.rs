//! JSON of the profile: the canonical form of a value is one, and says the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use webwallet_ledger::json::parse;

fuzz_target!(|data: &[u8]| {
    if let Ok(value) = parse(data, 16) {
        let canonical = value.to_vec();
        let again = parse(&canonical, 16).expect("its own bytes");
        assert!(again == value);
        assert_eq!(again.to_vec(), canonical);
    }
});
