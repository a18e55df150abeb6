//! What an audit finds: which rule is broken, where, and by what.
//!
//! Two auditors must name the same first finding, so the order is part of the
//! contract: what concerns the whole log first, then leaf by leaf, and within
//! a leaf in the order of [`Code`].

use std::fmt;

use serde::{Serialize, Serializer};

/// Findings of each sort, in files and in leaves, that are listed. After so many files or
/// leaves that are bad reading stops: a log that is wrong everywhere must fill neither memory
/// nor time, however long it claims to be.
pub(crate) const LISTED_MAX: usize = 10_000;

/// One row for each rule; the order of rows is the order of findings in a leaf.
macro_rules! codes {
    ($($variant:ident $name:literal $rule:literal)*) => {
        /// Which rule is broken.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $rule] $variant,)*
        }

        impl Code {
            /// Every code, in order.
            pub const ALL: &[Code] = &[$(Code::$variant),*];

            /// As written in reports; stable.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $name),* }
            }

            /// The rule, in one sentence.
            pub fn rule(self) -> &'static str {
                match self { $(Code::$variant => $rule),* }
            }
        }
    };
}

codes! {
    Note "A-NOTE" "The checkpoint is a note of this log, signed by its key."
    Rewrite "A-REWRITE" "The log extends the checkpoint seen before."
    Tile "A-TILE" "Every tile and bundle is there, and their hashes give the checkpoint's root."
    Encoding "A-ENCODING" "A leaf is one canonical document of a known kind, within its size."
    Hash "A-HASH" "A document is named by the hash of its data, of an allowed kind."
    Header "A-HEADER" "Blocks, stacks, genesis and keys say what is the case, in their order."
    Gap "A-GAP" "Records are numbered from 1 without gaps."
    Keys "A-KEYS" "A key of the log is replaced only by one that it signs."
    Time "A-TIME" "Times never run backwards, nor more than five minutes ahead."
    Domain "A-DOMAIN" "An IOU is cleared only where it was written for."
    Sig "A-SIG" "Every IOU is signed by its source, and every address is one."
    Double "A-DOUBLE" "An IOU or a lock is used once."
    Expiry "A-EXPIRY" "An IOU clears from its active time to its expiry."
    Grant "A-GRANT" "Credit is given by the issuer, and withdrawn only as far as given."
    Lock "A-LOCK" "A lock is used by one of its two, in their time, on its conditions."
    Limit "A-LIMIT" "Every balance keeps its limits."
    Output "A-OUTPUT" "Outputs are those that clearing gives."
    State "A-STATE" "A block names the state of all accounts and units."
    Sum "A-SUM" "Every unit sums to zero."
    Stale "A-STALE" "The last block is not older than asked for."
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Where in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Index of the leaf.
    pub leaf: u64,
    /// Block documents before it.
    pub block: u64,
    /// Records before it, itself included if it is one or cannot be read.
    pub number: u64,
}

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which rule.
    pub code: Code,
    /// Height of the block it is in; none where the whole log is meant.
    #[serde(serialize_with = "decimal")]
    pub block: Option<u64>,
    /// Number of the record it is, or of the last one before it.
    #[serde(serialize_with = "decimal")]
    pub number: Option<u64>,
    /// Index of the leaf; under a bad hash, of the lowest.
    #[serde(serialize_with = "decimal")]
    pub leaf: Option<u64>,
    /// The part of the document: keys and positions with dots between.
    pub field: String,
    /// What would be right, where that can be said.
    pub expected: Option<String>,
    /// What is there, or what is wrong with it.
    pub actual: Option<String>,
}

/// Bytes of a text in a finding: a leaf can write sixty thousand into one.
const TEXT_MAX: usize = 1_000;

fn short(mut text: String) -> String {
    if text.len() > TEXT_MAX {
        let end = (0..=TEXT_MAX).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or_default());
        text.push('…');
    }
    text
}

/// Numbers in JSON are decimal strings.
fn decimal<S: Serializer>(number: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
    number.map(|number| number.to_string()).serialize(serializer)
}

impl Finding {
    /// A finding about the log as a whole.
    pub(crate) fn whole(code: Code, field: &str, expected: &str, actual: &str) -> Finding {
        let [expected, actual] = [expected, actual].map(|text| Some(short(text.to_owned())));
        Finding {
            code,
            block: None,
            number: None,
            leaf: None,
            field: field.into(),
            expected,
            actual,
        }
    }

    /// A finding at a leaf.
    pub(crate) fn at(
        place: Place,
        code: Code,
        field: impl Into<String>,
        expected: impl ToString,
        actual: impl ToString,
    ) -> Finding {
        Finding {
            code,
            block: Some(place.block),
            number: Some(place.number),
            leaf: Some(place.leaf),
            field: short(field.into()),
            expected: Some(short(expected.to_string())),
            actual: Some(short(actual.to_string())),
        }
    }

    /// A finding at a leaf where only what is wrong can be said.
    pub(crate) fn wrong(
        place: Place,
        code: Code,
        field: impl Into<String>,
        detail: impl ToString,
    ) -> Finding {
        Finding { expected: None, ..Finding::at(place, code, field, "", detail) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<10} ", self.code)?;
        match (self.block, self.number, self.leaf) {
            (Some(block), Some(number), Some(leaf)) => {
                write!(f, "block {block}, number {number}, leaf {leaf}: ")?;
            }
            _ => f.write_str("the whole log: ")?,
        }
        f.write_str(&self.field)?;
        match (&self.expected, &self.actual) {
            (Some(expected), Some(actual)) => write!(f, ": expected {expected}, found {actual}"),
            (None, Some(actual)) => write!(f, ": {actual}"),
            _ => Ok(()),
        }
    }
}

/// The findings of one audit, while it runs.
#[derive(Default)]
pub(crate) struct Findings {
    /// A-NOTE and A-REWRITE.
    whole: Vec<Finding>,
    /// A-TILE, each with its rank among those of one leaf.
    tiles: Vec<(u8, Finding)>,
    leaves: Vec<Finding>,
    /// Leaves with a finding, and the last of them.
    bad: (usize, Option<u64>),
    unlisted: u64,
}

impl Findings {
    /// Takes a finding that concerns the whole log.
    pub fn whole(&mut self, finding: Finding) {
        self.whole.push(finding);
    }

    /// Takes an A-TILE; bundles have rank 0, tiles their level plus one.
    pub fn tile(&mut self, rank: u8, finding: Finding) {
        match self.tiles.len() < LISTED_MAX {
            true => self.tiles.push((rank, finding)),
            false => self.unlisted += 1,
        }
    }

    /// Takes a finding at a leaf.
    pub fn leaf(&mut self, finding: Finding) {
        if self.bad.1 != finding.leaf {
            self.bad = (self.bad.0 + 1, finding.leaf);
        }
        match self.leaves.len() < LISTED_MAX {
            true => self.leaves.push(finding),
            false => self.unlisted += 1,
        }
    }

    /// Whether so many files or leaves are bad that nobody needs more. How much is found in a
    /// leaf is for each auditor to say; how many are bad, they agree on.
    pub fn are_enough(&self) -> bool {
        self.tiles.len() >= LISTED_MAX || self.bad.0 >= LISTED_MAX
    }

    /// Has no A-TILE been found?
    pub fn tiles_are_good(&self) -> bool {
        self.tiles.is_empty()
    }

    /// Was an A-TILE found under the first so many leaves?
    pub fn damaged_below(&self, size: u64) -> bool {
        self.tiles.iter().any(|(_, finding)| finding.leaf.is_none_or(|leaf| leaf < size))
    }

    /// All of them in order, and how many are not listed.
    pub fn finish(mut self) -> (Vec<Finding>, u64) {
        self.whole.sort_by_key(|finding| finding.code);
        self.tiles.sort_by_key(|(rank, finding)| (finding.leaf, *rank));
        self.leaves.sort_by_key(|finding| (finding.leaf, finding.code));
        let tiles = self.tiles.into_iter().map(|(_, finding)| finding);
        let all = self.whole.into_iter().chain(tiles).chain(self.leaves).collect();
        (all, self.unlisted)
    }
}
