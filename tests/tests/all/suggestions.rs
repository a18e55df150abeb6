//! A refusal says what would clear instead. If this failed, somebody would sign
//! what a server suggests and be refused again.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;
use webwallet_ledger::Draft;
use webwallet_ledger::request::body_of;
use webwallet_tests::party::{Party, draft, party};
use webwallet_tests::process::{Process, agent, post};

/// Refusals that are tried.
const REFUSALS: usize = 300;

/// Payments of five people in two units, most of them beyond their means; now and then credit.
fn drafts(random: &mut StdRng, people: &[Party], note: &mut u64) -> Vec<Draft> {
    (0..random.random_range(1..6))
        .map(|_| {
            let unit = random.random_range(0..2);
            let from = match random.random_range(0..4) {
                0 => unit,
                _ => random.random_range(0..people.len()),
            };
            let to = (from + random.random_range(1..people.len())) % people.len();
            let amount = random.random_range(1..9).to_string();
            *note += 1;
            let [source, target, issuer] = [from, to, unit].map(|which| &people[which]);
            let mut iou = draft(source, target, issuer, &amount, &note.to_string());
            if from == unit && random.random_range(0..8) == 0 {
                iou.credit = Some("-3".to_owned());
            }
            iou
        })
        .collect()
}

/// The body, each IOU signed by its source.
fn signed(ious: &[Draft], people: &[Party]) -> Vec<u8> {
    let sign = |iou: &Draft| {
        let source = people.iter().find(|party| party.address == iou.source);
        iou.sign(&source.expect("one of them").secret)
    };
    let ious: Vec<Vec<u8>> = ious.iter().map(sign).collect();
    body_of(ious.iter().map(Vec::as_slice))
}

/// Does as an answer says: a value replaces what the pointer names, and none takes it away.
fn applied(ious: Vec<Draft>, suggestion: &[Value]) -> Vec<Draft> {
    let mut changed: Vec<Option<Draft>> = ious.into_iter().map(Some).collect();
    for change in suggestion {
        let pointer = change["pointer"].as_str().expect("a pointer");
        let value = change["value"].as_str();
        let mut parts = pointer.strip_prefix("/data/inputs/").expect("an input").split('/');
        let place: usize = parts.next().expect("a place").parse().expect("a number");
        match (parts.nth(1), value, &mut changed[place]) {
            (None, None, place) => *place = None,
            (Some("amount"), Some(value), Some(iou)) => iou.amount = value.to_owned(),
            (Some("credit"), value, Some(iou)) => iou.credit = value.map(str::to_owned),
            _ => panic!("{change}"),
        }
    }
    changed.into_iter().flatten().collect()
}

#[test]
fn what_an_answer_suggests_clears() {
    let data = tempfile::tempdir().expect("a folder");
    let server = Process::all(data.path(), &[]);
    let (agent, url) = (agent(), server.url());
    let mut random = StdRng::seed_from_u64(11);
    let (mut note, mut tried, mut without) = (0, 0, 0);
    let mut people: Vec<Party> = Vec::new();
    for request in 0.. {
        if tried == REFUSALS {
            break;
        }
        // Others now and then: the longer they pay each other, the more they have.
        if request % 20 == 0 {
            let new = |name: &str| party(&format!("{name} {request}"));
            people = ["ann", "ben", "cas", "dan", "eve"].map(new).into();
        }
        let ious = drafts(&mut random, &people, &mut note);
        let answer = post(&agent, &url, &signed(&ious, &people)).expect("an answer");
        if answer.status == 201 {
            continue;
        }
        assert_eq!(answer.status, 422, "{answer:?}");
        let problem = answer.json();
        let Some(suggestion) = problem["suggestion"].as_array() else {
            without += 1;
            continue;
        };
        tried += 1;
        let changed = applied(ious, suggestion);
        let answer = post(&agent, &url, &signed(&changed, &people)).expect("an answer");
        assert_eq!(answer.status, 201, "{problem} led to {}", answer.json());
    }
    println!("{tried} suggestions cleared; {without} refusals had none");
}
