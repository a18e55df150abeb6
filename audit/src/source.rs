//! Where a log is read: a directory, or the URL of a server or of a copy
//! behind any static web server. The same relative paths in both.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ureq::Proxy;
use webwallet_ledger::note::NOTE_BYTES_MAX;
use webwallet_ledger::tile::{Level, TILE_WIDTH, TileId};

use crate::url::{BadCa, believing, is_here, is_url, with_user, wrong_scheme};

/// Bytes of a bundle at most: full, of the largest leaves that two bytes of length can name.
/// Whatever is longer is wrong without being read.
const BUNDLE_BYTES_MAX: u64 = TILE_WIDTH as u64 * (2 + 65_535);
/// Bytes of a tile of hashes at most.
const HASHES_BYTES_MAX: u64 = TILE_WIDTH as u64 * 32;
/// Times a server is asked for one file before the audit gives up.
const TRIES: u32 = 3;
/// Between them.
const PAUSE: Duration = Duration::from_millis(500);
/// For one answer, from the first byte of the request to the last of the body.
const ANSWER_TIME: Duration = Duration::from_secs(60);

/// A log that can be read.
pub enum Source {
    /// A directory with `checkpoint` and `tile/` in it.
    Directory(PathBuf),
    /// The log's URL, without a slash at its end.
    Url {
        /// What `/checkpoint` is put behind.
        base: String,
        /// Keeps connections open between requests.
        agent: Box<ureq::Agent>,
    },
}

/// The log could not be read: nothing is said about what is in it.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// There is nothing at that place.
    #[error("there is no log at {place}: {missing} is missing{hint}")]
    Missing {
        /// As the caller named it.
        place: String,
        /// The path that was looked for.
        missing: String,
        /// What the caller may have meant; may be empty.
        hint: String,
    },
    /// A file that is there cannot be read.
    #[error("{path} cannot be read: {error}")]
    File {
        /// The file.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// The server does not answer, or answers that it cannot.
    #[error("{url} cannot be read: {error}")]
    Http {
        /// The file's URL.
        url: String,
        /// Why, at the last try.
        error: String,
    },
    /// The file of a CA names none.
    #[error("{0}")]
    Ca(#[from] BadCa),
    /// A thread of the audit ended without an answer.
    #[error("a worker of the audit stopped: this is a fault of the auditor, not of the log")]
    Worker,
}

/// The bytes of a tile or bundle as they are found.
pub(crate) struct Found {
    pub bytes: Vec<u8>,
    /// Entries or hashes it should hold: more than asked for when the partial
    /// one has made way for the full one.
    pub width: u16,
}

impl Source {
    /// A URL if it begins as one, otherwise a directory. With CAs in PEM a server is believed that has
    /// a certificate of one of those, and no other.
    ///
    /// # Errors
    /// [`SourceError::Missing`] when the directory is not there; [`SourceError::Ca`].
    pub fn open(place: &str, ca: Option<&[u8]>) -> Result<Source, SourceError> {
        let tls = ca.map(believing).transpose()?.unwrap_or_default();
        if is_url(place) {
            // The variables of a proxy mean servers elsewhere; it would ask its own machine.
            let proxy = if is_here(place) { None } else { Proxy::try_from_env() };
            let agent = ureq::Agent::config_builder()
                .http_status_as_error(false)
                .proxy(proxy)
                .tls_config(tls)
                .timeout_global(Some(ANSWER_TIME))
                .max_idle_connections_per_host(16)
                .build();
            let base = place.trim_end_matches('/').to_owned();
            return Ok(Source::Url { base, agent: Box::new(agent.into()) });
        }
        let directory = PathBuf::from(place);
        match directory.is_dir() {
            true => Ok(Source::Directory(directory)),
            false => Err(SourceError::Missing {
                place: place.into(),
                missing: "the directory".into(),
                hint: if directory.exists() { "; it is a file".into() } else { String::new() },
            }),
        }
    }

    /// Whether asking takes so long that several should be on their way at once.
    pub(crate) fn is_remote(&self) -> bool {
        matches!(self, Source::Url { .. })
    }

    /// The signed head of the log, as it is now.
    ///
    /// # Errors
    /// [`SourceError::Missing`] when there is none: then this is no log.
    pub fn checkpoint(&self) -> Result<Vec<u8>, SourceError> {
        self.read("checkpoint", NOTE_BYTES_MAX as u64)?.ok_or_else(|| {
            let (place, hint) = match self {
                Source::Url { base, .. } => (with_user(base, ""), ""),
                Source::Directory(path) => {
                    let below = path.join("log").join("checkpoint").is_file();
                    (
                        path.display().to_string(),
                        if below { "; did you mean its log/?" } else { "" },
                    )
                }
            };
            SourceError::Missing { place, missing: "checkpoint".into(), hint: hint.into() }
        })
    }

    /// A tile or bundle, the full one where the partial one is gone; `None` if
    /// neither is there.
    pub(crate) fn tile(&self, tile: TileId) -> Result<Option<Found>, SourceError> {
        if let Some(bytes) = self.read(&tile.path(), bytes_max(tile.level))? {
            return Ok(Some(Found { bytes, width: tile.width }));
        }
        let full = tile.full();
        if tile == full {
            return Ok(None);
        }
        let bytes = self.read(&full.path(), bytes_max(full.level))?;
        Ok(bytes.map(|bytes| Found { bytes, width: full.width }))
    }

    /// Widths of narrower partial versions of a tile that are still there: a
    /// directory can be asked, a server cannot.
    pub(crate) fn narrower(&self, tile: TileId) -> Result<Vec<u16>, SourceError> {
        let Source::Directory(directory) = self else { return Ok(Vec::new()) };
        let path = directory.join(TileId { width: TILE_WIDTH, ..tile }.path() + ".p");
        let failed = |error| SourceError::File { path: path.display().to_string(), error };
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if is_absent(&error) => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut widths = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed)?.file_name();
            let width = name
                .to_str()
                .and_then(|name| name.parse().ok().filter(|w: &u16| w.to_string() == name));
            widths.extend(width.filter(|width| (1..tile.width).contains(width)));
        }
        widths.sort_unstable();
        Ok(widths)
    }

    /// A narrower version of a tile that was there a moment ago; `None` if it has
    /// made way for a wider one. What bears its name and is no file is empty.
    pub(crate) fn narrow(&self, tile: TileId) -> Result<Option<Found>, SourceError> {
        let is_there = || match self {
            Source::Directory(directory) => directory.join(tile.path()).symlink_metadata().is_ok(),
            Source::Url { .. } => false,
        };
        let bytes = self.read(&tile.path(), bytes_max(tile.level))?;
        let bytes = bytes.or_else(|| is_there().then(Vec::new));
        Ok(bytes.map(|bytes| Found { bytes, width: tile.width }))
    }

    /// A file of the log; `None` if it is not there. Of what is longer than it can be, no more
    /// is read than shows that.
    fn read(&self, path: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, SourceError> {
        match self {
            Source::Directory(directory) => {
                let path = directory.join(path);
                match read_file(&path, bytes_max) {
                    Ok(bytes) => Ok(Some(bytes)),
                    Err(error) if is_absent(&error) => Ok(None),
                    Err(error) => {
                        Err(SourceError::File { path: path.display().to_string(), error })
                    }
                }
            }
            Source::Url { base, agent } => fetch(agent, &format!("{base}/{path}"), bytes_max),
        }
    }
}

/// How long a file of this level may be.
fn bytes_max(level: Level) -> u64 {
    match level {
        Level::Entries => BUNDLE_BYTES_MAX,
        Level::Hashes(_) => HASHES_BYTES_MAX,
    }
}

fn is_absent(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}

fn read_file(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let is_file = match fs::metadata(path) {
        Ok(there) => there.is_file(),
        // A link that leads nowhere, or in a circle.
        Err(_) if path.is_symlink() => false,
        Err(error) => return Err(error),
    };
    // Opening a pipe would wait for a writer, perhaps for ever: no part of a log is one.
    if !is_file {
        return Err(io::ErrorKind::NotFound.into());
    }
    let file = File::open(path)?;
    let length = file.metadata()?.len().min(bytes_max);
    let mut bytes = Vec::with_capacity(length as usize + 1);
    // One byte more than can be right shows that it is too long.
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn fetch(agent: &ureq::Agent, url: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, SourceError> {
    let mut error = String::new();
    for attempt in 0..TRIES {
        if attempt > 0 {
            std::thread::sleep(PAUSE);
        }
        match agent.get(url).call() {
            Ok(mut answer) => match answer.status().as_u16() {
                200 => {
                    match answer.body_mut().with_config().limit(bytes_max + 1).read_to_vec() {
                        Ok(bytes) => return Ok(Some(bytes)),
                        // Too long to be any file of a log, so its content is wrong.
                        Err(ureq::Error::BodyExceedsLimit(_)) => return Ok(Some(Vec::new())),
                        Err(failure) => error = failure.to_string(),
                    }
                }
                404 | 410 => return Ok(None),
                status => error = format!("the server answers with status {status}"),
            },
            Err(failure) => {
                error = wrong_scheme(&failure).map_or_else(|| failure.to_string(), str::to_owned);
            }
        }
    }
    // A password that was given with it is not shown.
    Err(SourceError::Http { url: with_user(url, ""), error })
}

/// What a tile or bundle is called in reports.
pub(crate) fn rank(level: Level) -> u8 {
    match level {
        Level::Entries => 0,
        Level::Hashes(level) => level + 1,
    }
}
