//! Commands as a person types them: run to their end, and what they printed.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::process::binary;

/// Runs the binary with something on its standard input.
pub fn run(arguments: &[&str], input: &[u8], variables: &[(&str, &str)]) -> Output {
    let mut child = Command::new(binary())
        .args(arguments)
        .env_remove("WEBWALLET_HOME")
        .env_remove("WEBWALLET_URL")
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    child.stdin.take().expect("piped").write_all(input).expect("it reads");
    child.wait_with_output().expect("it ends")
}

/// Bytes as text.
pub fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

/// What it printed, after it ended well.
pub fn done(arguments: &[&str]) -> String {
    let output = run(arguments, b"", &[]);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
    assert!(output.stderr.is_empty(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout).to_owned()
}

/// A line of JSON.
pub fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"))
}
