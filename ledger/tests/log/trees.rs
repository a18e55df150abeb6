//! Roots and proofs against three other hands: transparency-dev's vectors, the
//! crate ct-merkle and the Python package pymerkle. If one of these failed,
//! stock tools would refuse our log.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use faster_hex::hex_string;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use webwallet_ledger::merkle::{
    Node, Range, Sha3, Sha256, TreeHash, check_consistency, check_inclusion, consistency,
    inclusion, root,
};

fn vectors(path: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors").join(path)
}

/// Every JSON file below a folder, by name.
fn cases(folder: &std::path::Path) -> Vec<(String, Value)> {
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(folder).expect("vectors") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            cases.extend(self::cases(&path));
        } else {
            let text = std::fs::read_to_string(&path).expect("vector");
            let case = serde_json::from_str(&text).expect("JSON");
            cases.push((path.display().to_string(), case));
        }
    }
    cases
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number below 2^64")
}

fn bytes(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().unwrap_or_default()).expect("base64")
}

/// Some trees that are compared have a root of another length, which is none
/// here: we ask with one that differs from others as it does.
fn node(value: &Value) -> Node {
    let bytes = bytes(value);
    bytes.as_slice().try_into().unwrap_or_else(|_| Sha256::leaf(&bytes))
}

/// `None` if a hash has another length: that is no path here.
fn path(value: &Value) -> Option<Vec<Node>> {
    let hashes = value.as_array().into_iter().flatten();
    hashes.map(|hash| bytes(hash).try_into().ok()).collect()
}

/// Runs the vectors of one kind, counts (accepted, refused).
fn run(kind: &str, is_proved: impl Fn(&Value, &[Node]) -> bool) -> (usize, usize) {
    let (mut accepted, mut refused) = (0, 0);
    for (name, case) in cases(&vectors("merkle").join(kind)) {
        let expected = case["wantErr"] == Value::Bool(false);
        let proved = path(&case["proof"]).is_some_and(|path| is_proved(&case, &path));
        assert_eq!(proved, expected, "{name}");
        *if expected { &mut accepted } else { &mut refused } += 1;
    }
    println!("{kind}: {accepted} accepted, {refused} refused");
    (accepted, refused)
}

/// A forged proof would make strangers believe a payment that is in no log.
#[test]
fn every_inclusion_vector() {
    let counts = run("inclusion", |case, path| {
        let (index, size) = (number(&case["leafIdx"]), number(&case["treeSize"]));
        let (leaf, root) = (bytes(&case["leafHash"]).try_into(), bytes(&case["root"]).try_into());
        let (Ok(leaf), Ok(root)) = (leaf, root) else { return false };
        check_inclusion::<Sha256>(leaf, index, size, path, &root).is_ok()
    });
    assert_eq!(counts.0 + counts.1, 98, "vectors were lost");
}

/// A log that was rewritten would pass for one that has only grown.
#[test]
fn every_consistency_vector() {
    let counts = run("consistency", |case, path| {
        let (from, to) = (number(&case["size1"]), number(&case["size2"]));
        let (old, new) = (node(&case["root1"]), node(&case["root2"]));
        check_consistency::<Sha256>(from, to, path, &old, &new).is_ok()
    });
    assert_eq!(counts.0 + counts.1, 98, "vectors were lost");
}

fn leaf(i: u64) -> String {
    format!("leaf {i}")
}

fn hashes<H: TreeHash>(size: u64) -> Vec<Node> {
    (0..size).map(|i| H::leaf(leaf(i).as_bytes())).collect()
}

/// The roots of complete subtrees, from the leaves.
fn from_leaves<H: TreeHash>(
    leaves: &[Node],
) -> impl FnMut(u64, u64) -> Result<Node, std::convert::Infallible> {
    |first, count| Ok(root::<H>(&leaves[first as usize..(first + count) as usize]))
}

#[test]
fn roots_are_those_of_ct_merkle() {
    let mut random = rand::rngs::StdRng::seed_from_u64(6962);
    let mut sizes: Vec<u64> = (0..=1025).collect();
    sizes.extend((0..8).map(|_| random.random_range(1026..20_000)));
    let largest = *sizes.iter().max().expect("sizes");
    let leaves = hashes::<Sha256>(largest);
    let mut theirs = MemoryBackedTree::<sha2::Sha256, String>::new();
    let mut theirs_sha3 = MemoryBackedTree::<sha3::Sha3_256, String>::new();
    let (mut range, mut range_sha3) = (Range::<Sha256>::new(), Range::<Sha3>::new());
    for size in 0..=largest {
        if sizes.contains(&size) {
            assert_eq!(range.root()[..], theirs.root().as_bytes()[..], "size {size}");
            assert_eq!(range.root(), root::<Sha256>(&leaves[..size as usize]), "size {size}");
            assert_eq!(range_sha3.root()[..], theirs_sha3.root().as_bytes()[..], "size {size}");
            let again = Range::<Sha256>::from_roots(range.size(), range.roots().to_vec());
            assert_eq!(again.as_ref(), Some(&range), "a range is its size and roots");
        }
        theirs.push(leaf(size));
        theirs_sha3.push(leaf(size));
        range.push(Sha256::leaf(leaf(size).as_bytes()));
        range_sha3.push(Sha3::leaf(leaf(size).as_bytes()));
    }
}

#[test]
fn proofs_are_those_of_ct_merkle() {
    for size in (1..=70).chain([255, 256, 257]) {
        let mut theirs = MemoryBackedTree::<sha2::Sha256, String>::new();
        let leaves = hashes::<Sha256>(size);
        let whole = root::<Sha256>(&leaves);
        (0..size).for_each(|i| theirs.push(leaf(i)));
        let step = if size > 70 { 5 } else { 1 };
        for at in (0..size).step_by(step) {
            let Ok(path) = inclusion::<Sha256, _>(at, size, &mut from_leaves::<Sha256>(&leaves));
            assert_eq!(path.concat(), theirs.prove_inclusion(at as usize).as_bytes());
            let leaf = leaves[at as usize];
            for place in 0..size {
                let checked = check_inclusion::<Sha256>(leaf, place, size, &path, &whole);
                assert_eq!(checked.is_ok(), place == at, "leaf {at} is proved there alone");
            }

            let from = at + 1;
            let old = root::<Sha256>(&leaves[..from as usize]);
            let Ok(path) =
                consistency::<Sha256, _>(from, size, &mut from_leaves::<Sha256>(&leaves));
            let added = (size - from) as usize;
            assert_eq!(path.concat(), theirs.prove_consistency(added).as_bytes(), "{from} {size}");
            assert_eq!(check_consistency::<Sha256>(from, size, &path, &old, &whole), Ok(()));
        }
    }
}

#[test]
fn roots_are_those_of_pymerkle() {
    fn compare<H: TreeHash>(roots: &Value) -> usize {
        let roots = roots.as_object().expect("roots by size");
        for (size, expected) in roots {
            let ours = root::<H>(&hashes::<H>(size.parse().expect("a size")));
            assert_eq!(hex_string(&ours), expected.as_str().expect("hex"), "size {size}");
        }
        roots.len()
    }
    let text = std::fs::read_to_string(vectors("pymerkle-roots.json")).expect("vectors");
    let file: Value = serde_json::from_str(&text).expect("JSON");
    let sha256 = compare::<Sha256>(&file["roots"]["sha256"]);
    let sha3 = compare::<Sha3>(&file["roots"]["sha3_256"]);
    assert!(sha256 > 50 && sha3 > 50, "vectors were lost: {sha256} and {sha3}");
}

/// A damaged snapshot would stop a start, or be gone on from, where an older one would do.
#[test]
fn a_range_has_a_root_for_each_bit_of_its_size() {
    let node = [0; 32];
    assert!(Range::<Sha256>::from_roots(5, vec![node; 2]).is_some());
    assert!(Range::<Sha256>::from_roots(5, vec![node; 3]).is_none());
    assert!(Range::<Sha256>::from_roots(0, vec![node]).is_none());
    let mut last = Range::<Sha256>::from_roots(1 << 63, vec![node]).expect("the largest");
    last.push(node);
    assert_eq!(last.roots().len(), 2);
    assert!(Range::<Sha256>::from_roots((1 << 63) + 1, vec![node; 2]).is_none());
    // Of another size or with another root it is another.
    let range = |size, node| Range::<Sha256>::from_roots(size, vec![node]).expect("a range");
    assert_ne!(range(2, node), range(4, node));
    assert_ne!(range(2, node), range(2, [1; 32]));
}
