//! What is answered about the log, each answer checked as a stranger would: by
//! the checkpoint and the log's keys, and by nothing that the server says.

use webwallet_ledger::Hash;
use webwallet_ledger::block::Block;
use webwallet_ledger::checkpoint::Checkpoint;
use webwallet_ledger::merkle::{self, Node, Range, Sha256, TreeHash as _};
use webwallet_ledger::note::VerifierKey;
use webwallet_ledger::receipt::Receipt;
use webwallet_ledger::tile::{self, Level, TileId, parse_bundle};
use webwallet_proto::blockstack::v1::block_request::Key;
use webwallet_proto::blockstack::v1::inclusion_request::Leaf;
use webwallet_proto::blockstack::v1::*;

use crate::standin::{DOMAIN, Running, Stores};

/// Blocks of 1, 2, 3, ... records, a change of key and stacks between them.
async fn history(stores: &Stores, running: &mut Running, blocks: u64) {
    for records in 0..blocks {
        stores.pay_often(records);
        if records == 3 {
            running.client.rotate_log_key(RotateLogKeyRequest {}).await.expect("rotated");
        }
        running.client.seal(SealRequest { stack: records % 5 == 4 }).await.expect("sealed");
    }
}

async fn all_blocks(running: &mut Running) -> Vec<Block> {
    let mut blocks = Vec::new();
    for height in 0.. {
        let asked = BlockRequest { key: Some(Key::Height(height)) };
        let reply = running.client.block(asked).await.expect("an answer").into_inner();
        let Some(block) = reply.block else { break };
        let parsed = Block::parse(&block.body).expect("a block");
        assert_eq!((block.height, &block.hash[..]), (height, &parsed.hash.0[..]));
        blocks.push(parsed);
    }
    blocks
}

async fn keys(running: &mut Running) -> Vec<VerifierKey> {
    let status = running.client.status(StatusRequest {}).await.expect("status").into_inner();
    status.keys.iter().map(|key| key.parse().expect("a key")).collect()
}

fn nodes(path: &[bytes::Bytes]) -> Vec<Node> {
    path.iter().map(|node| node[..].try_into().expect("32 bytes")).collect()
}

/// Payees would be handed proofs that no stranger accepts.
#[tokio::test]
async fn every_checkpoint_proof_and_receipt_verifies() {
    let dir = tempfile::tempdir().expect("a folder");
    let stores = Stores::default();
    let mut running = stores.start(dir.path()).await;
    history(&stores, &mut running, 30).await;
    let (blocks, keys) = (all_blocks(&mut running).await, keys(&mut running).await);
    let client = &mut running.client;
    assert_eq!(keys.len(), 2);
    let end = |block: &Block| block.header.first + block.header.leaves + 1;
    let mut checkpoints = Vec::new();
    for size in std::iter::once(0).chain(blocks.iter().map(end)) {
        let asked = CheckpointRequest { size: Some(size) };
        let reply = client.checkpoint(asked).await.expect("an answer").into_inner();
        let note = reply.checkpoint.expect("a checkpoint");
        let (checkpoint, _) = Checkpoint::open(note.as_bytes(), &keys).expect("signed");
        assert_eq!((checkpoint.size, &*checkpoint.origin), (size, DOMAIN));
        checkpoints.push(checkpoint);
    }
    let asked = CheckpointRequest { size: Some(checkpoints[2].size + 1) };
    assert_eq!(client.checkpoint(asked).await.expect("an answer").into_inner().checkpoint, None);
    for (at, from) in checkpoints.iter().enumerate().skip(1).step_by(3) {
        for to in checkpoints[at..].iter().step_by(2) {
            let asked = ConsistencyRequest { from: from.size, to: to.size };
            let reply = client.consistency(asked).await.expect("an answer").into_inner();
            let path = nodes(&reply.consistency.expect("a proof").path);
            merkle::check_consistency::<Sha256>(from.size, to.size, &path, &from.root, &to.root)
                .expect("consistent");
        }
    }
    let last = checkpoints.last().expect("one").clone();
    let records = stores.lock().records.len() as u64;
    for number in 1..=records {
        let asked = ReceiptRequest { number, wait_ms: 0 };
        let reply = client.receipt(asked).await.expect("an answer").into_inner();
        let sent = reply.receipt.expect("a receipt");
        let receipt = Receipt::parse(sent.text.as_bytes()).expect("a receipt");
        let verified = receipt.verify(&keys).expect("good");
        assert_eq!((verified.record.number, sent.number), (number, number));
        assert_eq!((&sent.hash[..], sent.index), (&verified.record.hash.0[..], receipt.index));
        assert_eq!(nodes(&sent.path), receipt.path);
        assert_eq!(verified.checkpoint.size, end(&blocks[sent.height as usize]), "of its block");

        let asked = InclusionRequest { leaf: Some(Leaf::Number(number)), size: None };
        let reply = client.inclusion(asked).await.expect("an answer").into_inner();
        let proof = reply.inclusion.expect("a proof");
        assert_eq!((proof.index, proof.size), (receipt.index, last.size));
        let leaf = Sha256::leaf(&receipt.record);
        let path = nodes(&proof.path);
        merkle::check_inclusion::<Sha256>(leaf, proof.index, proof.size, &path, &last.root)
            .expect("included");
    }
    let absent = ReceiptRequest { number: 10_000, wait_ms: 1 };
    assert_eq!(client.receipt(absent).await.expect("an answer").into_inner().receipt, None);
    let asked = InclusionRequest { leaf: Some(Leaf::Index(7)), size: Some(last.size + 1) };
    assert_eq!(client.inclusion(asked).await.expect("an answer").into_inner().inclusion, None);
}

/// A block could not be shown, though it is in the log, where Hashtable has lost it or is away.
#[tokio::test]
async fn blocks_stacks_and_records_are_found_by_every_name() {
    let dir = tempfile::tempdir().expect("a folder");
    let stores = Stores::default();
    let mut running = stores.start(dir.path()).await;
    history(&stores, &mut running, 12).await;
    let blocks = all_blocks(&mut running).await;
    let client = &mut running.client;
    let mut number = 0;
    for (i, block) in blocks.iter().enumerate() {
        // What Hashtable has lost is in the log, and so is all while it is away.
        if i % 2 == 1 {
            assert!(stores.lock().documents.remove(&block.hash).is_some());
        }
        stores.lock().unavailable = i % 3 == 2;
        let key = Some(Key::Hash(block.hash.0.to_vec().into()));
        let found = client.block(BlockRequest { key }).await.expect("an answer").into_inner();
        stores.lock().unavailable = false;
        assert_eq!(found.block.expect("a block").body, block.bytes);
        let asked = BlockRecordsRequest { height: block.header.height };
        let mut records = client.block_records(asked).await.expect("an answer").into_inner();
        while let Some(record) = records.message().await.expect("a record") {
            number += 1;
            let inner = stores.lock();
            let cleared = &inner.records[number as usize - 1];
            assert_eq!((record.number, &record.body[..]), (number, &cleared.bytes[..]));
        }
        assert_eq!(number, block.header.cleared);
    }
    let latest = client.block(BlockRequest { key: None }).await.expect("an answer").into_inner();
    assert_eq!(latest.block.expect("a block").body, blocks.last().expect("one").bytes);
    // A record's name is no block's.
    let record = stores.lock().records[0].hash;
    let key = Some(Key::Hash(record.0.to_vec().into()));
    assert_eq!(
        client.block(BlockRequest { key }).await.expect("an answer").into_inner().block,
        None
    );
    let none = client.block_records(BlockRecordsRequest { height: 999 }).await;
    assert_eq!(none.expect_err("none").code(), tonic::Code::NotFound);
    let stack = async |client: &mut blockstack_client::BlockstackClient<_>, height| {
        let asked = StackRequest { height };
        client.stack(asked).await.expect("an answer").into_inner().stack
    };
    let first = stack(client, Some(0)).await.expect("a stack");
    assert_eq!(first.height, 0);
    assert_eq!(stack(client, None).await.expect("a stack").height, 1);
    assert_eq!(stack(client, Some(2)).await, None);
}

/// Whoever holds an older checkpoint could not be shown its log; or anybody be shown its key.
#[tokio::test]
async fn every_tile_ever_published_is_answered_for_ever() {
    let dir = tempfile::tempdir().expect("a folder");
    let stores = Stores::default();
    let mut running = stores.start(dir.path()).await;
    let (mut size, mut seen) = (0, Vec::new());
    for records in [3, 100, 130, 40, 300] {
        stores.pay_often(records);
        running.client.seal(SealRequest { stack: false }).await.expect("sealed");
        let status = running.client.status(StatusRequest {}).await.expect("status").into_inner();
        for tile in tile::tiles_for(size, status.size) {
            let bytes = std::fs::read(dir.path().join("log").join(tile.path())).expect("on disk");
            seen.push((tile, bytes));
        }
        size = status.size;
    }
    assert!(seen.len() > 12);
    let mut tree = Range::<Sha256>::new();
    for (tile, bytes) in &seen {
        let asked = TileRequest { path: tile.path() };
        let reply = running.client.tile(asked).await.expect("an answer").into_inner();
        assert_eq!(reply.body.as_deref(), Some(&bytes[..]), "{tile}");
    }
    for index in 0.. {
        let Some(tile) = TileId::at(Level::Entries, index, size) else { break };
        let asked = TileRequest { path: tile.path() };
        let reply = running.client.tile(asked).await.expect("an answer").into_inner();
        let bundle = reply.body.expect("a bundle");
        let leaves = parse_bundle(&bundle, tile.width).expect("leaves");
        leaves.into_iter().for_each(|leaf| tree.push(Sha256::leaf(leaf)));
    }
    let asked = CheckpointRequest { size: None };
    let note = running.client.checkpoint(asked).await.expect("an answer").into_inner().checkpoint;
    let keys = keys(&mut running).await;
    let (head, _) = Checkpoint::open(note.expect("one").as_bytes(), &keys).expect("signed");
    assert_eq!((head.size, head.root), (size, tree.root()));
    for path in ["tile/0/003", "tile/entries/002.p/255", "tile/1/000.p/9"] {
        let asked = TileRequest { path: path.to_owned() };
        let reply = running.client.tile(asked).await.expect("an answer").into_inner();
        assert_eq!(reply.body, None, "{path}");
    }
    for path in ["", "checkpoint", "tile/0/../../log-key", "tile/0/000.p/0", "/tile/0/000"] {
        let asked = TileRequest { path: path.to_owned() };
        let refused = running.client.tile(asked).await.expect_err(path);
        assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{path}");
    }
}

/// A payee would keep a receipt that proves nothing; or one bad byte take everybody else's.
#[tokio::test]
async fn damage_is_an_error_and_never_an_answer() {
    let dir = tempfile::tempdir().expect("a folder");
    let stores = Stores::default();
    let mut running = stores.start(dir.path()).await;
    stores.pay_often(300);
    running.client.seal(SealRequest { stack: false }).await.expect("sealed");
    let path = dir.path().join("log/tile/entries/000");
    let mut bytes = std::fs::read(&path).expect("read");
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).expect("written");
    let mut wrong = 0;
    for number in 1..=300 {
        let asked = ReceiptRequest { number, wait_ms: 0 };
        match running.client.receipt(asked).await {
            Ok(reply) => assert!(reply.into_inner().receipt.is_some()),
            Err(status) => {
                assert_eq!(status.code(), tonic::Code::DataLoss);
                wrong += 1;
            }
        }
    }
    assert_eq!(wrong, 1);
    let hash = Hash::sha3(b"never stored");
    let key = Some(Key::Hash(hash.0.to_vec().into()));
    let none = running.client.block(BlockRequest { key }).await.expect("an answer").into_inner();
    assert_eq!(none.block, None);
}
