//! What holds for proofs in trees of every size up to 2^64 - 1. If it failed,
//! an honest proof would be refused, a false one believed, or a hostile size
//! would bring a reader down.

use std::collections::HashMap;
use std::convert::Infallible;

use proptest::prelude::*;
use webwallet_ledger::merkle::{
    Node, ProofError, Sha256, TreeHash, check_consistency, check_inclusion, consistency, inclusion,
    range,
};

/// A tree whose leaves are all the same: every size can be computed, by the
/// definition in RFC 6962 section 2.1, word for word.
#[derive(Default)]
struct Uniform {
    roots: HashMap<u64, Node>,
}

const LEAF: &[u8] = b"leaf";

impl Uniform {
    fn root(&mut self, size: u64) -> Node {
        if let Some(root) = self.roots.get(&size) {
            return *root;
        }
        let root = match size {
            0 => Sha256::empty(),
            1 => Sha256::leaf(LEAF),
            _ => {
                let mut left = 1;
                while left < size - left {
                    left *= 2;
                }
                let (left, right) = (self.root(left), self.root(size - left));
                Sha256::node(&left, &right)
            }
        };
        self.roots.insert(size, root);
        root
    }

    fn inclusion(&mut self, index: u64, size: u64) -> Vec<Node> {
        let Ok(path) = inclusion::<Sha256, _>(index, size, &mut self.subtrees(size));
        path
    }

    fn consistency(&mut self, from: u64, to: u64) -> Vec<Node> {
        let Ok(path) = consistency::<Sha256, _>(from, to, &mut self.subtrees(to));
        path
    }

    /// Answers only what the contract says will be asked.
    fn subtrees(&mut self, size: u64) -> impl FnMut(u64, u64) -> Result<Node, Infallible> {
        move |first, leaves| {
            assert!(leaves.is_power_of_two() && first.is_multiple_of(leaves));
            assert!(first.checked_add(leaves).is_some_and(|end| end <= size));
            Ok(self.root(leaves))
        }
    }
}

/// Sizes of all magnitudes, and those beside powers of two.
fn size() -> impl Strategy<Value = u64> {
    let magnitude = (0..64_u32, any::<u64>()).prop_map(|(shift, bits)| (bits >> shift).max(1));
    let beside = (0..64_u32, 0..5_u64)
        .prop_map(|(bit, step)| (1_u64 << bit).saturating_add(step).saturating_sub(2).max(1));
    prop_oneof![magnitude, beside, Just(u64::MAX), 1..20_u64]
}

/// A size and a number below it.
fn place() -> impl Strategy<Value = (u64, u64)> {
    let edge = prop_oneof![Just(0), Just(u64::MAX), any::<u64>()];
    (size(), edge).prop_map(|(size, at)| (if at == u64::MAX { size - 1 } else { at % size }, size))
}

/// All paths that are one step away from this one.
fn wrong(path: &[Node]) -> Vec<Vec<Node>> {
    let mut all = vec![[path, &[[7; 32]]].concat(), [&[[7; 32]], path].concat()];
    for place in 0..path.len() {
        let mut other = path.to_vec();
        other[place][place % 32] ^= 1;
        all.push(other);
        let mut other = path.to_vec();
        other.remove(place);
        all.push(other);
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// A leaf is proved where it is, and by no other path.
    #[test]
    fn inclusion_in_any_tree((index, size) in place()) {
        let mut tree = Uniform::default();
        let (path, root) = (tree.inclusion(index, size), tree.root(size));
        let leaf = Sha256::leaf(LEAF);
        let check = |leaf, index, path: &[Node]| check_inclusion::<Sha256>(leaf, index, size, path, &root);
        prop_assert_eq!(check(leaf, index, &path), Ok(()));
        prop_assert!(check([1; 32], index, &path).is_err(), "another leaf");
        prop_assert!(check(leaf, size, &path).is_err(), "outside");
        prop_assert!(check(leaf, u64::MAX, &path).is_err(), "outside");
        for wrong in wrong(&path) {
            prop_assert!(check(leaf, index, &wrong).is_err());
        }
    }

    /// An older tree is proved to be the beginning, and by no other path.
    #[test]
    fn consistency_of_any_trees((from, to) in place()) {
        let mut tree = Uniform::default();
        let (path, old, new) = (tree.consistency(from, to), tree.root(from), tree.root(to));
        let check = |path: &[Node], old: &Node, new: &Node| check_consistency::<Sha256>(from, to, path, old, new);
        if from == 0 {
            prop_assert!(path.is_empty() && check(&path, &old, &new).is_err());
            return Ok(());
        }
        prop_assert_eq!(check(&path, &old, &new), Ok(()));
        prop_assert!(check(&path, &[1; 32], &new).is_err(), "another old tree");
        // Of one size there is nothing to prove, but two roots are two trees.
        let other = check_consistency::<Sha256>(to, to, &[], &[1; 32], &new);
        prop_assert_eq!(other, Err(ProofError::Root));
        prop_assert!(check(&path, &old, &[1; 32]).is_err(), "another new tree");
        for wrong in wrong(&path) {
            prop_assert!(check(&wrong, &old, &new).is_err());
        }
    }

    /// Whatever is asked, there is an answer.
    #[test]
    fn no_question_brings_a_reader_down(
        (a, b) in (any::<u64>(), any::<u64>()),
        path in prop::collection::vec(any::<[u8; 32]>(), 0..70),
    ) {
        let mut tree = Uniform::default();
        for (a, b) in [(a, b), (b, a), (a, a), (0, a), (a, u64::MAX), (u64::MAX, a)] {
            let _ = check_inclusion::<Sha256>([0; 32], a, b, &path, &[0; 32]);
            let _ = check_consistency::<Sha256>(a, b, &path, &[0; 32], &[0; 32]);
            if a >= b {
                prop_assert!(tree.inclusion(a, b).is_empty() && tree.consistency(a, b).is_empty());
            }
        }
    }

    /// A tree kept elsewhere is taken up where it was left.
    #[test]
    fn a_range_of_any_tree(size in size()) {
        let mut tree = Uniform::default();
        let Ok(taken) = range::<Sha256, _>(size, &mut tree.subtrees(size));
        prop_assert_eq!(taken.is_some(), size <= 1 << 63);
        if let Some(mut taken) = taken {
            prop_assert_eq!(taken.root(), tree.root(size));
            taken.push(Sha256::leaf(LEAF));
            prop_assert_eq!((taken.size(), taken.root()), (size + 1, tree.root(size + 1)));
        }
    }
}
