//! The constraints are the laws. Blind writers, which look at nothing and wait
//! for nobody, race with the engine's own statements: with the constraint
//! exactly one wins; with that one constraint dropped both do, and a payment
//! has cleared twice. So this test would notice if a constraint did nothing.

use std::sync::Arc;

use neo4rs::{BoltList, BoltType, Query, Txn, query};
use tokio::sync::Barrier;
use webwallet_graphstore::store::{Committed, Store};

use crate::graph::Alone;
use crate::payments::{batch, pay};

/// Races for each constraint.
const RACES: i64 = 40;

fn list(values: Vec<BoltType>) -> BoltType {
    BoltType::List(BoltList { value: values })
}

fn rows(statement: &str, row: Vec<BoltType>) -> Query {
    query(statement).param("rows", list(vec![list(row)]))
}

/// A transaction with one IOU and one output.
fn transaction(n: i64, id: &str, iou: &str, p: i64) -> Query {
    let output = list(vec![0.into(), p.into(), "1".into(), "0".into(), "Infinity".into()]);
    let statement = include_str!("../../src/neo4j/transactions.cypher");
    let record = BoltType::from(b"record".as_slice());
    let ious = list(vec![iou.into()]);
    let outputs = list(vec![output]);
    rows(statement, vec![n.into(), id.into(), 0.into(), record, 0.into(), ious, outputs])
}

fn account(k: &str, no: i64) -> Query {
    let statement = include_str!("../../src/neo4j/accounts_new.cypher");
    let mut row = vec![k.into(), no.into()];
    row.extend(["unit", "address"].map(BoltType::from));
    row.push(1.into());
    row.extend(["1", "0", "Infinity"].map(BoltType::from));
    rows(statement, row)
}

/// What a unit comes to, whether it is there or not.
fn unit(id: &str) -> Query {
    let statement = include_str!("../../src/neo4j/units_counted.cypher");
    let mut row = vec![id.into(), 1.into()];
    row.extend(["0", "0"].map(BoltType::from));
    rows(statement, row)
}

/// A lock that the transaction of this number makes.
fn lock(n: i64, id: &str) -> Query {
    let statement = include_str!("../../src/neo4j/locks_made.cypher");
    let mut row = vec![n.into(), 0.into()];
    row.extend([id, "unit", "address", "source", "output"].map(BoltType::from));
    rows(statement, row)
}

/// The use of a lock by the transaction of this number.
fn take(n: i64, id: &str) -> Query {
    let statement = include_str!("../../src/neo4j/locks_used.cypher");
    rows(statement, vec![n.into(), id.into()])
}

/// What must be there before locks are made or used.
const LOCKED: &str = "CREATE (:Lock:Open {id: 'there'})
    WITH 1 AS one UNWIND [1, 2] AS n CREATE (:Transaction {n: n, id: 'transaction ' + n})";

/// A fence, on a Shard of its own: the two do not wait for each other there.
fn fence(shard: &str, id: &str) -> Query {
    query(include_str!("../../src/neo4j/fence.cypher"))
        .param("shard", shard)
        .param("batch", id)
        .param("epoch", 1)
        .param("n0", 0)
        .param("n1", 1)
        .param("time", 0)
}

fn intend(shard: &str, intent: &str) -> Query {
    query(include_str!("../../src/neo4j/intend.cypher"))
        .param("shard", shard)
        .param("epoch", 1)
        .param("height", 0)
        .param("cleared", 0)
        .param("time", 0)
        .param("quiet", false)
        .param("intent", intent.as_bytes())
}

fn open(domain: &str) -> Query {
    query(include_str!("../../src/neo4j/open.cypher"))
        .param("shard", "main")
        .param("domain", domain)
        .param("format", 1)
}

/// Two blind writers who collide in this one property and in nothing else.
fn collide(on: &str) -> [Query; 2] {
    match on {
        "Shard.id" => [open("a"), open("b")],
        "Batch.id" => [fence("a", "same"), fence("b", "same")],
        "Block.height" => [intend("a", "x"), intend("b", "y")],
        "Transaction.n" => [transaction(1, "a", "a", 1), transaction(1, "b", "b", 2)],
        "Transaction.id" => [transaction(1, "same", "a", 1), transaction(2, "same", "b", 2)],
        "IOU.id" => [transaction(1, "a", "same", 1), transaction(2, "b", "same", 2)],
        "Output.p" => [transaction(1, "a", "a", 1), transaction(2, "b", "b", 1)],
        "Account.k" => [account("same", 1), account("same", 2)],
        "Account.no" => [account("a", 1), account("b", 1)],
        "Unit.id" => [unit("same"), unit("same")],
        "Lock.id" => [lock(1, "same"), lock(2, "same")],
        "Use.id" => [take(1, "there"), take(2, "there")],
        other => panic!("no race for {other}: write one"),
    }
}

/// How many of two writers at once have committed. With `together`, both have
/// written before either commits.
async fn winners(alone: &Alone, statements: [Query; 2], together: bool) -> usize {
    let begin = || async { alone.graph.start_txn().await.expect("a transaction") };
    let both = Arc::new(Barrier::new(2));
    let write = |mut writer: Txn, statement: Query| {
        let both = both.clone();
        async move {
            let wrote = writer.run(statement).await.map(drop);
            if together {
                both.wait().await;
            }
            match wrote {
                Ok(()) => writer.commit().await.is_ok(),
                Err(_) => {
                    let _ = writer.rollback().await;
                    false
                }
            }
        }
    };
    let [one, two] = statements;
    let (first, second) = (begin().await, begin().await);
    let (one, two) =
        tokio::join!(tokio::spawn(write(first, one)), tokio::spawn(write(second, two)));
    usize::from(one.expect("it ends")) + usize::from(two.expect("it ends"))
}

/// How many of two writers have committed, of whom the second begins when the first has ended.
async fn in_turn(alone: &Alone, statements: [Query; 2]) -> usize {
    let mut won = 0;
    for statement in statements {
        won += usize::from(alone.graph.run(statement).await.is_ok());
    }
    won
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_blind_writers_one_wins_and_without_the_constraint_both_do() {
    let alone = Alone::start().await;
    drop(alone.open().await);
    for (name, on) in alone.constraints().await {
        let (label, property) = on.split_once('.').expect("label and property");
        let shards = async || {
            alone.run("MATCH (n) DETACH DELETE n").await;
            if on != "Shard.id" {
                let two =
                    "UNWIND ['a', 'b'] AS id CREATE (:Shard {id: id, epoch: 1, n: 0, accounts: 0})";
                alone.run(two).await;
            }
            if ["Lock.id", "Use.id"].contains(&&*on) {
                alone.run(LOCKED).await;
            }
        };
        let doubled = format!(
            "MATCH (x:{label}) WITH x.{property} AS value, count(x) AS times WHERE times > 1 RETURN count(value)"
        );
        for race in 0..RACES {
            shards().await;
            let won = winners(&alone, collide(&on), false).await;
            // These look first: whoever comes late enough does nothing, which is no defeat.
            let looks = ["Shard.id", "Batch.id", "Block.height", "Unit.id"].contains(&on.as_str());
            assert!(won == 1 || (looks && won == 2), "{on}, race {race}: {won} won");
            assert_eq!(alone.number(&doubled).await, 0, "{on}, race {race}");
        }
        alone.run(&format!("DROP CONSTRAINT {name}")).await;
        shards().await;
        let won = if on == "Use.id" {
            // Two uses of one lock also write to it: at once, one would wait for the other, or be
            // the victim of a deadlock.
            in_turn(&alone, collide(&on)).await
        } else {
            winners(&alone, collide(&on), true).await
        };
        assert_eq!(won, 2, "{on} without its constraint");
        assert_eq!(alone.number(&doubled).await, 1, "{on} without its constraint");
        alone.run("MATCH (n) DETACH DELETE n").await;
        alone.constrain(label, property).await;
    }
}

/// The whole engine, with an old view and a fence that somebody has opened.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_writer_past_the_fence_is_stopped_by_the_position_alone() {
    for constrained in [true, false] {
        let alone = Alone::start().await;
        let (first, second) = (alone.open().await, alone.open().await);
        let issue = batch(&second, 1, &[pay("ann", "ben", "ann", "10", "issue")]).await;
        assert_eq!(second.commit(&issue).await.expect("commit"), Committed::Yes);
        // The second one keeps in memory that ben has ten.
        let stale = batch(&second, 3, &[pay("ben", "dot", "ann", "10", "stale")]).await;
        alone.run("MATCH (h:Shard) SET h.epoch = 1").await;
        let spend = batch(&first, 2, &[pay("ben", "cid", "ann", "10", "spend")]).await;
        assert_eq!(first.commit(&spend).await.expect("commit"), Committed::Yes);
        alone.run("MATCH (h:Shard) SET h.epoch = 2").await;
        if !constrained {
            alone.run("DROP CONSTRAINT output_p").await;
        }
        let committed = second.commit(&stale).await.expect("commit");
        let spenders = "MATCH (o:Output) WITH o.p AS p, count(o) AS times RETURN max(times)";
        let times = alone.number(spenders).await;
        if constrained {
            assert_eq!((committed, times), (Committed::Deposed, 1));
            assert_eq!(second.head().await.expect("head").number, 2);
        } else {
            assert_eq!((committed, times), (Committed::Yes, 2), "ben's ten were spent twice");
            alone.run("MATCH (n) DETACH DELETE n").await;
            alone.constrain("Output", "p").await;
        }
    }
}
