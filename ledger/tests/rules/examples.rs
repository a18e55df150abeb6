//! The example on the page of each code, acted out. If one were wrong, whoever
//! looks his refusal up would look for the fault in the wrong place.

use std::collections::BTreeMap;

use faster_hex::hex_string;
use serde_json::{Value, json};
use webwallet_ledger::draft::add_signature;
use webwallet_ledger::lock::{Locker, Solver, puzzle_of};
use webwallet_ledger::puzzle::{Identity, Puzzle};
use webwallet_ledger::signature::{Scheme, public_of, sign_eddsa};
use webwallet_ledger::{Change, Code, Draft, Hash, Pointer, Rejection, Time};

use crate::party::{Ledger, Party, body, draft, now, party, time};

/// Who stands in the examples, and what has happened before.
struct Stage {
    alice: Party,
    bob: Party,
    carol: Party,
    ledger: Ledger,
    /// When everything that is posted comes.
    time: Time,
}

/// The IOU with another text in it, signed before or after as it is.
fn with(iou: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = std::str::from_utf8(iou).expect("UTF-8");
    assert!(text.contains(from), "{from} in {text}");
    text.replacen(from, to, 1).into_bytes()
}

/// The bytes that an IOU's hash is of.
fn data_of(iou: &[u8]) -> &str {
    let text = std::str::from_utf8(iou).expect("UTF-8");
    let (data, _) = text.split_once(",\"hash\":").expect("a hash after the data");
    data.strip_prefix("{\"data\":").expect("the data first")
}

impl Stage {
    fn new() -> Stage {
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(party);
        Stage { alice, bob, carol, ledger: Ledger::default(), time: now() }
    }

    /// What somebody sends of the unit of alice.
    fn pays(&self, from: &Party, to: &Party, amount: &str, change: impl Fn(&mut Draft)) -> Vec<u8> {
        let mut iou = draft(from, to, &self.alice, amount, &self.ledger.records.len().to_string());
        change(&mut iou);
        iou.sign(&from.secret)
    }

    /// Alice pays bob 10, with something else about it.
    fn issues(&self, change: impl Fn(&mut Draft)) -> Vec<u8> {
        self.pays(&self.alice, &self.bob, "10", change)
    }

    fn grants(&self, credit: &str) -> Vec<u8> {
        let granted = |iou: &mut Draft| iou.credit = Some(credit.into());
        self.pays(&self.alice, &self.bob, "0", granted)
    }

    /// Alice locks 5 for bob.
    fn locks(&mut self, puzzle: Option<Hash>) -> Pointer {
        let expiry = time("2026-06-01T00:00:00.000Z");
        let locker = Locker { active: None, expiry, puzzle, script: None };
        let iou = self.pays(&self.alice, &self.bob, "5", |iou| iou.locker = Some(locker.clone()));
        self.clears(iou);
        let (pointer, _) = self.ledger.locks.iter().next().expect("a lock");
        *pointer
    }

    /// Somebody takes what is locked there.
    fn takes(&self, who: &Party, output: Pointer, hashee: Option<&str>) -> Vec<u8> {
        let other = if who.address == self.bob.address { &self.alice } else { &self.bob };
        let hashee = hashee.map(str::to_owned);
        let solver = Solver { output, hashee };
        self.pays(who, other, "0", |iou| iou.solver = Some(solver.clone()))
    }

    fn clears(&mut self, iou: Vec<u8>) {
        self.ledger.post(&body(&[iou]), self.time).expect("what comes before clears");
    }

    fn refused(&mut self, request: &[u8]) -> Rejection {
        self.ledger.post(request, self.time).expect_err("the example is refused")
    }

    fn refuses(&mut self, iou: Vec<u8>) -> Rejection {
        self.refused(&body(&[iou]))
    }
}

/// What a row acts out.
fn acted(code: Code) -> Option<Rejection> {
    let mut stage = Stage::new();
    let s = &mut stage;
    let fine = s.issues(|_| {});
    Some(match code {
        Code::Malformed => s.refuses(with(&fine, r#""amount":"10""#, r#""amount":10"#)),
        // Nothing of this version leads to it.
        Code::UnsupportedField => return None,
        Code::TooLarge => {
            let ious = (0..101).map(|n| s.issues(|iou| iou.random = format!("random-{n}")));
            s.refused(&body(&ious.collect::<Vec<_>>()))
        }
        Code::UnsupportedHash => s.refuses(with(&fine, "sha3-256", "md5")),
        Code::HashMismatch => s.refuses(with(&fine, r#""amount":"10""#, r#""amount":"100""#)),
        Code::WrongDomain => s.refuses(s.issues(|iou| iou.domain = "one.example".into())),
        Code::UnsupportedScheme => s.refuses(with(&fine, "eddsa-ed25519", "rsa")),
        Code::AddressInvalid => {
            let target = s.bob.address.to_string();
            let last = if target.ends_with('x') { "y" } else { "x" };
            let mistyped = format!("{}{last}", &target[..target.len() - 1]);
            let iou = with(&fine, &target, &mistyped);
            let [before, after] = [&fine, &iou].map(|iou| Hash::sha3(data_of(iou).as_bytes()));
            s.refuses(with(&iou, &before.to_string(), &after.to_string()))
        }
        Code::KeyAddressMismatch => {
            let [alice, bob] = [&s.alice, &s.bob].map(|who| hex_string(&public_of(&who.secret)));
            s.refuses(with(&fine, &alice, &bob))
        }
        Code::SignatureMissing => {
            let unsigned = draft(&s.alice, &s.bob, &s.alice, "10", "0").unsigned();
            s.refuses(unsigned)
        }
        Code::SignatureInvalid => {
            let hash = Hash::sha3(data_of(&fine).as_bytes());
            let [right, wrong] = [&hash.0[..], hash.to_string().as_bytes()]
                .map(|message| hex_string(&sign_eddsa(&s.alice.secret, message)));
            s.refuses(with(&fine, &right, &wrong))
        }
        Code::PuzzleUnsolved => {
            let public = [&s.alice, &s.bob, &s.carol].map(|who| public_of(&who.secret).to_vec());
            let scheme = Scheme::EddsaEd25519;
            let members = public.map(|public| Identity { scheme, public, weight: 1 });
            let board = Puzzle::new(2, &members).expect("a puzzle");
            let mut iou = draft(&s.alice, &s.bob, &s.alice, "10", "0");
            iou.source = board.address();
            let iou = iou.unsigned_with(&[&board]);
            s.refuses(add_signature(&iou, &s.carol.secret).expect("signed"))
        }
        Code::IouAlreadyCleared => {
            s.clears(fine.clone());
            let rejection = s.refused(&body(&[fine, s.issues(|_| {})]));
            assert_eq!(rejection.record, Some(s.ledger.records[0].hash));
            rejection
        }
        Code::NotYetActive => {
            let tomorrow = time("2026-01-02T00:00:00.000Z");
            let iou = s.issues(|iou| iou.active = Some(tomorrow));
            let rejection = s.refuses(iou.clone());
            assert_eq!(rejection.limit, Some(tomorrow.to_string()));
            assert_eq!(rejection.actual, Some(s.time.to_string()));
            s.time = tomorrow;
            s.clears(iou);
            rejection
        }
        Code::Expired => {
            let yesterday = time("2025-12-31T00:00:00.000Z");
            let rejection = s.refuses(s.issues(|iou| iou.expiry = yesterday));
            assert_eq!(rejection.limit, Some(yesterday.to_string()));
            assert_eq!(rejection.actual, Some(s.time.to_string()));
            rejection
        }
        Code::ExpiryTooFar => {
            let rejection =
                s.refuses(s.issues(|iou| iou.expiry = time("2099-01-01T00:00:00.000Z")));
            assert_eq!(rejection.limit.as_deref(), Some("2036-01-09T00:00:00.000Z"), "3,660 days");
            rejection
        }
        Code::CreditNotByIssuer => {
            s.clears(fine);
            s.refuses(s.pays(&s.bob, &s.carol, "0", |iou| iou.credit = Some("-5".into())))
        }
        Code::CreditNotGranted => {
            s.clears(s.grants("-5"));
            s.refuses(s.grants("8"))
        }
        Code::LockNotFound => {
            let lock = s.locks(None);
            s.clears(s.takes(&s.bob, lock, None));
            s.refuses(s.takes(&s.bob, lock, None))
        }
        Code::LockNotYours => {
            let lock = s.locks(None);
            s.refuses(s.takes(&s.carol, lock, None))
        }
        Code::LockClosed => {
            let lock = s.locks(None);
            let rejection = s.refuses(s.takes(&s.alice, lock, None));
            assert_eq!(rejection.limit.as_deref(), Some("2026-06-01T00:00:00.000Z"));
            assert_eq!(rejection.actual, Some(s.time.to_string()));
            assert_eq!(rejection.retry().as_str(), "later");
            rejection
        }
        Code::LockUnsolved => {
            let lock = s.locks(Some(puzzle_of("sesame")));
            s.refuses(s.takes(&s.bob, lock, Some("open, wheat")))
        }
        Code::BalanceBelowMin => {
            s.clears(s.issues(|iou| iou.amount = "6".into()));
            let seven = s.pays(&s.bob, &s.carol, "7", |_| {});
            let rejection = s.refuses(seven);
            s.clears(s.pays(&s.bob, &s.carol, "6", |_| {}));
            rejection
        }
        Code::BalanceAboveMax => {
            s.clears(fine);
            s.clears(s.grants("-5"));
            s.refuses(s.pays(&s.bob, &s.alice, "12", |_| {}))
        }
        Code::AmountOverflow => {
            let nines = "9".repeat(60);
            let two = ["one", "two"].map(|note| {
                s.issues(|iou| (iou.amount, iou.random) = (nines.clone(), format!("random-{note}")))
            });
            s.refused(&body(&two))
        }
    })
}

/// What an example says: pointers, numbers and what is suggested. A limit or a value
/// that is told in words is compared above.
fn told(example: &str) -> BTreeMap<&'static str, Value> {
    let mut told = BTreeMap::new();
    let mut note = |what: &'static str, start: &str, is: fn(&str) -> bool| {
        let Some((_, rest)) = example.split_once(start) else { return };
        let end = rest.find([' ', ',', ';', ':']).unwrap_or(rest.len());
        let word = rest[..end].trim_end_matches('.');
        if is(word) {
            told.insert(what, json!(word));
        }
    };
    let number = |word: &str| word.parse::<f64>().is_ok();
    note("pointer", "pointer ", |word| word.starts_with('/'));
    note("limit", "limit ", number);
    note("actual", "actual ", number);
    note("value", "suggestion value ", number);
    if let Some((_, rest)) = example.split_once("suggestion [") {
        let (list, _) = rest.split_once(']').expect("the list ends");
        let list = serde_json::from_str(&format!("[{list}]")).expect("a list of JSON");
        told.insert("suggestion", list);
    }
    told
}

#[test]
fn every_example_is_refused_as_it_says() {
    let (mut compared, mut wrong) = (0, Vec::new());
    for code in Code::ALL {
        let Some(rejection) = acted(*code) else { continue };
        assert_eq!(rejection.code, *code, "{rejection}");
        let changes = &rejection.suggestion;
        let change = |change: &Change| json!({ "pointer": change.pointer, "value": change.value });
        for (what, said) in told(code.meaning().example) {
            let is = match what {
                "pointer" => json!(rejection.pointer),
                "limit" => json!(rejection.limit),
                "actual" => json!(rejection.actual),
                "value" => json!(changes.first().and_then(|change| change.value.as_ref())),
                _ => changes.iter().map(change).collect(),
            };
            if is != said {
                wrong.push(format!("{code}: {what} is {is}, and its page says {said}"));
            }
            compared += 1;
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    println!("{compared} facts of {} examples hold", Code::ALL.len() - 1);
    assert!(compared >= Code::ALL.len(), "{compared}");
}
