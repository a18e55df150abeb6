//! Proofs of what is, or is not, under one key of a [`crate::state::Tree`].

use faster_hex::hex_string;

use crate::hash::Hash;
use crate::json;
use crate::limits::DEPTH_MAX;
use crate::merkle::{Node, Sha3, TreeHash};
use crate::rejection::Rejection;
use crate::shape::{Object, Path, array, text};

/// The root of a tree, or hash of a subtree, with nothing in it.
pub const EMPTY: Node = [0; 32];

/// The hash of a subtree with a single leaf.
pub(super) fn leaf_hash(key: &Node, value: &Node) -> Node {
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(key);
    bytes[32..].copy_from_slice(value);
    Sha3::leaf(&bytes)
}

/// The side of a key below a node so deep: 0 is left.
pub(super) fn side(key: &Node, depth: usize) -> usize {
    usize::from(key[depth / 8] >> (7 - depth % 8) & 1)
}

/// How many bits two keys have in common; 256 when they are the same.
pub(super) fn common(a: &Node, b: &Node) -> usize {
    let differs = a.iter().zip(b).position(|(a, b)| a != b);
    differs.map_or(256, |i| i * 8 + (a[i] ^ b[i]).leading_zeros() as usize)
}

/// What is under a key, or that nothing is. Nothing in it is to be believed
/// before [`Proof::check`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The key it is about.
    pub key: Node,
    /// What is there: the bytes of the value.
    pub value: Option<Vec<u8>>,
    /// If nothing is there: key and value hash of the one leaf on the way to it.
    pub other: Option<(Node, Node)>,
    /// The hashes beside the way, from the root down.
    pub siblings: Vec<Node>,
}

/// Why a proof proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// It may be right, but for another key.
    #[error("the proof is about another key")]
    Key,
    /// No tree gives such a proof.
    #[error("the proof is not of a form that a tree gives: {0}")]
    Form(&'static str),
    /// Another root, or something changed.
    #[error("the proof does not lead to this root")]
    Root,
}

impl Proof {
    /// Checks that under this root the key holds `value`, or nothing.
    ///
    /// # Errors
    /// Why it does not show that.
    pub fn check(&self, key: &Node, root: &Node) -> Result<(), ProofError> {
        if self.key != *key {
            return Err(ProofError::Key);
        }
        let depth = self.siblings.len();
        let below = match (&self.value, &self.other) {
            (Some(_), Some(_)) => {
                return Err(ProofError::Form("it has both a value and another leaf"));
            }
            (Some(value), None) => leaf_hash(key, &Hash::sha3(value).0),
            (None, Some((other, _))) if other == key => {
                return Err(ProofError::Form("the leaf in its way has the key itself"));
            }
            (None, Some((other, _))) if common(key, other) < depth => {
                return Err(ProofError::Form("the leaf in its way is not on the way"));
            }
            (None, Some((other, value))) => leaf_hash(other, value),
            (None, None) => EMPTY,
        };
        if depth > 256 {
            return Err(ProofError::Form("it is deeper than a key is long"));
        }
        if self.siblings.last() == Some(&EMPTY) {
            return Err(ProofError::Form("its last node has fewer than two leaves"));
        }
        let steps = self.siblings.iter().enumerate().rev();
        let found = steps.fold(below, |below, (depth, beside)| match side(key, depth) {
            0 => Sha3::node(&below, beside),
            _ => Sha3::node(beside, &below),
        });
        if found == *root { Ok(()) } else { Err(ProofError::Root) }
    }

    /// `{key, other?: {key, valuehash}, siblings, value?}` in canonical JSON.
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = format!("{{\"key\":\"{}\"", hex_string(&self.key)).into_bytes();
        if let Some((key, value)) = self.other {
            out.extend_from_slice(b",\"other\":");
            let members = [("key", &*hex_string(&key)), ("valuehash", &hex_string(&value))];
            json::write_texts(&members, &mut out);
        }
        out.extend_from_slice(b",\"siblings\":[");
        for (i, sibling) in self.siblings.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            json::write_text(&hex_string(sibling), &mut out);
        }
        out.push(b']');
        if let Some(value) = &self.value {
            out.extend_from_slice(b",\"value\":");
            out.extend_from_slice(value);
        }
        out.push(b'}');
        out
    }

    /// Reads a proof, formatted as it may be.
    ///
    /// # Errors
    /// `malformed` or `too_large`.
    pub fn parse(json: &[u8]) -> Result<Proof, Rejection> {
        let value = json::parse(json, DEPTH_MAX)?;
        let at = &Path::ROOT;
        let proof = Object::new(&value, at, &["key", "other", "siblings", "value"])?;
        let other_at = &at.key("other");
        let read_other = |other| -> Result<(Node, Node), Rejection> {
            let other = Object::new(other, other_at, &["key", "valuehash"])?;
            Ok((
                node(other.text("key", other_at)?, other_at)?,
                node(other.text("valuehash", other_at)?, other_at)?,
            ))
        };
        let siblings_at = &at.key("siblings");
        let siblings = array(proof.required("siblings", at)?, siblings_at)?;
        let read_sibling = |(i, sibling)| {
            let at = siblings_at.index(i);
            node(text(sibling, &at)?, &at)
        };
        Ok(Proof {
            key: node(proof.text("key", at)?, &at.key("key"))?,
            value: proof.optional("value").map(json::Value::to_vec),
            other: proof.optional("other").map(read_other).transpose()?,
            siblings: siblings.iter().enumerate().map(read_sibling).collect::<Result<_, _>>()?,
        })
    }
}

fn node(hex: &str, at: &Path<'_>) -> Result<Node, Rejection> {
    let hash: Result<Hash, _> = hex.parse();
    hash.map(|hash| hash.0).map_err(|e| at.malformed(e.to_string()))
}
