//! Files that a person names on the command line: read as far as they can be
//! right, and written whole or not at all.

use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, ensure};
use tempfile::Builder;

/// Whether others on this machine may read it, or write or run it.
pub fn is_open_to_others(there: &Metadata) -> bool {
    there.permissions().mode() & 0o077 != 0
}

/// The bytes of a file that has at most so many: of one without end no more is read.
pub fn read(file: &Path, bytes_max: u64) -> anyhow::Result<Vec<u8>> {
    let read = || -> anyhow::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        // One byte more than can be right shows that it is too long.
        File::open(file)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
        ensure!(bytes.len() as u64 <= bytes_max, "it has more than {bytes_max} bytes");
        Ok(bytes)
    };
    read().with_context(|| format!("cannot read {}", file.display()))
}

/// Writes a file, over one that is there only once all of the new one is on disk:
/// a full disk costs no older proof.
pub fn write(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let write = || -> io::Result<()> {
        let mode = match fs::metadata(file) {
            Ok(there) if there.is_file() => there.permissions().mode() & 0o777,
            // `/dev/stdout` or a pipe: nothing may take its place.
            Ok(_) => return fs::write(file, bytes),
            // The process's umask takes away what it always does.
            Err(_) => 0o666,
        };
        // Behind a link, the file itself.
        let file = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
        let folder = match file.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let mut temporary =
            Builder::new().permissions(Permissions::from_mode(mode)).tempfile_in(folder)?;
        temporary.write_all(bytes)?;
        temporary.as_file().sync_all()?;
        temporary.persist(&file).map_err(|failed| failed.error)?;
        File::open(folder)?.sync_all()
    };
    write().with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A receipt is the only proof its holder has: what fails half-way leaves it.
    #[test]
    fn a_file_is_replaced_whole_or_stays() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let file = folder.path().join("proof");
        write(&file, b"one").expect("written");
        fs::set_permissions(&file, Permissions::from_mode(0o640)).expect("changed");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&file, &link).expect("linked");
        write(&link, b"two").expect("written");
        assert_eq!(fs::read(&file).expect("there"), b"two");
        assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        // A device is written, and never replaced.
        assert!(write(Path::new("/dev/full"), b"three").is_err());
        write(Path::new("/dev/null"), b"three").expect("written");
        assert!(!fs::metadata("/dev/null").expect("there").is_file());
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 2, "nothing is left over");
    }

    /// A file without end would take all memory.
    #[test]
    fn no_more_is_read_than_can_be_right() {
        assert!(read(Path::new("/dev/zero"), 1_000).is_err());
        let folder = tempfile::tempdir().expect("temporary directory");
        let file = folder.path().join("file");
        fs::write(&file, [7; 1_000]).expect("written");
        assert_eq!(read(&file, 1_000).expect("read").len(), 1_000);
        assert!(read(&file, 999).is_err());
    }
}
