//! Real Redis and Neo4j servers for tests.
//!
//! One shared server of each kind serves a whole test binary ([`redis`], [`neo4j`]);
//! a test that kills its server asks for one of its own ([`Redis::private`],
//! [`Neo4j::private`]). Where a server comes from, in this order:
//!
//! 1. `WEBWALLET_TEST_REDIS_URL`, `WEBWALLET_TEST_NEO4J_URL`, if set: shared servers only,
//!    and one that does not answer is a failure;
//! 2. a container, when a Docker daemon answers;
//! 3. a server of this machine: `redis-server`, and the folder that
//!    `scripts/engines fetch` makes;
//! 4. else a failure that names `scripts/engines fetch`.
//!
//! `WEBWALLET_TEST_ENGINE` is `auto` (the above), `docker` or `native`.
//!
//! A missing server is a failure, never a test passed over: a run that is green has run
//! on what it says. What was used is said on standard error, past what `cargo test`
//! captures, and appended to the file that `WEBWALLET_TEST_ENGINES_USED` names.
//!
//! Each server is the child of a small process (`scripts/engines guard`) that reads a
//! pipe whose other end only this process holds. Rust never drops a static, and nobody
//! can catch SIGKILL; but the system closes the pipe in either case, and the server goes.

use std::{
    env,
    fs::OpenOptions,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Mutex, OnceLock},
};

mod given;
pub mod proxy;

/// A Redis with `appendonly yes`, `appendfsync always` and `maxmemory-policy noeviction`.
#[derive(Debug)]
pub struct Redis {
    /// `redis://127.0.0.1:PORT`, or what `WEBWALLET_TEST_REDIS_URL` says.
    pub url: String,
    /// As the server says, such as `7.0.15`.
    pub version: String,
    server: Option<Server>,
}

/// A Neo4j Community server with authentication.
#[derive(Debug)]
pub struct Neo4j {
    /// `bolt://127.0.0.1:PORT`, without user and password.
    pub uri: String,
    /// Whom it lets in.
    pub user: String,
    /// The password of that user.
    pub password: String,
    /// `http://127.0.0.1:PORT`, for a second client; none of a server that was given by its URL.
    pub http: Option<String>,
    /// As the server says, such as `5.26.30`.
    pub version: String,
    server: Option<Server>,
}

/// The Redis that all tests of this binary share. They keep apart by random key prefixes.
///
/// # Panics
/// If there is none to be had, with what would get one.
pub fn redis() -> &'static Redis {
    static SHARED: OnceLock<Redis> = OnceLock::new();
    SHARED.get_or_init(|| match env::var("WEBWALLET_TEST_REDIS_URL") {
        Ok(url) => {
            let version = given::redis_version(&url);
            used("redis", &version, "given");
            Redis { url, version, server: None }
        }
        Err(_) => Redis::private(),
    })
}

/// The Neo4j that all tests of this binary share. They keep apart by random names: Community
/// has one database.
///
/// # Panics
/// If there is none to be had, with what would get one.
pub fn neo4j() -> &'static Neo4j {
    static SHARED: OnceLock<Neo4j> = OnceLock::new();
    SHARED.get_or_init(|| match env::var("WEBWALLET_TEST_NEO4J_URL") {
        Ok(url) => {
            let (uri, user, password) = given::split(&url);
            let version = given::neo4j_version(&uri, &user, &password);
            used("neo4j", &version, "given");
            Neo4j { uri, user, password, http: None, version, server: None }
        }
        Err(_) => Neo4j::private(),
    })
}

/// What was started or found so far: `engines: redis 7.0.15 native, neo4j 5.26.30 native`.
pub fn engines() -> String {
    let used = USED.lock().map(|used| used.join(", ")).unwrap_or_default();
    format!("engines: {used}")
}

impl Redis {
    /// One of its own for a test, with data of its own; gone when it is dropped.
    ///
    /// # Panics
    /// If there is none to be had, with what would get one.
    pub fn private() -> Redis {
        Redis::with(&[])
    }

    /// The same, with further settings, such as `["--cluster-enabled", "yes"]`.
    ///
    /// # Panics
    /// If there is none to be had, with what would get one.
    pub fn with(settings: &[&str]) -> Redis {
        let (server, version, [port, ..]) = Server::start("redis", settings);
        Redis { url: format!("redis://127.0.0.1:{port}"), version, server: Some(server) }
    }

    /// SIGKILL. Returns when it is dead.
    pub fn kill(&self) {
        self.server().tell("kill");
    }

    /// Starts it again after [`Redis::kill`]: same port, same data. Returns when it answers.
    pub fn start(&self) {
        self.server().tell("start");
    }

    /// SIGSTOP: connections stay, nothing is answered.
    pub fn pause(&self) {
        self.server().tell("pause");
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.server().tell("resume");
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("a server of this test's own")
    }
}

impl Neo4j {
    /// One of its own for a test, with data of its own; gone when it is dropped.
    ///
    /// # Panics
    /// If there is none to be had, with what would get one.
    pub fn private() -> Neo4j {
        let (server, version, [port, http, password]) = Server::start("neo4j", &[]);
        Neo4j {
            uri: format!("bolt://127.0.0.1:{port}"),
            user: "neo4j".to_owned(),
            password,
            http: Some(format!("http://127.0.0.1:{http}")),
            version,
            server: Some(server),
        }
    }

    /// SIGKILL. Returns when it is dead.
    pub fn kill(&self) {
        self.server().tell("kill");
    }

    /// Starts it again after [`Neo4j::kill`]: same port, same data. Returns when it answers a query.
    pub fn start(&self) {
        self.server().tell("start");
    }

    /// SIGSTOP: connections stay, nothing is answered.
    pub fn pause(&self) {
        self.server().tell("pause");
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.server().tell("resume");
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("a server of this test's own")
    }
}

static USED: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn used(engine: &str, version: &str, how: &str) {
    let what = format!("{engine} {version} {how}");
    let mut used = USED.lock().expect("no test panics in here");
    if used.contains(&what) {
        return;
    }
    // Not by a macro: what those print is captured.
    let _ = writeln!(std::io::stderr(), "engine: {what}");
    if let Ok(file) = env::var("WEBWALLET_TEST_ENGINES_USED") {
        let file = OpenOptions::new().append(true).create(true).open(file);
        file.and_then(|mut file| writeln!(file, "{what}")).expect("a list of engines");
    }
    used.push(what);
}

/// A server and the process that keeps it.
#[derive(Debug)]
struct Server {
    engine: &'static str,
    guard: Child,
    /// `None` only while dropping.
    pipe: Mutex<Option<(ChildStdin, BufReader<ChildStdout>)>>,
}

impl Server {
    /// Its version, and port, HTTP port and password; the last two are empty for Redis.
    fn start(engine: &'static str, settings: &[&str]) -> (Server, String, [String; 3]) {
        let how = env::var("WEBWALLET_TEST_ENGINE").unwrap_or_else(|_| "auto".to_owned());
        assert!(
            ["auto", "docker", "native"].contains(&how.as_str()),
            "WEBWALLET_TEST_ENGINE is auto, docker or native, not {how}"
        );
        let mut guard = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/engines"))
            .args(["guard", engine, &how])
            .args(settings)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C is for the test; the guard sees that the test has ended.
            .process_group(0)
            .spawn()
            .expect("scripts/engines, which needs bash");
        let stdin = guard.stdin.take().expect("a pipe");
        let stdout = BufReader::new(guard.stdout.take().expect("a pipe"));
        let server = Server { engine, guard, pipe: Mutex::new(Some((stdin, stdout))) };
        let answer = server.answer();
        let mut fields = answer.split(' ').map(str::to_owned);
        let mut field = || fields.next().unwrap_or_default();
        let (version, how) = (field(), field());
        used(engine, &version, &how);
        (server, version, [field(), field(), field()])
    }

    fn tell(&self, word: &str) {
        if let Some((stdin, _)) = &mut *self.pipe.lock().expect("no panic in here") {
            writeln!(stdin, "{word}").expect("the guard reads");
        }
        self.answer();
    }

    /// What follows `ok`.
    fn answer(&self) -> String {
        let mut line = String::new();
        if let Some((_, stdout)) = &mut *self.pipe.lock().expect("no panic in here") {
            stdout.read_line(&mut line).expect("the guard answers");
        }
        match line.trim_end_matches('\n').split_once(' ') {
            Some(("ok", rest)) => rest.to_owned(),
            Some(("failed", reason)) => panic!("{}: {reason}", self.engine),
            _ => panic!("{}: its guard said {line:?}", self.engine),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Closing the pipe ends it, and its data.
        if let Ok(pipe) = self.pipe.get_mut() {
            *pipe = None;
        }
        let _ = self.guard.wait();
    }
}
