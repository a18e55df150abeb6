//! The log's files made again out of the other stores. What would be lost if this failed:
//! a log whose disk is gone, or, worse, the published one under another.

use crate::history::{STEPS, files, seal, status, step};
use crate::standin::Stores;

#[tokio::test]
async fn the_log_is_rebuilt_from_the_other_stores_byte_for_byte() {
    let dir = tempfile::tempdir().expect("a folder");
    let stores = Stores::default();
    let mut running = stores.start(dir.path()).await;
    for at in 0..STEPS {
        step(&stores, &mut running, at).await.expect("sealed");
    }
    running.blockstack.stop().await;
    let log = dir.path().join("log");
    let before = files(&log);
    // Everything, by going on as after any crash.
    std::fs::remove_dir_all(&log).expect("removed");
    let mut running = stores.start(dir.path()).await;
    let now = status(&mut running).await;
    assert_eq!(now.size, 285, "{now:?}");
    running.blockstack.stop().await;
    assert_eq!(files(&log), before);
    // The tiles only: that is said, and done by command under the checkpoint.
    std::fs::remove_dir_all(log.join("tile")).expect("removed");
    let mut running = stores.start(dir.path()).await;
    let why = running.blockstack.read_only().expect("read-only");
    assert!(why.contains("run `webwallet rebuild log`"), "{why}");
    let refused = seal(&mut running, false).await.expect_err("refused");
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    running.blockstack.stop().await;
    let count = || {
        let done = &stores.lock().writes.done;
        ["entries", "tile"].map(|kind| done.get(kind).copied().unwrap_or_default()).iter().sum()
    };
    let already: u64 = count();
    assert_eq!(stores.rebuild_log(dir.path()).await.expect("rebuilt"), 285);
    assert_eq!(files(&log), before);
    // Each file once, beside the checkpoint: what every block once wrote and synced would
    // take the hours again that the log took to grow.
    assert_eq!(count() - already, before.len() as u64 - 1);
}

/// Two histories under one key, both signed, are what a log exists to rule out.
#[tokio::test]
async fn a_rebuilt_log_that_would_pass_by_the_published_one_is_not_written() {
    let dir = tempfile::tempdir().expect("a folder");
    let history = async |payments: &[u64]| {
        let stores = Stores::default();
        let mut running = stores.start(dir.path()).await;
        for count in payments {
            stores.pay_often(*count);
            seal(&mut running, false).await.expect("sealed");
        }
        running.blockstack.stop().await;
        stores
    };
    let log = dir.path().join("log");
    // What older backups of the stores would have gone on with: another number of records,
    // and as many others.
    let mut others = Vec::new();
    for payments in [[4, 5], [3, 3]] {
        others.push(history(&payments).await);
        for folder in [&log, &dir.path().join("state")] {
            std::fs::remove_dir_all(folder).expect("removed");
        }
    }
    history(&[4, 2]).await;
    let before = files(&log);
    let said = [
        "10 leaves, and no block of Graphstore's ends there, but one at 13",
        "log of 10 leaves that the stores give is not the one that was published",
    ];
    for (other, said) in others.iter().zip(said) {
        let refused = other.rebuild_log(dir.path()).await;
        let why = refused.expect_err("refused").to_string();
        assert!(why.contains(said) && why.contains("rebuild graphstore"), "{why}");
        assert_eq!(files(&log), before, "nothing was written over");
    }
}
