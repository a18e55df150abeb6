//! Checkpoints: the text of one, and a whole note, signed or not.
#![no_main]

use libfuzzer_sys::fuzz_target;
use webwallet_ledger::checkpoint::Checkpoint;
use webwallet_ledger::note::{sign, verifier_key, write};

fuzz_target!(|data: &[u8]| {
    let secret = [3; 32];
    let _ = Checkpoint::open(data, &[verifier_key("example.net", &secret)]);
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(checkpoint) = Checkpoint::parse(text) else { return };
    // Extension lines may follow.
    assert!(text.starts_with(&checkpoint.text()));
    // Whatever is a checkpoint is one when signed, unless it is no text of a note.
    let note = write(text, &[&sign(text, &checkpoint.origin, &secret)]);
    let keys = [verifier_key(&checkpoint.origin, &secret)];
    if let Ok((opened, _)) = Checkpoint::open(note.as_bytes(), &keys) {
        assert_eq!(opened, checkpoint);
    }
});
