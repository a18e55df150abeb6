//! Stores that went back, were lost or are of another server. What would be lost if this
//! failed: a second history would be signed over the first.

use std::time::Duration;

use webwallet_blockstack::Seal;
use webwallet_ledger::Hash;
use webwallet_ledger::block::AtHeight;
use webwallet_proto::blockstack::v1::{ReceiptRequest, StackRequest};

use crate::history::{check, seal, status, until};
use crate::standin::{DOMAIN, Stores};

#[tokio::test]
async fn stores_that_went_back_are_not_sealed_over() {
    let dir = tempfile::tempdir().expect("a folder");
    let stores = Stores::default();
    let mut running = stores.start(dir.path()).await;
    stores.pay_often(3);
    seal(&mut running, false).await.expect("sealed");
    seal(&mut running, true).await.expect("sealed");
    let keys = status(&mut running).await.keys;
    assert_eq!(keys.len(), 1);
    running.blockstack.stop().await;
    let refused = async |part: &str| {
        let mut running = stores.start(dir.path()).await;
        let why = status(&mut running).await.read_only.expect("read-only");
        assert!(why.contains(part) && why.contains("webwallet rebuild"), "{why}");
        let now = status(&mut running).await;
        assert_eq!((now.number, &now.keys), (3, &keys), "what is published is still answered");
        // Nothing clears, and everybody can still prove what he has.
        let call = ReceiptRequest { number: 3, wait_ms: 0 };
        let reply = running.client.receipt(call).await.expect("receipt").into_inner();
        assert!(reply.receipt.is_some());
        let reply = running.client.stack(StackRequest { height: Some(0) }).await.expect("stack");
        assert!(reply.into_inner().stack.is_some());
        running.blockstack.stop().await;
    };
    let intent = stores.lock().intents.pop().expect("an intent");
    refused("Graphstore is behind the published log").await;
    let mut other = intent.clone();
    other.block = stores.lock().intents[0].block.clone();
    stores.lock().intents.push(other);
    refused("two histories").await;
    stores.lock().intents[2] = intent;
    let record = stores.lock().records.pop().expect("a record");
    refused("lost records").await;
    stores.lock().records.push(record);
    stores.lock().numbers.insert(4, Hash::sha3(b"x"));
    refused("behind Hashtable").await;
    stores.lock().numbers.remove(&4);
    // As many records, and not the same ones: of another server, or of a Graphstore that was
    // put back and has gone on, which the newest of them need not show.
    let name = stores.lock().numbers.insert(3, Hash::sha3(b"x")).expect("a name");
    refused("Hashtable and the log are of two histories: record 3").await;
    stores.lock().numbers.insert(3, name);
    stores.pay_often(2);
    {
        let mut inner = stores.lock();
        let newest = inner.records.last().expect("paid").hash;
        inner.numbers.extend([(4, Hash::sha3(b"x")), (5, newest)]);
    }
    refused("Graphstore and Hashtable are of two histories: record 4").await;
    {
        let mut inner = stores.lock();
        inner.records.truncate(3);
        inner.numbers.retain(|number, _| *number <= 3);
    }
    // Hashtable alone is filled again without a word.
    stores.lock().numbers.clear();
    stores.lock().documents.clear();
    let mut running = stores.start(dir.path()).await;
    assert_eq!(status(&mut running).await.read_only, None);
    assert_eq!(stores.lock().numbers.len(), 3);
    running.blockstack.stop().await;
    // Also where a payment came in while it was filled, and the rest never did.
    let gone = stores.lock().numbers.remove(&1).expect("a name");
    stores.lock().documents.remove(&gone);
    let running = stores.start(dir.path()).await;
    assert_eq!(stores.lock().numbers.get(&1), Some(&gone));
    assert!(stores.lock().documents.contains_key(&gone));
    running.blockstack.stop().await;
    // Another key must not sign this log.
    std::fs::rename(dir.path().join("log-key"), dir.path().join("old")).expect("moved");
    let mut running = stores.start(dir.path()).await;
    let why = status(&mut running).await.read_only.expect("read-only");
    assert!(why.contains("is not the log's newest"), "{why}");
    // The whole world is told this.
    assert!(!why.contains(&dir.path().display().to_string()), "{why}");
    running.blockstack.stop().await;
    std::fs::rename(dir.path().join("old"), dir.path().join("log-key")).expect("moved");
    let running = stores.start(dir.path()).await;
    assert_eq!(running.blockstack.read_only(), None);
    running.blockstack.stop().await;
}

/// Whoever restores Graphstore from a backup under a living log would have money spent
/// twice, and numbers given twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_graphstore_that_goes_back_under_a_living_log_is_noticed() {
    let quiet = Duration::from_secs(3600);
    for seal in [Seal::Manual, Seal::Interval { records: Duration::ZERO, quiet }] {
        let dir = tempfile::tempdir().expect("a folder");
        let stores = Stores::default();
        let mut running = stores.start_with(dir.path(), seal, 20).await;
        for _ in 0..2 {
            stores.pay_often(1);
            self::seal(&mut running, false).await.expect("sealed");
        }
        let (record, intent) = {
            let mut inner = stores.lock();
            inner.trimmed = 1;
            (inner.records.pop().expect("a record"), inner.intents.pop().expect("an intent"))
        };
        if matches!(seal, Seal::Manual) {
            // Once this never ended.
            let refused = self::seal(&mut running, false).await.expect_err("refused");
            assert_eq!(refused.code(), tonic::Code::FailedPrecondition, "{refused}");
        }
        until(&mut running, &|now| now.read_only.is_some()).await;
        // With the right one back nobody has to be told.
        {
            let mut inner = stores.lock();
            inner.trimmed = 2;
            inner.records.push(record);
            inner.intents.push(intent);
        }
        until(&mut running, &|now| now.read_only.is_none()).await;
        stores.pay_often(1);
        self::seal(&mut running, false).await.expect("sealed");
        assert_eq!(status(&mut running).await.number, 3);
        running.blockstack.stop().await;
        check(dir.path(), &stores);
    }
}

/// An operator who reads of a block that is not the next one does not know what to do.
#[tokio::test]
async fn a_graphstore_that_went_back_and_on_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let stores = Stores::default();
    let mut running = stores.start(dir.path()).await;
    for _ in 0..2 {
        stores.pay_often(1);
        seal(&mut running, false).await.expect("sealed");
    }
    {
        let mut inner = stores.lock();
        inner.records.pop();
        inner.intents.pop();
    }
    stores.pay("cay", "dan", 1);
    stores.pay("cay", "dan", 1);
    let refused = seal(&mut running, false).await.expect_err("refused");
    let why = refused.message();
    assert!(why.contains("Graphstore has gone back: it has 3 records and 2 blocks"), "{why}");
    assert!(why.contains("rebuild graphstore"), "{why}");
    running.blockstack.stop().await;
}

/// A log from last night under a Graphstore that is lost or as old: another block would be
/// signed where one was published already.
#[tokio::test]
async fn a_height_that_hashtable_knows_is_not_made_anew() {
    let dir = tempfile::tempdir().expect("a folder");
    let stores = Stores::default();
    let mut running = stores.start(dir.path()).await;
    stores.pay_often(3);
    seal(&mut running, false).await.expect("sealed");
    let old = std::fs::read(dir.path().join("log/checkpoint")).expect("read");
    stores.pay_often(2);
    seal(&mut running, false).await.expect("sealed");
    running.blockstack.stop().await;
    let newest = std::fs::read(dir.path().join("log/checkpoint")).expect("read");
    std::fs::write(dir.path().join("log/checkpoint"), old).expect("put back");
    let intent = stores.lock().intents.pop().expect("an intent");
    let mut running = stores.start(dir.path()).await;
    let refused = seal(&mut running, false).await.expect_err("it may be published");
    assert!(refused.message().contains("it has block 2"), "{}", refused.message());
    running.blockstack.stop().await;
    // As `webwallet rebuild graphstore` gives it back.
    stores.lock().intents.push(intent);
    let running = stores.start(dir.path()).await;
    running.blockstack.stop().await;
    let again = std::fs::read(dir.path().join("log/checkpoint")).expect("read");
    assert_eq!(again, newest);
    check(dir.path(), &stores);
}

/// Two servers that go on from one data directory and its copy would sign two logs; and so
/// would one over the Redis of another.
#[tokio::test]
async fn a_height_that_hashtable_has_another_block_of_is_not_signed() {
    let dir = tempfile::tempdir().expect("a folder");
    let stores = Stores::default();
    let mut running = stores.start(dir.path()).await;
    stores.pay_often(3);
    seal(&mut running, false).await.expect("sealed");
    let signed = stores.lock().signed.clone();
    // The other server was quicker, or has had its blocks here for long.
    let other = |height| {
        let (name, entry) = AtHeight { block: Hash::sha3(b"other"), documents: Vec::new() }
            .document(DOMAIN, height);
        stores.lock().documents.insert(name, entry.into())
    };
    let gone = |height| stores.lock().documents.remove(&AtHeight::name(DOMAIN, height));
    other(2);
    stores.pay_often(1);
    let refused = seal(&mut running, false).await.expect_err("refused");
    assert!(refused.message().contains("has another block 2"), "{}", refused.message());
    assert!(refused.message().contains("`--redis`"), "{}", refused.message());
    until(&mut running, &|now| now.read_only.is_some()).await;
    running.blockstack.stop().await;
    let said = async |part: &str| {
        let mut running = stores.start(dir.path()).await;
        until(&mut running, &|now| now.read_only.is_some()).await;
        let why = status(&mut running).await.read_only.expect("read-only");
        assert!(why.contains(part), "{why}");
        seal(&mut running, false).await.expect_err("refused");
        running.blockstack.stop().await;
        assert_eq!(stores.lock().signed, signed);
    };
    // The next process has the block as an intent.
    said("has another block 2").await;
    // Where it cannot be read, nothing is wrong with Hashtable.
    let whole = stores.lock().intents.last_mut().map(|intent| std::mem::take(&mut intent.block));
    said("Graphstore's intent of block 2 cannot be followed").await;
    stores.lock().intents.last_mut().expect("an intent").block = whole.expect("a block");
    // Blocks beyond are lost ones only where those before are of this log.
    other(4);
    said("has another block 2").await;
    gone(2);
    said("it has block 4").await;
    gone(4);
    // One from long ago.
    let first = other(0).expect("block 0");
    said("has another block 0").await;
    stores.lock().documents.insert(AtHeight::name(DOMAIN, 0), first);
    let mut running = stores.start(dir.path()).await;
    seal(&mut running, false).await.expect("sealed");
    running.blockstack.stop().await;
    check(dir.path(), &stores);
}

/// Gateways clear while Blockstack starts: what they have stored by then is no sign of a loss.
#[tokio::test]
async fn a_start_beside_payments_is_no_loss() {
    let dir = tempfile::tempdir().expect("a folder");
    let stores = Stores::default();
    stores.lock().meanwhile = Some(|stores| {
        let number = stores.pay("ann", "ben", 1);
        let mut inner = stores.lock();
        let record = inner.records.last().expect("just paid");
        let (name, bytes) = (record.hash, record.bytes.clone());
        inner.documents.insert(name, bytes.into());
        inner.numbers.insert(number, name);
    });
    let mut running = stores.start(dir.path()).await;
    assert_eq!(status(&mut running).await.read_only, None);
    assert_eq!(seal(&mut running, false).await.expect("sealed").records, 1);
    running.blockstack.stop().await;
}
