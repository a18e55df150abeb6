//! `webwallet bench`: the server under load, beside its goals.
//!
//! A goal is a part of what this machine could do at best ([`calibrate`]), so
//! it means the same on a laptop and on a server. Server and load are two
//! processes on two CPUs. IOUs are signed before a run begins, every answer is
//! counted, and at the end the server's number must be the count of 201s.
//!
//! Before the runs every signer is seen once: what is measured is a server that
//! knows its issuers, and V is measured with known keys as well.
//!
//! On Redis and Neo4j other things count: see [`engines`].

mod calibrate;
mod child;
mod engines;
pub mod fixed;
mod load;
mod machine;
mod report;
mod sealed;
mod signers;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Args;
use tempfile::TempDir;

use self::calibrate::Calibration;
use self::child::Server;
use self::engines::Engines;
use self::load::{Pace, Tally, WHOLE_COUNT};
use self::machine::{Cpu, Cpus, Machine, resident_mib};
use self::report::{Counted, Figure, Goal, Report, Run, progress};
use self::signers::{Pairs, Signers, Terms};
use crate::client::{self, Answer};
use crate::config::Config;
use crate::output::Outcome;
use crate::{clock, disk, interrupt, output, serve};

const SIGNERS: usize = 10_000;
const DOMAIN: &str = "bench.localhost";
/// The goal of a lone request: what must be synced, one after the other, and this.
const IDLE_OVERHEAD_MS: f64 = 0.7;
const RESIDENT_MIB_MAX: f64 = 60.0;
const BINARY_MB_MAX: f64 = 40.0;
const READY_MS_MAX: f64 = 3000.0;
const MILLION: u64 = 1_000_000;
/// Requests that are signed and sent at once while a million is made.
const MILLION_PART: usize = 50_000;

/// `webwallet bench`
#[derive(Args)]
pub struct Bench {
    /// Seconds for each run
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Folder for the data; must be on a disk
    #[arg(long, value_name = "DIR", default_value = ".")]
    data: PathBuf,
    /// Also make a million records and measure a start with them (minutes)
    #[arg(long, conflicts_with = "neo4j")]
    million: bool,
    /// What sealing costs, and how long a record waits for its block, instead of the other runs
    #[arg(long, conflicts_with_all = ["million", "neo4j"])]
    sealed: bool,
    /// Measure on this Redis instead; its password: the file in WEBWALLET_REDIS_PASSWORD_FILE
    #[arg(long, value_name = "URL", requires = "neo4j")]
    redis: Option<String>,
    /// And on this Neo4j, which must hold nothing else; password: WEBWALLET_NEO4J_PASSWORD_FILE
    #[arg(long, value_name = "URL", requires = "redis")]
    neo4j: Option<String>,
    #[arg(long, hide = true, env = "WEBWALLET_REDIS_PASSWORD_FILE", hide_env = true)]
    redis_password_file: Option<PathBuf>,
    #[arg(long, hide = true, env = "WEBWALLET_NEO4J_PASSWORD_FILE", hide_env = true)]
    neo4j_password_file: Option<PathBuf>,
}

impl Bench {
    /// Measures and reports.
    pub fn run(&self, json: bool) -> anyhow::Result<Outcome> {
        ensure!(self.data.is_dir(), "there is no folder {}: make it first", self.data.display());
        let cpus = Cpus::find();
        let machine = Machine::look(&self.data, cpus.pinned)?;
        if self.neo4j.is_some() {
            return self.on_engines(machine, json);
        }
        if !cpus.pinned {
            progress("server and load share their CPUs here; the figures say less");
        }
        let mut measurement =
            Measurement::begin(&self.data, cpus, Duration::from_secs(self.seconds))?;
        if self.sealed {
            measurement.sealed()?;
        } else {
            measurement.runs()?;
        }
        if self.million {
            measurement.million()?;
        }
        let report = measurement.end(machine)?;
        output::line(if json { serde_json::to_string(&report)? } else { report.text() })?;
        Ok(if report.is_good() { Outcome::Done } else { Outcome::Refused })
    }

    fn on_engines(&self, machine: Machine, json: bool) -> anyhow::Result<Outcome> {
        let config = Config {
            redis: self.redis.clone(),
            redis_password_file: self.redis_password_file.clone(),
            neo4j: self.neo4j.clone(),
            neo4j_password_file: self.neo4j_password_file.clone(),
            ..Config::default()
        };
        let folder = folder(&self.data)?;
        let time = Duration::from_secs(self.seconds);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let report = Engines::measure(config, time, folder.path(), machine);
        let report = match runtime.block_on(report) {
            Ok(report) => report,
            Err(why) => return serve::refused(why),
        };
        output::line(if json { serde_json::to_string(&report)? } else { report.text() })?;
        Ok(if report.is_good() { Outcome::Done } else { Outcome::Refused })
    }
}

/// A folder for one measurement; gone with it, however it ends.
fn folder(data: &Path) -> anyhow::Result<TempDir> {
    let folder = tempfile::Builder::new().prefix("webwallet-bench-").tempdir_in(data)?;
    interrupt::leaves_nothing(folder.path())?;
    Ok(folder)
}

/// A measurement under way.
struct Measurement {
    time: Duration,
    cpus: Cpus,
    signers: Signers,
    terms: Terms,
    calibration: Calibration,
    server: Server,
    runs: Vec<Run>,
    figures: Vec<Figure>,
    answers: u64,
    created: u64,
    dir: TempDir,
}

impl Measurement {
    /// Calibrates, starts the server, and lets it see every signer once.
    fn begin(data: &Path, cpus: Cpus, time: Duration) -> anyhow::Result<Measurement> {
        let dir = folder(data)?;
        let short = (time / 3).max(Duration::from_secs(1));
        progress("calibrating V, Z, F");
        let signers = Signers::new(SIGNERS)?;
        let checks = signers.checks()?;
        let mut calibration = cpus.server.run(|| {
            Ok(Calibration {
                h: 0.0,
                v: calibrate::strict(&checks, short)?,
                z: calibrate::batched(&checks, short)?,
                fdatasync_p50_us: disk::fdatasync(dir.path(), short)?,
            })
        })?;
        progress("starting the server");
        let server = start(&dir.path().join("data"), DOMAIN, &[], &[], cpus.server)?;
        std::thread::sleep(Duration::from_secs(1));
        let idle_mib = resident_mib(server.id())?;
        let expiry = clock::now()?.plus_days(365);
        let terms = Terms { domain: DOMAIN.to_owned(), expiry, listen: server.listen, headers: "" };

        let met = signers.posts(SIGNERS / 20, 20, Pairs::EachOnce, &terms)?;
        let first = load(cpus.load, &server, 16, &met, Pace::Closed, WHOLE_COUNT)?;
        let single = signers.posts(1000, 1, Pairs::Spread, &terms)?;
        let second = load(cpus.load, &server, 64, &single, Pace::Closed, WHOLE_COUNT)?;

        progress("calibrating H");
        let bytes = second.sample.len().to_string();
        let fixed = Server::start(
            &["bench-fixed", "--bytes", &bytes],
            &[],
            &dir.path().join("fixed.log"),
            cpus.server,
        )?;
        let run = load::Run {
            listen: fixed.listen,
            process: fixed.id(),
            clients: 64,
            posts: &single,
            again: true,
            pace: Pace::Closed,
            time_max: short,
            cpu: cpus.load,
        };
        let same = run.measure()?;
        calibration.h = same.rate();

        let mut measurement = Measurement {
            time,
            cpus,
            signers,
            terms,
            calibration,
            server,
            runs: vec![Run::of("fixed answer (H)", 64, 1, &same)],
            figures: vec![Figure::at_most(
                "idle resident memory",
                idle_mib,
                "MiB",
                RESIDENT_MIB_MAX,
            )],
            answers: 0,
            created: 0,
            dir,
        };
        measurement.count(&first);
        measurement.count(&second);
        Ok(measurement)
    }

    fn count(&mut self, tally: &Tally) {
        self.answers += tally.statuses.values().sum::<u64>();
        self.created += tally.created();
        if tally.statuses.len() > 1 {
            progress(&format!("answers by status: {:?}", tally.statuses));
        }
    }

    /// Signs what is needed for a rate, sends it, and counts: what is reported of it, and all
    /// that came of it.
    fn send(
        &mut self,
        name: &'static str,
        clients: usize,
        ious: usize,
        pairs: Pairs,
        rate: f64,
        pace: Pace,
    ) -> anyhow::Result<(Run, Tally)> {
        let count = (rate * self.time.as_secs_f64()).ceil() as usize;
        progress(&format!("{clients} clients, {ious} IOUs a request: signing {}", count * ious));
        let posts = self.signers.posts(count, ious, pairs, &self.terms)?;
        progress(&format!("{clients} clients, {ious} IOUs a request: sending"));
        let tally = load(self.cpus.load, &self.server, clients, &posts, pace, self.time)?;
        self.count(&tally);
        Ok((Run::of(name, clients, ious, &tally), tally))
    }

    /// All runs that have a goal, and one that has percentiles.
    fn runs(&mut self) -> anyhow::Result<()> {
        let Calibration { h, z, fdatasync_p50_us, .. } = self.calibration;
        let single = self.calibration.single();
        let batch = 1.0 / (1.0 / h + 1.0 / z);

        let (run, spread) = self.send("spread", 64, 1, Pairs::Spread, single, Pace::Closed)?;
        self.runs.push(run.with_goal(spread.rate() / single, Goal::AtLeast, 0.50));

        let name = "one hot issuer (of spread)";
        let (run, hot) = self.send(name, 64, 1, Pairs::Hot, single, Pace::Closed)?;
        self.runs.push(run.with_goal(hot.rate() / spread.rate(), Goal::AtLeast, 0.8));

        let (run, crowd) = self.send("crowd", 256, 1, Pairs::Spread, batch, Pace::Closed)?;
        self.runs.push(run.with_goal(crowd.rate() / batch, Goal::AtLeast, 0.30));

        let (run, many) =
            self.send("many at once", 64, 32, Pairs::Spread, z / 32.0, Pace::Closed)?;
        self.runs.push(run.with_goal(many.rate() * 32.0 / z, Goal::AtLeast, 0.33));

        let name = "idle (p50 of 2 F + 0.7 ms)";
        let (run, alone) = self.send(name, 1, 1, Pairs::Spread, 2000.0, Pace::Closed)?;
        let limit_ms = 2.0 * fdatasync_p50_us / 1000.0 + IDLE_OVERHEAD_MS;
        let ratio = alone.percentile_ms(50.0) / limit_ms;
        self.runs.push(run.with_goal(ratio, Goal::AtMost, 1.0));

        // Half of what it can do: how long people wait on an ordinary day.
        let (rate, name) = (spread.rate() / 2.0, "steady, half of spread");
        let (run, _) = self.send(name, 64, 1, Pairs::Spread, rate, Pace::PerSecond(rate))?;
        self.runs.push(run);
        Ok(())
    }

    /// Fills up to a million records.
    fn million(&mut self) -> anyhow::Result<()> {
        while self.created < MILLION {
            progress(&format!("making a million records: {}", self.created));
            let count = MILLION_PART.min(usize::try_from(MILLION - self.created)?);
            let posts = self.signers.posts(count, 1, Pairs::Spread, &self.terms)?;
            let tally = load(self.cpus.load, &self.server, 256, &posts, Pace::Closed, WHOLE_COUNT)?;
            self.count(&tally);
            ensure!(tally.created() > 0, "the server clears nothing any more");
        }
        Ok(())
    }

    /// Compares the counts, starts the server once more, and reports.
    fn end(mut self, machine: Machine) -> anyhow::Result<Report> {
        let api = client::Server::at(&format!("http://{}", self.server.listen));
        let is = |number: u64| -> anyhow::Result<bool> {
            match api.get(&format!("/transaction/{number}"))? {
                Answer::Done { .. } => Ok(true),
                Answer::Problem(problem) => {
                    ensure!(
                        problem.code == "not_found",
                        "the server does not say its number: {}",
                        problem.sentence()
                    );
                    Ok(false)
                }
            }
        };
        let right = is(self.created)? && !is(self.created + 1)?;
        self.figures.push(Figure::of(
            "resident memory after the runs",
            resident_mib(self.server.id())?,
            "MiB",
        ));
        progress("starting again");
        self.server.stop()?;
        let data = self.dir.path().join("data");
        let server = start(&data, DOMAIN, &[], &[], self.cpus.server)?;
        let ready_ms = server.started_in.as_secs_f64() * 1000.0;
        self.figures.push(if self.created >= MILLION {
            Figure::at_most("ready with a million records", ready_ms, "ms", READY_MS_MAX)
        } else {
            Figure::of("ready with these records", ready_ms, "ms")
        });
        std::thread::sleep(Duration::from_secs(1));
        self.figures.push(Figure::of(
            "idle resident memory, started with them",
            resident_mib(server.id())?,
            "MiB",
        ));
        server.stop()?;
        let binary = std::fs::metadata(std::env::current_exe()?)?.len() as f64 / 1e6;
        self.figures.push(Figure::at_most("binary", binary, "MB", BINARY_MB_MAX));
        Ok(Report {
            machine,
            calibration: self.calibration,
            runs: self.runs,
            figures: self.figures,
            counted: Counted {
                answers: self.answers,
                created: self.created,
                server_number: right.then_some(self.created),
            },
        })
    }
}

/// Starts a server on a folder of this measurement; its first line comes when it
/// is ready.
fn start(
    data: &Path,
    domain: &str,
    more: &[&str],
    files: &[(&str, &Path)],
    cpu: Cpu,
) -> anyhow::Result<Server> {
    let log = data.with_extension("log");
    let data = data.to_str().context("the folder's name is not text")?;
    let loopback = "127.0.0.1:0";
    let arguments = [
        "serve", "--listen", loopback, "--admin", loopback, "--domain", domain, "--data", data,
        "--log", "warn",
    ];
    Server::start(&[&arguments[..], more].concat(), files, &log, cpu)
}

fn load(
    cpu: Cpu,
    server: &Server,
    clients: usize,
    posts: &[Vec<u8>],
    pace: Pace,
    time_max: Duration,
) -> anyhow::Result<Tally> {
    let (listen, process) = (server.listen, server.id());
    load::Run { listen, process, clients, posts, again: false, pace, time_max, cpu }.measure()
}
