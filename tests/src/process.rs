//! Servers as users run them: the binary, in a process of its own.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use http::{Method, response};
use serde_json::Value;
use ureq::{Agent, ResponseExt as _};
use webwallet_openapi::hold;

/// The binary under test: built beside this test by `scripts/test`.
pub fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    let built = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST").join("webwallet");
    assert!(
        built.exists(),
        "{} is missing; build it with: cargo build --profile ci --workspace --bins --tests",
        built.display()
    );
    built
}

/// A running `webwallet serve`; killed when dropped.
pub struct Process {
    child: Child,
    /// What its first line said.
    pub line: Value,
}

impl Process {
    /// Starts `serve` with these arguments, on ports that are free.
    pub fn start(arguments: &[&str]) -> Process {
        Process::start_by(Command::new(binary()), arguments)
    }

    /// The same under another command, such as a tracer.
    pub fn start_by(command: Command, arguments: &[&str]) -> Process {
        Process::start_at(command, "127.0.0.1:0", arguments)
    }

    /// The same at this address, such as that of a process that was killed.
    pub fn start_at(mut command: Command, listen: &str, arguments: &[&str]) -> Process {
        command.arg("serve");
        Process::start_with(command, listen, arguments)
    }

    /// The same of a command that says `serve` already.
    pub fn start_with(command: Command, listen: &str, arguments: &[&str]) -> Process {
        Process::spawn(crate::party::DOMAIN, command, listen, arguments)
    }

    /// Starts `serve` for another domain than that of the tests.
    pub fn of_domain(domain: &str, arguments: &[&str]) -> Process {
        let mut command = Command::new(binary());
        command.arg("serve");
        Process::spawn(domain, command, "127.0.0.1:0", arguments)
    }

    fn spawn(domain: &str, mut command: Command, listen: &str, arguments: &[&str]) -> Process {
        let mut child = command
            .args(["--listen", listen, "--domain", domain])
            .args(arguments)
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut first = String::new();
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        out.read_line(&mut first).expect("its first line");
        let line = serde_json::from_str(&first).unwrap_or_else(|_| {
            let _ = out.read_to_string(&mut first);
            let _ = child.wait();
            panic!("the server did not start: {first:?}")
        });
        Process { child, line }
    }

    /// A server with everything in one process, over this data directory.
    pub fn all(data: &Path, more: &[&str]) -> Process {
        let data = data.to_str().expect("a path in UTF-8");
        let arguments = [&["--admin", "127.0.0.1:0", "--data", data], more].concat();
        Process::start(&arguments)
    }

    /// `http://` and where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.line["listen"].as_str().expect("listen"))
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL: what a power cut looks like to a process.
    pub fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
    }

    /// SIGTERM, and the exit code.
    pub fn terminate(mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().expect("kill runs");
        assert!(sent.success());
        self.child.wait().expect("ended").code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An HTTP client that takes refusals as answers.
pub fn agent() -> Agent {
    let config = Agent::config_builder().http_status_as_error(false).proxy(None);
    config.timeout_global(Some(std::time::Duration::from_secs(60))).build().into()
}

/// A status, whether it was a replay, and the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `Idempotent-Replayed: true` was there.
    pub replayed: bool,
    /// The body's bytes.
    pub body: Vec<u8>,
}

impl Answer {
    pub(crate) fn new(head: &response::Parts, body: Vec<u8>) -> Answer {
        let replayed = head.headers.contains_key("idempotent-replayed");
        Answer { status: head.status.as_u16(), replayed, body }
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("not JSON: {}", String::from_utf8_lossy(&self.body)))
    }

    /// The code of a refusal, or an empty text.
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
}

fn answer(
    method: Method,
    response: Result<http::Response<ureq::Body>, ureq::Error>,
) -> Result<Answer, ureq::Error> {
    let response = response?;
    let uri = response.get_uri().clone();
    let (head, mut body) = response.into_parts();
    let body = body.read_to_vec()?;
    hold(&method, &uri, &head, &body);
    Ok(Answer::new(&head, body))
}

/// Posts a request body; an error means that no answer came.
pub fn post(agent: &Agent, url: &str, body: &[u8]) -> Result<Answer, ureq::Error> {
    post_to(agent, url, "/transaction", body)
}

/// Posts a body to a path.
pub fn post_to(agent: &Agent, url: &str, path: &str, body: &[u8]) -> Result<Answer, ureq::Error> {
    let request = agent.post(format!("{url}{path}")).content_type("application/json");
    answer(Method::POST, request.send(body))
}

/// Reads a path.
pub fn get(agent: &Agent, url: &str, path: &str) -> Answer {
    answer(Method::GET, agent.get(format!("{url}{path}")).call()).expect("an answer")
}
