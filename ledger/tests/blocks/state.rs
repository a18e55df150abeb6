//! The state after records: accounts, units, and that nothing is made of nothing.

use std::collections::BTreeSet;

use proptest::prelude::*;
use sha3::{Digest, Sha3_256};
use webwallet_ledger::merkle::Node;
use webwallet_ledger::state::{EMPTY, State, account_key, account_value, unit_key, unit_value};
use webwallet_ledger::{Account, AccountId, Amount, Hash, Record};

use crate::party::{Ledger, Party, body, draft, now, party};
use crate::trees::defined;

fn people() -> Vec<Party> {
    ["ann", "ben", "cid", "dot"].map(party).into()
}

/// Payments (from, to, unit, amount) that clear or not; the records of those that do.
fn cleared(payments: &[(usize, usize, usize, u32)]) -> Ledger {
    let (people, mut ledger) = (people(), Ledger::default());
    for (note, (from, to, unit, amount)) in payments.iter().enumerate() {
        let (source, target) = (&people[*from], &people[*to]);
        let iou = draft(source, target, &people[*unit], &amount.to_string(), &note.to_string());
        let _ = ledger.post(&body(&[iou.sign(&source.secret)]), now());
    }
    ledger
}

fn replayed<'r>(records: impl IntoIterator<Item = &'r Record>) -> State {
    let mut state = State::new();
    records.into_iter().for_each(|record| state.apply(record));
    state
}

fn number_of(ledger: &Ledger, id: &AccountId) -> u64 {
    let touches = |record: &&Record| record.outputs.iter().any(|output| output.account == *id);
    ledger.records.iter().rev().find(touches).expect("it was touched").number
}

/// Both roots from the last accounts alone, by the definition.
fn roots_of(ledger: &Ledger) -> (Node, Node) {
    let accounts = ledger.accounts.iter().map(|(id, account)| {
        let value = account_value(id, account, number_of(ledger, id));
        (account_key(id), Hash::sha3(&value).0)
    });
    let units: BTreeSet<_> = ledger.accounts.keys().map(|id| id.unit).collect();
    let units = units.iter().map(|unit| {
        let count = ledger.accounts.keys().filter(|id| id.unit == *unit).count() as u64;
        let issuer = ledger.accounts.get(&AccountId { unit: *unit, address: *unit });
        let supply = issuer.map_or_else(Amount::zero, |account| account.balance.net.negated());
        (unit_key(unit), Hash::sha3(&unit_value(unit, count, &Amount::zero(), &supply)).0)
    });
    (defined(&accounts.collect()), defined(&units.collect()))
}

fn payments() -> impl Strategy<Value = Vec<(usize, usize, usize, u32)>> {
    let payment = (0..4usize, 1..4usize, 0..3usize, 1..50u32)
        .prop_map(|(from, step, unit, amount)| (from, (from + step) % 4, unit, amount));
    prop::collection::vec(payment, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// The server while it clears and an auditor years later must come to the
    /// same roots, and to the same accounts.
    #[test]
    fn replay_comes_to_the_state_of_the_accounts(payments in payments(), sealed in 1..7usize) {
        let ledger = cleared(&payments);
        let mut live = State::new();
        for block in ledger.records.chunks(sealed) {
            block.iter().for_each(|record| live.apply(record));
            live.roots();
        }
        let mut replay = replayed(&ledger.records);
        prop_assert_eq!(live.roots(), roots_of(&ledger));
        prop_assert_eq!(replay.roots(), roots_of(&ledger));
        prop_assert_eq!(replay.accounts(), ledger.accounts.len() as u64);
        prop_assert_eq!(replay.unbalanced().len(), 0);
        let outputs: usize = ledger.records.iter().map(|record| record.outputs.len()).sum();
        prop_assert_eq!(replay.changes(), outputs as u64);
        let (accounts, units) = replay.roots();
        for (id, account) in &ledger.accounts {
            prop_assert_eq!(replay.account(id), Some(account.clone()));
            prop_assert_eq!(replay.number(id), Some(number_of(&ledger, id)));
            let proof = replay.prove_account(id);
            prop_assert_eq!(proof.check(&account_key(id), &accounts), Ok(()));
            prop_assert_eq!(proof.value, Some(account_value(id, account, number_of(&ledger, id))));
        }
        for person in people() {
            let unit = person.address;
            let proof = replay.prove_unit(&unit);
            prop_assert_eq!(proof.check(&unit_key(&unit), &units), Ok(()));
            prop_assert_eq!(proof.value.is_some(), ledger.accounts.keys().any(|id| id.unit == unit));
        }
    }

    /// A server that starts from what it kept must go on as if it never stopped.
    #[test]
    fn pieces_make_the_state_again(payments in payments(), at in any::<prop::sample::Index>()) {
        let ledger = cleared(&payments);
        let at = at.index(ledger.records.len() + 1);
        let before = replayed(&ledger.records[..at]);
        let pieces: Vec<_> = before.pieces().collect();
        let mut again = State::new();
        for piece in pieces.iter().rev() {
            prop_assert!(piece.len() <= 512 && again.add_piece(piece));
        }
        prop_assert_eq!(again.pieces().collect::<Vec<_>>(), pieces);
        prop_assert_eq!(again.changes(), 0);
        prop_assert_eq!(again.roots(), before.clone().roots());
        ledger.records[at..].iter().for_each(|record| again.apply(record));
        prop_assert_eq!(again.roots(), roots_of(&ledger));
        for (id, account) in &ledger.accounts {
            prop_assert_eq!(again.account(id), Some(account.clone()));
        }
        prop_assert_eq!(again.unbalanced().len(), 0);
    }

    /// Money out of nothing shows in the sum of its unit, and in no other's.
    #[test]
    fn a_unit_that_does_not_sum_to_zero_is_named(payments in payments(), at in any::<prop::sample::Index>()) {
        let mut records = cleared(&payments).records;
        prop_assume!(!records.is_empty());
        let at = at.index(records.len());
        let output = &mut records[at].outputs[0];
        let (id, one) = (output.account, Amount::parse("1").expect("one"));
        output.balance.net = output.balance.net.plus(&one);
        // Until the account is written again, from its right balance.
        let mut state = replayed(&records[..=at]);
        prop_assert_eq!(state.unbalanced(), vec![(id.unit, one)]);
        // It is told once, as long as it stays so.
        prop_assert_eq!(state.unbalanced(), vec![]);
        let healed = records[at + 1..].iter().any(|r| r.outputs.iter().any(|o| o.account == id));
        prop_assert_eq!(replayed(&records).unbalanced().len(), usize::from(!healed));
    }
}

/// A second implementation must hash exactly these bytes.
#[test]
fn keys_and_values_are_those_described() {
    let ledger = cleared(&[(0, 1, 0, 10)]);
    let (ann, ben) = (party("ann").address, party("ben").address);
    let id = AccountId { unit: ann, address: ben };
    let account: &Account = &ledger.accounts[&id];
    let key: Node = Sha3_256::digest(format!("account\0{ann}\0{ben}")).into();
    assert_eq!(account_key(&id), key);
    let record = ledger.records[0].hash;
    assert_eq!(
        String::from_utf8(account_value(&id, account, 1)).expect("UTF-8"),
        format!(
            r#"{{"address":"{ben}","max":"Infinity","min":"0","net":"10","number":"1","output":"{record}::1","unit":"{ann}"}}"#
        )
    );
    let key: Node = Sha3_256::digest(format!("unit\0{ann}")).into();
    assert_eq!(unit_key(&ann), key);
    let mut state = replayed(&ledger.records);
    let proof = state.prove_unit(&ann);
    assert_eq!(
        String::from_utf8(proof.value.expect("a unit")).expect("UTF-8"),
        format!(r#"{{"accounts":"2","locked":"0","supply":"10","unit":"{ann}"}}"#)
    );
    assert_eq!(state.supply(&ann).to_string(), "10");
}

/// Nothing is there before the first record, and that can be shown too.
#[test]
fn the_empty_state_proves_absence() {
    let mut state = State::new();
    assert_eq!(state.roots(), (EMPTY, EMPTY));
    let ann = party("ann").address;
    let id = AccountId { unit: ann, address: ann };
    assert_eq!(state.account(&id), None);
    let proof = state.prove_account(&id);
    assert_eq!((proof.check(&account_key(&id), &EMPTY), proof.value), (Ok(()), None));
    assert_eq!(state.prove_unit(&ann).check(&unit_key(&ann), &EMPTY), Ok(()));
}

/// Damaged files must not stop a server, and never give it an account that it
/// cannot read.
#[test]
fn what_is_no_piece_is_refused() {
    let ledger = cleared(&[(0, 1, 0, 10)]);
    for piece in replayed(&ledger.records).pieces() {
        let mut state = State::new();
        for length in 0..piece.len() {
            assert!(!state.add_piece(&piece[..length]), "{length} bytes");
            let mut changed = piece.clone();
            changed[length] ^= 1;
            assert!(!state.add_piece(&changed), "byte {length}");
        }
        assert!(!state.add_piece(&[&piece[..], b" "].concat()));
        // A right sum does not make it one.
        let body = &piece[..piece.len() - 8];
        for wrong in [&body[..60], &[b"x", &body[1..]].concat(), &[body, b" "].concat()] {
            let sum = Hash::sha3(wrong).0;
            assert!(!state.add_piece(&[wrong, &sum[..8]].concat()));
        }
        assert_eq!(state.roots(), (EMPTY, EMPTY));
    }
}

/// A circle of debts in a unit whose issuer never paid: accounts, but no supply.
#[test]
fn a_circle_makes_accounts_without_supply() {
    let people = people();
    let circle = [(0, 1), (1, 2), (2, 0)].map(|(from, to)| {
        draft(&people[from], &people[to], &people[3], "5", "circle").sign(&people[from].secret)
    });
    let mut ledger = Ledger::default();
    ledger.post(&body(&circle), now()).expect("cleared");
    let mut state = replayed(&ledger.records);
    let unit = people[3].address;
    assert_eq!(state.roots(), roots_of(&ledger));
    assert_eq!(
        state.prove_unit(&unit).value,
        Some(unit_value(&unit, 3, &Amount::zero(), &Amount::zero())),
    );
}
