//! Two Graphstores on one graph, and what a second client sees of their work.

use std::sync::Arc;
use std::time::Duration;

use neo4rs::query;
use webwallet_graphstore::store::{Committed, Error, Intent, Store};
use webwallet_graphstore::{Clock, Graphstore};
use webwallet_proto::graphstore::v1::graphstore_server::Graphstore as _;
use webwallet_proto::graphstore::v1::{ClearRequest, IntendRequest, StatusRequest, clear_reply};

use crate::graph::{Alone, asked};
use crate::payments::{DOMAIN, account, batch, draft, pay, secret, time};

/// If both wrote, each would answer for payments that the other knows nothing of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_opens_the_graph_later_deposes_the_one_before_for_good() {
    let alone = Alone::start().await;
    let first = alone.open().await;
    let one = batch(&first, 1, &[pay("ann", "ben", "ann", "1", "one")]).await;
    assert_eq!(first.commit(&one).await.expect("commit"), Committed::Yes);
    let two = batch(&first, 2, &[pay("ann", "ben", "ann", "1", "two")]).await;
    let second = alone.open().await;
    for _ in 0..2 {
        match first.commit(&two).await {
            Err(Error::Unavailable(why)) => assert!(why.contains("epoch 2 after 1"), "{why}"),
            other => panic!("{other:?}"),
        }
    }
    assert!(first.head().await.is_err(), "readiness says so");
    assert!(first.numbered(1).await.expect("numbered").is_some(), "and it can still be read");
    assert_eq!(second.commit(&two).await.expect("commit"), Committed::Yes);
    assert_eq!(second.head().await.expect("head").number, 2);

    // One that has not tried to commit learns it by being asked.
    let clock: Clock = Arc::new(|| Ok(time()));
    let graphstore = Graphstore::start(second, DOMAIN, clock).await.expect("start");
    let status = || graphstore.status(tonic::Request::new(StatusRequest {}));
    assert_eq!(status().await.expect("status").get_ref().number, 2);
    let third = alone.open().await;
    assert_eq!(status().await.expect_err("deposed").code(), tonic::Code::Unavailable);
    assert_eq!(third.commit(&one).await.expect("known"), Committed::Yes);
}

/// The graph is read by people, with other clients than ours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_client_sees_what_was_cleared() {
    let alone = Alone::start().await;
    let store = alone.open().await;
    let payments = [
        pay("ann", "ben", "ann", "10", "one"),
        pay("ben", "cid", "ann", "4", "two"),
        pay("ann", "ben", "ann", "0.5", "three"),
    ];
    let batch = batch(&store, 1, &payments).await;
    assert_eq!(store.commit(&batch).await.expect("commit"), Committed::Yes);
    let rows = asked(
        "MATCH (t:Transaction)-[:INPUTS]->(i:IOU) RETURN t.n, t.id, t.time, i.id ORDER BY t.n",
    );
    let expected: Vec<_> = (batch.records.iter())
        .map(|r| {
            serde_json::json!([
                r.number,
                r.hash.to_string(),
                r.time.unix_ms(),
                r.inputs[0].to_string()
            ])
        })
        .collect();
    assert_eq!(rows, expected);
    // Every account: its number, its place, its balance; and the newest output says the same.
    let rows = asked(
        "MATCH (a:Account) MATCH (t)-[r:OUTPUTS]->(o:Output {p: a.no * 2147483648 + a.s}) \
         WHERE o.net = a.net AND o.min = a.min AND o.max = a.max \
         RETURN a.k, a.s, a.net, t.n, r.i ORDER BY a.k",
    );
    let mut expected = [
        (account("ann", "ann"), 2, "-10.5", 3, 0),
        (account("ann", "ben"), 3, "6.5", 3, 1),
        (account("ann", "cid"), 1, "4", 2, 1),
    ]
    .map(|(id, s, net, n, i)| serde_json::json!([id.to_string(), s, net, n, i]));
    expected.sort_by_key(|row| row[0].to_string());
    assert_eq!(rows, expected);
    let counts =
        "MATCH (o:Output) WITH count(o) AS outputs MATCH (b:Batch) RETURN outputs, b.n0, b.n1";
    assert_eq!(asked(counts), [serde_json::json!([6, 0, 3])]);
}

/// A lock that somebody holds for a while delays a payment; one that is never
/// given back refuses it, and leaves nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locks_that_others_hold_delay_a_commit_and_then_refuse_it() {
    let alone = Alone::start().await;
    let store = alone.open().await;
    let lock = || async {
        let mut holder = alone.graph.start_txn().await.expect("a transaction");
        holder.run(query("MATCH (h:Shard) SET h.lock = 'a test'")).await.expect("locked");
        holder
    };
    let one = batch(&store, 1, &[pay("ann", "ben", "ann", "1", "one")]).await;
    let holder = lock().await;
    let released = async {
        // Longer than the server lets a lock be waited for.
        tokio::time::sleep(Duration::from_secs(3)).await;
        holder.rollback().await.expect("released");
    };
    let (committed, ()) = tokio::join!(store.commit(&one), released);
    assert_eq!(committed.expect("commit"), Committed::Yes);
    let two = batch(&store, 2, &[pay("ann", "ben", "ann", "1", "two")]).await;
    let holder = lock().await;
    let refused = store.commit(&two).await.expect_err("refused");
    holder.rollback().await.expect("released");
    assert!(matches!(refused, Error::Unavailable(_)), "{refused}");
    assert_eq!(store.head().await.expect("head").number, 1);
    assert_eq!(store.commit(&two).await.expect("commit"), Committed::Yes);
}

/// What is on its way holds the Shard's lock. Whoever is refused before it has ended pays
/// anew, and has paid twice when it lands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_refused_while_what_was_sent_may_still_land() {
    let alone = Alone::start().await;
    let clock: Clock = Arc::new(|| Ok(time()));
    let graphstore = Graphstore::start(alone.open().await, DOMAIN, clock).await.expect("start");
    let clear = async |from: &str| {
        let iou = draft(from, "ben", "ann", "1", from).sign(&secret(from));
        let request = ClearRequest { inputs: vec![iou.into()] };
        let reply = graphstore.clear(tonic::Request::new(request)).await;
        reply.map_err(|status| status.code()).map(|reply| match reply.into_inner().outcome {
            Some(clear_reply::Outcome::Cleared(record)) => Some(record.number),
            _ => None,
        })
    };
    // An intent, which is given up sooner than a batch: Neo4j ends any transaction after 10 s,
    // the holder's too.
    let intend = async || {
        let block = Vec::new().into();
        let intent = Intent { height: 0, cleared: 0, time: time(), documents: Vec::new(), block };
        let request = IntendRequest { intent: Some(intent.into()), quiet: true };
        graphstore.intend(tonic::Request::new(request)).await.map(drop).map_err(|s| s.code())
    };
    let mut holder = alone.graph.start_txn().await.expect("a transaction");
    holder.run(query("MATCH (h:Shard) SET h.lock = 'on its way'")).await.expect("locked");
    assert_eq!(intend().await, Err(tonic::Code::Unavailable), "nobody knows whether it is stored");
    assert_eq!(clear("a beggar").await, Err(tonic::Code::Unavailable), "and nobody is refused");
    holder.commit().await.expect("it lands, and was on its way until now");
    assert_eq!(clear("a beggar").await, Ok(None));
    assert_eq!(intend().await, Ok(()));
    assert_eq!(clear("ann").await, Ok(Some(1)));
}
