//! The data directory: one lock file, one version file, one folder for each
//! store.
//!
//! ```text
//! DIR/lock        held while a server runs; two would ruin the log
//! DIR/version     {"format":2,"domain":"example.net"}
//! DIR/graphstore  DIR/hashtable
//! DIR/log         the log as anybody may read it, serve it or copy it
//! DIR/log-key     what its heads are signed with; secret
//! DIR/state       what is made from the log again where it is lost
//! ```
//! What stands here decides money, so a server that does not fully understand
//! a directory does not touch it.

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};

use crate::output;

/// The format this program writes. In an older one, 1, a frame of Graphstore's log has the intent
/// of one block at most: a program of that time would take one of many for a torn one.
const FORMAT: u32 = 2;
/// While this is there a restore has not ended: what it has not brought yet would be made anew,
/// with the key of the log, and be another history.
const RESTORING: &str = "restoring";
/// The version file before it is complete.
const UNFINISHED: &str = "version.new";

#[derive(Serialize, Deserialize)]
struct Version {
    format: u32,
    domain: String,
}

/// Why a directory is not used although it can be read. Each is one sentence
/// for the operator.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Two servers at once.
    #[error(
        "{0} is in use by another webwallet: stop that server, or wait for that command (fsck, rebuild, backup); or name another --data"
    )]
    Locked(PathBuf),
    /// Somebody's photographs.
    #[error("{0} is not empty and not a data directory of WebWallet (it has no file `version`)")]
    Foreign(PathBuf),
    /// A later program made it.
    #[error(
        "{dir} has format {found}, made by a newer WebWallet; this one knows formats up to {FORMAT}"
    )]
    Newer {
        /// The directory.
        dir: PathBuf,
        /// The format it says.
        found: u32,
    },
    /// Records of another domain are in it.
    #[error(
        "{dir} belongs to the domain {found}, not to {wanted}; its own is named by --domain {found}"
    )]
    OtherDomain {
        /// The directory.
        dir: PathBuf,
        /// The domain it says.
        found: String,
        /// The domain asked for.
        wanted: String,
    },
    /// Stores in a backup: no later backup would go into it.
    #[error(
        "{0} has a log and nothing of what a server makes, as a backup has: `webwallet restore {0} --domain {1} --data DIR` makes a server of it, `webwallet-audit {0}/log --key KEY` looks at its log"
    )]
    Backup(String, String),
    /// Half of a history.
    #[error("a restore into {0} has not ended: run it again")]
    Restoring(PathBuf),
    /// Nobody knows what it is.
    #[error("{0} cannot be understood: {1}")]
    Damaged(PathBuf, String),
}

/// A data directory that is ours while this value lives.
#[derive(Debug)]
pub struct Data {
    dir: PathBuf,
    domain: String,
    /// The lock ends with the file handle, also when the process is killed.
    _lock: File,
}

impl Data {
    /// Opens a directory, making it if it is not there. A new one is of no domain before
    /// [`Data::settle`]: a start that is refused until then binds nobody.
    ///
    /// # Errors
    /// [`Refused`] inside when it is not ours to use, else the failure of the
    /// file system.
    pub fn open(dir: &Path, domain: &str) -> anyhow::Result<Data> {
        let data = Data::open_to_restore(dir, domain)?;
        is_whole(&data.dir)?;
        Ok(data)
    }

    /// The same where a restore may have been ended before it was done.
    ///
    /// # Errors
    /// As [`Data::open`].
    pub fn open_to_restore(dir: &Path, domain: &str) -> anyhow::Result<Data> {
        fs::create_dir_all(dir).with_context(|| there("make", dir))?;
        let dir = dir.canonicalize().with_context(|| there("find", dir))?;
        // Looked at before the lock file is made: a foreign folder stays as it is.
        if !dir.join("lock").exists() {
            fits(&dir, domain)?;
        }
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(dir.join("lock"))
            .with_context(|| there("write to", &dir))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Refused::Locked(dir).into()),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| there("lock", &dir));
            }
        }
        // Somebody may have settled it before it was locked.
        fits(&dir, domain)?;
        Ok(Data { dir, domain: domain.to_owned(), _lock: lock })
    }

    /// From now on it is of this domain, for ever. Before anything else is put into it.
    ///
    /// # Errors
    /// The file system's.
    pub fn settle(&self) -> anyhow::Result<()> {
        let version = self.dir.join("version");
        if version.exists() && check(&self.dir, &version, &self.domain)? == FORMAT {
            return Ok(());
        }
        let text = serde_json::to_vec(&Version { format: FORMAT, domain: self.domain.clone() })?;
        self.write(&version, &text)
    }

    /// From now on nobody but a restore opens it, until [`Data::restored`].
    ///
    /// # Errors
    /// The file system's.
    pub fn restoring(&self) -> anyhow::Result<()> {
        self.write(&self.dir.join(RESTORING), b"")
    }

    /// All of the backup is there.
    ///
    /// # Errors
    /// The file system's.
    pub fn restored(&self) -> anyhow::Result<()> {
        let removed = fs::remove_file(self.dir.join(RESTORING));
        let removed = removed.and_then(|()| File::open(&self.dir)?.sync_all());
        removed.with_context(|| there("write to", &self.dir))
    }

    fn write(&self, file: &Path, text: &[u8]) -> anyhow::Result<()> {
        write(&self.dir, file, text).with_context(|| there("write to", &self.dir))
    }

    /// That stores may be opened in it, or made.
    ///
    /// # Errors
    /// [`Refused::Backup`].
    pub fn may_have_stores(&self) -> anyhow::Result<()> {
        let is_backup = log(&self.dir).join("checkpoint").exists() && !is_server(&self.dir);
        let refused = || Refused::Backup(output::path(&self.dir), self.domain.clone());
        ensure!(!is_backup, refused());
        Ok(())
    }

    /// Its absolute path.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Keeps the lock until the process ends: a store may still be writing what
    /// its caller no longer waits for, and the next server must not see half.
    pub fn keep_locked(self) {
        std::mem::forget(self);
    }

    /// The folder of the Graphstore.
    pub fn graphstore(&self) -> PathBuf {
        self.dir.join("graphstore")
    }

    /// The folder of the Hashtable.
    pub fn hashtable(&self) -> PathBuf {
        self.dir.join("hashtable")
    }

    /// The folder of what Blockstack makes from the log.
    pub fn state(&self) -> PathBuf {
        self.dir.join("state")
    }
}

/// Whether a server has been at work there: a backup has nothing of what it makes.
pub fn is_server(dir: &Path) -> bool {
    ["graphstore", "hashtable", "state"].iter().any(|made| dir.join(made).exists())
}

/// The log in a data directory or a backup: checkpoint and tiles, and nothing else.
pub fn log(dir: &Path) -> PathBuf {
    dir.join("log")
}

/// The file of the log key in one, if no other is named.
pub fn log_key(dir: &Path) -> PathBuf {
    dir.join("log-key")
}

/// That a server of this domain may use this directory, or make it.
///
/// # Errors
/// As [`Data::open`], but for the lock.
pub fn fits(dir: &Path, domain: &str) -> anyhow::Result<()> {
    let version = dir.join("version");
    if version.exists() {
        return check(dir, &version, domain).map(drop);
    }
    if !dir.exists() {
        return Ok(());
    }
    let ours = |name: &OsStr| name == "lock" || name == UNFINISHED;
    let mut entries = fs::read_dir(dir)
        .with_context(|| format!("cannot list the data directory {}", dir.display()))?;
    let is_empty = entries.all(|entry| entry.is_ok_and(|entry| ours(&entry.file_name())));
    ensure!(is_empty, Refused::Foreign(dir.to_owned()));
    Ok(())
}

/// That this is a data directory of this domain, or a backup of one, without taking it from
/// its server.
///
/// # Errors
/// There is none, or as [`Data::open`].
pub fn belongs(dir: &Path, domain: &str) -> anyhow::Result<()> {
    let version = dir.join("version");
    ensure!(
        version.exists(),
        "there is no data directory of a server, nor a backup of one, at {}: give the settings of that server as to `serve` (`--data` and the others)",
        dir.display()
    );
    check(dir, &version, domain)?;
    is_whole(dir)
}

/// That no restore into it was ended before it was done.
///
/// # Errors
/// [`Refused::Restoring`].
pub fn is_whole(dir: &Path) -> anyhow::Result<()> {
    ensure!(!dir.join(RESTORING).exists(), Refused::Restoring(dir.to_owned()));
    Ok(())
}

fn there(what: &str, dir: &Path) -> String {
    format!("cannot {what} the data directory {}", dir.display())
}

/// That it is of this domain, and of a format that is known: which.
fn check(dir: &Path, version: &Path, domain: &str) -> anyhow::Result<u32> {
    let text = fs::read(version).with_context(|| format!("cannot read {}", version.display()))?;
    let damaged = |why: String| Refused::Damaged(version.to_owned(), why);
    // The format first: what else stands in a newer file is not ours to judge.
    let value: serde_json::Value =
        serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
    let format =
        value.get("format").and_then(serde_json::Value::as_u64).and_then(|n| u32::try_from(n).ok());
    let format = match format {
        Some(known @ 1..=FORMAT) => known,
        Some(found) if found > FORMAT => {
            return Err(Refused::Newer { dir: dir.to_owned(), found }.into());
        }
        _ => return Err(damaged("it says no known format".to_owned()).into()),
    };
    let found: Version =
        serde_json::from_value(value).map_err(|error| damaged(error.to_string()))?;
    let (dir, found, wanted) = (dir.to_owned(), found.domain, domain.to_owned());
    ensure!(found == wanted, Refused::OtherDomain { dir, found, wanted });
    Ok(format)
}

/// Written whole or not at all, and durable before the first record is.
fn write(dir: &Path, place: &Path, text: &[u8]) -> anyhow::Result<()> {
    let unfinished = dir.join(UNFINISHED);
    let mut file = File::create(&unfinished)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&unfinished, place)?;
    File::open(dir)?.sync_all()?;
    // The folder itself may be new as well; its parent need not be ours to read.
    if let Some(parent) = dir.parent().and_then(|parent| File::open(parent).ok()) {
        parent.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(dir: &Path, domain: &str) -> String {
        let error = Data::open(dir, domain).expect_err("must be refused");
        assert!(error.is::<Refused>(), "{error:#}");
        error.to_string()
    }

    /// Two writers on one log would ruin it.
    #[test]
    fn a_directory_has_one_server_at_a_time() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("a/b");
        let first = Data::open(&path, "example.net").expect("opened");
        assert!(refused(&path, "example.net").contains("is in use by another webwallet"));
        drop(first);
        Data::open(&path, "example.net").expect("opened again");
    }

    /// Records of one domain under another would be refused by every auditor.
    #[test]
    fn a_directory_keeps_its_domain_and_format() {
        let dir = tempfile::tempdir().expect("temporary directory");
        // One that was only opened is of nobody yet.
        drop(Data::open(dir.path(), "exmaple.net").expect("opened"));
        Data::open(dir.path(), "example.net").and_then(|data| data.settle()).expect("settled");
        assert!(refused(dir.path(), "example.com").contains("belongs to the domain example.net"));
        fs::write(dir.path().join("version"), r#"{"format":3,"other":1}"#).expect("written");
        assert!(refused(dir.path(), "example.net").contains("newer WebWallet"));
        for text in ["", "{}", r#"{"format":0,"domain":"x"}"#, r#"{"format":1}"#] {
            fs::write(dir.path().join("version"), text).expect("written");
            assert!(refused(dir.path(), "example.net").contains("cannot be understood"), "{text}");
        }
    }

    /// A program that does not know a format must not mend what it takes for damage; and who has
    /// an older directory goes on with it.
    #[test]
    fn an_older_directory_becomes_a_new_one() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let version = dir.path().join("version");
        fs::write(&version, r#"{"format":1,"domain":"example.net"}"#).expect("written");
        assert!(refused(dir.path(), "example.com").contains("belongs to the domain example.net"));
        Data::open(dir.path(), "example.net").and_then(|data| data.settle()).expect("settled");
        let text = fs::read_to_string(&version).expect("a version");
        assert_eq!(text, r#"{"format":2,"domain":"example.net"}"#);
    }

    /// Half of a history, served, goes on as another one, signed with the same key.
    #[test]
    fn what_is_half_restored_is_only_restored_further() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let open = || Data::open_to_restore(dir.path(), "example.net");
        open().and_then(|data| data.settle().and_then(|()| data.restoring())).expect("begun");
        assert!(refused(dir.path(), "example.net").contains("has not ended: run it again"));
        open().and_then(|data| data.restored()).expect("ended");
        Data::open(dir.path(), "example.net").expect("opened");
    }

    /// What a server makes in a backup keeps every later one out.
    #[test]
    fn no_stores_are_made_in_a_backup() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let data = Data::open(dir.path(), "example.net").expect("opened");
        data.may_have_stores().expect("a new one");
        fs::create_dir(dir.path().join("log")).expect("made");
        fs::write(dir.path().join("log/checkpoint"), "").expect("written");
        let refused = data.may_have_stores().expect_err("a backup").to_string();
        assert!(
            refused.contains("webwallet restore") && refused.contains("/log --key"),
            "{refused}"
        );
        // One store may be lost.
        fs::create_dir(dir.path().join("hashtable")).expect("made");
        data.may_have_stores().expect("a server");
    }

    /// A mistyped path must not fill somebody's folder.
    #[test]
    fn a_foreign_folder_stays_as_it_is() {
        let dir = tempfile::tempdir().expect("temporary directory");
        fs::write(dir.path().join("holiday.jpg"), "x").expect("written");
        assert!(refused(dir.path(), "localhost").contains("not a data directory"));
        assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 1);
    }

    /// A crash in the first second must not lock its owner out.
    #[test]
    fn a_crash_while_making_it_is_nothing() {
        let dir = tempfile::tempdir().expect("temporary directory");
        fs::write(dir.path().join("lock"), "").expect("written");
        fs::write(dir.path().join(UNFINISHED), "{\"for").expect("written");
        Data::open(dir.path(), "localhost").expect("opened");
    }
}
