//! Receipts: the proof that one record is in the log, in one file that needs
//! nothing else (c2sp.org/tlog-proof@v1): the record, its place, the path from
//! there to the root, and the checkpoint that signs the root.
//!
//! The format lets `extra` be anything; ours is the leaf itself, so any
//! verifier of the format that hashes the extra line as the leaf will do.
//! Each receipt has one spelling as text and one as JSON; both say the same.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::checkpoint::{Checkpoint, decimal, node};
use crate::hash::Hash;
use crate::json::{self, write_text};
use crate::limits::{DEPTH_MAX, RECORD_BYTES_MAX};
use crate::merkle::{self, Node, ProofError, Sha256, TreeHash};
use crate::note::{NoteError, VerifierKey};
use crate::record::Record;
use crate::rejection::Rejection;
use crate::shape::{Object, Path, array, text};

/// The first line of the text form.
const HEADER: &str = "c2sp.org/tlog-proof@v1";
/// Hashes of a path at most: a tree of `u64` leaves has no longer one.
const PATH_MAX: usize = 64;

/// Why a receipt proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// The text form is another.
    #[error("not a receipt: {0}")]
    Text(&'static str),
    /// The JSON form is another.
    #[error("not a receipt: {0}")]
    Json(Rejection),
    /// The checkpoint is not to be trusted.
    #[error("the receipt's checkpoint: {0}")]
    Note(#[from] NoteError),
    /// The path does not lead from the record to the checkpoint's root.
    #[error("the receipt's path: {0}")]
    Proof(#[from] ProofError),
    /// What is proved to be in the log is not a record.
    #[error("the receipt's record: {0}")]
    Record(Rejection),
    /// It is a record, of another server than the log's.
    #[error("the receipt's record is of {actual:?}, its log of {expected:?}")]
    Domain {
        /// Who cleared it, as it says.
        actual: String,
        /// Whose log it is in.
        expected: String,
    },
}

/// A receipt, read but not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The record as it is stored: the leaf.
    pub record: Vec<u8>,
    /// The leaf's place in the log.
    pub index: u64,
    /// The hashes from the leaf's sibling up.
    pub path: Vec<Node>,
    /// The signed checkpoint: a whole note.
    pub checkpoint: String,
}

/// What a receipt proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The record that is in the log.
    pub record: Record,
    /// The head of the log it is in.
    pub checkpoint: Checkpoint,
}

impl Receipt {
    /// Checks the whole receipt against the log's keys.
    ///
    /// # Errors
    /// What is wrong first: checkpoint, path, record.
    pub fn verify(&self, keys: &[VerifierKey]) -> Result<Verified, ReceiptError> {
        let (checkpoint, _) = Checkpoint::open(self.checkpoint.as_bytes(), keys)?;
        self.under(checkpoint)
    }

    /// The same, except that anybody may have signed the checkpoint: for whoever gets a receipt
    /// from a server, and has the log's key from nobody else.
    ///
    /// # Errors
    /// What is wrong first: checkpoint, path, record.
    pub fn verify_unsigned(&self) -> Result<Verified, ReceiptError> {
        self.under(Checkpoint::unverified(self.checkpoint.as_bytes())?.1)
    }

    fn under(&self, checkpoint: Checkpoint) -> Result<Verified, ReceiptError> {
        let leaf = Sha256::leaf(&self.record);
        let (size, root) = (checkpoint.size, &checkpoint.root);
        merkle::check_inclusion::<Sha256>(leaf, self.index, size, &self.path, root)?;
        let record = Record::parse(&self.record).map_err(ReceiptError::Record)?;
        if !record.is_of(&checkpoint.origin) {
            let (actual, expected) = (record.domain().to_owned(), checkpoint.origin);
            return Err(ReceiptError::Domain { actual, expected });
        }
        Ok(Verified { record, checkpoint })
    }

    /// Reads either form, as a file has it: JSON begins with its brace and may end with
    /// white space.
    ///
    /// # Errors
    /// Those of the form.
    pub fn read(receipt: &[u8]) -> Result<Receipt, ReceiptError> {
        match receipt.first() {
            Some(b'{') => Receipt::parse_json(receipt.trim_ascii_end()),
            _ => Receipt::parse(receipt),
        }
    }

    /// The text form, a `.tlog-proof` file.
    pub fn to_text(&self) -> String {
        let extra = STANDARD.encode(&self.record);
        let mut text = format!("{HEADER}\nextra {extra}\nindex {}\n", self.index);
        for node in &self.path {
            STANDARD.encode_string(node, &mut text);
            text.push('\n');
        }
        text + "\n" + &self.checkpoint
    }

    /// Reads the text form. The checkpoint is only taken, not read.
    ///
    /// # Errors
    /// [`ReceiptError::Text`] naming the line that is another.
    pub fn parse(receipt: &[u8]) -> Result<Receipt, ReceiptError> {
        let receipt = std::str::from_utf8(receipt).map_err(|_| ReceiptError::Text("not UTF-8"))?;
        let parts = receipt.split_once("\n\n");
        let (proof, checkpoint) = parts.ok_or(ReceiptError::Text("no blank line"))?;
        let mut lines = proof.split('\n');
        if lines.next() != Some(HEADER) {
            return Err(ReceiptError::Text("its first line is not `c2sp.org/tlog-proof@v1`"));
        }
        let extra = lines.next().and_then(|line| line.strip_prefix("extra "));
        let record = extra.and_then(|base64| STANDARD.decode(base64).ok());
        let record = record.ok_or(ReceiptError::Text("its second line is not the record"))?;
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).and_then(decimal);
        let index = index.ok_or(ReceiptError::Text("its third line is not the index"))?;
        let path: Option<Vec<Node>> = lines.take(PATH_MAX + 1).map(node).collect();
        let path = path.filter(|path| path.len() <= PATH_MAX);
        let path = path.ok_or(ReceiptError::Text("its path is not up to 64 hashes in base64"))?;
        Ok(Receipt { record, index, path, checkpoint: checkpoint.to_owned() })
    }

    /// The JSON form: `{checkpoint, hash, index, number, path, record}`,
    /// canonical, the record inside as it is.
    ///
    /// # Errors
    /// [`ReceiptError::Record`] when the record is none: name and number are its.
    pub fn to_json(&self) -> Result<Vec<u8>, ReceiptError> {
        let record = Record::parse(&self.record).map_err(ReceiptError::Record)?;
        let mut out = b"{\"checkpoint\":".to_vec();
        write_text(&self.checkpoint, &mut out);
        for (key, value) in [
            ("hash", record.hash.to_string()),
            ("index", self.index.to_string()),
            ("number", record.number.to_string()),
        ] {
            out.extend_from_slice(format!(",\"{key}\":\"{value}\"").as_bytes());
        }
        let path: Vec<String> =
            self.path.iter().map(|node| format!("\"{}\"", Hash(*node))).collect();
        out.extend_from_slice(format!(",\"path\":[{}],\"record\":", path.join(",")).as_bytes());
        out.extend_from_slice(&self.record);
        out.push(b'}');
        Ok(out)
    }

    /// Reads the JSON form.
    ///
    /// # Errors
    /// [`ReceiptError::Json`] when the form is another,
    /// [`ReceiptError::Record`] when the record is none.
    pub fn parse_json(receipt: &[u8]) -> Result<Receipt, ReceiptError> {
        let parsed = read_json(receipt).map_err(ReceiptError::Json)?;
        // Name, number and spelling: all that the parts do not say themselves.
        if parsed.to_json()? != receipt {
            let another = "not in canonical form, or not the record's hash and number";
            return Err(ReceiptError::Json(Path::ROOT.malformed(another)));
        }
        Ok(parsed)
    }
}

fn read_json(receipt: &[u8]) -> Result<Receipt, Rejection> {
    // A record inside, and a few values of our own.
    let count = json::Count::new(RECORD_BYTES_MAX / 2 + PATH_MAX + 7);
    let value = json::parse_part(receipt, DEPTH_MAX + 1, &count)?;
    let root = Path::ROOT;
    let keys = ["checkpoint", "hash", "index", "number", "path", "record"];
    let object = Object::new(&value, &root, &keys)?;
    let index = object.number("index", &root)?;
    let at = root.key("path");
    let hashes = array(object.required("path", &root)?, &at)?;
    if hashes.len() > PATH_MAX {
        return Err(at.malformed("more than 64 hashes"));
    }
    let read = |(i, hash)| {
        let at = at.index(i);
        let hash = text(hash, &at)?.parse::<Hash>().map_err(|e| at.malformed(e.to_string()))?;
        Ok(hash.0)
    };
    Ok(Receipt {
        record: object.required("record", &root)?.to_vec(),
        index,
        path: hashes.iter().enumerate().map(read).collect::<Result<_, Rejection>>()?,
        checkpoint: object.text("checkpoint", &root)?.to_owned(),
    })
}
