//! What an operator types and reads: settings, a start that is refused, health, metrics.

use std::process::Command;

use serde_json::Value;
use webwallet_ledger::request::body_of;
use webwallet_tests::command::{done, json, run, text};
use webwallet_tests::party::{draft, party};
use webwallet_tests::process::{Process, agent, binary, get, post};
use webwallet_tests::world::Sockets;

/// A setting that is lost is the default one; one that holds a password is shown to all.
#[test]
fn settings_are_neither_lost_nor_shown_with_a_password() {
    use std::os::unix::ffi::OsStrExt as _;
    let folder = std::ffi::OsStr::from_bytes(b"/srv/caf\xe9");
    let output =
        Command::new(binary()).args(["config", "show"]).env("WEBWALLET_DATA", folder).output();
    let output = output.expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("WEBWALLET_DATA is not UTF-8"),
        "{}",
        text(&output.stderr)
    );
    let secret = [("WEBWALLET_NEO4J", "bolt://neo4j:secret@host:7687")];
    let output = run(&["config", "show"], b"", &secret);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), ""));
    assert!(!text(&output.stderr).contains("secret@"), "{}", text(&output.stderr));
}

/// Who looks for a setting finds it, also before it is set; and one that is set by a
/// variable is not the default after all.
#[test]
fn every_setting_is_listed_and_taken_from_its_variable() {
    let shown = |variables: &[(&str, &str)]| {
        let output = run(&["config", "show", "--json"], b"", variables);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        json(text(&output.stdout))
    };
    let settings = shown(&[]);
    for name in ["redis", "neo4j_password_file", "tls_ca_file", "test_clock", "metrics"] {
        assert_eq!(settings[name]["value"], Value::Null, "{name} in {settings}");
        assert_eq!(settings[name]["from"], "default", "{name} in {settings}");
    }
    let listed = done(&["config", "show"]);
    let redis = listed.lines().find(|line| line.starts_with("redis ")).expect("a line");
    assert!(redis.contains("(not set)"), "{redis}");
    let clock = shown(&[("WEBWALLET_TEST_CLOCK", "/run/clock")])["test_clock"].clone();
    assert_eq!((&clock["value"], &clock["from"]), (&"/run/clock".into(), &"environment".into()));
    // What our tests are told must not stop the servers that they start.
    shown(&[("WEBWALLET_TEST_ENGINE", "x")]);
}

/// Told that stores are sound which nobody uses, an operator stops looking.
#[test]
fn stores_that_nobody_uses_are_neither_made_nor_sound() {
    let folder = tempfile::tempdir().expect("a folder");
    let nowhere = folder.path().join("nowhere");
    let data = nowhere.to_str().expect("UTF-8");
    let service = ["--role", "blockstack", "--graphstore", "http://127.0.0.1:1", "--hashtable"];
    let service = [&service[..], &["http://127.0.0.1:1"]].concat();
    for (more, why) in
        [(&[][..], "the settings of that server"), (&service, "the stores themselves")]
    {
        for command in [&["fsck"][..], &["rebuild", "log"], &["rebuild", "graphstore"]] {
            let output = run(&[command, &["--data", data], more].concat(), b"", &[]);
            assert_eq!(output.status.code(), Some(2), "{command:?}: {}", text(&output.stdout));
            assert!(text(&output.stderr).contains(why), "{}", text(&output.stderr));
            assert!(!nowhere.exists(), "{command:?} made {data}");
        }
    }
}

/// The domain is for ever: a slip of the finger is not, while nothing has begun.
#[test]
fn a_start_that_is_refused_binds_no_data_directory() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let serve = ["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data"];
    let serve = [&serve[..], &[data.to_str().expect("UTF-8"), "--domain", "exmaple.net"]].concat();
    let clock = folder.path().join("clock");
    std::fs::write(&clock, "noon").expect("written");
    for wrong in [
        ["--redis", "redis://127.0.0.1:1"],
        ["--neo4j", "bolt://127.0.0.1:1"],
        ["--log-key", "/nowhere/log-key"],
        ["--test-clock", "/nowhere/clock"],
        ["--test-clock", clock.to_str().expect("UTF-8")],
    ] {
        let output = run(&[&serve[..], &wrong].concat(), b"", &[]);
        assert_eq!(output.status.code(), Some(1), "{wrong:?}: {}", text(&output.stderr));
    }
    let server = Process::of_domain(
        "example.net",
        &["--admin", "127.0.0.1:0", "--data", data.to_str().expect("UTF-8")],
    );
    assert_eq!(server.terminate(), Some(0));
}

/// Whoever takes a server for tests for a real one would trust its times.
#[test]
fn health_tells_of_a_test_clock() {
    let data = tempfile::tempdir().expect("a folder");
    let clock = data.path().join("clock");
    std::fs::write(&clock, "2026-01-01T00:00:00.000Z").expect("a clock");
    let clock = ["--test-clock", clock.to_str().expect("UTF-8")];
    for (more, expected) in [(&[][..], Value::Null), (&clock, Value::Bool(true))] {
        let server = Process::all(&data.path().join("data"), more);
        let health = get(&agent(), &server.url(), "/readyz");
        assert_eq!((health.status, &health.json()["test_clock"]), (200, &expected));
        assert_eq!(get(&agent(), &server.url(), "/livez").json(), json(r#"{"status":"alive"}"#));
    }
    // What is asked with a password is shown to others without.
    let server = Process::all(&data.path().join("data"), &[]);
    let user = "http://alice:SECRET@";
    for url in [server.url().replace("http://", user), format!("{user}127.0.0.1:1")] {
        let output = Command::new(binary()).args(["health", "--url", &url]).output();
        let output = output.expect("it runs");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).expect("UTF-8");
        assert!(said.contains("http://127.0.0.1") && !said.contains("SECRET"), "{said}");
    }
    // A gateway has no clock and seals nothing: it says what others say.
    let apart = get(&agent(), Sockets::apart().url(), "/readyz").json();
    assert_eq!(apart, json(r#"{"status":"ready","test_clock":true,"manual_seal":true}"#));
}

/// Whoever watches a server reads what its numbers mean beside them.
#[test]
fn every_number_at_metrics_is_explained() {
    let data = tempfile::tempdir().expect("a folder");
    let server = Process::all(data.path(), &[]);
    let (alice, bob) = (party("alice"), party("bob"));
    let iou = draft(&alice, &bob, &alice, "1", "a payment").sign(&alice.secret);
    let paid = post(&agent(), &server.url(), &body_of([iou.as_slice()])).expect("an answer");
    assert_eq!(paid.status, 201);
    let admin = format!("http://{}", server.line["admin"].as_str().expect("an address"));
    done(&["seal", "--admin", &admin]);
    let shown = get(&agent(), &admin, "/metrics").body;
    let shown = text(&shown);
    let names = shown.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let names: Vec<&str> = names.collect();
    for part in ["gateway", "graphstore", "hashtable", "blockstack"] {
        assert!(names.iter().any(|name| name.contains(part)), "{part}: {names:?}");
    }
    for name in names {
        assert!(shown.contains(&format!("# HELP {name} ")), "{name}");
    }
    // What has cleared and gets into no block shows, also from the first moment on.
    for service in ["graphstore", "blockstack"] {
        let newest = format!("webwallet_{service}_number 1");
        assert!(shown.lines().any(|line| line == newest), "{newest}: {shown}");
    }
    // An alert on what grows sees the first failure only beside a number before it.
    for failures in ["graphstore_batches_failed", "hashtable_damaged"] {
        let none = format!("webwallet_{failures}_total 0");
        assert!(shown.lines().any(|line| line == none), "{none}: {shown}");
    }
}

/// Whoever keeps the documents apart must see when some of them are doubted or lost.
#[test]
fn a_role_without_rest_shows_its_metrics() {
    let data = tempfile::tempdir().expect("a folder");
    let data = data.path().to_str().expect("UTF-8");
    let role = ["--role", "hashtable", "--data", data];
    let server = Process::start(&[&role[..], &["--metrics", "127.0.0.1:0"]].concat());
    let metrics = format!("http://{}", server.line["admin"].as_str().expect("an address"));
    let shown = get(&agent(), &metrics, "/metrics");
    assert_eq!(shown.status, 200);
    assert!(text(&shown.body).contains("webwallet_"), "{}", text(&shown.body));
    assert_eq!(get(&agent(), &metrics, "/seal").status, 404);
    assert_eq!(server.terminate(), Some(0));
    let output = run(&["serve", "--metrics", "127.0.0.1:0", "--data", data], b"", &[]);
    assert_eq!(output.status.code(), Some(2), "a gateway has its admin listener");
}
