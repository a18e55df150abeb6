//! The signals that end a server: SIGTERM, SIGINT, and SIGHUP where it is not ignored.

use std::future::pending;
use std::{fs, io};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Those that are listened to.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// None where it is ignored.
    hangup: Option<Signal>,
}

impl Signals {
    /// From now on none of them does what it does by itself.
    pub fn new() -> io::Result<Signals> {
        let hangup = (!ignores_hangup()).then(|| signal(SignalKind::hangup())).transpose()?;
        let terminate = signal(SignalKind::terminate())?;
        Ok(Signals { terminate, interrupt: signal(SignalKind::interrupt())?, hangup })
    }

    /// Waits for the first one.
    pub async fn first(&mut self) {
        let Signals { terminate, interrupt, hangup } = self;
        let hangup = async {
            match hangup {
                Some(hangup) => hangup.recv().await,
                None => pending().await,
            }
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup => {}
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

/// Whether whoever started this has it ignore SIGHUP, as `nohup` does; to listen to it would
/// undo that.
fn ignores_hangup() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // SIGHUP is number 1, the lowest bit (proc_pid_status(5)).
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask & 1 == 1)
}
