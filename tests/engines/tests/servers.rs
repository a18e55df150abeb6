//! What tests rely on: servers that answer, come back with their data, and are gone when nobody
//! needs them. If one of these failed, drills would blame the product for what their own servers
//! lost, or call well what was never tried.

use std::{
    env,
    io::{BufRead as _, BufReader},
    net::TcpStream,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use webwallet_engines::{Neo4j, Redis};

/// In this process: be the one that is killed.
const VICTIM: &str = "WEBWALLET_TEST_ENGINES_VICTIM";

fn address(url: &str) -> &str {
    url.split_once("://").map_or(url, |(_, address)| address)
}

fn set(redis: &Redis, key: &str) {
    let client = redis::Client::open(&*redis.url).expect("an address");
    let mut connection = client.get_connection().expect("it answers");
    redis::cmd("SET").arg(key).arg(1).exec(&mut connection).expect("stored");
}

fn has(redis: &Redis, key: &str) -> bool {
    let client = redis::Client::open(&*redis.url).expect("an address");
    let mut connection = client.get_connection().expect("it answers");
    redis::cmd("EXISTS").arg(key).query(&mut connection).expect("answered")
}

#[test]
fn a_killed_server_comes_back_with_its_data() {
    let redis = Redis::private();
    set(&redis, "kept");
    redis.kill();
    TcpStream::connect(address(&redis.url)).expect_err("it is dead");
    redis.start();
    assert!(has(&redis, "kept"));
}

#[test]
fn servers_of_two_tests_are_two_servers() {
    let (one, other) = (Redis::private(), Redis::private());
    set(&one, "of one");
    assert!(!has(&other, "of one"));
}

#[test]
fn a_server_that_is_dropped_is_gone() {
    let redis = Redis::private();
    let url = redis.url.clone();
    drop(redis);
    TcpStream::connect(address(&url)).expect_err("it is gone");
}

/// Otherwise a test stopped by hand, or by the kernel for its memory, leaves servers
/// behind that hold memory, ports and data for ever.
#[test]
fn nothing_survives_a_test_that_is_killed() {
    if env::var(VICTIM).is_ok() {
        let (redis, neo4j) = (webwallet_engines::redis(), webwallet_engines::neo4j());
        println!("\nholds {} {}", redis.url, neo4j.uri);
        thread::sleep(Duration::from_secs(600));
        return;
    }
    let mut victim = Command::new(env::current_exe().expect("this program"))
        .args(["--exact", "nothing_survives_a_test_that_is_killed", "--nocapture"])
        .env(VICTIM, "yes")
        .env_remove("WEBWALLET_TEST_REDIS_URL")
        .env_remove("WEBWALLET_TEST_NEO4J_URL")
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let stdout = BufReader::new(victim.stdout.take().expect("a pipe"));
    let held = stdout
        .lines()
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("holds ").map(str::to_owned))
        .expect("it holds two servers");
    for url in held.split(' ') {
        TcpStream::connect(address(url)).expect("it runs");
    }
    victim.kill().expect("SIGKILL");
    victim.wait().expect("dead");
    let begun = Instant::now();
    for url in held.split(' ') {
        while TcpStream::connect(address(url)).is_ok() {
            assert!(begun.elapsed() < Duration::from_secs(30), "{url} is still there");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn a_run_says_what_it_ran_on() {
    let redis = webwallet_engines::redis();
    let neo4j = Neo4j::private();
    let said = webwallet_engines::engines();
    for what in [format!("redis {} ", redis.version), format!("neo4j {} ", neo4j.version)] {
        assert!(said.contains(&what), "{said}");
    }
    assert!(said.starts_with("engines: "));
}
