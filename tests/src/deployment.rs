//! A server in one process with its data, started as often as a test wants: on
//! the embedded engines, or on a Redis and a Neo4j.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::engines::{Engines, neo4j_emptied, redis_emptied};
use crate::process::{Process, binary};

/// Where the stores of a server are.
pub struct Deployment<'e> {
    folder: TempDir,
    redis: Option<&'e webwallet_engines::Redis>,
    neo4j: Option<&'e webwallet_engines::Neo4j>,
}

impl<'e> Deployment<'e> {
    /// Everything in the data directory.
    pub fn embedded() -> Deployment<'e> {
        Deployment { folder: tempfile::tempdir().expect("a folder"), redis: None, neo4j: None }
    }

    /// Documents in this Redis, clearing in this Neo4j.
    pub fn on(
        redis: &'e webwallet_engines::Redis,
        neo4j: &'e webwallet_engines::Neo4j,
    ) -> Deployment<'e> {
        Deployment { redis: Some(redis), neo4j: Some(neo4j), ..Deployment::embedded() }
    }

    /// The same data directory, and documents in this Redis.
    pub fn keeping_in(self, redis: &'e webwallet_engines::Redis) -> Deployment<'e> {
        Deployment { redis: Some(redis), ..self }
    }

    /// The same data directory, and clearing in the Neo4j of another.
    pub fn clearing_as(self, other: &Deployment<'e>) -> Deployment<'e> {
        Deployment { neo4j: other.neo4j, ..self }
    }

    /// The same data directory, and documents in the Redis of another.
    pub fn keeping_as(self, other: &Deployment<'e>) -> Deployment<'e> {
        Deployment { redis: other.redis, ..self }
    }

    /// Its name in what the tests print.
    pub fn name(&self) -> &'static str {
        if self.redis.is_some() { "Redis and Neo4j" } else { "embedded" }
    }

    /// For what else a test needs.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The server, ready.
    pub fn serve(&self, more: &[&str]) -> Process {
        let arguments = [&["--admin", "127.0.0.1:0"], more].concat();
        let mut command = Command::new(binary());
        command.arg("serve");
        self.configure(&mut command);
        Process::start_with(command, "127.0.0.1:0", &arguments)
    }

    /// A command of the operator over the same stores.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).args(["--domain", crate::party::DOMAIN]);
        self.configure(&mut command);
        command
    }

    fn configure(&self, command: &mut Command) {
        command.arg("--data").arg(self.data());
        if let Some(redis) = self.redis {
            command.args(["--redis", &redis.url]);
        }
        if let Some(neo4j) = self.neo4j {
            let password = self.folder.path().join("neo4j-password");
            std::fs::write(&password, &neo4j.password).expect("written");
            command.args(["--neo4j", &neo4j.uri]);
            command.env("WEBWALLET_NEO4J_PASSWORD_FILE", password);
        }
    }

    /// Loses a store, as `webwallet rebuild` names it. The server is stopped.
    pub fn lose(&self, store: &str) {
        match (store, self.redis, self.neo4j) {
            ("hashtable", Some(redis), _) => redis_emptied(redis),
            ("graphstore", _, Some(neo4j)) => neo4j_emptied(neo4j),
            _ => std::fs::remove_dir_all(self.data().join(store)).expect("removed"),
        }
        if store == "log" {
            std::fs::remove_dir_all(self.data().join("state")).expect("removed");
        }
    }
}

/// Leads a new server on each set of engines through the same test.
pub fn on_every_engine(test: impl Fn(&Deployment<'_>)) {
    test(&Deployment::embedded());
    let engines = Engines::empty();
    test(&engines.deployment());
}
