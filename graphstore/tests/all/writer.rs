//! The writer over an engine that fails: every request ends cleared, rejected
//! or unavailable, and none clears twice. If this failed, a lost answer of the
//! engine would lose or double a payment.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};

use tokio_stream::StreamExt as _;
use webwallet_graphstore::store::{
    Batch, Committed, Error, Head, Intended, Intent, Loaded, Page, Placed, Store, Stored, Unit,
};
use webwallet_graphstore::{Clock, Embedded, Graphstore};
use webwallet_ledger::account::Balance;
use webwallet_ledger::signature::public_of;
use webwallet_ledger::{
    Account, AccountId, Address, Draft, Hash, Lock, Pointer, Record, Request, Time,
};
use webwallet_proto::graphstore::v1::graphstore_server::Graphstore as _;
use webwallet_proto::graphstore::v1::{
    ClearReply, ClearRequest, ClearedRequest, IntendRequest, NewestRequest, StatusRequest,
    clear_reply,
};

/// What the engine does with the next commits, one after another.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// Commits, and says so.
    Well,
    /// The answer is lost before anything was written.
    LostWithout,
    /// The answer is lost after everything was written.
    LostWith,
    /// Nothing was written.
    Fails,
    /// The writer's thread ends.
    Panics,
}

/// The real engine behind an unreliable wire.
struct Unreliable {
    store: Embedded,
    acts: Vec<Act>,
    next: Arc<AtomicUsize>,
    /// Another writer has cleared since.
    deposed: Arc<AtomicBool>,
}

impl Store for Unreliable {
    fn name(&self) -> String {
        self.store.name()
    }

    async fn head(&self) -> Result<Head, Error> {
        let mut head = self.store.head().await?;
        head.number += u64::from(self.deposed.load(Ordering::SeqCst));
        Ok(head)
    }

    fn settled(&self) -> impl Future<Output = Result<Head, Error>> + Send {
        self.store.settled()
    }

    fn load(
        &self,
        accounts: &[AccountId],
        ious: &[Hash],
    ) -> impl Future<Output = Result<Loaded, Error>> + Send {
        self.store.load(accounts, ious)
    }

    fn locks(
        &self,
        pointers: &[Pointer],
    ) -> impl Future<Output = Result<HashMap<Pointer, Lock>, Error>> + Send {
        self.store.locks(pointers)
    }

    fn locks_of(
        &self,
        account: AccountId,
        after: Option<Pointer>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<(Pointer, Lock)>, Error>> + Send {
        self.store.locks_of(account, after, limit)
    }

    async fn commit(&self, batch: &Batch) -> Result<Committed, Error> {
        let act = self.acts.get(self.next.fetch_add(1, Ordering::SeqCst));
        match act.copied().unwrap_or(Act::Well) {
            Act::Well => self.store.commit(batch).await,
            Act::LostWithout => Ok(Committed::Unknown),
            Act::LostWith => {
                assert_eq!(self.store.commit(batch).await?, Committed::Yes);
                Ok(Committed::Unknown)
            }
            Act::Fails => Err(Error::Unavailable("a test".into())),
            Act::Panics => panic!("a test"),
        }
    }

    fn numbered(&self, n: u64) -> impl Future<Output = Result<Option<Stored>, Error>> + Send {
        self.store.numbered(n)
    }

    fn named(&self, hash: Hash) -> impl Future<Output = Result<Option<Stored>, Error>> + Send {
        self.store.named(hash)
    }

    fn cleared(
        &self,
        after: u64,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Stored>, Error>> + Send {
        self.store.cleared(after, limit)
    }

    fn accounts(
        &self,
        address: Address,
        after: Option<Address>,
        skip: u64,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<(AccountId, Account)>, Error>> + Send {
        self.store.accounts(address, after, skip, limit)
    }

    fn unit(&self, unit: Address) -> impl Future<Output = Result<Unit, Error>> + Send {
        self.store.unit(unit)
    }

    fn holders(
        &self,
        unit: Address,
        after: Option<Address>,
        skip: u64,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<(Address, Balance)>, Error>> + Send {
        self.store.holders(unit, after, skip, limit)
    }

    fn outputs(
        &self,
        account: AccountId,
        page: Page,
    ) -> impl Future<Output = Result<Vec<Placed>, Error>> + Send {
        self.store.outputs(account, page)
    }

    fn intend(
        &self,
        intents: &[Intent],
        quiet: bool,
    ) -> impl Future<Output = Result<Intended, Error>> + Send {
        self.store.intend(intents, quiet)
    }

    fn intents(
        &self,
        from: u64,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Intent>, Error>> + Send {
        self.store.intents(from, limit)
    }

    fn trim(&self, upto: u64) -> impl Future<Output = Result<(), Error>> + Send {
        self.store.trim(upto)
    }
}

fn payment(note: &str) -> ClearRequest {
    ClearRequest { inputs: vec![iou("example.net", note).into()] }
}

/// A payment by the issuer.
fn iou(domain: &str, note: &str) -> Vec<u8> {
    signed([7; 32], domain, note)
}

/// A payment of the issuer's unit.
fn signed(payer: [u8; 32], domain: &str, note: &str) -> Vec<u8> {
    let draft = Draft {
        domain: domain.into(),
        source: Address::of_public(&public_of(&payer)),
        target: Address::of_public(b"ben"),
        symbol: Address::of_public(&public_of(&[7; 32])),
        amount: "1".into(),
        random: format!("payment {note}"),
        expiry: "2027-01-01T00:00:00.000Z".parse().expect("time"),
        active: None,
        credit: None,
        locker: None,
        solver: None,
    };
    draft.sign(&payer)
}

async fn graphstore(dir: &tempfile::TempDir, acts: &[Act]) -> Graphstore<Unreliable> {
    graphstore_of(dir, acts, Arc::default(), Arc::default()).await
}

/// The same, whose clock is so many milliseconds ahead.
async fn graphstore_of(
    dir: &tempfile::TempDir,
    acts: &[Act],
    deposed: Arc<AtomicBool>,
    ahead: Arc<AtomicI64>,
) -> Graphstore<Unreliable> {
    let store = Embedded::open(dir.path()).expect("open");
    let store = Unreliable { store, acts: acts.to_vec(), next: Arc::default(), deposed };
    let now: Time = "2026-01-01T00:00:00.000Z".parse().expect("time");
    let clock: Clock =
        Arc::new(move || Ok(Time::from_unix_ms(now.unix_ms() + ahead.load(Ordering::SeqCst))));
    Graphstore::start(store, "example.net", clock).await.expect("start")
}

async fn clear(
    graphstore: &Graphstore<Unreliable>,
    note: &str,
) -> Result<(u64, bool), tonic::Code> {
    let reply = graphstore.clear(tonic::Request::new(payment(note))).await;
    let ClearReply { outcome, replayed } = reply.map_err(|status| status.code())?.into_inner();
    match outcome {
        Some(clear_reply::Outcome::Cleared(record)) => Ok((record.number, replayed)),
        other => panic!("not cleared: {other:?}"),
    }
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_and_clears_once() {
    for lost in [Act::LostWithout, Act::LostWith] {
        for times in [1, 5] {
            let dir = tempfile::tempdir().expect("a folder");
            let graphstore = graphstore(&dir, &vec![lost; times]).await;
            assert_eq!(clear(&graphstore, "one").await, Ok((1, false)), "{lost:?} {times} times");
            assert_eq!(clear(&graphstore, "one").await, Ok((1, true)));
            assert_eq!(clear(&graphstore, "two").await, Ok((2, false)), "numbers have no gap");
        }
    }
}

/// Whoever does as he is told, and sends again, would pay twice.
#[tokio::test]
async fn an_engine_that_does_not_answer_leaves_the_same_bytes_to_be_sent_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let silent = vec![Act::LostWith; 10];
    let graphstore = graphstore(&dir, &silent).await;
    assert_eq!(clear(&graphstore, "one").await, Err(tonic::Code::Unavailable));
    assert_eq!(clear(&graphstore, "one").await.map(|(number, _)| number), Ok(1));
    assert_eq!(clear(&graphstore, "two").await, Ok((2, false)));
}

/// One failure would stop everybody's payments, or leave a number that is nobody's.
#[tokio::test]
async fn a_failed_commit_leaves_nothing_and_the_next_one_clears() {
    let dir = tempfile::tempdir().expect("a folder");
    let graphstore = graphstore(&dir, &[Act::Fails]).await;
    assert_eq!(clear(&graphstore, "one").await, Err(tonic::Code::Unavailable));
    assert_eq!(clear(&graphstore, "two").await, Ok((1, false)));
    assert_eq!(clear(&graphstore, "one").await, Ok((2, false)));
    let status = graphstore.status(tonic::Request::new(StatusRequest {})).await.expect("status");
    assert_eq!(status.get_ref().number, 2);
}

/// Who follows what clears would see it late, or not at all.
#[tokio::test]
async fn the_next_number_is_told_as_soon_as_it_is_given() {
    let dir = tempfile::tempdir().expect("a folder");
    let graphstore = graphstore(&dir, &[Act::LostWith, Act::Well, Act::Fails]).await;
    let newest = async |after, wait_ms| {
        let call = tonic::Request::new(NewestRequest { after, wait_ms });
        graphstore.newest(call).await.expect("an answer").get_ref().number
    };
    assert_eq!((newest(0, 0).await, newest(0, 1).await), (0, 0));
    let (told, cleared) = tokio::join!(newest(0, 5_000), clear(&graphstore, "one"));
    assert_eq!((told, cleared), (1, Ok((1, false))));
    // Neither a repeat nor a failure has a number.
    assert_eq!(clear(&graphstore, "one").await, Ok((1, true)));
    assert_eq!(clear(&graphstore, "two").await, Err(tonic::Code::Unavailable));
    assert_eq!((newest(1, 1).await, newest(0, 5_000).await), (1, 1));
}

/// Whoever follows what clears would be answered at once, ask again at once, and take
/// a whole processor.
#[tokio::test]
async fn the_next_number_is_not_waited_for_where_none_will_be_given() {
    let dir = tempfile::tempdir().expect("a folder");
    let graphstore = graphstore(&dir, &[Act::Well, Act::Panics]).await;
    let newest = async |after, wait_ms| {
        let reply = graphstore.newest(tonic::Request::new(NewestRequest { after, wait_ms })).await;
        reply.map(|reply| reply.get_ref().number).map_err(|status| status.code())
    };
    assert_eq!(clear(&graphstore, "one").await, Ok((1, false)));
    assert_eq!(clear(&graphstore, "two").await, Err(tonic::Code::Unavailable));
    assert_eq!(newest(0, 5_000).await, Ok(1), "what is there is given");
    assert_eq!(newest(1, 5_000).await, Err(tonic::Code::Unavailable));
}

/// Blockstack would seal what nobody can read again, or balances that differ
/// after a restart.
#[tokio::test]
async fn what_has_just_cleared_is_handed_over_as_it_is_read() {
    let dir = tempfile::tempdir().expect("a folder");
    let acts = [Act::Well, Act::LostWith, Act::Well, Act::Fails];
    let graphstore = graphstore(&dir, &acts).await;
    for (note, outcome) in [
        ("one", Ok((1, false))),
        ("two", Ok((2, false))),
        ("three", Err(tonic::Code::Unavailable)),
        ("four", Ok((3, false))),
    ] {
        assert_eq!(clear(&graphstore, note).await, outcome);
    }
    for (after, limit, expected) in [(0, 0, 1..4), (1, 1, 2..3), (2, 9, 3..4), (3, 9, 4..4)] {
        let call = tonic::Request::new(ClearedRequest { after, limit });
        let reply = graphstore.cleared(call).await.expect("begun");
        let made = reply.extensions().get::<Arc<[Arc<Record>]>>().cloned().unwrap_or_default();
        let sent: Vec<_> = reply.into_inner().map(|record| record.expect("sent")).collect().await;
        assert_eq!(sent.iter().map(|r| r.number).collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        assert_eq!(made.len(), sent.len());
        for (made, sent) in made.iter().zip(&sent) {
            assert_eq!((made.number, &made.hash.0[..]), (sent.number, &sent.hash[..]));
            assert_eq!(Record::parse(&sent.body).as_ref(), Ok(&**made));
        }
    }
}

/// A gateway of the same process that was set up for another domain would have
/// its payments cleared here, in records that no auditor accepts.
#[tokio::test]
async fn a_request_that_was_read_for_another_domain_is_read_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let graphstore = graphstore(&dir, &[]).await;
    for (domain, clears) in [("example.org", false), ("example.net", true)] {
        let inputs = [iou(domain, "one")];
        let request = Request::from_inputs(&inputs, domain).expect("good for its domain");
        let mut call =
            tonic::Request::new(ClearRequest { inputs: inputs.map(Into::into).to_vec() });
        call.extensions_mut().insert(Arc::new(request));
        let outcome = graphstore.clear(call).await.expect("a verdict").into_inner().outcome;
        assert_eq!(matches!(outcome, Some(clear_reply::Outcome::Cleared(_))), clears, "{domain}");
    }
}

/// A rehearsal that said yes where nothing clears any more would be a promise
/// that nobody keeps; and one that left something would be a payment.
#[tokio::test]
async fn a_rehearsal_leaves_nothing_and_says_where_nothing_clears() {
    let dir = tempfile::tempdir().expect("a folder");
    let graphstore = graphstore(&dir, &[]).await;
    let rehearse = async |note| {
        let reply = graphstore.rehearse(tonic::Request::new(payment(note))).await;
        let ClearReply { outcome, replayed } = reply.map_err(|status| status.code())?.into_inner();
        let Some(clear_reply::Outcome::Cleared(record)) = outcome else { panic!("{outcome:?}") };
        Ok::<_, tonic::Code>((record, replayed))
    };
    let (first, replayed) = rehearse("one").await.expect("a verdict");
    assert_eq!((first.number, replayed), (1, false));
    // The same again, and another: each as if it were alone.
    assert_eq!(rehearse("one").await, Ok((first, false)));
    assert_eq!(rehearse("two").await.map(|(record, _)| record.number), Ok(1));
    let status = graphstore.status(tonic::Request::new(StatusRequest {})).await.expect("status");
    assert_eq!(status.get_ref().number, 0);
    assert_eq!(clear(&graphstore, "one").await, Ok((1, false)));
    let (again, replayed) = rehearse("one").await.expect("a verdict");
    assert_eq!((again.number, replayed), (1, true));
    // Another writer clears behind its back.
    let behind = graphstore.clone();
    assert_eq!(clear(&behind, "two").await, Ok((2, false)));
    assert_eq!(rehearse("three").await.map(|(record, _)| record.number), Ok(3));
}

/// A refusal is as final as a record: one that another writer would not give sends
/// somebody away whose payment clears.
#[tokio::test]
async fn a_writer_that_was_deposed_refuses_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let deposed = Arc::<AtomicBool>::default();
    let graphstore = graphstore_of(&dir, &[], deposed.clone(), Arc::default()).await;
    let penniless = async || {
        let inputs = vec![signed([8; 32], "example.net", "penniless").into()];
        let request = ClearRequest { inputs };
        let reply = graphstore.clear(tonic::Request::new(request)).await;
        reply.map(|reply| reply.into_inner().outcome).map_err(|status| status.code())
    };
    let refused = penniless().await.expect("an answer");
    assert!(matches!(refused, Some(clear_reply::Outcome::Rejected(_))), "{refused:?}");
    deposed.store(true, Ordering::SeqCst);
    assert_eq!(penniless().await, Err(tonic::Code::Unavailable));
}

/// Told that the block it has stored is refused, Blockstack would make another one
/// of that height, find this one there, and seal nothing any more.
#[tokio::test]
async fn an_intent_that_is_stored_is_the_answer_whatever_has_cleared_since() {
    let dir = tempfile::tempdir().expect("a folder");
    let ahead = Arc::<AtomicI64>::default();
    let graphstore = graphstore_of(&dir, &[], Arc::default(), ahead.clone()).await;
    let intend = async |block: &'static str| {
        let time: Time = "2026-01-01T00:00:00.000Z".parse().expect("time");
        let intent =
            Intent { height: 0, cleared: 0, time, documents: Vec::new(), block: block.into() };
        let request = IntendRequest { intent: Some(intent.into()), quiet: true };
        let reply = graphstore.intend(tonic::Request::new(request)).await;
        reply.map(|reply| reply.into_inner().block).map_err(|status| status.code())
    };
    assert_eq!(intend("genesis").await.as_deref(), Ok(&b"genesis"[..]));
    ahead.store(1_000, Ordering::SeqCst);
    clear(&graphstore, "one").await.expect("clears");
    // Its answer was lost, and it is sent again.
    assert_eq!(intend("genesis").await.as_deref(), Ok(&b"genesis"[..]));
    assert_eq!(intend("another").await.as_deref(), Ok(&b"genesis"[..]));
}

/// A server on the wrong folder would go on with somebody else's history as its own.
#[tokio::test]
async fn a_store_of_another_domain_is_not_served() {
    let dir = tempfile::tempdir().expect("a folder");
    let first = graphstore(&dir, &[]).await;
    clear(&first, "one").await.expect("clears");
    drop(first);
    let clock: Clock = Arc::new(|| Err("not asked".into()));
    loop {
        // The writer's thread holds the folder until it has ended.
        match Embedded::open(dir.path()) {
            Ok(store) => {
                let error = Graphstore::start(store, "example.org", clock).await.err();
                let message = error.expect("refused").to_string();
                assert!(message.contains("another domain"), "{message}");
                break;
            }
            Err(_) => tokio::task::yield_now().await,
        }
    }
}
