//! Bad surroundings: each is named within five seconds, with what helps, and
//! nothing is written. An operator who is told nothing guesses, and breaks more.

use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use webwallet_graphstore::neo4j::{Neo4j, Settings};
use webwallet_graphstore::store::{Committed, Error, Store};

use crate::graph::Alone;
use crate::life::{Life, UNITS};
use crate::payments::{DOMAIN, address, batch, pay};

/// What the operator reads.
async fn refusal(settings: &Settings, domain: &str) -> String {
    let started = Instant::now();
    let opened = Neo4j::open(settings, domain).await;
    assert!(started.elapsed() < Duration::from_secs(5), "it took {:?}", started.elapsed());
    let why = opened.err().expect("refused").to_string();
    assert!(!why.contains(&settings.password), "{why}");
    why
}

fn names(why: &str, parts: &[&str]) {
    for part in parts {
        assert!(why.contains(part), "{part:?} is not in: {why}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_named() {
    let alone = Alone::start().await;
    let settings = Settings { password: "not this one".into(), ..alone.settings.clone() };
    names(&refusal(&settings, DOMAIN).await, &["password", "neo4j", "cypher-shell -a bolt://"]);
    // The server makes whoever failed often wait; who knows the password is let in.
    alone.open().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_where_nobody_or_somebody_else_answers_is_named() {
    let settings = |url: String| Settings { url, user: "neo4j".into(), password: "secret".into() };
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let nobody = format!("bolt://{}", free.local_addr().expect("an address"));
    drop(free);
    names(&refusal(&settings(nobody.clone()), DOMAIN).await, &[&nobody, "neo4j status"]);
    // Accepts, and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let silent_url = format!("bolt://{}", silent.local_addr().expect("an address"));
    names(&refusal(&settings(silent_url.clone()), DOMAIN).await, &[&silent_url, "neo4j status"]);
    names(&refusal(&settings("http://127.0.0.1:1".into()), DOMAIN).await, &["bolt://host:7687"]);
}

/// The history of another domain would go on as ours, or be written so that its own server fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_graph_of_another_domain_or_a_newer_format_is_not_touched() {
    let alone = Alone::start().await;
    drop(alone.open().await);
    let why = refusal(&alone.settings, "example.org").await;
    names(&why, &["another domain", "example.net", "example.org"]);
    alone.run("MATCH (h:Shard) SET h.format = 3").await;
    names(&refusal(&alone.settings, DOMAIN).await, &["data format 3", "newer webwallet"]);
    assert_eq!(alone.number("MATCH (h:Shard) RETURN h.epoch").await, 1, "nobody has taken it");
}

/// Every statement is rehearsed before the first payment; a rehearsal that left
/// something would be found by whoever counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_rehearsed_at_the_opening_leaves_nothing() {
    let alone = Alone::start().await;
    let store = alone.open().await;
    assert_eq!(alone.number("MATCH (n) RETURN count(n)").await, 1, "the Shard");
    let one = batch(&store, 1, &[pay("ann", "ben", "ann", "1", "one")]).await;
    assert_eq!(store.commit(&one).await.expect("commit"), Committed::Yes);
    let count = "MATCH (n) RETURN count(n)";
    let nodes = alone.number(count).await;
    // Beside one that clears and does not know yet that it is deposed.
    let again = alone.open().await;
    assert_eq!(alone.number(count).await, nodes);
    assert_eq!(again.faults().await.expect("faults"), Vec::<String>::new());
}

/// Somebody else's data would be written into, and be counted as accounts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_with_nodes_of_somebody_else_is_not_touched() {
    let alone = Alone::start().await;
    alone.run("CREATE (:Account {owner: 'somebody else'})").await;
    names(&refusal(&alone.settings, DOMAIN).await, &["Account", "not WebWallet's"]);
    assert_eq!(alone.number("MATCH (n) RETURN count(n)").await, 1);
}

/// Whoever checks a graph sees what is wrong with it, and changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inspected_graph_is_left_to_its_writer_and_its_faults_are_named() {
    let alone = Alone::start().await;
    let empty = Neo4j::inspect(&alone.settings, DOMAIN).await.err().expect("refused");
    names(&empty.to_string(), &["empty"]);
    let writer = alone.open().await;
    let one = batch(&writer, 1, &[pay("ann", "ben", "ann", "1", "one")]).await;
    assert_eq!(writer.commit(&one).await.expect("commit"), Committed::Yes);
    let inspector = Neo4j::inspect(&alone.settings, DOMAIN).await.expect("inspect");
    assert_eq!(inspector.head().await.expect("head").number, 1);
    assert_eq!(inspector.faults().await.expect("faults"), Vec::<String>::new());
    let two = batch(&writer, 2, &[pay("ann", "ben", "ann", "1", "two")]).await;
    let refused = inspector.commit(&two).await.expect_err("refused").to_string();
    names(&refused, &["inspected only"]);
    assert_eq!(writer.commit(&two).await.expect("not deposed"), Committed::Yes);
    alone.run("MATCH (t:Transaction {n: 1}) DETACH DELETE t").await;
    alone.run("CREATE (:Account {k: 'x', no: 9, unit: 'x', address: 'x'})").await;
    alone.run("DROP CONSTRAINT iou_id").await;
    alone.run("DROP INDEX account_address_unit").await;
    let faults = inspector.faults().await.expect("faults");
    alone.constrain("IOU", "id").await;
    let of = "FOR (x:Account) ON (x.address, x.unit)";
    alone.run(&format!("CREATE INDEX account_address_unit {of}")).await;
    let [constraint, index, transactions, accounts] = &faults[..] else { panic!("{faults:?}") };
    names(constraint, &["IOU.id", "CREATE CONSTRAINT"]);
    names(index, &["Account.address", "CREATE INDEX"]);
    names(transactions, &["counts 2 transactions", "1 are there"]);
    names(accounts, &["counts 2 accounts", "3 are there"]);
}

/// A graph that was left by a build which did not count: it opens, and says of every
/// unit what its accounts and locks come to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_graph_of_a_build_without_units_is_counted_at_the_start() {
    let alone = Alone::start().await;
    let store = alone.open().await;
    let mut life = Life::new(4);
    for _ in 0..12 {
        let committed = store.commit(&life.batch(5)).await.expect("commit");
        assert_eq!(committed, Committed::Yes);
    }
    drop(store);
    alone.run("MATCH (u:Unit) DELETE u").await;
    // Of a start that was killed while it counted.
    alone.run("CREATE (:Unit {id: 'half', accounts: 1, locked: '0', credit: '0'})").await;
    alone.run("MATCH (h:Shard) SET h.format = 1").await;
    alone.run("DROP CONSTRAINT unit_id").await;
    alone.run("DROP INDEX account_unit_address").await;
    let looked = Neo4j::inspect(&alone.settings, DOMAIN).await.err().expect("refused");
    names(&looked.to_string(), &["data format 1", "webwallet serve"]);
    for _ in 0..2 {
        let store = alone.open().await;
        for name in UNITS {
            let (unit, holders) = life.recount(name);
            assert_eq!(store.unit(address(name)).await.expect("unit"), unit, "unit {name}");
            let listed = store.holders(address(name), None, 0, 100).await.expect("holders");
            assert_eq!(listed, holders, "holders of {name}");
        }
        let committed = store.commit(&life.batch(5)).await.expect("commit");
        assert_eq!(committed, Committed::Yes);
        assert_eq!(store.faults().await.expect("faults"), Vec::<String>::new());
    }
    assert_eq!(alone.number("MATCH (h:Shard) RETURN h.format").await, 2);
}

/// A record's name covers what was paid, but not the signatures: damaged ones would be
/// handed out as if somebody had signed so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_of_which_any_byte_was_changed_is_not_handed_out() {
    let alone = Alone::start().await;
    let store = alone.open().await;
    let one = batch(&store, 1, &[pay("ann", "ben", "ann", "1", "one")]).await;
    assert_eq!(store.commit(&one).await.expect("commit"), Committed::Yes);
    let record = &one.records[0];
    let text = String::from_utf8(record.bytes.clone()).expect("JSON");
    let damaged = async |bytes: &[u8]| {
        let write = neo4rs::query("MATCH (t:Transaction {n: 1}) SET t.record = $record");
        alone.graph.run(write.param("record", bytes)).await.expect("written");
        let read = [
            store.numbered(1).await.map(drop),
            store.named(record.hash).await.map(drop),
            store.cleared(0, 10).await.map(drop),
        ];
        read.map(|read| matches!(read, Err(Error::Broken(_))))
    };
    for part in ["\"signatures\"", "\"amount\""] {
        let mut bytes = record.bytes.clone();
        bytes[text.find(part).expect("it is there") + 1] ^= 1;
        assert_eq!(damaged(&bytes).await, [true; 3], "{part}");
    }
    assert_eq!(damaged(&record.bytes).await, [false; 3]);
    // One that an earlier build wrote has its name alone.
    alone.run("MATCH (t:Transaction) REMOVE t.sum").await;
    assert_eq!(damaged(&record.bytes).await, [false; 3]);
}

/// Each constraint is a law: where one is gone, money could be spent twice, and nobody was told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_missing_constraint_is_named_with_the_command_that_makes_it() {
    let alone = Alone::start().await;
    drop(alone.open().await);
    let constraints = alone.constraints().await;
    assert_eq!(constraints.len(), 12);
    for (name, on) in constraints {
        alone.run(&format!("DROP CONSTRAINT {name}")).await;
        let why = refusal(&alone.settings, DOMAIN).await;
        names(&why, &[&on, "is missing"]);
        let command = why.rsplit_once("with: ").expect("a command").1;
        alone.run(command).await;
    }
    assert_eq!(alone.number("MATCH (h:Shard) RETURN h.epoch").await, 1, "nobody has taken it");
    alone.open().await;
}
