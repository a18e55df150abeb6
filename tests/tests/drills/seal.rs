//! `kill -9` at a write of sealing: the kernel ends the server as one of its
//! threads enters the n-th call that makes something durable (a tile, an entry
//! bundle, an intent, a block, a checkpoint, a key), for one n after another. If
//! this failed, somebody would hold a checkpoint of a log that nobody can show.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use webwallet_tests::party::{DOMAIN, issue, party};
use webwallet_tests::process::{agent, binary, post};

use crate::rounds;

/// What makes something durable, or visible.
const CALLS: &str = "rename,renameat2,fsync,fdatasync";

/// A server that may be gone at any moment.
struct Server {
    child: Child,
    traced: bool,
    line: Value,
}

impl Server {
    /// Starts it, to be killed at that call; `None` if that came while it started.
    fn start(data: &Path, kill_at: Option<usize>) -> Option<Server> {
        let mut command = match kill_at {
            None => Command::new(binary()),
            Some(at) => {
                let mut strace = Command::new("strace");
                strace.args(["-f", "-qq", "-o"]).arg(data.with_extension("trace"));
                strace.args(["-e", &format!("trace={CALLS}")]);
                strace.args(["-e", &format!("inject={CALLS}:signal=SIGKILL:when={at}")]);
                strace.arg(binary());
                strace
            }
        };
        let listen = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        command.arg("serve").args(listen).args(["--domain", DOMAIN, "--seal", "manual"]);
        command.arg("--data").arg(data).env("RUST_LOG", "error");
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        let mut first = String::new();
        out.read_line(&mut first).expect("its first line");
        let Ok(line) = serde_json::from_str(&first) else {
            let _ = out.read_to_string(&mut first);
            let _ = child.wait();
            assert!(kill_at.is_some(), "the server did not start: {first:?}");
            return None;
        };
        Some(Server { child, traced: kill_at.is_some(), line })
    }

    fn url(&self, listener: &str) -> String {
        format!("http://{}", self.line[listener].as_str().expect("an address"))
    }

    fn command(&self, arguments: &[&str]) -> Option<()> {
        let mut command = Command::new(binary());
        let output = command.args(arguments).args(["--admin", &self.url("admin")]).output();
        output.expect("it runs").status.success().then_some(())
    }

    fn pay(&self, numbers: std::ops::Range<u32>) -> Option<()> {
        for number in numbers {
            let body = issue(&party("alice"), &party("bob"), "1", &format!("payment {number}"));
            post(&agent(), &self.url("listen"), &body).ok()?;
        }
        Some(())
    }

    /// The newest checkpoint, as anybody may keep it.
    fn checkpoint(&self) -> Option<Vec<u8>> {
        let url = format!("{}/checkpoint", self.url("listen"));
        agent().get(url).call().ok()?.body_mut().read_to_vec().ok()
    }

    /// A history with every kind of block; each step may be taken again.
    fn live(&self, seen: &mut Vec<Vec<u8>>) -> Option<()> {
        for step in 0..5 {
            match step {
                0 => self.command(&["seal"])?,
                1 => self.pay(0..3).and_then(|()| self.command(&["seal"]))?,
                2 => self.command(&["rotate-log-key"])?,
                3 => self.pay(3..5).and_then(|()| self.command(&["seal", "--stack"]))?,
                _ => self.command(&["seal"])?,
            }
            seen.push(self.checkpoint()?);
        }
        Some(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A tracer ends when its server has, and only then is the lock of the folder
        // free: killed itself, it would leave a server that may still be ending.
        if self.traced {
            let children = format!("/proc/{0}/task/{0}/children", self.child.id());
            let ids = std::fs::read_to_string(children).unwrap_or_default();
            for id in ids.split_whitespace() {
                let _ = Command::new("kill").args(["-KILL", id]).stderr(Stdio::null()).status();
            }
        } else {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

fn audit(arguments: &[&str]) {
    let auditor = binary().with_file_name("webwallet-audit");
    let output = Command::new(auditor).args(arguments).output().expect("it runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_kill_at_any_write_of_sealing_loses_no_checkpoint() {
    let (mut kills, mut at) = (0, 1);
    loop {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        let mut seen = Vec::new();
        let whole = Server::start(&data, Some(at)).and_then(|server| server.live(&mut seen));
        if whole.is_some() {
            break;
        }
        kills += 1;
        let server = Server::start(&data, None).expect("it starts again");
        server.live(&mut seen).expect("nothing stands in the way");
        let key = server.line["key"].as_str().expect("a key").to_owned();
        drop(server);
        let log = data.join("log");
        let log = log.to_str().expect("a path in UTF-8");
        audit(&[log, "--key", &key]);
        for (i, checkpoint) in seen.iter().enumerate() {
            let file = folder.path().join(format!("checkpoint {i}"));
            std::fs::write(&file, checkpoint).expect("written");
            audit(&[log, "--key", &key, "--from", file.to_str().expect("UTF-8")]);
        }
        at += rounds(9, 1);
    }
    println!("{kills} kills, none lost a checkpoint");
    assert!(kills >= 5, "the server was killed {kills} times only");
}
