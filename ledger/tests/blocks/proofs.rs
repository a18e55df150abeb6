//! Proofs: what a holder shows to somebody who trusts only a root.

use std::collections::BTreeMap;

use proptest::prelude::*;
use webwallet_ledger::Hash;
use webwallet_ledger::merkle::Node;
use webwallet_ledger::state::{Proof, ProofError, Tree};

use crate::trees::key;

/// A tree whose values are small JSON objects; the leaf holds the number in it.
fn tree(leaves: &BTreeMap<Node, u32>) -> Tree<u32> {
    let mut tree = Tree::new();
    for (key, number) in leaves {
        tree.set(*key, Hash::sha3(&value(number)).0, *number);
    }
    tree
}

fn value(number: &u32) -> Vec<u8> {
    format!(r#"{{"number":"{number}"}}"#).into_bytes()
}

/// The key with its bit so deep turned.
fn turned(key: &Node, bit: usize) -> Node {
    let mut key = *key;
    key[bit / 8] ^= 0x80 >> (bit % 8);
    key
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Every balance can be shown, and so can that there is none.
    #[test]
    fn every_key_has_its_proof(leaves in prop::collection::btree_map(key(), any::<u32>(), 0..40), far in any::<Node>()) {
        let mut tree = tree(&leaves);
        let root = tree.root();
        let near = leaves.keys().flat_map(|key| [0, 1, 30, 31, 32, 64, 254, 255].map(|bit| turned(key, bit)));
        let asked: Vec<Node> = leaves.keys().copied().chain(near).chain([far, [0; 32], [0xff; 32]]).collect();
        for key in &asked {
            let proof = tree.prove(key, value);
            prop_assert_eq!(proof.check(key, &root), Ok(()));
            prop_assert_eq!(&proof.value, &leaves.get(key).map(value));
            prop_assert_eq!(&Proof::parse(&proof.to_json()).expect("our own"), &proof);
            // Under no other root, and about no other key.
            prop_assert_eq!(proof.check(key, &turned(&root, 7)), Err(ProofError::Root));
            prop_assert_eq!(proof.check(&turned(key, 255), &root), Err(ProofError::Key));
        }
    }

    /// What was changed on the way proves nothing.
    #[test]
    fn no_part_of_a_proof_can_be_changed(leaves in prop::collection::btree_map(key(), any::<u32>(), 1..20), pick in any::<prop::sample::Index>()) {
        let mut tree = tree(&leaves);
        let root = tree.root();
        let there = *leaves.keys().nth(pick.index(leaves.len())).expect("one of them");
        for key in [there, turned(&there, 255), turned(&there, 3)] {
            let proof = tree.prove(&key, value);
            let json = proof.to_json();
            // Every byte, or a thousand of a long one, each time others.
            let stride = 1 + json.len() / 1_000;
            for at in (pick.index(stride)..json.len()).step_by(stride) {
                let mut changed = json.clone();
                changed[at] ^= 1;
                if let Ok(changed) = Proof::parse(&changed) {
                    prop_assert!(changed.check(&key, &root).is_err(), "byte {} of {}", at, String::from_utf8_lossy(&json));
                }
            }
            let stride = 1 + proof.siblings.len() / 20;
            for at in (0..=proof.siblings.len()).step_by(stride) {
                let mut longer = proof.clone();
                longer.siblings.insert(at, [0; 32]);
                prop_assert!(longer.check(&key, &root).is_err());
                let mut shorter = proof.clone();
                if at < shorter.siblings.len() {
                    shorter.siblings.remove(at);
                    prop_assert!(shorter.check(&key, &root).is_err());
                }
            }
            let denied = Proof { value: None, ..proof.clone() };
            prop_assert_eq!(denied.check(&key, &root).is_ok(), proof.value.is_none());
            let made_up = Proof { value: Some(value(&1)), other: None, ..proof.clone() };
            prop_assert_eq!(made_up.check(&key, &root).is_ok(), proof.value == made_up.value);
        }
    }
}

/// A leaf elsewhere in the tree must not pass for one in the way.
#[test]
fn forms_that_no_tree_gives_are_refused() {
    let (a, b) = ([0; 32], [0xff; 32]);
    let leaves = BTreeMap::from([(a, 1), (b, 2), (turned(&b, 9), 3)]);
    let mut tree = tree(&leaves);
    let root = tree.root();
    let proof = tree.prove(&b, value);
    let absent = tree.prove(&turned(&a, 200), value);
    let other = absent.other.expect("the leaf of a");
    let form =
        |proof: Proof, key: &Node| matches!(proof.check(key, &root), Err(ProofError::Form(_)));
    assert!(form(Proof { other: Some(other), ..proof.clone() }, &b), "value and other");
    let own = Some((b, Hash::sha3(&value(&2)).0));
    assert!(form(Proof { value: None, other: own, ..proof.clone() }, &b), "b is in the way of b");
    let beside = Proof { key: turned(&b, 200), value: None, other: Some(other), ..proof.clone() };
    assert!(form(beside, &turned(&b, 200)), "a is not in the way of what is near b");
    let deep = Proof { siblings: vec![[1; 32]; 257], ..proof.clone() };
    assert!(form(deep, &b), "257 levels");
    let mut lifted = proof;
    lifted.siblings.push([0; 32]);
    assert!(form(lifted, &b), "a node of one leaf");
    // As deep as a key is long is not too deep.
    let mut twins = self::tree(&BTreeMap::from([(a, 1), (turned(&a, 255), 2)]));
    let (root, proof) = (twins.root(), twins.prove(&a, value));
    assert_eq!((proof.siblings.len(), proof.check(&a, &root)), (256, Ok(())));
}

/// Another program writes it, spaces and all; what it writes wrongly is named.
#[test]
fn proofs_are_read_as_described() {
    let hash = "ab".repeat(32);
    let json = format!(
        "{{ \"siblings\": [\"{hash}\"], \"key\": \"{hash}\", \"value\": {{\"b\":\"2\", \"a\":\"1\"}} }}"
    );
    let proof = Proof::parse(json.as_bytes()).expect("a proof");
    assert_eq!(proof.value.as_deref(), Some(br#"{"a":"1","b":"2"}"#.as_slice()));
    assert_eq!((proof.key, proof.siblings), ([0xab; 32], vec![[0xab; 32]]));
    for (json, pointer) in [
        ("[]".to_owned(), ""),
        ("{}".to_owned(), ""),
        (format!(r#"{{"key":"{hash}"}}"#), ""),
        (format!(r#"{{"key":"{}","siblings":[]}}"#, &hash[2..]), "/key"),
        (format!(r#"{{"key":"{hash}","siblings":["{hash}","x"]}}"#), "/siblings/1"),
        (format!(r#"{{"key":"{hash}","other":{{"key":"{hash}"}},"siblings":[]}}"#), "/other"),
        (format!(r#"{{"key":"{hash}","more":"x","siblings":[]}}"#), "/more"),
    ] {
        let error = Proof::parse(json.as_bytes()).expect_err(&json);
        assert_eq!(error.pointer, pointer, "{json}");
    }
}
