//! What is particular to this engine: groups, failing writes, damage on disk,
//! the index by number. What every engine promises is in `tests/all/conformance.rs`.

use std::{
    fs,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tempfile::TempDir;
use tokio::{runtime::Handle, sync::oneshot};

use super::*;

/// Runs one commit, or does not, and says how it went.
type Commit<'a> = Box<dyn FnOnce() -> fjall::Result<()> + 'a>;
type Hook = Box<dyn FnMut(Commit<'_>) -> fjall::Result<()> + Send>;

/// What a test puts between the writer and the engine.
#[derive(Clone, Default)]
pub(super) struct OnCommit(Arc<Mutex<Option<Hook>>>);

impl OnCommit {
    pub(super) fn call(&self, commit: impl FnOnce() -> fjall::Result<()>) -> fjall::Result<()> {
        match &mut *self.0.lock().expect("no test panics in here") {
            Some(hook) => hook(Box::new(commit)),
            None => commit(),
        }
    }

    fn set(&self, hook: impl FnMut(Commit<'_>) -> fjall::Result<()> + Send + 'static) {
        *self.0.lock().expect("no test panics in here") = Some(Box::new(hook));
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn open(folder: &TempDir) -> Embedded {
    Embedded::open(folder.path()).expect("it opens")
}

fn document(text: &str, number: u64) -> Document {
    let data = format!(r#"{{"text":"{text}"}}"#);
    let name = Hash::sha3(data.as_bytes());
    let whole = format!(
        r#"{{"data":{data},"hash":{{"steps":"stringify:data","types":"sha3-256","value":"{name}"}},"meta":{{}}}}"#
    );
    Document::new(name, whole.into(), number).expect("a document")
}

async fn got(store: &Embedded, document: &Document) -> Result<Option<Bytes>, Error> {
    store.get(&[document.name()]).await.map(|mut found| found.remove(0))
}

/// Without this a crowd would wait for one sync after the other.
#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_while_a_commit_runs_shares_the_next_one() {
    let folder = folder();
    let store = Arc::new(open(&folder));
    let commits = Arc::new(AtomicUsize::new(0));
    let (began, mut begun) = mpsc::unbounded_channel();
    let (go_on, wait) = std::sync::mpsc::channel();
    store.tables.on_commit.set({
        let commits = commits.clone();
        move |commit| {
            commits.fetch_add(1, Ordering::SeqCst);
            began.send(()).expect("the test waits");
            wait.recv().expect("the test goes on");
            commit()
        }
    });
    let put = |n: u64| {
        let store = store.clone();
        tokio::spawn(async move { store.put(vec![document(&n.to_string(), n)]).await })
    };
    let first = put(1);
    begun.recv().await.expect("the first commit");
    let crowd: Vec<_> = (2..=300).map(put).collect();
    let queue = store.queue.as_ref().expect("open");
    while queue.capacity() > QUEUE_MAX - 299 {
        tokio::task::yield_now().await;
    }
    assert!(!first.is_finished(), "nobody is answered before the sync");
    go_on.send(()).expect("the writer waits");
    go_on.send(()).expect("the writer waits");
    first.await.expect("it ran").expect("stored");
    for put in crowd {
        put.await.expect("it ran").expect("stored");
    }
    assert_eq!(commits.load(Ordering::SeqCst), 2);
    for n in 1..=300u64 {
        let document = document(&n.to_string(), n);
        let found = got(&store, &document).await.expect("readable");
        assert_eq!(found.as_ref(), Some(document.bytes()));
    }
}

/// A record that is answered for and lost is the worst that can happen; so after
/// a failed sync nothing is answered for any more.
#[tokio::test]
async fn after_a_failed_write_nothing_is_written_until_it_is_opened_anew() {
    for with_effect in [false, true] {
        let folder = folder();
        let store = open(&folder);
        let (before, failed, after) = (document("a", 1), document("b", 2), document("c", 3));
        store.put(vec![before.clone()]).await.expect("stored");
        assert!(store.get(&[]).await.expect("ready").is_empty());
        let commits = Arc::new(AtomicUsize::new(0));
        store.tables.on_commit.set({
            let commits = commits.clone();
            move |commit| {
                commits.fetch_add(1, Ordering::SeqCst);
                if with_effect {
                    commit()?;
                }
                Err(fjall::Error::Io(std::io::Error::other("the disk is gone")))
            }
        });
        let error = store.put(vec![failed.clone()]).await.expect_err("failed");
        assert!(matches!(&error, Error::Stopped(why) if why.contains("the disk is gone")));
        for _ in 0..2 {
            let error = store.put(vec![after.clone()]).await.expect_err("stopped");
            assert!(matches!(&error, Error::Stopped(why) if why.contains("the disk is gone")));
            // A repeat of what is stored would need no write; it is refused too.
            let error = store.put(vec![before.clone()]).await.expect_err("stopped");
            assert!(matches!(error, Error::Stopped(_)));
        }
        assert_eq!(commits.load(Ordering::SeqCst), 1, "the failed write was not tried again");
        let ready = store.get(&[]).await.expect_err("not ready any more");
        assert!(matches!(&ready, Error::Stopped(why) if why.contains("the disk is gone")));
        let found = got(&store, &before).await.expect("reads go on");
        assert_eq!(found.as_ref(), Some(before.bytes()));
        drop(store);

        let store = open(&folder);
        let found = got(&store, &failed).await.expect("readable");
        assert_eq!(found.is_some(), with_effect);
        assert_eq!(got(&store, &after).await.expect("readable"), None);
        store.put(vec![failed.clone(), after.clone()]).await.expect("it writes again");
        let found = got(&store, &failed).await.expect("readable");
        assert_eq!(found.as_ref(), Some(failed.bytes()));
    }
}

/// Whatever stands in the tables: either the bytes that were put, or an error.
#[tokio::test]
async fn a_wrong_value_is_an_error_and_a_repeat_mends_it() {
    let good = document("good", 1);
    let other = document("other", 2);
    let value = Entry::new(&good).value;
    let mut wrong = vec![
        ("nothing at all", vec![]),
        ("shorter than a checksum", value[..31].to_vec()),
        ("a checksum of nothing", value[..32].to_vec()),
        ("the end cut off", value[..value.len() - 1].to_vec()),
        ("another document, intact", Entry::new(&other).value),
    ];
    // A name covers `data` alone: only the checksum notices a changed `meta`.
    let meta = [&good.bytes()[..good.bytes().len() - 2], br#""a":"b"}}"#].concat();
    wrong.push(("another meta", [&value[..32], &meta[..]].concat()));
    for at in 0..value.len() {
        let mut flipped = value.clone();
        flipped[at] ^= 1;
        wrong.push(("a flipped bit", flipped));
    }
    let folder = folder();
    let store = open(&folder);
    store.put(vec![good.clone()]).await.expect("stored");
    for (what, value) in wrong {
        store.tables.documents.insert(good.name().0, value).expect("put there by hand");
        let error = got(&store, &good).await.expect_err(what);
        assert!(matches!(error, Error::Damaged(name) if name == good.name()), "{what}");
        // One of several: none of them is answered.
        let names = [other.name(), good.name()];
        assert!(store.get(&names).await.is_err(), "{what}");
        store.put(vec![good.clone()]).await.expect("mended");
        let found = got(&store, &good).await.expect(what);
        assert_eq!(found.as_ref(), Some(good.bytes()), "{what}");
    }
}

/// The same from below: bits of the files change while nobody looks.
#[tokio::test]
async fn a_flipped_byte_in_a_file_is_an_error() {
    let folder = folder();
    let kept = document(&"kept ".repeat(300), 1);
    let hit = document(&"hit ".repeat(300), 2);
    {
        let store = open(&folder);
        store.put(vec![kept.clone(), hit.clone()]).await.expect("stored");
        // Out of the journal, into the files where documents stay.
        store.tables.documents.rotate_memtable_and_wait().expect("flushed");
        store.tables.numbers.rotate_memtable_and_wait().expect("flushed");
    }
    let mut flipped = 0;
    for file in files_below(folder.path()) {
        let mut bytes = fs::read(&file).expect("readable");
        let is_journal = file.extension().is_some_and(|extension| extension == "jnl");
        if let Some(at) = memchr::memmem::find(&bytes, hit.bytes())
            && !is_journal
        {
            bytes[at + hit.bytes().len() / 2] ^= 0x40;
            fs::write(&file, bytes).expect("writable");
            flipped += 1;
        }
    }
    assert_eq!(flipped, 1, "a document is in one file");
    let store = open(&folder);
    let error = got(&store, &hit).await.expect_err("damaged");
    assert!(matches!(error, Error::Damaged(name) if name == hit.name()), "{error:?}");
    let found = got(&store, &kept).await.expect("readable");
    assert_eq!(found.as_ref(), Some(kept.bytes()), "its neighbour is not lost with it");
    store.put(vec![hit.clone()]).await.expect("mended");
    let found = got(&store, &hit).await.expect("readable");
    assert_eq!(found.as_ref(), Some(hit.bytes()));
}

fn files_below(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).expect("readable").map(|entry| entry.expect("there").path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// Recovery walks the records in order; it finds them by this index alone.
#[tokio::test]
async fn records_are_indexed_by_number_and_nothing_else_is() {
    let folder = folder();
    let records: Vec<_> = (1..=300).map(|n| document(&n.to_string(), n)).collect();
    {
        let store = open(&folder);
        for group in records.chunks(7).rev() {
            store.put(group.to_vec()).await.expect("stored");
        }
        store.put(vec![document("not a record", 0)]).await.expect("stored");
    }
    let tables = Tables::open(folder.path()).expect("it opens");
    assert_eq!(tables.newest().expect("readable"), 300);
    let index: Vec<_> = tables
        .numbers
        .iter()
        .map(|entry| {
            let (number, name) = entry.into_inner().expect("readable");
            (number.to_vec(), name.to_vec())
        })
        .collect();
    let expected: Vec<_> = records
        .iter()
        .map(|record| (record.number().to_be_bytes().to_vec(), record.name().0.to_vec()))
        .collect();
    assert_eq!(index, expected);
}

/// What is known of the newest number is known again after a restart, also to
/// the search that it spares.
#[tokio::test]
async fn an_old_number_is_looked_up_and_a_new_one_need_not_be() {
    let folder = folder();
    let commits = Arc::new(AtomicUsize::new(0));
    let count = |store: &Embedded| {
        let commits = commits.clone();
        store.tables.on_commit.set(move |commit| {
            commits.fetch_add(1, Ordering::SeqCst);
            commit()
        });
    };
    let (five, six) = (document("five", 5), document("six", 6));
    {
        let store = open(&folder);
        count(&store);
        store.put(vec![five.clone()]).await.expect("stored");
        store.put(vec![five.clone()]).await.expect("a repeat");
    }
    let store = open(&folder);
    count(&store);
    store.put(vec![five.clone()]).await.expect("a repeat");
    assert_eq!(commits.load(Ordering::SeqCst), 1, "a repeat writes nothing");
    store.put(vec![six, five]).await.expect("stored");
    assert_eq!(commits.load(Ordering::SeqCst), 2);
}

/// A server that is stopped would leave out the second copy of what has just cleared.
#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_store_writes_what_has_arrived() {
    let folder = folder();
    let store = open(&folder);
    let (began, mut begun) = mpsc::unbounded_channel();
    let (go_on, wait) = std::sync::mpsc::channel::<()>();
    store.tables.on_commit.set(move |commit| {
        began.send(()).expect("the test waits");
        // Only the first has to wait.
        let _ = wait.recv();
        commit()
    });
    let (first, second) = (document("first", 1), document("second", 2));
    let queue = store.queue.clone().expect("open");
    let put = |document: &Document| Put {
        entries: vec![Entry::new(document)],
        done: oneshot::channel().0,
        runtime: Handle::current(),
    };
    queue.try_send(put(&first)).expect("room");
    begun.recv().await.expect("the first commit");
    queue.try_send(put(&second)).expect("room");
    drop(queue);
    let dropping = thread::spawn(move || drop(store));
    drop(go_on);
    tokio::task::spawn_blocking(move || dropping.join().expect("dropped")).await.expect("it ran");
    let store = open(&folder);
    for document in [first, second] {
        let found = got(&store, &document).await.expect("readable");
        assert_eq!(found.as_ref(), Some(document.bytes()));
    }
}

/// Two processes writing one folder would ruin it.
#[tokio::test]
async fn a_folder_is_open_once() {
    let folder = folder();
    let store = open(&folder);
    assert!(matches!(Embedded::open(folder.path()), Err(Error::Engine(_))));
    drop(store);
    let again = tokio::time::timeout(Duration::from_secs(30), async { open(&folder) });
    again.await.expect("at once");
}

/// A server killed in its first start must not need anybody to clean up.
#[tokio::test]
async fn a_store_that_was_never_finished_stands_in_nobodys_way() {
    let folder = folder();
    let aside = folder.path().join("hashtable.new");
    fs::create_dir(&aside).expect("made");
    fs::write(aside.join("0.jnl"), b"").expect("written");
    assert!(Embedded::open(&aside).is_err(), "if not, making it aside has lost its reason");
    Embedded::open(&folder.path().join("hashtable")).expect("opened");
    assert!(!aside.exists());
}
