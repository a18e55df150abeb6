//! What every engine of Hashtable promises, shown for each engine.
//!
//! A further engine needs an [`Engine`] that makes and reopens it, and one line
//! at `conformance!`.

use std::{collections::HashSet, future::Future, sync::Arc};

use bytes::Bytes;
use tempfile::TempDir;
use webwallet_hashtable::{Document, Embedded, Error, Redis, RedisSettings, Store};
use webwallet_ledger::hash::Types;
use webwallet_ledger::{Hash, Supplied};

/// A place where one engine keeps documents, empty at first.
trait Engine: Sized {
    type Store: Store;
    fn new() -> impl Future<Output = Self>;
    /// Opens it; called again only after the store opened before was dropped.
    fn open(&self) -> impl Future<Output = Self::Store>;
}

struct Folder(TempDir);

impl Engine for Folder {
    type Store = Embedded;

    async fn new() -> Folder {
        Folder(tempfile::tempdir().expect("a folder"))
    }

    async fn open(&self) -> Embedded {
        Embedded::open(self.0.path()).expect("it opens")
    }
}

/// A domain nobody else uses, in the Redis that all these tests share.
struct Domain(String);

impl Engine for Domain {
    type Store = Redis;

    async fn new() -> Domain {
        let folder = tempfile::tempdir().expect("a folder").keep();
        let name = folder.file_name().and_then(|name| name.to_str()).expect("a random name");
        std::fs::remove_dir(&folder).expect("it is empty");
        Domain(name.trim_start_matches('.').to_owned())
    }

    async fn open(&self) -> Redis {
        let url = webwallet_engines::redis().url.clone();
        let domain = self.0.clone();
        let settings = RedisSettings { url, password: None, domain, allow_lossy: false };
        Redis::open(settings).await.expect("it opens")
    }
}

macro_rules! conformance {
    ($($engine:ident: $name:ty)*) => { $(
        mod $engine {
            conformance! { cases $name:
                what_was_never_put_is_absent
                what_is_put_is_there_byte_for_byte
                answers_come_in_the_order_asked
                what_was_answered_is_there_after_reopening
                a_repeat_changes_nothing
                a_repeat_within_one_put_is_one_document
                of_two_documents_with_one_name_the_first_stays
                nothing_may_be_put_and_nothing_asked
                small_and_large_documents_are_kept
                many_writers_and_readers_at_once
                a_put_that_nobody_waits_for_does_no_harm
                nothing_is_evicted
                records_are_read_by_number_up_to_the_first_gap
                a_number_stays_that_of_its_record
                what_is_supplied_is_kept_apart_from_records
            }
        }
    )* };
    (cases $name:ty: $($case:ident)*) => { $(
        #[tokio::test(flavor = "multi_thread")]
        async fn $case() {
            super::$case(<$name as super::Engine>::new().await).await;
        }
    )* };
}

conformance! { embedded: super::Folder redis: super::Domain }

/// A document with this text in `data` and this `meta`.
fn with_meta(text: &str, meta: &str, number: u64) -> Document {
    let data = format!(r#"{{"text":"{text}"}}"#);
    let name = Hash::sha3(data.as_bytes());
    let whole = format!(
        r#"{{"data":{data},"hash":{{"steps":"stringify:data","types":"sha3-256","value":"{name}"}},"meta":{meta}}}"#
    );
    Document::new(name, whole.into(), number).expect("a document")
}

fn document(text: &str) -> Document {
    with_meta(text, "{}", 0)
}

fn record(number: u64) -> Document {
    with_meta(&format!("record {number}"), "{}", number)
}

async fn get(store: &impl Store, document: &Document) -> Option<Bytes> {
    let found = store.get(&[document.name()]).await.expect("readable");
    let [found] = found.try_into().expect("one answer for one question");
    found
}

/// A record would pass for kept that has no second copy.
async fn what_was_never_put_is_absent<E: Engine>(engine: E) {
    let store = engine.open().await;
    assert_eq!(get(&store, &document("a")).await, None);
    store.put(vec![document("a")]).await.expect("stored");
    assert_eq!(get(&store, &document("b")).await, None);
}

/// A record that comes back with another byte proves nothing any more.
async fn what_is_put_is_there_byte_for_byte<E: Engine>(engine: E) {
    let store = engine.open().await;
    let documents = vec![document("a"), record(1), record(2), with_meta("b", r#"{"c":"d"}"#, 0)];
    store.put(documents.clone()).await.expect("stored");
    for document in documents {
        assert_eq!(get(&store, &document).await.as_ref(), Some(document.bytes()));
    }
}

/// Whoever asks for one record would be shown another.
async fn answers_come_in_the_order_asked<E: Engine>(engine: E) {
    let store = engine.open().await;
    let (a, b, absent) = (document("a"), record(7), document("c"));
    store.put(vec![a.clone(), b.clone()]).await.expect("stored");
    let names = [b.name(), absent.name(), a.name(), b.name()];
    let [a, b] = [a, b].map(|document| Some(document.bytes().clone()));
    let found = store.get(&names).await.expect("readable");
    assert_eq!(found, [b.clone(), None, a, b]);
}

/// Records that were confirmed would be gone with a restart.
async fn what_was_answered_is_there_after_reopening<E: Engine>(engine: E) {
    for round in 0..3 {
        let store = engine.open().await;
        for n in 1..=round * 10 {
            assert!(get(&store, &record(n)).await.is_some(), "{n} in round {round}");
        }
        for n in round * 10 + 1..=round * 10 + 10 {
            store.put(vec![record(n)]).await.expect("stored");
        }
    }
}

/// A payment sent again after a lost answer would fail, or lose its record.
async fn a_repeat_changes_nothing<E: Engine>(engine: E) {
    for _ in 0..2 {
        let store = engine.open().await;
        for _ in 0..3 {
            store.put(vec![document("a"), record(1)]).await.expect("stored");
            store.put(vec![record(1)]).await.expect("stored");
            assert_eq!(get(&store, &record(1)).await.as_ref(), Some(record(1).bytes()));
            assert_eq!(get(&store, &document("a")).await.as_ref(), Some(document("a").bytes()));
        }
    }
}

/// Payments would not be confirmed because one of them was sent twice at once.
async fn a_repeat_within_one_put_is_one_document<E: Engine>(engine: E) {
    let store = engine.open().await;
    let documents = vec![record(1), document("a"), record(1), document("a")];
    store.put(documents.clone()).await.expect("stored");
    for document in documents {
        assert_eq!(get(&store, &document).await.as_ref(), Some(document.bytes()));
    }
}

/// Otherwise the signatures of a record could be exchanged after it was cleared.
async fn of_two_documents_with_one_name_the_first_stays<E: Engine>(engine: E) {
    let store = engine.open().await;
    for number in [0, 1] {
        let text = format!("of number {number}");
        let first = with_meta(&text, r#"{"a":"first"}"#, number);
        let second = with_meta(&text, r#"{"a":"second"}"#, number);
        assert_eq!(first.name(), second.name());
        store.put(vec![first.clone(), second.clone()]).await.expect("no error");
        store.put(vec![second]).await.expect("no error");
        assert_eq!(get(&store, &first).await.as_ref(), Some(first.bytes()));
    }
}

/// A sound server would call itself not ready: a get of nothing is how readiness is asked.
async fn nothing_may_be_put_and_nothing_asked<E: Engine>(engine: E) {
    let store = engine.open().await;
    store.put(Vec::new()).await.expect("nothing to do");
    assert!(store.get(&[]).await.expect("nothing to do").is_empty());
}

/// Records of some size would be lost or cut, and could not be proven.
async fn small_and_large_documents_are_kept<E: Engine>(engine: E) {
    let sizes = [0, 1, 127, 128, 129, 4_096, 61_440, 1_000_000];
    let documents: Vec<_> = sizes.iter().map(|&size| document(&"x".repeat(size))).collect();
    {
        let store = engine.open().await;
        store.put(documents.clone()).await.expect("stored");
    }
    let store = engine.open().await;
    for document in documents {
        assert_eq!(get(&store, &document).await.as_ref(), Some(document.bytes()));
    }
}

/// In a crowd somebody's confirmed record would be missing.
async fn many_writers_and_readers_at_once<E: Engine>(engine: E) {
    {
        let store = Arc::new(engine.open().await);
        let mut tasks = tokio::task::JoinSet::new();
        for n in 1..=500 {
            let store = store.clone();
            tasks.spawn(async move {
                // Neighbours put the same documents.
                let documents = vec![record(n), record(n + 1), document(&(n / 3).to_string())];
                store.put(documents.clone()).await.expect("stored");
                for document in documents {
                    let found = get(&*store, &document).await;
                    assert_eq!(found.as_ref(), Some(document.bytes()), "readable at once");
                }
            });
        }
        tasks.join_all().await;
    }
    let store = engine.open().await;
    for n in 1..=501 {
        assert_eq!(get(&store, &record(n)).await.as_ref(), Some(record(n).bytes()));
    }
}

/// Clients that hang up would take the records of those who stay.
async fn a_put_that_nobody_waits_for_does_no_harm<E: Engine>(engine: E) {
    let store = Arc::new(engine.open().await);
    for n in 1..=100 {
        let put = tokio::spawn({
            let store = store.clone();
            async move { store.put(vec![record(n)]).await }
        });
        tokio::task::yield_now().await;
        put.abort();
    }
    let all: Vec<_> = (1..=100).map(record).collect();
    store.put(all.clone()).await.expect("stored");
    for document in all {
        assert_eq!(get(&*store, &document).await.as_ref(), Some(document.bytes()));
    }
}

/// More than any buffer or cache holds.
async fn nothing_is_evicted<E: Engine>(engine: E) {
    let filling = "filling ".repeat(5_000);
    let documents: Vec<_> =
        (1..=1_000).map(|n| with_meta(&format!("{n} {filling}"), "{}", n)).collect();
    {
        let store = engine.open().await;
        for group in documents.chunks(100) {
            store.put(group.to_vec()).await.expect("stored");
        }
    }
    let store = engine.open().await;
    let names: Vec<_> = documents.iter().map(Document::name).collect();
    assert_eq!(names.iter().collect::<HashSet<_>>().len(), 1_000);
    for (names, documents) in names.chunks(100).zip(documents.chunks(100)) {
        let found = store.get(names).await.expect("readable");
        let expected: Vec<_> = documents.iter().map(|d| Some(d.bytes().clone())).collect();
        assert!(found == expected, "every byte of 40 MB");
    }
}

/// Custom data with this text, named by this function.
fn custom(data: &str, types: Types) -> Document {
    let (data, types, value) = (data.as_bytes(), types.as_str(), types.digest(data.as_bytes()));
    let hash = format!(r#"{{"steps":"stringify:data","types":"{types}","value":"{value}"}}"#);
    let whole = [b"{\"data\":", data, b",\"hash\":", hash.as_bytes(), b",\"meta\":{}}"].concat();
    Supplied::of_document(&whole).expect("custom data").into()
}

/// Anybody may supply documents. If one could stand where a record is to stand, a
/// payment would lose its second copy; if one could be read as a record, it would
/// look as if it had cleared.
async fn what_is_supplied_is_kept_apart_from_records<E: Engine>(engine: E) {
    let text = r#"{"text":"the data of both"}"#;
    let own = with_meta("the data of both", r#"{"a":"signature"}"#, 7);
    let of = |types| custom(text, types);
    let supplied = [of(Types::Sha3), of(Types::Sha256), of(Types::Sha256Twice)];
    assert_eq!(supplied[0].name(), own.name());
    {
        let store = engine.open().await;
        let found = async |name| store.supplied(name).await.expect("readable");
        for document in &supplied {
            assert_eq!(found(document.name()).await, None);
            for _ in 0..2 {
                store.put(vec![document.clone()]).await.expect("stored");
                assert_eq!(found(document.name()).await.as_ref(), Some(document.bytes()));
            }
            assert_eq!(store.get(&[document.name()]).await.expect("readable"), [None]);
        }
        assert_eq!(store.highest().await.expect("highest"), 0);
        // In one put, in any order.
        store.put(vec![supplied[0].clone(), own.clone()]).await.expect("stored");
    }
    let store = engine.open().await;
    assert_eq!(get(&store, &own).await.as_ref(), Some(own.bytes()));
    for document in supplied {
        let found = store.supplied(document.name()).await.expect("readable");
        assert_eq!(found.as_ref(), Some(document.bytes()));
    }
    let other = record(8);
    store.put(vec![other.clone()]).await.expect("stored");
    assert_eq!(store.supplied(other.name()).await.expect("readable"), None);
    assert_eq!(store.numbered(6, 10).await.expect("numbered"), [own, other]);
}

/// A Graphstore that went back to an older backup gives numbers again: what it clears
/// then was spent before, and must not be answered as cleared.
async fn a_number_stays_that_of_its_record(engine: impl Engine) {
    let store = engine.open().await;
    let first = record(1);
    store.put(vec![first.clone(), record(3)]).await.expect("put");
    drop(store);
    let store = engine.open().await;
    let other = with_meta("of another history", "{}", 1);
    let fresh = record(4);
    let (refused, taken, repeated) = tokio::join!(
        store.put(vec![record(2), other.clone()]),
        store.put(vec![fresh.clone()]),
        store.put(vec![first.clone()]),
    );
    assert!(matches!(refused, Err(Error::Taken(1))), "{refused:?}");
    taken.and(repeated).expect("others are none the worse");
    let refused = store.put(vec![other]).await;
    assert!(matches!(refused, Err(Error::Taken(1))), "also the second time: {refused:?}");
    store.put(vec![record(2)]).await.expect("put");
    let names = [first, record(2), record(3), fresh].map(|record| record.name());
    assert_eq!(store.names(0, 10).await.expect("names"), names);
}

/// Whoever rebuilds a lost store reads this one by number: a gap passed over
/// would be a payment left out.
async fn records_are_read_by_number_up_to_the_first_gap(engine: impl Engine) {
    let store = engine.open().await;
    assert_eq!(store.highest().await.expect("highest"), 0);
    assert!(store.numbered(0, 10).await.expect("numbered").is_empty());
    let records: Vec<Document> = [1, 2, 3, 300, 5].map(record).into();
    store.put(records.clone()).await.expect("put");
    store.put(vec![document("no record")]).await.expect("put");
    drop(store);
    let store = engine.open().await;
    assert_eq!(store.highest().await.expect("highest"), 300);
    let after = |number, limit| store.numbered(number, limit);
    assert_eq!(after(0, 10).await.expect("numbered"), records[..3]);
    assert_eq!(after(1, 1).await.expect("numbered"), records[1..2]);
    assert_eq!(after(299, 9).await.expect("numbered"), records[3..4]);
    let names: Vec<Hash> = records.iter().map(Document::name).collect();
    assert_eq!(store.names(0, 10).await.expect("names"), names[..3]);
    assert_eq!(store.names(1, 1).await.expect("names"), names[1..2]);
    assert_eq!(store.names(299, 9).await.expect("names"), names[3..4]);
    for nothing in [3, 300, u64::MAX] {
        assert!(after(nothing, 10).await.expect("numbered").is_empty());
        assert!(store.names(nothing, 10).await.expect("names").is_empty());
    }
}
