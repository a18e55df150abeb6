//! What sealing costs, and how long a record waits for its block.
//!
//! The same load on two servers in turns: one seals as it does by itself, one
//! only when asked to, which nobody does. Then the sealing server has its full
//! load, and a few clients beside it whose answers wait for the receipt: what
//! they wait is the time of clearing and sealing together, and so never less
//! than that of sealing.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::load::{Pace, Tally, WHOLE_COUNT};
use super::report::{Figure, Goal, Run, progress};
use super::signers::{Pairs, Terms};
use super::{DOMAIN, Measurement, SIGNERS, load, start};

/// Part of the rate without sealing that must be left with it.
const RATE_LEFT: f64 = 0.75;
const SEALED_P50_MS_MAX: f64 = 300.0;
const SEALED_P99_MS_MAX: f64 = 800.0;
/// Runs on each server; in turns, because a machine's speed drifts.
const TURNS: usize = 2;
/// Requests a second whose answers wait for their receipts: enough for
/// percentiles, and little load. They come evenly: clients that each sent the
/// next one on an answer would all send just after a block, and wait longest.
const WAITING_PER_SECOND: usize = 80;
/// Connections for them: none waits for another.
const WAITING: usize = 128;
/// The longest wait that a server grants.
const PREFER: &str = "prefer: wait=8\r\n";

impl Measurement {
    /// All of it.
    pub fn sealed(&mut self) -> anyhow::Result<()> {
        let (data, manual) = (self.dir.path().join("unsealed"), ["--seal", "manual"]);
        let unsealed = start(&data, DOMAIN, &manual, &[], self.cpus.server)?;
        let (listen, domain) = (unsealed.listen, self.terms.domain.clone());
        let terms = Terms { listen, domain, expiry: self.terms.expiry, headers: "" };
        let met = self.signers.posts(SIGNERS / 20, 20, Pairs::EachOnce, &terms)?;
        load(self.cpus.load, &unsealed, 16, &met, Pace::Closed, WHOLE_COUNT)?;

        let rate = self.calibration.single();
        let count = (rate * self.time.as_secs_f64()).ceil() as usize;
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            let name = "sealing (of not sealing)";
            with.push(self.send(name, 64, 1, Pairs::Spread, rate, Pace::Closed)?);
            let posts = self.signers.posts(count, 1, Pairs::Spread, &terms)?;
            without.push(load(self.cpus.load, &unsealed, 64, &posts, Pace::Closed, self.time)?);
        }
        let statuses = without.iter().flat_map(|tally| tally.statuses.keys());
        ensure!(statuses.into_iter().all(|status| *status == 201), "a payment was refused");
        let sealing: f64 = with.iter().map(|(_, tally)| tally.rate()).sum();
        let left = sealing / without.iter().map(Tally::rate).sum::<f64>();
        let sealing =
            with.into_iter().map(|(run, _)| run.with_goal(left, Goal::AtLeast, RATE_LEFT));
        self.runs.extend(sealing);
        self.runs.extend(without.iter().map(|tally| Run::of("not sealing", 64, 1, tally)));
        unsealed.stop()?;
        self.waits(count)
    }

    /// How long records wait while the server has all that it can do.
    fn waits(&mut self, count: usize) -> anyhow::Result<()> {
        progress("64 clients, and beside them some that wait for their receipts");
        let posts = self.signers.posts(count, 1, Pairs::Spread, &self.terms)?;
        let terms = Terms { headers: PREFER, domain: self.terms.domain.clone(), ..self.terms };
        let waiting = self.signers.posts(
            WAITING_PER_SECOND * self.time.as_secs() as usize,
            1,
            Pairs::Spread,
            &terms,
        )?;
        let (cpu, server, time) = (self.cpus.load, &self.server, self.time);
        let (crowd, waited) = thread::scope(|scope| {
            let crowd = scope.spawn(|| load(cpu, server, 64, &posts, Pace::Closed, time));
            // The first waiters would find the server not yet at work.
            thread::sleep(Duration::from_millis(200));
            let pace = Pace::PerSecond(WAITING_PER_SECOND as f64);
            let waited = load(cpu, server, WAITING, &waiting, pace, time);
            (crowd.join(), waited)
        });
        let (crowd, waited) = (crowd.ok().context("the load panicked")??, waited?);
        self.count(&crowd);
        self.count(&waited);
        self.runs.push(Run::of("spread, while others wait for blocks", 64, 1, &crowd));
        self.runs.push(Run::of("posted to sealed", WAITING, 1, &waited));
        let figure = |name, percentile, limit| {
            Figure::at_most(name, waited.percentile_ms(percentile), "ms", limit)
        };
        self.figures.push(figure("posted to sealed, p50", 50.0, SEALED_P50_MS_MAX));
        self.figures.push(figure("posted to sealed, p99", 99.0, SEALED_P99_MS_MAX));
        Ok(())
    }
}
