//! Locks: an amount belongs to one of two at every moment, and moves once.

use webwallet_ledger::draft::add_signature;
use webwallet_ledger::lock::{Lock, Locker, Solver, puzzle_of};
use webwallet_ledger::puzzle::{Identity, Puzzle};
use webwallet_ledger::signature::{Scheme, public_of};
use webwallet_ledger::state::{State, lock_key, lock_value};
use webwallet_ledger::{Amount, Code, Draft, Hash, Pointer, Record, Rejection};

use crate::party::{Ledger, Party, body, draft, now, party, time};

/// The last moment of a lock's target, and the first of its source again.
const END: &str = "2026-02-01T00:00:00.000Z";

fn until_end() -> Locker {
    Locker { active: None, expiry: time(END), puzzle: None, script: None }
}

/// alice locks 5 of her own unit for bob; where they are, and what is in it.
fn locked(locker: Locker) -> (Ledger, Pointer, [Party; 3]) {
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(party);
    let mut ledger = Ledger::default();
    let mut iou = draft(&alice, &bob, &alice, "5.0", "lock");
    iou.locker = Some(locker);
    let record = ledger.post(&body(&[iou.sign(&alice.secret)]), now()).expect("locked");
    assert_eq!(Record::parse(&record.bytes).as_ref(), Ok(&record));
    let (pointer, lock) = record.locked().next().expect("a lock");
    assert_eq!((pointer.index, lock.amount.to_string()), (1, "5".into()));
    (ledger, pointer, [alice, bob, carol])
}

fn takes(who: &Party, other: &Party, unit: &Party, output: Pointer) -> Draft {
    let mut iou = draft(who, other, unit, "0", "takes");
    iou.solver = Some(Solver { output, hashee: None });
    iou
}

fn code(outcome: Result<Record, Rejection>) -> Option<Code> {
    outcome.err().map(|rejection| rejection.code)
}

/// The bytes of a lock are part of history.
#[test]
fn a_lock_is_written_as_documented() {
    let puzzle = Some(puzzle_of("sesame"));
    let (ledger, _, [alice, bob, _]) = locked(Locker { puzzle, ..until_end() });
    let lock = ledger.records[0].locks[0].clone();
    let expected = format!(
        concat!(
            r#"{{"address":"{b}","balance":{{"max":"5","min":"0","net":"5"}},"counter":"{a}","#,
            r#""locker":{{"puzzle":"{p}","timers":{{"expiry":"{t}"}}}},"source":"{a}","sources":[]}}"#
        ),
        a = alice.address,
        b = bob.address,
        p = puzzle_of("sesame"),
        t = END
    );
    assert_eq!(String::from_utf8(lock.to_bytes()).expect("UTF-8"), expected);
    assert_eq!(Lock::parse(expected.as_bytes()), Ok(lock));
    for (from, to) in [
        (r#""max":"5""#, r#""max":"6""#),
        (r#""min":"0""#, r#""min":"1""#),
        (r#""sources":[]"#, r#""sources":[""]"#),
    ] {
        assert!(Lock::parse(expected.replacen(from, to, 1).as_bytes()).is_err(), "{to}");
    }
    // SHA-256 of the text, and of 32 bytes.
    let of = |hashee: &str| puzzle_of(hashee).to_string();
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(of("abc"), abc);
    let zeros = "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925";
    assert_eq!(of(&format!("0x{}", "0".repeat(64))), zeros);
    assert_ne!(of(&format!("0x{}", "A".repeat(64))), of(&format!("0x{}", "a".repeat(64))));
}

/// At no time may both use it, and at none nobody.
#[test]
fn at_every_moment_a_lock_is_of_one_of_the_two() {
    let active = Some(time("2026-01-15T00:00:00.000Z"));
    for (at, by_target, by_source) in [
        ("2026-01-14T23:59:59.999Z", Some(Code::LockClosed), Some(Code::LockClosed)),
        ("2026-01-15T00:00:00.000Z", None, Some(Code::LockClosed)),
        ("2026-01-31T23:59:59.999Z", None, Some(Code::LockClosed)),
        (END, Some(Code::LockClosed), None),
        ("2026-12-31T00:00:00.000Z", Some(Code::LockClosed), None),
    ] {
        for (place, expected) in [(1, by_target), (0, by_source)] {
            let (mut ledger, pointer, people) = locked(Locker { active, ..until_end() });
            let (who, other) = (&people[place], &people[1 - place]);
            let iou = takes(who, other, &people[0], pointer).sign(&who.secret);
            assert_eq!(code(ledger.post(&body(&[iou]), time(at))), expected, "{at} {place}");
        }
    }
    // A target that is too late need not come again.
    for (at, retry) in [("2026-01-14T00:00:00.000Z", "later"), (END, "never")] {
        let (mut ledger, pointer, [alice, bob, _]) = locked(Locker { active, ..until_end() });
        let iou = takes(&bob, &alice, &alice, pointer).sign(&bob.secret);
        let rejection = ledger.post(&body(&[iou]), time(at)).expect_err("closed");
        assert_eq!(rejection.retry().as_str(), retry);
    }
}

/// What is used is gone, for everybody, and is one more source of the account.
#[test]
fn a_lock_moves_once() {
    let (mut ledger, pointer, [alice, bob, carol]) = locked(until_end());
    assert_eq!(ledger.net(&alice, &alice), "-5");
    assert!(
        code(
            ledger.post(&body(&[takes(&carol, &bob, &alice, pointer).sign(&carol.secret)]), now())
        ) == Some(Code::LockNotYours)
    );
    let twice = ["one", "two"].map(|note| {
        let mut iou = takes(&bob, &alice, &alice, pointer);
        iou.random = format!("random {note}");
        iou.sign(&bob.secret)
    });
    let rejection = ledger.post(&body(&twice), now()).expect_err("named twice");
    assert_eq!(
        (rejection.code, &*rejection.pointer),
        (Code::LockNotFound, "/data/inputs/1/data/solver/output")
    );
    // Taken and paid on at once: 3 to carol, 2 stay.
    let mut iou = takes(&bob, &carol, &alice, pointer);
    iou.amount = "3".into();
    let record = ledger.post(&body(&[iou.sign(&bob.secret)]), now()).expect("taken");
    assert_eq!(record.outputs[0].sources, [pointer]);
    assert_eq!(record.spent(&record.outputs[0]), None);
    assert_eq!((ledger.net(&alice, &bob), ledger.net(&alice, &carol)), ("2".into(), "3".into()));
    for who in [&alice, &bob] {
        let other = if who.address == bob.address { &alice } else { &bob };
        let iou = takes(who, other, &alice, pointer).sign(&who.secret);
        assert_eq!(
            code(ledger.post(&body(&[iou]), time("2026-03-01T00:00:00.000Z"))),
            Some(Code::LockNotFound)
        );
    }
    // What an account's output is called is no lock's name.
    let output = Pointer { record: record.hash, index: 0 };
    let iou = takes(&bob, &alice, &alice, output).sign(&bob.secret);
    assert_eq!(code(ledger.post(&body(&[iou]), now())), Some(Code::LockNotFound));
}

/// Whoever held some before has both: neither is spent again or left behind.
#[test]
fn a_lock_is_added_to_what_its_taker_held() {
    let (mut ledger, pointer, [alice, bob, _]) = locked(until_end());
    let first = draft(&alice, &bob, &alice, "1", "held").sign(&alice.secret);
    let record = ledger.post(&body(&[first]), now()).expect("paid");
    let held = Pointer { record: record.hash, index: 1 };
    let iou = takes(&bob, &alice, &alice, pointer).sign(&bob.secret);
    let record = ledger.post(&body(&[iou]), now()).expect("taken");
    assert_eq!(record.outputs[0].sources, [held, pointer]);
    assert_eq!(record.spent(&record.outputs[0]), Some(held));
    assert_eq!(Record::parse(&record.bytes), Ok(record));
    assert_eq!(ledger.net(&alice, &bob), "6");
}

/// Escrow: enough of those who must agree, and the target itself.
#[test]
fn a_script_needs_its_signers_and_the_target() {
    let [alice, bob, judge] = ["alice", "bob", "judge"].map(party);
    let identity = |party: &Party| {
        let public = public_of(&party.secret).to_vec();
        Identity { scheme: Scheme::EddsaEd25519, public, weight: 1 }
    };
    let court = Puzzle::new(2, &[&alice, &bob, &judge].map(identity)).expect("a puzzle");
    let script = Some(court.hash);
    let with = |signers: &[&Party], carried: bool| {
        let (mut ledger, pointer, _) = locked(Locker { script, ..until_end() });
        let draft = takes(&bob, &alice, &alice, pointer);
        let iou = if carried { draft.unsigned_with(&[&court]) } else { draft.unsigned() };
        let sign = |iou: Vec<u8>, party: &&Party| add_signature(&iou, &party.secret);
        let iou = signers.iter().try_fold(iou, sign).expect("signed");
        code(ledger.post(&body(&[iou]), now()))
    };
    assert_eq!(with(&[&bob, &judge], true), None);
    assert_eq!(with(&[&bob], true), Some(Code::LockUnsolved));
    assert_eq!(with(&[&bob], false), Some(Code::LockUnsolved));
    assert_eq!(with(&[&alice, &judge], true), Some(Code::SignatureMissing));
}

/// What a unit's issuer owes is held by somebody or locked; the state says so,
/// and the state is the same from its pieces.
#[test]
fn what_is_locked_is_in_the_supply_and_in_the_state() {
    let (mut ledger, pointer, [alice, bob, _]) = locked(until_end());
    let mut state = State::new();
    state.apply(&ledger.records[0]);
    assert_eq!((state.accounts(), state.unbalanced().len()), (1, 0));
    assert_eq!(state.supply(&alice.address), Amount::parse("5").expect("a decimal"));
    let unit = state.prove_unit(&alice.address).value.expect("a unit");
    let expected =
        format!(r#"{{"accounts":"1","locked":"5","supply":"5","unit":"{}"}}"#, alice.address);
    assert_eq!(String::from_utf8(unit).expect("UTF-8"), expected);
    let lock = &ledger.records[0].locks[0];
    assert_eq!(state.lock(&pointer).as_ref(), Some(lock));
    // Whoever proves a lock to a stranger looks for it there, and finds this.
    assert_eq!(lock_key(&pointer), Hash::sha3(format!("lock\0{pointer}").as_bytes()).0);
    let output = String::from_utf8(lock.to_bytes()).expect("UTF-8");
    let value = format!(r#"{{"output":{output},"pointer":"{pointer}"}}"#);
    assert_eq!(String::from_utf8(lock_value(&pointer, lock)).expect("UTF-8"), value);
    let mut again = State::new();
    assert!(state.pieces().all(|piece| again.add_piece(&piece)));
    assert_eq!((again.roots(), again.accounts()), (state.roots(), 1));
    assert_eq!(again.lock(&pointer), state.lock(&pointer));
    // Under a key that is not its own nobody would find it.
    let piece = state.pieces().find(|piece| piece[0] == b'l').expect("a lock");
    let mut moved = piece[..piece.len() - 8].to_vec();
    moved[1] ^= 1;
    let sum = Hash::sha3(&moved).0;
    assert!(!State::new().add_piece(&[&moved, &sum[..8]].concat()));

    let iou = takes(&bob, &alice, &alice, pointer).sign(&bob.secret);
    ledger.post(&body(&[iou]), now()).expect("taken");
    for state in [&mut state, &mut again] {
        state.apply(&ledger.records[1]);
        assert_eq!((state.lock(&pointer), state.unbalanced().len()), (None, 0));
        assert_eq!(state.accounts(), 2);
        let unit = state.prove_unit(&alice.address).value.expect("a unit");
        assert!(String::from_utf8(unit).expect("UTF-8").contains(r#""locked":"0""#));
    }
    assert_eq!(again.roots(), state.roots());
}

/// Lockers and solvers that no two readers would read the same way.
#[test]
fn shapes_of_locks_are_strict() {
    let [alice, bob] = ["alice", "bob"].map(party);
    let data = |more: &str| {
        let iou = draft(&alice, &bob, &alice, "5", "shape").unsigned();
        let text = String::from_utf8(iou).expect("UTF-8");
        body(&[text.replacen("\"data\":{", &format!("\"data\":{{{more},"), 1).into_bytes()])
    };
    let zeros = "0".repeat(64);
    let timers = format!("\"timers\":{{\"expiry\":\"{END}\"}}");
    for (more, pointer) in [
        ("\"locker\":{}".into(), "/locker"),
        ("\"locker\":\"\"".into(), "/locker"),
        (format!("\"locker\":{{{timers},\"x\":\"\"}}"), "/locker/x"),
        (format!("\"locker\":{{{timers},\"puzzle\":\"{}\"}}", "A".repeat(64)), "/locker/puzzle"),
        (
            format!("\"locker\":{{\"timers\":{{\"active\":\"{END}\",\"expiry\":\"{END}\"}}}}"),
            "/locker/timers/expiry",
        ),
        (format!("\"locker\":{{{timers}}},\"credit\":\"-1\""), "/locker"),
        ("\"solver\":{}".into(), "/solver"),
        (format!("\"solver\":{{\"output\":\"{zeros}\"}}"), "/solver/output"),
        (format!("\"solver\":{{\"output\":\"{zeros}::01\"}}"), "/solver/output"),
        (format!("\"solver\":{{\"hashee\":\"\",\"output\":\"{zeros}::0\"}}"), "/solver/hashee"),
    ] {
        let rejection = Ledger::default().post(&data(&more), now()).expect_err("refused");
        let at = format!("/data/inputs/0/data{pointer}");
        assert_eq!((rejection.code, rejection.pointer), (Code::Malformed, at), "{more}");
    }
    for (chars, expected) in [(100, Code::HashMismatch), (101, Code::TooLarge)] {
        let solver = format!("{{\"hashee\":\"{}\",\"output\":\"{zeros}::0\"}}", "h".repeat(chars));
        let long = data(&format!("\"solver\":{solver}"));
        assert_eq!(code(Ledger::default().post(&long, now())), Some(expected));
    }
}

/// Many may lock the most that an amount can be, so that what is locked of a unit
/// is longer than any amount: whoever keeps the state must not stumble over that.
#[test]
fn what_is_locked_may_be_longer_than_any_amount() {
    let (mut ledger, mut state) = (Ledger::default(), State::new());
    let [alice, bob, carol, dave] = ["alice", "bob", "carol", "dave"].map(party);
    let most = "9".repeat(60) + ".25";
    for who in [&bob, &carol] {
        let mut grant = draft(&alice, who, &alice, "0", "granted");
        grant.credit = Some(format!("-{most}"));
        let mut lock = draft(who, &dave, &alice, &most, "locked");
        lock.locker = Some(until_end());
        for iou in [grant.sign(&alice.secret), lock.sign(&who.secret)] {
            let record = ledger.post(&body(&[iou]), now()).expect("cleared");
            state.apply(&record);
        }
    }
    let unit = String::from_utf8(state.prove_unit(&alice.address).value.expect("a unit"));
    let locked = format!("\"locked\":\"1{}8.5\"", "9".repeat(59));
    assert!(unit.expect("UTF-8").contains(&locked));
    let mut again = State::new();
    assert!(state.pieces().all(|piece| again.add_piece(&piece)));
    assert_eq!(again.roots(), state.roots());
    let (pointer, _) = ledger.records[1].locked().next().expect("a lock");
    let iou = takes(&dave, &bob, &alice, pointer).sign(&dave.secret);
    let record = ledger.post(&body(&[iou]), now()).expect("taken");
    [&mut state, &mut again].into_iter().for_each(|state| state.apply(&record));
    assert_eq!((again.roots(), state.unbalanced().len()), (state.roots(), 0));
}
