//! The answer to a commit gets lost, at every byte at which it can. If this
//! failed, a cut wire would lose a payment or clear it twice.

use std::collections::BTreeMap;

use webwallet_engines::proxy::{Proxy, Way};
use webwallet_graphstore::neo4j::{Neo4j, Settings};
use webwallet_graphstore::store::{Batch, Committed, Error, Store};

use crate::graph::Alone;
use crate::payments::{DOMAIN, batch, pay};

/// Sends the same batch until the answer is definite.
async fn resolved(store: &Neo4j, batch: &Batch) {
    for _ in 0..10 {
        match store.commit(batch).await {
            Ok(Committed::Yes) => return,
            Ok(Committed::Unknown) | Err(Error::Unavailable(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    panic!("no definite answer to the same batch, sent ten times");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_cut_at_any_byte_is_there_once_and_its_batch_tells() {
    let alone = Alone::start().await;
    let proxy = Proxy::before(alone.settings.url.replace("bolt://", "")).await;
    let url = format!("bolt://{}", proxy.address);
    let store =
        Neo4j::open(&Settings { url, ..alone.settings.clone() }, DOMAIN).await.expect("open");
    let next = async |number: u64| {
        batch(&store, number, &[pay("ann", "ben", "ann", "1", &number.to_string())]).await
    };
    // Asked of the engine itself: whoever has just been cut off may be late.
    let last = async || alone.number("MATCH (h:Shard) RETURN h.n").await.unsigned_abs();
    let (mut number, mut outcomes) = (0, BTreeMap::new());
    for way in [Way::Request, Way::Answer] {
        for position in 0.. {
            if last().await == number {
                number += 1;
            }
            // Made again even if it is the same one: so that the engine has its accounts in
            // memory, and every exchange is the same. The connection that has answered here is
            // logged in, and is the one that is cut.
            let pending = next(number).await;
            proxy.arm(way, position, 1);
            let outcome = store.commit(&pending).await;
            if !proxy.disarm() {
                // It had ended before.
                assert!(matches!(outcome, Ok(Committed::Yes)), "{way:?} {position}: {outcome:?}");
                break;
            }
            let there = last().await == number;
            let name = match outcome {
                Ok(Committed::Yes) => "yes",
                Ok(Committed::Unknown) => "unknown",
                Err(Error::Unavailable(_)) => "unavailable",
                other => panic!("{way:?} {position}: {other:?}"),
            };
            assert!(name != "yes" || there, "{way:?} {position}: it is not there");
            assert!(name != "unavailable" || !there, "{way:?} {position}: it is there");
            *outcomes.entry((format!("{way:?}"), name, there)).or_insert(0) += 1;
            if name == "unknown" {
                resolved(&store, &pending).await;
            }
        }
    }
    println!("{} cuts: {outcomes:?}", proxy.hits());
    // Each of them at least once: before the effect, after it, and where nobody knows.
    for (way, name, there) in [
        ("Request", "unavailable", false),
        ("Request", "unknown", false),
        ("Answer", "unknown", true),
    ] {
        let hits = outcomes.get(&(way.to_owned(), name, there)).copied().unwrap_or(0);
        assert!(hits > 0, "{way} {name} {there} was never hit: {outcomes:?}");
    }
    let transactions = alone.number("MATCH (t:Transaction) RETURN count(t)").await;
    let numbers = alone.number("MATCH (t:Transaction) RETURN max(t.n)").await;
    let batches = alone.number("MATCH (b:Batch) RETURN count(b)").await;
    assert_eq!((transactions, numbers), (batches, batches), "one effect for each batch");
    let ben = "MATCH (a:Account) WHERE a.unit <> a.address RETURN toInteger(a.net)";
    assert_eq!(alone.number(ben).await, batches, "and one unit for each");
}
