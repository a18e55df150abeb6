//! What every engine promises of units. If an engine counted wrong, everybody who
//! holds a unit would be told that there is more or less of it than there is.

use std::collections::BTreeSet;

use webwallet_graphstore::store::{Committed, Store, Totals};
use webwallet_ledger::{Address, Amount};

use crate::conformance::Engine;
use crate::life::{Life, UNITS};
use crate::payments::{address, batch, pay};

async fn says_what_is_counted(store: &impl Store, life: &Life) {
    for name in UNITS {
        let (unit, holders) = life.recount(name);
        assert_eq!(store.unit(address(name)).await.expect("unit"), unit, "unit {name}");
        let listed = store.holders(address(name), None, 0, 100).await.expect("holders");
        assert_eq!(listed, holders, "holders of {name}");
    }
}

pub async fn a_unit_comes_to_what_its_accounts_and_locks_do<E: Engine>() {
    let engine = E::start().await;
    let mut store = engine.open().await;
    let nobody = store.unit(address("zoe")).await.expect("unit");
    assert_eq!((nobody.supply, nobody.totals), (Amount::zero(), Totals::default()));
    let mut life = Life::new(1);
    for round in 0..24 {
        let batch = life.batch(round % 5 + 1);
        for _ in 0..2 {
            // Sent again, it counts no more.
            assert_eq!(store.commit(&batch).await.expect("commit"), Committed::Yes);
        }
        says_what_is_counted(&store, &life).await;
        if round % 8 == 7 {
            drop(store);
            store = engine.open().await;
            says_what_is_counted(&store, &life).await;
        }
    }
    let totals = |name| life.recount(name).0.totals;
    let whole = UNITS.map(totals).into_iter().fold(Totals::default(), |sum, unit| sum.plus(&unit));
    assert!(whole.locked.is_positive() && whole.credit.is_positive(), "{whole:?}");
    assert_eq!((totals("nobody").accounts, life.recount("nobody").0.supply), (3, Amount::zero()));
}

/// Whoever pays a dividend to all holders must pay nobody twice, and leave nobody out.
pub async fn the_holders_of_a_unit_are_listed_once_in_order_under_inserts<E: Engine>() {
    let engine = E::start().await;
    let store = engine.open().await;
    let many = |from: u64, count: u64| -> Vec<_> {
        let name = |i: u64| format!("holder {i}");
        (from..from + count).map(|i| pay("ann", &name(i), "ann", "1", &name(i))).collect()
    };
    store.commit(&batch(&store, 1, &many(1, 200)).await).await.expect("commit");
    let mut next = 201;
    for limit in [1, 7, 100, 1_000] {
        let there: BTreeSet<Address> = listed(&store, 0, 1_000).await.into_iter().collect();
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = store.holders(address("ann"), after, 0, limit).await.expect("holders");
            let Some((last, _)) = page.last() else { break };
            assert!(page.len() <= limit as usize);
            after = Some(*last);
            seen.extend(page.iter().map(|(address, _)| *address));
            if seen.len() % 20 == 0 || limit > 1 {
                store.commit(&batch(&store, next, &many(next, 1)).await).await.expect("commit");
                next += 1;
            }
        }
        assert!(seen.is_sorted_by(|one, two| one < two), "pages of {limit}");
        let all: BTreeSet<Address> = seen.into_iter().collect();
        assert!(there.is_subset(&all), "pages of {limit}");
        assert!(there.contains(&address("ann")) && there.len() as u64 <= next);
    }
    let all = listed(&store, 0, 1_000).await;
    assert_eq!(listed(&store, 3, 5).await, all[3..8]);
    assert!(listed(&store, 10_000, 5).await.is_empty());
}

async fn listed(store: &impl Store, skip: u64, limit: u32) -> Vec<Address> {
    let page = store.holders(address("ann"), None, skip, limit).await.expect("holders");
    page.into_iter().map(|(address, _)| address).collect()
}
