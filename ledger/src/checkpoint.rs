//! Checkpoints (c2sp.org/tlog-checkpoint): what a log of a name says its size
//! and root are, as a signed note.
//!
//! Ours have no extension lines. Those of a note from elsewhere are part of
//! what is signed and otherwise ignored, as the format asks.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::merkle::Node;
use crate::note::{self, Note, NoteError, SignatureLine, VerifierKey};

/// The head of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name; our domain, and the name of the key that signs.
    pub origin: String,
    /// Leaves.
    pub size: u64,
    /// Root of the SHA-256 tree over them.
    pub root: Node,
}

impl Checkpoint {
    /// The text that is signed: three lines.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root))
    }

    /// Reads the text of a note.
    ///
    /// # Errors
    /// [`NoteError::Checkpoint`] when the form is another.
    pub fn parse(text: &str) -> Result<Checkpoint, NoteError> {
        let lines =
            text.strip_suffix('\n').ok_or(NoteError::Checkpoint("no newline at its end"))?;
        let mut lines = lines.split('\n');
        let mut next = |missing| lines.next().ok_or(NoteError::Checkpoint(missing));
        let (origin, size, root) = (next("no origin")?, next("no size")?, next("no root")?);
        if origin.is_empty() || lines.any(str::is_empty) {
            return Err(NoteError::Checkpoint("an empty line"));
        }
        let size = decimal(size).ok_or(NoteError::Checkpoint("the size is not a number"))?;
        let root = node(root).ok_or(NoteError::Checkpoint("the root is not base64 of 32 bytes"))?;
        Ok(Checkpoint { origin: origin.to_owned(), size, root })
    }

    /// The checkpoint in a note that anybody may have signed, and the note.
    ///
    /// # Errors
    /// As [`Note::parse`], then [`Checkpoint::parse`].
    pub fn unverified(note: &[u8]) -> Result<(Note, Checkpoint), NoteError> {
        let note = Note::parse(note)?;
        let checkpoint = Checkpoint::parse(&note.text)?;
        Ok((note, checkpoint))
    }

    /// The whole note, signed by the log's key.
    pub fn sign(&self, secret: &[u8; 32]) -> String {
        let text = self.text();
        note::write(&text, &[&note::sign(&text, &self.origin, secret)])
    }

    /// The checkpoint in a note, once it is known to be one of a log whose key
    /// is in the list: a log's key has its origin as its name. With it, the
    /// signature line that says so.
    ///
    /// # Errors
    /// As [`Note::open`], then [`Checkpoint::parse`], then [`NoteError::Origin`].
    pub fn open(
        note: &[u8],
        keys: &[VerifierKey],
    ) -> Result<(Checkpoint, SignatureLine), NoteError> {
        let note = Note::parse(note)?;
        let (text, line) = note.open(keys)?;
        let checkpoint = Checkpoint::parse(text)?;
        if checkpoint.origin != line.name {
            let (actual, expected) = (checkpoint.origin, line.name.clone());
            return Err(NoteError::Origin { actual, expected });
        }
        Ok((checkpoint, line.clone()))
    }
}

/// A decimal number without sign or leading zeroes.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    // "+1" and "01" parse as numbers too.
    text.parse().ok().filter(|number: &u64| number.to_string() == text)
}

/// The base64 of a hash.
pub(crate) fn node(text: &str) -> Option<Node> {
    STANDARD.decode(text).ok()?.try_into().ok()
}
