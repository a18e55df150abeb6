//! Leaves of the log, records included: what is read has no other bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use webwallet_ledger::leaf::Leaf;
use webwallet_ledger::{Hash, Record};

fuzz_target!(|data: &[u8]| {
    read(data);
    // No mutation finds a hash: with the right one, the rest is asked too.
    let Some(end) = data.windows(8).position(|part| part == b",\"hash\":") else { return };
    let Some(meta) = data.windows(8).position(|part| part == b",\"meta\":") else { return };
    let (Some(inner), Some(meta)) = (data.get(8..end), data.get(meta..)) else { return };
    let hash = format!(
        r#","hash":{{"steps":"stringify:data","types":"sha3-256","value":"{}"}}"#,
        Hash::sha3(inner)
    );
    read(&[&data[..end], hash.as_bytes(), meta].concat());
});

fn read(bytes: &[u8]) {
    if let Ok(leaf) = Leaf::parse(bytes, "example.net") {
        assert_eq!(leaf.bytes(), bytes);
    }
    if let Ok(record) = Record::parse(bytes) {
        assert_eq!(record.bytes, bytes);
    }
}
