//! The signals that end a process: SIGTERM, SIGINT and SIGHUP.

use std::future::pending;
use std::{fs, io};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Those that a server listens to: SIGHUP where it is not ignored.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Unignored,
}

impl Signals {
    /// From now on none of them does what it does by itself.
    pub fn new() -> io::Result<Signals> {
        let hangup = Unignored::new(SignalKind::hangup())?;
        let terminate = signal(SignalKind::terminate())?;
        Ok(Signals { terminate, interrupt: signal(SignalKind::interrupt())?, hangup })
    }

    /// Waits for the first one.
    pub async fn first(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            () = self.hangup.came() => {}
        }
    }

    /// Waits for one that means it: a terminal that is closed hangs up twice.
    pub async fn second(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// A signal that is listened to where whoever started this does not have it ignored, as `nohup`
/// does with SIGHUP, and a script with SIGINT of what it leaves in the background: to listen
/// would undo that.
pub struct Unignored(Option<Signal>);

impl Unignored {
    /// From now on it does not do what it does by itself.
    pub fn new(kind: SignalKind) -> io::Result<Unignored> {
        Ok(Unignored((!is_ignored(kind)).then(|| signal(kind)).transpose()?))
    }

    /// Waits for it; for ever, where it is ignored.
    pub async fn came(&mut self) {
        match &mut self.0 {
            Some(signal) => drop(signal.recv().await),
            None => pending().await,
        }
    }
}

fn is_ignored(kind: SignalKind) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // Signal 1 is the lowest bit (proc_pid_status(5)).
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask >> (kind.as_raw_value() - 1) & 1 == 1)
}
