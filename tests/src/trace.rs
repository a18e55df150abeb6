//! A long random life of a server: payments, credit, circles, repeats, refusals,
//! the clock going on and standing still. The seed makes it, so that two engines
//! can be led through the same one and their histories compared.
//!
//! Requests are sent in waves, as a crowd would send them: an engine that decides
//! by batches gets batches. The order within a wave is the order of sending.

use std::collections::VecDeque;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use webwallet_ledger::request::body_of;
use webwallet_ledger::{Draft, Time};

use crate::party::{Party, draft, party, time};
use crate::world::World;

/// Requests that are sent together at most.
const WAVE: usize = 96;
/// Requests that may be repeated.
const REMEMBERED: usize = 500;

/// Leads a deployment through a life and returns what became of every request:
/// one line each, with record hashes.
pub fn live(trace: Trace, world: &mut impl World) -> Vec<String> {
    let mut history = Vec::new();
    for step in trace {
        match step {
            Step::Clock(now) => world.set_time(now),
            Step::Wave(bodies) => {
                for outcome in world.post_wave(&bodies) {
                    history.push(format!("{} {outcome}", history.len() + 1));
                }
            }
        }
    }
    history
}

/// What happens next.
pub enum Step {
    /// The clock is set.
    Clock(Time),
    /// These requests arrive, in this order, before anybody is answered.
    Wave(Vec<Vec<u8>>),
}

/// A random life, step by step.
pub struct Trace {
    random: StdRng,
    left: usize,
    sent: usize,
    now: Time,
    people: Vec<Party>,
    /// IOUs of requests sent lately.
    past: VecDeque<Vec<Vec<u8>>>,
    tick: bool,
}

impl Trace {
    /// The life of this seed, with so many requests.
    pub fn new(seed: u64, requests: usize) -> Trace {
        Trace {
            random: StdRng::seed_from_u64(seed),
            left: requests,
            sent: 0,
            now: time("2026-01-01T00:00:00.000Z"),
            people: (0..40).map(|i| party(&format!("person {i}"))).collect(),
            past: VecDeque::new(),
            tick: true,
        }
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.random.random_range(0..100) < percent
    }

    fn someone(&mut self) -> Party {
        let i = self.random.random_range(0..self.people.len());
        self.people[i].clone()
    }

    /// One of two units, both of which everybody holds sooner or later.
    fn unit(&mut self) -> Party {
        self.people[self.random.random_range(0..2)].clone()
    }

    fn request(&mut self) -> Vec<u8> {
        self.sent += 1;
        let ious = match self.random.random_range(0..100) {
            0..8 if !self.past.is_empty() => self.repeat(),
            8..14 => self.circle(),
            14..22 => vec![self.credit()],
            22..25 => return self.broken(),
            _ => {
                let count = if self.chance(80) { 1 } else { self.random.random_range(2..6) };
                (0..count).map(|place| self.payment(place)).collect()
            }
        };
        self.past.push_back(ious.clone());
        if self.past.len() > REMEMBERED {
            self.past.pop_front();
        }
        body_of(ious.iter().map(Vec::as_slice))
    }

    fn payment(&mut self, place: usize) -> Vec<u8> {
        let unit = self.unit();
        // Issuers pay often, so that there is something to pass on.
        let source = if self.chance(45) { unit.clone() } else { self.someone() };
        let target = self.other(&source);
        let amount = match self.random.random_range(0..10) {
            0 => format!("0.{:02}", self.random.random_range(1..100)),
            1 => self.random.random_range(100..2_000).to_string(),
            _ => self.random.random_range(1..60).to_string(),
        };
        let iou = self.draft(&source, &target, &unit, &amount, place);
        iou.sign(&source.secret)
    }

    /// Strangers who owe one another in a ring: nobody needs money for it.
    fn circle(&mut self) -> Vec<Vec<u8>> {
        let unit = self.unit();
        let length = self.random.random_range(3..7);
        let first = self.random.random_range(0..self.people.len());
        let amount = self.random.random_range(1..9).to_string();
        (0..length)
            .map(|i| {
                let at = |i: usize| (first + i % length) % self.people.len();
                let (from, to) = (self.people[at(i)].clone(), self.people[at(i + 1)].clone());
                self.draft(&from, &to, &unit, &amount, i).sign(&from.secret)
            })
            .collect()
    }

    fn credit(&mut self) -> Vec<u8> {
        let unit = self.unit();
        // Now and then by somebody who may not.
        let source = if self.chance(90) { unit.clone() } else { self.someone() };
        let target = self.other(&source);
        let sign = if self.chance(70) { "-" } else { "" };
        let credit = format!("{sign}{}", self.random.random_range(1..50));
        let iou = self.draft(&source, &target, &unit, "0", 0);
        Draft { credit: Some(credit), ..iou }.sign(&source.secret)
    }

    /// Something sent before: as it was, in another order, or in part.
    fn repeat(&mut self) -> Vec<Vec<u8>> {
        let which = self.random.random_range(0..self.past.len());
        let mut ious = self.past[which].clone();
        if self.chance(50) {
            ious.reverse();
        }
        if self.chance(30) {
            ious.pop();
        }
        if ious.is_empty() || self.chance(20) {
            ious.push(self.payment(9));
        }
        ious
    }

    /// What no rule lets pass, whatever the balances.
    fn broken(&mut self) -> Vec<u8> {
        let (source, target) = (self.someone(), self.people[7].clone());
        let unit = self.unit();
        let iou = self.draft(&source, &target, &unit, "1", 0);
        match self.random.random_range(0..4) {
            0 => body_of([iou.unsigned().as_slice()]),
            1 => body_of([iou.sign(&target.secret).as_slice()]),
            2 => {
                let iou = Draft { domain: "example.org".into(), ..iou }.sign(&source.secret);
                body_of([iou.as_slice()])
            }
            _ => b"{\"data\":{\"inputs\":[]}}".to_vec(),
        }
    }

    fn draft(
        &mut self,
        source: &Party,
        target: &Party,
        unit: &Party,
        amount: &str,
        place: usize,
    ) -> Draft {
        let mut iou = draft(source, target, unit, amount, &format!("{} {place}", self.sent));
        match self.random.random_range(0..40) {
            0 => iou.expiry = Time::from_unix_ms(self.now.unix_ms() - 1),
            1 => iou.expiry = self.now,
            2 => iou.expiry = self.now.plus_days(3_661),
            3 => iou.active = Some(Time::from_unix_ms(self.now.unix_ms() + 1)),
            4 => iou.active = Some(self.now),
            _ => {}
        }
        iou
    }

    fn other(&mut self, not: &Party) -> Party {
        loop {
            let somebody = self.someone();
            if somebody.address != not.address {
                return somebody;
            }
        }
    }
}

impl Iterator for Trace {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        if self.left == 0 {
            return None;
        }
        if std::mem::take(&mut self.tick) {
            // Sometimes the clock stands, sometimes it jumps; it goes back as well.
            let ms = *[0, 1, 40, 40, 1_000, 86_400_000, -500]
                .get(self.random.random_range(0..7usize))
                .unwrap_or(&0);
            self.now = Time::from_unix_ms(self.now.unix_ms() + ms);
            return Some(Step::Clock(self.now));
        }
        self.tick = self.chance(60);
        let size = if self.chance(20) { 1 } else { self.random.random_range(1..WAVE) };
        let size = size.min(self.left);
        self.left -= size;
        Some(Step::Wave((0..size).map(|_| self.request()).collect()))
    }
}
