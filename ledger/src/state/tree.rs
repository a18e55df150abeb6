//! A compact sparse Merkle tree over SHA3-256: 2^256 places, few of them
//! taken, and a root that says for every place what is there or that nothing is.
//!
//! The root depends on what is in the tree, never on how it came there. A
//! subtree with nothing in it is 32 zero bytes, one with a single leaf is that
//! leaf, and one with two leaves or more is a node, even if one side is empty.
//! Keys must be hashes: then a path is about as long as the logarithm of their
//! number, and nobody can make it much longer.
//!
//! Roots are computed when asked for, and only along what changed since.
//! Everything lies in two lists and is linked by 32-bit places: a leaf takes
//! 64 bytes and what it holds, the nodes above it 58 bytes on average.

use crate::merkle::{Node, Sha3, TreeHash};
use crate::state::proof::{EMPTY, Proof, common, leaf_hash, side};

/// Stands for the hash of a node that is to be computed: no hash function has
/// ever given it.
const UNKNOWN: Node = [0; 32];

/// A place in a list: of nothing, of a leaf or of a node, in four bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Link(u32);

/// What a link points at.
enum Below {
    Nothing,
    Leaf(u32),
    Node(u32),
}

impl Link {
    const NOTHING: Link = Link(u32::MAX);
    const LEAF: u32 = 1 << 31;

    fn to_leaf(place: u32) -> Link {
        Link(place | Link::LEAF)
    }

    fn below(self) -> Below {
        match self {
            Link::NOTHING => Below::Nothing,
            Link(place) if place & Link::LEAF != 0 => Below::Leaf(place & !Link::LEAF),
            Link(place) => Below::Node(place),
        }
    }
}

#[derive(Clone, Debug)]
struct Leaf<T> {
    key: Node,
    /// Hash of its value.
    value: Node,
    held: T,
}

#[derive(Clone, Copy, Debug)]
struct Fork {
    hash: Node,
    children: [Link; 2],
}

/// The tree. Each leaf also holds something that no hash depends on.
#[derive(Clone, Debug)]
pub struct Tree<T = ()> {
    root: Link,
    leaves: List<Leaf<T>>,
    forks: List<Fork>,
}

impl<T> Default for Tree<T> {
    fn default() -> Tree<T> {
        Tree { root: Link::NOTHING, leaves: List::default(), forks: List::default() }
    }
}

impl<T> Tree<T> {
    /// A tree with nothing in it.
    pub fn new() -> Tree<T> {
        Tree::default()
    }

    /// How many leaves there are.
    pub fn len(&self) -> u64 {
        self.leaves.len()
    }

    /// Is there nothing in it?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the leaf under this key holds.
    pub fn get(&self, key: &Node) -> Option<&T> {
        let (mut link, mut depth) = (self.root, 0);
        loop {
            match link.below() {
                Below::Nothing => return None,
                Below::Leaf(place) => {
                    let leaf = self.leaves.at(place);
                    return (leaf.key == *key).then_some(&leaf.held);
                }
                Below::Node(place) => link = self.forks.at(place).children[side(key, depth)],
            }
            depth += 1;
        }
    }

    /// Key, value hash and what is held of every leaf, in the order of keys.
    pub fn leaves(&self) -> impl Iterator<Item = (&Node, &Node, &T)> {
        let mut ahead = vec![self.root];
        std::iter::from_fn(move || {
            loop {
                match ahead.pop()?.below() {
                    Below::Nothing => {}
                    Below::Leaf(place) => {
                        let leaf = self.leaves.at(place);
                        return Some((&leaf.key, &leaf.value, &leaf.held));
                    }
                    Below::Node(place) => {
                        let [left, right] = self.forks.at(place).children;
                        ahead.extend([right, left]);
                    }
                }
            }
        })
    }

    /// Puts a leaf under this key, instead of one that may be there.
    pub fn set(&mut self, key: Node, value: Node, held: T) {
        let (mut link, mut depth) = (self.root, 0);
        let mut parent = None;
        while let Below::Node(place) = link.below() {
            let fork = self.forks.at_mut(place);
            fork.hash = UNKNOWN;
            parent = Some((place, side(&key, depth)));
            link = fork.children[side(&key, depth)];
            depth += 1;
        }
        let leaf = Leaf { key, value, held };
        let new = match link.below() {
            Below::Leaf(place) if self.leaves.at(place).key == key => {
                *self.leaves.at_mut(place) = leaf;
                return;
            }
            Below::Leaf(place) => {
                let other = self.leaves.at(place).key;
                let new = Link::to_leaf(self.leaves.add(leaf));
                self.fork(depth, (&key, new), (&other, link))
            }
            Below::Nothing | Below::Node(_) => Link::to_leaf(self.leaves.add(leaf)),
        };
        match parent {
            Some((place, side)) => self.forks.at_mut(place).children[side] = new,
            None => self.root = new,
        }
    }

    /// The subtree at this depth that has two leaves.
    fn fork(&mut self, depth: usize, a: (&Node, Link), b: (&Node, Link)) -> Link {
        let split = common(a.0, b.0);
        let mut children = [Link::NOTHING; 2];
        children[side(a.0, split)] = a.1;
        children[side(b.0, split)] = b.1;
        let mut top = Link(self.forks.add(Fork { hash: UNKNOWN, children }));
        for depth in (depth..split).rev() {
            let mut children = [Link::NOTHING; 2];
            children[side(a.0, depth)] = top;
            top = Link(self.forks.add(Fork { hash: UNKNOWN, children }));
        }
        top
    }

    /// Takes the leaf under this key away; `false` if there is none.
    pub fn remove(&mut self, key: &Node) -> bool {
        match self.without(self.root, key, 0) {
            Some(root) => {
                self.root = root;
                true
            }
            None => false,
        }
    }

    /// What is left below a link when the key is gone; `None` if it is not there.
    fn without(&mut self, link: Link, key: &Node, depth: usize) -> Option<Link> {
        match link.below() {
            Below::Nothing => None,
            Below::Leaf(place) => (self.leaves.at(place).key == *key).then(|| {
                self.leaves.free(place);
                Link::NOTHING
            }),
            Below::Node(place) => {
                let child = self.forks.at(place).children[side(key, depth)];
                let left = self.without(child, key, depth + 1)?;
                let fork = self.forks.at_mut(place);
                fork.hash = UNKNOWN;
                fork.children[side(key, depth)] = left;
                let [a, b] = fork.children;
                match (a.below(), b.below()) {
                    (Below::Node(_), _)
                    | (_, Below::Node(_))
                    | (Below::Leaf(_), Below::Leaf(_)) => Some(link),
                    // A single leaf, or nothing, stands for itself.
                    (Below::Nothing, _) => {
                        self.forks.free(place);
                        Some(b)
                    }
                    (_, Below::Nothing) => {
                        self.forks.free(place);
                        Some(a)
                    }
                }
            }
        }
    }

    /// The root.
    pub fn root(&mut self) -> Node {
        self.hash(self.root)
    }

    /// The hash of a subtree; computed and kept where it is not known.
    fn hash(&mut self, link: Link) -> Node {
        match link.below() {
            Below::Nothing => EMPTY,
            Below::Leaf(place) => {
                let leaf = self.leaves.at(place);
                leaf_hash(&leaf.key, &leaf.value)
            }
            Below::Node(place) => {
                let Fork { hash, children: [left, right] } = *self.forks.at(place);
                if hash != UNKNOWN {
                    return hash;
                }
                let hash = Sha3::node(&self.hash(left), &self.hash(right));
                self.forks.at_mut(place).hash = hash;
                hash
            }
        }
    }

    /// What is under this key, or that nothing is; `value` gives back the bytes
    /// whose hash the leaf was set with.
    pub fn prove(&mut self, key: &Node, value: impl FnOnce(&T) -> Vec<u8>) -> Proof {
        let mut proof = Proof { key: *key, value: None, other: None, siblings: Vec::new() };
        let mut link = self.root;
        while let Below::Node(place) = link.below() {
            let side = side(key, proof.siblings.len());
            let children = self.forks.at(place).children;
            proof.siblings.push(self.hash(children[1 - side]));
            link = children[side];
        }
        if let Below::Leaf(place) = link.below() {
            let leaf = self.leaves.at(place);
            match leaf.key == *key {
                true => proof.value = Some(value(&leaf.held)),
                false => proof.other = Some((leaf.key, leaf.value)),
            }
        }
        proof
    }
}

/// Items that never move, with places for reuse. It grows by pieces: a list
/// that doubles would take up to three times what is in it.
#[derive(Clone, Debug)]
struct List<T> {
    pieces: Vec<Vec<T>>,
    free: Vec<u32>,
}

const PIECE: usize = 1 << 12;

impl<T> Default for List<T> {
    fn default() -> List<T> {
        List { pieces: Vec::new(), free: Vec::new() }
    }
}

impl<T> List<T> {
    fn len(&self) -> u64 {
        let last = self.pieces.last().map_or(0, Vec::len);
        let taken = self.pieces.len().saturating_sub(1) * PIECE + last;
        (taken - self.free.len()) as u64
    }

    fn at(&self, place: u32) -> &T {
        &self.pieces[place as usize / PIECE][place as usize % PIECE]
    }

    fn at_mut(&mut self, place: u32) -> &mut T {
        &mut self.pieces[place as usize / PIECE][place as usize % PIECE]
    }

    fn add(&mut self, item: T) -> u32 {
        if let Some(place) = self.free.pop() {
            *self.at_mut(place) = item;
            return place;
        }
        if self.pieces.last().is_none_or(|last| last.len() == PIECE) {
            self.pieces.push(Vec::new());
        }
        let before = (self.pieces.len() - 1) * PIECE;
        let last = self.pieces.last_mut().expect("there is one now");
        last.push(item);
        let place = before + last.len() - 1;
        // 2^31 leaves take over 400 GiB.
        assert!(place < Link::LEAF as usize - 1, "more leaves than links can tell apart");
        place as u32
    }

    /// What was there stays until the place is taken again.
    fn free(&mut self, place: u32) {
        self.free.push(place);
    }
}
