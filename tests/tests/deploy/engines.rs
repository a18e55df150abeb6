//! The engines as these tests see them: past our own code, by a second client.

use std::path::PathBuf;
use std::process::Command;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use webwallet_engines::{Neo4j, Redis};
use webwallet_tests::process::{agent, binary};

/// The binary with nothing of our environment, and a password in a file.
pub struct Server {
    folder: TempDir,
}

impl Server {
    pub fn new() -> Server {
        Server { folder: tempfile::tempdir().expect("a folder") }
    }

    /// A file with one line in it.
    pub fn file(&self, name: &str, line: &str) -> PathBuf {
        let file = self.folder.path().join(name);
        std::fs::write(&file, format!("{line}\n")).expect("written");
        file
    }

    /// The binary, knowing the password of this Neo4j.
    pub fn command(&self, neo4j: Option<&Neo4j>) -> Command {
        let mut command = Command::new(binary());
        if let Some(neo4j) = neo4j {
            let file = self.file("neo4j-password", &neo4j.password);
            command.env("WEBWALLET_NEO4J_PASSWORD_FILE", file);
        }
        command
    }
}

/// What a statement answers, asked over HTTP: rows of values.
pub fn cypher(neo4j: &Neo4j, statement: &str) -> Vec<Value> {
    cypher_of(neo4j, statement, &json!({}))
}

/// The same of a statement with parameters.
pub fn cypher_of(neo4j: &Neo4j, statement: &str, parameters: &Value) -> Vec<Value> {
    let http = neo4j.http.as_ref().expect("a Neo4j that was started here");
    let auth = BASE64_STANDARD.encode(format!("{}:{}", neo4j.user, neo4j.password));
    let mut answer = agent()
        .post(format!("{http}/db/neo4j/query/v2"))
        .header("authorization", format!("Basic {auth}"))
        .header("accept", "application/json")
        .content_type("application/json")
        .send(json!({ "statement": statement, "parameters": parameters }).to_string())
        .expect("an answer");
    let body: Value =
        serde_json::from_slice(&answer.body_mut().read_to_vec().expect("a body")).expect("JSON");
    assert!(body["errors"].is_null(), "{statement}: {body}");
    body["data"]["values"].as_array().cloned().unwrap_or_default()
}

/// One number.
pub fn count(neo4j: &Neo4j, statement: &str) -> u64 {
    cypher(neo4j, statement)[0][0].as_u64().expect("a number")
}

/// Keys in a Redis.
pub fn keys(redis: &Redis) -> u64 {
    let client = redis::Client::open(&*redis.url).expect("an address");
    let mut connection = client.get_connection().expect("it answers");
    redis::cmd("DBSIZE").query(&mut connection).expect("answered")
}
