//! Many after one balance. If this failed, money would be spent twice.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use rand::RngExt as _;
use webwallet_tests::party::{issue, party, pay};
use webwallet_tests::process::{Process, agent, post};

use crate::rounds;

const RACERS: usize = 32;

#[test]
fn exactly_as_many_clear_as_the_balance_allows() {
    let data = tempfile::tempdir().expect("a folder");
    let server = Process::all(data.path(), &[]);
    let url = server.url();
    let (issuer, winner) = (party("issuer"), party("winner"));
    let rounds = rounds(10, 200);
    let allowed: Vec<usize> = (0..rounds).map(|_| rand::rng().random_range(0..=RACERS)).collect();
    let (cleared, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let start = Barrier::new(RACERS + 1);
    let end = Barrier::new(RACERS + 1);
    std::thread::scope(|scope| {
        for racer in 0..RACERS {
            let (url, issuer, winner) = (&url, &issuer, &winner);
            let (start, end, cleared, refused) = (&start, &end, &cleared, &refused);
            scope.spawn(move || {
                let agent = agent();
                for round in 0..rounds {
                    let holder = party(&format!("holder {round}"));
                    let body = pay(&holder, winner, issuer, "1", &format!("race {racer}"));
                    start.wait();
                    let answer = post(&agent, url, &body).expect("an answer");
                    match answer.status {
                        201 => cleared.fetch_add(1, Ordering::SeqCst),
                        422 if answer.code() == "balance_below_min" => {
                            refused.fetch_add(1, Ordering::SeqCst)
                        }
                        _ => panic!("neither cleared nor refused: {answer:?}"),
                    };
                    end.wait();
                }
            });
        }
        let agent = agent();
        for (round, allowed) in allowed.iter().enumerate() {
            if *allowed > 0 {
                let holder = party(&format!("holder {round}"));
                let body = issue(&issuer, &holder, &allowed.to_string(), &format!("round {round}"));
                assert_eq!(post(&agent, &url, &body).expect("an answer").status, 201);
            }
            start.wait();
            end.wait();
            let (cleared, refused) =
                (cleared.swap(0, Ordering::SeqCst), refused.swap(0, Ordering::SeqCst));
            assert_eq!((cleared, refused), (*allowed, RACERS - allowed), "round {round}");
        }
    });
    println!("{rounds} rounds of {RACERS} racers: never one payment over, never one short");
}
