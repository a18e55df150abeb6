//! Signed requests, changed in every way that bytes can be changed. If one of
//! them cleared, somebody would pay what nobody signed; if one broke the server,
//! anybody could.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use webwallet_ledger::clear::{Cleared, clear};
use webwallet_ledger::draft::add_signature;
use webwallet_ledger::limits::DEPTH_MAX;
use webwallet_ledger::puzzle::{Identity, Puzzle};
use webwallet_ledger::request::body_of;
use webwallet_ledger::signature::{Keys, Scheme, public_of};
use webwallet_ledger::{Hash, Locker, Nothing, Rejection, Request, Time, json, verify};
use webwallet_tests::party::{DOMAIN, Party, draft, party, time};
use webwallet_tests::process::{Process, agent, get, post};

const ON_THE_RULES: usize = 1_000_000;
const OVER_HTTP: usize = 10_000;

/// What may stand where something else stood.
const TOKENS: &[&str] = &[
    "\"\"",
    "null",
    "true",
    "0",
    "-0",
    "-1",
    "1e9",
    "1.5",
    "4294967296",
    "{}",
    "[]",
    "[[[[",
    "}",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\\u0000",
    "\\ud800",
    "\\ud83d\\ude00",
    "\u{202e}",
    "\u{feff}",
    "\u{0}",
    "\"-5\"",
    "\"1e3\"",
    "\"00\"",
    "\"0.10\"",
    "\"99999999999999999999999999999999999999999999999999999999999\"",
    "\"a\":\"b\",",
    "\"amount\":\"1\",",
    "\"data\":{},",
    "\"sha256\"",
    "\"none\"",
    "\"2027-13-01T00:00:00.000Z\"",
    "\"example.org\"",
];

fn ious() -> Vec<Vec<u8>> {
    let (alice, bob, carol) = (party("alice"), party("bob"), party("carol"));
    let paid = draft(&alice, &bob, &alice, "10.5", "paid").sign(&alice.secret);
    let mut credit = draft(&carol, &bob, &carol, "0", "credit");
    credit.credit = Some("-7".into());
    let mut later = draft(&bob, &carol, &bob, "3", "later");
    later.active = Some(time("2025-12-31T00:00:00.000Z"));
    let member = |who: &Party| Identity {
        scheme: Scheme::EddsaEd25519,
        public: public_of(&who.secret).to_vec(),
        weight: 1,
    };
    let puzzle = Puzzle::new(1, &[&alice, &bob].map(member)).expect("a puzzle");
    let both = Party { secret: [0; 32], address: puzzle.address() };
    let shared = draft(&both, &carol, &both, "1", "shared").unsigned_with(&[&puzzle]);
    let shared = add_signature(&shared, &bob.secret).expect("signed");
    let mut locked = draft(&alice, &carol, &alice, "2", "locked");
    let (puzzle, script) = (Some(Hash([7; 32])), Some(puzzle.hash));
    locked.locker =
        Some(Locker { active: None, expiry: time("2026-06-01T00:00:00.000Z"), puzzle, script });
    let locked = locked.sign(&alice.secret);
    vec![paid, credit.sign(&carol.secret), later.sign(&bob.secret), shared, locked]
}

fn bodies(ious: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let alone = ious.iter().map(|iou| body_of([iou.as_slice()]));
    let together = body_of(ious.iter().map(Vec::as_slice));
    alone.chain([together]).collect()
}

/// A place between the bytes, often one where JSON has a joint.
fn place(random: &mut StdRng, text: &[u8]) -> usize {
    let at = random.random_range(0..=text.len());
    let joint = text[at..].iter().position(|byte| b"\"{}[],:".contains(byte));
    match random.random() {
        true => at,
        false => joint.map_or(at, |joint| at + joint),
    }
}

/// Where some string of the text stands, its quotes with it.
fn string(random: &mut StdRng, text: &[u8]) -> std::ops::Range<usize> {
    let quotes: Vec<usize> = (0..text.len()).filter(|at| text[*at] == b'"').collect();
    match quotes.len() {
        0 | 1 => 0..0,
        many => {
            let first = random.random_range(0..many - 1);
            quotes[first]..quotes[first + 1] + 1
        }
    }
}

fn mutate(random: &mut StdRng, text: &mut Vec<u8>, others: &[Vec<u8>]) {
    let at = place(random, text);
    let end = (at + random.random_range(1..40)).min(text.len());
    match random.random_range(0..9) {
        0 if at < text.len() => text[at] ^= 1 << random.random_range(0..8),
        1 => text.insert(at, random.random()),
        2 => drop(text.drain(at..end)),
        3 => drop(text.splice(at..at, text[at..end].to_vec())),
        4 => {
            let token = TOKENS[random.random_range(0..TOKENS.len())];
            text.splice(at..at, token.bytes());
        }
        5 => {
            let token = TOKENS[random.random_range(0..TOKENS.len())];
            let old = string(random, text);
            text.splice(old, token.bytes());
        }
        6 => {
            let from = string(random, text);
            let (new, old) = (text[from].to_vec(), string(random, text));
            text.splice(old, new);
        }
        7 => {
            let other = &others[random.random_range(0..others.len())];
            let cut = place(random, other);
            text.truncate(at);
            text.extend(&other[cut..]);
        }
        _ => text.truncate(at),
    }
}

/// An IOU whose data was changed and whose hash was made to fit again.
fn rehashed(random: &mut StdRng, iou: &[u8], others: &[Vec<u8>]) -> Vec<u8> {
    let mut value: serde_json::Value = serde_json::from_slice(iou).expect("JSON");
    let data = serde_json::to_vec(&value["data"]).expect("JSON");
    let canonical = loop {
        let mut changed = data.clone();
        mutate(random, &mut changed, others);
        if let Ok(read) = json::parse(&changed, DEPTH_MAX) {
            break read.to_vec();
        }
    };
    value["hash"]["value"] = Hash::sha3(&canonical).to_string().into();
    value["hash"]["types"] = "sha3-256".into();
    value["data"] = serde_json::from_slice(&canonical).expect("JSON");
    serde_json::to_vec(&value).expect("JSON")
}

/// Endless changed requests, the same for the same seed.
fn mutants(seed: u64) -> impl Iterator<Item = Vec<u8>> {
    let mut random = StdRng::seed_from_u64(seed);
    let ious = ious();
    let bodies = bodies(&ious);
    std::iter::repeat_with(move || {
        if random.random_range(0..4) == 0 {
            let iou = &ious[random.random_range(0..ious.len())];
            return body_of([rehashed(&mut random, iou, &bodies).as_slice()]);
        }
        let mut body = bodies[random.random_range(0..bodies.len())].clone();
        for _ in 0..random.random_range(1..4) {
            mutate(&mut random, &mut body, &bodies);
        }
        body
    })
}

/// The IOUs that would clear.
fn cleared(body: &[u8], keys: &Keys, now: Time) -> Result<Vec<Hash>, Rejection> {
    let request = Request::parse(body, DOMAIN).map_err(|refusal| refusal.rejection)?;
    verify::verify(&[&request], keys, &mut StdRng::seed_from_u64(1)).remove(0)?;
    match clear(&request, 1, now, &Nothing)? {
        Cleared::Now(record) => Ok(record.inputs),
        Cleared::Before(_) => unreachable!("nothing has cleared"),
    }
}

/// Each part of a million on a thread of its own; what was said how often.
fn on_the_rules(seed: u64, count: usize) -> BTreeMap<String, usize> {
    let now = time("2026-01-01T00:00:00.000Z");
    let keys = Keys::new(1_000);
    let signed: BTreeSet<Hash> = bodies(&ious())
        .iter()
        .flat_map(|body| cleared(body, &keys, now).expect("what was signed clears"))
        .collect();
    let mut said = BTreeMap::new();
    for body in mutants(seed).take(count) {
        let answer = match cleared(&body, &keys, now) {
            Ok(ious) => {
                let shown = String::from_utf8_lossy(&body);
                assert!(ious.iter().all(|iou| signed.contains(iou)), "nobody signed {shown}");
                "what was signed".to_owned()
            }
            Err(rejection) => rejection.code.to_string(),
        };
        *said.entry(answer).or_default() += 1;
    }
    said
}

#[test]
fn a_million_changed_requests_clear_nothing_that_nobody_signed() {
    let parts: Vec<_> = std::thread::scope(|scope| {
        let part = |seed| scope.spawn(move || on_the_rules(seed, ON_THE_RULES / 2));
        let threads = [part(1), part(2)];
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let mut said: BTreeMap<String, usize> = BTreeMap::new();
    for (answer, count) in parts.into_iter().flatten() {
        *said.entry(answer).or_default() += count;
    }
    println!("{ON_THE_RULES} changed requests on the rules: {said:?}");
    assert_eq!(said.values().sum::<usize>(), ON_THE_RULES);
    // They get far: past reading, hashes, addresses and keys.
    for code in ["malformed", "hash_mismatch", "wrong_domain", "signature_invalid"] {
        assert!(said.get(code).is_some_and(|count| *count > 100), "{code}: {said:?}");
    }
}

/// The same over a socket: each is answered, and the server goes on.
#[test]
fn ten_thousand_changed_requests_are_answered_over_http() {
    let data = tempfile::tempdir().expect("a folder");
    let clock = data.path().join("clock");
    std::fs::write(&clock, "2026-01-01T00:00:00.000Z").expect("a clock");
    let clock = clock.to_str().expect("a name");
    let server = Process::all(&data.path().join("data"), &["--test-clock", clock]);
    let (agent, url) = (agent(), server.url());
    let mut said: BTreeMap<String, usize> = BTreeMap::new();
    for body in mutants(3).take(OVER_HTTP) {
        let answer = post(&agent, &url, &body).expect("an answer");
        let shown = String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned();
        let told = match answer.status {
            // What was signed stands in it unchanged, as the test on the rules says.
            200 | 201 => "what was signed".to_owned(),
            400..500 => answer.code(),
            status => panic!("{status} to {shown}"),
        };
        assert!(!told.is_empty(), "no code to {shown}");
        *said.entry(told).or_default() += 1;
    }
    println!("{OVER_HTTP} changed requests over HTTP: {said:?}");
    let signed = ious().len() + 1;
    let after = get(&agent, &url, &format!("/transaction/{signed}"));
    assert_eq!(after.status, 404, "no more records than requests that somebody signed");
    let good = body_of(ious().iter().map(Vec::as_slice));
    assert!(post(&agent, &url, &good).is_ok_and(|answer| answer.status < 500), "it goes on");
}
