//! The OpenAPI document held against the server by tools that are not ours. If
//! this failed, a client made from the document would send what is refused, or
//! be answered what it cannot read.

use std::path::{Path, PathBuf};
use std::process::Command;

use webwallet_tests::deployment::Deployment;
use webwallet_tests::process::{Process, agent, binary};

fn tool(path: &str) -> PathBuf {
    let tools = std::env::var("WEBWALLET_TEST_CONTRACT")
        .expect("WEBWALLET_TEST_CONTRACT is not set; scripts/test fetches the tools and sets it");
    Path::new(&tools).join(path)
}

fn contract() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("contract")
}

/// What a command says, once it has succeeded.
fn said(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// Somebody has paid, all of it is sealed, and there is a stack: the examples of the document lead somewhere.
fn begin(server: &Process, home: &Path) {
    let webwallet = |arguments: &[&str]| {
        let mut command = Command::new(binary());
        command.args(arguments).env("WEBWALLET_URL", server.url()).env("WEBWALLET_HOME", home);
        said(&mut command);
    };
    webwallet(&["key", "new", "alice"]);
    webwallet(&["key", "new", "bob"]);
    webwallet(&["issue", "--from", "alice", "--to", "bob", "--amount", "10"]);
    let admin = server.line["admin"].as_str().expect("admin");
    let sealed = agent().post(format!("http://{admin}/seal?stack=true")).send_empty();
    assert_eq!(sealed.expect("an answer").status().as_u16(), 200);
}

#[test]
fn no_request_that_schemathesis_thinks_of_is_answered_outside_the_document() {
    let stores = Deployment::embedded();
    let server = stores.serve(&[]);
    begin(&server, stores.folder());
    let long = std::env::var("WEBWALLET_TEST_DRILLS").is_ok_and(|drills| drills == "long");
    // It leaves notes where it runs.
    let folder = stores.folder().join("contract");
    said(Command::new("cp").arg("-r").arg(contract()).arg(&folder));
    let mut command = Command::new(tool("python/bin/schemathesis"));
    command.current_dir(&folder).args(["run", "--no-color"]);
    command.arg(format!("{}/openapi.json", server.url()));
    command.args(["--checks", "all", "--max-examples"]);
    let (cases_min, command) = match long {
        false => (2_000, command.arg("55")),
        true => (20_000, command.arg("810")),
    };
    // The same every time, so that it is red for a reason; with a seed, other requests.
    match std::env::var("WEBWALLET_TEST_SEED") {
        Ok(seed) => command.args(["--seed", &seed, "--generation-database", "none"]),
        Err(_) => command.arg("--generation-deterministic"),
    };
    let said = said(command);
    let (_, rest) = said.split_once("Test cases:\n").expect("a summary");
    let cases = rest.split_whitespace().next().and_then(|cases| cases.parse().ok());
    println!("schemathesis: {}", rest.lines().next().unwrap_or_default().trim());
    assert!(cases.is_some_and(|cases: u32| cases >= cases_min), "{said}");
    assert!(said.contains("✅ Stateful"), "{said}");
}

#[test]
fn spectral_finds_nothing_wrong_with_the_document() {
    let document = contract().join("../../api-gateway/openapi.json");
    let mut spectral = Command::new("node");
    spectral.arg(tool("node_modules/@stoplight/spectral-cli/dist/index.js"));
    spectral.args(["lint", "--fail-severity", "hint", "--ruleset"]);
    said(spectral.arg(contract().join("spectral.yaml")).arg(document));
}
