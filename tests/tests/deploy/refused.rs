//! Bad surroundings: what an operator meets on the first day. Each must be named,
//! with the command that helps, before he wonders whether anything still happens;
//! and nothing may have been written by then.

use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::{Duration, Instant};

use webwallet_engines::{Neo4j, Redis};
use webwallet_tests::process::{Process, agent, get};

use crate::engines::{Server, count, cypher, keys};

/// That it is not there keeps no Graphstore from its own complaints.
const NO_HASHTABLE: [&str; 2] = ["--hashtable", "http://127.0.0.1:1"];

/// From the start of the program to its sentence.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs `serve` on these engines, and returns why it would not.
fn refused(
    server: &Server,
    neo4j: Option<&Neo4j>,
    arguments: &[&str],
    set: &[(&str, &str)],
) -> String {
    let mut command = server.command(neo4j);
    command.args(["serve", "--listen", "127.0.0.1:0", "--log", "off"]).args(arguments);
    command.envs(set.iter().copied()).stdin(Stdio::null());
    if !arguments.contains(&"--role") {
        command.args(["--admin", "127.0.0.1:0"]);
    }
    let begun = Instant::now();
    let output = command.output().expect("it runs");
    let took = begun.elapsed();
    let why = String::from_utf8(output.stderr).expect("UTF-8");
    println!("{:.2} s  {}", took.as_secs_f64(), why.trim_end());
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {why}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
    assert!(took < PATIENCE, "{arguments:?} took {took:?}");
    assert_eq!(why.trim_end().lines().count(), 1, "one sentence: {why}");
    why
}

/// The words that must stand in a refusal.
#[track_caller]
fn says(why: &str, words: &[&str]) {
    for word in words {
        assert!(why.contains(word), "{word:?} is missing in: {why}");
    }
}

/// A listener that accepts and never says anything, as a firewall might.
fn silent() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    (listener, address)
}

/// Payments would be confirmed by a Redis that forgets them, and whoever pays there not see it.
#[test]
fn a_redis_that_will_not_do_is_named_with_what_helps() {
    let server = Server::new();
    let hashtable = |url: &str, set: &[(&str, &str)]| {
        refused(&server, None, &["--role", "hashtable", "--redis", url], set)
    };

    let why = hashtable("redis://127.0.0.1:1", &[]);
    says(&why, &["Hashtable", "redis://127.0.0.1:1", "redis-cli"]);
    let (_silent, address) = silent();
    says(&hashtable(&format!("redis://{address}"), &[]), &["Hashtable", &address.to_string()]);
    says(&hashtable("nonsense", &[]), &["Hashtable", "redis://HOST:PORT"]);
    let why = hashtable("redis://:hunter2@127.0.0.1:1", &[]);
    says(&why, &["must not hold a password", "WEBWALLET_REDIS_PASSWORD_FILE"]);
    assert!(!why.contains("hunter2"), "{why}");

    for (settings, setting, command) in [
        (&["--appendfsync", "no"], "appendfsync", "CONFIG SET appendfsync always"),
        (&["--appendonly", "no"], "appendonly", "CONFIG SET appendonly yes"),
        (
            &["--maxmemory-policy", "allkeys-lru"],
            "maxmemory-policy",
            "CONFIG SET maxmemory-policy noeviction",
        ),
    ] {
        let redis = Redis::with(settings);
        says(&hashtable(&redis.url, &[]), &["Hashtable", setting, command]);
        assert_eq!(keys(&redis), 0, "nothing was written");
        // Whoever wants it so is served, and whoever pays there can see it.
        let lossy = ["--redis", &redis.url, "--allow-lossy-redis"];
        let folder = tempfile::tempdir().expect("a folder");
        let lossy = Process::all(&folder.path().join("data"), &lossy);
        let health = get(&agent(), &lossy.url(), "/readyz").json();
        assert_eq!((&health["status"], &health["lossy_redis"]), (&"ready".into(), &true.into()));
    }
}

/// Whoever reads an operator's logs would read the password of his Redis.
#[test]
fn a_password_of_redis_is_asked_for_and_never_shown() {
    let server = Server::new();
    let redis = Redis::private();
    let client = redis::Client::open(&*redis.url).expect("an address");
    let mut connection = client.get_connection().expect("it answers");
    redis::cmd("CONFIG")
        .arg(&["SET", "requirepass", "correct horse"])
        .exec(&mut connection)
        .expect("set");
    let wrong = server.file("wrong", "battery staple");
    let empty = server.file("empty", "");
    let variable = "WEBWALLET_REDIS_PASSWORD_FILE";
    let arguments = ["--role", "hashtable", "--redis", &redis.url];
    says(&refused(&server, None, &arguments, &[]), &["Hashtable", "password"]);
    let why = refused(&server, None, &arguments, &[(variable, wrong.to_str().unwrap())]);
    says(&why, &["Hashtable", "password"]);
    assert!(!why.contains("battery"), "{why}");
    let why = refused(&server, None, &arguments, &[(variable, empty.to_str().unwrap())]);
    says(&why, &["holds no password"]);
    let stored: u64 = redis::cmd("DBSIZE").query(&mut connection).expect("answered");
    assert_eq!(stored, 0, "nothing was written");
}

/// Somebody else's graph would be written into, or payments cleared without the laws of ours.
#[test]
fn a_neo4j_that_will_not_do_is_named_with_what_helps() {
    let server = Server::new();
    let neo4j = Neo4j::private();
    let graphstore = |url: &str, domain: &str, set: &[(&str, &str)]| {
        let own = ["--role", "graphstore", "--neo4j", url, "--domain", domain];
        let arguments = [&own[..], &NO_HASHTABLE].concat();
        refused(&server, Some(&neo4j), &arguments, set)
    };
    let nodes = || count(&neo4j, "MATCH (n) RETURN count(n)");
    let uri = neo4j.uri.as_str();

    let why = graphstore("bolt://127.0.0.1:1", "example.net", &[]);
    says(&why, &["Graphstore", "bolt://127.0.0.1:1", "neo4j status"]);
    let (_silent, address) = silent();
    let why = graphstore(&format!("bolt://{address}"), "example.net", &[]);
    says(&why, &["Graphstore", &address.to_string()]);
    let why = graphstore("bolt://neo4j:hunter2@127.0.0.1:1", "example.net", &[]);
    says(&why, &["must not hold a password", "WEBWALLET_NEO4J_PASSWORD_FILE"]);
    assert!(!why.contains("hunter2"), "{why}");
    // Somebody else's graph.
    cypher(&neo4j, "CREATE (:Transaction {amount: 7})");
    says(&graphstore(uri, "example.net", &[]), &["Graphstore", "not WebWallet's"]);
    cypher(&neo4j, "MATCH (t:Transaction) DELETE t");
    assert_eq!(nodes(), 0, "nothing was written");
    assert_eq!(cypher(&neo4j, "SHOW CONSTRAINTS").len(), 0, "nothing was written");

    // A graph of ours, made by a server that did start.
    {
        let mut command = server.command(Some(&neo4j));
        command.env_remove("WEBWALLET_DOMAIN");
        let process = Process::start_by(
            command,
            &[&["--role", "graphstore", "--neo4j", uri][..], &NO_HASHTABLE].concat(),
        );
        assert_eq!(process.terminate(), Some(0));
    }
    let before = cypher(&neo4j, "MATCH (n) RETURN properties(n)");
    let why = graphstore(uri, "example.org", &[]);
    says(&why, &["Graphstore", "another domain", "example.net", "example.org"]);
    assert_eq!(cypher(&neo4j, "MATCH (n) RETURN properties(n)"), before, "nothing was written");

    cypher(&neo4j, "MATCH (h:Shard) SET h.was = h.format, h.format = 99");
    let why = graphstore(uri, "example.net", &[]);
    says(&why, &["Graphstore", "data format 99", "newer webwallet"]);
    cypher(&neo4j, "MATCH (h:Shard) SET h.format = h.was REMOVE h.was");

    let constraint = "SHOW CONSTRAINTS YIELD name, labelsOrTypes \
        WHERE labelsOrTypes = ['IOU'] RETURN name";
    let name = cypher(&neo4j, constraint)[0][0].as_str().expect("a name").to_owned();
    cypher(&neo4j, &format!("DROP CONSTRAINT `{name}`"));
    let why = graphstore(uri, "example.net", &[]);
    says(&why, &["Graphstore", "constraint", "IOU.id", "CREATE CONSTRAINT"]);
    assert!(cypher(&neo4j, constraint).is_empty(), "nothing was written");
    assert_eq!(cypher(&neo4j, "MATCH (n) RETURN properties(n)"), before, "nothing was written");

    // Last: a Neo4j that was told a wrong password is slow to let anybody in again.
    let wrong = server.file("wrong", "battery staple");
    let set = [("WEBWALLET_NEO4J_PASSWORD_FILE", wrong.to_str().unwrap())];
    let why = graphstore(uri, "example.net", &set);
    says(&why, &["Graphstore", "neo4j", "password"]);
    assert!(!why.contains("battery"), "{why}");
}

/// A Redis mistaken for a Neo4j, and the other way round, as in a list of ports.
#[test]
fn an_engine_is_not_taken_for_the_other() {
    let server = Server::new();
    let (redis, neo4j) = (webwallet_engines::redis(), webwallet_engines::neo4j());
    let bolt = redis.url.replace("redis://", "bolt://");
    let why = refused(
        &server,
        Some(neo4j),
        &[&["--role", "graphstore", "--neo4j", &bolt][..], &NO_HASHTABLE].concat(),
        &[],
    );
    says(&why, &["Graphstore", &bolt]);
    let url = neo4j.uri.replace("bolt://", "redis://");
    let why = refused(&server, None, &["--role", "hashtable", "--redis", &url], &[]);
    says(&why, &["Hashtable", &url]);
}
