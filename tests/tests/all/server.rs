//! The server as a process: how it starts, what it keeps, how it ends.

use std::process::Command;

use webwallet_tests::deployment::{Deployment, on_every_engine};
use webwallet_tests::party::{issue, party, pay};
use webwallet_tests::process::{Process, agent, binary, get, post};

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
    assert!(refuse(&[folder, "--listen", "127.0.0.1:0"]).contains("another server is running"));
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
