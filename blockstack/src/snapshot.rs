//! Snapshots: the chain and every account after some block, so that a start, or
//! a question about an old balance, replays a part of the log and not all of it.
//!
//! One is written whenever half as many records have been sealed since the last
//! as there are accounts, and at least [`SNAPSHOT_RECORDS_MIN`]: the cost of each
//! stays below that of sealing; and one when a server ends. They may all be lost:
//! they are made of the log and compared with it when they are read.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

use faster_hex::hex_string;
use serde::{Deserialize, Serialize};
use webwallet_ledger::Hash;
use webwallet_ledger::merkle::{Node, Range, TreeHash};
use webwallet_ledger::state::State;

use crate::chain::{Chain, Last};

/// Records between two snapshots, at least.
pub(crate) const SNAPSHOT_RECORDS_MIN: u64 = 65_536;

const PREFIX: &str = "accounts-";

/// The folder of the snapshots.
pub(crate) struct Snapshots {
    dir: PathBuf,
}

/// The first line of a snapshot: the chain. What the log itself tells of it
/// (size, roots) is taken from there.
#[derive(Serialize, Deserialize)]
struct Header {
    height: u64,
    hash: String,
    time: String,
    cleared: u64,
    size: u64,
    genesis: String,
    keys: Vec<String>,
    stacks: Vec<u64>,
    stack: Option<String>,
    open_first: u64,
    open_blocks: u64,
    open_roots: Vec<String>,
    log_roots: Vec<String>,
}

impl Snapshots {
    pub(crate) fn open(dir: &Path) -> io::Result<Snapshots> {
        fs::create_dir_all(dir)?;
        Ok(Snapshots { dir: dir.to_owned() })
    }

    /// The heights up to this one that there is one of, in ascending order.
    pub(crate) fn heights(&self, upto: u64) -> io::Result<Vec<u64>> {
        let mut heights = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            let height = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.parse().ok());
            let is_one =
                |height: &u64| *height <= upto && path_of(&self.dir, *height).ends_with(&name);
            heights.extend(height.filter(is_one));
        }
        heights.sort_unstable();
        Ok(heights)
    }

    /// Writes the snapshot after the last block of this chain.
    pub(crate) fn write(&self, chain: &Chain, state: &State) -> io::Result<()> {
        let (Some(last), Some(genesis)) = (&chain.last, chain.genesis) else { return Ok(()) };
        let unfinished = self.dir.join("unfinished");
        let mut file = BufWriter::new(File::create(&unfinished)?);
        let hex_of = |roots: &[Node]| roots.iter().map(|root| hex_string(root)).collect();
        serde_json::to_writer(
            &mut file,
            &Header {
                height: last.height,
                hash: last.hash.to_string(),
                time: last.time.to_string(),
                cleared: last.cleared,
                size: chain.log.size(),
                genesis: genesis.to_string(),
                keys: chain.keys.iter().map(ToString::to_string).collect(),
                stacks: chain.stacks.clone(),
                stack: chain.stack.map(|stack| stack.to_string()),
                open_first: chain.open_first,
                open_blocks: chain.open.size(),
                open_roots: hex_of(chain.open.roots()),
                log_roots: hex_of(chain.log.roots()),
            },
        )?;
        file.write_all(b"\n")?;
        for piece in state.pieces() {
            let length = u16::try_from(piece.len()).map_err(|_| io::ErrorKind::InvalidData)?;
            file.write_all(&length.to_be_bytes())?;
            file.write_all(&piece)?;
        }
        // Not synced: what a crash leaves of it does not give the roots.
        file.flush()?;
        fs::rename(unfinished, path_of(&self.dir, last.height))
    }

    /// The chain alone, of the snapshot of this height.
    pub(crate) fn chain(&self, height: u64, domain: &str) -> io::Result<Chain> {
        self.open_at(height, domain).map(|(chain, _)| chain)
    }

    fn open_at(&self, height: u64, domain: &str) -> io::Result<(Chain, BufReader<File>)> {
        let mut file = BufReader::with_capacity(1 << 16, File::open(path_of(&self.dir, height))?);
        let mut line = Vec::new();
        file.read_until(b'\n', &mut line)?;
        let header: Header = serde_json::from_slice(&line)?;
        let chain = chain(&header, domain).ok_or(io::ErrorKind::InvalidData)?;
        Ok((chain, file))
    }

    /// Reads the snapshot of this height; [`io::ErrorKind::InvalidData`] if it
    /// is damaged. That it is the truth shows in its roots.
    pub(crate) fn read(&self, height: u64, domain: &str) -> io::Result<(Chain, State)> {
        let (chain, mut file) = self.open_at(height, domain)?;
        let mut state = State::new();
        let mut piece = Vec::new();
        while !file.fill_buf()?.is_empty() {
            let mut length = [0; 2];
            file.read_exact(&mut length)?;
            piece.resize(u16::from_be_bytes(length).into(), 0);
            file.read_exact(&mut piece)?;
            if !state.add_piece(&piece) {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        Ok((chain, state))
    }

    /// Forgets a snapshot that is not the truth.
    pub(crate) fn remove(&self, height: u64) -> io::Result<()> {
        fs::remove_file(path_of(&self.dir, height))
    }
}

fn path_of(dir: &Path, height: u64) -> PathBuf {
    dir.join(format!("{PREFIX}{height}"))
}

fn chain(header: &Header, domain: &str) -> Option<Chain> {
    fn range<H: TreeHash>(size: u64, roots: &[String]) -> Option<Range<H>> {
        let node = |text: &String| text.parse::<Hash>().ok().map(|hash| hash.0);
        Range::from_roots(size, roots.iter().map(node).collect::<Option<_>>()?)
    }
    Some(Chain {
        domain: domain.to_owned(),
        last: Some(Last {
            height: header.height,
            hash: header.hash.parse().ok()?,
            time: header.time.parse().ok()?,
            cleared: header.cleared,
        }),
        log: range(header.size, &header.log_roots)?,
        genesis: Some(header.genesis.parse().ok()?),
        keys: header.keys.iter().map(|key| key.parse().ok()).collect::<Option<_>>()?,
        stacks: header.stacks.clone(),
        stack: match &header.stack {
            Some(stack) => Some(stack.parse().ok()?),
            None => None,
        },
        open: range(header.open_blocks, &header.open_roots)?,
        open_first: header.open_first,
    })
}
