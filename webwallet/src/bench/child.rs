//! The server under measurement: this same program as a child process, pinned
//! to its CPU, with nothing of our environment.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

use super::machine::Cpu;

/// Longer than the server's own drain time.
const STOP_MAX: Duration = Duration::from_secs(15);

/// A running child; killed when dropped.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub listen: SocketAddr,
    /// From the start of the process to its first line.
    pub started_in: Duration,
}

#[derive(Deserialize)]
struct FirstLine {
    listen: SocketAddr,
}

impl Server {
    /// Starts `webwallet` with these arguments, and files that are named by variables, and
    /// waits for its first line.
    pub fn start(
        arguments: &[&str],
        files: &[(&str, &Path)],
        log: &Path,
        cpu: Cpu,
    ) -> anyhow::Result<Server> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(log)?);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("WEBWALLET_") {
                command.env_remove(name);
            }
        }
        command.envs(files.iter().copied());
        let start = Instant::now();
        let mut child = cpu.run(|| Ok(command.spawn()?)).context("cannot start the server")?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let started_in = start.elapsed();
        match serde_json::from_str::<FirstLine>(&line) {
            Ok(FirstLine { listen }) => Ok(Server { child, listen, started_in }),
            Err(_) => {
                let _ = child.kill();
                child.wait()?;
                let said = std::fs::read_to_string(log).unwrap_or_default();
                anyhow::bail!("the server did not start: {}", said.trim())
            }
        }
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, and waits.
    pub fn stop(mut self) -> anyhow::Result<()> {
        let id = i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .context("no process to stop")?;
        kill_process(id, Signal::TERM)?;
        let start = Instant::now();
        let status: ExitStatus = loop {
            match self.child.try_wait()? {
                Some(status) => break status,
                None => {
                    ensure!(start.elapsed() < STOP_MAX, "the server does not stop");
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        };
        ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After stop() it has ended already, and this does nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
