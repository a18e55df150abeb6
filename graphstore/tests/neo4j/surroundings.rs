//! Bad surroundings: each is named within five seconds, with what helps, and
//! nothing is written. An operator who is told nothing guesses, and breaks more.

use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use webwallet_graphstore::neo4j::{Neo4j, Settings};

use crate::graph::Alone;
use crate::payments::DOMAIN;

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_graph_of_another_domain_or_a_newer_format_is_not_touched() {
    let alone = Alone::start().await;
    drop(alone.open().await);
    let why = refusal(&alone.settings, "example.org").await;
    names(&why, &["another domain", "example.net", "example.org"]);
    alone.run("MATCH (h:Shard) SET h.format = 2").await;
    names(&refusal(&alone.settings, DOMAIN).await, &["data format 2", "newer webwallet"]);
    assert_eq!(alone.number("MATCH (h:Shard) RETURN h.epoch").await, 1, "nobody has taken it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_with_nodes_of_somebody_else_is_not_touched() {
    let alone = Alone::start().await;
    alone.run("CREATE (:Account {owner: 'somebody else'})").await;
    names(&refusal(&alone.settings, DOMAIN).await, &["Account", "not WebWallet's"]);
    assert_eq!(alone.number("MATCH (n) RETURN count(n)").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_missing_constraint_is_named_with_the_command_that_makes_it() {
    let alone = Alone::start().await;
    drop(alone.open().await);
    let constraints = alone.constraints().await;
    assert_eq!(constraints.len(), 9);
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
