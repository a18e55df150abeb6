//! What a refusal suggests instead, on thousands of random refusals. If this
//! failed, somebody would sign anew and be refused again, or pay less than they could.

use std::collections::BTreeMap;

use faster_hex::hex_string;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use webwallet_ledger::clear::{Cleared, clear};
use webwallet_ledger::limits::{RANDOM_CHARS_MAX, RECORD_BYTES_MAX};
use webwallet_ledger::lock::{Locker, Solver};
use webwallet_ledger::signature::public_of;
use webwallet_ledger::{Amount, Change, Code, Draft, Pointer, Record, Rejection, Request};

use crate::party::{DOMAIN, Ledger, Party, body, draft, now, party, time};

const CODES: [Code; 4] =
    [Code::CreditNotGranted, Code::BalanceBelowMin, Code::BalanceAboveMax, Code::AmountOverflow];

/// A few people who pay each other at random, most of it beyond their means.
struct Crowd {
    random: StdRng,
    people: Vec<Party>,
    /// Their public keys in hex.
    keys: Vec<String>,
    units: usize,
    ledger: Ledger,
    drafts: u64,
}

impl Crowd {
    fn new(seed: u64, people: usize, units: usize) -> Crowd {
        let people: Vec<Party> =
            (0..people).map(|i| party(&format!("one of a crowd {i}"))).collect();
        Crowd {
            random: StdRng::seed_from_u64(seed),
            keys: people.iter().map(|party| hex_string(&public_of(&party.secret))).collect(),
            people,
            units,
            ledger: Ledger::default(),
            drafts: 0,
        }
    }

    fn below(&mut self, many: usize) -> usize {
        self.random.random_range(0..many)
    }

    fn amount(&mut self) -> String {
        match self.below(12) {
            0 => format!("{}.{:02}", self.below(5), self.below(99) + 1),
            1 => format!("0.{:040}", self.below(9) + 1),
            2 if self.below(8) == 0 => "9".repeat(60),
            _ => (self.below(9) + 1).to_string(),
        }
    }

    fn iou(&mut self) -> Draft {
        let unit = self.below(self.units);
        let from = if self.below(4) == 0 { unit } else { self.below(self.people.len()) };
        let to = (from + 1 + self.below(self.people.len() - 1)) % self.people.len();
        let amount = self.amount();
        self.drafts += 1;
        let note = self.drafts.to_string();
        let [from_party, to_party, issuer] = [from, to, unit].map(|i| &self.people[i]);
        let mut iou = draft(from_party, to_party, issuer, &amount, &note);
        match self.below(12) {
            0 | 1 if from == unit => {
                let sign = if self.below(2) == 0 { "-" } else { "" };
                iou.credit = Some(format!("{sign}{}", self.amount()));
                if self.below(2) == 0 {
                    iou.amount = "0".into();
                }
            }
            2 => iou.locker = Some(open_lock()),
            3 | 4 => self.takes(&mut iou),
            _ => {}
        }
        iou
    }

    /// Takes a lock that stands open, and passes it on or locks it again.
    fn takes(&mut self, iou: &mut Draft) {
        let which = self.below(self.ledger.locks.len().max(1));
        let Some((output, lock)) = self.ledger.locks.iter().nth(which) else { return };
        iou.symbol = lock.account.unit;
        iou.source = lock.account.address;
        if iou.source == iou.target {
            iou.target = lock.source;
        }
        iou.solver = Some(Solver { output: *output, hashee: None });
        match self.below(4) {
            0 => iou.amount = "0".into(),
            1 => {
                let expiry = time("2026-07-01T00:00:00.000Z");
                iou.locker = Some(Locker { active: None, expiry, puzzle: None, script: None });
            }
            _ => {}
        }
    }

    /// As its source would sign it; clearing does not ask for what was verified before.
    fn claimed(&self, iou: &Draft) -> Vec<u8> {
        let source = self.people.iter().position(|party| party.address == iou.source);
        let public = &self.keys[source.expect("one of the crowd")];
        let claim = format!(
            "\"signatures\":[{{\"public\":\"{public}\",\"scheme\":\"eddsa-ed25519\",\"signer\":\"{}\",\"string\":\"00\"}}",
            iou.source
        );
        let unsigned = String::from_utf8(iou.unsigned()).expect("UTF-8");
        unsigned.replace("\"signatures\":[", &claim).into_bytes()
    }

    /// What would become of these, without anything becoming of them.
    fn asked(&self, ious: &[Draft]) -> Result<Record, Rejection> {
        let claimed: Vec<Vec<u8>> = ious.iter().map(|iou| self.claimed(iou)).collect();
        let request = Request::parse(&body(&claimed), DOMAIN);
        let request = request.map_err(|refusal| refusal.rejection)?;
        let number = self.ledger.records.len() as u64 + 1;
        match clear(&request, number, now(), &self.ledger)? {
            Cleared::Now(record) => Ok(record),
            Cleared::Before(_) => panic!("sent for the first time"),
        }
    }

    /// Requests until one is refused for a balance, a limit or credit; the others clear or are dropped.
    fn refused(&mut self, inputs_max: usize) -> (Vec<Draft>, Rejection) {
        loop {
            let count = if self.below(3) == 0 { 1 } else { 1 + self.below(inputs_max) };
            let ious: Vec<Draft> = (0..count).map(|_| self.iou()).collect();
            match self.asked(&ious) {
                Err(rejection) if CODES.contains(&rejection.code) => return (ious, rejection),
                Err(rejection) => assert!(rejection.suggestion.is_empty(), "{rejection}"),
                Ok(record) => self.ledger.take(&record),
            }
        }
    }
}

/// Does as a suggestion says.
fn applied(ious: &[Draft], suggestion: &[Change]) -> Vec<Draft> {
    let mut changed: Vec<Option<Draft>> = ious.iter().cloned().map(Some).collect();
    for Change { pointer, value } in suggestion {
        let mut parts = pointer.strip_prefix("/data/inputs/").expect("an input").split('/');
        let place = &mut changed[parts.next().expect("a place").parse::<usize>().expect("a place")];
        match (parts.nth(1), value, &mut *place) {
            (None, None, _) => *place = None,
            (Some("amount"), Some(value), Some(iou)) => iou.amount.clone_from(value),
            (Some("credit"), value, Some(iou)) => iou.credit.clone_from(value),
            _ => panic!("{pointer} {value:?}"),
        }
    }
    changed.into_iter().flatten().collect()
}

/// Whether any of these could be paid at all, however little of each: payments of
/// next to nothing, in every choice of them. What can be paid is made of chains and
/// circles along which one small amount goes.
fn could_pay_anything(crowd: &Crowd, ious: &[Draft]) -> bool {
    let least = format!("0.{:040}", 1);
    (1..1_u32 << ious.len()).any(|choice| {
        let chosen = ious.iter().enumerate().filter(|(i, _)| choice >> i & 1 == 1);
        let chosen: Vec<Draft> = chosen
            .map(|(_, iou)| {
                let zero = iou.amount == "0"
                    || iou.locker.is_none() && (iou.credit.is_some() || iou.solver.is_some());
                let amount = if zero { "0".into() } else { least.clone() };
                let credit = iou.credit.as_ref().map(|credit| match credit.starts_with('-') {
                    true => format!("-{least}"),
                    false => least.clone(),
                });
                Draft { amount, credit, ..iou.clone() }
            })
            .collect();
        crowd.asked(&chosen).is_ok()
    })
}

#[test]
fn what_is_suggested_clears() {
    let (mut refusals, mut without, mut inputs) = (0, 0, 0);
    let mut codes: BTreeMap<Code, usize> = BTreeMap::new();
    for seed in 0..50 {
        let mut crowd = Crowd::new(seed, 3 + seed as usize % 6, 1 + seed as usize % 3);
        for _ in 0..100 {
            let inputs_max = if crowd.below(4) == 0 { 30 } else { 6 };
            let (ious, rejection) = crowd.refused(inputs_max);
            (refusals, inputs) = (refusals + 1, inputs + ious.len());
            *codes.entry(rejection.code).or_default() += 1;
            if rejection.suggestion.is_empty() {
                without += 1;
                if ious.len() <= 4 {
                    assert!(
                        !could_pay_anything(&crowd, &ious),
                        "seed {seed}: {rejection} {ious:#?}"
                    );
                }
                continue;
            }
            let changed = applied(&ious, &rejection.suggestion);
            assert!(!changed.is_empty(), "seed {seed}: {rejection}");
            let asked = crowd.asked(&changed);
            assert!(
                asked.is_ok(),
                "seed {seed}: {:?} to {rejection}, but {asked:?}",
                rejection.suggestion
            );
        }
    }
    println!("{refusals} refusals of {inputs} IOUs: {codes:?}; {without} without a suggestion");
    assert_eq!(refusals, 5_000);
    assert!(CODES.iter().all(|code| codes.contains_key(code)), "{codes:?}");
    assert!(without < refusals / 2, "{without} without a suggestion");
}

/// One IOU: it pays exactly what is there.
#[test]
fn a_single_iou_is_lowered_by_no_more_than_it_must() {
    let mut lowered = 0;
    let mut crowd = Crowd::new(1_000, 5, 2);
    while lowered < 300 {
        let (ious, rejection) = crowd.refused(1);
        let [Change { pointer, value: Some(value) }] = &rejection.suggestion[..] else { continue };
        let least = Amount::parse(&format!("0.{:040}", 1)).expect("a decimal");
        let value_of = Amount::parse_signed(value).expect("a decimal");
        // A grant is below zero, and more of it further below.
        let more = match value.starts_with('-') {
            true => value_of.minus(&least).to_string(),
            false => value_of.plus(&least).to_string(),
        };
        let change = Change { pointer: pointer.clone(), value: Some(more) };
        let asked = crowd.asked(&applied(&ious, &[change]));
        assert!(asked.is_err(), "{value} is suggested, and more clears: {ious:?}");
        lowered += 1;
    }
}

/// Where one IOU is enough, nobody else is asked to sign anew.
#[test]
fn one_iou_is_changed_where_one_is_enough() {
    let (mut one, mut more) = (0, 0);
    for seed in 2_000..2_030 {
        let mut crowd = Crowd::new(seed, 4, 1);
        for _ in 0..20 {
            let (ious, rejection) = crowd.refused(5);
            let touched = |change: &Change| change.pointer.split('/').nth(3).map(str::to_owned);
            let mut places: Vec<_> = rejection.suggestion.iter().map(touched).collect();
            places.dedup();
            match places.len() {
                0 => {}
                1 => one += 1,
                _ => {
                    more += 1;
                    let enough = (0..ious.len()).find(|which| one_is_enough(&crowd, &ious, *which));
                    assert_eq!(enough, None, "{:?} {ious:#?}", rejection.suggestion);
                }
            }
        }
    }
    println!("{one} mended by one IOU, {more} by more");
    assert!(one > 100 && more > 20, "{one} {more}");
}

/// Whether the request clears with this IOU left out, or with some smaller amount
/// or withdrawal in it.
fn one_is_enough(crowd: &Crowd, ious: &[Draft], which: usize) -> bool {
    let least = format!("0.{:040}", 1);
    let iou = &ious[which];
    let mut instead: Vec<Option<Draft>> = vec![None];
    for amount in ["0", &least, iou.amount.as_str()] {
        for credit in [None, Some(least.clone()), iou.credit.clone()] {
            let credit = credit.filter(|_| iou.credit.is_some());
            instead.push(Some(Draft { amount: amount.into(), credit, ..iou.clone() }));
        }
    }
    instead.into_iter().any(|instead| {
        let mut changed = ious.to_vec();
        match instead {
            Some(instead) => changed[which] = instead,
            None => drop(changed.remove(which)),
        }
        !changed.is_empty() && crowd.asked(&changed).is_ok()
    })
}

/// Against every way to lower the amounts and credit of small requests: none lowers less in all.
#[test]
fn no_way_to_clear_moves_less_less() {
    let (mut compared, mut with_credit, mut with_locks) = (0, 0, 0);
    for seed in 3_000..6_000 {
        let mut crowd = Crowd::new(seed, 4, 1);
        // Every other with payments alone, which get in each other's way more often.
        let mixed = seed % 2 == 0;
        stock(&mut crowd, mixed);
        let ious = small_request(&mut crowd, mixed);
        let Err(rejection) = crowd.asked(&ious) else { continue };
        assert!(CODES.contains(&rejection.code), "seed {seed}: {rejection}");
        let suggested = moved(&applied(&ious, &rejection.suggestion));
        let suggested = if rejection.suggestion.is_empty() { 0 } else { suggested };
        for way in ways(&ious, moved(&ious) - suggested) {
            let asked = crowd.asked(&way);
            assert!(
                asked.is_err(),
                "seed {seed}: {:?} moves {suggested} of {ious:#?}, but {way:#?} clears",
                rejection.suggestion
            );
        }
        compared += 1;
        with_credit += usize::from(ious.iter().any(|iou| iou.credit.is_some()));
        with_locks += usize::from(ious.iter().any(|iou| iou.solver.is_some()));
    }
    println!("{compared} refusals, {with_credit} with credit and {with_locks} with locks");
    assert!(compared > 1_500 && with_credit > 250 && with_locks > 350);
}

/// Everybody but the issuer may hold a little, owe a little and, if mixed, have something
/// locked for them.
fn stock(crowd: &mut Crowd, mixed: bool) {
    for holder in 1..4 {
        let issued = |crowd: &mut Crowd, what: &str, amount: usize| {
            let (issuer, to) = (&crowd.people[0], &crowd.people[holder]);
            draft(issuer, to, issuer, &amount.to_string(), &format!("{what} {holder}"))
        };
        let mut ious = Vec::new();
        let (amount, credit) = (crowd.below(3), crowd.below(6));
        if amount > 0 || credit > 2 {
            let mut held = issued(crowd, "held", amount);
            held.credit = (credit > 2).then(|| format!("-{}", credit - 2));
            ious.push(held);
        }
        if mixed && crowd.below(2) == 0 {
            let amount = 1 + crowd.below(3);
            let mut lock = issued(crowd, "locked", amount);
            lock.locker = Some(open_lock());
            ious.push(lock);
        }
        if !ious.is_empty() {
            let record = crowd.asked(&ious).expect("issued");
            crowd.ledger.take(&record);
        }
    }
}

/// What anybody of its two may have, later.
fn open_lock() -> Locker {
    let expiry = time("2026-06-01T00:00:00.000Z");
    Locker { active: None, expiry, puzzle: None, script: None }
}

/// Two to four small IOUs; if mixed, some give credit, some take locks, and some lock.
fn small_request(crowd: &mut Crowd, mixed: bool) -> Vec<Draft> {
    let mut locks: Vec<_> = crowd.ledger.locks.clone().into_iter().collect();
    let count = 2 + crowd.below(3);
    let iou = |i: usize| {
        let (from, amount) = (crowd.below(4), 1 + crowd.below(3));
        let to = (from + 1 + crowd.below(3)) % 4;
        let [from_party, to_party, unit] = [from, to, 0].map(|i| &crowd.people[i]);
        let mut iou = draft(from_party, to_party, unit, &amount.to_string(), &format!("small {i}"));
        let kind = if mixed { crowd.below(8) } else { 7 };
        if from == 0 && kind < 4 {
            let sign = if crowd.below(3) == 0 { "-" } else { "" };
            iou.credit = Some(format!("{sign}{}", 1 + crowd.below(3)));
        } else if kind < 2 {
            iou.locker = Some(open_lock());
        }
        if mixed
            && crowd.below(3) == 0
            && iou.credit.is_none()
            && let Some((output, lock)) = locks.pop()
        {
            iou.source = lock.account.address;
            if iou.source == iou.target {
                iou.target = lock.source;
            }
            iou.solver = Some(Solver { output, hashee: None });
        }
        iou
    };
    (0..count).map(iou).collect()
}

/// What these pay, grant and withdraw, together.
fn moved(ious: &[Draft]) -> u64 {
    let credit = |iou: &Draft| iou.credit.as_ref().map_or(0, |credit| whole(credit).1);
    ious.iter().map(|iou| whole(&iou.amount).1 + credit(iou)).sum()
}

/// The sign of a small whole number, and the rest of it.
fn whole(text: &str) -> (&str, u64) {
    let (sign, digits) = text.split_at(usize::from(text.starts_with('-')));
    (sign, digits.parse().expect("whole"))
}

/// Everything that is made of these when they are lowered or left out, by less than this in all.
fn ways(ious: &[Draft], bound: u64) -> Vec<Vec<Draft>> {
    let mut ways = vec![(vec![], 0)];
    for iou in ious {
        let mut instead = vec![None];
        for amount in 0..=whole(&iou.amount).1 {
            let amount = amount.to_string();
            instead.push(Some(Draft { amount: amount.clone(), credit: None, ..iou.clone() }));
            let (sign, most) = iou.credit.as_deref().map_or(("", 0), whole);
            for credit in 1..=most {
                let (amount, credit) = (amount.clone(), Some(format!("{sign}{credit}")));
                instead.push(Some(Draft { amount, credit, ..iou.clone() }));
            }
        }
        let mut longer = Vec::new();
        for (way, less) in &ways {
            for instead in &instead {
                let less = less + moved(std::slice::from_ref(iou)) - moved(instead.as_slice());
                if less < bound {
                    longer.push((way.iter().chain(instead).cloned().collect(), less));
                }
            }
        }
        ways = longer;
    }
    ways.into_iter().map(|(way, _)| way).collect()
}

/// What was suggested and is too long for the log would be signed in vain.
#[test]
fn what_is_suggested_fits_a_leaf_of_the_log() {
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(party);
    // bob pays 1 so many times, the last of them with a longer random, and holds less.
    let asked = |held: &str, more: usize| {
        let mut ledger = Ledger::default();
        let first = draft(&alice, &bob, &alice, held, "held").sign(&alice.secret);
        ledger.post(&body(&[first]), now()).expect("issued");
        let mut left = more;
        let ious = (0..73).map(|i| {
            let mut iou = draft(&bob, &carol, &alice, "1", "");
            let chars = 32 + left.min(RANDOM_CHARS_MAX - 32);
            left -= chars - 32;
            iou.random = format!("{i:0chars$}");
            iou.sign(&bob.secret)
        });
        ledger.post(&body(&ious.collect::<Vec<_>>()), now())
    };
    let record = asked("73", 0).expect("fits");
    let room = RECORD_BYTES_MAX - record.bytes.len();
    assert_eq!(asked("73", room).expect("fits").bytes.len(), RECORD_BYTES_MAX);
    // One of them, and what carol holds, is written with a point and a digit more.
    for (more, suggested) in [(room - 4, 1), (room - 3, 0)] {
        let refused = asked("72.5", more).expect_err("too little");
        let said = (refused.code, refused.suggestion.len());
        assert_eq!(said, (Code::BalanceBelowMin, suggested), "{more} of {room}");
    }
}

/// The cases a reader can follow by eye.
#[test]
fn a_table_of_suggestions() {
    let [alice, bob, carol, dora, erin, fred, gina] =
        ["alice", "bob", "carol", "dora", "erin", "fred", "gina"].map(party);
    let mut ledger = Ledger::default();
    let held = draft(&alice, &bob, &alice, "6", "held").sign(&alice.secret);
    let mut granted = draft(&alice, &erin, &alice, "0", "granted");
    granted.credit = Some("-7".into());
    ledger.post(&body(&[held, granted.sign(&alice.secret)]), now()).expect("issued");
    let mut locked = draft(&carol, &bob, &carol, "5", "lock");
    locked.locker = Some(open_lock());
    let record = ledger.post(&body(&[locked.sign(&carol.secret)]), now()).expect("locked").hash;
    let lock = Pointer { record, index: 1 };

    let pays = |from: &Party, to: &Party, amount: &str, note: &str| {
        (draft(from, to, &alice, amount, note), from.secret)
    };
    let takes = |amount: &str| {
        let mut iou = draft(&bob, &dora, &carol, amount, "takes");
        iou.solver = Some(Solver { output: lock, hashee: None });
        (iou, bob.secret)
    };
    let locks_again = |amount: &str| {
        let (mut iou, secret) = takes(amount);
        iou.locker = Some(open_lock());
        (iou, secret)
    };
    let pays_carols = |amount: &str| (draft(&bob, &dora, &carol, amount, "carol's"), bob.secret);
    let credit = |amount: &str, credit: &str, note: &str| {
        let mut iou = draft(&alice, &bob, &alice, amount, note);
        iou.credit = Some(credit.into());
        (iou, alice.secret)
    };
    let amount = |input: usize, value: &str| {
        format!("{{\"pointer\":\"/data/inputs/{input}/data/amount\",\"value\":\"{value}\"}}")
    };
    let out = |input: usize| format!("{{\"pointer\":\"/data/inputs/{input}\"}}");
    #[rustfmt::skip]
    let table = [
        ("bob holds 6 and pays 7",       vec![pays(&bob, &carol, "7", "a")],                                     vec![amount(0, "6")]),
        ("bob pays 4 twice",             vec![pays(&bob, &carol, "4", "a"), pays(&bob, &dora, "4", "b")],        vec![amount(0, "2")]),
        ("and 1 and 9",                  vec![pays(&bob, &carol, "1", "a"), pays(&bob, &dora, "9", "b")],        vec![amount(1, "5")]),
        ("carol passes on what bob has", vec![pays(&bob, &carol, "7", "a"), pays(&carol, &dora, "7", "b")],      vec![amount(0, "6"), amount(1, "6")]),
        ("dora has nothing",             vec![pays(&dora, &bob, "1", "a")],                                      vec![]),
        ("dora has, of bob's, nothing",  vec![pays(&bob, &carol, "1", "a"), pays(&dora, &carol, "1", "b")],      vec![out(1)]),
        ("of a lock of 5 comes 5",       vec![takes("7")],                                                       vec![amount(0, "5")]),
        ("and may be locked again",      vec![locks_again("7")],                                                 vec![amount(0, "5")]),
        ("left out, it would bring in no 5", vec![locks_again("6"), pays_carols("5")],                             vec![amount(0, "1"), amount(1, "4")]),
        ("credit is withdrawn from none", vec![credit("1", "2", "a")],                                           vec!["{\"pointer\":\"/data/inputs/0/data/credit\"}".to_owned()]),
        ("and nothing else was in it",   vec![pays(&bob, &carol, "1", "a"), credit("0", "2", "b")],              vec![out(1)]),
        ("alice has issued 6",           vec![credit("0", "-9", "a"), pays(&bob, &alice, "8", "b")],             vec![amount(1, "6")]),
        ("carol's 1 hinders nobody",     vec![pays(&bob, &carol, "7", "a"), pays(&carol, &erin, "1", "b"), pays(&erin, &alice, "7", "c")], vec![amount(0, "6"), amount(2, "6")]),
        ("who signs anew anyway pays less", vec![pays(&bob, &dora, "5", "a"), pays(&dora, &gina, "5", "b"), pays(&bob, &carol, "10", "c"), pays(&carol, &erin, "6", "d"), pays(&carol, &fred, "4", "e")], vec![amount(2, "1"), out(3), amount(4, "1")]),
    ];
    for (what, ious, expected) in table {
        let signed: Vec<Vec<u8>> = ious.iter().map(|(iou, secret)| iou.sign(secret)).collect();
        let request = Request::parse(&body(&signed), DOMAIN).expect(what);
        let number = ledger.records.len() as u64 + 1;
        let rejection = clear(&request, number, now(), &ledger).expect_err(what);
        let written = |change: &Change| match &change.value {
            Some(value) => format!("{{\"pointer\":\"{}\",\"value\":\"{value}\"}}", change.pointer),
            None => format!("{{\"pointer\":\"{}\"}}", change.pointer),
        };
        let suggestion: Vec<String> = rejection.suggestion.iter().map(written).collect();
        assert_eq!(suggestion, expected, "{what}");
    }
}
