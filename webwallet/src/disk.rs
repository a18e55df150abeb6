//! What a disk is and does: of the data directory, of a measurement.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// The type of the file system a folder is on; `tmpfs` for every one in memory, where
/// syncing costs nothing and nothing outlives the machine.
///
/// # Errors
/// The system does not say.
pub fn file_system(dir: &Path) -> anyhow::Result<String> {
    // Magic numbers of statfs(2).
    const NAMES: [(i128, &str); 7] = [
        (0x0102_1994, "tmpfs"),
        (0x8584_58f6, "tmpfs"),
        (0xef53, "ext4"),
        (0x5846_5342, "xfs"),
        (0x9123_683e, "btrfs"),
        (0x2fc1_2fc1, "zfs"),
        (0x794c_7630, "overlayfs"),
    ];
    let found = rustix::fs::statfs(dir)
        .with_context(|| format!("cannot look at {}", dir.display()))?
        .f_type;
    let found = i128::from(found);
    let name = NAMES.iter().find(|(magic, _)| *magic == found).map(|(_, name)| *name);
    Ok(name.map_or_else(|| format!("0x{found:x}"), str::to_owned))
}

/// Bytes that are free for us on the disk of a folder.
///
/// # Errors
/// The system does not say.
pub fn free(dir: &Path) -> anyhow::Result<u64> {
    let disk = rustix::fs::statvfs(dir)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// The middle time of appending 4 KiB and syncing them in a folder, in microseconds; F of `bench`.
///
/// # Errors
/// Nothing can be written there.
pub fn fdatasync(dir: &Path, time: Duration) -> anyhow::Result<f64> {
    let path = dir.join("fdatasync");
    let mut file = File::create(&path)?;
    let block = [0x5a; 4096];
    let (start, mut times) = (Instant::now(), Vec::new());
    while start.elapsed() < time {
        let one = Instant::now();
        file.write_all(&block)?;
        file.sync_data()?;
        times.push(one.elapsed());
    }
    std::fs::remove_file(&path)?;
    times.sort();
    let middle = times.get(times.len() / 2).context("not one append was done")?;
    Ok(middle.as_secs_f64() * 1e6)
}
