//! Files of a person: read as far as they can be right, and written whole or not
//! at all.

use std::borrow::Cow;
use std::fs::{self, DirBuilder, File, Metadata, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::{Context as _, ensure};
use tempfile::{Builder, NamedTempFile, PersistError};

/// Whether others on this machine may read it, or write or run it.
pub fn is_open_to_others(there: &Metadata) -> bool {
    there.permissions().mode() & 0o077 != 0
}

/// What a file is called; `-` is standard input.
pub fn name(file: &Path) -> Cow<'_, str> {
    match file == Path::new("-") {
        true => "standard input".into(),
        false => file.to_string_lossy(),
    }
}

/// Larger than any file that makes sense here: a request has at most 128 KiB.
const BYTES_MAX: u64 = 16 << 20;

/// The bytes of a file, or of standard input for `-`; of one without end no more is
/// read than can be right.
pub fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let read = || -> anyhow::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        // One byte more than can be right shows that it is too long.
        let most = BYTES_MAX + 1;
        match file == Path::new("-") {
            true => io::stdin().lock().take(most).read_to_end(&mut bytes)?,
            false => File::open(file)?.take(most).read_to_end(&mut bytes)?,
        };
        ensure!(bytes.len() as u64 <= BYTES_MAX, "it has more than {BYTES_MAX} bytes");
        Ok(bytes)
    };
    read().with_context(|| format!("cannot read {}", name(file)))
}

/// Writes a file, over one that is there only once all of the new one is on disk:
/// a full disk costs no older proof.
pub fn write(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    write_as(file, bytes, 0o666)
}

/// The same, with the mode of a file that is not there yet.
fn write_as(file: &Path, bytes: &[u8], new: u32) -> anyhow::Result<()> {
    let write = || -> io::Result<()> {
        let mode = match fs::metadata(file) {
            Ok(there) if there.is_file() => there.permissions().mode() & 0o777,
            // `/dev/stdout` or a pipe: nothing may take its place.
            Ok(_) => return fs::write(file, bytes),
            // The process's umask takes away what it always does.
            Err(_) => new,
        };
        // Behind a link, the file itself.
        let file = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
        place(&file, bytes, mode, NamedTempFile::persist)
    };
    write().with_context(|| format!("cannot write {}", file.display()))
}

/// The same where nothing else is in the way: what somebody has signed may be nowhere else.
pub fn write_new(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    write_new_as(file, bytes, 0o666)
}

/// The same, and a file that was not there is for nobody else to read.
pub fn write_new_secret(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    write_new_as(file, bytes, 0o600)
}

fn write_new_as(file: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    if fs::metadata(file).is_ok_and(|there| there.is_file() && there.len() > 0) {
        let is_same = read(file)? == bytes;
        ensure!(is_same, "{} holds something else; name another file", file.display());
        return Ok(());
    }
    write_as(file, bytes, mode)
}

/// Writes a new file into a folder that only its owner may enter: whole or not at all,
/// never over another, and for nobody else to read.
pub fn keep(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let write = || -> io::Result<()> {
        let folder = folder_of(file);
        let new: Vec<_> = folder.ancestors().take_while(|above| !above.exists()).collect();
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        // Else the file is on disk, and the way to it is not.
        for folder in new {
            File::open(folder_of(folder))?.sync_all()?;
        }
        let line = [bytes, b"\n"].concat();
        place(file, &line, 0o600, NamedTempFile::persist_noclobber)
    };
    write().with_context(|| format!("cannot write {}", file.display()))
}

/// Writes a new file, for whoever may read what is there: whole or not at all, and never over
/// another.
pub fn create(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    place(file, bytes, 0o666, NamedTempFile::persist_noclobber)
        .with_context(|| format!("cannot write {}", file.display()))
}

/// Writes a file aside, and puts it in its place once it is on disk.
fn place<'f>(
    file: &'f Path,
    bytes: &[u8],
    mode: u32,
    put: impl FnOnce(NamedTempFile, &'f Path) -> Result<File, PersistError>,
) -> io::Result<()> {
    let folder = folder_of(file);
    let mut aside = Builder::new().permissions(Permissions::from_mode(mode)).tempfile_in(folder)?;
    aside.write_all(bytes)?;
    aside.as_file().sync_all()?;
    put(aside, file).map_err(|failed| failed.error)?;
    File::open(folder)?.sync_all()
}

fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
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

    /// An IOU on which others have signed is nowhere else.
    #[test]
    fn what_a_file_holds_is_not_replaced_by_something_else() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let file = folder.path().join("iou");
        write_new(&file, b"one").expect("written");
        write_new(&file, b"one").expect("the same");
        assert!(write_new(&file, b"two").is_err());
        assert_eq!(fs::read(&file).expect("there"), b"one");
        fs::write(&file, b"").expect("emptied");
        write_new(&file, b"two").expect("written");
        // Whoever sees a preimage before the lock is claimed can claim elsewhere with it.
        let secret = folder.path().join("secret");
        write_new_secret(&secret, b"three").expect("written");
        assert_eq!(fs::metadata(&secret).expect("there").permissions().mode() & 0o777, 0o600);
        write_new(Path::new("/dev/null"), b"three").expect("written");
    }

    /// The terms of an offer are all that the other party has of it.
    #[test]
    fn what_is_created_takes_the_place_of_nothing() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let file = folder.path().join("swap.json");
        create(&file, b"one").expect("written");
        assert!(create(&file, b"two").is_err());
        assert_eq!(fs::read(&file).expect("there"), b"one");
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1, "nothing is left over");
    }

    /// A file without end would take all memory.
    #[test]
    fn no_more_is_read_than_can_be_right() {
        assert!(read(Path::new("/dev/zero")).is_err());
        let folder = tempfile::tempdir().expect("temporary directory");
        let file = folder.path().join("file");
        let sized = |bytes| {
            let made = File::create(&file).expect("made");
            made.set_len(bytes).expect("of this size");
            read(&file)
        };
        assert_eq!(sized(BYTES_MAX).expect("read").len() as u64, BYTES_MAX);
        assert!(sized(BYTES_MAX + 1).is_err());
    }
}
