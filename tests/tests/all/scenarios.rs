//! One history everywhere. If these failed, moving a server from one process to
//! several would change what people own, or the bytes by which they prove it.

use std::path::Path;

use webwallet_tests::engines::Engines;
use webwallet_tests::party::{now, time};
use webwallet_tests::scenario::run;
use webwallet_tests::world::{InProcess, Rules, Sockets};

use crate::proofs::{seal, second_verdict, verdict};

/// Each scenario and the history it leaves, with the hashes of its records.
/// The history is committed beside it: a change of one byte of a record, in any
/// version, shows here. `WEBWALLET_TEST_WRITE=1` writes it anew.
fn on_every_deployment(name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let text = std::fs::read_to_string(folder.join(format!("{name}.txt"))).expect("a scenario");
    let history = run(&text, &mut Rules::new());
    println!("{history}");
    let committed = folder.join(format!("{name}.history"));
    if std::env::var_os("WEBWALLET_TEST_WRITE").is_some() {
        std::fs::write(&committed, &history).expect("written");
    }
    let committed = std::fs::read_to_string(committed).expect("a history beside the scenario");
    assert_eq!(history, committed, "the rules changed the bytes of history");
    assert_eq!(run(&text, &mut InProcess::new()), history, "in process");
    let mut server = Sockets::together();
    assert_eq!(run(&text, &mut server), history, "REST over a socket");
    seal(server.process());
    let key = server.process().line["key"].as_str().expect("a key").to_owned();
    accepted(&text, &server.process().url(), &key);
    assert_eq!(run(&text, &mut Sockets::apart()), history, "separate processes over gRPC");
    let engines = Engines::empty();
    let mut on_engines = InProcess::on_engines(&engines);
    assert_eq!(run(&text, &mut on_engines), history, "Redis and Neo4j");
    let (log, key) = on_engines.sealed();
    accepted(&text, log.to_str().expect("a path in UTF-8"), &key);
}

/// By both auditors. Of a server whose clock was ahead of that of this machine they
/// say so, and nothing else.
fn accepted(scenario: &str, place: &str, key: &str) {
    let now = now();
    let mut times = scenario.lines().filter_map(|line| line.strip_prefix("time "));
    let is_ahead = times.any(|at| time(at.trim()) > now);
    for (code, lines) in [verdict(place, key, &[]), second_verdict(place, key)] {
        let (last, findings) = lines.split_last().expect("a verdict");
        let is_clock = |finding: &serde_json::Value| finding["code"] == "A-TIME";
        let records = last["records"].as_str().is_some_and(|records| records != "0");
        assert!(records && findings.iter().all(is_clock), "{lines:?}");
        assert_eq!(code, Some(i32::from(is_ahead)), "{lines:?}");
    }
}

macro_rules! scenarios {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            on_every_deployment(stringify!($name));
        })*

        /// A scenario that is not run would promise what no deployment keeps.
        #[test]
        fn every_scenario_is_run() {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
            let mut found: Vec<String> = std::fs::read_dir(folder)
                .expect("scenarios")
                .filter_map(|entry| entry.expect("a file").file_name().into_string().ok())
                .filter_map(|name| name.strip_suffix(".txt").map(str::to_owned))
                .collect();
            found.sort();
            assert_eq!(found, [$(stringify!($name)),*]);
        }
    };
}

scenarios! { credit locks netting once payments puzzles together }
