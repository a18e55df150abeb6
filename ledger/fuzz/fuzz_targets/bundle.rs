//! Entry bundles and tiles: what is read has no other bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use webwallet_ledger::tile::{encode_bundle, encode_hashes, parse_bundle, parse_hashes};

fuzz_target!(|data: (u8, &[u8])| {
    let (width, bytes) = (u16::from(data.0) + 1, data.1);
    if let Ok(leaves) = parse_bundle(bytes, width) {
        assert_eq!(leaves.len(), usize::from(width));
        assert_eq!(encode_bundle(leaves).expect("leaves of a bundle"), bytes);
    }
    if let Ok(hashes) = parse_hashes(bytes, width) {
        assert_eq!(encode_hashes(&hashes), bytes);
    }
});
