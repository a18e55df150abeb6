//! What the tests of sealing begin and end with: a history with every kind of block, and
//! a whole log read as a stranger reads it.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

use webwallet_blockstack::LogFolder;
use webwallet_ledger::block::Block;
use webwallet_ledger::checkpoint::Checkpoint;
use webwallet_ledger::leaf::Leaf;
use webwallet_ledger::merkle::{self, Node, Range, Sha3, Sha256, TreeHash as _};
use webwallet_ledger::note::{SignatureLine, VerifierKey};
use webwallet_proto::blockstack::v1::{
    RotateLogKeyRequest, SealReply, SealRequest, StatusReply, StatusRequest,
};

use crate::standin::{DOMAIN, Running, Stores};

pub async fn seal(running: &mut Running, stack: bool) -> Result<SealReply, tonic::Status> {
    Ok(running.client.seal(SealRequest { stack }).await?.into_inner())
}

pub async fn status(running: &mut Running) -> StatusReply {
    running.client.status(StatusRequest {}).await.expect("status").into_inner()
}

/// Waits until the status is so.
pub async fn until(running: &mut Running, done: &dyn Fn(&StatusReply) -> bool) {
    let started = std::time::Instant::now();
    loop {
        let now = status(running).await;
        if done(&now) {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "{now:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// What the history is made of; each step may be taken twice.
pub const STEPS: usize = 6;

pub async fn step(
    stores: &Stores,
    running: &mut Running,
    step: usize,
) -> Result<(), tonic::Status> {
    let upto = |stores: &Stores, number: u64| {
        let there = stores.lock().records.len() as u64;
        stores.pay_often(number.saturating_sub(there));
    };
    match step {
        0 => drop(seal(running, false).await?),
        1 => {
            upto(stores, 3);
            seal(running, false).await?;
        }
        2 => drop(running.client.rotate_log_key(RotateLogKeyRequest {}).await?),
        3 => {
            // Over the end of a bundle, so that a tile becomes full.
            upto(stores, 270);
            seal(running, true).await?;
        }
        4 => {
            stores.advance(86_400_000);
            upto(stores, 275);
            seal(running, false).await?;
        }
        _ => drop(seal(running, false).await?),
    }
    Ok(())
}

/// A whole log as a stranger reads it: each block fits what is before it, each
/// checkpoint that was ever signed is one of its beginnings, and no size was
/// signed with two roots.
pub fn check(dir: &Path, stores: &Stores) -> Vec<Block> {
    let folder = LogFolder::open(&dir.join("log")).expect("a log");
    let (mut tree, mut roots) = (Range::<Sha256>::new(), HashMap::new());
    let (mut blocks, mut keys): (Vec<Block>, Vec<VerifierKey>) = Default::default();
    let mut number = 0;
    roots.insert(0, tree.root());
    for leaf in folder.leaves() {
        let (index, bytes) = leaf.expect("a leaf");
        match Leaf::parse(&bytes, DOMAIN).expect("a leaf that is one") {
            Leaf::Genesis(genesis) => keys.push(genesis.key),
            Leaf::Keys(change) => {
                assert!(change.verify() && keys.last() == Some(&change.old));
                keys.push(change.new);
            }
            Leaf::Stack(stack) => {
                let held: Vec<Node> = blocks[stack.first as usize..]
                    .iter()
                    .map(|block| Sha3::leaf(&block.hash.0))
                    .collect();
                assert_eq!(stack.blocks, held.len() as u64);
                assert_eq!(stack.root, merkle::root::<Sha3>(&held));
            }
            Leaf::Record(entry) => {
                number += 1;
                assert_eq!(entry.record.number, number);
            }
            Leaf::Block(block) => {
                let header = &block.header;
                assert_eq!(header.height, blocks.len() as u64);
                if let Some(before) = blocks.last() {
                    assert_eq!(header.previous, before.hash);
                }
                assert_eq!((header.first, header.cleared), (index - header.leaves, number));
                assert_eq!(Some(&header.log), roots.get(&header.first));
                let origin = DOMAIN.to_owned();
                let text = Checkpoint { origin, size: header.first, root: header.log }.text();
                let line = SignatureLine::parse(&header.signature).expect("a line");
                assert!(keys.iter().any(|key| key.verify(&text, &line)), "block {}", header.height);
                blocks.push(*block);
            }
        }
        tree.push(Sha256::leaf(&bytes));
        roots.insert(tree.size(), tree.root());
    }
    assert_eq!(folder.checkpoint().root, tree.root());
    let mut signed: BTreeMap<u64, Node> = BTreeMap::new();
    for note in &stores.lock().signed {
        let (checkpoint, _) = Checkpoint::open(note.as_bytes(), &keys).expect("signed by a key");
        assert_eq!(roots.get(&checkpoint.size), Some(&checkpoint.root), "not reproducible");
        assert_eq!(*signed.entry(checkpoint.size).or_insert(checkpoint.root), checkpoint.root);
    }
    blocks
}

/// All files of a folder, by relative path.
pub fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(dir: &Path, at: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
        for entry in std::fs::read_dir(at).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => walk(dir, &path, found),
                false => {
                    let name = path.strip_prefix(dir).expect("inside").display().to_string();
                    found.insert(name, std::fs::read(&path).expect("read"));
                }
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(dir, dir, &mut found);
    found
}
