//! The same store on a Cluster of three, given by one of its nodes.

use std::time::{Duration, Instant};

use super::*;

/// Three nodes that share the slots.
async fn three() -> Vec<webwallet_engines::Redis> {
    let nodes: Vec<_> =
        (0..3).map(|_| webwallet_engines::Redis::with(&["--cluster-enabled", "yes"])).collect();
    let port =
        |node: &webwallet_engines::Redis| node.url.rsplit(':').next().expect("a port").to_owned();
    for (node, slots) in nodes.iter().zip(["0 5460", "5461 10922", "10923 16383"]) {
        say(node, &format!("CLUSTER ADDSLOTSRANGE {slots}"));
        say(node, &format!("CLUSTER MEET 127.0.0.1 {}", port(&nodes[0])));
    }
    let begun = Instant::now();
    for node in &nodes {
        let whole = |info: redis::Value| {
            let info: String = redis::from_redis_value(info).expect("text");
            info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
        };
        while !whole(say(node, "CLUSTER INFO")) {
            assert!(begun.elapsed() < Duration::from_secs(60), "the nodes do not meet");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    nodes
}

/// One node of three that forgets would lose a third of the records, and nobody notice.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_keeps_documents_and_each_node_is_looked_at() {
    let nodes = three().await;
    let store = open(&nodes[1].url).await;
    let documents: Vec<_> = (1..=500).map(record).collect();
    store.put(documents.clone()).await.expect("stored");
    store.put(documents.clone()).await.expect("a repeat");
    let names: Vec<_> = documents.iter().map(Document::name).collect();
    let found = store.get(&names).await.expect("readable");
    assert!(found.iter().zip(&documents).all(|(found, d)| found.as_ref() == Some(d.bytes())));
    assert_eq!(store.numbered(0, 1_000).await.expect("readable"), documents);
    assert_eq!(store.highest().await.expect("readable"), 500);
    for node in &nodes {
        let redis::Value::Int(keys) = say(node, "DBSIZE") else { panic!("a count") };
        assert!(keys > 200, "{keys} keys: it takes its part");
    }

    // One bad node of three.
    say(&nodes[2], "CONFIG SET appendfsync everysec");
    let unready = store.get(&[]).await.expect_err("not ready");
    let port = nodes[2].url.rsplit(':').next().expect("a port");
    let why = chain(&unready);
    assert!(why.contains("appendfsync is everysec") && why.contains(port), "{why}");
    store.put(vec![record(501)]).await.expect_err("not confirmed");
    let refused = try_open(&nodes[0].url, false).await.err().expect("refused").to_string();
    assert!(refused.contains(port), "{refused}");
    say(&nodes[2], "CONFIG SET appendfsync always");
    store.get(&[]).await.expect("ready again");

    // A node that is started anew is noticed, and has what it confirmed.
    let mut doubt = store.doubted().await;
    store.first_missing(&mut doubt, 500).await.expect("answered");
    store.settle(&doubt, 0).await.expect("settled");
    nodes[0].kill();
    nodes[0].start();
    let begun = Instant::now();
    while store.get(&[]).await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it does not come back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let doubt = tokio::time::timeout(Duration::from_secs(10), store.doubted()).await;
    let mut doubt = doubt.expect("noticed");
    assert_eq!(store.first_missing(&mut doubt, 500).await.expect("answered"), None);
    store.put(vec![record(501)]).await.expect("stored");
    assert_eq!(store.numbered(400, 1_000).await.expect("readable").len(), 101);
    store.settle(&doubt, 0).await.expect("settled");

    // A node that is emptied is noticed, whichever it is, and what it had is missed.
    for node in &nodes {
        store.get(&[]).await.expect("ready");
        say(node, "FLUSHALL");
        let doubt = tokio::time::timeout(Duration::from_secs(10), store.doubted()).await;
        let mut doubt = doubt.expect("noticed");
        assert!(store.first_missing(&mut doubt, 501).await.expect("answered").is_some());
        store.put((1..=501).map(record).collect()).await.expect("stored again");
        store.settle(&doubt, 501).await.expect("settled");
        assert_eq!(store.numbered(0, 1_000).await.expect("readable").len(), 501);
    }
}
