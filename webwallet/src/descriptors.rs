//! File descriptors. A server without one cannot begin the next file of its log, so
//! connections never take the last ones.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a server asks for; more than all its limits together come to.
const WANTED: u64 = 65_536;
/// What the stores and their readers may hold: 256 files of the log, 256 of its index,
/// 128 of the documents, and the log that is published.
const KEPT: u64 = 768;

/// Raises this process's limit as far as it may, and answers how many connections
/// there is room for, of so many.
pub fn room_for(connections: usize) -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(WANTED).min(WANTED);
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
        match setrlimit(Resource::Nofile, raised) {
            Ok(()) => limit = raised,
            Err(error) => tracing::warn!(%error, "the limit of open files stays as it is"),
        }
    }
    let room = room(limit.current.unwrap_or(WANTED), connections);
    if room < connections {
        tracing::warn!(
            connections_max = room,
            "fewer connections than asked for: the limit of open files (ulimit -n) has no room for more"
        );
    }
    room
}

fn room(files: u64, connections: usize) -> usize {
    // Where there are few, half of them.
    let left = files - KEPT.min(files / 2);
    usize::try_from(left).unwrap_or(usize::MAX).min(connections)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A crowd of silent connections stopped every payment for good.
    #[test]
    fn connections_leave_the_stores_their_files() {
        for (files, asked, room_there) in
            [(1_024, 4_096, 512), (65_536, 4_096, 4_096), (2_000, 4_096, 1_232), (64, 100, 32)]
        {
            assert_eq!(room(files, asked), room_there, "{files}");
        }
    }
}
