//! No false alarm, whatever an honest server lives through: one that is called
//! a liar for nothing loses its users all the same.

use tempfile::TempDir;

use crate::life::{Event, life};
use crate::second::Second;
use crate::{ask, question, rounds};

const RECORDS: u64 = 100;
/// One in so many is shown to the second auditor too.
const SECOND: u64 = 20;

#[test]
fn honest_lives_are_accepted() {
    let lives = rounds(200, 1_000);
    let mut second = Second::start();
    let (mut refused, mut repeated, mut crashes, mut keys, mut days) = (0, 0, 0, 0, 0);
    let (mut locked, mut taken) = (0, 0);
    for seed in 0..lives {
        let (events, life) = life(seed, RECORDS);
        let directory = TempDir::new().expect("a directory");
        life.log.write(directory.path(), &life.kept);
        let place = directory.path().to_str().expect("a path");
        let audit = question(&life.log);
        let report = ask(&audit, place);
        assert_eq!(report.findings, [], "seed {seed}");
        assert!(report.records >= RECORDS, "seed {seed}");
        if seed % SECOND == 0 {
            assert_eq!(second.ask(&audit, place), [], "seed {seed}");
        }
        let with = |part: &[u8]| {
            let has = |leaf: &&Vec<u8>| memchr::memmem::find(leaf, part).is_some();
            life.log.leaves.iter().filter(has).count() as u64
        };
        (locked, taken) = (locked + with(b"\"locker\":"), taken + with(b"\"solver\":"));
        (refused, repeated) = (refused + life.refused, repeated + life.repeated);
        for event in &events {
            match event {
                Event::Crash => crashes += 1,
                Event::Rotate => keys += 1,
                Event::Wait(ms) if *ms >= 86_400_000 => days += 1,
                _ => {}
            }
        }
    }
    println!(
        "{lives} lives: {refused} refusals, {repeated} repeats, {crashes} crashes, {keys} keys, {days} new days, {locked} records with locks, {taken} that use some"
    );
    assert!(
        [refused, repeated, crashes, keys, days, locked, taken].iter().all(|n| *n >= lives / 4)
    );
}
