//! Signed notes: what is read has no other bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use webwallet_ledger::note::{Note, SignatureLine, VerifierKey, verifier_key, write};

fuzz_target!(|data: &[u8]| {
    if let Ok(note) = Note::parse(data) {
        let lines: Vec<&str> = note.signatures.iter().map(|line| line.line.as_str()).collect();
        assert_eq!(write(&note.text, &lines).as_bytes(), data);
        let _ = note.open(&[verifier_key("example.net", &[3; 32])]);
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(line) = SignatureLine::parse(text) {
        assert_eq!(line.line, text);
    }
    if let Ok(key) = text.parse::<VerifierKey>() {
        assert_eq!(key.to_string(), text);
    }
});
