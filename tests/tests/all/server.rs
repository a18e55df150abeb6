//! The server as a process: how it starts, what it keeps, how it ends.

use std::process::Command;
use std::time::{Duration, Instant};

use webwallet_proto::graphstore::v1::StatusRequest;
use webwallet_proto::link::Link;
use webwallet_tests::deployment::{Deployment, on_every_engine};
use webwallet_tests::party::{issue, party, pay};
use webwallet_tests::process::{Process, agent, binary, get, post, post_to};

/// Scripts and supervisors rely on the first line, on exit codes, and on a stop
/// that loses nothing.
#[test]
fn it_says_where_it_listens_and_ends_with_zero() {
    on_every_engine(it_ends_with_zero);
}

fn it_ends_with_zero(stores: &Deployment<'_>) {
    let server = stores.serve(&[]);
    for key in ["listen", "admin", "domain", "data"] {
        assert!(server.line[key].is_string(), "{}", server.line);
    }
    assert_eq!(server.line["domain"], "example.net");
    let agent = agent();
    assert_eq!(get(&agent, &server.url(), "/readyz").status, 200);
    let body = issue(&party("alice"), &party("bob"), "10", "1");
    let cleared = post(&agent, &server.url(), &body).expect("an answer");
    assert_eq!(cleared.status, 201);
    assert_eq!(server.terminate(), Some(0));
    let server = stores.serve(&[]);
    let replayed = post(&agent, &server.url(), &body).expect("an answer");
    assert_eq!((replayed.status, replayed.replayed), (200, true));
    assert_eq!(replayed.body, cleared.body, "the same bytes");
}

/// Two servers on one directory would write one log together and ruin it.
#[test]
fn what_must_not_be_served_is_refused_with_a_sentence() {
    let data = tempfile::tempdir().expect("a folder");
    let folder = data.path().to_str().expect("UTF-8");
    let server = Process::all(data.path(), &[]);
    let refuse = |arguments: &[&str]| {
        let mut command = Command::new(binary());
        command.args(["serve", "--admin", "127.0.0.1:0", "--data"]).args(arguments);
        let output = command.output().expect("runs");
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(output.stdout.is_empty());
        String::from_utf8(output.stderr).expect("UTF-8")
    };
    assert!(refuse(&[folder, "--listen", "127.0.0.1:0"]).contains("in use by another webwallet"));
    drop(server);
    assert!(
        refuse(&[folder, "--listen", "127.0.0.1:0", "--domain", "example.org"])
            .contains("belongs to the domain")
    );
    let clock = [folder, "--test-clock", "/nonexistent", "--listen", "0.0.0.0:0"];
    assert!(refuse(&clock).contains("loopback"));
    let foreign = tempfile::tempdir().expect("a folder");
    std::fs::write(foreign.path().join("photo.jpg"), "x").expect("a file");
    assert!(
        refuse(&[foreign.path().to_str().expect("UTF-8"), "--listen", "127.0.0.1:0"])
            .contains("not empty")
    );
}

/// Whoever puts an older Graphstore back while a gateway lives, and Blockstack, which
/// would compare, is away, would have the same money paid out a second time.
#[test]
fn a_graphstore_that_was_put_back_decides_nothing() {
    let data = tempfile::tempdir().expect("a folder");
    let folder = |name: &str| data.path().join(name).to_str().expect("UTF-8").to_owned();
    let hashtable = Process::start(&["--role", "hashtable", "--data", &folder("hashtable")]);
    let keeping = hashtable.url();
    let deciding = |listen: &str| {
        let data = folder("graphstore");
        let arguments = ["--role", "graphstore", "--data", &data, "--hashtable", &keeping];
        Process::start_at(Command::new(binary()), listen, &arguments)
    };
    let copy = |from: &str, to: &str| {
        let _ = std::fs::remove_dir_all(folder(to));
        let copied = Command::new("cp").args(["-r", &folder(from), &folder(to)]).status();
        assert!(copied.expect("cp runs").success());
    };
    let mut graphstore = deciding("127.0.0.1:0");
    let listen = graphstore.line["listen"].as_str().expect("listen").to_owned();
    let at = graphstore.url();
    let stores = ["--hashtable", &keeping, "--graphstore", &at];
    let log = folder("blockstack");
    let blockstack =
        Process::start(&[&["--role", "blockstack", "--data", &log], &stores[..]].concat());
    let proving = blockstack.url();
    let gateway = ["--role", "gateway", "--admin", "127.0.0.1:0", "--blockstack", &proving];
    let gateway = Process::start(&[&gateway[..], &stores[..]].concat());

    let (agent, url) = (agent(), gateway.url());
    let body = |note: &str| issue(&party("alice"), &party("bob"), "1", note);
    let pay = |note: &str| post(&agent, &url, &body(note)).expect("an answer");
    assert_eq!(pay("one").status, 201);
    assert_eq!(graphstore.terminate(), Some(0));
    copy("graphstore", "older");
    graphstore = deciding(&listen);
    let second = pay("two");
    assert_eq!(second.status, 201);
    drop(blockstack);
    assert_eq!(graphstore.terminate(), Some(0));
    copy("graphstore", "newer");
    copy("older", "graphstore");
    graphstore = deciding(&listen);
    assert_eq!(pay("three").status, 503);
    let ready = get(&agent, &url, "/readyz");
    let why = ready.json()["detail"].to_string();
    assert!(ready.status == 503 && why.contains("graphstore clears nothing"), "{why}");
    // What this copy does not know is not said to be absent, nor what it knows to be so now.
    let iou = second.json()["data"]["data"]["inputs"][0]["hash"].clone();
    let (iou, alice) = (iou.as_str().expect("a hash"), party("alice").address);
    for path in [
        "/transaction/3".to_owned(),
        format!("/transaction/{}", "0".repeat(64)),
        format!("/iou/{iou}"),
        "/events?after=1".to_owned(),
        format!("/address/{alice}"),
        format!("/address/{alice}/outputs/unspent?counter={alice}"),
        format!("/address/{alice}/outputs/history?counter={alice}"),
        format!("/unit/{alice}"),
        format!("/unit/{alice}/holders"),
    ] {
        let answer = get(&agent, &url, &path);
        assert_eq!((answer.status, answer.code()), (503, "read_only".to_owned()), "{path}");
    }
    assert_eq!(get(&agent, &url, "/transaction/2").body, second.body);
    let batch = post_to(&agent, &url, "/batch", &body("four")).expect("an answer");
    assert_eq!(batch.json()["problem"]["status"], 503, "{batch:?}");
    assert_eq!(records(&at), 1, "nothing was given a number that record 2 has");
    assert_eq!(graphstore.terminate(), Some(0));

    copy("newer", "graphstore");
    graphstore = deciding(&listen);
    assert_eq!(pay("two").body, second.body);
    let three = pay("three");
    assert_eq!((three.status, records(&at)), (201, 3));
    assert_eq!(graphstore.terminate(), Some(0));

    // One with as many records, of another history.
    let _ = std::fs::remove_dir_all(folder("graphstore"));
    let other = Process::all(std::path::Path::new(&folder("graphstore")), &[]);
    for note in ["uno", "due", "tre"] {
        assert_eq!(post(&agent, &other.url(), &body(note)).expect("an answer").status, 201);
    }
    assert_eq!(other.terminate(), Some(0));
    copy("graphstore", "other");
    let _graphstore = deciding(&listen);
    assert_eq!((pay("four").status, records(&at)), (503, 3));
    // With the Hashtable that belongs to it, it goes on by itself.
    let listen = hashtable.line["listen"].as_str().expect("listen").to_owned();
    assert_eq!(hashtable.terminate(), Some(0));
    let own = ["--role", "hashtable", "--data", &folder("other")];
    let _hashtable = Process::start_at(Command::new(binary()), &listen, &own);
    let begun = Instant::now();
    while pay("four").status != 201 {
        assert!(begun.elapsed() < Duration::from_secs(20), "it does not go on");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(records(&at), 4);
}

/// How many records a Graphstore has.
fn records(url: &str) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let link = Link::remote(url, Duration::from_secs(10)).expect("an address");
        let status = webwallet_proto::graphstore::client(link).status(StatusRequest {}).await;
        status.expect("an answer").get_ref().number
    })
}

/// What was answered can be read at once, everywhere and under every name.
#[test]
fn a_payment_is_found_by_number_hash_iou_and_address() {
    on_every_engine(a_payment_is_found);
}

fn a_payment_is_found(stores: &Deployment<'_>) {
    let server = stores.serve(&[]);
    let (agent, url) = (agent(), server.url());
    let (alice, bob) = (party("alice"), party("bob"));
    let cleared = post(&agent, &url, &issue(&alice, &bob, "10", "1")).expect("an answer");
    let json = cleared.json();
    let hash = json["data"]["hash"]["value"].as_str().expect("hash").to_owned();
    let iou = json["data"]["data"]["inputs"][0]["hash"].as_str().expect("IOU").to_owned();
    for path in [format!("/transaction/{hash}"), "/transaction/1".to_owned()] {
        assert_eq!(get(&agent, &url, &path).body, cleared.body, "{path}");
    }
    let found = get(&agent, &url, &format!("/iou/{iou}")).json();
    assert_eq!(found["data"]["transaction"], hash.as_str());
    assert_eq!(found["data"]["iou"], json["data"]["meta"]["inputs"][0]);
    let account = get(&agent, &url, &format!("/address/{}?counter={}", bob.address, alice.address));
    assert_eq!(account.json()["data"]["units"][0]["balance"]["net"], "10");
    let units = get(&agent, &url, &format!("/address/{}", bob.address)).json();
    assert_eq!(units["data"]["units"][0]["pointer"], format!("{hash}::1"));
    let nobody = get(&agent, &url, &format!("/address/{}", party("nobody").address));
    assert_eq!((nobody.status, &nobody.json()["data"]["units"]), (200, &serde_json::json!([])));
    for path in ["/transaction/2", &format!("/iou/{hash}"), "/nowhere"] {
        assert_eq!(get(&agent, &url, path).code(), "not_found", "{path}");
    }
}

/// Pages neither lose nor repeat an output while payments go on.
#[test]
fn history_pages_stay_put_under_payments() {
    on_every_engine(pages_stay_put);
}

fn pages_stay_put(stores: &Deployment<'_>) {
    let server = stores.serve(&[]);
    let (agent, url) = (agent(), server.url());
    let (alice, bob, carol) = (party("alice"), party("bob"), party("carol"));
    let clear = |body: &[u8]| assert_eq!(post(&agent, &url, body).expect("an answer").status, 201);
    for i in 0..30 {
        clear(&issue(&alice, &bob, "1", &format!("page {i}")));
    }
    let base =
        format!("/address/{}/outputs/history?counter={}&limit=7", bob.address, alice.address);
    let (mut nets, mut path, mut extra) = (Vec::new(), base.clone(), 0);
    loop {
        let page = get(&agent, &url, &path).json();
        for output in page["data"]["outputs"].as_array().expect("outputs") {
            nets.push(output["content"]["balance"]["net"].as_str().expect("net").to_owned());
        }
        clear(&pay(&bob, &carol, &alice, "0.5", &format!("between {extra}")));
        extra += 1;
        let Some(next) = page["data"]["next"].as_str() else { break };
        path = format!("{base}&cursor={next}");
    }
    let expected: Vec<String> = (1..=30).rev().map(|net| net.to_string()).collect();
    assert_eq!(nets, expected);
}
