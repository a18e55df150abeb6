//! Test vectors for Merkle proofs, in the form of transparency-dev/merkle:
//! whoever doubts that this auditor checks proofs as others do can ask it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use webwallet_ledger::merkle::{self, Node, Sha256};

/// One vector: a proof, and whether it must be refused.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Vector {
    Inclusion {
        #[serde(rename = "leafIdx")]
        index: u64,
        #[serde(rename = "treeSize")]
        size: u64,
        root: Option<String>,
        #[serde(rename = "leafHash")]
        leaf: Option<String>,
        proof: Option<Vec<String>>,
        #[serde(default)]
        desc: String,
        #[serde(rename = "wantErr")]
        refused: bool,
    },
    Consistency {
        size1: u64,
        size2: u64,
        root1: Option<String>,
        root2: Option<String>,
        proof: Option<Vec<String>>,
        #[serde(default)]
        desc: String,
        #[serde(rename = "wantErr")]
        refused: bool,
    },
}

/// What became of a vector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// `inclusion` or `consistency`.
    pub kind: &'static str,
    /// As the vector describes itself.
    pub desc: String,
    /// Is the proof valid?
    pub valid: bool,
    /// Should it be?
    pub expected: bool,
}

impl Verdict {
    /// Did the vector come out as it should?
    pub fn is_right(&self) -> bool {
        self.valid == self.expected
    }
}

/// Checks all vectors in a text: JSON objects one after the other, or arrays
/// of them.
///
/// # Errors
/// The text is not that, or a vector is of neither kind.
pub fn check(text: &[u8]) -> Result<Vec<Verdict>, serde_json::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Part {
        One(Vector),
        Many(Vec<Vector>),
    }
    let mut verdicts = Vec::new();
    for part in serde_json::Deserializer::from_slice(text).into_iter::<Part>() {
        match part? {
            Part::One(vector) => verdicts.push(vector.check()),
            Part::Many(vectors) => verdicts.extend(vectors.iter().map(Vector::check)),
        }
    }
    Ok(verdicts)
}

impl Vector {
    fn check(&self) -> Verdict {
        match self {
            Vector::Inclusion { index, size, root, leaf, proof, desc, refused } => {
                let check = || {
                    let (root, leaf, proof) = (node(root)?, node(leaf)?, path(proof)?);
                    merkle::check_inclusion::<Sha256>(leaf, *index, *size, &proof, &root).ok()
                };
                let valid = check().is_some();
                Verdict { kind: "inclusion", desc: desc.clone(), valid, expected: !refused }
            }
            Vector::Consistency { size1, size2, root1, root2, proof, desc, refused } => {
                let check = || {
                    let proof = path(proof)?;
                    // One vector has roots of twelve bytes. Where nothing is to
                    // be hashed, being the same is all that is asked of them.
                    if size1 == size2 && *size1 > 0 && proof.is_empty() {
                        return (root1 == root2).then_some(());
                    }
                    let (old, new) = (node(root1)?, node(root2)?);
                    merkle::check_consistency::<Sha256>(*size1, *size2, &proof, &old, &new).ok()
                };
                let valid = check().is_some();
                Verdict { kind: "consistency", desc: desc.clone(), valid, expected: !refused }
            }
        }
    }
}

fn node(base64: &Option<String>) -> Option<Node> {
    STANDARD.decode(base64.as_deref()?).ok()?.try_into().ok()
}

fn path(proof: &Option<Vec<String>>) -> Option<Vec<Node>> {
    let hashes = proof.as_deref().unwrap_or_default();
    hashes.iter().map(|hash| STANDARD.decode(hash).ok()?.try_into().ok()).collect()
}
