//! The life of a server, at random: people who pay, grant credit, clear circles
//! of debts, lock and take or have back what was locked, ask for what they may not, ask again; blocks of any size, empty
//! ones, new days, new keys, crashes. One seed gives one life.

use std::collections::HashMap;
use std::sync::LazyLock;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use webwallet_ledger::clear::{self, Cleared};
use webwallet_ledger::draft::add_signature;
use webwallet_ledger::lock::puzzle_of;
use webwallet_ledger::puzzle::{Identity, Puzzle};
use webwallet_ledger::signature::{Scheme, public_of};
use webwallet_ledger::state::State;
use webwallet_ledger::{
    Account, AccountId, Address, Draft, Hash, Lock, Locker, Pointer, Request, Solver, Time,
    signature,
};
use webwallet_ledger::{History, RecordOf};

use crate::chain::{DOMAIN, Log, address, canonical, secret};

const DAY_MS: i64 = 86_400_000;
/// The first few people issue units.
const ISSUERS: usize = 4;
/// Some of the others judge.
const JUDGES: std::ops::Range<usize> = 5..8;
/// What opens hash locks.
const WORDS: [&str; 3] = ["sesame", "barley", "wheat"];

/// Everybody in these lives: secret and address.
static PEOPLE: LazyLock<Vec<([u8; 32], Address)>> = LazyLock::new(|| {
    let names = (0..16).map(|i| format!("person {i}"));
    names.map(|name| (secret(&name), address(&name))).collect()
});

/// The judges of these lives: two of these three must agree.
pub static COURT: LazyLock<Puzzle> = LazyLock::new(|| {
    let judges = PEOPLE[JUDGES].iter().map(|(secret, _)| Identity {
        scheme: Scheme::EddsaEd25519,
        public: public_of(secret).to_vec(),
        weight: 1,
    });
    Puzzle::new(2, &judges.collect::<Vec<_>>()).expect("a puzzle")
});

/// What happens to a server.
pub enum Event {
    /// A request comes in: it clears, or it is refused or a repeat, and leaves nothing.
    Send(Vec<Vec<u8>>),
    /// Time goes by, in milliseconds.
    Wait(i64),
    /// The open block ends.
    Seal,
    /// It will begin with a stack.
    Stack,
    /// It will hand the log to a new key.
    Rotate,
    /// The process is killed: partial tiles stay behind, and whoever got no
    /// answer asks again.
    Crash,
}

/// A server as it lives.
#[derive(Clone)]
pub struct Life {
    pub log: Log,
    /// Checkpoints whose partial tiles were left behind.
    pub kept: Vec<usize>,
    /// Requests that left nothing.
    pub refused: u64,
    pub repeated: u64,
    ious: HashMap<Hash, RecordOf>,
    /// Those that are open, in a life without a lie.
    locks: Vec<(Pointer, Lock)>,
    stack: bool,
    keys: u64,
    /// The open block must not get another key.
    pub rotated: bool,
}

struct Known<'a>(&'a State, &'a HashMap<Hash, RecordOf>);

impl History for Known<'_> {
    fn account(&self, account: &AccountId) -> Option<Account> {
        self.0.account(account)
    }

    fn record_of(&self, iou: &Hash) -> Option<RecordOf> {
        self.1.get(iou).copied()
    }

    fn lock(&self, pointer: &Pointer) -> Option<Lock> {
        self.0.lock(pointer)
    }
}

impl Life {
    pub fn new() -> Life {
        Life {
            log: Log::new(),
            kept: Vec::new(),
            refused: 0,
            repeated: 0,
            ious: HashMap::new(),
            locks: Vec::new(),
            stack: false,
            keys: 1,
            rotated: false,
        }
    }

    /// Lives through this.
    pub fn live(&mut self, event: &Event) {
        match event {
            Event::Send(ious) => self.send(ious),
            Event::Wait(ms) => self.log.now_ms += ms,
            Event::Seal => self.seal(),
            Event::Stack => self.stack = true,
            Event::Rotate => self.rotate(),
            Event::Crash => self.kept.push(self.log.checkpoints.len() - 1),
        }
    }

    fn send(&mut self, ious: &[Vec<u8>]) {
        let Ok(request) = Request::from_inputs(ious, DOMAIN) else {
            self.refused += 1;
            return;
        };
        let (number, known) = (self.log.number + 1, Known(&self.log.state, &self.ious));
        match clear::clear(&request, number, self.log.time(), &known) {
            Ok(Cleared::Now(record)) => {
                let inputs = request.inputs.len() as u32;
                let of = RecordOf { number, hash: record.hash, inputs };
                self.ious.extend(request.ious().into_iter().map(|iou| (iou, of)));
                self.locks.retain(|(pointer, _)| !record.collects.contains(pointer));
                self.locks.extend(record.locked().map(|(at, lock)| (at, lock.clone())));
                self.log.record(record.bytes);
            }
            Ok(Cleared::Before(_)) => self.repeated += 1,
            Err(_) => self.refused += 1,
        }
    }

    fn rotate(&mut self) {
        if !std::mem::replace(&mut self.rotated, true) {
            self.keys += 1;
            self.log.rotate_before_records(&self.key_name());
        }
    }

    /// Whose secret signs for the log.
    pub fn key_name(&self) -> String {
        format!("log key {}", self.keys)
    }

    /// Will the open block be the first of a new day?
    fn is_new_day(&self) -> bool {
        let day = |time: Time| time.unix_ms().div_euclid(DAY_MS);
        day(self.log.block_time) < day(self.log.next_time())
    }

    /// Ends the block; a new day begins with a stack.
    pub fn seal(&mut self) {
        if std::mem::take(&mut self.stack) || self.is_new_day() {
            self.log.stack();
        }
        self.rotated = false;
        self.log.seal();
    }
}

/// Makes up a life.
struct Author {
    life: Life,
    random: StdRng,
    events: Vec<Event>,
    /// Requests to ask again.
    sent: Vec<Vec<Vec<u8>>>,
}

/// So many records, with a seal at the end; whatever chance gives, there is a
/// new key, a stack and a crash in it.
pub fn life(seed: u64, records: u64) -> (Vec<Event>, Life) {
    let random = StdRng::seed_from_u64(seed);
    let mut author = Author { life: Life::new(), random, events: Vec::new(), sent: Vec::new() };
    while author.life.log.number < records / 2 {
        author.next();
    }
    [Event::Rotate, Event::Stack].into_iter().for_each(|event| author.then(event));
    author.crash();
    while author.life.log.number < records {
        author.next();
    }
    author.then(Event::Seal);
    (author.events, author.life)
}

/// What an issuer owes a holder: it clears whenever it is asked for.
pub fn issue(log: &Log, random: &mut StdRng) -> Draft {
    let issuer = random.random_range(0..ISSUERS);
    let holder = random.random_range(ISSUERS..PEOPLE.len());
    let amount = amount(random);
    draft(log, random, [issuer, holder, issuer], &amount)
}

/// A payment between two people in the unit of a third, whether there is money
/// for it or not.
pub fn draft(log: &Log, random: &mut StdRng, people: [usize; 3], amount: &str) -> Draft {
    let [source, target, symbol] = people.map(|at| PEOPLE[at].1);
    let days = random.random_range(3..400);
    Draft {
        domain: DOMAIN.into(),
        source,
        target,
        symbol,
        amount: amount.into(),
        random: format!("random {:016x}", random.random::<u64>()),
        expiry: Time::from_unix_ms(log.now_ms + days * DAY_MS),
        active: None,
        credit: None,
        locker: None,
        solver: None,
    }
}

/// Signed by its source.
pub fn signed(draft: &Draft) -> Vec<u8> {
    draft.sign(&secret_of(&draft.source))
}

/// The same with the puzzle of the court, signed by so many of its judges too.
pub fn judged(draft: &Draft, judges: usize) -> Vec<u8> {
    let source = secret_of(&draft.source);
    let judges = PEOPLE[JUDGES].iter().take(judges).map(|(secret, _)| *secret);
    let sign = |iou: Vec<u8>, secret| add_signature(&iou, &secret).expect("something to sign");
    [source].into_iter().chain(judges).fold(draft.unsigned_with(&[&COURT]), sign)
}

/// The IOU by which somebody uses a lock and pays nothing on.
pub fn taking(log: &Log, random: &mut StdRng, by: Address, other: Address, at: Pointer) -> Draft {
    let mut iou = issue(log, random);
    (iou.source, iou.target, iou.amount) = (by, other, "0".into());
    iou.solver = Some(Solver { output: at, hashee: None });
    iou
}

fn secret_of(address: &Address) -> [u8; 32] {
    PEOPLE.iter().find(|(_, other)| other == address).expect("one of the people").0
}

fn amount(random: &mut StdRng) -> String {
    match random.random_range(0..4) {
        0 => random.random_range(1..1_000).to_string(),
        1 => format!("{}.{:02}", random.random_range(0..100), random.random_range(1..100)),
        2 => {
            format!("0.{:0>width$}", random.random_range(1..10), width = random.random_range(1..20))
        }
        _ => format!("{}.50", random.random_range(1..10)),
    }
}

/// The same IOU as the original SDK would name it, or with something custom.
fn otherwise(iou: &[u8], secret: &[u8; 32], random: &mut StdRng) -> Vec<u8> {
    let mut iou: Value = serde_json::from_slice(iou).expect("an IOU");
    if random.random() {
        iou["data"]["custom"] = json!(Hash(random.random()).to_string());
    }
    let data = canonical(&iou["data"]);
    let once: [u8; 32] = Sha256::digest(&data).into();
    let (types, hash) = match random.random_range(0..3) {
        0 => ("sha3-256", Hash::sha3(&data)),
        1 => ("sha256", Hash(once)),
        _ => ("sha256:sha256", Hash(Sha256::digest(once).into())),
    };
    iou["hash"] = json!({"steps": "stringify:data", "types": types, "value": hash.to_string()});
    let string = signature::sign_eddsa(secret, &hash.0);
    let string = string.iter().map(|byte| format!("{byte:02X}")).collect::<String>();
    iou["meta"]["signatures"][0]["string"] = json!(string);
    canonical(&iou)
}

impl Author {
    fn then(&mut self, event: Event) {
        self.life.live(&event);
        self.events.push(event);
    }

    fn one_in(&mut self, of: u32) -> bool {
        self.random.random_range(0..of) == 0
    }

    fn next(&mut self) {
        match self.random.random_range(0..1_000) {
            0..40 => self.then(Event::Seal),
            40..46 => {
                // Nobody pays for ten minutes.
                self.then(Event::Seal);
                self.then(Event::Wait(600_000));
                self.then(Event::Seal);
            }
            46..50 => {
                self.then(Event::Seal);
                let days = self.random.random_range(1..3);
                self.then(Event::Wait(days * DAY_MS));
            }
            50..52 => self.then(Event::Stack),
            52..55 => self.then(Event::Rotate),
            55..60 => self.crash(),
            60..300 => {
                let ms = self.random.random_range(1..3_000);
                self.then(Event::Wait(ms));
            }
            300..340 => self.ask_again(),
            _ => {
                let request = self.request();
                self.sent.push(request.clone());
                self.then(Event::Send(request));
            }
        }
    }

    fn crash(&mut self) {
        self.then(Event::Crash);
        for again in 0..self.sent.len().min(3) {
            let request = self.sent[self.sent.len() - 1 - again].clone();
            self.then(Event::Send(request));
        }
    }

    /// A repeat, in any order, alone or with something that was not asked before.
    fn ask_again(&mut self) {
        if self.sent.is_empty() {
            return;
        }
        let at = self.random.random_range(0..self.sent.len());
        let mut request = self.sent[at].clone();
        request.reverse();
        if self.one_in(3) {
            request.push(signed(&issue(&self.life.log, &mut self.random)));
        }
        self.then(Event::Send(request));
    }

    fn request(&mut self) -> Vec<Vec<u8>> {
        let inputs = match self.random.random_range(0..20) {
            0..16 => 1,
            16..19 => self.random.random_range(2..6),
            _ => return self.circle(),
        };
        (0..inputs).map(|_| self.iou()).collect()
    }

    /// Debts between strangers that cancel out, with no money in them.
    fn circle(&mut self) -> Vec<Vec<u8>> {
        let (log, random) = (&self.life.log, &mut self.random);
        let (unit, first) = (random.random_range(0..ISSUERS), random.random_range(ISSUERS..10));
        let amount = amount(random);
        let others = first..first + random.random_range(2..6);
        let ring: Vec<usize> = others.clone().chain([first]).collect();
        ring.windows(2)
            .map(|pair| signed(&draft(log, random, [pair[0], pair[1], unit], &amount)))
            .collect()
    }

    /// Somebody pays somebody under conditions.
    fn lock(&mut self) -> Vec<u8> {
        let (log, random) = (&self.life.log, &mut self.random);
        let unit = random.random_range(0..ISSUERS);
        let holder = random.random_range(0..PEOPLE.len());
        let source = if random.random() { unit } else { holder };
        let target = (source + random.random_range(1..PEOPLE.len())) % PEOPLE.len();
        let value = amount(random);
        let mut iou = draft(log, random, [source, target, unit], &value);
        let most = [10_000, 600_000, 2 * DAY_MS][random.random_range(0..3)];
        let expiry = log.now_ms + random.random_range(1_000..most);
        let active = log.now_ms + random.random_range(1..1_000);
        let (is_late, is_hash, is_script) = (random.random(), random.random(), random.random());
        let word = WORDS[random.random_range(0..WORDS.len())];
        iou.locker = Some(Locker {
            active: Some(Time::from_unix_ms(active)).filter(|_| is_late),
            expiry: Time::from_unix_ms(expiry),
            puzzle: Some(puzzle_of(word)).filter(|_| is_hash),
            script: Some(COURT.hash).filter(|_| is_script),
        });
        signed(&iou)
    }

    /// One of the two takes what is locked, paying it on or not. Now and then it
    /// is the wrong one, or something is missing.
    fn take(&mut self) -> Vec<u8> {
        let (log, random) = (&self.life.log, &mut self.random);
        // Of the newest: the oldest have been left lying for a reason.
        let newest = self.life.locks.len().min(20);
        if newest == 0 {
            return signed(&issue(log, random));
        }
        let at = self.life.locks.len() - 1 - random.random_range(0..newest);
        let (pointer, lock) = &self.life.locks[at];
        let Locker { expiry, puzzle, script, .. } = &lock.locker;
        let (target, source) = (lock.account.address, lock.source);
        let is_right = random.random_range(0..8) > 0;
        let (by, other) = match (log.time() < *expiry) == is_right {
            true => (target, source),
            false => (source, target),
        };
        let mut iou = taking(log, random, by, other, *pointer);
        iou.symbol = lock.account.unit;
        if random.random() {
            iou.amount = lock.amount.to_string();
        }
        let word = WORDS.iter().find(|word| puzzle.is_none_or(|puzzle| puzzle_of(word) == puzzle));
        let hashee = word.filter(|_| random.random_range(0..8) > 0).map(|word| (*word).to_owned());
        iou.solver = Some(Solver { output: *pointer, hashee });
        match script {
            Some(_) => judged(&iou, [1, 2, 2, 2, 3][random.random_range(0..5)]),
            None => signed(&iou),
        }
    }

    fn iou(&mut self) -> Vec<u8> {
        let kind = self.random.random_range(0..24);
        match kind {
            20..22 => return self.lock(),
            22..24 => return self.take(),
            _ => {}
        }
        let (log, random) = (&self.life.log, &mut self.random);
        let unit = random.random_range(0..ISSUERS);
        let source = random.random_range(0..PEOPLE.len());
        let target = (source + random.random_range(1..PEOPLE.len())) % PEOPLE.len();
        let value = amount(random);
        let mut draft = match kind {
            0..12 => issue(log, random),
            12..17 => draft(log, random, [source, target, unit], &value),
            // Credit given and taken back, alone or with a payment.
            _ => {
                let mut credit = issue(log, random);
                let sign = if random.random_range(0..5) > 0 { "-" } else { "" };
                credit.credit = Some(format!("{sign}{value}"));
                if random.random() {
                    credit.amount = "0".into();
                }
                credit
            }
        };
        match random.random_range(0..40) {
            0 => draft.expiry = Time::from_unix_ms(log.now_ms - 1),
            1 => draft.active = Some(Time::from_unix_ms(log.now_ms + 60_000)),
            2..10 => draft.active = Some(Time::from_unix_ms(log.now_ms - 1)),
            _ => {}
        }
        let iou = signed(&draft);
        if random.random_range(0..8) > 0 {
            return iou;
        }
        otherwise(&iou, &secret_of(&draft.source), random)
    }
}
