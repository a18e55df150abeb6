//! The machine under measurement: its CPUs, its file system, its processes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use core_affinity::CoreId;
use serde::Serialize;

use crate::disk;

/// Where a thread runs: on one CPU, or anywhere when the machine cannot say.
#[derive(Clone, Copy)]
pub struct Cpu(Option<CoreId>);

impl Cpu {
    /// Anywhere.
    pub fn any() -> Cpu {
        Cpu(None)
    }

    /// Does some work in a thread of its own on this CPU. Processes that it
    /// starts stay there too.
    pub fn run<T: Send>(
        self,
        work: impl FnOnce() -> anyhow::Result<T> + Send,
    ) -> anyhow::Result<T> {
        thread::scope(|scope| {
            let pinned = scope.spawn(|| {
                if let Cpu(Some(core)) = self {
                    ensure!(core_affinity::set_for_current(core), "cannot run on CPU {}", core.id);
                }
                work()
            });
            pinned.join().ok().context("a measuring thread panicked")?
        })
    }
}

/// The CPUs of server and load.
pub struct Cpus {
    /// Of the server and of every calibration.
    pub server: Cpu,
    /// Of the load.
    pub load: Cpu,
    /// Are they two, and different?
    pub pinned: bool,
}

impl Cpus {
    /// CPU 0 and CPU 1, or anywhere if there are not two to pin to.
    pub fn find() -> Cpus {
        match core_affinity::get_core_ids().as_deref() {
            Some([first, second, ..]) => {
                Cpus { server: Cpu(Some(*first)), load: Cpu(Some(*second)), pinned: true }
            }
            _ => Cpus { server: Cpu::any(), load: Cpu::any(), pinned: false },
        }
    }
}

/// What the figures were measured on.
#[derive(Serialize)]
pub struct Machine {
    /// Name of the processor.
    pub cpu: String,
    /// CPUs this process may use.
    pub cpus: usize,
    /// Are server and load pinned, each to its own?
    pub pinned: bool,
    /// Kernel.
    pub os: String,
    /// Type of the data directory's file system.
    pub file_system: String,
    /// Version of this program.
    pub version: &'static str,
}

impl Machine {
    /// Looks around.
    pub fn look(data: &Path, pinned: bool) -> anyhow::Result<Machine> {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = cpuinfo
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
            .map(|(_, name)| name);
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let file_system = disk::file_system(data)?;
        ensure!(
            file_system != "tmpfs",
            "{} is in memory (tmpfs), where syncing costs nothing; name a folder on a disk with --data DIR",
            data.display()
        );
        Ok(Machine {
            cpu: cpu.unwrap_or(std::env::consts::ARCH).to_owned(),
            cpus: thread::available_parallelism().map_or(1, usize::from),
            pinned,
            os: format!("{} {}", std::env::consts::OS, kernel.trim()),
            file_system,
            version: env!("CARGO_PKG_VERSION"),
        })
    }
}

/// Time that the threads of a process have had a CPU, by their names.
pub fn cpu_time(process: u32) -> anyhow::Result<BTreeMap<String, Duration>> {
    let mut times = BTreeMap::<_, Duration>::new();
    for thread in fs::read_dir(format!("/proc/{process}/task")).context("the server is gone")? {
        let thread = thread?.path();
        // A thread that has just ended has no files any more.
        let read = |file| fs::read_to_string(thread.join(file)).unwrap_or_default();
        let nanoseconds = read("schedstat").split(' ').next().and_then(|field| field.parse().ok());
        let time = Duration::from_nanos(nanoseconds.unwrap_or_default());
        *times.entry(read("comm").trim().to_owned()).or_default() += time;
    }
    Ok(times)
}

/// Resident memory of a process, in MiB.
pub fn resident_mib(process: u32) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))
        .context("cannot read the memory of the server")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    Ok(kib.context("the system does not say how much memory the server uses")? / 1024.0)
}
