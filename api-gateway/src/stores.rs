//! The stores behind the gateway, and what their silence means here.
//!
//! Graphstore decides, Hashtable keeps, and what is sealed is in Blockstack's log
//! too; they are asked through `proto`'s clients and never known any closer. Whatever goes wrong on the way becomes
//! `unavailable` for the client, with the cause in the log only: nothing is
//! known of the outcome, and the same bytes may be sent again.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::channel::mpsc;
use futures::{Stream, TryStreamExt as _};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;
use tonic::{Code as Status, Request as Call, Response};
use webwallet_ledger::{Address, Hash, Rejection, Request, Supplied};
use webwallet_proto::blockstack::v1 as log;
use webwallet_proto::blockstack::v1::blockstack_client::BlockstackClient;
use webwallet_proto::engine;
use webwallet_proto::graphstore::v1 as graph;
use webwallet_proto::graphstore::v1::graphstore_client::GraphstoreClient;
use webwallet_proto::hashtable::v1 as table;
use webwallet_proto::hashtable::v1::hashtable_client::HashtableClient;
use webwallet_proto::link::Link;

use crate::allowance::Held;
use crate::problem::{Other, Problem};
use crate::schema::Health;

/// How long a store may take to show that it is there, and to answer what another one can
/// answer too. To show it, it gives its engine half of that, so that it is the store that
/// says which of the two is missing.
const SOON: Duration = Duration::from_secs(2);

/// Bytes of one piece of history, about: what somebody reads who reads slowly is
/// held meanwhile, and there may be a thousand of them.
pub(crate) const HISTORY_BYTES: usize = 64 * 1024;

/// Batches that have a stream to Graphstore at a time. All calls share one connection, and
/// `webwallet_proto::serve::STREAMS_MAX` of them: payments and reads need the most of it.
const BATCHES_MAX: usize = 256;
/// Requests after which a batch lets others have its turn.
const TURN_REQUESTS_MAX: usize = 1_024;
/// How long the requests of a batch wait for such a stream.
const TURN_WITHIN: Duration = Duration::from_secs(10);

/// Clients of the three services.
#[derive(Clone)]
pub(crate) struct Stores {
    batches: Arc<Semaphore>,
    graphstore: GraphstoreClient<Link>,
    hashtable: HashtableClient<Link>,
    blockstack: BlockstackClient<Link>,
}

/// A cleared record, as the services hand it over.
#[derive(Debug)]
pub(crate) struct Cleared {
    pub(crate) number: u64,
    pub(crate) hash: Hash,
    pub(crate) body: Bytes,
}

/// What a record is found by.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Key {
    Number(u64),
    Record(Hash),
    Iou(Hash),
}

/// What became of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    Cleared { record: Cleared, replayed: bool },
    Rejected(Rejection),
}

/// Requests of one batch on their way to be decided, one after the other.
pub(crate) struct Clearing(UnboundedSender<Asked>);

/// One of them, and who waits for what becomes of it.
struct Asked {
    request: graph::ClearRequest,
    held: Held,
    answer: oneshot::Sender<Result<graph::ClearReply, Problem>>,
}

impl Clearing {
    /// Hands a request over; the reply comes later. The receiver fails where what became
    /// of the request is not known.
    pub(crate) fn clear(
        &self,
        request: Request,
        held: Held,
    ) -> oneshot::Receiver<Result<graph::ClearReply, Problem>> {
        let (answer, reply) = oneshot::channel();
        let inputs = request.inputs.into_iter().map(|iou| Bytes::from(iou.bytes)).collect();
        // What is not taken is dropped, and its receiver fails.
        let _ = self.0.send(Asked { request: graph::ClearRequest { inputs }, held, answer });
        reply
    }
}

impl Stores {
    pub(crate) fn new(
        graphstore: GraphstoreClient<Link>,
        hashtable: HashtableClient<Link>,
        blockstack: BlockstackClient<Link>,
    ) -> Stores {
        let batches = Arc::new(Semaphore::new(BATCHES_MAX));
        Stores { batches, graphstore, hashtable, blockstack }
    }

    /// Lets Graphstore decide; of a rehearsal, only say what it would decide.
    pub(crate) async fn clear(
        &self,
        request: Request,
        held: Held,
        rehearsal: bool,
    ) -> Result<Outcome, Problem> {
        let inputs = request.inputs.iter().map(|iou| Bytes::copy_from_slice(&iou.bytes)).collect();
        let mut call = Call::new(graph::ClearRequest { inputs });
        call.extensions_mut().insert(Arc::new(request));
        let mut graphstore = self.graphstore.clone();
        let apart = held.is_some();
        let decided = async move {
            let reply = match rehearsal {
                false => answered(graphstore.clear(call).await, "Graphstore.Clear")?,
                true => answered(graphstore.rehearse(call).await, "Graphstore.Rehearse")?,
            };
            if !rehearsal {
                counted(&reply, held);
            }
            Ok(reply)
        };
        // Who goes away before the answer is counted all the same.
        let reply = match apart {
            true => tokio::spawn(decided).await.unwrap_or_else(|error| Err(unreadable(&error)))?,
            false => decided.await?,
        };
        self.outcome(reply).await
    }

    /// What Graphstore's reply says.
    pub(crate) async fn outcome(&self, reply: graph::ClearReply) -> Result<Outcome, Problem> {
        match reply.outcome {
            Some(graph::clear_reply::Outcome::Cleared(record)) => {
                let record = self.whole(cleared(record)?).await?;
                Ok(Outcome::Cleared { record, replayed: reply.replayed })
            }
            Some(graph::clear_reply::Outcome::Rejected(rejection)) => {
                let rejection = Rejection::try_from(rejection);
                Ok(Outcome::Rejected(rejection.map_err(|error| unreadable(&error))?))
            }
            None => Err(unreadable(&"Graphstore.Clear answered without an outcome")),
        }
    }

    /// A way to have requests decided in the order they are given, many at once; whoever
    /// uses it bounds how many.
    pub(crate) fn clearing(&self) -> Clearing {
        let (asked, mut asks) = unbounded_channel();
        let stores = self.clone();
        tokio::spawn(async move {
            while let Some(first) = asks.recv().await {
                stores.clear_in_order(first, &mut asks).await;
            }
        });
        Clearing(asked)
    }

    /// Over one stream, until nothing waits for a reply: an idle batch holds none, and what
    /// comes after a failure has a new one.
    async fn clear_in_order(&self, mut first: Asked, asks: &mut UnboundedReceiver<Asked>) {
        let turn = tokio::select! {
            turn = timeout(TURN_WITHIN, self.batches.acquire()) => turn,
            // The room of its body is others' by now.
            () = first.answer.closed() => return,
        };
        let Ok(_turn) = turn else {
            let detail = "as many batches clear at a time as may: send this request again";
            return refuse(first, asks, &Problem::new(Other::Overloaded, detail));
        };
        let (requests, calls) = mpsc::unbounded();
        let mut waiting = VecDeque::new();
        let hand_over = |Asked { request, held, answer }, waiting: &mut VecDeque<_>| {
            // Where the stream has ended, its replies say so.
            let _ = requests.unbounded_send(request);
            waiting.push_back((held, answer));
        };
        let mut replies = match self.graphstore.clone().clear_all(calls).await {
            Ok(replies) => replies.into_inner(),
            Err(status) => {
                return refuse(first, asks, &failed("Graphstore.ClearAll", &status));
            }
        };
        hand_over(first, &mut waiting);
        let mut left = TURN_REQUESTS_MAX;
        while !waiting.is_empty() {
            let reply = tokio::select! {
                Some(asked) = asks.recv(), if left > 0 => {
                    left -= 1;
                    hand_over(asked, &mut waiting);
                    continue;
                }
                reply = replies.message() => reply,
            };
            let Some((held, answer)) = waiting.pop_front() else { return };
            // A caller who left does not care any more.
            match reply {
                Ok(Some(reply)) => {
                    counted(&reply, held);
                    drop(answer.send(Ok(reply)));
                }
                // Nothing is known of the others either; they learn it by being dropped.
                Ok(None) => return,
                Err(status) => {
                    drop(answer.send(Err(failed("Graphstore.ClearAll", &status))));
                    return;
                }
            }
        }
    }

    /// The record made of exactly these IOUs.
    pub(crate) async fn replay(&self, ious: &[Hash]) -> Result<Option<Cleared>, Problem> {
        let ious = ious.iter().map(bytes_of).collect();
        let reply = self.graphstore.clone().replay(graph::ReplayRequest { ious }).await;
        self.found(reply, "Graphstore.Replay").await
    }

    /// A cleared record, from the one who decided.
    pub(crate) async fn record(&self, key: Key) -> Result<Option<Cleared>, Problem> {
        let key = match key {
            Key::Number(number) => graph::record_request::Key::Number(number),
            Key::Record(hash) => graph::record_request::Key::Hash(bytes_of(&hash)),
            Key::Iou(hash) => graph::record_request::Key::Iou(bytes_of(&hash)),
        };
        let call = graph::RecordRequest { key: Some(key) };
        let reply = self.graphstore.clone().record(call).await;
        self.found(reply, "Graphstore.Record").await
    }

    /// The last number given, as soon as it is higher than `after`; after the
    /// wait in any case.
    pub(crate) async fn newest(&self, after: u64, wait: Duration) -> Result<u64, Problem> {
        let wait_ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
        let reply = self.graphstore.clone().newest(graph::NewestRequest { after, wait_ms }).await;
        Ok(answered(reply, "Graphstore.Newest")?.number)
    }

    /// Records after a number, in order and without gaps, with their bytes: at
    /// most so many, none where there are none yet.
    pub(crate) async fn history(&self, after: u64, limit: u32) -> Result<Vec<Cleared>, Problem> {
        let call = graph::ClearedRequest { after, limit };
        let mut found = Vec::new();
        let ended = match self.graphstore.clone().cleared(call).await {
            Ok(stream) => taken(stream.into_inner(), after, &mut found).await,
            Err(status) => Err(status),
        };
        match ended {
            _ if !found.is_empty() => Ok(found),
            Ok(()) => Ok(found),
            // Its bytes were dropped, because they are sealed.
            Err(status) if status.code() == Status::OutOfRange => {
                let mut kept = self.kept(after, limit).await;
                if kept.is_empty() {
                    kept = self.proven(after, limit).await?;
                }
                if kept.is_empty() {
                    kept.extend(self.record(Key::Number(after.saturating_add(1))).await?);
                }
                Ok(kept)
            }
            Err(status) => Err(failed("Graphstore.Cleared", &status)),
        }
    }

    /// The record of a number.
    pub(crate) async fn numbered(&self, number: u64) -> Result<Option<Cleared>, Problem> {
        let Some(before) = number.checked_sub(1) else { return Ok(None) };
        if let Some(found) = self.kept(before, 1).await.pop() {
            return Ok(Some(found));
        }
        match self.record(Key::Number(number)).await {
            // Once it is sealed it is in the log, whoever else is away.
            Err(problem) => self.sealed(number).await.ok().flatten().map(Some).ok_or(problem),
            found => found,
        }
    }

    /// [`Stores::history`] from Hashtable, as far as that has it.
    async fn kept(&self, after: u64, limit: u32) -> Vec<Cleared> {
        let mut found = Vec::new();
        let call = soon(table::NumberedRequest { after, limit });
        let ended = match self.hashtable.clone().numbered(call).await {
            Ok(stream) => {
                let records = stream.into_inner().map_ok(|document| graph::Record {
                    number: document.number,
                    hash: document.hash,
                    body: document.body,
                });
                taken(records, after, &mut found).await
            }
            Err(status) => Err(status),
        };
        if let Err(status) = ended {
            complain("Hashtable.Numbered", &status);
        }
        found
    }

    /// The same from the log.
    async fn proven(&self, after: u64, limit: u32) -> Result<Vec<Cleared>, Problem> {
        let (mut found, mut bytes) = (Vec::new(), 0);
        let first = after.saturating_add(1);
        for number in first..first.saturating_add(limit.into()) {
            let Some(sealed) = self.sealed(number).await? else { break };
            bytes += sealed.body.len();
            found.push(sealed);
            if bytes >= HISTORY_BYTES {
                break;
            }
        }
        Ok(found)
    }

    /// A record from the log.
    async fn sealed(&self, number: u64) -> Result<Option<Cleared>, Problem> {
        let call = soon(log::ReceiptRequest { number, wait_ms: 0 });
        let reply = answered(self.blockstack.clone().receipt(call).await, "Blockstack.Receipt")?;
        let receipt = reply.receipt.map(|receipt| {
            let (hash, body) = (receipt.hash, receipt.record);
            cleared(graph::Record { number, hash, body })
        });
        receipt.transpose()
    }

    async fn found(
        &self,
        reply: Result<Response<graph::RecordReply>, tonic::Status>,
        call: &'static str,
    ) -> Result<Option<Cleared>, Problem> {
        let record = match reply {
            Ok(reply) => reply.into_inner().record,
            Err(status) if status.code() == Status::NotFound => None,
            Err(status) => return Err(failed(call, &status)),
        };
        match record {
            Some(record) => self.whole(cleared(record)?).await.map(Some),
            None => Ok(None),
        }
    }

    /// A record with its bytes: those that Graphstore has dropped, because they
    /// are sealed, are in the log; and in Hashtable, should Blockstack be away.
    async fn whole(&self, record: Cleared) -> Result<Cleared, Problem> {
        if !record.body.is_empty() {
            return Ok(record);
        }
        // Whoever asks for it by its hash has asked Hashtable before.
        let sealed = self.sealed(record.number).await;
        if let Ok(Some(sealed)) = sealed
            && sealed.hash == record.hash
        {
            return Ok(sealed);
        }
        match self.document(&record.hash).await? {
            Some(body) => Ok(Cleared { body, ..record }),
            None => Err(unreadable(&format!("record {} is in no store", record.number))),
        }
    }

    /// [`crate::gateway::Gateway::keep`] of a record, but for what it means for the next.
    pub(crate) async fn put(&self, record: &Cleared) -> Result<(), Problem> {
        let documents = vec![table::Document {
            hash: bytes_of(&record.hash),
            body: record.body.clone(),
            number: record.number,
        }];
        let reply = self.hashtable.clone().put(table::PutRequest { documents }).await;
        answered(reply, "Hashtable.Put").map(drop)
    }

    /// The bytes stored under a name, whatever they are. A record is elsewhere too.
    pub(crate) async fn document(&self, hash: &Hash) -> Result<Option<Bytes>, Problem> {
        let call = soon(table::GetRequest { hashes: vec![bytes_of(hash)] });
        let reply = self.hashtable.clone().get(call).await;
        let documents = answered(reply, "Hashtable.Get")?.documents;
        Ok(documents.into_iter().next().and_then(|found| found.body))
    }

    /// Keeps what somebody supplies. Returns when it is durable.
    pub(crate) async fn supply(&self, document: &Supplied) -> Result<(), Problem> {
        let call = table::SupplyRequest { body: Bytes::copy_from_slice(document.bytes()) };
        answered(self.hashtable.clone().supply(call).await, "Hashtable.Supply").map(drop)
    }

    /// What was supplied under a name.
    pub(crate) async fn supplied(&self, hash: &Hash) -> Result<Option<Bytes>, Problem> {
        let call = table::SuppliedRequest { hash: bytes_of(hash) };
        Ok(answered(self.hashtable.clone().supplied(call).await, "Hashtable.Supplied")?.body)
    }

    /// The accounts of an address, in the order of their units.
    pub(crate) async fn accounts(
        &self,
        call: graph::AccountsRequest,
    ) -> Result<Vec<graph::Account>, Problem> {
        Ok(answered(self.graphstore.clone().accounts(call).await, "Graphstore.Accounts")?.accounts)
    }

    /// What a unit comes to.
    pub(crate) async fn unit(&self, unit: &Address) -> Result<graph::UnitReply, Problem> {
        let call = graph::UnitRequest { unit: unit.to_string() };
        answered(self.graphstore.clone().unit(call).await, "Graphstore.Unit")
    }

    /// What the accounts of a unit hold, in the order of addresses.
    pub(crate) async fn holders(
        &self,
        call: graph::HoldersRequest,
    ) -> Result<Vec<graph::Holder>, Problem> {
        Ok(answered(self.graphstore.clone().holders(call).await, "Graphstore.Holders")?.holders)
    }

    /// The outputs of an account, newest first.
    pub(crate) async fn outputs(
        &self,
        call: graph::OutputsRequest,
    ) -> Result<Vec<graph::Output>, Problem> {
        Ok(answered(self.graphstore.clone().outputs(call).await, "Graphstore.Outputs")?.outputs)
    }

    /// The last block that was begun, published or not.
    pub(crate) async fn intended(&self) -> Result<Option<u64>, Problem> {
        let reply = self.graphstore.clone().status(graph::StatusRequest {}).await;
        Ok(answered(reply, "Graphstore.Status")?.intent_height)
    }

    /// What is missing before requests of this domain can be served, one sentence for each
    /// service; and what else health says of them.
    pub(crate) async fn missing(&self, domain: &str, health: &mut Health) -> Vec<String> {
        let (mut graphstore, mut hashtable) = (self.graphstore.clone(), self.hashtable.clone());
        let keeps = async {
            // Asked for nothing, it says whether it would take a put.
            hashtable.get(soon(table::GetRequest { hashes: Vec::new() })).await?;
            hashtable.status(soon(table::StatusRequest {})).await
        };
        let (clears, keeps) = tokio::join!(graphstore.status(soon(graph::StatusRequest {})), keeps);
        let mut missing = Vec::new();
        match clears.map(Response::into_inner) {
            Ok(status) => {
                health.test_clock = status.test_clock;
                if let Some(why) = status.held {
                    missing.push(format!("graphstore clears nothing: {why}"));
                }
                let theirs = status.domain;
                if theirs != domain {
                    missing.push(format!("graphstore is of the domain {theirs:?}, not {domain:?}"));
                }
            }
            Err(status) => missing.push(silent("graphstore", &status)),
        }
        match keeps.map(Response::into_inner) {
            Ok(status) => health.lossy_redis = status.lossy,
            Err(status) => missing.push(silent("hashtable", &status)),
        }
        missing
    }
}

/// Says no to what was asked so far, of which nothing was handed over.
fn refuse(first: Asked, asks: &mut UnboundedReceiver<Asked>, problem: &Problem) {
    let mut refused = Some(first);
    while let Some(asked) = refused {
        drop(asked.answer.send(Err(problem.clone())));
        refused = asks.try_recv().ok();
    }
}

/// What was held for a request counts if it clears now.
fn counted(reply: &graph::ClearReply, held: Held) {
    if let (Some(graph::clear_reply::Outcome::Cleared(_)), false) = (&reply.outcome, reply.replayed)
    {
        held.count();
    }
}

/// A call of one who asks whether a store is there, or another one after it.
fn soon<T>(message: T) -> Call<T> {
    let mut call = Call::new(message);
    call.set_timeout(SOON);
    call
}

/// A store that does not do its work, in words for the public: which process to
/// look at, or which engine. Why, its log says.
fn silent(store: &str, status: &tonic::Status) -> String {
    match engine::missing_in(status) {
        Some(engine) => format!("{store} cannot use its engine, {engine}; its log says why"),
        None => format!("{store} does not answer ({:?})", status.code()),
    }
}

/// Takes records off a stream while each is the next one.
async fn taken(
    stream: impl Stream<Item = Result<graph::Record, tonic::Status>>,
    after: u64,
    found: &mut Vec<Cleared>,
) -> Result<(), tonic::Status> {
    let mut stream = pin!(stream);
    let (mut next, mut bytes) = (after.saturating_add(1), 0);
    while bytes < HISTORY_BYTES
        && let Some(record) = stream.try_next().await?
    {
        let hash = Hash::from_slice(&record.hash).filter(|_| record.number == next);
        let Some(hash) = hash else {
            return Err(tonic::Status::data_loss(format!("record {next} is missing")));
        };
        if record.body.is_empty() {
            return Err(tonic::Status::out_of_range(format!("record {next} was dropped")));
        }
        (next, bytes) = (next + 1, bytes + record.body.len());
        found.push(Cleared { number: record.number, hash, body: record.body });
    }
    Ok(())
}

fn bytes_of(hash: &Hash) -> Bytes {
    Bytes::copy_from_slice(&hash.0)
}

fn cleared(record: graph::Record) -> Result<Cleared, Problem> {
    match Hash::from_slice(&record.hash) {
        Some(hash) => Ok(Cleared { number: record.number, hash, body: record.body }),
        None => Err(unreadable(&"a record's hash is not 32 bytes")),
    }
}

fn answered<T>(
    reply: Result<Response<T>, tonic::Status>,
    call: &'static str,
) -> Result<T, Problem> {
    reply.map(Response::into_inner).map_err(|status| failed(call, &status))
}

/// A call that got no answer. A service that sheds load says so, and that is
/// told apart: nothing happened to the request.
fn failed(call: &'static str, status: &tonic::Status) -> Problem {
    complain(call, status);
    match status.code() {
        Status::ResourceExhausted => {
            Problem::new(Other::Overloaded, "a store has as much work as it takes on")
        }
        Status::FailedPrecondition => Problem::new(
            Other::ReadOnly,
            "Graphstore gives numbers that Hashtable has other records of: one of them was put back from an older backup",
        ),
        _ => Problem::new(Other::Unavailable, "a store did not answer"),
    }
}

/// Says for the operator which call got no answer, and why.
pub(crate) fn complain(call: &'static str, status: &tonic::Status) {
    tracing::warn!(call, code = ?status.code(), why = status.message(), "a service failed");
    metrics::counter!("webwallet_gateway_calls_failed_total", "call" => call).increment(1);
}

/// An answer that makes no sense: the two processes are not of one version.
pub(crate) fn unreadable(error: &dyn std::fmt::Display) -> Problem {
    tracing::error!(%error, "a service answered what this version cannot read");
    Problem::new(Other::Unavailable, "a store gave an answer that cannot be read")
}
