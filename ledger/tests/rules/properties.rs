//! What holds for every history, shown on random ones.

use proptest::prelude::*;
use webwallet_ledger::json::parse;
use webwallet_ledger::{Amount, Record};

use crate::party::{Ledger, Party, body, draft, now, party};

/// One random payment: who, to whom, in whose unit, how much, credit.
#[derive(Debug, Clone)]
struct Payment {
    from: usize,
    to: usize,
    unit: usize,
    cents: u32,
    credit: Option<i32>,
}

const PEOPLE: usize = 4;

fn payment() -> impl Strategy<Value = Payment> {
    let credit = proptest::option::weighted(0.2, -2000..2000i32);
    (0..PEOPLE, 1..PEOPLE, 0..2usize, 1..3000u32, credit)
        .prop_map(|(from, step, unit, cents, credit)| {
            let to = (from + step) % PEOPLE;
            // Credit from the issuer half of the time, so that some is granted.
            let from = if credit.is_some_and(|c| c % 2 == 0) && to != unit { unit } else { from };
            Payment { from, to, unit, cents, credit: credit.filter(|c| *c != 0) }
        })
        .prop_filter("to somebody else", |p| p.from != p.to)
}

fn signed(people: &[Party], payment: &Payment, note: usize) -> Vec<u8> {
    let amount = format!("{}.{:02}", payment.cents / 100, payment.cents % 100);
    let (from, to) = (&people[payment.from], &people[payment.to]);
    let mut iou = draft(from, to, &people[payment.unit], &amount, &note.to_string());
    iou.credit = payment
        .credit
        .map(|c| format!("{}{}.{:02}", if c < 0 { "-" } else { "" }, c.abs() / 100, c.abs() % 100));
    iou.sign(&from.secret)
}

fn people() -> Vec<Party> {
    ["ann", "ben", "cid", "dot"].map(party).into()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Zero-sum, limits and once-only, after every request of a random history.
    #[test]
    fn no_history_breaks_the_laws(requests in prop::collection::vec(prop::collection::vec(payment(), 1..4), 1..25)) {
        let people = people();
        let mut ledger = Ledger::default();
        let mut note = 0;
        for request in &requests {
            let ious: Vec<_> = request.iter().map(|payment| { note += 1; signed(&people, payment, note) }).collect();
            let before = ledger.records.len();
            let outcome = ledger.post(&body(&ious), now());
            prop_assert_eq!(ledger.records.len() - before, usize::from(outcome.is_ok()), "all or none");
            for unit in &people[..2] {
                let held = ledger.accounts.iter().filter(|(id, _)| id.unit == unit.address);
                let sum = held.clone().fold(Amount::zero(), |sum, (_, account)| sum.plus(&account.balance.net));
                prop_assert!(sum.is_zero(), "zero-sum");
                for (id, account) in held {
                    let balance = &account.balance;
                    prop_assert!(balance.min.as_ref().is_none_or(|min| *min <= balance.net && !min.is_positive()), "{id}");
                    prop_assert!(balance.max.as_ref().is_none_or(|max| *max >= balance.net), "{id}");
                }
            }
            if let Ok(record) = outcome {
                prop_assert_eq!(ledger.post(&body(&ious), now()), Ok(record.clone()), "a repeat is the same record");
                prop_assert_eq!(Record::parse(&record.bytes), Ok(record), "what is stored reads back");
            }
        }
        // Every output was made once and spent at most once.
        let mut spent = std::collections::HashSet::new();
        for output in ledger.records.iter().flat_map(|record| &record.outputs) {
            for source in &output.sources {
                prop_assert!(spent.insert(*source), "{source} spent twice");
            }
        }
    }

    /// The order of inputs changes neither the verdict nor any balance.
    #[test]
    fn the_order_of_inputs_does_not_matter(payments in prop::collection::vec(payment(), 2..8), turn in 1..7usize) {
        let people = people();
        let ious: Vec<_> = payments.iter().enumerate().map(|(i, payment)| signed(&people, payment, i)).collect();
        let mut turned = ious.clone();
        turned.rotate_left(turn % ious.len());
        let (mut one, mut two) = (Ledger::default(), Ledger::default());
        let (first, second) = (one.post(&body(&ious), now()), two.post(&body(&turned), now()));
        prop_assert_eq!(first.map(|_| ()).map_err(|r| r.code), second.map(|_| ()).map_err(|r| r.code));
        let balances = |ledger: &Ledger| {
            let mut all: Vec<_> = ledger.accounts.iter().map(|(id, a)| (*id, a.balance.clone())).collect();
            all.sort_by_key(|(id, _)| *id);
            all
        };
        prop_assert_eq!(balances(&one), balances(&two));
    }

    /// The canonical form is what the reference library writes, and a fixed point.
    #[test]
    fn the_canonical_form_is_that_of_rfc_8785(value in json()) {
        let text = serde_json::to_vec_pretty(&value).expect("JSON");
        let ours = parse(&text, 32).expect("within the profile").to_vec();
        prop_assert_eq!(&ours, &serde_json_canonicalizer::to_vec(&value).expect("JSON"));
        prop_assert_eq!(&parse(&ours, 32).expect("canonical JSON reads back").to_vec(), &ours);
    }

    /// No text of any kind makes reading panic.
    #[test]
    fn any_bytes_may_be_posted(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,60}") {
        for body in [&bytes[..], text.as_bytes()] {
            prop_assert!(webwallet_ledger::Request::parse(body, "example.net").is_err());
        }
    }

    /// One changed byte of a signed request never clears.
    #[test]
    fn a_changed_byte_never_clears(place in any::<prop::sample::Index>(), to in any::<u8>()) {
        let people = people();
        let payment = Payment { from: 0, to: 1, unit: 0, cents: 100, credit: None };
        let original = body(&[signed(&people, &payment, 1)]);
        let mut changed = original.clone();
        let at = place.index(changed.len());
        changed[at] = to;
        let same = |text: &[u8]| String::from_utf8_lossy(text).to_lowercase();
        // White space does not occur, and hex of a signature may change its case.
        prop_assume!(same(&changed) != same(&original));
        prop_assert!(Ledger::default().post(&changed, now()).is_err());
    }
}

/// Values of the profile, with keys and strings of every plane of Unicode.
fn json() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let text = || "(\\PC|[\"\\\\\u{0}-\u{1f}\u{7f}\u{2028}\u{ffff}😀דּ]){0,8}";
    let leaf =
        prop_oneof![text().prop_map(Value::String), (1..=i32::MAX as u32).prop_map(Value::from),];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::btree_map(text(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}
