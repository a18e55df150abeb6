//! Receipts in both forms: what is read has no other bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use webwallet_ledger::note::verifier_key;
use webwallet_ledger::receipt::Receipt;

fuzz_target!(|data: &[u8]| {
    let keys = [verifier_key("example.net", &[5; 32])];
    if let Ok(receipt) = Receipt::parse(data) {
        assert_eq!(receipt.to_text().as_bytes(), data);
        let _ = receipt.verify(&keys);
        if let Ok(json) = receipt.to_json() {
            let _ = Receipt::parse_json(&json);
        }
    }
    if let Ok(receipt) = Receipt::parse_json(data) {
        assert_eq!(receipt.to_json().expect("read from it"), data);
        let _ = receipt.verify(&keys);
    }
});
