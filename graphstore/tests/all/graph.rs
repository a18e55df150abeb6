//! A Neo4j for a test, to itself: Community has one database, so the tests of a
//! binary take turns, and each begins with an empty one.

#![allow(dead_code, reason = "each test binary takes what it needs")]

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use neo4rs::{BoltType, Graph, Row, query};
use tokio::sync::{Mutex, MutexGuard};
use webwallet_graphstore::neo4j::{Neo4j, Settings};

use crate::payments::DOMAIN;

/// The shared server, empty, for as long as this lives.
pub struct Alone {
    pub settings: Settings,
    /// For looking and for meddling, past the engine.
    pub graph: Graph,
    _turn: MutexGuard<'static, ()>,
}

static TURN: Mutex<()> = Mutex::const_new(());

impl Alone {
    pub async fn start() -> Alone {
        let turn = TURN.lock().await;
        let server = tokio::task::spawn_blocking(webwallet_engines::neo4j);
        let settings = settings(server.await.expect("a server"));
        let graph = graph(&settings);
        empty(&graph).await;
        Alone { settings, graph, _turn: turn }
    }

    pub async fn open(&self) -> Neo4j {
        Neo4j::open(&self.settings, DOMAIN).await.expect("open")
    }

    /// The only number that a statement answers.
    pub async fn number(&self, statement: &str) -> i64 {
        number(&self.graph, statement).await
    }

    /// Name of each uniqueness constraint, and what it is on: `Label.property`.
    pub async fn constraints(&self) -> Vec<(String, String)> {
        let show = "SHOW CONSTRAINTS YIELD name, labelsOrTypes, properties \
                    RETURN name, labelsOrTypes[0] + '.' + properties[0] AS on ORDER BY on";
        let rows = rows(&self.graph, show).await;
        let text = |row: &Row, column| row.get::<String>(column).expect("a text");
        rows.iter().map(|row| (text(row, "name"), text(row, "on"))).collect()
    }

    /// Makes a constraint that a test has dropped.
    pub async fn constrain(&self, label: &str, property: &str) {
        let name = format!("{label}_{property}").to_lowercase();
        let on = format!("FOR (x:{label}) REQUIRE x.{property} IS UNIQUE");
        self.run(&format!("CREATE CONSTRAINT {name} {on}")).await;
    }

    /// Runs a statement for its effect.
    pub async fn run(&self, statement: &str) {
        self.graph.run(query(statement)).await.expect("the statement runs");
    }
}

pub fn settings(server: &webwallet_engines::Neo4j) -> Settings {
    let webwallet_engines::Neo4j { uri, user, password, .. } = server;
    Settings { url: uri.clone(), user: user.clone(), password: password.clone() }
}

/// Not ours: the plain driver.
pub fn graph(settings: &Settings) -> Graph {
    Graph::new(&settings.url, &settings.user, &settings.password).expect("an address")
}

/// Removes all data; constraints are made once for all tests, and stay.
pub async fn empty(graph: &Graph) {
    let wipe = "MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 5000 ROWS";
    graph.run(query(wipe)).await.expect("the graph is emptied");
}

pub async fn rows(graph: &Graph, statement: &str) -> Vec<Row> {
    let mut stream = graph.execute(query(statement)).await.expect("an answer");
    let mut rows = Vec::new();
    while let Some(row) = stream.next().await.expect("a row") {
        rows.push(row);
    }
    rows
}

pub async fn number(graph: &Graph, statement: &str) -> i64 {
    let rows = rows(graph, statement).await;
    match rows[0].to::<BoltType>().expect("a value") {
        BoltType::Integer(number) => number.value,
        other => panic!("{statement} answered {other:?}"),
    }
}

/// Asks with a client that shares nothing with the engine's: over HTTP.
pub fn asked(statement: &str) -> Vec<serde_json::Value> {
    let server = webwallet_engines::neo4j();
    // One that was given by its address has its HTTP where Neo4j puts it by default.
    let host = server.uri.trim_start_matches("bolt://").split(':').next().unwrap_or_default();
    let http = server.http.clone().unwrap_or_else(|| format!("http://{host}:7474"));
    let login = BASE64.encode(format!("{}:{}", server.user, server.password));
    let answer = ureq::post(format!("{http}/db/neo4j/query/v2"))
        .header("authorization", format!("Basic {login}"))
        .content_type("application/json")
        .send(serde_json::json!({ "statement": statement }).to_string())
        .expect("an answer over HTTP");
    let body = answer.into_body().read_to_string().expect("a body");
    let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    body["data"]["values"].as_array().expect("rows").clone()
}
