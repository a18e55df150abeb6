//! What every engine of Graphstore promises, shown on each of them. A new
//! engine is one more line at the end of this file.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use webwallet_graphstore::store::{Batch, Committed, Error, Head, Intended, Intent, Page, Store};
use webwallet_ledger::{Address, Amount, Hash, History, Pointer, Record, Request, Time};

use crate::graph::Alone;
use crate::locks::{
    a_lock_is_used_once_whatever_a_writer_believes,
    an_open_lock_is_there_for_both_and_a_used_one_for_nobody,
    of_racing_batches_exactly_one_uses_a_lock, open_locks_are_listed_whole_on_pages_of_any_size,
};
use crate::payments::{DOMAIN, account, address, batch, pay, time};
use crate::units::{
    a_unit_comes_to_what_its_accounts_and_locks_do,
    the_holders_of_a_unit_are_listed_once_in_order_under_inserts,
};

/// An engine for a test, and the way to open it again.
pub trait Engine: Sized {
    type Store: Store;
    async fn start() -> Self;
    async fn open(&self) -> Self::Store;
}

/// A new server would begin with payments that nobody made.
async fn an_empty_store_knows_nothing<E: Engine>() {
    let engine = E::start().await;
    let store = engine.open().await;
    assert_eq!(store.head().await.expect("head"), Head::default());
    assert!(store.intents(0, 10).await.expect("intents").is_empty());
    assert_eq!(store.numbered(1).await.expect("numbered"), None);
    assert_eq!(store.named(Hash::sha3(b"x")).await.expect("named"), None);
    assert!(store.cleared(0, 10).await.expect("cleared").is_empty());
    let loaded = store.load(&[account("a", "b")], &[Hash::sha3(b"x")]).await.expect("load");
    assert!(loaded.accounts.is_empty() && loaded.ious.is_empty());
    assert!(store.accounts(address("a"), None, 0, 10).await.expect("accounts").is_empty());
}

/// Every question about three payments has its answer.
async fn answers(store: &impl Store, batch: &Batch) {
    let [one, two, three] = &batch.records[..] else { panic!("three records") };
    let head = store.head().await.expect("head");
    assert_eq!((head.number, head.time, head.intent), (3, Some(time()), None));
    assert_eq!(head.domain.as_deref(), Some(DOMAIN));
    for record in &batch.records {
        let numbered = store.numbered(record.number).await.expect("numbered").expect("there");
        assert_eq!((numbered.hash, &numbered.bytes), (record.hash, &record.bytes));
        assert_eq!(store.named(record.hash).await.expect("named"), Some(numbered));
    }
    let after = |n, limit| async move {
        let records = store.cleared(n, limit).await.expect("cleared");
        records.into_iter().map(|record| record.number).collect::<Vec<_>>()
    };
    assert_eq!(after(0, 10).await, [1, 2, 3]);
    assert_eq!(after(1, 1).await, [2]);
    assert!(after(3, 10).await.is_empty());

    let (issuer, ben) = (account("ann", "ann"), account("ann", "ben"));
    let ious = [one.inputs[0], Hash::sha3(b"never sent")];
    let loaded = store.load(&[issuer, ben, account("ben", "ann")], &ious).await.expect("load");
    assert_eq!(loaded.accounts.len(), 2);
    assert_eq!(loaded.accounts[&issuer].balance.net.to_string(), "-10.5");
    assert_eq!(loaded.accounts[&ben].balance.net.to_string(), "6.5");
    assert_eq!(loaded.accounts[&ben].output.record, three.hash);
    let at = loaded.record_of(&one.inputs[0]).expect("it is in the first record");
    assert_eq!((at.number, at.hash, at.inputs), (1, one.hash, 1));
    assert_eq!(loaded.record_of(&ious[1]), None);

    let page = |before, skip, limit| Page { before, skip, limit };
    let chain = |page| async move {
        let outputs = store.outputs(ben, page).await.expect("outputs");
        outputs
            .iter()
            .map(|placed| (placed.number, placed.output.balance.net.to_string()))
            .collect::<Vec<_>>()
    };
    let three_of_ben = [(3, "6.5".into()), (2, "6".into()), (1, "10".into())];
    assert_eq!(chain(page(0, 0, 10)).await, three_of_ben);
    assert_eq!(chain(page(3, 0, 1)).await, three_of_ben[1..2]);
    assert_eq!(chain(page(0, 1, 10)).await, three_of_ben[1..]);
    assert!(chain(page(1, 0, 10)).await.is_empty());
    let newest = &store.outputs(ben, page(0, 0, 1)).await.expect("outputs")[0];
    assert_eq!(newest.pointer, loaded.accounts[&ben].output);
    assert_eq!(newest.output.sources[0].record, two.hash);

    let accounts = store.accounts(address("ben"), None, 0, 10).await.expect("accounts");
    assert_eq!(accounts.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [ben]);
}

/// Somebody's payment would be gone, or not be found by one of the ways that people ask for it.
async fn a_commit_is_there_for_every_question_and_after_reopening<E: Engine>() {
    let engine = E::start().await;
    let store = engine.open().await;
    let requests = [
        pay("ann", "ben", "ann", "10", "one"),
        pay("ben", "cid", "ann", "4", "two"),
        pay("ann", "ben", "ann", "0.5", "three"),
    ];
    let batch = batch(&store, 1, &requests).await;
    assert_eq!(store.commit(&batch).await.expect("commit"), Committed::Yes);
    answers(&store, &batch).await;
    drop(store);
    answers(&engine.open().await, &batch).await;
}

/// A writer whose answer was lost could not ask again without paying twice.
async fn the_same_batch_again_changes_nothing<E: Engine>() {
    let engine = E::start().await;
    let store = engine.open().await;
    let batch = batch(&store, 1, &[pay("ann", "ben", "ann", "10", "one")]).await;
    assert_eq!(store.commit(&batch).await.expect("commit"), Committed::Yes);
    assert_eq!(store.commit(&batch).await.expect("again"), Committed::Yes);
    drop(store);
    let store = engine.open().await;
    assert_eq!(store.commit(&batch).await.expect("after reopening"), Committed::Yes);
    assert_eq!(store.head().await.expect("head").number, 1);
}

/// A writer with a stale view must lose, whatever it believes.
async fn a_stale_batch_is_deposed_and_leaves_nothing<E: Engine>() {
    let engine = E::start().await;
    let store = engine.open().await;
    let issue = [pay("ann", "ben", "ann", "10", "one")];
    let spend_a = [pay("ben", "cid", "ann", "10", "a")];
    let spend_b = [pay("ben", "dot", "ann", "10", "b")];
    let first = batch(&store, 1, &issue).await;
    store.commit(&first).await.expect("commit");
    // Both made while ben still had his ten.
    let (winner, same_number) =
        (batch(&store, 2, &spend_a).await, batch(&store, 2, &spend_b).await);
    let next_number = batch(&store, 3, &spend_b).await;
    assert_eq!(store.commit(&winner).await.expect("commit"), Committed::Yes);
    assert_eq!(
        store.commit(&same_number).await.expect("commit"),
        Committed::Deposed,
        "number taken"
    );
    assert_eq!(
        store.commit(&next_number).await.expect("commit"),
        Committed::Deposed,
        "output spent"
    );
    // The first IOU once more, as a record of its own.
    let replayed = Record { number: 3, ..(*first.records[0]).clone() };
    let replayed = Batch::new(vec![Arc::new(replayed)]);
    assert_eq!(store.commit(&replayed).await.expect("commit"), Committed::Deposed, "IOU cleared");
    let gap = batch(&store, 4, &[pay("ann", "dot", "ann", "1", "gap")]).await;
    assert_eq!(store.commit(&gap).await.expect("commit"), Committed::Deposed, "a number left out");
    assert_eq!(store.head().await.expect("head").number, 2);
    let loaded = store.load(&[account("ann", "dot")], &[]).await.expect("load");
    assert!(loaded.accounts.is_empty());
}

/// Two writers, one output: exactly one of them may spend it.
async fn of_racing_batches_exactly_one_wins<E: Engine>() {
    let engine = E::start().await;
    let store = Arc::new(engine.open().await);
    let issue = batch(&*store, 1, &[pay("ann", "ben", "ann", "1", "issue")]).await;
    store.commit(&issue).await.expect("commit");
    for round in 0..20u64 {
        // ben gives his one to somebody, who gives it back.
        let mut racers = Vec::new();
        for racer in 0..4 {
            let name = format!("racer {racer}");
            let request = pay("ben", &name, "ann", "1", &format!("{round} {racer}"));
            racers.push((name, batch(&*store, round * 2 + 2, &[request]).await));
        }
        let commit = |batch: Batch| {
            let store = store.clone();
            tokio::spawn(async move { store.commit(&batch).await.expect("commit") })
        };
        let running: Vec<_> =
            racers.into_iter().map(|(name, batch)| (name, commit(batch))).collect();
        let mut winners = Vec::new();
        for (name, outcome) in running {
            if outcome.await.expect("no panic") == Committed::Yes {
                winners.push(name);
            }
        }
        assert_eq!(winners.len(), 1, "round {round}");
        let back = pay(&winners[0], "ben", "ann", "1", &format!("{round} back"));
        let back = batch(&*store, round * 2 + 3, &[back]).await;
        assert_eq!(store.commit(&back).await.expect("commit"), Committed::Yes);
    }
}

/// A holder who reads page by page would miss a unit that he has, or see it twice.
async fn the_accounts_of_an_address_are_listed_in_order_of_unit<E: Engine>() {
    let engine = E::start().await;
    let store = engine.open().await;
    let issuers: Vec<String> = (0..12).map(|i| format!("issuer {i}")).collect();
    let requests: Vec<_> = issuers.iter().map(|unit| pay(unit, "ben", unit, "1", unit)).collect();
    store.commit(&batch(&store, 1, &requests).await).await.expect("commit");
    let mut units: Vec<Address> = issuers.iter().map(|unit| address(unit)).collect();
    units.sort_unstable();
    for limit in [1, 5, 12, 100] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = store.accounts(address("ben"), after, 0, limit).await.expect("accounts");
            let Some((last, _)) = page.last() else { break };
            assert!(page.len() <= limit as usize);
            after = Some(last.unit);
            seen.extend(page.iter().map(|(id, _)| id.unit));
        }
        assert_eq!(seen, units, "pages of {limit}");
    }
    for (after, skip, expected) in
        [(None, 3, &units[3..5]), (Some(units[1]), 8, &units[10..]), (None, 12, &[][..])]
    {
        let page = store.accounts(address("ben"), after, skip, 2).await.expect("accounts");
        let page: Vec<Address> = page.iter().map(|(id, _)| id.unit).collect();
        assert_eq!(page, expected, "{skip} passed over");
    }
}

/// Whoever reads a history while payments come in would miss some, or see them twice.
async fn a_long_chain_reads_newest_first_and_stays_put_under_inserts<E: Engine>() {
    let engine = E::start().await;
    let store = engine.open().await;
    let many = |from: u64, count: u64| -> Vec<Request> {
        (from..from + count)
            .map(|i| pay("ann", "ben", "ann", "1", &format!("payment {i}")))
            .collect()
    };
    store.commit(&batch(&store, 1, &many(1, 300)).await).await.expect("commit");
    let ben = account("ann", "ben");
    let (mut seen, mut before, mut next) = (Vec::new(), 0, 301);
    loop {
        let page = Page { before, skip: 0, limit: 70 };
        let outputs = store.outputs(ben, page).await.expect("outputs");
        let Some(last) = outputs.last() else { break };
        before = last.number;
        seen.extend(outputs.iter().map(|placed| placed.number));
        store.commit(&batch(&store, next, &many(next, 1)).await).await.expect("commit");
        next += 1;
    }
    assert!(seen.iter().copied().eq((1..=300).rev()));
}

fn intent(height: u64, cleared: u64, note: &str) -> Intent {
    Intent {
        height,
        cleared,
        time: Time::from_unix_ms(time().unix_ms() + height as i64),
        documents: vec!["a leaf".into(), "another".into()],
        block: format!("block {height} {note}").into(),
    }
}

/// Two blocks of one height, both signed, would be two histories.
async fn an_intent_is_stored_once_for_its_height<E: Engine>() {
    let engine = E::start().await;
    let store = engine.open().await;
    let store_one = |intent: Intent, quiet| {
        let store = &store;
        async move { store.intend(&[intent], quiet).await.expect("intend") }
    };
    let stored = |intent: &Intent| Intended::Stored(vec![intent.clone()]);
    let refused = |outcome: Intended| matches!(outcome, Intended::Refused(_));
    let genesis = intent(0, 0, "first");
    assert!(refused(store_one(intent(1, 0, "no block 0"), false).await));
    assert!(refused(store_one(intent(0, 1, "nothing has cleared"), false).await));
    assert_eq!(store_one(genesis.clone(), true).await, stored(&genesis));
    let requests = [1, 2, 3].map(|n| pay("ann", "ben", "ann", "1", &format!("payment {n}")));
    let batch = batch(&store, 1, &requests).await;
    assert_eq!(store.commit(&batch).await.expect("commit"), Committed::Yes);
    assert!(refused(store_one(intent(1, 0, "a record has cleared"), true).await));
    assert!(refused(store_one(intent(1, 4, "ahead"), false).await));
    assert!(refused(store_one(intent(2, 3, "a gap"), false).await));
    let one = intent(1, 2, "one");
    assert_eq!(store_one(one.clone(), false).await, stored(&one));
    assert_eq!(store_one(intent(1, 3, "another"), false).await, stored(&one));
    assert!(refused(store_one(intent(2, 1, "backwards"), false).await));
    let two = intent(2, 3, "two");
    assert_eq!(store_one(two.clone(), false).await, stored(&two));
    // Several at once: all of them or none, after those that are there.
    let gap = [intent(3, 3, "three"), intent(5, 3, "a gap")];
    assert!(refused(store.intend(&gap, false).await.expect("intend")));
    let backwards = [intent(3, 3, "three"), intent(4, 2, "backwards")];
    assert!(refused(store.intend(&backwards, false).await.expect("intend")));
    assert_eq!(store.head().await.expect("head").intent, Some(2));
    let early = Intent { time: time(), ..intent(3, 3, "before block 2") };
    assert!(refused(store_one(early, true).await));
    let quiet = intent(3, 3, "quiet");
    assert_eq!(store_one(quiet.clone(), true).await, stored(&quiet));
    let (four, five) = (intent(4, 3, "four"), intent(5, 3, "five"));
    let many = [quiet.clone(), four.clone(), five.clone()];
    let asked = [intent(3, 3, "another"), four.clone(), five.clone()];
    for _ in 0..2 {
        let stored = store.intend(&asked, false).await.expect("intend");
        assert_eq!(stored, Intended::Stored(many.to_vec()));
    }
    drop(store);
    let store = engine.open().await;
    let head = store.head().await.expect("head");
    assert_eq!((head.number, head.intent, head.time), (3, Some(5), Some(five.time)));
    let late = store.intend(&[intent(0, 3, "late")], false).await;
    assert_eq!(late.expect("intend"), stored(&genesis));
    let intents = [genesis, one, two, quiet, four, five];
    assert_eq!(store.intents(0, 10).await.expect("intents"), intents);
    assert_eq!(store.intents(1, 2).await.expect("intents"), intents[1..3]);
    assert!(store.intents(6, 2).await.expect("intents").is_empty());
    // What was committed before an intent is still the last batch.
    assert_eq!(store.commit(&batch).await.expect("again"), Committed::Yes);
}

/// What is sealed may be dropped here, but never what it decided.
async fn trimmed_records_stay_decided<E: Engine>() {
    let engine = E::start().await;
    let store = engine.open().await;
    let requests = [1, 2, 3].map(|n| pay("ann", "ben", "ann", "1", &format!("payment {n}")));
    let batch = batch(&store, 1, &requests).await;
    store.commit(&batch).await.expect("commit");
    for _ in 0..2 {
        store.trim(2).await.expect("trim");
        let [one, _, three] = &batch.records[..] else { panic!("three records") };
        let numbered = store.numbered(1).await.expect("numbered").expect("known");
        assert_eq!((numbered.number, numbered.hash), (1, one.hash));
        assert!(numbered.bytes.is_empty() || numbered.bytes == one.bytes);
        assert_eq!(store.named(one.hash).await.expect("named"), Some(numbered));
        let left = store.cleared(2, 10).await.expect("cleared");
        assert_eq!((left.len(), left[0].hash, &left[0].bytes), (1, three.hash, &three.bytes));
        match store.cleared(0, 10).await {
            Ok(all) => assert_eq!(all.len(), 3),
            Err(Error::Trimmed(upto)) => assert_eq!(upto, 2),
            Err(error) => panic!("{error}"),
        }
        let page = Page { before: 0, skip: 0, limit: 10 };
        let outputs = store.outputs(account("ann", "ben"), page).await.expect("outputs");
        let nets: Vec<String> = outputs.iter().map(|o| o.output.balance.net.to_string()).collect();
        assert_eq!(nets, ["3", "2", "1"]);
        let loaded = store.load(&[], &[one.inputs[0]]).await.expect("load");
        assert_eq!(loaded.record_of(&one.inputs[0]), Some(one.cleared()));
    }
}

/// Payments of a batch that is read while it is committed: a quarter of them to somebody
/// new, the others to eight who are there.
const MEANWHILE: u64 = 400;

fn meanwhile(first: u64) -> Vec<Request> {
    let pays = |number: u64| {
        let unit = ["ann", "bea", "cat", "dan"][(number % 4) as usize];
        let to = match number % 4 {
            0 => format!("new {number}"),
            _ => format!("holder {}", number / 4 % 8),
        };
        pay(unit, &to, unit, "1", &number.to_string())
    };
    (first..first + MEANWHILE).map(pays).collect()
}

/// Reads until there is nothing more to come, and once more. Answers what it was told
/// that outputs left.
async fn reads(store: &impl Store, done: &AtomicBool) -> Vec<(Pointer, Amount)> {
    let (bea, one) = (account("bea", "bea"), account("bea", "holder 1"));
    let page = |skip, limit| Page { before: 0, skip, limit };
    let (mut told, mut last, mut over) = (Vec::new(), 0, false);
    while !over {
        over = done.load(Ordering::SeqCst);
        let loaded = store.load(&[bea, one], &[]).await.expect("load");
        assert_eq!(loaded.accounts.len(), 2, "an account is missing");
        let listed = store.accounts(address("holder 1"), None, 0, 10).await.expect("accounts");
        assert_eq!(listed.len(), 3, "a list of accounts is too short");
        for account in loaded.accounts.into_values().chain(listed.into_iter().map(|(_, a)| a)) {
            told.push((account.output, account.balance.net));
        }
        let newest = store.outputs(one, page(0, 1)).await.expect("the newest output");
        assert_eq!(newest.len(), 1, "the newest output is missing");
        let chain = store.outputs(one, page(1, 9)).await.expect("outputs");
        assert_eq!(chain.len(), 9, "a page is too short");
        for pair in chain.windows(2) {
            assert_eq!(pair[0].output.sources, [pair[1].pointer], "an output was left out");
        }
        let outputs = newest.into_iter().chain(chain);
        told.extend(outputs.map(|placed| (placed.pointer, placed.output.balance.net)));
        let more = store.cleared(last, 1_000).await.expect("cleared");
        assert!(more.iter().map(|record| record.number).eq((last + 1..).take(more.len())));
        last += more.len() as u64;
        // Both may be told to ask again, but not once nothing is committed any more.
        match store.holders(address("bea"), None, 0, 100).await {
            Err(Error::Unavailable(_)) if !over => {}
            holders => {
                let holders = holders.expect("holders");
                let nets = holders.iter().map(|(_, balance)| &balance.net);
                let sum = nets.fold(Amount::zero(), |sum, net| sum.plus(net));
                assert_eq!((holders.len(), sum), (9, Amount::zero()), "not of one moment");
            }
        }
        match store.unit(address("ann")).await {
            Err(Error::Unavailable(_)) if !over => {}
            unit => {
                let unit = unit.expect("unit");
                let paid = (unit.totals.accounts - 1).to_string();
                assert_eq!(unit.supply.to_string(), paid, "not of one moment");
            }
        }
    }
    told
}

/// Somebody would be told that an account which has always had money does not exist, or
/// has what it never had.
async fn what_is_read_during_commits_is_as_one_of_them_left_it<E: Engine>() {
    let engine = E::start().await;
    let store = Arc::new(engine.open().await);
    let mut left = HashMap::new();
    let mut commit = async |number| {
        let batch = batch(&*store, number, &meanwhile(number)).await;
        for record in &batch.records {
            for (index, output) in (0..).zip(&record.outputs) {
                left.insert(Pointer { record: record.hash, index }, output.balance.net.clone());
            }
        }
        assert_eq!(store.commit(&batch).await.expect("commit"), Committed::Yes);
    };
    commit(1).await;
    let done = Arc::<AtomicBool>::default();
    let reader = |store: Arc<E::Store>, done: Arc<AtomicBool>| {
        tokio::spawn(async move { reads(&*store, &done).await })
    };
    let readers = [(); 2].map(|()| reader(store.clone(), done.clone()));
    for round in 1..8 {
        commit(1 + round * MEANWHILE).await;
    }
    done.store(true, Ordering::SeqCst);
    let mut told = Vec::new();
    for reader in readers {
        told.extend(reader.await.expect("what was read is right"));
    }
    println!("{} outputs were read during 7 commits", told.len());
    for (pointer, net) in told {
        assert_eq!(left.get(&pointer), Some(&net), "what {pointer} left");
    }
}

macro_rules! suite {
    ($name:ident, $engine:ident: $($case:ident)*) => {
        mod $name {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case::<super::$engine>().await;
            })*
        }
    };
}

macro_rules! every_case {
    ($name:ident, $engine:ident) => {
        suite! { $name, $engine:
            an_empty_store_knows_nothing
            a_commit_is_there_for_every_question_and_after_reopening
            the_same_batch_again_changes_nothing
            a_stale_batch_is_deposed_and_leaves_nothing
            of_racing_batches_exactly_one_wins
            the_accounts_of_an_address_are_listed_in_order_of_unit
            a_long_chain_reads_newest_first_and_stays_put_under_inserts
            an_intent_is_stored_once_for_its_height
            trimmed_records_stay_decided
            what_is_read_during_commits_is_as_one_of_them_left_it
            an_open_lock_is_there_for_both_and_a_used_one_for_nobody
            open_locks_are_listed_whole_on_pages_of_any_size
            a_lock_is_used_once_whatever_a_writer_believes
            of_racing_batches_exactly_one_uses_a_lock
            a_unit_comes_to_what_its_accounts_and_locks_do
            the_holders_of_a_unit_are_listed_once_in_order_under_inserts
        }
    };
}

struct Embedded {
    dir: tempfile::TempDir,
}

impl Engine for Embedded {
    type Store = webwallet_graphstore::Embedded;

    async fn start() -> Self {
        Embedded { dir: tempfile::tempdir().expect("a folder") }
    }

    async fn open(&self) -> Self::Store {
        webwallet_graphstore::Embedded::open(self.dir.path()).expect("open")
    }
}

every_case!(embedded, Embedded);

struct Neo4j {
    alone: Alone,
}

impl Engine for Neo4j {
    type Store = webwallet_graphstore::Neo4j;

    async fn start() -> Self {
        Neo4j { alone: Alone::start().await }
    }

    async fn open(&self) -> Self::Store {
        self.alone.open().await
    }
}

every_case!(neo4j, Neo4j);
