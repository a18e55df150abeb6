//! Two gateways over one Graphstore and one Hashtable are one server: nobody can
//! spend at one what is gone at the other, and neither needs to be told when a
//! store comes back.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;
use webwallet_engines::{Neo4j, Redis};
use webwallet_tests::party::{Party, issue, party, pay};
use webwallet_tests::process::{Process, agent, binary, get, post};

use crate::engines::{Server, count, cypher_of};

/// Many after one balance.
const CLIENTS: usize = 64;
/// What each of them tries.
const TRIES: usize = 4;
/// How soon a gateway sees that a store is back, or gone.
const SOON: Duration = Duration::from_secs(10);

/// The three services of a gateway.
struct Services {
    hashtable: String,
    graphstore: String,
    blockstack: Process,
    _log: TempDir,
}

impl Services {
    fn over(hashtable: &Process, graphstore: &Process) -> Services {
        let log = tempfile::tempdir().expect("a folder");
        let (hashtable, graphstore) = (hashtable.url(), graphstore.url());
        let data = log.path().join("log");
        let data = data.to_str().expect("UTF-8");
        let own = ["--role", "blockstack", "--data", data];
        let stores = ["--hashtable", &hashtable, "--graphstore", &graphstore];
        let blockstack = Process::start(&[own, stores].concat());
        Services { hashtable, graphstore, blockstack, _log: log }
    }

    fn gateway(&self) -> Process {
        let own = ["--role", "gateway", "--admin", "127.0.0.1:0"];
        let blockstack = self.blockstack.url();
        let links = ["--hashtable", &self.hashtable, "--graphstore", &self.graphstore];
        Process::start(&[&own[..], &links, &["--blockstack", &blockstack]].concat())
    }
}

/// Waits until a gateway is ready, or says why not in these words.
fn until(gateway: &Process, words: Option<&str>) {
    let (agent, begun) = (agent(), Instant::now());
    loop {
        let answer = get(&agent, &gateway.url(), "/readyz");
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        match words {
            None if answer.status == 200 => return,
            Some(words) if answer.status == 503 && text.contains(words) => return,
            _ => assert!(begun.elapsed() < SOON, "{words:?} instead of {text}"),
        }
        sleep(Duration::from_millis(50));
    }
}

#[test]
fn two_gateways_over_one_balance_never_clear_one_unit_over() {
    let (server, redis, neo4j) = (Server::new(), Redis::private(), Neo4j::private());
    let hashtable = Process::start(&["--role", "hashtable", "--redis", &redis.url]);
    let graphstore = Process::start_by(
        server.command(Some(&neo4j)),
        &["--role", "graphstore", "--neo4j", &neo4j.uri, "--hashtable", &hashtable.url()],
    );
    let services = Services::over(&hashtable, &graphstore);
    let gateways = [(); 2].map(|()| services.gateway());
    gateways.iter().for_each(|gateway| until(gateway, None));
    let urls = gateways.each_ref().map(Process::url);

    let (issuer, holder, winner) = (party("issuer"), party("holder"), party("winner"));
    let balance = CLIENTS * TRIES * 3 / 8;
    let issued = issue(&issuer, &holder, &balance.to_string(), "issued");
    assert_eq!(post(&agent(), &urls[0], &issued).expect("an answer").status, 201);
    let (cleared, refused) = (AtomicUsize::new(1), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (urls, issuer, holder, winner) = (&urls, &issuer, &holder, &winner);
            let (cleared, refused) = (&cleared, &refused);
            scope.spawn(move || {
                let agent = agent();
                for n in 0..TRIES {
                    let body = pay(holder, winner, issuer, "1", &format!("{client} {n}"));
                    let answer = post(&agent, &urls[(client + n) % 2], &body).expect("an answer");
                    match (answer.status, answer.code().as_str()) {
                        (201, _) => cleared.fetch_add(1, Ordering::SeqCst),
                        (422, "balance_below_min") => refused.fetch_add(1, Ordering::SeqCst),
                        _ => panic!("neither cleared nor refused: {answer:?}"),
                    };
                    // The same bytes to the other gateway: the same verdict, no second record.
                    let again =
                        post(&agent, &urls[(client + n + 1) % 2], &body).expect("an answer");
                    match answer.status {
                        201 => assert_eq!((again.status, &again.body), (200, &answer.body)),
                        _ => assert_eq!(again.status, 422),
                    }
                }
            });
        }
    });
    let (cleared, refused) = (cleared.into_inner(), refused.into_inner());
    println!("{CLIENTS} clients at 2 gateways: {cleared} cleared, {refused} refused");
    assert_eq!((cleared, refused), (balance + 1, CLIENTS * TRIES - balance));
    let in_graph = count(&neo4j, "MATCH (t:Transaction) RETURN count(t)");
    assert_eq!(in_graph, cleared as u64, "Neo4j has what was answered, and nothing else");

    explored(&neo4j, [&issuer, &holder]);

    // An engine that falls silent is named, by both; and nobody has to be told when it is back.
    neo4j.pause();
    let missing = format!("graphstore cannot use its engine, neo4j {}", neo4j.version);
    gateways.iter().for_each(|gateway| until(gateway, Some(&missing)));
    neo4j.resume();
    gateways.iter().for_each(|gateway| until(gateway, None));
    redis.kill();
    let missing = format!("hashtable cannot use its engine, redis {}", redis.version);
    gateways.iter().for_each(|gateway| until(gateway, Some(&missing)));
    redis.start();
    gateways.iter().for_each(|gateway| until(gateway, None));
    let replayed = post(&agent(), &urls[1], &issued).expect("an answer");
    assert_eq!((replayed.status, replayed.replayed), (200, true));
    let own = [services.blockstack, graphstore, hashtable];
    for process in gateways.into_iter().chain(own) {
        assert_eq!(process.terminate(), Some(0));
    }
}

/// What `deploy/neo4j` offers to people must still fit the graph.
fn explored(neo4j: &Neo4j, [issuer, holder]: [&Party; 2]) {
    let (unit, address) = (issuer.address.to_string(), holder.address.to_string());
    let parameters =
        json!({ "unit": unit, "one": unit, "address": address, "other": address, "number": 2 });
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/neo4j");
    let files = std::fs::read_dir(folder).expect("deploy/neo4j");
    let files = files.map(|file| file.expect("a file").path());
    let mut offered = 0;
    for file in files.filter(|file| file.extension().is_some_and(|end| end == "cypher")) {
        let text = std::fs::read_to_string(&file).expect("UTF-8");
        let statement: String =
            text.lines().filter(|line| !line.starts_with("//")).collect::<Vec<_>>().join("\n");
        let rows = cypher_of(neo4j, statement.trim_end().trim_end_matches(';'), &parameters);
        println!("{}: {} rows", file.display(), rows.len());
        assert!(!rows.is_empty(), "{}", file.display());
        offered += 1;
    }
    assert!(offered >= 5);
}

/// What a supervisor asks, in every role.
fn health(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(binary()).arg("health").args(arguments).output().expect("it runs");
    (output.status.code(), String::from_utf8(output.stdout).expect("UTF-8"))
}

/// A supervisor would send people to a gateway that cannot clear, or never again to one that can.
#[test]
fn a_store_that_is_gone_is_named_and_found_again() {
    let data = tempfile::tempdir().expect("a folder");
    let folder = |name: &str| data.path().join(name).to_str().expect("UTF-8").to_owned();
    let redis = Redis::private();
    let hashtable = Process::start(&["--role", "hashtable", "--redis", &redis.url]);
    let start = |listen: &str| {
        let data = folder("graphstore");
        let kept = hashtable.url();
        let arguments = ["--role", "graphstore", "--data", &data, "--hashtable", &kept];
        Process::start_at(Command::new(binary()), listen, &arguments)
    };
    let graphstore = start("127.0.0.1:0");
    let services = Services::over(&hashtable, &graphstore);
    let gateway = services.gateway();
    let (sealing, keeping) = (services.blockstack.url(), hashtable.url());
    let links = ["--hashtable", &keeping, "--graphstore", &services.graphstore];
    let of_blockstack = [&["--role", "blockstack", "--url", &sealing][..], &links].concat();
    assert_eq!(health(&of_blockstack).0, Some(0));
    until(&gateway, None);
    let url = gateway.url();
    assert_eq!(health(&["--url", &url]), (Some(0), format!("{url} is ready\n")));
    let of_hashtable = ["--role", "hashtable", "--url", &hashtable.url()].map(str::to_owned);
    let of_hashtable = of_hashtable.each_ref().map(String::as_str);
    assert_eq!(health(&of_hashtable).0, Some(0));

    let at = graphstore.line["listen"].as_str().expect("listen").to_owned();
    graphstore.kill();
    until(&gateway, Some("graphstore does not answer"));
    let (code, why) = health(&["--url", &url]);
    assert!(code == Some(1) && why.contains("graphstore does not answer"), "{why}");
    assert_eq!(
        health(&[
            "--role",
            "graphstore",
            "--url",
            &format!("http://{at}"),
            "--hashtable",
            &keeping
        ])
        .0,
        Some(1)
    );
    let _graphstore = start(&at);
    until(&gateway, None);

    // The role itself says so too, to whoever asks by gRPC.
    redis.pause();
    let begun = Instant::now();
    while health(&of_hashtable).0 == Some(0) {
        assert!(begun.elapsed() < SOON, "a Hashtable without its Redis calls itself ready");
        sleep(Duration::from_millis(50));
    }
    redis.resume();
    while health(&of_hashtable).0 != Some(0) {
        assert!(begun.elapsed() < 2 * SOON, "a Hashtable with its Redis back is not ready");
        sleep(Duration::from_millis(50));
    }
}
