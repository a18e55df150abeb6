//! Asking first. If a dry answer were not the real one, somebody would sign and
//! send what is then refused, or hold back what would have cleared.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;
use webwallet_ledger::draft::add_signature;
use webwallet_ledger::puzzle::{Identity, Puzzle};
use webwallet_ledger::request::body_of;
use webwallet_ledger::signature::{Scheme, public_of};
use webwallet_tests::deployment::Deployment;
use webwallet_tests::engines::Engines;
use webwallet_tests::party::{Party, draft, party, time};
use webwallet_tests::process::{Answer, agent, get, post, post_to};

/// Random requests of a small town, some of them nonsense.
pub struct Town {
    random: StdRng,
    people: Vec<Party>,
    /// IOUs that went out before, for repeats, whole and in part.
    sent: Vec<Vec<Vec<u8>>>,
    count: u64,
}

impl Town {
    pub fn new(seed: u64) -> Town {
        let people = ["ann", "ben", "cid", "dora", "eve", "finn"].map(party).to_vec();
        Town { random: StdRng::seed_from_u64(seed), people, sent: Vec::new(), count: 0 }
    }

    fn one_of(&mut self, many: usize) -> bool {
        self.random.random_range(0..many) == 0
    }

    fn iou(&mut self) -> Vec<u8> {
        let among = self.people.len();
        let (from, step) = (self.random.random_range(0..among), self.random.random_range(1..among));
        let (source, target) =
            (self.people[from].clone(), self.people[(from + step) % among].clone());
        // Three units; half of all payments are in the payer's own, if it is one.
        let unit = match self.random.random_range(0..2) {
            0 => self.people[from % 3].clone(),
            _ => self.people[self.random.random_range(0..3)].clone(),
        };
        let amount = ["0.5", "1", "3", "7.25", "40"][self.random.random_range(0..5)];
        self.count += 1;
        let mut iou = draft(&source, &target, &unit, amount, &format!("town {}", self.count));
        // Only the issuer may; the others are tried now and then.
        if self.one_of(if source.address == unit.address { 3 } else { 60 }) {
            let credit = ["-5", "-20", "-60", "2", "9"][self.random.random_range(0..5)];
            iou.credit = Some(credit.into());
        }
        match self.random.random_range(0..60) {
            0 => iou.expiry = time("2025-01-01T00:00:00.000Z"),
            1 => iou.active = Some(time("2027-01-01T00:00:00.000Z")),
            2 => iou.expiry = time("2090-01-01T00:00:00.000Z"),
            3 => iou.domain = "example.org".into(),
            4 => iou.amount = "9".repeat(60),
            _ => {}
        }
        if self.one_of(20) {
            return self.of_two(&target, amount);
        }
        match self.random.random_range(0..60) {
            0 => iou.unsigned(),
            1 => iou.sign(&target.secret),
            _ => iou.sign(&source.secret),
        }
    }

    /// A payment out of what two hold together, signed by one or by both.
    fn of_two(&mut self, target: &Party, amount: &str) -> Vec<u8> {
        let members = [self.people[0].clone(), self.people[1].clone()];
        let identity = |who: &Party| Identity {
            scheme: Scheme::EddsaEd25519,
            public: public_of(&who.secret).to_vec(),
            weight: 1,
        };
        let puzzle = Puzzle::new(2, &[&members[0], &members[1]].map(identity)).expect("a puzzle");
        let both = Party { secret: [0; 32], address: puzzle.address() };
        let note = format!("both {}", self.count);
        let iou = draft(&both, target, &both, amount, &note).unsigned_with(&[&puzzle]);
        let mut iou = add_signature(&iou, &members[0].secret).expect("signed");
        if !self.one_of(3) {
            iou = add_signature(&iou, &members[1].secret).expect("signed");
        }
        iou
    }

    /// An issuer who would get back more than there is, on credit.
    fn too_much_back(&mut self) -> [Vec<u8>; 2] {
        let [issuer, holder] = [0, 1].map(|who: usize| self.people[who].clone());
        self.count += 1;
        let note = |which| format!("back {which} {}", self.count);
        let mut credit = draft(&issuer, &holder, &issuer, "0.5", &note("on"));
        credit.credit = Some("-1000000".into());
        let back = draft(&holder, &issuer, &issuer, "900000", &note("all"));
        [credit.sign(&issuer.secret), back.sign(&holder.secret)]
    }

    pub fn body(&mut self) -> Vec<u8> {
        if !self.sent.is_empty() && self.one_of(12) {
            let at = self.random.random_range(0..self.sent.len());
            let mut ious = self.sent[at].clone();
            ious.reverse();
            if self.one_of(2) {
                ious.push(self.iou());
            }
            return body_of(ious.iter().map(Vec::as_slice));
        }
        if self.one_of(100) {
            let ious = self.too_much_back();
            return body_of(ious.iter().map(Vec::as_slice));
        }
        let count = [1, 1, 1, 2, 3, 6][self.random.random_range(0..6)];
        let ious: Vec<Vec<u8>> = (0..count).map(|_| self.iou()).collect();
        let mut body = body_of(ious.iter().map(Vec::as_slice));
        self.sent.push(ious);
        if self.one_of(25) {
            let at = self.random.random_range(0..body.len());
            body[at] ^= 1 << self.random.random_range(0..7);
        }
        if self.one_of(200) {
            let count = self.random.random_range(40..101);
            let many: Vec<Vec<u8>> = (0..count).map(|_| self.iou()).collect();
            body = body_of(many.iter().map(Vec::as_slice));
        }
        body
    }
}

fn outputs(answer: &Answer) -> Value {
    let data = &answer.json()["data"];
    let record = &data["data"]["outputs"];
    if record.is_null() { data["outputs"].clone() } else { record.clone() }
}

/// Sends each request first as a rehearsal, then for real, and compares.
fn rehearse(stores: &Deployment<'_>, requests: usize, seed: u64, expected: &[&str]) {
    let clock = stores.folder().join("clock");
    std::fs::write(&clock, "2026-01-01T00:00:00.000Z").expect("a clock");
    let server = stores.serve(&["--test-clock", clock.to_str().expect("UTF-8")]);
    let (agent, url) = (agent(), server.url());
    let (mut town, mut kinds, mut cleared) = (Town::new(seed), BTreeMap::<String, usize>::new(), 0);
    for n in 0..requests {
        let body = town.body();
        let dry = post_to(&agent, &url, "/transaction?dry_run=true", &body).expect("an answer");
        if n % 50 == 0 {
            let next = format!("/transaction/{}", cleared + 1);
            assert_eq!(get(&agent, &url, &next).status, 404, "a rehearsal cleared");
        }
        let real = post(&agent, &url, &body).expect("an answer");
        assert_eq!(dry.replayed, real.replayed, "request {n}");
        let kind = match real.status {
            200 | 201 => {
                assert_eq!((dry.status, outputs(&dry)), (200, outputs(&real)), "request {n}");
                assert!(dry.json()["data"]["outputs"].is_array(), "and nothing else");
                cleared += usize::from(real.status == 201);
                real.status.to_string()
            }
            _ => {
                assert_eq!((dry.status, &dry.body), (real.status, &real.body), "request {n}");
                real.code()
            }
        };
        *kinds.entry(kind).or_default() += 1;
    }
    let last = get(&agent, &url, &format!("/transaction/{cleared}"));
    let beyond = get(&agent, &url, &format!("/transaction/{}", cleared + 1));
    assert_eq!((last.status, beyond.status), (200, 404));
    println!("{requests} rehearsals on {}: {kinds:?}", stores.name());
    for kind in expected {
        assert!(kinds.contains_key(*kind), "none of {requests} was {kind}: {kinds:?}");
    }
}

#[test]
fn ten_thousand_dry_answers_equal_the_real_ones() {
    let expected = ["200", "201", "balance_below_min", "balance_above_max", "iou_already_cleared"];
    rehearse(&Deployment::embedded(), 10_000, 7, &expected);
}

#[test]
fn dry_answers_equal_the_real_ones_on_redis_and_neo4j() {
    let engines = Engines::empty();
    rehearse(&engines.deployment(), 400, 11, &["200", "201", "balance_below_min"]);
}
