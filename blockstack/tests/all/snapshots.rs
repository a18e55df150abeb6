//! Snapshots, and what a long log would be without them.

use std::path::Path;

use webwallet_blockstack::Seal;
use webwallet_proto::blockstack::v1::RotateLogKeyRequest;

use crate::history::{check, seal, status};
use crate::standin::Stores;

/// Heights of the snapshots there are.
fn snapshots(dir: &Path) -> Vec<u64> {
    let names = std::fs::read_dir(dir.join("state")).expect("a folder").map(|entry| {
        let name = entry.expect("an entry").file_name().into_string().expect("a name");
        name.strip_prefix("accounts-").and_then(|height| height.parse().ok())
    });
    let mut heights: Vec<u64> = names.flatten().collect();
    heights.sort_unstable();
    heights
}

/// Who pays out to many at once has few records and many accounts: without a snapshot, each
/// start reads all of them again before anything is sealed.
#[tokio::test]
async fn what_pays_out_to_many_counts_for_many() {
    let dir = tempfile::tempdir().expect("a folder");
    let stores = Stores::default();
    let mut running = stores.start_with(dir.path(), Seal::Manual, 100_000).await;
    for _ in 0..220 {
        stores.pay_out("ann", 40);
    }
    seal(&mut running, false).await.expect("sealed");
    running.blockstack.stop().await;
    assert_eq!(snapshots(dir.path()).len(), 1);
    // And the next start has nothing to write again.
    let running = stores.start_with(dir.path(), Seal::Manual, 100_000).await;
    running.blockstack.stop().await;
    assert_eq!(snapshots(dir.path()).len(), 1);
    check(dir.path(), &stores);
}

/// Else a server of many records is down for as long as it takes to read them
/// all again; and receipts are refused meanwhile, because their key is unknown.
#[tokio::test]
async fn a_long_log_is_served_with_all_its_keys_before_it_is_read() {
    let dir = tempfile::tempdir().expect("a folder");
    let stores = Stores::default();
    let seldom = 100_000;
    let mut running = stores.start_with(dir.path(), Seal::Manual, seldom).await;
    stores.pay_often(16_500);
    seal(&mut running, false).await.expect("sealed");
    let keys = status(&mut running).await.keys;
    running.blockstack.stop().await;
    // The next start reads nothing again.
    assert_eq!(snapshots(dir.path()).len(), 1);

    for keep in [true, false] {
        if !keep {
            std::fs::remove_dir_all(dir.path().join("state")).expect("removed");
        }
        let mut running = stores.start_with(dir.path(), Seal::Manual, seldom).await;
        let now = status(&mut running).await;
        assert_eq!((now.number, &now.keys, now.read_only), (16_500, &keys, None));
        // Not waited for: nobody needs the rest.
        running.blockstack.stop().await;
    }
    let mut running = stores.start_with(dir.path(), Seal::Manual, seldom).await;
    running.client.rotate_log_key(RotateLogKeyRequest {}).await.expect("rotated");
    stores.pay_often(5_000);
    seal(&mut running, false).await.expect("sealed");
    let keys = status(&mut running).await.keys;
    assert_eq!(keys.len(), 2);
    running.blockstack.stop().await;
    for _ in 0..2 {
        let mut running = stores.start_with(dir.path(), Seal::Manual, seldom).await;
        assert_eq!(status(&mut running).await.keys, keys);
        stores.pay_often(5_000);
        seal(&mut running, false).await.expect("sealed");
        running.blockstack.stop().await;
    }
    // Of three that stand close together the one in the middle is of no use.
    assert_eq!(snapshots(dir.path()).len(), 2);
    // Without a snapshot only the whole log says which keys signed it.
    std::fs::remove_dir_all(dir.path().join("state")).expect("removed");
    let mut running = stores.start_with(dir.path(), Seal::Manual, seldom).await;
    assert_eq!(status(&mut running).await.keys, keys);
    running.blockstack.stop().await;
    check(dir.path(), &stores);
}

/// Else the balances of long ago could only be proved by reading the whole log.
#[tokio::test]
async fn snapshots_of_every_size_are_kept_while_accounts_become_more() {
    let dir = tempfile::tempdir().expect("a folder");
    let stores = Stores::default();
    let mut running = stores.start(dir.path()).await;
    for holder in 0..240 {
        stores.pay("ann", &format!("holder {holder}"), 1);
        if holder % 30 == 29 {
            seal(&mut running, false).await.expect("sealed");
        }
    }
    running.blockstack.stop().await;
    assert_eq!(snapshots(dir.path()), [1, 2, 4, 8]);
}
