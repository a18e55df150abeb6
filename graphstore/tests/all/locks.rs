//! What every engine promises of locks. If an engine forgot one, somebody would
//! lose what is in it; if it let one be used twice, there would be money from
//! nowhere.

use std::sync::Arc;

use webwallet_graphstore::store::{Batch, Committed, Loaded, Page, Store};
use webwallet_ledger::{Lock, Locker, Pointer, Request, Solver};

use crate::conformance::Engine;
use crate::payments::{account, batch, cleared, draft, loaded, pay, signed};

fn lock(from: &str, to: &str, amount: &str, note: &str) -> Request {
    let mut iou = draft(from, to, "ann", amount, note);
    let expiry = "2026-06-01T00:00:00.000Z".parse().expect("time");
    iou.locker = Some(Locker { active: None, expiry, puzzle: None, script: None });
    signed(&iou, from)
}

/// `who` takes it, and pays `amount` of it on to somebody.
fn take(who: &str, output: Pointer, to: &str, amount: &str, note: &str) -> Request {
    let mut iou = draft(who, to, "ann", amount, note);
    iou.solver = Some(Solver { output, hashee: None });
    signed(&iou, who)
}

/// The locks of a batch, in their order.
fn made(batch: &Batch) -> Vec<(Pointer, Lock)> {
    let locked = batch.records.iter().flat_map(|record| record.locked());
    locked.map(|(pointer, lock)| (pointer, lock.clone())).collect()
}

async fn of(store: &impl Store, who: &str, limit: u32) -> Vec<(Pointer, Lock)> {
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = store.locks_of(account("ann", who), after, limit).await.expect("locks of");
        let Some((last, _)) = page.last() else { return seen };
        assert!(page.len() <= limit as usize);
        after = Some(*last);
        seen.extend(page);
    }
}

pub async fn an_open_lock_is_there_for_both_and_a_used_one_for_nobody<E: Engine>() {
    let engine = E::start().await;
    let store = engine.open().await;
    let requests = [
        pay("ann", "ben", "ann", "10", "issue"),
        lock("ann", "ben", "5", "one"),
        lock("ben", "cid", "3", "two"),
        lock("ann", "ben", "0.50", "three"),
    ];
    let first = batch(&store, 1, &requests).await;
    assert_eq!(store.commit(&first).await.expect("commit"), Committed::Yes);
    let locks = made(&first);
    let [one, two, three] = &locks[..] else { panic!("three locks") };
    // One that was there is used, and one is made and used at once.
    let taking = [take("ben", one.0, "cid", "1", "take")];
    let second = batch(&store, 5, &taking).await;
    assert_eq!(store.commit(&second).await.expect("commit"), Committed::Yes);
    let mut view = loaded(&store, &[account("ann", "ann"), account("ann", "cid")], &[]).await;
    let made_now = cleared(&mut view, 6, &[lock("ann", "cid", "7", "four")]);
    let pointer = made_now[0].locked().next().expect("a lock").0;
    let used_now = cleared(&mut view, 7, &[take("cid", pointer, "ann", "0", "at once")]);
    let third = Batch::new(made_now.into_iter().chain(used_now).map(Arc::new).collect());
    assert_eq!(store.commit(&third).await.expect("commit"), Committed::Yes);

    let check = async |store: &E::Store| {
        let asked = [one.0, two.0, three.0, pointer, Pointer { index: 0, ..one.0 }];
        let open = store.locks(&asked).await.expect("locks");
        assert_eq!(open, [two.clone(), three.clone()].into_iter().collect());
        let mut both = vec![two.clone(), three.clone()];
        both.sort_unstable_by_key(|(pointer, _)| *pointer);
        for limit in [1, 2, 100] {
            assert_eq!(of(store, "ben", limit).await, both, "as target and as source");
            assert_eq!(of(store, "ann", limit).await, locks[2..]);
            assert_eq!(of(store, "cid", limit).await, locks[1..2]);
            assert!(of(store, "dot", limit).await.is_empty());
        }
        let elsewhere = store.locks_of(account("ben", "ben"), None, 10).await.expect("locks of");
        assert!(elsewhere.is_empty(), "in another unit");
        // What was taken is a source of the account, beside its output before.
        let page = Page { before: 0, skip: 0, limit: 10 };
        let outputs = store.outputs(account("ann", "ben"), page).await.expect("outputs");
        let nets: Vec<String> = outputs.iter().map(|o| o.output.balance.net.to_string()).collect();
        assert_eq!(nets, ["11", "7", "10"]);
        assert_eq!(outputs[0].output.sources, [outputs[1].pointer, one.0]);
        assert_eq!(outputs[1].output.sources, [outputs[2].pointer]);
        let outputs = store.outputs(account("ann", "cid"), page).await.expect("outputs");
        assert_eq!(outputs[0].output.sources, [outputs[1].pointer, pointer]);
    };
    check(&store).await;
    assert_eq!(store.commit(&third).await.expect("again"), Committed::Yes);
    check(&store).await;
    drop(store);
    check(&engine.open().await).await;
}

/// A page too short would hide a lock from the one whose money is in it.
pub async fn open_locks_are_listed_whole_on_pages_of_any_size<E: Engine>() {
    let engine = E::start().await;
    let store = engine.open().await;
    let first = batch(&store, 1, &[pay("ann", "ben", "ann", "100", "issue")]).await;
    assert_eq!(store.commit(&first).await.expect("commit"), Committed::Yes);
    let (mut open, mut number): (Vec<(Pointer, Lock)>, _) = (Vec::new(), 2);
    for round in 0..6 {
        let locks: Vec<_> =
            (0..8).map(|i| lock("ann", "ben", "1", &format!("{round} {i}"))).collect();
        let made_now = batch(&store, number, &locks).await;
        assert_eq!(store.commit(&made_now).await.expect("commit"), Committed::Yes);
        open.extend(made(&made_now));
        // Of old ones and new ones, every third is used.
        let (used, left) = open.drain(..).enumerate().partition::<Vec<_>, _>(|(i, _)| i % 3 == 0);
        let takes = used
            .iter()
            .map(|(i, (output, _))| take("ben", *output, "cid", "1", &format!("{round} took {i}")));
        let takes: Vec<_> = takes.collect();
        let used_now = batch(&store, number + 8, &takes).await;
        assert_eq!(store.commit(&used_now).await.expect("commit"), Committed::Yes);
        number += 8 + takes.len() as u64;
        open.extend(left.into_iter().map(|(_, lock)| lock));
        open.sort_by_key(|(pointer, _)| *pointer);
        for limit in [1, 2, 7, 100] {
            assert_eq!(of(&store, "ben", limit).await, open, "round {round}, {limit} a page");
        }
    }
}

/// Not only the account's output, also the lock itself must be there.
pub async fn a_lock_is_used_once_whatever_a_writer_believes<E: Engine>() {
    let engine = E::start().await;
    let store = engine.open().await;
    let first = batch(&store, 1, &[lock("ann", "ben", "5", "one")]).await;
    store.commit(&first).await.expect("commit");
    let (pointer, held) = made(&first).swap_remove(0);
    let people = ["ann", "ben", "cid"].map(|who| account("ann", who));
    // Sees everything as it is, but for the lock.
    let believes = |mut view: Loaded, pointer: Pointer| {
        view.locks.insert(pointer, held.clone());
        view
    };
    let take = |pointer, note: &str| [take("ben", pointer, "cid", "1", note)];
    let deposed = async |records: Vec<_>| {
        let batch = Batch::new(records.into_iter().map(Arc::new).collect());
        store.commit(&batch).await.expect("commit") == Committed::Deposed
    };
    // One that was never made.
    let nowhere = Pointer { index: 7, ..pointer };
    let mut view = believes(loaded(&store, &people, &[]).await, nowhere);
    assert!(deposed(cleared(&mut view, 2, &take(nowhere, "nowhere"))).await);
    // Twice in one batch.
    let mut view = believes(loaded(&store, &people, &[]).await, pointer);
    let once = cleared(&mut view, 2, &take(pointer, "once"));
    let mut view = believes(view, pointer);
    let twice = cleared(&mut view, 3, &take(pointer, "twice"));
    assert!(deposed(once.iter().cloned().chain(twice).collect()).await);
    assert_eq!(store.locks(&[pointer]).await.expect("locks").len(), 1);
    assert_eq!(store.head().await.expect("head").number, 1);
    // Once, and again.
    assert!(!deposed(once).await);
    let mut view = believes(loaded(&store, &people, &[]).await, pointer);
    let again = cleared(&mut view, 3, &take(pointer, "again"));
    assert!(deposed(again.clone()).await);
    drop(store);
    let store = engine.open().await;
    let again = Batch::new(again.into_iter().map(Arc::new).collect());
    assert_eq!(store.commit(&again).await.expect("commit"), Committed::Deposed);
    assert_eq!(store.head().await.expect("head").number, 2);
}

/// Two writers, one lock: exactly one of them may use it.
pub async fn of_racing_batches_exactly_one_uses_a_lock<E: Engine>() {
    let engine = E::start().await;
    let store = Arc::new(engine.open().await);
    for round in 0..10u64 {
        let making = [lock("ann", "ben", "1", &format!("{round}"))];
        let first = batch(&*store, round * 2 + 1, &making).await;
        store.commit(&first).await.expect("commit");
        let pointer = made(&first)[0].0;
        let mut batches = Vec::new();
        for racer in 0..4 {
            let (to, note) = (format!("racer {racer}"), format!("{round} {racer}"));
            let taking = [take("ben", pointer, &to, "1", &note)];
            batches.push(batch(&*store, round * 2 + 2, &taking).await);
        }
        let commit = |batch: Batch| {
            let store = store.clone();
            tokio::spawn(async move { store.commit(&batch).await.expect("commit") })
        };
        let racing: Vec<_> = batches.into_iter().map(commit).collect();
        let mut won = 0;
        for outcome in racing {
            won += usize::from(outcome.await.expect("no panic") == Committed::Yes);
        }
        assert_eq!(won, 1, "round {round}");
        assert!(store.locks(&[pointer]).await.expect("locks").is_empty());
    }
}
