//! What can be said of locks, and is not the case: that somebody used one who
//! may not, that it holds something else, or that it was used twice.

use rand::RngExt as _;
use serde_json::{Value, json};
use webwallet_ledger::lock::puzzle_of;
use webwallet_ledger::{Draft, Hash, Locker, Pointer, Time};

use crate::chain::{address, edited, secret};
use crate::liar::Liar;
use crate::lies::Lie;
use crate::life::{COURT, judged, signed};

const DAY_MS: i64 = 86_400_000;

/// The code of the first finding, and what makes it.
pub const LOCK_LIES: &[(&str, Lie)] = &[
    (
        "A-LOCK",
        Lie::Record(|liar| {
            // Its source, a little too early.
            let iou = other_way(liar.locked(|_| {}));
            liar.life.log.now_ms += DAY_MS - liar.random.random_range(1..1_000);
            liar.force(&[signed(&iou)]);
        }),
    ),
    (
        "A-LOCK",
        Lie::Record(|liar| {
            // Its target, too late.
            let iou = liar.locked(|_| {});
            liar.life.log.now_ms += DAY_MS + liar.random.random_range(0..1_000);
            liar.force(&[signed(&iou)]);
        }),
    ),
    (
        "A-LOCK",
        Lie::Record(|liar| {
            // Its target, before it opens.
            let opens = Time::from_unix_ms(liar.life.log.now_ms + 1);
            let iou = liar.locked(|locker| locker.active = Some(opens));
            liar.force(&[signed(&iou)]);
        }),
    ),
    (
        "A-LOCK",
        Lie::Record(|liar| {
            let mut iou = liar.locked(|_| {});
            iou.source = address("thief");
            liar.force(&[iou.sign(&secret("thief"))]);
        }),
    ),
    (
        "A-LOCK",
        Lie::Record(|liar| {
            let iou = liar.locked(|locker| locker.puzzle = Some(puzzle_of("sesame")));
            liar.force(&[signed(&iou)]);
        }),
    ),
    (
        "A-LOCK",
        Lie::Record(|liar| {
            let iou = liar.locked(|locker| locker.puzzle = Some(puzzle_of("sesame")));
            liar.force(&[signed(&showing(iou, "barley"))]);
        }),
    ),
    (
        "A-LOCK",
        Lie::Record(|liar| {
            // The text of the bytes is not the bytes.
            let word = format!("0x{}", Hash(liar.random.random()));
            let iou = liar.locked(|locker| locker.puzzle = Some(puzzle_of(&word)));
            liar.force(&[signed(&showing(iou, &word[2..]))]);
        }),
    ),
    (
        "A-LOCK",
        Lie::Record(|liar| {
            let iou = liar.locked(|locker| locker.script = Some(COURT.hash));
            let signed = match liar.random.random() {
                true => judged(&iou, 1),
                false => signed(&iou),
            };
            liar.force(&[signed]);
        }),
    ),
    (
        "A-LOCK",
        Lie::Record(|liar| {
            // What its source may, in a unit of somebody else.
            let mut iou = liar.locked(|_| {});
            iou.symbol = iou.source;
            liar.force(&[signed(&iou)]);
        }),
    ),
    (
        "A-LOCK",
        Lie::Record(|liar| {
            // The output of an account.
            let iou = liar.locked(|_| {});
            let Pointer { record, .. } = solved(&iou);
            liar.force(&[signed(&at(iou, Pointer { record, index: 0 }))]);
        }),
    ),
    (
        "A-LOCK",
        Lie::Record(|liar| {
            let iou = liar.locked(|_| {});
            let (record, index) = (Hash(liar.random.random()), 1);
            liar.force(&[signed(&at(iou, Pointer { record, index }))]);
        }),
    ),
    (
        "A-DOUBLE",
        Lie::Record(|liar| {
            // Twice in one record.
            let iou = liar.locked(|_| {});
            liar.force(&[signed(&iou), signed(&once_more(iou))]);
        }),
    ),
    (
        "A-DOUBLE",
        Lie::Record(|liar| {
            // By its target, and blocks later by its source, in the time of each.
            let iou = liar.locked(|_| {});
            liar.life.log.clear(&[signed(&iou)]);
            liar.life.seal();
            liar.life.log.now_ms += DAY_MS;
            liar.force(&[signed(&once_more(other_way(iou)))]);
        }),
    ),
    ("A-OUTPUT", Lie::Record(|liar| lock_as(liar, |lock| hold(lock, "123456789.01")))),
    (
        "A-OUTPUT",
        Lie::Record(|liar| {
            lock_as(liar, |lock| {
                // The same value, which would give the record another name.
                let net = lock["balance"]["net"].as_str().expect("a text");
                hold(lock, &format!("{net}{}0", if net.contains('.') { "" } else { "." }));
            });
        }),
    ),
    (
        "A-OUTPUT",
        Lie::Record(|liar| {
            lock_as(liar, |lock| lock["address"] = json!(address("thief").to_string()));
        }),
    ),
    (
        "A-OUTPUT",
        Lie::Record(|liar| {
            lock_as(liar, |lock| lock["source"] = json!(address("thief").to_string()));
        }),
    ),
    (
        "A-OUTPUT",
        Lie::Record(|liar| {
            lock_as(liar, |lock| {
                lock["locker"]["timers"]["expiry"] = json!("2099-01-01T00:00:00.000Z");
            });
        }),
    ),
    (
        "A-OUTPUT",
        Lie::Record(|liar| {
            lock_as(liar, |lock| {
                lock["locker"].as_object_mut().expect("members").remove("puzzle");
            });
        }),
    ),
    (
        "A-OUTPUT",
        Lie::Record(|liar| {
            // Paid, and not locked.
            lock_as(liar, |lock| {
                let output = lock.as_object_mut().expect("members");
                output.remove("locker");
                output.remove("source");
                output["balance"]["max"] = json!("Infinity");
            });
        }),
    ),
    (
        "A-OUTPUT",
        Lie::Record(|liar| {
            let record = liar.locking(|_| {}).bytes;
            let outputs = |data: &mut Value| drop(data["outputs"].as_array_mut().map(Vec::pop));
            liar.say(edited(&record, outputs));
        }),
    ),
    (
        "A-OUTPUT",
        Lie::Record(|liar| {
            // Taken out of nothing.
            take_as(liar, |output| drop(output["sources"].as_array_mut().map(Vec::pop)));
        }),
    ),
    (
        "A-OUTPUT",
        Lie::Record(|liar| {
            // Taken by nobody.
            take_as(liar, |output| output["balance"]["net"] = json!("0"));
        }),
    ),
    ("A-ENCODING", Lie::Record(|liar| lock_as(liar, |lock| lock["balance"]["min"] = json!("1")))),
    (
        "A-ENCODING",
        Lie::Record(|liar| {
            lock_as(liar, |lock| lock["balance"]["max"] = json!("Infinity"));
        }),
    ),
    (
        "A-ENCODING",
        Lie::Record(|liar| {
            let pointer = Pointer { record: Hash(liar.random.random()), index: 0 }.to_string();
            let record = liar.locking(|_| {}).bytes;
            liar.say(edited(&record, |data| data["outputs"][1]["sources"] = json!([pointer])));
        }),
    ),
    ("A-ENCODING", Lie::Record(|liar| lock_as(liar, |lock| lock["locker"]["memo"] = json!("")))),
    (
        "A-ENCODING",
        Lie::Record(|liar| {
            lock_as(liar, |lock| lock["locker"]["timers"] = json!({}));
        }),
    ),
    (
        "A-ENCODING",
        Lie::Record(|liar| {
            // Before what its accounts have left.
            let record = liar.locking(|_| {}).bytes;
            let outputs = |data: &mut Value| {
                data["outputs"].as_array_mut().expect("a list").reverse();
            };
            liar.say(edited(&record, outputs));
        }),
    ),
    (
        "A-ENCODING",
        Lie::Iou(|iou, _| (iou.credit, iou.locker) = (Some("-5".into()), ended(iou, 1))),
    ),
    ("A-ENCODING", Lie::Iou(|iou, _| (iou.amount, iou.locker) = ("0".into(), ended(iou, 1)))),
    ("A-ENCODING", Lie::Iou(|iou, _| iou.locker = ended(iou, 0))),
];

/// A lock that is open to its target for so many milliseconds.
fn ended(iou: &Draft, after: i64) -> Option<Locker> {
    let active = iou.expiry;
    let expiry = Time::from_unix_ms(active.unix_ms() + after);
    Some(Locker { active: Some(active), expiry, puzzle: None, script: None })
}

/// The next record locks something, and its lock has this change.
fn lock_as(liar: &mut Liar<'_>, change: impl FnOnce(&mut Value)) {
    let record = liar.locking(|locker| locker.puzzle = Some(puzzle_of("sesame"))).bytes;
    liar.say(edited(&record, |data| change(&mut data["outputs"][1])));
}

/// The next record but one takes it, and what it leaves has this change.
fn take_as(liar: &mut Liar<'_>, change: impl FnOnce(&mut Value)) {
    let iou = liar.locked(|_| {});
    let record = liar.life.log.cleared(&[signed(&iou)]).bytes;
    liar.say(edited(&record, |data| change(&mut data["outputs"][0])));
}

fn hold(lock: &mut Value, amount: &str) {
    (lock["balance"]["net"], lock["balance"]["max"]) = (json!(amount), json!(amount));
}

fn solved(iou: &Draft) -> Pointer {
    iou.solver.as_ref().expect("a lock that is used").output
}

fn at(mut iou: Draft, output: Pointer) -> Draft {
    iou.solver.as_mut().expect("a lock that is used").output = output;
    iou
}

fn showing(mut iou: Draft, word: &str) -> Draft {
    iou.solver.as_mut().expect("a lock that is used").hashee = Some(word.to_owned());
    iou
}

/// By the source of the lock.
fn other_way(mut iou: Draft) -> Draft {
    std::mem::swap(&mut iou.source, &mut iou.target);
    iou
}

/// The same by another name.
fn once_more(mut iou: Draft) -> Draft {
    iou.random.push('x');
    iou
}
