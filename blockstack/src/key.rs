//! The log key: what checkpoints are signed with. Its own key, never a
//! wallet's, in its own file, outside the log that everybody reads.
//!
//! The file holds one line, a private key as signed notes write it. A rotation
//! writes the new key beside it (`.next`) before any block says so, and moves it
//! into its place when that block is published: whenever the process ends, the
//! key that the log asks for is in one of the two files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use webwallet_ledger::Time;
use webwallet_ledger::block::Keys;
use webwallet_ledger::checkpoint::Checkpoint;
use webwallet_ledger::note::{self, VerifierKey};

use crate::folder::if_there;

/// 32 random bytes, whenever asked.
pub type Randomness = Arc<dyn Fn() -> [u8; 32] + Send + Sync>;

/// What a private key starts with in the signed-note format.
const PREFIX: &str = "PRIVATE+KEY+";
/// The signature type of Ed25519 in that format.
const ED25519: u8 = 1;
/// A line of a key is shorter.
const FILE_BYTES_MAX: u64 = 1_024;

/// Why there is no key to sign with.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("the log key {0}: {1}")]
    Io(PathBuf, #[source] io::Error),
    /// What stands in it is no key of this log.
    #[error("the log key {0} is not a signed-note private key of {1}")]
    Foreign(PathBuf, String),
}

/// The log key, and the one that a rotation is about to put in its place.
pub struct LogKey {
    path: PathBuf,
    domain: String,
    randomness: Randomness,
    current: Pair,
    /// Is `current` in its file?
    is_kept: bool,
    next: Option<Pair>,
}

struct Pair {
    secret: [u8; 32],
    key: VerifierKey,
}

impl Pair {
    fn has_signed(&self, note: &str) -> bool {
        Checkpoint::open(note.as_bytes(), std::slice::from_ref(&self.key)).is_ok()
    }
}

impl LogKey {
    /// Reads the key of this log. Where no file is, it is a new one that is in no file until
    /// [`LogKey::keep`]: one that lay there beside the blocks of a lost one would be taken for
    /// theirs, also in copies.
    ///
    /// # Errors
    /// The file cannot be read, or holds something else.
    pub fn open(path: &Path, domain: &str, randomness: Randomness) -> Result<LogKey, KeyError> {
        if let Some(key) = LogKey::read(path, domain, randomness.clone())? {
            return Ok(key);
        }
        // Where it can never be kept no server begins.
        let part = unfinished(path);
        let tried = if_there(fs::remove_file(&part)).and_then(|_| create(&part));
        let tried = tried.and_then(|_| fs::remove_file(&part));
        tried.map_err(|error| KeyError::Io(path.to_owned(), error))?;
        let secret = randomness();
        let current = Pair { secret, key: note::verifier_key(domain, &secret) };
        LogKey::of(path, domain, randomness, current, false)
    }

    /// Reads the key of this log, if a file is there.
    ///
    /// # Errors
    /// The file cannot be read, or holds something else.
    pub fn read(
        path: &Path,
        domain: &str,
        randomness: Randomness,
    ) -> Result<Option<LogKey>, KeyError> {
        let current = read(path, domain)?;
        current.map(|current| LogKey::of(path, domain, randomness, current, true)).transpose()
    }

    fn of(
        path: &Path,
        domain: &str,
        randomness: Randomness,
        current: Pair,
        is_kept: bool,
    ) -> Result<LogKey, KeyError> {
        let (path, domain) = (path.to_owned(), domain.to_owned());
        let next = read(&next_to(&path), &domain)?;
        Ok(LogKey { path, domain, randomness, current, is_kept, next })
    }

    /// Writes a new key into its file, before the first block is signed with it; one that was put
    /// there meanwhile is the log's.
    ///
    /// # Errors
    /// It cannot be written, or there is something else.
    pub(crate) fn keep(&mut self) -> Result<(), KeyError> {
        if !self.is_kept {
            self.current = match read(&self.path, &self.domain)? {
                Some(there) => there,
                None => write(&self.path, &self.domain, self.current.secret)?,
            };
            self.is_kept = true;
        }
        Ok(())
    }

    /// Is it in its file?
    pub(crate) fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// The key in the file; or the new one that will be.
    pub fn verifier(&self) -> &VerifierKey {
        &self.current.key
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Signs with this key, if it is in one of the files: a signature line.
    pub(crate) fn sign(&self, key: &VerifierKey, text: &str) -> Option<String> {
        self.pair(key).map(|pair| note::sign(text, &self.domain, &pair.secret))
    }

    /// Is this key in one of the files?
    pub fn has(&self, key: &VerifierKey) -> bool {
        self.pair(key).is_some()
    }

    /// Is this checkpoint signed with a key in one of the files?
    pub fn has_signed(&self, note: &str) -> bool {
        self.pairs().any(|pair| pair.has_signed(note))
    }

    /// Writes the key that signed this checkpoint beside this path, where a copy of the log
    /// may still end with an older one, whose key is there: now it can be either. Where no
    /// key is there, to this path itself, without which nothing beside it is read.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn copy_beside(&self, path: &Path, note: &str) -> Result<(), KeyError> {
        let place = if path.exists() { next_to(path) } else { path.to_owned() };
        match self.pairs().find(|pair| pair.has_signed(note)) {
            Some(pair) => write(&place, &self.domain, pair.secret).map(drop),
            None => Ok(()),
        }
    }

    /// Moves the key beside into its place if it is the one that signed this checkpoint: what
    /// is written beside from then on costs nobody that key.
    ///
    /// # Errors
    /// It cannot be moved.
    pub fn settle_for(&mut self, note: &str) -> Result<(), KeyError> {
        match self.next.as_ref().filter(|next| next.has_signed(note)) {
            Some(next) => self.settle(&next.key.clone()),
            None => Ok(()),
        }
    }

    /// Writes what is in the files to this path and the one beside it, durably, over what
    /// is there.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn copy_to(&self, path: &Path) -> Result<(), KeyError> {
        if let Some(next) = &self.next {
            write(&next_to(path), &self.domain, next.secret)?;
        }
        write(path, &self.domain, self.current.secret)?;
        if self.next.is_some() {
            return Ok(());
        }
        let removed = if_there(fs::remove_file(next_to(path)));
        removed.map(drop).map_err(|error| KeyError::Io(next_to(path), error))
    }

    /// Is this key the only one here: not about to be followed by another?
    pub(crate) fn has_only(&self, key: &VerifierKey) -> bool {
        self.next.is_none() && self.current.key == *key
    }

    fn pair(&self, key: &VerifierKey) -> Option<&Pair> {
        self.pairs().find(|pair| pair.key == *key)
    }

    fn pairs(&self) -> impl Iterator<Item = &Pair> {
        [Some(&self.current), self.next.as_ref()].into_iter().flatten()
    }

    /// Makes the key that comes after `newest`, the log's: durable in its file
    /// when this returns.
    pub(crate) fn prepare(&mut self, newest: &VerifierKey) -> Result<(), KeyError> {
        // Else the file beside it could hold the only copy of `newest`.
        self.settle(newest)?;
        if self.next.is_none() {
            self.next = Some(write(&next_to(&self.path), &self.domain, (self.randomness)())?);
        }
        Ok(())
    }

    /// The document that hands over to the key that was prepared.
    pub(crate) fn change(&self, time: Time) -> Option<Keys> {
        let next = self.next.as_ref()?;
        Some(Keys::new(&self.domain, time, &self.current.secret, &next.secret))
    }

    /// The log is signed with this key from now on: it moves into its place.
    pub(crate) fn settle(&mut self, key: &VerifierKey) -> Result<(), KeyError> {
        if self.next.as_ref().is_none_or(|next| next.key != *key) {
            return Ok(());
        }
        let moved = fs::rename(next_to(&self.path), &self.path).and_then(|()| sync(&self.path));
        moved.map_err(|error| KeyError::Io(self.path.clone(), error))?;
        if let Some(next) = self.next.take() {
            (self.current, self.is_kept) = (next, true);
        }
        Ok(())
    }
}

fn next_to(path: &Path) -> PathBuf {
    path.with_added_extension("next")
}

/// Where a key is until it is whole.
fn unfinished(path: &Path) -> PathBuf {
    path.with_added_extension("unfinished")
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// The folder that names this file or folder.
pub(crate) fn sync(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

fn read(path: &Path, domain: &str) -> Result<Option<Pair>, KeyError> {
    let failed = |error| KeyError::Io(path.to_owned(), error);
    let Some(file) = if_there(File::open(path)).map_err(failed)? else { return Ok(None) };
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    let pair = || -> Option<Pair> {
        let mut parts = text.trim_end().strip_prefix(PREFIX)?.splitn(3, '+');
        let (name, id, secret) = (parts.next()?, parts.next()?, parts.next()?);
        let secret = STANDARD.decode(secret).ok()?;
        let secret = secret.strip_prefix(&[ED25519])?.try_into().ok()?;
        let key = note::verifier_key(name, &secret);
        (name == domain && id == format!("{:08x}", key.id)).then_some(Pair { secret, key })
    };
    pair().map(Some).ok_or_else(|| KeyError::Foreign(path.to_owned(), domain.to_owned()))
}

/// Durable when it returns; whole or not at all, since a half key would stop
/// the next start.
fn write(path: &Path, domain: &str, secret: [u8; 32]) -> Result<Pair, KeyError> {
    let key = note::verifier_key(domain, &secret);
    let mut bytes = vec![ED25519];
    bytes.extend_from_slice(&secret);
    let line = format!("{PREFIX}{domain}+{:08x}+{}\n", key.id, STANDARD.encode(bytes));
    let part = unfinished(path);
    let written = || -> io::Result<()> {
        // Left by a crash; its mode may be another.
        if_there(fs::remove_file(&part))?;
        let mut file = create(&part)?;
        file.write_all(line.as_bytes())?;
        file.sync_all()?;
        fs::rename(&part, path)?;
        sync(path)
    };
    written().map_err(|error| KeyError::Io(path.to_owned(), error))?;
    Ok(Pair { secret, key })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::atomic::{AtomicU8, Ordering};

    fn open(path: &Path, domain: &str) -> Result<LogKey, KeyError> {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let randomness = Arc::new(|| [NEXT.fetch_add(1, Ordering::SeqCst); 32]);
        let mut key = LogKey::open(path, domain, randomness)?;
        key.keep()?;
        Ok(key)
    }

    /// A key that others can read, or that changes by itself, is no key.
    #[test]
    fn it_is_made_once_and_for_its_owner_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("log-key");
        let key = open(&path, "example.net").expect("made").verifier().clone();
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(*open(&path, "example.net").expect("read").verifier(), key);
        assert!(matches!(open(&path, "example.org"), Err(KeyError::Foreign(..))));
        fs::write(&path, "PRIVATE+KEY+example.net+00000000+AAAA").expect("written");
        assert!(matches!(open(&path, "example.net"), Err(KeyError::Foreign(..))));
    }

    /// Between a start and the first block an operator may put the key of a lost log back: one
    /// made meanwhile would take its place for ever.
    #[test]
    fn a_key_that_was_put_there_meanwhile_is_kept() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("log-key");
        let randomness: Randomness = Arc::new(|| [77; 32]);
        let made = || LogKey::open(&path, "example.net", randomness.clone());
        let mut new = made().expect("made");
        assert!(!new.is_kept() && !path.exists());
        let there = open(&path, "example.net").expect("put there").verifier().clone();
        new.keep().expect("kept");
        assert_eq!((new.verifier(), new.is_kept()), (&there, true));
        assert_eq!(*open(&path, "example.net").expect("read").verifier(), there);
        // Where it could not be kept nothing begins.
        fs::remove_file(&path).expect("removed");
        fs::create_dir(unfinished(&path)).expect("in its way");
        assert!(matches!(made(), Err(KeyError::Io(..))));
    }

    /// Whenever the process ends, the key that the log asks for is still there.
    #[test]
    fn a_rotation_may_end_anywhere() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("log-key");
        let mut key = open(&path, "example.net").expect("made");
        let old = key.verifier().clone();
        key.prepare(&old).expect("prepared");
        let change = key.change(Time::from_unix_ms(0)).expect("a change");
        assert!(change.verify() && change.old == old);
        // Ended before a block said so: the old one signs, the new one waits.
        let mut key = open(&path, "example.net").expect("read");
        assert!(*key.verifier() == old && key.has(&change.new));
        key.settle(&old).expect("nothing to do");
        key.prepare(&old).expect("prepared");
        assert_eq!(key.change(Time::from_unix_ms(0)).expect("a change").new, change.new);
        // Ended after: the new one signs, and the next rotation begins with it.
        let mut key = open(&path, "example.net").expect("read");
        key.prepare(&change.new).expect("prepared");
        assert_eq!(*key.verifier(), change.new);
        let next = key.change(Time::from_unix_ms(0)).expect("a change");
        assert!(next.old == change.new && next.new != old);
        assert!(key.sign(&old, "text\n").is_none(), "the old one is gone");
        let key = open(&path, "example.net").expect("read");
        assert!(key.has(&change.new) && key.has(&next.new));
    }
}
