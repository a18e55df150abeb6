//! Bodies of requests: what is taken is taken again, and is the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use webwallet_ledger::Request;

fuzz_target!(|data: &[u8]| {
    if let Ok(request) = Request::parse(data, "example.net") {
        let bytes = request.to_bytes();
        let again = Request::parse(&bytes, "example.net").expect("its own bytes");
        assert_eq!(again.to_bytes(), bytes);
        assert_eq!(again.ious(), request.ious());
    }
});
