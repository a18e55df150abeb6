//! What Hashtable has lost is given to it again, and a start does not look at all there ever
//! was. What would be lost if this failed: the second copy of a log; or hours at each start.

use webwallet_blockstack::HEIGHTS_AT_ONCE;
use webwallet_ledger::block::AtHeight;
use webwallet_proto::blockstack::v1::TileRequest;

use crate::history::{seal, status};
use crate::standin::{DOMAIN, Running, Stores};

const BLOCKS: u64 = 50;

/// So many blocks of a record each, to a height.
async fn grow(stores: &Stores, running: &mut Running, to: u64) {
    for _ in status(running).await.height.map_or(0, |height| height + 1)..to {
        stores.pay_often(1);
        seal(running, false).await.expect("sealed");
    }
}

/// That all records and blocks are there.
fn is_whole(stores: &Stores) -> bool {
    let inner = stores.lock();
    let names = inner.numbers.values().copied();
    let heights = (0..inner.intents.len() as u64).map(|height| AtHeight::name(DOMAIN, height));
    let all = names.chain(heights).all(|name| inner.documents.contains_key(&name));
    all && inner.numbers.len() == inner.records.len()
}

#[tokio::test]
async fn a_start_looks_at_the_newest_blocks_alone() {
    let dir = tempfile::tempdir().expect("a folder");
    let stores = Stores::default();
    let mut running = stores.start(dir.path()).await;
    grow(&stores, &mut running, BLOCKS).await;
    running.blockstack.stop().await;
    let asked = async || {
        stores.lock().asked = 0;
        let running = stores.start(dir.path()).await;
        assert_eq!(running.blockstack.read_only(), None);
        running.blockstack.stop().await;
        assert!(is_whole(&stores));
        // Beside those of blocks that nobody should have.
        stores.lock().asked - HEIGHTS_AT_ONCE as usize
    };
    // The marks of the newest blocks, and the blocks after the last.
    let few = asked().await;
    assert!(few < BLOCKS as usize / 2, "{few} documents");
    // Of one that was emptied, everything.
    let full = std::mem::take(&mut stores.lock().documents);
    stores.lock().numbers.clear();
    let all = asked().await;
    assert!(all > BLOCKS as usize, "{all} documents");
    assert_eq!(asked().await, few);
    // With everything that it has had.
    stores.lock().documents = full;
    assert_eq!(asked().await, few);
}

/// Put back from an older copy it does not say that it has what it has lost; also if that
/// happens while blocks are made, and nobody is told.
#[tokio::test]
async fn what_an_older_hashtable_lacks_is_found() {
    for (copied, running_on) in [(30, false), (21, true), (3, false), (3, true)] {
        let dir = tempfile::tempdir().expect("a folder");
        let stores = Stores::default();
        let mut running = stores.start(dir.path()).await;
        grow(&stores, &mut running, copied).await;
        let copy = {
            let inner = stores.lock();
            (inner.documents.clone(), inner.numbers.clone())
        };
        grow(&stores, &mut running, BLOCKS).await;
        let put_back = || {
            let mut inner = stores.lock();
            (inner.documents, inner.numbers) = copy.clone();
        };
        if running_on {
            put_back();
            grow(&stores, &mut running, BLOCKS + 4).await;
            assert!(is_whole(&stores), "copied at {copied}");
            running.blockstack.stop().await;
        } else {
            running.blockstack.stop().await;
            put_back();
            let running = stores.start(dir.path()).await;
            assert!(is_whole(&stores), "copied at {copied}");
            running.blockstack.stop().await;
        }
    }
}

/// A signature is no part of a record's name: a damaged one would be given to Hashtable as good,
/// and kept there when the log is mended.
#[tokio::test]
async fn no_damaged_leaf_is_given_to_hashtable() {
    let dir = tempfile::tempdir().expect("a folder");
    let stores = Stores::default();
    let mut running = stores.start(dir.path()).await;
    // More than the bundles that a start reads.
    stores.pay_often(600);
    seal(&mut running, false).await.expect("sealed");
    running.blockstack.stop().await;
    let file = dir.path().join("log/tile/entries/000");
    let good = std::fs::read(&file).expect("read");
    let mut bytes = good.clone();
    let signature = br#""string":""#;
    let at = bytes.windows(signature.len()).position(|part| part == signature).expect("signed");
    let digit = &mut bytes[at + signature.len()];
    *digit = if *digit == b'0' { b'1' } else { b'0' };
    std::fs::write(&file, &bytes).expect("written");
    stores.lock().documents.clear();
    stores.lock().numbers.clear();

    let mut running = stores.start(dir.path()).await;
    let why = running.blockstack.read_only().expect("read-only");
    assert!(why.contains("tile/entries/000") && why.contains("`webwallet rebuild log`"), "{why}");
    let asked = TileRequest { path: "tile/entries/000".to_owned() };
    let refused = running.client.tile(asked).await.expect_err("damaged");
    assert_eq!(refused.code(), tonic::Code::DataLoss);
    running.blockstack.stop().await;
    assert!(!is_whole(&stores));

    std::fs::write(&file, good).expect("written");
    let running = stores.start(dir.path()).await;
    assert_eq!(running.blockstack.read_only(), None);
    assert!(is_whole(&stores));
    running.blockstack.stop().await;
}
