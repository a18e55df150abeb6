//! The original system's own JavaScript SDK as a client. If this failed, the
//! people it was published for could not use this server.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use webwallet_tests::deployment::{Deployment, on_every_engine};
use webwallet_tests::process::{Process, agent, get};

/// Runs `tests/sdk/client.mjs` against a server; one JSON object a line comes back.
fn client(url: &str) -> Vec<Value> {
    let sdk = std::env::var("WEBWALLET_TEST_SDK")
        .expect("WEBWALLET_TEST_SDK is not set; scripts/test fetches the SDK and sets it");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk").join("client.mjs");
    let output = Command::new("node").arg(script).arg(url).env("WEBWALLET_TEST_SDK", sdk).output();
    let output = output.expect("node runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn what_the_sdk_signs_is_cleared_and_is_the_same_after_a_kill() {
    on_every_engine(what_it_signs_is_cleared);
}

fn what_it_signs_is_cleared(stores: &Deployment<'_>) {
    let server = stores.serve(&[]);
    let answers = client(&server.url());
    let of = |what: &'static str| answers.iter().filter(move |answer| answer["what"] == what);
    // Every kind of key, through issue, payment, repeat, refusal and balance.
    for (scheme, key) in [
        ("ecdsa-ed25519", "default"),
        ("ecdsa-ed25519", "compressed"),
        ("eddsa-ed25519", "default"),
    ] {
        let all = |what, member: &str| -> Vec<&Value> {
            let kind = of(what).filter(|a| a["scheme"] == scheme && a["key"] == key);
            kind.map(|answer| answer.get(member).expect("the member")).collect()
        };
        println!(
            "from the SDK, {scheme}, {key} key, {}: cleared {:?}",
            stores.name(),
            all("cleared", "status")
        );
        assert_eq!(all("cleared", "status"), [201, 201], "{scheme} {key}: {answers:#?}");
        assert_eq!(all("replayed", "status"), [200], "{scheme} {key}");
        assert_eq!(all("refused", "code"), ["balance_below_min"], "{scheme} {key}");
        assert_eq!(all("balance", "net"), ["6"], "{scheme} {key}");
    }

    let agent = agent();
    let read = |server: &Process| -> Vec<Vec<u8>> {
        let paths = of("cleared").map(|a| format!("/transaction/{}", a["hash"].as_str().unwrap()));
        paths.map(|path| get(&agent, &server.url(), &path).body).collect()
    };
    let before = read(&server);
    server.kill();
    let server = stores.serve(&[]);
    assert_eq!(read(&server), before, "the same bytes after kill -9 and restart");
}
