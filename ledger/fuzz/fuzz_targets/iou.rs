//! One IOU, as a wallet hands it over.
#![no_main]

use libfuzzer_sys::fuzz_target;
use webwallet_ledger::Request;
use webwallet_ledger::draft::add_signature;

fuzz_target!(|data: &[u8]| {
    let _ = add_signature(data, &[3; 32]);
    if let Ok(request) = Request::from_inputs(&[data], "example.net") {
        let again = Request::parse(&request.to_bytes(), "example.net").expect("its own bytes");
        assert_eq!(again.ious(), request.ious());
    }
});
