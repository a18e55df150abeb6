//! What is left behind when somebody ends a command before its end.

use std::path::Path;
use std::time::Duration;
use std::{fs, io, process, thread};

use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

/// Ends this process on SIGINT or SIGTERM from now on, as they do by themselves; and
/// before, ends the processes that it has started and takes this folder away.
pub fn leaves_nothing(folder: &Path) -> io::Result<()> {
    let folder = folder.to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        let _here = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    thread::Builder::new().name("interrupt".to_owned()).spawn(move || {
        let status = runtime.block_on(async {
            // What a shell says of a process that a signal has ended.
            tokio::select! {
                _ = interrupt.recv() => 130,
                _ = terminate.recv() => 143,
            }
        });
        for child in children() {
            let _ = kill_process(child, Signal::KILL);
        }
        // One that is about to end may write once more meanwhile.
        for _ in 0..50 {
            match fs::remove_dir_all(&folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    thread::sleep(Duration::from_millis(20));
                }
                _ => break,
            }
        }
        process::exit(status)
    })?;
    Ok(())
}

/// The processes that this one has started, and that have not ended.
fn children() -> Vec<Pid> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let own = process::id().to_string();
    let child = |entry: fs::DirEntry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // Name in parentheses, state, parent (proc_pid_stat(5)); a name may hold anything.
        let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?;
        (parent == own).then(|| Pid::from_raw(pid))?
    };
    processes.flatten().filter_map(child).collect()
}
