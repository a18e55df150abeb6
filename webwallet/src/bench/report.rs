//! What a measurement found, beside its goals.

use std::collections::BTreeMap;

use serde::Serialize;

use super::calibrate::Calibration;
use super::load::Tally;
use super::machine::Machine;
use crate::output;

/// Says what is being measured.
pub fn progress(text: &str) {
    output::complain(text);
}

/// Which side of its limit a figure is to be on.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Goal {
    /// Not below it.
    #[serde(rename = ">=")]
    AtLeast,
    /// Not above it.
    #[serde(rename = "<=")]
    AtMost,
}

impl Goal {
    fn met(self, value: f64, limit: f64) -> bool {
        match self {
            Goal::AtLeast => value >= limit,
            Goal::AtMost => value <= limit,
        }
    }

    fn sign(self) -> &'static str {
        match self {
            Goal::AtLeast => ">=",
            Goal::AtMost => "<=",
        }
    }
}

/// One run of load.
#[derive(Serialize)]
pub struct Run {
    name: &'static str,
    clients: usize,
    ious_per_request: usize,
    ious_per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
    /// The figure that has a goal, as a part of its yardstick.
    ratio: Option<f64>,
    limit: Option<f64>,
    goal: Option<Goal>,
    met: Option<bool>,
    /// Part of the time the load's own CPU was busy; near 1 it was the bottleneck.
    client_busy: f64,
    /// Parts of the time that threads of the server had its CPU.
    server_busy: BTreeMap<String, f64>,
}

impl Run {
    /// What was counted.
    pub fn of(name: &'static str, clients: usize, ious_per_request: usize, tally: &Tally) -> Run {
        Run {
            name,
            clients,
            ious_per_request,
            ious_per_second: round(tally.rate() * ious_per_request as f64, 1),
            p50_ms: tally.percentile_ms(50.0),
            p99_ms: tally.percentile_ms(99.0),
            p999_ms: tally.percentile_ms(99.9),
            ratio: None,
            limit: None,
            goal: None,
            met: None,
            client_busy: round(tally.client_busy, 2),
            server_busy: tally
                .server_busy
                .iter()
                .map(|(name, part)| (name.clone(), round(*part, 3)))
                .collect(),
        }
    }

    /// Where the server's time went, for a goal that was missed.
    fn profile(&self) -> String {
        let mut threads =
            self.server_busy.iter().filter(|(_, part)| **part >= 0.01).collect::<Vec<_>>();
        threads.sort_by(|a, b| b.1.total_cmp(a.1));
        let parts = threads.into_iter().map(|(name, part)| format!("{name} {:.0} %", part * 100.0));
        format!(
            "{}: CPU of the server by thread: {}\n\n",
            self.name,
            parts.collect::<Vec<_>>().join(", ")
        )
    }

    /// With the goal that it has.
    pub fn with_goal(self, ratio: f64, goal: Goal, limit: f64) -> Run {
        Run {
            ratio: Some(round(ratio, 3)),
            limit: Some(limit),
            goal: Some(goal),
            met: Some(goal.met(ratio, limit)),
            ..self
        }
    }
}

/// Something else that was measured.
#[derive(Serialize)]
pub struct Figure {
    name: &'static str,
    value: f64,
    unit: &'static str,
    limit: Option<f64>,
    goal: Option<Goal>,
    met: Option<bool>,
}

impl Figure {
    /// Something to know.
    pub fn of(name: &'static str, value: f64, unit: &'static str) -> Figure {
        // What is small is told more exactly.
        let digits = if value.abs() < 100.0 { 2 } else { 1 };
        Figure { name, value: round(value, digits), unit, limit: None, goal: None, met: None }
    }

    /// Something that is not to be above a limit.
    pub fn at_most(name: &'static str, value: f64, unit: &'static str, limit: f64) -> Figure {
        Figure::of(name, value, unit).with_goal(Goal::AtMost, value, limit)
    }

    /// Something that is not to be below a limit.
    pub fn at_least(name: &'static str, value: f64, unit: &'static str, limit: f64) -> Figure {
        Figure::of(name, value, unit).with_goal(Goal::AtLeast, value, limit)
    }

    /// Judged on the exact value.
    fn with_goal(self, goal: Goal, value: f64, limit: f64) -> Figure {
        Figure { limit: Some(limit), goal: Some(goal), met: Some(goal.met(value, limit)), ..self }
    }
}

/// Figures as people read them.
fn table(figures: &[Figure]) -> String {
    let rows = figures.iter().map(|figure| {
        let goal = match (figure.goal, figure.limit) {
            (Some(goal), Some(limit)) => format!("{} {limit}", goal.sign()),
            _ => String::new(),
        };
        vec![
            figure.name.to_owned(),
            figure.value.to_string(),
            figure.unit.to_owned(),
            goal,
            verdict(figure.met).to_owned(),
        ]
    });
    output::table(&["figure", "value", "unit", "goal", ""], rows)
}

fn verdict(met: Option<bool>) -> &'static str {
    match met {
        Some(true) => "met",
        Some(false) => "MISSED",
        None => "",
    }
}

/// What was found on Redis and Neo4j.
#[derive(Serialize)]
pub struct EnginesReport {
    /// On what.
    pub machine: Machine,
    /// The engines, with their versions.
    pub engines: [String; 2],
    /// What was measured.
    pub figures: Vec<Figure>,
}

impl EnginesReport {
    /// Is every goal met?
    pub fn is_good(&self) -> bool {
        self.figures.iter().all(|figure| figure.met != Some(false))
    }

    /// For people.
    pub fn text(&self) -> String {
        let Machine { cpu, cpus, os, version, .. } = &self.machine;
        let [redis, neo4j] = &self.engines;
        let figures = table(&self.figures);
        format!(
            "webwallet {version} on {cpu}, {cpus} CPUs, {os}; {redis}, {neo4j}; server, engines and load share the CPUs\n\n{figures}"
        )
    }
}

/// The count at the end.
#[derive(Serialize)]
pub struct Counted {
    /// Answers of the server.
    pub answers: u64,
    /// Of them 201.
    pub created: u64,
    /// The last number the server gave; `None` if it is not what was counted.
    pub server_number: Option<u64>,
}

impl Counted {
    /// Nothing was refused, lost or cleared twice.
    pub fn is_right(&self) -> bool {
        self.answers == self.created && self.server_number == Some(self.created)
    }
}

/// Everything.
#[derive(Serialize)]
pub struct Report {
    /// On what.
    pub machine: Machine,
    /// Against what.
    pub calibration: Calibration,
    /// Load.
    pub runs: Vec<Run>,
    /// Other figures.
    pub figures: Vec<Figure>,
    /// The count.
    pub counted: Counted,
}

impl Report {
    /// Is every goal met and every answer accounted for?
    pub fn is_good(&self) -> bool {
        let mut verdicts =
            self.runs.iter().map(|run| run.met).chain(self.figures.iter().map(|figure| figure.met));
        verdicts.all(|met| met != Some(false)) && self.counted.is_right()
    }

    /// For people.
    pub fn text(&self) -> String {
        let Machine { cpu, cpus, pinned, os, file_system, version } = &self.machine;
        let pinned = if *pinned {
            "server on CPU 0, load on CPU 1"
        } else {
            "not pinned: this machine has not two CPUs to pin to"
        };
        let Calibration { h, v, z, fdatasync_p50_us } = self.calibration;
        let runs = self.runs.iter().map(|run| {
            let goal = match (run.ratio, run.goal, run.limit) {
                (Some(ratio), Some(goal), Some(limit)) => {
                    format!("{ratio:.2} {} {limit:.2}", goal.sign())
                }
                _ => String::new(),
            };
            vec![
                run.name.to_owned(),
                run.clients.to_string(),
                run.ious_per_request.to_string(),
                format!("{:.0}", run.ious_per_second),
                format!("{:.2}", run.p50_ms),
                format!("{:.2}", run.p99_ms),
                format!("{:.2}", run.p999_ms),
                format!("{:.0} %", run.server_busy.values().sum::<f64>() * 100.0),
                format!("{:.0} %", run.client_busy * 100.0),
                goal,
                verdict(run.met).to_owned(),
            ]
        });
        let head = [
            "run",
            "clients",
            "IOUs/request",
            "IOUs/s",
            "p50 ms",
            "p99 ms",
            "p99.9 ms",
            "server",
            "client",
            "goal",
            "",
        ];
        let runs = output::table(&head, runs);
        let profile = self.runs.iter().filter(|run| run.met == Some(false)).map(Run::profile);
        let profile = profile.collect::<String>();
        let figures = table(&self.figures);
        let Counted { answers, created, server_number } = &self.counted;
        let number = match server_number {
            Some(number) => format!("the server's number is {number}"),
            None => "the server's number is ANOTHER".to_owned(),
        };
        format!(
            "webwallet {version} on {cpu}, {cpus} CPUs, {os}, {file_system}; {pinned}\n\
             H {h:.0} requests/s  V {v:.0} signatures/s  Z {z:.0} signatures/s in batches  F {fdatasync_p50_us:.0} us fdatasync\n\n\
             {runs}\n\n{profile}{figures}\n\n\
             {answers} answers, {created} of them 201; {number}{}",
            if self.counted.is_right() { "" } else { "  WRONG" }
        )
    }
}

fn round(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A missed goal that is reported as met is worse than no goal.
    #[test]
    fn a_goal_is_judged_on_the_exact_figure() {
        assert!(Goal::AtLeast.met(0.5, 0.5) && !Goal::AtLeast.met(0.4999, 0.5));
        assert!(Goal::AtMost.met(1.0, 1.0) && !Goal::AtMost.met(1.0001, 1.0));
        let figure = Figure::at_most("x", 60.004, "MiB", 60.0);
        assert_eq!((figure.value, figure.met), (60.0, Some(false)));
    }

    /// Answers that went missing must fail the measurement.
    #[test]
    fn the_count_must_be_complete() {
        let right = Counted { answers: 5, created: 5, server_number: Some(5) };
        assert!(right.is_right());
        assert!(!Counted { answers: 6, ..right }.is_right());
        assert!(!Counted { answers: 5, created: 5, server_number: None }.is_right());
        assert!(!Counted { answers: 5, created: 5, server_number: Some(4) }.is_right());
    }
}
