//! `kill -9` of Neo4j and of Redis, and FLUSHALL, under load. If this failed, a
//! confirmed payment would be gone with an engine, or a reader would find the
//! server empty.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rand::RngExt as _;
use webwallet_engines::{Neo4j, Redis};
use webwallet_tests::deployment::Deployment;
use webwallet_tests::party::{issue, party};
use webwallet_tests::process::{Process, agent, binary, get, post};

use crate::rounds;

const CLIENTS: u64 = 16;
/// Payments between two strikes, at least.
const PAYMENTS: u64 = 200;
/// Reads while an engine is away, at least.
const READS: u64 = 100;
/// Longer than any engine takes to come back, on a busy machine too.
const LONG: Duration = Duration::from_secs(120);
/// Between two tries of somebody who was told to try again, and between two reads: an
/// engine that comes back needs the CPUs too.
const PAUSE: Duration = Duration::from_millis(200);
const READ_PAUSE: Duration = Duration::from_millis(5);

/// People who pay and people who read, and what they were answered.
#[derive(Default)]
struct Crowd {
    stop: AtomicBool,
    /// The test has failed: nobody waits for anything.
    failed: AtomicBool,
    in_flight: AtomicU64,
    /// Bodies by number.
    confirmed: Mutex<BTreeMap<u64, Vec<u8>>>,
    cleared: AtomicU64,
    /// Answers with 503, each followed by the same bytes again.
    unavailable: AtomicU64,
    /// Of those, payments that had cleared the first time.
    repeated: AtomicU64,
    /// Reads of sealed records; every one of them found its record.
    reads: AtomicU64,
}

impl Crowd {
    /// Pays until the stop, each payment until it is answered for good.
    fn pay(&self, url: &str, client: u64) {
        let (agent, from, to) = (agent(), party(&format!("client {client}")), party("everybody"));
        for i in 0.. {
            if self.stop.load(SeqCst) {
                return;
            }
            let body = issue(&from, &to, "1", &i.to_string());
            loop {
                self.in_flight.fetch_add(1, SeqCst);
                let answer = post(&agent, url, &body).expect("the server stays");
                self.in_flight.fetch_sub(1, SeqCst);
                match answer.status {
                    503 if self.failed.load(SeqCst) => return,
                    503 => {
                        self.unavailable.fetch_add(1, SeqCst);
                        sleep(PAUSE);
                        continue;
                    }
                    200 => drop(self.repeated.fetch_add(1, SeqCst)),
                    201 => {}
                    _ => panic!("neither cleared nor told to try again: {answer:?}"),
                }
                let number = answer.json()["data"]["data"]["number"].clone();
                let number = number.as_str().and_then(|n| n.parse().ok()).expect("a number");
                self.confirmed.lock().expect("the list").insert(number, answer.body);
                self.cleared.fetch_add(1, SeqCst);
                break;
            }
        }
    }

    /// Reads what was confirmed before the first strike, one after the other and by
    /// name: each engine alone can answer that, the other one with the log.
    fn read(&self, url: &str) {
        let agent = agent();
        let early = self.confirmed.lock().expect("the list").clone();
        let named = |body: &Vec<u8>| {
            let json: serde_json::Value = serde_json::from_slice(body).expect("JSON");
            let name = json["data"]["hash"]["value"].as_str().expect("a name").to_owned();
            (format!("/transaction/{name}"), body.clone())
        };
        let early: Vec<_> = early.values().map(named).collect();
        for (path, body) in early.iter().cycle() {
            if self.stop.load(SeqCst) {
                return;
            }
            let answer = get(&agent, url, path);
            assert!(answer.status == 200 && answer.body == *body, "{path}: {}", answer.json());
            self.reads.fetch_add(1, SeqCst);
            sleep(READ_PAUSE);
        }
    }
}

/// Waits until this has grown by so much.
fn grown(what: &str, counter: &AtomicU64, by: u64) {
    let (from, begun) = (counter.load(SeqCst), Instant::now());
    while counter.load(SeqCst) < from + by {
        assert!(begun.elapsed() < LONG, "{what} stopped at {}", counter.load(SeqCst));
        sleep(Duration::from_millis(5));
    }
}

/// One of the server's own counters.
fn metric(server: &Process, name: &str) -> u64 {
    let admin = format!("http://{}", server.line["admin"].as_str().expect("admin"));
    let text = String::from_utf8(get(&agent(), &admin, "/metrics").body).expect("UTF-8");
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
    value.unwrap_or_default() as u64
}

fn filled_again(redis: &Redis) {
    let client = redis::Client::open(&*redis.url).expect("an address");
    let begun = Instant::now();
    loop {
        let mut connection = client.get_connection().expect("Redis answers");
        let mark: Option<String> =
            redis::cmd("GET").arg("example.net:format").query(&mut connection).expect("answered");
        if mark.as_deref() == Some("1 whole") {
            return;
        }
        assert!(begun.elapsed() < LONG, "Redis is not filled again");
        sleep(Duration::from_millis(20));
    }
}

/// Reading goes on while Redis is empty or away.
fn strike_redis(crowd: &Crowd, redis: &Redis, server: &Process, flush: bool) {
    let doubts = metric(server, "webwallet_hashtable_doubts_total");
    if flush {
        webwallet_tests::engines::redis_emptied(redis);
        grown("reading from an emptied Redis", &crowd.reads, READS);
    } else {
        redis.kill();
        grown("refusing without Redis", &crowd.unavailable, 1);
        grown("reading without Redis", &crowd.reads, READS);
        redis.start();
    }
    let begun = Instant::now();
    while metric(server, "webwallet_hashtable_doubts_total") == doubts {
        assert!(begun.elapsed() < LONG, "nobody noticed");
        sleep(Duration::from_millis(20));
    }
    filled_again(redis);
}

fn strike_neo4j(crowd: &Crowd, neo4j: &Neo4j) {
    neo4j.kill();
    grown("refusing without Neo4j", &crowd.unavailable, 1);
    grown("reading without Neo4j", &crowd.reads, READS);
    neo4j.start();
}

#[test]
fn no_confirmed_payment_is_lost_with_an_engine() {
    let (redis, neo4j) = (Redis::private(), Neo4j::private());
    let stores = Deployment::on(&redis, &neo4j);
    // Every refusal of a crowd that tries again at once would be told.
    let server = stores.serve(&["--log", "off"]);
    let (url, crowd) = (server.url(), Crowd::default());
    let (flushes, kills, kills_of_neo4j) = (rounds(1, 5), rounds(1, 5), rounds(1, 10));
    let mut least_in_flight = u64::MAX;
    std::thread::scope(|scope| {
        let (crowd, url) = (&crowd, &url);
        for client in 0..CLIENTS {
            scope.spawn(move || crowd.pay(url, client));
        }
        // Whatever fails in here must not leave the others paying for ever.
        let _stop = StopAtEnd(crowd);
        grown("paying", &crowd.cleared, PAYMENTS);
        scope.spawn(move || crowd.read(url));
        let mut strike = |how: &dyn Fn()| {
            grown("paying", &crowd.cleared, PAYMENTS);
            sleep(Duration::from_millis(rand::rng().random_range(0..150)));
            least_in_flight = least_in_flight.min(crowd.in_flight.load(SeqCst));
            how();
        };
        for round in 0..flushes + kills {
            strike(&|| strike_redis(crowd, &redis, &server, round < flushes));
        }
        for _ in 0..kills_of_neo4j {
            strike(&|| strike_neo4j(crowd, &neo4j));
        }
        grown("paying", &crowd.cleared, PAYMENTS);
    });
    let confirmed = crowd.confirmed.into_inner().expect("the list");
    let agent = agent();
    for (number, body) in &confirmed {
        let answer = get(&agent, &url, &format!("/transaction/{number}"));
        assert!(answer.body == *body, "record {number} is lost");
    }
    let next = format!("/transaction/{}", confirmed.len() + 1);
    assert_eq!(get(&agent, &url, &next).status, 404, "nothing clears without being answered");
    let [doubts, refilled, lost, failed] = [
        "webwallet_hashtable_doubts_total",
        "webwallet_hashtable_refilled_total",
        "webwallet_graphstore_commits_lost_total",
        "webwallet_graphstore_batches_failed_total",
    ]
    .map(|name| metric(&server, name));
    let key = server.line["key"].as_str().expect("a key").to_owned();
    assert_eq!(server.terminate(), Some(0));
    // Both stores whole, and the same; and nothing is signed that is not so.
    let fsck = stores.command(&["fsck"]).output().expect("it runs");
    assert!(fsck.status.success(), "{}", String::from_utf8_lossy(&fsck.stdout));
    let audit = Command::new(binary().with_file_name("webwallet-audit"))
        .arg(stores.data().join("log"))
        .args(["--key", &key])
        .output();
    let audit = audit.expect("it runs");
    assert!(audit.status.success(), "{}", String::from_utf8_lossy(&audit.stdout));
    let [unavailable, repeated, reads] =
        [crowd.unavailable, crowd.repeated, crowd.reads].map(AtomicU64::into_inner);
    println!(
        "{flushes} FLUSHALL, {kills} kills of Redis, {kills_of_neo4j} kills of Neo4j, with at least \
         {least_in_flight} requests in flight: {} payments confirmed, none lost; {unavailable} times \
         told to try again, {repeated} had cleared by then; {reads} reads, none without its record; \
         {doubts} doubts, {refilled} documents put again, {failed} batches failed, {lost} answers to \
         a commit lost",
        confirmed.len()
    );
    for (what, count) in [
        ("requests in flight", least_in_flight),
        ("answers with 503", unavailable),
        ("reads", reads),
        ("doubts", doubts),
        ("documents put again", refilled),
        ("failed batches", failed),
    ] {
        assert!(count > 0, "{what}: none, so nothing was tried");
    }
}

struct StopAtEnd<'a>(&'a Crowd);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.failed.store(std::thread::panicking(), SeqCst);
        self.0.stop.store(true, SeqCst);
    }
}
