//! One corruption a seed, in a life of everything: it must be found, as the
//! first, at its place, by both auditors. What one of them overlooks, or names
//! otherwise, leaves users with two experts who disagree.

use std::rc::Rc;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;
use tempfile::TempDir;
use webwallet_audit::Audit;
use webwallet_ledger::block::{Block, Header};
use webwallet_ledger::document;

use crate::chain::edited;
use crate::damage::{DAMAGES, Vandal};
use crate::liar::Liar;
use crate::lies::{LIES, Lie};
use crate::life::{Event, Life, issue, life, signed};
use crate::lock_lies::LOCK_LIES;
use crate::second::Second;
use crate::{Found, ask, question, rounds};

const SEEDS: u64 = 200;

/// One auditor or both, and where they were wrong.
struct Judges {
    second: Option<Second>,
    wrong: Vec<String>,
}

impl Judges {
    fn judge(&mut self, audit: &Audit, directory: &TempDir, expected: &Found, what: &str) {
        let place = directory.path().to_str().expect("a path");
        let report = ask(audit, place);
        let first = report.findings.first();
        let found = first.map(|f| (f.code.as_str().to_owned(), f.block, f.number));
        if found.as_ref() != Some(expected) {
            let first = first.map(ToString::to_string);
            self.wrong.push(format!("{what}: expected {expected:?}, found {first:?}"));
        }
        let Some(second) = &mut self.second else { return };
        let found = second.ask(audit, place);
        if found.first() != Some(expected) {
            let first = found.first();
            self.wrong.push(format!("{what}: expected {expected:?}, the second found {first:?}"));
        }
    }

    fn agree(self) {
        assert!(self.wrong.is_empty(), "{:#?}", self.wrong);
    }
}

/// Where in a life a lie can be told.
struct Moments {
    any: Vec<usize>,
    seals: Vec<usize>,
    end: usize,
}

impl Moments {
    /// After the first records: a lie may be about what went before.
    fn of(events: &[Event]) -> Moments {
        let mut life = Life::new();
        let mut any = Vec::new();
        for (at, event) in events.iter().enumerate() {
            if life.log.number >= 2 {
                any.push(at);
            }
            life.live(event);
        }
        let is_seal = |at: &usize| matches!(events[*at], Event::Seal);
        let seals = any.iter().copied().filter(is_seal).collect();
        Moments { any, seals, end: events.len() }
    }

    fn pick(&self, lie: &Lie, random: &mut StdRng) -> usize {
        let one_of =
            |moments: &[usize], random: &mut StdRng| moments[random.random_range(0..moments.len())];
        match lie {
            Lie::Header(_) => one_of(&self.seals, random),
            // After the last of them nothing would be sealed.
            Lie::Begun(_) | Lie::Stack(..) => {
                one_of(&self.seals[..self.seals.len() - 1], random) + 1
            }
            Lie::Head(_) => self.end,
            _ => one_of(&self.any, random),
        }
    }
}

/// Tells a lie now; what must be found of it.
fn tell(code: &str, lie: &Lie, liar: &mut Liar<'_>) -> Found {
    let place = |liar: &Liar<'_>| {
        let log = &liar.life.log;
        let sealed = log.leaves.iter().filter(|leaf| document::is_record(leaf)).count() as u64;
        (Some(log.height), Some(sealed + log.open_records))
    };
    let before = place(liar);
    let (block, number) = match lie {
        Lie::Header(change) => {
            let (change, seed) = (*change, liar.random.random());
            let edit = move |header: &mut Header| change(header, &mut StdRng::seed_from_u64(seed));
            liar.life.log.edit = Some(Rc::new(edit));
            before
        }
        Lie::Begun(tell) => {
            tell(liar);
            before
        }
        Lie::Stack(field, value) => {
            let value = value(liar.random);
            liar.life.log.stack_as(|stack| edited(&stack, |data| data[*field] = value));
            before
        }
        Lie::Head(tell) => {
            tell(liar);
            of_the_head(code, liar)
        }
        Lie::Record(tell) => {
            tell(liar);
            place(liar)
        }
        Lie::Data(change) => {
            let record = liar.record();
            let record = edited(&record, |data| change(data, liar.random));
            liar.say(record);
            place(liar)
        }
        Lie::Outputs(change) => {
            let record = liar.record();
            let record = edited(&record, |data| {
                change(data["outputs"].as_array_mut().expect("a list"), liar.random);
            });
            liar.say(record);
            place(liar)
        }
        Lie::Iou(change) => {
            let mut iou = issue(&liar.life.log, liar.random);
            change(&mut iou, liar.random);
            let record = liar.life.log.forged(&[signed(&iou)], json!([]));
            liar.say(record);
            place(liar)
        }
    };
    // A new key would stand before the lie, which then has another place. What was
    // rewritten has none, and must have every key.
    liar.life.rotated |= code != "A-REWRITE";
    match code {
        "A-NOTE" | "A-REWRITE" => (code.to_owned(), None, None),
        _ => (code.to_owned(), block, number),
    }
}

/// Where a lie about the whole log, or about its last block, is found.
fn of_the_head(code: &str, liar: &Liar<'_>) -> (Option<u64>, Option<u64>) {
    let log = &liar.life.log;
    let blocks: Vec<Block> = log.leaves.iter().filter_map(|leaf| Block::parse(leaf).ok()).collect();
    let last = &blocks.last().expect("a block").header;
    match code {
        "A-TILE" => (Some(0), Some(0)),
        // A record behind the last block.
        "A-HEADER" => (Some(last.height + 1), Some(last.cleared + 1)),
        // The first of those that are too far ahead.
        "A-TIME" => {
            let first = blocks.iter().find(|block| block.header.time == last.time);
            let first = &first.expect("the last itself").header;
            (Some(first.height), Some(first.cleared))
        }
        _ => (Some(last.height), Some(last.cleared)),
    }
}

fn all_lies() -> Vec<&'static (&'static str, Lie)> {
    LIES.iter().chain(LOCK_LIES).collect()
}

/// All in turn; if there are fewer seeds, some of everywhere.
fn pick(seed: u64, seeds: u64, all: usize) -> usize {
    seed as usize * all / all.min(seeds as usize) % all
}

/// With the log's key: whatever follows agrees with the lie.
fn lies(records: u64, seeds: u64, second: Option<Second>) {
    let (mut judges, all) = (Judges { second, wrong: Vec::new() }, all_lies());
    let (events, truth) = life(records, records);
    let moments = Moments::of(&events);
    let honest = truth.log.checkpoints.last().expect("one");
    let mut told: Vec<_> = (0..seeds)
        .map(|seed| {
            let mut random = StdRng::seed_from_u64(seed);
            let which = pick(seed, seeds, all.len());
            (moments.pick(&all[which].1, &mut random), seed, which, random)
        })
        .collect();
    told.sort_by_key(|(at, seed, ..)| (*at, *seed));
    // What went before a lie is lived once for all that come later.
    let (mut before, mut lived) = (Life::new(), 0);
    for (at, seed, which, mut random) in told {
        let (code, lie) = all[which];
        events[lived..at].iter().for_each(|event| before.live(event));
        lived = at;
        let mut life = before.clone();
        let mut audit = question(&truth.log);
        let random = &mut random;
        let mut liar = Liar { life: &mut life, random, audit: &mut audit, honest };
        let expected = tell(code, lie, &mut liar);
        events[at..].iter().for_each(|event| life.live(event));
        let directory = TempDir::new().expect("a directory");
        life.log.write(directory.path(), &[]);
        let what = format!("seed {seed}, lie {which}");
        judges.judge(&audit, &directory, &expected, &what);
    }
    judges.agree();
}

/// Without it: files are altered, and what was signed is not.
fn damages(records: u64, seeds: u64, second: Option<Second>) {
    let mut judges = Judges { second, wrong: Vec::new() };
    let (_, life) = life(records, records);
    for seed in 0..seeds {
        let directory = TempDir::new().expect("a directory");
        life.log.write(directory.path(), &life.kept);
        let random = StdRng::seed_from_u64(seed);
        let mut vandal = Vandal::new(&life, directory.path(), random, question(&life.log));
        let damage = pick(seed, seeds, DAMAGES.len());
        let expected = DAMAGES[damage](&mut vandal);
        let what = format!("seed {seed}, damage {damage}");
        judges.judge(&vandal.audit, &directory, &expected, &what);
    }
    judges.agree();
}

#[test]
fn a_lie_told_with_the_key_is_found_where_it_is() {
    lies(rounds(100, 1_000), rounds(all_lies().len() as u64, SEEDS), Some(Second::start()));
}

/// The same where only one of them is quick enough.
#[test]
fn a_lie_in_a_long_log_is_found_where_it_is() {
    lies(rounds(1_000, 100_000), rounds(all_lies().len() as u64, 20), None);
}

#[test]
fn a_file_that_was_altered_is_found_where_it_is() {
    damages(rounds(300, 1_000), rounds(4 * DAMAGES.len() as u64, SEEDS), Some(Second::start()));
}

/// Every code has a lie; but a sum is wrong only behind outputs that are.
#[test]
fn every_code_is_told() {
    for code in webwallet_audit::Code::ALL {
        let told = all_lies().iter().any(|(other, _)| *other == code.as_str());
        assert_eq!(told, *code != webwallet_audit::Code::Sum, "{code}");
    }
}

/// What is corrupted holds documents of every kind.
#[test]
fn a_life_has_everything_in_it() {
    let (events, life) = life(100, 100);
    for kind in ["genesis", "record", "block", "stack", "keys"] {
        let kind = format!("\"kind\":\"{kind}\"");
        let is = |leaf: &Vec<u8>| String::from_utf8_lossy(leaf).contains(&kind);
        assert!(life.log.leaves.iter().any(is), "{kind}");
    }
    for part in ["locker", "solver"] {
        let is = |leaf: &Vec<u8>| String::from_utf8_lossy(leaf).contains(&format!("\"{part}\":"));
        assert!(life.log.leaves.iter().any(is), "{part}");
    }
    assert!(events.iter().any(|event| matches!(event, Event::Crash)));
    assert!(life.refused > 0 && life.repeated > 0);
}
