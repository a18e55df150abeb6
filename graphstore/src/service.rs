//! The gRPC service: what gateways and Blockstack ask, over any engine.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tonic::{Code, Request as Call, Response, Status, Streaming};
use webwallet_ledger::account::Balance;
use webwallet_ledger::clear::replay;
use webwallet_ledger::{AccountId, Address, Hash, History, Lock, Pointer, Rejection, Request};
use webwallet_proto::engine;
use webwallet_proto::graphstore::LIST_MAX;
use webwallet_proto::graphstore::v1::graphstore_server::{self, GraphstoreServer};
use webwallet_proto::graphstore::v1::{
    self, Account, AccountsReply, AccountsRequest, ClearReply, ClearRequest, ClearedRequest,
    Holder, HoldersReply, HoldersRequest, IntendRequest, IntentsRequest, NewestReply,
    NewestRequest, Output, OutputsReply, OutputsRequest, Record, RecordReply, RecordRequest,
    ReplayRequest, StatusReply, StatusRequest, TrimReply, TrimRequest, UnitReply, UnitRequest,
    clear_reply, record_request,
};
use webwallet_proto::hashtable::v1::hashtable_client::HashtableClient;
use webwallet_proto::link::Link;
use webwallet_proto::stream::{Streamed, pages};

use crate::beside::Beside;
use crate::store::{Error, Intended, Intent, Page, Placed, Store, Stored};
use crate::writer::{self, Clock, Entrance, Verdict};

/// Requests of one stream that wait for their verdict.
const SUBMITTED_MAX: usize = 256;
/// How often the unspent outputs of an account that changes meanwhile are read again.
const UNSPENT_TRIES_MAX: u32 = 8;
/// The longest wait for the next number: shorter than any caller's patience.
const WAIT_MS_MAX: u32 = 5_000;

/// Graphstore over an engine. Cheap to clone; the writer ends with the last clone.
pub struct Graphstore<S> {
    store: Arc<S>,
    domain: Arc<str>,
    clock: Clock,
    test_clock: bool,
    writer: Entrance,
    beside: Beside,
}

impl<S> Clone for Graphstore<S> {
    fn clone(&self) -> Self {
        Graphstore {
            store: self.store.clone(),
            domain: self.domain.clone(),
            clock: self.clock.clone(),
            test_clock: self.test_clock,
            writer: self.writer.clone(),
            beside: self.beside.clone(),
        }
    }
}

impl<S: Store> Graphstore<S> {
    /// Starts the writer for this domain over an engine.
    ///
    /// # Errors
    /// The engine does not answer, its last record cannot be read, or it holds
    /// the records of another domain.
    pub async fn start(store: S, domain: &str, clock: Clock) -> Result<Graphstore<S>, Error> {
        let store = Arc::new(store);
        let head = writer::head_of(&*store, domain).await?;
        let writer = writer::start(store.clone(), domain.to_owned(), clock.clone(), &head)?;
        let (domain, beside) = (domain.into(), Beside::nobody());
        Ok(Graphstore { store, domain, clock, test_clock: false, writer, beside })
    }

    /// The same, which says in its status that its clock is one for tests.
    pub fn with_test_clock(self) -> Graphstore<S> {
        Graphstore { test_clock: true, ..self }
    }

    /// Decides nothing until this Hashtable has shown that its newest record is here
    /// too: it may be an older copy that was put back, and what has cleared since would
    /// clear a second time.
    pub async fn beside(self, hashtable: HashtableClient<Link>) -> Graphstore<S> {
        let beside = Beside::hashtable(self.store.clone(), hashtable).await;
        Graphstore { beside, ..self }
    }

    /// The service for a [`webwallet_proto::link::Link`] or a socket.
    pub fn server(&self) -> GraphstoreServer<Graphstore<S>> {
        webwallet_proto::graphstore::server(self.clone())
    }

    /// A record, or that there is none, which an older copy cannot tell.
    fn found(&self, record: Option<Record>) -> Result<Response<RecordReply>, Status> {
        if record.is_none() {
            self.beside.is_this_history()?;
        }
        Ok(Response::new(RecordReply { record }))
    }

    /// The account's current output, then its open locks.
    async fn unspent(
        &self,
        account: AccountId,
        asked: &OutputsRequest,
    ) -> Result<Vec<Output>, Status> {
        let after = match asked.after.as_str() {
            "" => None,
            after => Some(after.parse().map_err(|_| Status::invalid_argument("after"))?),
        };
        let limit = asked.limit.min(LIST_MAX);
        let skip = u32::try_from(asked.skip).unwrap_or(u32::MAX);
        let locks = async || {
            let locks = self.store.locks_of(account, after, limit.saturating_add(skip)).await;
            locks.map_err(failure)
        };
        let list = |newest: Option<Output>, locks: Vec<(Pointer, Lock)>| {
            let locks = locks.into_iter().map(|(pointer, lock)| Output {
                pointer: pointer.to_string(),
                content: lock.to_bytes().into(),
                number: 0,
            });
            newest.into_iter().chain(locks).skip(skip as usize).take(limit as usize).collect()
        };
        if after.is_some() {
            return Ok(list(None, locks().await?));
        }
        let mut newest = self.newest_of(account).await?;
        for _ in 0..UNSPENT_TRIES_MAX {
            let (locks, again) = (locks().await?, self.newest_of(account).await?);
            // Whoever locks or collects has another output after it: what was moved would
            // stand in both, or in neither.
            if again == newest {
                return Ok(list(newest, locks));
            }
            newest = again;
        }
        Err(Status::unavailable("the account changes while it is read; ask again"))
    }

    /// The newest output of an account: every other one has been spent.
    async fn newest_of(&self, account: AccountId) -> Result<Option<Output>, Status> {
        let page = Page { before: 0, skip: 0, limit: 1 };
        let newest = self.store.outputs(account, page).await.map_err(failure)?;
        Ok(newest.into_iter().next().map(wire_output))
    }

    async fn record(&self, number: u64) -> Result<Option<Record>, Status> {
        Ok(self.store.numbered(number).await.map_err(failure)?.map(wire))
    }

    /// What becomes of a request; or, of a rehearsal, what would.
    async fn judge(
        &self,
        call: Call<ClearRequest>,
        rehearsal: bool,
    ) -> Result<Response<ClearReply>, Status> {
        self.beside.is_this_history()?;
        let request = match handed(&call, &self.domain) {
            Some(request) => request,
            None => match self.request(call.get_ref()) {
                Ok(request) => Arc::new(request),
                Err(rejected) => return Ok(Response::new(rejected)),
            },
        };
        let verdict = self.writer.clear(request.clone(), rehearsal).await;
        let verdict =
            verdict.ok_or_else(|| Status::resource_exhausted("the writer's queue is full"))?;
        self.reply(&request, verdict).await.map(Response::new)
    }

    /// The caller has verified signatures; everything else is looked at again.
    fn request(&self, call: &ClearRequest) -> Result<Request, ClearReply> {
        Request::from_inputs(&call.inputs, &self.domain)
            .map_err(|refusal| rejected(&refusal.rejection))
    }

    async fn reply(&self, request: &Request, verdict: Verdict) -> Result<ClearReply, Status> {
        match verdict {
            Verdict::Unavailable(why) => Err(Status::unavailable(why)),
            Verdict::Rejected(refused) => Ok(rejected(&refused.explained(request))),
            Verdict::Cleared(record) => Ok(cleared(wire_record(&record), false)),
            Verdict::Before(number) => {
                let lost = || Status::data_loss(format!("record {number} cannot be found"));
                Ok(cleared(self.record(number).await?.ok_or_else(lost)?, true))
            }
        }
    }

    /// Submits requests in the order they come, and answers in that order.
    async fn clear_in_order(
        self,
        mut requests: Streaming<ClearRequest>,
        answers: mpsc::Sender<Result<ClearReply, Status>>,
    ) {
        let (waiting, mut submitted) = mpsc::channel(SUBMITTED_MAX);
        let submitting = async {
            // A caller that has gone has submitted its last.
            while let Ok(Some(call)) = requests.message().await {
                let verdict = match self.request(&call) {
                    Ok(request) => {
                        let request = Arc::new(request);
                        Ok((self.writer.submit(request.clone()).await, request))
                    }
                    Err(rejected) => Err(rejected),
                };
                if waiting.send(verdict).await.is_err() {
                    return;
                }
            }
            drop(waiting);
        };
        let answering = async {
            while let Some(verdict) = submitted.recv().await {
                let reply = match verdict {
                    Err(rejected) => Ok(rejected),
                    Ok((verdict, request)) => match verdict.await {
                        Ok(verdict) => self.reply(&request, verdict).await,
                        Err(_) => Err(Status::unavailable("the writer has stopped")),
                    },
                };
                let failed = reply.is_err();
                if answers.send(reply).await.is_err() || failed {
                    break;
                }
            }
            submitted.close();
        };
        tokio::select! {
            () = async { tokio::join!(submitting, answering); } => {}
            () = answers.closed() => {}
        }
    }
}

/// The request that a gateway of this process and domain has read the message's
/// bytes as. See [`webwallet_proto::link`].
fn handed(call: &Call<ClearRequest>, domain: &str) -> Option<Arc<Request>> {
    call.extensions().get::<Arc<Request>>().filter(|request| *request.domain == *domain).cloned()
}

fn rejected(rejection: &Rejection) -> ClearReply {
    let outcome = Some(clear_reply::Outcome::Rejected(rejection.into()));
    ClearReply { outcome, replayed: false }
}

fn cleared(record: Record, replayed: bool) -> ClearReply {
    ClearReply { outcome: Some(clear_reply::Outcome::Cleared(record)), replayed }
}

fn wire_record(record: &webwallet_ledger::Record) -> Record {
    let (hash, body) = (record.hash.0.to_vec().into(), record.bytes.clone().into());
    Record { number: record.number, hash, body }
}

fn wire(stored: Stored) -> Record {
    Record { number: stored.number, hash: stored.hash.0.to_vec().into(), body: stored.bytes.into() }
}

fn wire_output(placed: Placed) -> Output {
    let mut content = Vec::with_capacity(320);
    placed.output.write(&mut content);
    Output { pointer: placed.pointer.to_string(), content: content.into(), number: placed.number }
}

/// A failure of the engine: its cause goes to the log, not to the caller.
fn failure(error: Error) -> Status {
    if !matches!(error, Error::Trimmed(_)) {
        tracing::error!(%error, "the engine failed");
    }
    match error {
        Error::Trimmed(_) => Status::out_of_range(error.to_string()),
        Error::Unavailable(why) => Status::unavailable(why),
        Error::Broken(_) => Status::unavailable("the store needs its operator; its log says why"),
    }
}

fn hash(bytes: &[u8]) -> Result<Hash, Status> {
    Hash::from_slice(bytes).ok_or_else(|| Status::invalid_argument("a hash is 32 bytes"))
}

fn address(text: &str) -> Result<Address, Status> {
    text.parse().map_err(|e| Status::invalid_argument(format!("address: {e}")))
}

#[tonic::async_trait]
impl<S: Store> graphstore_server::Graphstore for Graphstore<S> {
    async fn clear(&self, call: Call<ClearRequest>) -> Result<Response<ClearReply>, Status> {
        self.judge(call, false).await
    }

    type ClearAllStream = Streamed<ClearReply>;

    async fn clear_all(
        &self,
        call: Call<Streaming<ClearRequest>>,
    ) -> Result<Response<Self::ClearAllStream>, Status> {
        self.beside.is_this_history()?;
        let (answers, receiver) = mpsc::channel(16);
        tokio::spawn(self.clone().clear_in_order(call.into_inner(), answers));
        Ok(Response::new(Box::pin(tokio_stream::wrappers::ReceiverStream::new(receiver))))
    }

    async fn rehearse(&self, call: Call<ClearRequest>) -> Result<Response<ClearReply>, Status> {
        self.judge(call, true).await
    }

    async fn replay(&self, call: Call<ReplayRequest>) -> Result<Response<RecordReply>, Status> {
        let ious = call.get_ref().ious.iter().map(|iou| hash(iou));
        let mut ious = ious.collect::<Result<Vec<Hash>, Status>>()?;
        ious.sort_unstable();
        ious.dedup();
        let loaded = self.store.load(&[], &ious).await.map_err(failure)?;
        let record = match replay(&ious, &loaded) {
            Some(at) => self.record(at.number).await?,
            None => None,
        };
        self.found(record)
    }

    async fn record(&self, call: Call<RecordRequest>) -> Result<Response<RecordReply>, Status> {
        let record = match &call.get_ref().key {
            None => return Err(Status::invalid_argument("number, hash or iou is needed")),
            Some(record_request::Key::Number(number)) => self.record(*number).await?,
            Some(record_request::Key::Hash(name)) => {
                self.store.named(hash(name)?).await.map_err(failure)?.map(wire)
            }
            Some(record_request::Key::Iou(iou)) => {
                let iou = hash(iou)?;
                let loaded = self.store.load(&[], &[iou]).await.map_err(failure)?;
                match loaded.record_of(&iou) {
                    Some(at) => self.record(at.number).await?,
                    None => None,
                }
            }
        };
        self.found(record)
    }

    type ClearedStream = Streamed<Record>;

    async fn cleared(
        &self,
        call: Call<ClearedRequest>,
    ) -> Result<Response<Self::ClearedStream>, Status> {
        let ClearedRequest { after, limit } = *call.get_ref();
        let recent = self.writer.recent(after, if limit == 0 { u32::MAX } else { limit });
        if !recent.is_empty() {
            // They go on to the last there is.
            let handed = recent.clone();
            let records = (0..recent.len()).map(move |i| Ok(wire_record(&recent[i])));
            let mut response: Response<Self::ClearedStream> =
                Response::new(Box::pin(tokio_stream::iter(records)));
            response.extensions_mut().insert(handed);
            return Ok(response);
        }
        let store = self.store.clone();
        let page = move |after, limit| {
            let store = store.clone();
            async move {
                let records = store.cleared(after, limit).await.map_err(failure)?;
                Ok(records.into_iter().map(wire).collect())
            }
        };
        Ok(pages(after, limit, page, |record| record.number))
    }

    async fn newest(&self, call: Call<NewestRequest>) -> Result<Response<NewestReply>, Status> {
        self.beside.is_this_history()?;
        let NewestRequest { after, wait_ms } = *call.get_ref();
        let wait = Duration::from_millis(u64::from(wait_ms.min(WAIT_MS_MAX)));
        let number = self.writer.newest(after, wait).await;
        // Answered at once, whoever follows would ask again at once.
        let number = number.ok_or_else(|| Status::unavailable("the writer has stopped"))?;
        Ok(Response::new(NewestReply { number }))
    }

    async fn accounts(
        &self,
        call: Call<AccountsRequest>,
    ) -> Result<Response<AccountsReply>, Status> {
        self.beside.is_this_history()?;
        let asked = call.get_ref();
        let holder = address(&asked.address)?;
        let accounts = if asked.unit.is_empty() {
            let after = match asked.after.as_str() {
                "" => None,
                unit => Some(address(unit)?),
            };
            let found = self.store.accounts(holder, after, asked.skip, asked.limit.min(LIST_MAX));
            found.await.map_err(failure)?
        } else {
            let id = AccountId { unit: address(&asked.unit)?, address: holder };
            let loaded = self.store.load(&[id], &[]).await.map_err(failure)?;
            // A list of one, or of none.
            loaded.accounts.into_iter().filter(|_| asked.skip == 0).collect()
        };
        let wire = |(id, account): (AccountId, webwallet_ledger::Account)| Account {
            unit: id.unit.to_string(),
            net: account.balance.net.to_string(),
            min: account.balance.min_text(),
            max: account.balance.max_text(),
            pointer: account.output.to_string(),
        };
        let accounts = accounts.into_iter().map(wire).collect();
        Ok(Response::new(AccountsReply { accounts }))
    }

    async fn unit(&self, call: Call<UnitRequest>) -> Result<Response<UnitReply>, Status> {
        self.beside.is_this_history()?;
        let unit = self.store.unit(address(&call.get_ref().unit)?).await.map_err(failure)?;
        Ok(Response::new(UnitReply {
            supply: unit.supply.to_string(),
            locked: unit.totals.locked.to_string(),
            credit: unit.totals.credit.to_string(),
            accounts: unit.totals.accounts,
        }))
    }

    async fn holders(&self, call: Call<HoldersRequest>) -> Result<Response<HoldersReply>, Status> {
        self.beside.is_this_history()?;
        let HoldersRequest { unit, after, skip, limit } = call.get_ref();
        let after = match after.as_str() {
            "" => None,
            holder => Some(address(holder)?),
        };
        let found = self.store.holders(address(unit)?, after, *skip, *(limit.min(&LIST_MAX)));
        let holder = |(address, balance): (Address, Balance)| Holder {
            address: address.to_string(),
            net: balance.net.to_string(),
            min: balance.min_text(),
            max: balance.max_text(),
        };
        let holders = found.await.map_err(failure)?.into_iter().map(holder).collect();
        Ok(Response::new(HoldersReply { holders }))
    }

    async fn outputs(&self, call: Call<OutputsRequest>) -> Result<Response<OutputsReply>, Status> {
        self.beside.is_this_history()?;
        let asked = call.get_ref();
        let account = AccountId { unit: address(&asked.unit)?, address: address(&asked.address)? };
        if asked.unspent {
            let outputs = self.unspent(account, asked).await?;
            return Ok(Response::new(OutputsReply { outputs }));
        }
        let page =
            Page { before: asked.before, skip: asked.skip, limit: asked.limit.min(LIST_MAX) };
        let placed = self.store.outputs(account, page).await.map_err(failure)?;
        Ok(Response::new(OutputsReply { outputs: placed.into_iter().map(wire_output).collect() }))
    }

    async fn status(&self, _: Call<StatusRequest>) -> Result<Response<StatusReply>, Status> {
        if self.writer.has_stopped() {
            return Err(Status::unavailable("the writer has stopped"));
        }
        let head = writer::head_of(&*self.store, &self.domain).await.map_err(|error| {
            match failure(error) {
                // Not this process: its engine. Whoever looks for the fault looks there.
                status if status.code() == Code::Unavailable => {
                    engine::missing(&self.store.name(), status.message())
                }
                status => status,
            }
        })?;
        let now = (self.clock)().map_err(Status::unavailable)?;
        Ok(Response::new(StatusReply {
            number: head.number,
            time: head.time.map_or_else(String::new, |time| time.to_string()),
            domain: self.domain.to_string(),
            engine: self.store.name(),
            now: now.max(head.time.unwrap_or(now)).to_string(),
            intent_height: head.intent,
            test_clock: self.test_clock,
            held: self.beside.is_this_history().err().map(|why| why.message().to_owned()),
        }))
    }

    async fn intend(&self, call: Call<IntendRequest>) -> Result<Response<v1::Intent>, Status> {
        let IntendRequest { intent, quiet } = call.into_inner();
        let intent = intent.ok_or_else(|| Status::invalid_argument("an intent is needed"))?;
        let intent = Intent::try_from(intent).map_err(Status::invalid_argument)?;
        match self.writer.intend(intent, quiet).await.map_err(failure)? {
            Intended::Stored(stored) => {
                let stored = stored.into_iter().next();
                let stored = stored.ok_or_else(|| Status::internal("no intent was stored"))?;
                Ok(Response::new(stored.into()))
            }
            Intended::Refused(why) => Err(Status::failed_precondition(why)),
        }
    }

    type IntentsStream = Streamed<v1::Intent>;

    async fn intents(
        &self,
        call: Call<IntentsRequest>,
    ) -> Result<Response<Self::IntentsStream>, Status> {
        let IntentsRequest { from, limit } = *call.get_ref();
        let store = self.store.clone();
        let page = move |from, limit| {
            let store = store.clone();
            async move {
                let intents = store.intents(from, limit).await.map_err(failure)?;
                Ok(intents.into_iter().map(v1::Intent::from).collect())
            }
        };
        Ok(pages(from, limit, page, |intent| intent.height.saturating_add(1)))
    }

    async fn trim(&self, call: Call<TrimRequest>) -> Result<Response<TrimReply>, Status> {
        self.store.trim(call.get_ref().upto).await.map_err(failure)?;
        Ok(Response::new(TrimReply {}))
    }
}
