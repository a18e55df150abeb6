//! The tree against the few lines that define it.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sha3::{Digest, Sha3_256};
use webwallet_ledger::merkle::Node;
use webwallet_ledger::state::{EMPTY, Tree};

fn sha3(parts: &[&[u8]]) -> Node {
    Sha3_256::digest(parts.concat()).into()
}

/// The definition, word by word: nothing is 32 zero bytes, one leaf is that
/// leaf, two or more are a node.
pub fn defined(leaves: &BTreeMap<Node, Node>) -> Node {
    let leaves: Vec<_> = leaves.iter().collect();
    subtree(&leaves, 0)
}

fn subtree(leaves: &[(&Node, &Node)], depth: usize) -> Node {
    match leaves {
        [] => [0; 32],
        [(key, value)] => sha3(&[&[0], *key, *value]),
        _ => {
            let right = |key: &Node| key[depth / 8] >> (7 - depth % 8) & 1 == 1;
            let split = leaves.partition_point(|(key, _)| !right(key));
            let (left, right) = leaves.split_at(split);
            sha3(&[&[1], &subtree(left, depth + 1), &subtree(right, depth + 1)])
        }
    }
}

/// Keys that share many of their first bits, and some that do not.
pub fn key() -> impl Strategy<Value = Node> {
    let near = (0..4u8, 0..8usize).prop_map(|(last, zeros)| {
        let mut key = [0; 32];
        key[zeros * 4 + 3] = last << 3;
        key[31] ^= last;
        key
    });
    prop_oneof![near, any::<Node>(), (0..40u8).prop_map(|n| sha3(&[&[n]]))]
}

#[derive(Clone, Debug)]
enum Step {
    Set(Node, Node),
    Remove(Node),
    Root,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (key(), any::<Node>()).prop_map(|(key, value)| Step::Set(key, value)),
        3 => key().prop_map(Step::Remove),
        1 => Just(Step::Root),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// A root that depended on the way there would make honest servers liars.
    #[test]
    fn roots_are_those_of_the_definition(steps in prop::collection::vec(step(), 0..120)) {
        let (mut tree, mut leaves) = (Tree::new(), BTreeMap::new());
        for (i, step) in steps.into_iter().enumerate() {
            match step {
                Step::Set(key, value) => {
                    tree.set(key, value, i);
                    leaves.insert(key, (value, i));
                }
                Step::Remove(key) => prop_assert_eq!(tree.remove(&key), leaves.remove(&key).is_some()),
                Step::Root => {
                    let values = leaves.iter().map(|(key, (value, _))| (*key, *value)).collect();
                    prop_assert_eq!(tree.root(), defined(&values));
                }
            }
            prop_assert_eq!(tree.len(), leaves.len() as u64);
            prop_assert_eq!(tree.is_empty(), leaves.is_empty());
        }
        for (key, (_, held)) in &leaves {
            prop_assert_eq!(tree.get(key), Some(held));
        }
        let values = leaves.iter().map(|(key, (value, _))| (*key, *value)).collect();
        prop_assert_eq!(tree.root(), defined(&values));
    }

    /// The same leaves, put in any order.
    #[test]
    fn no_order_changes_the_root(
        leaves in prop::collection::btree_map(key(), any::<Node>(), 0..60),
        shuffled in any::<prop::sample::Index>(),
    ) {
        let mut order: Vec<_> = leaves.iter().collect();
        if !order.is_empty() {
            let at = shuffled.index(order.len());
            order.rotate_left(at);
            order[at..].reverse();
        }
        let mut tree = Tree::new();
        for (key, value) in order {
            tree.set(*key, *value, ());
            tree.root();
        }
        prop_assert_eq!(tree.root(), defined(&leaves));
    }
}

/// A server with many accounts keeps them in many pieces, and finds each again.
#[test]
fn a_tree_of_thousands_is_that_of_the_definition() {
    let hash = |n: u32| sha3(&[&n.to_be_bytes()]);
    let (mut tree, mut leaves) = (Tree::new(), BTreeMap::new());
    for n in 0..9_000 {
        tree.set(hash(n), hash(n + 1), n);
        leaves.insert(hash(n), hash(n + 1));
    }
    assert_eq!((tree.len(), tree.root()), (9_000, defined(&leaves)));
    for n in (0..9_000).step_by(2) {
        assert!(tree.remove(&hash(n)) && leaves.remove(&hash(n)).is_some());
    }
    assert_eq!((tree.len(), tree.root()), (4_500, defined(&leaves)));
    assert!((0..9_000).all(|n| tree.get(&hash(n)).copied() == (n % 2 == 1).then_some(n)));
}

/// The definition again, by hand, where two leaves part at a known bit.
#[test]
fn two_leaves_part_where_their_keys_do() {
    let mut tree = Tree::new();
    assert_eq!(tree.root(), EMPTY);
    let (a, b, value) = (
        [0; 32],
        {
            let mut b = [0; 32];
            b[0] = 0b0010_0000;
            b
        },
        [7; 32],
    );
    tree.set(a, value, ());
    let leaf = |key: &Node| sha3(&[&[0], key, &value]);
    assert_eq!(tree.root(), leaf(&a), "one leaf is its own root");
    tree.set(b, value, ());
    let third = sha3(&[&[1], &leaf(&a), &leaf(&b)]);
    let second = sha3(&[&[1], &third, &EMPTY]);
    assert_eq!(tree.root(), sha3(&[&[1], &second, &EMPTY]));
    assert!(tree.remove(&a));
    assert_eq!(tree.root(), leaf(&b), "and is again when the other is gone");
    assert!(!tree.remove(&a));
    assert!(tree.remove(&b));
    assert_eq!((tree.root(), tree.len()), (EMPTY, 0));
}
