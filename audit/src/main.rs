//! `webwallet-audit`: the auditor's command. It has no rules; it reads the
//! clock and the command line, and puts into words what the library finds.

mod report;

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use clap::{Args, Parser, Subcommand};
use webwallet_audit::vectors::{self, Verdict};
use webwallet_audit::{Audit, Source, complain};
use webwallet_ledger::note::VerifierKey;
use webwallet_ledger::receipt::{Receipt, ReceiptError};
use webwallet_ledger::time::Time;

/// Re-checks a whole server from its URL or from files, trusting nobody.
///
/// Exit status: 0 accepted, 1 rejected, 2 could not be checked.
#[derive(Parser)]
#[command(name = "webwallet-audit", version)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Cli {
    #[command(flatten)]
    log: LogArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Args)]
struct LogArgs {
    /// The log: a server's URL, or a directory with `checkpoint` and `tile/` in it.
    #[arg(value_name = "URL|DIR", required = true)]
    log: Option<String>,
    /// A verifier key of the log that you know from elsewhere.
    #[arg(long, value_name = "VKEY", required = true)]
    key: Option<VerifierKey>,
    /// The log's domain; the name of the key if it is not given.
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    domain: Option<String>,
    /// A checkpoint saved before: the log must extend it, and signatures before
    /// it are not verified again.
    #[arg(long, value_name = "CHECKPOINT_FILE")]
    from: Option<PathBuf>,
    /// Only notes, tiles, order, hashes and numbers; nothing of what records mean.
    #[arg(long)]
    structure: bool,
    /// Reject a log whose last block is older.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    max_age: Option<u32>,
    #[command(flatten)]
    ca: Ca,
    /// Findings as JSON Lines, the last line is the result.
    #[arg(long)]
    json: bool,
}

/// Whom to believe that it is the server.
#[derive(Args)]
struct Ca {
    /// Believe the CAs in this file (PEM) and no others.
    #[arg(
        id = "ca",
        long = "ca",
        env = "WEBWALLET_CA",
        hide_env_values = true,
        value_name = "FILE"
    )]
    file: Option<PathBuf>,
}

impl Ca {
    fn source(&self, place: &str) -> anyhow::Result<Source> {
        let pem = self.file.as_deref().map(read).transpose()?;
        Ok(Source::open(place, pem.as_deref())?)
    }
}

#[derive(Subcommand)]
enum Command {
    /// Verify a receipt, offline.
    Receipt {
        /// A `.tlog-proof` file, or its JSON form.
        file: PathBuf,
        /// A verifier key of the log; several may be given.
        #[arg(long, value_name = "VKEY", required = true)]
        key: Vec<VerifierKey>,
        /// One JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Check that a checkpoint extends an older one.
    Consistency {
        /// The older checkpoint.
        old: PathBuf,
        /// The newer checkpoint.
        new: PathBuf,
        /// Where to read the log's tiles.
        #[arg(long, value_name = "URL|DIR")]
        source: String,
        /// A verifier key of the log; several may be given.
        #[arg(long, value_name = "VKEY", required = true)]
        key: Vec<VerifierKey>,
        #[command(flatten)]
        ca: Ca,
        /// One JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Check test vectors of inclusion and consistency proofs on stdin.
    Merkle {
        /// One line of JSON for each vector, the last line is the result.
        #[arg(long)]
        json: bool,
    },
}

/// Bytes of a receipt or a checkpoint at most, with some to spare.
const FILE_BYTES_MAX: u64 = 2 << 20;

/// A record is read into hundreds of small pieces, on every core: malloc of the
/// C library takes three times as long.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            complain(format_args!("webwallet-audit: {error:#}"));
            ExitCode::from(2)
        }
    }
}

/// Whether what was asked for is accepted.
fn run(cli: Cli) -> anyhow::Result<bool> {
    match cli.command {
        None => audit(cli.log),
        Some(Command::Receipt { file, key, json }) => {
            let text = read(&file)?;
            let receipt = match text.len() as u64 > FILE_BYTES_MAX {
                true => Err(ReceiptError::Text("longer than any receipt")),
                false => Receipt::read(&text),
            };
            let verified = receipt.and_then(|receipt| Ok((receipt.verify(&key)?, receipt.index)));
            report::receipt(&verified, json)?;
            Ok(verified.is_ok())
        }
        Some(Command::Consistency { old, new, source, key, ca, json }) => {
            let (old, new, source) = (read(&old)?, read(&new)?, ca.source(&source)?);
            let finding = webwallet_audit::consistency(&old, &new, &key, &source)?;
            report::consistency(finding.as_ref(), json)?;
            Ok(finding.is_none())
        }
        Some(Command::Merkle { json }) => {
            let mut text = Vec::new();
            io::stdin().read_to_end(&mut text).context("stdin cannot be read")?;
            ensure!(!text.trim_ascii().is_empty(), "there are no test vectors on stdin");
            let verdicts = match vectors::check(&text) {
                Ok(verdicts) => verdicts,
                Err(why) => {
                    report::no_vectors(&why, json)?;
                    return Ok(false);
                }
            };
            report::vectors(&verdicts, json)?;
            Ok(verdicts.iter().all(Verdict::is_right))
        }
    }
}

fn audit(args: LogArgs) -> anyhow::Result<bool> {
    let key = args.key.context("--key is missing")?;
    let place = args.log.context("the log's URL or directory is missing")?;
    let audit = Audit {
        domain: args.domain.unwrap_or_else(|| key.name.clone()),
        key,
        from: args.from.as_deref().map(read).transpose()?,
        structure: args.structure,
        max_age_ms: args.max_age.map(|seconds| i64::from(seconds) * 1_000),
        now: now()?,
    };
    let source = args.ca.source(&place)?;
    let mut meter = report::Meter::new(io::stderr().is_terminal());
    let outcome = audit.run(&source, &mut |progress| meter.show(progress));
    meter.clear();
    let outcome = outcome?;
    report::audit(&outcome, args.structure, args.json)?;
    Ok(outcome.is_accepted())
}

/// Plain digits: the plus sign that numbers may have elsewhere is none.
fn seconds(text: &str) -> Result<u32, String> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = text.parse().ok().filter(|_| plain);
    seconds.ok_or_else(|| format!("a number from 0 to {}", u32::MAX))
}

fn now() -> anyhow::Result<Time> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    Ok(Time::from_unix_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)))
}

/// Receipts and checkpoints: of what is longer than either can be, no more is read
/// than shows that.
fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| {
        let mut file = file.take(FILE_BYTES_MAX + 1);
        file.read_to_end(&mut bytes)
    });
    read.with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(bytes)
}
