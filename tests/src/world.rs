//! The deployments a scenario runs on, from the bare rules to processes that
//! speak gRPC. What a client sees must be the same on all of them.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use futures::FutureExt as _;
use futures::future::{BoxFuture, join_all};
use http_body_util::BodyExt as _;
use rand::SeedableRng as _;
use tower::ServiceExt as _;
use ureq::Agent;
use webwallet_api_gateway::{Config, Gateway, Limits};
use webwallet_blockstack::{Blockstack, Folder, LogKey, Seal};
use webwallet_graphstore::Graphstore;
use webwallet_ledger::clear::{Cleared, clear, replay};
use webwallet_ledger::signature::Keys;
use webwallet_ledger::{
    Account, AccountId, Hash, History, Lock, Pointer, Record, RecordOf, Request, Time, verify,
};
use webwallet_openapi::hold;
use webwallet_proto::blockstack::v1::SealRequest;
use webwallet_proto::graphstore::v1::graphstore_server::Graphstore as _;
use webwallet_proto::graphstore::v1::{ClearReply, ClearRequest};
use webwallet_proto::link::Link;

use crate::engines::Engines;
use crate::party::DOMAIN;
use crate::process::{self, Answer, Process};

/// The log key of servers of the tests.
const LOG_KEY: [u8; 32] = [77; 32];

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The record's number and name.
    Cleared(u64, Hash),
    /// The same, of a record that was there before.
    Replayed(u64, Hash),
    /// Code and pointer.
    Rejected(String, String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Cleared(number, hash) => write!(f, "cleared {number} {hash}"),
            Outcome::Replayed(number, hash) => write!(f, "replayed {number} {hash}"),
            Outcome::Rejected(code, pointer) => write!(f, "rejected {code} {pointer}"),
        }
    }
}

/// A deployment.
pub trait World {
    /// Its name in what the tests print.
    fn name(&self) -> &'static str;
    /// Sets the test clock.
    fn set_time(&mut self, time: Time);
    /// Posts a request.
    fn post(&mut self, body: &[u8]) -> Outcome;
    /// Posts requests in this order, without waiting for one answer before the
    /// next is sent where the deployment can.
    fn post_wave(&mut self, bodies: &[Vec<u8>]) -> Vec<Outcome> {
        bodies.iter().map(|body| self.post(body)).collect()
    }
    /// The nets of an account, newest first; empty if nobody touched it.
    fn nets(&mut self, account: &AccountId) -> Vec<String>;
    /// Pointers of the open locks that an account may use, at some time.
    fn locks(&mut self, account: &AccountId) -> Vec<String>;
}

/// The rules alone, with everything cleared kept in memory.
pub struct Rules {
    now: Time,
    keys: Keys,
    accounts: HashMap<AccountId, Account>,
    ious: HashMap<Hash, RecordOf>,
    locks: BTreeMap<Pointer, Lock>,
    records: Vec<Record>,
}

impl Rules {
    /// An empty ledger.
    pub fn new() -> Rules {
        Rules {
            now: Time::from_unix_ms(0),
            keys: Keys::new(100),
            accounts: HashMap::new(),
            ious: HashMap::new(),
            locks: BTreeMap::new(),
            records: Vec::new(),
        }
    }
}

impl Default for Rules {
    fn default() -> Rules {
        Rules::new()
    }
}

impl History for Rules {
    fn account(&self, account: &AccountId) -> Option<Account> {
        self.accounts.get(account).cloned()
    }

    fn record_of(&self, iou: &Hash) -> Option<RecordOf> {
        self.ious.get(iou).copied()
    }

    fn lock(&self, pointer: &Pointer) -> Option<Lock> {
        self.locks.get(pointer).cloned()
    }
}

impl World for Rules {
    fn name(&self) -> &'static str {
        "rules"
    }

    fn set_time(&mut self, time: Time) {
        self.now = time;
    }

    fn post(&mut self, body: &[u8]) -> Outcome {
        let rejected =
            |r: webwallet_ledger::Rejection| Outcome::Rejected(r.code.to_string(), r.pointer);
        let before = |ious: &[Hash], rules: &Rules| {
            replay(ious, rules).map(|at| Outcome::Replayed(at.number, at.hash))
        };
        let request = match Request::parse(body, DOMAIN) {
            Ok(request) => request,
            Err(refusal) => {
                let before = refusal.ious.and_then(|ious| before(&ious, self));
                return before.unwrap_or_else(|| rejected(refusal.rejection));
            }
        };
        let mut random = rand::rngs::StdRng::seed_from_u64(7);
        if let Err(rejection) = verify::verify(&[&request], &self.keys, &mut random).remove(0) {
            return before(&request.ious(), self).unwrap_or_else(|| rejected(rejection));
        }
        let number = self.records.len() as u64 + 1;
        // As the writer gives it: never before the last time given.
        let last = self.records.last().map_or(self.now, |record| record.time);
        match clear(&request, number, self.now.max(last), self) {
            Err(rejection) => rejected(rejection),
            Ok(Cleared::Before(at)) => Outcome::Replayed(at.number, at.hash),
            Ok(Cleared::Now(record)) => {
                self.accounts.extend(record.accounts());
                record.collects.iter().for_each(|used| drop(self.locks.remove(used)));
                let made = record.locked().map(|(pointer, lock)| (pointer, lock.clone()));
                self.locks.extend(made);
                let inputs = record.inputs.len() as u32;
                let at = RecordOf { number, hash: record.hash, inputs };
                self.ious.extend(record.inputs.iter().map(|iou| (*iou, at)));
                self.records.push(record.clone());
                Outcome::Cleared(number, record.hash)
            }
        }
    }

    fn nets(&mut self, account: &AccountId) -> Vec<String> {
        let outputs = self.records.iter().rev().flat_map(|record| &record.outputs);
        let of_account = outputs.filter(|output| output.account == *account);
        of_account.map(|output| output.balance.net.to_string()).collect()
    }

    fn locks(&mut self, account: &AccountId) -> Vec<String> {
        let of_account = self.locks.iter().filter(|(_, lock)| {
            lock.account.unit == account.unit
                && [lock.account.address, lock.source].contains(&account.address)
        });
        of_account.map(|(pointer, _)| pointer.to_string()).collect()
    }
}

fn outcome(answer: &Answer) -> Outcome {
    let json = answer.json();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let record = || {
        let number = text(&json["data"]["data"]["number"]).parse().expect("a number");
        (number, text(&json["data"]["hash"]["value"]).parse().expect("a hash"))
    };
    match (answer.status, answer.replayed) {
        (201, false) => Outcome::Cleared(record().0, record().1),
        (200, true) => Outcome::Replayed(record().0, record().1),
        (400..500, _) => Outcome::Rejected(text(&json["code"]), text(&json["pointer"])),
        _ => panic!("neither cleared nor rejected: {answer:?}"),
    }
}

fn nets(answer: &Answer) -> Vec<String> {
    let json = answer.json();
    let outputs = json["data"]["outputs"].as_array().expect("outputs").clone();
    let net = |output: &serde_json::Value| {
        output["content"]["balance"]["net"].as_str().expect("net").to_owned()
    };
    outputs.iter().map(net).collect()
}

/// Of what can be spent, the locks: in pages of one, of which none may be left out.
fn locks(account: &AccountId, mut get: impl FnMut(&str) -> Answer) -> Vec<String> {
    let AccountId { address, unit } = account;
    let first = format!("/address/{address}/outputs/unspent?counter={unit}&limit=1");
    let (mut found, mut page) = (Vec::new(), Some(first.clone()));
    while let Some(path) = page {
        let json = get(&path).json();
        let outputs = json["data"]["outputs"].as_array().expect("outputs").clone();
        assert!(outputs.len() <= 1, "{outputs:?}");
        let locks = outputs.iter().filter(|output| output["content"]["locker"].is_object());
        found.extend(locks.map(|lock| lock["pointer"].as_str().expect("a pointer").to_owned()));
        page = json["data"]["next"].as_str().map(|cursor| format!("{first}&cursor={cursor}"));
    }
    found
}

fn history_path(account: &AccountId) -> String {
    format!("/address/{}/outputs/history?counter={}&limit=1000", account.address, account.unit)
}

/// The whole server in this process, without a socket, over any engines.
pub struct InProcess {
    name: &'static str,
    runtime: tokio::runtime::Runtime,
    router: Router,
    clear: Clear,
    keys: Keys,
    now: Arc<Mutex<Time>>,
    blockstack: Blockstack<Folder>,
    data: tempfile::TempDir,
}

/// Graphstore itself, behind the gateway.
type Clear = Box<dyn Fn(ClearRequest) -> BoxFuture<'static, ClearReply>>;

impl InProcess {
    /// An empty server on the embedded engines.
    pub fn new() -> InProcess {
        let data = tempfile::tempdir().expect("a folder");
        let graphstore = webwallet_graphstore::Embedded::open(&data.path().join("graphstore"));
        let hashtable = webwallet_hashtable::Embedded::open(&data.path().join("hashtable"));
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let (graphstore, hashtable) = (graphstore.expect("open"), hashtable.expect("open"));
        InProcess::over("in process", runtime, graphstore, hashtable, data)
    }

    /// An empty server on Redis and Neo4j.
    pub fn on_engines(engines: &Engines) -> InProcess {
        let (redis, neo4j) = (engines.redis, engines.neo4j);
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let (graphstore, hashtable) = runtime.block_on(async {
            let settings = webwallet_graphstore::neo4j::Settings {
                url: neo4j.uri.clone(),
                user: neo4j.user.clone(),
                password: neo4j.password.clone(),
            };
            let graphstore = webwallet_graphstore::Neo4j::open(&settings, DOMAIN).await;
            let settings = webwallet_hashtable::RedisSettings {
                url: redis.url.clone(),
                password: None,
                domain: DOMAIN.to_owned(),
                allow_lossy: false,
            };
            let hashtable = webwallet_hashtable::Redis::open(settings).await;
            (graphstore.expect("a Neo4j"), hashtable.expect("a Redis"))
        });
        let data = tempfile::tempdir().expect("a folder");
        InProcess::over("Redis and Neo4j", runtime, graphstore, hashtable, data)
    }

    /// A server on these engines; `runtime` is where they were opened.
    pub fn over(
        name: &'static str,
        runtime: tokio::runtime::Runtime,
        graphstore: impl webwallet_graphstore::Store,
        hashtable: impl webwallet_hashtable::Store,
        data: tempfile::TempDir,
    ) -> InProcess {
        let now = Arc::new(Mutex::new(Time::from_unix_ms(0)));
        let clock = now.clone();
        let (router, clear, blockstack) = runtime.block_on(async {
            let clock = Arc::new(move || Ok(*clock.lock().expect("the clock")));
            let graphstore = Graphstore::start(graphstore, DOMAIN, clock).await.expect("start");
            let deadline = std::time::Duration::from_secs(10);
            let hashtable = Link::embedded(webwallet_hashtable::server(hashtable), deadline);
            let hashtable = || webwallet_proto::hashtable::client(hashtable.clone());
            let link = Link::embedded(graphstore.server(), deadline);
            let deciding = || webwallet_proto::graphstore::client(link.clone());
            let mut sealing = webwallet_blockstack::Config::new(DOMAIN, data.path().join("state"));
            sealing.seal = Seal::Manual;
            let log = Folder::open(&data.path().join("log")).expect("a folder");
            let key = data.path().join("log-key");
            let key = LogKey::open(&key, DOMAIN, Arc::new(|| LOG_KEY)).expect("a key");
            let blockstack = Blockstack::start(sealing, log, key, deciding(), hashtable()).await;
            let blockstack = blockstack.expect("a log");
            let config = Config {
                domain: DOMAIN.into(),
                limits: Limits::default(),
                randomness: Arc::new(rand::make_rng),
            };
            let proving = Link::embedded(blockstack.server(), deadline);
            let proving = webwallet_proto::blockstack::client(proving);
            let gateway = Gateway::start(config, deciding(), hashtable(), proving);
            let gateway = gateway.expect("a gateway");
            let clear = move |call: ClearRequest| {
                let graphstore = graphstore.clone();
                let reply = async move {
                    let reply = graphstore.clear(tonic::Request::new(call)).await;
                    reply.expect("a verdict").into_inner()
                };
                reply.boxed()
            };
            (gateway.router(), Box::new(clear) as Clear, blockstack)
        });
        let keys = Keys::new(100);
        InProcess { name, runtime, router, clear, keys, now, blockstack, data }
    }

    /// Makes blocks of all that has cleared; gives the folder of the log and the
    /// key it is signed by.
    pub fn sealed(&self) -> (PathBuf, String) {
        let sealed = self.runtime.block_on(async {
            let deadline = std::time::Duration::from_secs(10);
            let link = Link::embedded(self.blockstack.server(), deadline);
            let mut client = webwallet_proto::blockstack::client(link);
            client.seal(SealRequest { stack: false }).await
        });
        sealed.expect("sealed");
        let key = webwallet_ledger::note::verifier_key(DOMAIN, &LOG_KEY).to_string();
        (self.data.path().join("log"), key)
    }

    /// The folder of what it keeps.
    pub fn folder(&self) -> &std::path::Path {
        self.data.path()
    }

    fn call(&self, request: http::Request<Body>) -> Answer {
        self.runtime.block_on(async {
            let (method, uri) = (request.method().clone(), request.uri().clone());
            let response = self.router.clone().oneshot(request).await.expect("infallible");
            let (head, body) = response.into_parts();
            let body = body.collect().await.expect("a body").to_bytes().to_vec();
            hold(&method, &uri, &head, &body);
            Answer::new(&head, body)
        })
    }
}

impl Default for InProcess {
    fn default() -> InProcess {
        InProcess::new()
    }
}

impl World for InProcess {
    fn name(&self) -> &'static str {
        self.name
    }

    fn set_time(&mut self, time: Time) {
        *self.now.lock().expect("the clock") = time;
    }

    fn post(&mut self, body: &[u8]) -> Outcome {
        let request =
            http::Request::post("/transaction").header("content-type", "application/json");
        outcome(&self.call(request.body(body.to_vec().into()).expect("a request")))
    }

    /// What a gateway lets pass goes to Graphstore itself, in order: the gateway's
    /// threads that verify would shuffle it. What a gateway refuses is posted alone.
    fn post_wave(&mut self, bodies: &[Vec<u8>]) -> Vec<Outcome> {
        let mut random = rand::rngs::StdRng::seed_from_u64(7);
        let (mut outcomes, mut waiting) = (Vec::new(), Vec::new());
        for body in bodies {
            let request = Request::parse(body, DOMAIN).ok().filter(|request| {
                verify::verify(&[request], &self.keys, &mut random).remove(0).is_ok()
            });
            match request {
                Some(request) => {
                    let inputs = request.inputs.into_iter().map(|iou| iou.bytes.into()).collect();
                    waiting.push((self.clear)(ClearRequest { inputs }));
                }
                None => {
                    let replies = self.runtime.block_on(join_all(std::mem::take(&mut waiting)));
                    outcomes.extend(replies.into_iter().map(verdict));
                    outcomes.push(self.post(body));
                }
            }
        }
        let replies = self.runtime.block_on(join_all(waiting));
        outcomes.extend(replies.into_iter().map(verdict));
        outcomes
    }

    fn nets(&mut self, account: &AccountId) -> Vec<String> {
        let request = http::Request::get(history_path(account));
        nets(&self.call(request.body(Body::empty()).expect("a request")))
    }

    fn locks(&mut self, account: &AccountId) -> Vec<String> {
        locks(account, |path| {
            self.call(http::Request::get(path).body(Body::empty()).expect("a request"))
        })
    }
}

fn verdict(reply: ClearReply) -> Outcome {
    use webwallet_proto::graphstore::v1::clear_reply::Outcome as Came;
    match reply.outcome.expect("an outcome") {
        Came::Rejected(rejection) => Outcome::Rejected(rejection.code, rejection.pointer),
        Came::Cleared(record) => {
            let hash = Hash::from_slice(&record.hash).expect("a hash");
            match reply.replayed {
                true => Outcome::Replayed(record.number, hash),
                false => Outcome::Cleared(record.number, hash),
            }
        }
    }
}

/// Servers in processes of their own, spoken to over sockets.
pub struct Sockets {
    name: &'static str,
    agent: Agent,
    url: String,
    clock: PathBuf,
    processes: Vec<Process>,
    _data: tempfile::TempDir,
}

impl Sockets {
    /// One process with everything in it.
    pub fn together() -> Sockets {
        let (data, clock) = Sockets::files();
        let clock_text = clock.to_str().expect("a path in UTF-8").to_owned();
        let controls = ["--test-clock", &clock_text, "--seal", "manual"];
        let server = Process::all(&data.path().join("data"), &controls);
        Sockets::over("REST", server.url(), vec![server], data, clock)
    }

    /// Hashtable, Graphstore and a gateway apart, over gRPC.
    pub fn apart() -> Sockets {
        let (data, clock) = Sockets::files();
        let text = |path: PathBuf| path.to_str().expect("a path in UTF-8").to_owned();
        let clock_text = text(clock.clone());
        let store = |role: &str, more: &[&str]| {
            let folder = text(data.path().join(role));
            let own = ["--role", role, "--data", &folder];
            Process::start(&[&own[..], more].concat())
        };
        let hashtable = store("hashtable", &[]);
        let keeping = hashtable.url();
        let timed = ["--hashtable", &keeping, "--test-clock", &clock_text];
        let graphstore = store("graphstore", &timed);
        let deciding = graphstore.url();
        let stores = ["--hashtable", &keeping, "--graphstore", &deciding];
        let log = text(data.path().join("blockstack"));
        let blockstack = ["--role", "blockstack", "--data", &log, "--seal", "manual"];
        let blockstack = Process::start(&[&blockstack[..], &stores[..]].concat());
        let proving = blockstack.url();
        let gateway = ["--role", "gateway", "--admin", "127.0.0.1:0", "--blockstack", &proving];
        let gateway = Process::start(&[&gateway[..], &stores[..]].concat());
        let url = gateway.url();
        let processes = vec![gateway, blockstack, hashtable, graphstore];
        Sockets::over("processes", url, processes, data, clock)
    }

    /// `http://` and where its gateway listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    fn files() -> (tempfile::TempDir, PathBuf) {
        let data = tempfile::tempdir().expect("a folder");
        let clock = data.path().join("clock");
        std::fs::write(&clock, "1970-01-01T00:00:00.000Z").expect("a clock");
        (data, clock)
    }

    fn over(
        name: &'static str,
        url: String,
        processes: Vec<Process>,
        data: tempfile::TempDir,
        clock: PathBuf,
    ) -> Sockets {
        let agent = process::agent();
        Sockets { name, agent, url, clock, processes, _data: data }
    }

    /// The process that clients speak to, or the only one.
    pub fn process(&self) -> &Process {
        &self.processes[0]
    }
}

impl World for Sockets {
    fn name(&self) -> &'static str {
        self.name
    }

    fn set_time(&mut self, time: Time) {
        // Replaced as a whole: the server must never read half of it.
        let next = self.clock.with_extension("next");
        std::fs::write(&next, time.to_string()).expect("a clock");
        std::fs::rename(next, &self.clock).expect("a clock");
    }

    fn post(&mut self, body: &[u8]) -> Outcome {
        outcome(&process::post(&self.agent, &self.url, body).expect("an answer"))
    }

    fn nets(&mut self, account: &AccountId) -> Vec<String> {
        nets(&process::get(&self.agent, &self.url, &history_path(account)))
    }

    fn locks(&mut self, account: &AccountId) -> Vec<String> {
        locks(account, |path| process::get(&self.agent, &self.url, path))
    }
}
