//! Scenarios: what people do and what becomes of it, as text that somebody who
//! does not program can review.
//!
//! ```text
//! time 2026-01-01T00:00:00.000Z
//! alice issues 10 to bob                      cleared
//! bob pays carol 4 of alice                   cleared
//! bob pays dave 7 of alice                    rejected balance_below_min
//! again 2                                     replayed 2
//! balances of alice                           alice -10   bob 6   carol 4   sum 0
//! ```
//! Left is what happens, right (after two spaces or more) what must come of it.
//! Payments joined by `and` are one request. A payment may end in `until TIME`
//! or `from TIME`. `grants` and `withdraws` change credit. `again N` sends the
//! Nth request with its IOUs the other way round, `part of N` its first IOU
//! alone. `board is 3 of ann:2 ben cid` makes a puzzle of a threshold and
//! weighted keys, for which a payment is signed `by ann,ben`. A payment `before
//! TIME` is locked until then, and with `after TIME`, `hash WORD` or `agreed
//! board` under that condition; `bob takes lock 2` uses the second lock made,
//! `showing WORD` if need be. What is locked is missing in `sum`. What runs prints a history: one line a request, with record hashes.

use std::collections::BTreeMap;

use webwallet_ledger::draft::add_signature;
use webwallet_ledger::lock::puzzle_of;
use webwallet_ledger::puzzle::{Identity, Puzzle};
use webwallet_ledger::request::body_of;
use webwallet_ledger::signature::{Scheme, public_of};
use webwallet_ledger::{AccountId, Address, Amount, Draft, Hash, Locker, Pointer, Request, Solver};

use crate::party::{DOMAIN, Party, draft, party, time};
use crate::world::{Outcome, World};

/// Runs a scenario on a deployment and returns the history it printed.
///
/// # Panics
/// With the line, if something else came of it than the scenario says.
pub fn run(text: &str, world: &mut impl World) -> String {
    let mut play = Play {
        world,
        requests: Vec::new(),
        cast: BTreeMap::new(),
        puzzles: BTreeMap::new(),
        locks: Vec::new(),
        history: String::new(),
    };
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (action, expected) = line.split_once("  ").unwrap_or((line, ""));
        let expected: Vec<&str> = expected.split_whitespace().collect();
        let came = play.act(action);
        let came_words: Vec<&str> = came.split_whitespace().collect();
        assert_eq!(came_words, expected, "line {} on {}: {line}", number + 1, play.world.name());
    }
    play.history
}

struct Play<'w, W> {
    world: &'w mut W,
    /// The IOUs of each request so far.
    requests: Vec<Vec<Vec<u8>>>,
    cast: BTreeMap<String, Party>,
    puzzles: BTreeMap<String, Puzzle>,
    /// Every lock that was made.
    locks: Vec<Made>,
    history: String,
}

/// A lock and who may use it.
struct Made {
    pointer: Pointer,
    unit: Address,
    source: Address,
    target: Address,
}

impl<W: World> Play<'_, W> {
    fn act(&mut self, action: &str) -> String {
        let words: Vec<&str> = action.split_whitespace().collect();
        match words[..] {
            ["time", at] => {
                self.world.set_time(time(at));
                String::new()
            }
            ["again", n] => {
                let mut ious = self.request(n);
                ious.reverse();
                self.post(ious)
            }
            ["part", "of", n] => {
                let first = self.request(n).swap_remove(0);
                self.post(vec![first])
            }
            ["locks", "of", holder, "in", unit] => {
                let account = self.account(unit, holder);
                let open = self.world.locks(&account);
                let name = |pointer: &String| {
                    let place =
                        self.locks.iter().position(|made| made.pointer.to_string() == *pointer);
                    format!("{}", place.expect("a lock that was made") + 1)
                };
                let mut names: Vec<String> = open.iter().map(name).collect();
                names.sort();
                let line = if names.is_empty() { "none".to_owned() } else { names.join(" ") };
                self.history.push_str(&format!("{action}: {line}\n"));
                line
            }
            [name, "is", threshold, "of", ref members @ ..] => {
                self.puzzle(name, threshold, members);
                String::new()
            }
            ["balances", "of", unit] => self.balances(unit),
            ["history", "of", holder, "in", unit] => {
                let account = self.account(unit, holder);
                let nets = self.world.nets(&account).join(" ");
                self.history.push_str(&format!("{action}: {nets}\n"));
                nets
            }
            _ => {
                let payments = action.split(" and ").enumerate();
                let ious = payments.map(|(i, payment)| self.sign(payment, i)).collect();
                self.post(ious)
            }
        }
    }

    fn request(&self, n: &str) -> Vec<Vec<u8>> {
        let n: usize = n.parse().unwrap_or_else(|_| panic!("not a number: {n}"));
        self.requests[n - 1].clone()
    }

    fn who(&mut self, name: &str) -> Party {
        self.cast.entry(name.to_owned()).or_insert_with(|| party(name)).clone()
    }

    /// A party of the cast that several hold together.
    fn puzzle(&mut self, name: &str, threshold: &str, members: &[&str]) {
        let identity = |member: &&str| {
            let (member, weight) = member.split_once(':').unwrap_or((member, "1"));
            let public = public_of(&self.who(member).secret).to_vec();
            let weight = weight.parse().expect("a weight");
            Identity { scheme: Scheme::EddsaEd25519, public, weight }
        };
        let identities: Vec<Identity> = members.iter().map(identity).collect();
        let threshold = threshold.parse().expect("a threshold");
        let puzzle = Puzzle::new(threshold, &identities).expect("a puzzle");
        self.history.push_str(&format!("{name} is {} {}\n", puzzle.address(), puzzle.hash));
        // Nobody has its key: it has none.
        let party = Party { secret: [0; 32], address: puzzle.address() };
        self.cast.insert(name.to_owned(), party);
        self.puzzles.insert(name.to_owned(), puzzle);
    }

    fn account(&mut self, unit: &str, holder: &str) -> AccountId {
        AccountId { unit: self.who(unit).address, address: self.who(holder).address }
    }

    /// One signed payment, in the words of the scenario.
    fn sign(&mut self, payment: &str, place: usize) -> Vec<u8> {
        let words: Vec<&str> = payment.split_whitespace().collect();
        let random = format!("request {} iou {place}", self.requests.len() + 1);
        let (source, mut iou, rest) = match words[..] {
            [from, "issues", amount, "to", to, ref rest @ ..] => {
                let (from, to) = (self.who(from), self.who(to));
                let iou = draft(&from, &to, &from, amount, &random);
                (from, iou, rest.to_vec())
            }
            [from, "pays", to, amount, "of", unit, ref rest @ ..] => {
                let (from, to, unit) = (self.who(from), self.who(to), self.who(unit));
                let iou = draft(&from, &to, &unit, amount, &random);
                (from, iou, rest.to_vec())
            }
            [from, "grants", to, credit, ref rest @ ..] => {
                let (from, to) = (self.who(from), self.who(to));
                let iou = draft(&from, &to, &from, "0", &random);
                (from, Draft { credit: Some(format!("-{credit}")), ..iou }, rest.to_vec())
            }
            [from, "withdraws", credit, "from", to, ref rest @ ..] => {
                let (from, to) = (self.who(from), self.who(to));
                let iou = draft(&from, &to, &from, "0", &random);
                (from, Draft { credit: Some(credit.to_owned()), ..iou }, rest.to_vec())
            }
            [from, "takes", "lock", n, ref rest @ ..] => {
                let from = self.who(from);
                let n: usize = n.parse().expect("a number");
                let lock = &self.locks[n - 1];
                let other = if from.address == lock.source { lock.target } else { lock.source };
                let [other, unit] =
                    [other, lock.unit].map(|address| Party { secret: [0; 32], address });
                let iou = draft(&from, &other, &unit, "0", &random);
                let solver = Some(Solver { output: lock.pointer, hashee: None });
                (from, Draft { solver, ..iou }, rest.to_vec())
            }
            _ => panic!("not a sentence of scenarios: {payment}"),
        };
        let (mut signers, mut agreed) = (None, None);
        for option in rest.chunks(2) {
            match option {
                ["until", at] => iou.expiry = time(at),
                ["from", at] => iou.active = Some(time(at)),
                ["by", names] => signers = Some(*names),
                ["before", at] => {
                    let expiry = time(at);
                    iou.locker = Some(Locker { active: None, expiry, puzzle: None, script: None });
                }
                ["after", at] => locker(&mut iou).active = Some(time(at)),
                ["hash", word] => locker(&mut iou).puzzle = Some(puzzle_of(word)),
                ["agreed", name] => locker(&mut iou).script = Some(self.puzzles[*name].hash),
                ["showing", word] => {
                    let solver = iou.solver.as_mut().expect("a lock that is used");
                    solver.hashee = Some((*word).to_owned());
                }
                ["with", name] => agreed = Some(*name),
                _ => panic!("not an option of payments: {option:?}"),
            }
        }
        let Some(signers) = signers else { return iou.sign(&source.secret) };
        let puzzles = [Some(words[0]), agreed].into_iter().flatten();
        let puzzles: Vec<&Puzzle> = puzzles.filter_map(|name| self.puzzles.get(name)).collect();
        let unsigned = iou.unsigned_with(&puzzles);
        signers.split(',').fold(unsigned, |iou, name| {
            add_signature(&iou, &party(name).secret).expect("a member of the puzzle")
        })
    }

    fn post(&mut self, ious: Vec<Vec<u8>>) -> String {
        let outcome = self.world.post(&body_of(ious.iter().map(Vec::as_slice)));
        if let Outcome::Cleared(_, record) = outcome {
            self.locks.extend(made(record, &ious));
        }
        self.requests.push(ious);
        let came = match &outcome {
            Outcome::Cleared(..) => "cleared".to_owned(),
            Outcome::Replayed(number, _) => format!("replayed {number}"),
            Outcome::Rejected(code, _) => format!("rejected {code}"),
        };
        self.history.push_str(&format!("{} {outcome}\n", self.requests.len()));
        came
    }

    /// Everybody's net in a unit, in the order of names, and their sum.
    fn balances(&mut self, unit: &str) -> String {
        self.who(unit);
        let names: Vec<String> = self.cast.keys().cloned().collect();
        let (mut line, mut sum) = (String::new(), Amount::zero());
        for name in names {
            let account = self.account(unit, &name);
            if let Some(net) = self.world.nets(&account).first() {
                sum = sum.plus(&Amount::parse_signed(net).expect("a decimal"));
                line.push_str(&format!("{name} {net} "));
            }
        }
        line.push_str(&format!("sum {sum}"));
        self.history.push_str(&format!("balances of {unit}: {line}\n"));
        line
    }
}

fn locker(iou: &mut Draft) -> &mut Locker {
    iou.locker.as_mut().expect("`before TIME` stands first")
}

/// The locks that a record of these IOUs has made: they follow the accounts.
fn made(record: Hash, ious: &[Vec<u8>]) -> Vec<Made> {
    let request = Request::from_inputs(ious, DOMAIN).expect("it has cleared");
    let mut accounts = std::collections::BTreeSet::new();
    for iou in &request.inputs {
        accounts.insert((iou.symbol, iou.source));
        if iou.locker.is_none() && (!iou.amount.is_zero() || iou.credit.is_some()) {
            accounts.insert((iou.symbol, iou.target));
        }
    }
    let locking = request.inputs.iter().filter(|iou| iou.locker.is_some());
    let made = (accounts.len() as u32..).zip(locking).map(|(index, iou)| Made {
        pointer: Pointer { record, index },
        unit: iou.symbol,
        source: iou.source,
        target: iou.target,
    });
    made.collect()
}
