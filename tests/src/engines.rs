//! The Redis and Neo4j of the tests, emptied.

use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use webwallet_engines::{Neo4j, Redis};

use crate::deployment::Deployment;
use crate::process;

/// The Redis and Neo4j of this test binary, empty, to one test at a time.
pub struct Engines {
    pub(crate) redis: &'static Redis,
    pub(crate) neo4j: &'static Neo4j,
    _turn: MutexGuard<'static, ()>,
}

impl Engines {
    /// Waits for its turn and empties both.
    pub fn empty() -> Engines {
        static TURN: Mutex<()> = Mutex::new(());
        // Whoever failed before left nothing that is not removed now.
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let (redis, neo4j) = (webwallet_engines::redis(), webwallet_engines::neo4j());
        redis_emptied(redis);
        neo4j_emptied(neo4j);
        Engines { redis, neo4j, _turn: turn }
    }

    /// Runs a statement on the graph for its effect.
    pub fn cypher(&self, statement: &str) {
        cypher(self.neo4j, statement);
    }

    /// Takes a key out of Redis, which must be there.
    pub fn forget(&self, key: &str) {
        let client = redis::Client::open(&*self.redis.url).expect("an address");
        let mut connection = client.get_connection().expect("Redis answers");
        let taken: u64 = redis::cmd("DEL").arg(key).query(&mut connection).expect("taken out");
        assert_eq!(taken, 1, "{key}");
    }

    /// A server over them.
    pub fn deployment(&self) -> Deployment<'_> {
        Deployment::on(self.redis, self.neo4j)
    }
}

/// FLUSHALL.
pub fn redis_emptied(redis: &Redis) {
    let client = redis::Client::open(&*redis.url).expect("an address");
    let mut connection = client.get_connection().expect("Redis answers");
    redis::cmd("FLUSHALL").exec(&mut connection).expect("emptied");
}

/// Removes every node; constraints stay.
pub fn neo4j_emptied(neo4j: &Neo4j) {
    // A piece at a time: the server ends what takes longer than ten seconds.
    let wipe = "MATCH (n) WITH n LIMIT 10000 DETACH DELETE n RETURN count(n)";
    while cypher(neo4j, wipe)["values"][0][0].as_u64().expect("a count") > 0 {}
}

/// What a statement answers.
fn cypher(neo4j: &Neo4j, statement: &str) -> serde_json::Value {
    let http = neo4j.http.as_ref().expect("a Neo4j that was started here");
    let login = BASE64_STANDARD.encode(format!("{}:{}", neo4j.user, neo4j.password));
    let answer = process::agent()
        .post(format!("{http}/db/neo4j/query/v2"))
        .header("authorization", format!("Basic {login}"))
        .header("accept", "application/json")
        .content_type("application/json")
        .send(serde_json::json!({ "statement": statement }).to_string());
    let mut answer = answer.expect("Neo4j answers");
    let body = answer.body_mut().read_to_vec().expect("a body");
    let mut body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    assert!(body["data"].is_object(), "{statement}: {body}");
    body["data"].take()
}
