//! Which keys the log's notes may be signed by: all that is believed is the
//! caller's key, and it must be one of those that the log itself hands on.
//!
//! Here keys count as the log names them. Whether a key was handed on by
//! right is asked where that happens, in [`crate::chain`].

use webwallet_ledger::checkpoint::Checkpoint;
use webwallet_ledger::note::{Note, NoteError, VerifierKey};

use crate::finding::{Code, Finding, Findings};

/// The caller's key against the keys that the log names.
pub(crate) struct Trust {
    caller: VerifierKey,
    /// The log names the caller's key.
    met: bool,
    /// The key of a good genesis.
    first: Option<VerifierKey>,
    /// The one in force after what was read; none before the log names one.
    current: Option<VerifierKey>,
    /// The checkpoint that the log must extend and its size, until the key in
    /// force there has been found to be its signer's.
    from: Option<(u64, Note)>,
}

impl Trust {
    pub fn new(caller: VerifierKey, from: Option<(u64, Note)>) -> Trust {
        Trust { caller, met: false, first: None, current: None, from }
    }

    /// The key in force; the caller's while no other is known.
    pub fn current(&self) -> &VerifierKey {
        self.current.as_ref().unwrap_or(&self.caller)
    }

    /// The log names a key that was in force before.
    pub fn meet(&mut self, key: &VerifierKey) {
        self.met |= *key == self.caller;
    }

    /// The log has come to this size: has the key in force signed the checkpoint
    /// that it must extend, if that is of this size?
    pub fn look_back(&mut self, size: u64) {
        let key = self.current().clone();
        self.from.take_if(|(at, note)| *at == size && note.open(&[key]).is_ok());
    }

    /// The log begins with this key.
    pub fn begin(&mut self, key: &VerifierKey) {
        self.first = Some(key.clone());
        self.follow(key);
    }

    /// The log goes on with this key.
    pub fn follow(&mut self, key: &VerifierKey) {
        self.meet(key);
        self.current = Some(key.clone());
    }

    /// Judges the notes, when the log was read. `whole`: every leaf was, and they are those that
    /// the checkpoint speaks for. Else what is hidden may be the document that names the
    /// key, and a key that nobody names is no finding of its own.
    pub fn finish(mut self, checkpoint: &Note, whole: bool, found: &mut Findings) {
        // Before there is a genesis, its key signs that the log is empty.
        let first = self.first.clone().unwrap_or_else(|| self.caller.clone());
        self.from.take_if(|(size, note)| *size == 0 && note.open(&[first]).is_ok());
        self.met |= self.current.is_none();
        if !self.met && whole {
            let detail = "the log never had this key";
            found.whole(Finding::whole(Code::Note, "key", &self.caller.to_string(), detail));
        }
        match checkpoint.open(std::slice::from_ref(self.current())) {
            Ok(_) => {}
            Err(NoteError::Unknown { .. }) if !whole => {}
            Err(error) => {
                let expected = format!("a signature by {}", self.current());
                let actual = error.to_string();
                found.whole(Finding::whole(Code::Note, "signature", &expected, &actual));
            }
        }
        if self.from.is_some() && whole {
            let (expected, actual) = ("a signature by a key of this log", "none that is valid");
            found.whole(Finding::whole(Code::Note, "from", expected, actual));
        }
    }
}

/// Reads a note that should be a checkpoint of the domain. What is said in it
/// is not yet known to be the log's.
pub(crate) fn read_checkpoint(note: &[u8], domain: &str) -> Result<(Note, Checkpoint), NoteError> {
    let (note, checkpoint) = Checkpoint::unverified(note)?;
    if checkpoint.origin != domain {
        return Err(NoteError::Origin { actual: checkpoint.origin, expected: domain.into() });
    }
    Ok((note, checkpoint))
}
