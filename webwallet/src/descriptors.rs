//! File descriptors. A server without one cannot begin the next file of its log, so
//! connections never take the last ones.

use anyhow::ensure;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a server asks for; more than all its limits together come to.
const WANTED: u64 = 65_536;
/// What the stores and their readers may hold: 256 files of the log, 256 of its index,
/// 128 of the documents, and the log that is published.
const KEPT: u64 = 768;
/// What a server without stores holds beside its connections: links, its log, timers.
const LINKS: u64 = 64;
/// Connections of operators and their monitoring, beside those of clients.
pub const OPERATORS_MAX: usize = 64;
/// Fewer connections of clients are no server.
const LEAST: u64 = 32;

/// Raises this process's limit as far as it may, and answers how many connections of clients
/// there is room for, of so many, in a process that `has_stores`.
///
/// # Errors
/// The stores might be left without files, and would write nothing more.
pub fn room_for(connections: usize, has_stores: bool) -> anyhow::Result<usize> {
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(WANTED).min(WANTED);
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
        match setrlimit(Resource::Nofile, raised) {
            Ok(()) => limit = raised,
            Err(error) => tracing::warn!(%error, "the limit of open files stays as it is"),
        }
    }
    let kept = if has_stores { KEPT } else { LINKS };
    let room = room(limit.current.unwrap_or(WANTED), kept, connections)?;
    if room < connections {
        tracing::warn!(
            connections_max = room,
            "fewer connections than asked for: the limit of open files (ulimit -n) has no room for more"
        );
    }
    Ok(room)
}

fn room(files: u64, kept: u64, connections: usize) -> anyhow::Result<usize> {
    let ours = kept + OPERATORS_MAX as u64;
    let needed = ours + LEAST;
    ensure!(
        files >= needed,
        "the limit of open files is {files}, and a server needs {needed} of them: raise it (ulimit -n)"
    );
    Ok(usize::try_from(files - ours).unwrap_or(usize::MAX).min(connections))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A crowd of silent connections stopped every payment for good.
    #[test]
    fn connections_leave_the_stores_their_files() {
        for (files, kept, asked, there) in [
            (863, KEPT, 4_096, None),
            (864, KEPT, 4_096, Some(32)),
            (864, KEPT, 8, Some(8)),
            (1_024, KEPT, 4_096, Some(192)),
            (2_000, KEPT, 4_096, Some(1_168)),
            (65_536, KEPT, 4_096, Some(4_096)),
            (159, LINKS, 4_096, None),
            (512, LINKS, 4_096, Some(384)),
        ] {
            assert_eq!(room(files, kept, asked).ok(), there, "{files}");
        }
    }
}
