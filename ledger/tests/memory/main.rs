//! What an auditor's machine must hold: its accounts. If this failed, a log of
//! many accounts could be audited only where much memory is.

use cap::Cap;
use std::alloc::System;
use webwallet_ledger::state::State;
use webwallet_ledger::{AccountId, Address, Amount, Balance, Hash, Output, Record};

#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

const ACCOUNTS: usize = 200_000;
/// Holders to a unit, its issuer beside them.
const HOLDERS: usize = 9;
/// What the documentation promises, tree of units included.
const BYTES_AN_ACCOUNT_MAX: usize = 256;

fn address(n: usize) -> Address {
    Address::of_public(&n.to_le_bytes())
}

/// What each holder gets in a round.
const NET_CENTS: usize = 100_025;

/// Issuer and holder after a payment, as record `number` leaves them.
fn record(number: usize, unit: usize, holder: (usize, usize), issued: usize) -> Record {
    let output = |n: usize, sign: &str, cents: usize| {
        let account = AccountId { unit: address(unit), address: address(n) };
        let net = format!("{sign}{}.{:02}", cents / 100, cents % 100);
        let net = Amount::parse_signed(&net).expect("a decimal");
        Output { account, balance: Balance { net, ..Balance::initial(&account) }, sources: vec![] }
    };
    Record {
        number: number as u64,
        time: "2026-01-01T00:00:00.000Z".parse().expect("time"),
        hash: Hash::sha3(&number.to_le_bytes()),
        bytes: vec![],
        inputs: vec![],
        outputs: vec![output(unit, "-", issued), output(holder.0, "", holder.1)],
        locks: vec![],
        collects: vec![],
        credits: vec![],
    }
}

/// One test, because the allocator counts for the whole process.
#[test]
fn accounts_and_both_trees_fit_their_budget() {
    let before = MEMORY.allocated();
    let mut state = State::new();
    let mut number = 0;
    let mut worst = 0;
    // Twice: what is written again must not take more.
    for round in 1..=2 {
        for unit in (0..ACCOUNTS).step_by(HOLDERS + 1) {
            for place in 1..=HOLDERS {
                number += 1;
                let issued = NET_CENTS * (HOLDERS * (round - 1) + place);
                let holder = (unit + place, NET_CENTS * round);
                state.apply(&record(number, unit, holder, issued));
            }
        }
        state.roots();
        assert_eq!((state.accounts(), state.unbalanced().len()), (ACCOUNTS as u64, 0));
        let bytes = (MEMORY.allocated() - before) / ACCOUNTS;
        println!("round {round}: {bytes} bytes an account");
        worst = worst.max(bytes);
    }
    assert!(worst <= BYTES_AN_ACCOUNT_MAX, "{worst} bytes an account");
}
