//! What is still done when somebody ends a command before its end.

use std::path::Path;
use std::time::Duration;
use std::{fs, io, process, thread};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::emulate_default_handler;
use tokio::signal::unix::SignalKind;

use crate::output;
use crate::signals::Unignored;

/// Whether the two are listened for already, and what is said when one comes.
static LAST_WORDS: Mutex<(bool, Option<String>)> = Mutex::new((false, None));

/// Ends this process on SIGINT or SIGTERM from now on, as they do by themselves; and
/// before, ends the processes that it has started and takes this folder away.
pub fn leaves_nothing(folder: &Path) -> io::Result<()> {
    let folder = folder.to_owned();
    before_the_end(move || {
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
    })
}

/// While this lives, these words are said before SIGINT or SIGTERM ends this process.
pub struct Saying(());

/// Has something said if one of them comes. Only the last of several is said.
pub fn says(words: String) -> io::Result<Saying> {
    let mut last = LAST_WORDS.lock();
    if !last.0 {
        before_the_end(|| {
            let last = LAST_WORDS.lock();
            if let Some(words) = &last.1 {
                output::complain(words);
            }
        })?;
    }
    *last = (true, Some(words));
    Ok(Saying(()))
}

impl Drop for Saying {
    fn drop(&mut self) {
        LAST_WORDS.lock().1 = None;
    }
}

/// Does this when one of the two comes, and then lets it end the process.
fn before_the_end(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        let _here = runtime.enter();
        (Unignored::new(SignalKind::interrupt())?, Unignored::new(SignalKind::terminate())?)
    };
    thread::Builder::new().name("interrupt".to_owned()).spawn(move || {
        let signal = runtime.block_on(async {
            tokio::select! {
                () = interrupt.came() => SIGINT,
                () = terminate.came() => SIGTERM,
            }
        });
        work();
        // A shell ends its loop only with a command that the signal itself has ended.
        let _ = emulate_default_handler(signal);
        // What a shell says of such a command.
        process::exit(128 + signal)
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
