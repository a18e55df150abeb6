//! Merkle trees of the shape of RFC 6962 (the same in RFC 9162, section 2.1),
//! over SHA-256 for the log and over SHA3-256 inside blocks and stacks.
//!
//! Only arithmetic on sizes and hashes: where the hashes are kept is the
//! caller's business. Proofs ask for *complete* subtrees alone (2^k leaves,
//! the first of them at a multiple of 2^k), because these never change as a
//! tree grows, so tiles and files can hold them; the ragged right edge of a
//! tree is computed anew each time. Every `u64` is a fair size or index.

use std::marker::PhantomData;

use sha2::Digest;

/// The hash of a leaf or of two nodes; a root is one too.
pub type Node = [u8; 32];

/// Leaves in a [`Range`] at most: a thousand leaves each microsecond fill it
/// in 292 years, so counting one more never overflows.
pub const RANGE_LEAVES_MAX: u64 = 1 << 63;

/// The prefixes keep a leaf from posing as a node (RFC 6962, section 2.1).
const LEAF: [u8; 1] = [0];
const NODE: [u8; 1] = [1];

/// The three hashes a tree is made of.
pub trait TreeHash {
    /// The root of a tree without leaves: the hash of nothing.
    fn empty() -> Node;
    /// The hash of a leaf's bytes, after the byte 0.
    fn leaf(bytes: &[u8]) -> Node;
    /// The hash of two nodes, after the byte 1.
    fn node(left: &Node, right: &Node) -> Node;
}

/// Trees that the public formats fix: the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sha256;

/// Trees of our own documents: blocks and stacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sha3;

impl TreeHash for Sha256 {
    fn empty() -> Node {
        sha2::Sha256::digest([]).into()
    }

    fn leaf(bytes: &[u8]) -> Node {
        sha2::Sha256::new().chain_update(LEAF).chain_update(bytes).finalize().into()
    }

    fn node(left: &Node, right: &Node) -> Node {
        let hash = sha2::Sha256::new().chain_update(NODE);
        hash.chain_update(left).chain_update(right).finalize().into()
    }
}

impl TreeHash for Sha3 {
    fn empty() -> Node {
        sha3::Sha3_256::digest([]).into()
    }

    fn leaf(bytes: &[u8]) -> Node {
        sha3::Sha3_256::new().chain_update(LEAF).chain_update(bytes).finalize().into()
    }

    fn node(left: &Node, right: &Node) -> Node {
        let hash = sha3::Sha3_256::new().chain_update(NODE);
        hash.chain_update(left).chain_update(right).finalize().into()
    }
}

/// All that must be kept of a tree to go on appending: its size and the roots
/// of the complete subtrees it consists of, one for each bit set in its size,
/// largest first.
pub struct Range<H> {
    size: u64,
    roots: Vec<Node>,
    hash: PhantomData<fn() -> H>,
}

// Not derived: those would ask the same of `H`, which is never there.
impl<H> Clone for Range<H> {
    fn clone(&self) -> Self {
        Range { size: self.size, roots: self.roots.clone(), hash: PhantomData }
    }
}

impl<H> std::fmt::Debug for Range<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Range").field("size", &self.size).finish_non_exhaustive()
    }
}

impl<H> PartialEq for Range<H> {
    fn eq(&self, other: &Self) -> bool {
        self.size == other.size && self.roots == other.roots
    }
}

impl<H> Eq for Range<H> {}

impl<H: TreeHash> Default for Range<H> {
    fn default() -> Self {
        Range::new()
    }
}

impl<H: TreeHash> Range<H> {
    /// A tree without leaves.
    pub fn new() -> Range<H> {
        Range { size: 0, roots: Vec::new(), hash: PhantomData }
    }

    /// The tree whose complete subtrees have these roots; `None` unless there
    /// is one for each bit set in `size`, and `size` is at most
    /// [`RANGE_LEAVES_MAX`].
    pub fn from_roots(size: u64, roots: Vec<Node>) -> Option<Range<H>> {
        let fits = size <= RANGE_LEAVES_MAX && roots.len() == size.count_ones() as usize;
        fits.then_some(Range { size, roots, hash: PhantomData })
    }

    /// Appends the hash of a leaf.
    pub fn push(&mut self, leaf: Node) {
        let mut node = leaf;
        // A carry in the count is two subtrees of one size becoming one.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.roots.pop() {
                node = H::node(&left, &node);
            }
        }
        self.roots.push(node);
        self.size += 1;
    }

    /// Leaves in the tree.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root of the tree.
    pub fn root(&self) -> Node {
        fold::<H>(&self.roots).unwrap_or_else(H::empty)
    }

    /// The roots of its complete subtrees, largest first.
    pub fn roots(&self) -> &[Node] {
        &self.roots
    }
}

/// Complete subtrees that stand side by side, larger ones first, as one tree.
fn fold<H: TreeHash>(roots: &[Node]) -> Option<Node> {
    let (last, rest) = roots.split_last()?;
    Some(rest.iter().rev().fold(*last, |right, left| H::node(left, &right)))
}

/// The root over these hashes of leaves.
pub fn root<H: TreeHash>(leaves: &[Node]) -> Node {
    let mut range = Range::<H>::new();
    leaves.iter().for_each(|leaf| range.push(*leaf));
    range.root()
}

/// The complete subtrees that leaves `first` up to `end` consist of, as (first
/// leaf, leaves), from left to right. `first` must be a multiple of some power
/// of two that is not smaller than `end - first`.
fn complete(first: u64, end: u64) -> impl Iterator<Item = (u64, u64)> {
    let mut at = first;
    std::iter::from_fn(move || {
        let leaves = 1 << (end - at).checked_ilog2()?;
        at += leaves;
        Some((at - leaves, leaves))
    })
}

/// The root of leaves `first` up to `end`, from its complete subtrees.
fn subtree_root<H: TreeHash, E>(
    first: u64,
    end: u64,
    subtree: &mut impl FnMut(u64, u64) -> Result<Node, E>,
) -> Result<Node, E> {
    let roots: Vec<Node> =
        complete(first, end).map(|(at, leaves)| subtree(at, leaves)).collect::<Result<_, E>>()?;
    Ok(fold::<H>(&roots).unwrap_or_else(H::empty))
}

/// The tree of `size` leaves, ready to be appended to. `subtree(first, leaves)`
/// answers the root of a complete subtree.
///
/// # Errors
/// Those of `subtree`. `Ok(None)` if `size` is over [`RANGE_LEAVES_MAX`].
pub fn range<H: TreeHash, E>(
    size: u64,
    subtree: &mut impl FnMut(u64, u64) -> Result<Node, E>,
) -> Result<Option<Range<H>>, E> {
    let roots = complete(0, size).map(|(first, leaves)| subtree(first, leaves));
    Ok(Range::from_roots(size, roots.collect::<Result<_, E>>()?))
}

/// The path that proves a leaf to be at `index` in the tree of `size` leaves,
/// from the leaf's sibling up (RFC 9162, section 2.1.3). `subtree(first,
/// leaves)` answers the root of a complete subtree of that tree.
///
/// There is no path for an `index` outside the tree: the answer is an empty
/// one, which [`check_inclusion`] refuses.
///
/// # Errors
/// Those of `subtree`.
pub fn inclusion<H: TreeHash, E>(
    index: u64,
    size: u64,
    subtree: &mut impl FnMut(u64, u64) -> Result<Node, E>,
) -> Result<Vec<Node>, E> {
    let mut path = Vec::new();
    let (mut first, mut end) = (0, size);
    while index < size && end - first > 1 {
        let middle = split(first, end);
        let sibling = if index < middle { (middle, end) } else { (first, middle) };
        path.push(subtree_root::<H, E>(sibling.0, sibling.1, subtree)?);
        (first, end) = if index < middle { (first, middle) } else { (middle, end) };
    }
    path.reverse();
    Ok(path)
}

/// The path that proves the tree of `to` leaves to begin with the tree of
/// `from` (RFC 9162, section 2.1.4). `subtree(first, leaves)` answers the root
/// of a complete subtree of the larger tree.
///
/// The path is empty if the sizes are equal. There is none from an empty tree
/// or a larger one: then it is empty too, and [`check_consistency`] refuses.
///
/// # Errors
/// Those of `subtree`.
pub fn consistency<H: TreeHash, E>(
    from: u64,
    to: u64,
    subtree: &mut impl FnMut(u64, u64) -> Result<Node, E>,
) -> Result<Vec<Node>, E> {
    let mut path = Vec::new();
    if from == 0 || from >= to {
        return Ok(path);
    }
    let (mut first, mut end) = (0, to);
    // Down to the subtree that ends where the older tree ends.
    while end != from {
        let middle = split(first, end);
        let sibling = if from <= middle { (middle, end) } else { (first, middle) };
        path.push(subtree_root::<H, E>(sibling.0, sibling.1, subtree)?);
        (first, end) = if from <= middle { (first, middle) } else { (middle, end) };
    }
    // If that subtree is the whole older tree, its root is known to the reader.
    if first > 0 {
        path.push(subtree_root::<H, E>(first, end, subtree)?);
    }
    path.reverse();
    Ok(path)
}

/// Where a tree of two leaves or more is split: the left side has the largest
/// power of two of leaves that is smaller than all.
fn split(first: u64, end: u64) -> u64 {
    first + (1 << (end - first - 1).ilog2())
}

/// Why a proof proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// No such leaf, or no such older tree.
    #[error("{asked} is outside what a tree of {size} leaves can prove")]
    Outside {
        /// The index of the leaf, or the size of the older tree.
        asked: u64,
        /// Leaves of the tree.
        size: u64,
    },
    /// The sizes say how long a path is.
    #[error("a path of {actual} hashes, where the sizes ask for another length")]
    Length {
        /// Hashes given.
        actual: usize,
    },
    /// The path leads to another root.
    #[error("the path leads to another root")]
    Root,
}

/// Checks that `leaf` is at `index` in the tree of `size` leaves and this root
/// (RFC 9162, section 2.1.3.2).
///
/// # Errors
/// What is wrong first: place, length of the path, root.
pub fn check_inclusion<H: TreeHash>(
    leaf: Node,
    index: u64,
    size: u64,
    path: &[Node],
    root: &Node,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Outside { asked: index, size });
    }
    let reached = climb::<H>(index, size - 1, leaf, leaf, path)?.1;
    if reached == *root { Ok(()) } else { Err(ProofError::Root) }
}

/// Checks that the tree of `to` leaves and root `new` begins with the tree of
/// `from` leaves and root `old` (RFC 9162, section 2.1.4.2). An empty older
/// tree is refused: every tree begins with it, so that would prove nothing.
///
/// # Errors
/// What is wrong first: sizes, length of the path, roots.
pub fn check_consistency<H: TreeHash>(
    from: u64,
    to: u64,
    path: &[Node],
    old: &Node,
    new: &Node,
) -> Result<(), ProofError> {
    if from == 0 || from > to {
        return Err(ProofError::Outside { asked: from, size: to });
    }
    let length = ProofError::Length { actual: path.len() };
    if from == to {
        return match path {
            [] if old == new => Ok(()),
            [] => Err(ProofError::Root),
            _ => Err(length),
        };
    }
    // The last complete subtree of the older tree: a power of two is one whole.
    let (start, rest) = if from.is_power_of_two() {
        (*old, path)
    } else {
        path.split_first().map(|(start, rest)| (*start, rest)).ok_or(length)?
    };
    let level = from.trailing_zeros();
    let reached = climb::<H>((from - 1) >> level, (to - 1) >> level, start, start, rest)
        .map_err(|_| length)?;
    if reached == (*old, *new) { Ok(()) } else { Err(ProofError::Root) }
}

/// From a node up to the roots of two trees: the one that ends with the node,
/// and the one whose last node on the same level is `last`. The path must have
/// exactly as many hashes as that takes.
fn climb<H: TreeHash>(
    mut index: u64,
    mut last: u64,
    mut ending: Node,
    mut whole: Node,
    path: &[Node],
) -> Result<(Node, Node), ProofError> {
    for sibling in path {
        if last == 0 {
            return Err(ProofError::Length { actual: path.len() });
        }
        if index % 2 == 1 || index == last {
            // A node without a sibling stands for itself, however far up.
            let skip = index.trailing_zeros();
            (index, last) = (index >> skip, last >> skip);
            ending = H::node(sibling, &ending);
            whole = H::node(sibling, &whole);
        } else {
            whole = H::node(&whole, sibling);
        }
        (index, last) = (index >> 1, last >> 1);
    }
    if last == 0 { Ok((ending, whole)) } else { Err(ProofError::Length { actual: path.len() }) }
}
