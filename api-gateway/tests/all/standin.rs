//! Stand-ins for Graphstore, Hashtable and Blockstack: the real rules over maps in
//! memory, and switches that make them fail. A gateway may not import the real ones,
//! not even in its tests; those meet it in the crate `tests`.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Notify;
use tonic::{Response, Status, async_trait};
use tower::ServiceExt as _;
use webwallet_api_gateway::{Config, Gateway, Limits, Unusual};
use webwallet_ledger::account::{Account, AccountId};
use webwallet_ledger::clear::{self, Cleared};
use webwallet_ledger::signature::public_of;
use webwallet_ledger::{
    Address, Amount, Draft, Hash, Lock, Pointer, Record, Supplied, Time, request,
};
use webwallet_ledger::{History, RecordOf};
use webwallet_openapi::hold;
use webwallet_proto::blockstack::v1 as log;
use webwallet_proto::blockstack::v1::blockstack_server::Blockstack;
use webwallet_proto::graphstore::v1 as graph;
use webwallet_proto::graphstore::v1::graphstore_server::Graphstore;
use webwallet_proto::hashtable::v1 as table;
use webwallet_proto::hashtable::v1::hashtable_server::Hashtable;
use webwallet_proto::link::Link;

/// A bundle of the largest leaves.
#[allow(dead_code, reason = "not every suite reads it")]
pub const LARGE: &[u8] = &[b'x'; 15 << 20];

pub const DOMAIN: &str = "example.net";
pub const CHECKPOINT: &str = "example.net\n2\nAAAA\n\n\u{2014} example.net AAAA\n";
pub const NOW: &str = "2026-06-01T12:00:00.000Z";

/// What both stand-ins hold, and how they are to behave.
#[derive(Default)]
pub struct Stores {
    pub books: Mutex<Books>,
    pub documents: Mutex<HashMap<Vec<u8>, Bytes>>,
    /// What was supplied.
    pub supplied: Mutex<HashMap<Vec<u8>, Bytes>>,
    /// Names of calls that fail, and how.
    pub failing: Mutex<HashMap<&'static str, tonic::Code>>,
    /// Milliseconds before `Clear` answers.
    pub clear_delay_ms: Mutex<u64>,
    /// Milliseconds before the next `Put` answers; those after it do at once.
    pub put_delay_ms: Mutex<u64>,
    /// What the log has sealed.
    pub sealed: Mutex<Vec<log::Receipt>>,
    /// Why nothing may clear.
    pub read_only: Mutex<Option<String>>,
    /// The last block that Graphstore knows of; the log shows block 0.
    pub intended: Mutex<Option<u64>>,
    /// Told when `Clear` has begun.
    pub clearing: Notify,
    /// Ends the delays of those `Clear` that wait now.
    pub go_on: Notify,
}

#[derive(Default)]
pub struct Books {
    records: Vec<Record>,
    accounts: BTreeMap<(Address, Address), Account>,
    ious: HashMap<Hash, RecordOf>,
    outputs: HashMap<AccountId, Vec<(u64, Pointer, Bytes)>>,
}

impl History for Books {
    fn account(&self, account: &AccountId) -> Option<Account> {
        self.accounts.get(&(account.address, account.unit)).cloned()
    }

    fn record_of(&self, iou: &Hash) -> Option<RecordOf> {
        self.ious.get(iou).copied()
    }

    fn lock(&self, _: &Pointer) -> Option<Lock> {
        // Nobody locks anything here.
        None
    }
}

impl Books {
    fn wire(&self, number: u64) -> Option<graph::Record> {
        let record = self.records.get(number.checked_sub(1)? as usize)?;
        Some(graph::Record {
            number,
            hash: record.hash.0.to_vec().into(),
            body: record.bytes.clone().into(),
        })
    }

    fn clear(&mut self, inputs: &[Bytes], rehearsal: bool) -> graph::ClearReply {
        use graph::clear_reply::Outcome;
        let request = request::Request::from_inputs(inputs, DOMAIN).expect("a gateway verifies");
        let (number, time) = (self.records.len() as u64 + 1, NOW.parse().expect("a time"));
        let (outcome, replayed) = match clear::clear(&request, number, time, self) {
            Ok(Cleared::Before(before)) => {
                (Outcome::Cleared(self.wire(before.number).expect("a record")), true)
            }
            Ok(Cleared::Now(record)) if rehearsal => {
                let hash = record.hash.0.to_vec().into();
                let body = record.bytes.into();
                (Outcome::Cleared(graph::Record { number, hash, body }), false)
            }
            Ok(Cleared::Now(record)) => {
                self.enter(record);
                (Outcome::Cleared(self.wire(number).expect("a record")), false)
            }
            Err(rejection) => (Outcome::Rejected((&rejection).into()), false),
        };
        graph::ClearReply { outcome: Some(outcome), replayed }
    }

    fn enter(&mut self, record: Record) {
        for &iou in &record.inputs {
            let inputs = record.inputs.len() as u32;
            let place = RecordOf { number: record.number, hash: record.hash, inputs };
            self.ious.insert(iou, place);
        }
        for (index, output) in (0..).zip(&record.outputs) {
            let pointer = Pointer { record: record.hash, index };
            let (id, balance) = (output.account, output.balance.clone());
            self.accounts.insert((id.address, id.unit), Account { balance, output: pointer });
            let mut content = Vec::new();
            output.write(&mut content);
            self.outputs.entry(id).or_default().push((record.number, pointer, content.into()));
        }
        self.records.push(record);
    }
}

impl Stores {
    pub fn fail(&self, call: &'static str, code: tonic::Code) {
        self.failing.lock().expect("lock").insert(call, code);
    }

    pub fn mend(&self) {
        self.failing.lock().expect("lock").clear();
    }

    /// A document that came into Hashtable on another way.
    pub fn keep(&self, hash: Hash, body: &'static [u8]) {
        let mut documents = self.documents.lock().expect("lock");
        documents.insert(hash.0.to_vec(), Bytes::from_static(body));
    }

    /// The delay of a `Clear`, unless it is ended.
    async fn delay(&self) {
        let delay = Duration::from_millis(*self.clear_delay_ms.lock().expect("lock"));
        let mut go_on = pin!(self.go_on.notified());
        go_on.as_mut().enable();
        self.clearing.notify_one();
        let _ = tokio::time::timeout(delay, go_on).await;
    }

    fn works(&self, call: &'static str) -> Result<(), Status> {
        match self.failing.lock().expect("lock").get(call) {
            Some(code) => Err(Status::new(*code, "secret: /var/lib/store is on fire")),
            None => Ok(()),
        }
    }
}

pub struct Shared(pub Arc<Stores>);

/// A stream of what is there already.
pub type Answers<T> = tonic::codegen::tokio_stream::Iter<std::vec::IntoIter<Result<T, Status>>>;

fn answers<T>(answers: Vec<Result<T, Status>>) -> Answers<T> {
    tonic::codegen::tokio_stream::iter(answers)
}

#[async_trait]
impl Graphstore for Shared {
    async fn clear(
        &self,
        call: tonic::Request<graph::ClearRequest>,
    ) -> Result<Response<graph::ClearReply>, Status> {
        self.0.works("clear")?;
        self.0.delay().await;
        let reply = self.0.books.lock().expect("lock").clear(&call.into_inner().inputs, false);
        Ok(Response::new(reply))
    }

    type ClearAllStream = futures::stream::BoxStream<'static, Result<graph::ClearReply, Status>>;

    async fn clear_all(
        &self,
        call: tonic::Request<tonic::Streaming<graph::ClearRequest>>,
    ) -> Result<Response<Self::ClearAllStream>, Status> {
        let stores = self.0.clone();
        let replies = call.into_inner().then(move |request| {
            let stores = stores.clone();
            async move {
                stores.works("clear")?;
                stores.delay().await;
                Ok(stores.books.lock().expect("lock").clear(&request?.inputs, false))
            }
        });
        Ok(Response::new(replies.boxed()))
    }

    async fn rehearse(
        &self,
        call: tonic::Request<graph::ClearRequest>,
    ) -> Result<Response<graph::ClearReply>, Status> {
        self.0.works("rehearse")?;
        let reply = self.0.books.lock().expect("lock").clear(&call.into_inner().inputs, true);
        Ok(Response::new(reply))
    }

    async fn replay(
        &self,
        call: tonic::Request<graph::ReplayRequest>,
    ) -> Result<Response<graph::RecordReply>, Status> {
        self.0.works("replay")?;
        let ious = call.into_inner().ious;
        let ious: Vec<Hash> = ious.iter().filter_map(|b| Hash::from_slice(b)).collect();
        let books = self.0.books.lock().expect("lock");
        let record = clear::replay(&ious, &*books).and_then(|of| books.wire(of.number));
        Ok(Response::new(graph::RecordReply { record }))
    }

    async fn record(
        &self,
        call: tonic::Request<graph::RecordRequest>,
    ) -> Result<Response<graph::RecordReply>, Status> {
        use graph::record_request::Key;
        self.0.works("record")?;
        let books = self.0.books.lock().expect("lock");
        let number = match call.into_inner().key.expect("a key") {
            Key::Number(number) => Some(number),
            Key::Hash(hash) => {
                books.records.iter().find(|r| r.hash.0[..] == hash[..]).map(|r| r.number)
            }
            Key::Iou(hash) => {
                Hash::from_slice(&hash).and_then(|h| books.ious.get(&h)).map(|of| of.number)
            }
        };
        let record = number.and_then(|number| books.wire(number));
        Ok(Response::new(graph::RecordReply { record }))
    }

    type ClearedStream = Answers<graph::Record>;

    async fn cleared(
        &self,
        call: tonic::Request<graph::ClearedRequest>,
    ) -> Result<Response<Self::ClearedStream>, Status> {
        self.0.works("cleared")?;
        let graph::ClearedRequest { after, limit } = call.into_inner();
        let books = self.0.books.lock().expect("lock");
        let numbers = after.saturating_add(1)..=after.saturating_add(limit.into());
        let records = numbers.map_while(|number| books.wire(number)).map(Ok);
        Ok(Response::new(answers(records.collect())))
    }

    async fn newest(
        &self,
        call: tonic::Request<graph::NewestRequest>,
    ) -> Result<Response<graph::NewestReply>, Status> {
        self.0.works("newest")?;
        let graph::NewestRequest { after, wait_ms } = call.into_inner();
        let wait = Duration::from_millis(wait_ms.into());
        let number = || self.0.books.lock().expect("lock").records.len() as u64;
        let until = tokio::time::Instant::now() + wait;
        while number() <= after && tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(Response::new(graph::NewestReply { number: number() }))
    }

    async fn intend(
        &self,
        _: tonic::Request<graph::IntendRequest>,
    ) -> Result<Response<graph::Intent>, Status> {
        Err(Status::unimplemented("not for a gateway"))
    }

    type IntentsStream = tonic::codegen::tokio_stream::Empty<Result<graph::Intent, Status>>;

    async fn intents(
        &self,
        _: tonic::Request<graph::IntentsRequest>,
    ) -> Result<Response<Self::IntentsStream>, Status> {
        Err(Status::unimplemented("not for a gateway"))
    }

    async fn trim(
        &self,
        _: tonic::Request<graph::TrimRequest>,
    ) -> Result<Response<graph::TrimReply>, Status> {
        Err(Status::unimplemented("not for a gateway"))
    }

    async fn accounts(
        &self,
        call: tonic::Request<graph::AccountsRequest>,
    ) -> Result<Response<graph::AccountsReply>, Status> {
        self.0.works("accounts")?;
        let call = call.into_inner();
        let books = self.0.books.lock().expect("lock");
        let accounts = books
            .accounts
            .iter()
            .filter(|((address, _), _)| address.as_str() == call.address)
            .filter(|((_, unit), _)| call.unit.is_empty() || unit.as_str() == call.unit)
            .filter(|((_, unit), _)| unit.as_str() > call.after.as_str())
            .skip(call.skip as usize)
            .take(call.limit as usize)
            .map(|((_, unit), account)| graph::Account {
                unit: unit.to_string(),
                net: account.balance.net.to_string(),
                min: account.balance.min_text(),
                max: account.balance.max_text(),
                pointer: account.output.to_string(),
            })
            .collect();
        Ok(Response::new(graph::AccountsReply { accounts }))
    }

    async fn unit(
        &self,
        call: tonic::Request<graph::UnitRequest>,
    ) -> Result<Response<graph::UnitReply>, Status> {
        self.0.works("unit")?;
        let books = self.0.books.lock().expect("lock");
        let zero = Amount::zero;
        let (mut supply, mut credit, mut accounts) = (zero(), zero(), 0);
        for ((address, unit), account) in &books.accounts {
            if unit.as_str() == call.get_ref().unit {
                accounts += 1;
                match &account.balance.min {
                    Some(min) if address != unit => credit = credit.minus(min),
                    _ => supply = account.balance.net.negated(),
                }
            }
        }
        Ok(Response::new(graph::UnitReply {
            supply: supply.to_string(),
            locked: zero().to_string(),
            credit: credit.to_string(),
            accounts,
        }))
    }

    async fn holders(
        &self,
        call: tonic::Request<graph::HoldersRequest>,
    ) -> Result<Response<graph::HoldersReply>, Status> {
        self.0.works("holders")?;
        let call = call.into_inner();
        let books = self.0.books.lock().expect("lock");
        let holders = books
            .accounts
            .iter()
            .filter(|((_, unit), _)| unit.as_str() == call.unit)
            .filter(|((address, _), _)| address.as_str() > call.after.as_str())
            .skip(call.skip as usize)
            .take(call.limit as usize)
            .map(|((address, _), account)| graph::Holder {
                address: address.to_string(),
                net: account.balance.net.to_string(),
                min: account.balance.min_text(),
                max: account.balance.max_text(),
            })
            .collect();
        Ok(Response::new(graph::HoldersReply { holders }))
    }

    async fn outputs(
        &self,
        call: tonic::Request<graph::OutputsRequest>,
    ) -> Result<Response<graph::OutputsReply>, Status> {
        self.0.works("outputs")?;
        let call = call.into_inner();
        let id = AccountId {
            unit: call.unit.parse().expect("a gateway sends addresses"),
            address: call.address.parse().expect("a gateway sends addresses"),
        };
        let books = self.0.books.lock().expect("lock");
        let none = Vec::new();
        let chain = books.outputs.get(&id).unwrap_or(&none);
        let newest = if call.unspent { 1 } else { usize::MAX };
        let outputs = chain
            .iter()
            .rev()
            .take(newest)
            .filter(|(number, ..)| call.before == 0 || *number < call.before)
            .skip(call.skip as usize)
            .take(call.limit as usize)
            .map(|(number, pointer, content)| graph::Output {
                pointer: pointer.to_string(),
                content: content.clone(),
                number: *number,
            })
            .collect();
        Ok(Response::new(graph::OutputsReply { outputs }))
    }

    async fn status(
        &self,
        _: tonic::Request<graph::StatusRequest>,
    ) -> Result<Response<graph::StatusReply>, Status> {
        self.0.works("status")?;
        let number = self.0.books.lock().expect("lock").records.len() as u64;
        Ok(Response::new(graph::StatusReply {
            number,
            time: NOW.to_owned(),
            domain: DOMAIN.to_owned(),
            engine: "stand-in".to_owned(),
            now: NOW.to_owned(),
            intent_height: *self.0.intended.lock().expect("lock"),
        }))
    }
}

#[async_trait]
impl Hashtable for Shared {
    async fn put(
        &self,
        call: tonic::Request<table::PutRequest>,
    ) -> Result<Response<table::PutReply>, Status> {
        self.0.works("put")?;
        let delay = std::mem::take(&mut *self.0.put_delay_ms.lock().expect("lock"));
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        let mut documents = self.0.documents.lock().expect("lock");
        for document in call.into_inner().documents {
            documents.insert(document.hash.to_vec(), document.body);
        }
        Ok(Response::new(table::PutReply {}))
    }

    async fn get(
        &self,
        call: tonic::Request<table::GetRequest>,
    ) -> Result<Response<table::GetReply>, Status> {
        self.0.works("get")?;
        let documents = self.0.documents.lock().expect("lock");
        let hashes = call.into_inner().hashes;
        let found = |hash: &Bytes| table::Found { body: documents.get(&hash[..]).cloned() };
        Ok(Response::new(table::GetReply { documents: hashes.iter().map(found).collect() }))
    }

    async fn supply(
        &self,
        call: tonic::Request<table::SupplyRequest>,
    ) -> Result<Response<table::SupplyReply>, Status> {
        self.0.works("supply")?;
        let document = Supplied::of_document(&call.get_ref().body).expect("a gateway checks");
        let body = Bytes::copy_from_slice(document.bytes());
        self.0.supplied.lock().expect("lock").insert(document.name().0.to_vec(), body);
        Ok(Response::new(table::SupplyReply {}))
    }

    async fn supplied(
        &self,
        call: tonic::Request<table::SuppliedRequest>,
    ) -> Result<Response<table::Found>, Status> {
        self.0.works("supplied")?;
        let supplied = self.0.supplied.lock().expect("lock");
        let body = supplied.get(&call.get_ref().hash[..]).cloned();
        Ok(Response::new(table::Found { body }))
    }

    type NumberedStream = Answers<table::Document>;

    async fn numbered(
        &self,
        call: tonic::Request<table::NumberedRequest>,
    ) -> Result<Response<Self::NumberedStream>, Status> {
        self.0.works("numbered")?;
        let table::NumberedRequest { after, limit } = call.into_inner();
        let books = self.0.books.lock().expect("lock");
        let documents = self.0.documents.lock().expect("lock");
        let numbers = after.saturating_add(1)..=after.saturating_add(limit.into());
        let records = numbers.map_while(|number| {
            let graph::Record { number, hash, .. } = books.wire(number)?;
            let body = documents.get(&hash[..])?.clone();
            Some(Ok(table::Document { hash, body, number }))
        });
        Ok(Response::new(answers(records.collect())))
    }

    async fn names(
        &self,
        _: tonic::Request<table::NumberedRequest>,
    ) -> Result<Response<table::NamesReply>, Status> {
        Err(Status::unimplemented("not for a gateway"))
    }

    async fn status(
        &self,
        _: tonic::Request<table::StatusRequest>,
    ) -> Result<Response<table::StatusReply>, Status> {
        self.0.works("get")?;
        Ok(Response::new(table::StatusReply { number: 0, engine: "stand-in".to_owned() }))
    }
}

/// A log with one checkpoint, in which nothing is sealed but what a test puts there.
#[async_trait]
impl Blockstack for Shared {
    async fn status(
        &self,
        _: tonic::Request<log::StatusRequest>,
    ) -> Result<Response<log::StatusReply>, Status> {
        self.0.works("blockstack")?;
        let read_only = self.0.read_only.lock().expect("lock").clone();
        Ok(Response::new(log::StatusReply {
            height: Some(0),
            size: 2,
            checkpoint: CHECKPOINT.to_owned(),
            keys: vec!["example.net+00000000+AAAA".to_owned()],
            domain: DOMAIN.to_owned(),
            read_only,
            ..Default::default()
        }))
    }

    async fn checkpoint(
        &self,
        call: tonic::Request<log::CheckpointRequest>,
    ) -> Result<Response<log::CheckpointReply>, Status> {
        self.0.works("blockstack")?;
        let there = call.into_inner().size.is_none_or(|size| size == 2);
        let checkpoint = there.then(|| CHECKPOINT.to_owned());
        Ok(Response::new(log::CheckpointReply { checkpoint }))
    }

    async fn tile(
        &self,
        call: tonic::Request<log::TileRequest>,
    ) -> Result<Response<log::TileReply>, Status> {
        match call.into_inner().path.as_str() {
            "tile/0/000.p/2" => Ok(Response::new(log::TileReply { body: Some("tile".into()) })),
            "tile/entries/000" => Ok(Response::new(log::TileReply { body: Some(LARGE.into()) })),
            "tile/nonsense" => Err(Status::invalid_argument("no path of a tile")),
            _ => Ok(Response::new(log::TileReply::default())),
        }
    }

    async fn inclusion(
        &self,
        _: tonic::Request<log::InclusionRequest>,
    ) -> Result<Response<log::InclusionReply>, Status> {
        let path = vec![Bytes::from_static(&[171; 32])];
        let inclusion = Some(log::Inclusion { index: 0, size: 2, path });
        Ok(Response::new(log::InclusionReply { inclusion }))
    }

    async fn consistency(
        &self,
        _: tonic::Request<log::ConsistencyRequest>,
    ) -> Result<Response<log::ConsistencyReply>, Status> {
        Ok(Response::new(log::ConsistencyReply::default()))
    }

    async fn receipt(
        &self,
        call: tonic::Request<log::ReceiptRequest>,
    ) -> Result<Response<log::ReceiptReply>, Status> {
        self.0.works("blockstack")?;
        let sealed = self.0.sealed.lock().expect("lock");
        let receipt = sealed.iter().find(|receipt| receipt.number == call.get_ref().number);
        Ok(Response::new(log::ReceiptReply { receipt: receipt.cloned() }))
    }

    async fn block(
        &self,
        _: tonic::Request<log::BlockRequest>,
    ) -> Result<Response<log::BlockReply>, Status> {
        Ok(Response::new(log::BlockReply::default()))
    }

    type BlockRecordsStream = tonic::codegen::tokio_stream::Empty<Result<log::Record, Status>>;

    async fn block_records(
        &self,
        _: tonic::Request<log::BlockRecordsRequest>,
    ) -> Result<Response<Self::BlockRecordsStream>, Status> {
        Err(Status::not_found("no such block"))
    }

    async fn stack(
        &self,
        _: tonic::Request<log::StackRequest>,
    ) -> Result<Response<log::StackReply>, Status> {
        Ok(Response::new(log::StackReply::default()))
    }

    async fn account_proof(
        &self,
        _: tonic::Request<log::AccountProofRequest>,
    ) -> Result<Response<log::StateProofReply>, Status> {
        Ok(Response::new(log::StateProofReply::default()))
    }

    async fn unit_proof(
        &self,
        _: tonic::Request<log::UnitProofRequest>,
    ) -> Result<Response<log::StateProofReply>, Status> {
        Ok(Response::new(log::StateProofReply::default()))
    }

    async fn seal(
        &self,
        _: tonic::Request<log::SealRequest>,
    ) -> Result<Response<log::SealReply>, Status> {
        Err(Status::failed_precondition("the stores disagree"))
    }

    async fn rotate_log_key(
        &self,
        _: tonic::Request<log::RotateLogKeyRequest>,
    ) -> Result<Response<log::RotateLogKeyReply>, Status> {
        self.0.works("blockstack")?;
        Err(Status::failed_precondition("the stores disagree"))
    }
}

/// A gateway before stand-ins.
pub struct Deployment {
    pub stores: Arc<Stores>,
    pub gateway: Gateway,
    pub router: Router,
}

impl Deployment {
    pub fn new() -> Deployment {
        Deployment::with(Limits::default())
    }

    pub fn with(limits: Limits) -> Deployment {
        Deployment::of(DOMAIN, limits)
    }

    pub fn of(domain: &str, limits: Limits) -> Deployment {
        let stores = Arc::new(Stores::default());
        let deadline = Duration::from_secs(5);
        let graphstore = webwallet_proto::graphstore::server(Shared(stores.clone()));
        let hashtable = webwallet_proto::hashtable::server(Shared(stores.clone()));
        let blockstack = webwallet_proto::blockstack::server(Shared(stores.clone()));
        let config = Config {
            domain: domain.to_owned(),
            limits,
            unusual: Unusual::default(),
            randomness: Arc::new(|| StdRng::seed_from_u64(7)),
        };
        let gateway = Gateway::start(
            config,
            webwallet_proto::graphstore::client(Link::embedded(graphstore, deadline)),
            webwallet_proto::hashtable::client(Link::embedded(hashtable, deadline)),
            webwallet_proto::blockstack::client(Link::embedded(blockstack, deadline)),
        )
        .expect("threads");
        let router = gateway.router();
        Deployment { stores, gateway, router }
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        answer(self.router.clone(), request).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).expect("a request")).await
    }

    pub async fn post(&self, body: impl Into<Body>) -> Answer {
        self.send(Request::post("/transaction").body(body.into()).expect("a request")).await
    }
}

/// What a client sees.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// What a router answers, which the OpenAPI document must promise.
pub async fn answer(router: Router, request: Request<Body>) -> Answer {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let response = router.oneshot(request).await.expect("infallible");
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes();
    hold(&method, &uri, &parts, &body);
    Answer { status: parts.status, headers: parts.headers, body }
}

/// Reads an answer as the documented type and writes it out again: what the
/// document does not show would be lost, what it wrongly promises would fail.
pub fn documented<T: DeserializeOwned + Serialize>(answer: &Answer) {
    let read: T = serde_json::from_slice(&answer.body).expect("the documented type");
    assert_eq!(serde_json::to_value(&read).expect("JSON"), answer.json());
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The code of a refusal, which must have every member it owes.
    pub fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let json = self.json();
        let text = |name: &str| json[name].as_str().unwrap_or_else(|| panic!("{name} in {json}"));
        let code = text("code");
        assert_eq!(text("type"), format!("/problems/{code}"));
        assert_eq!(json["status"], self.status.as_u16());
        assert!(["never", "same", "rebuild", "later"].contains(&text("retry")), "{json}");
        assert!(!text("title").is_empty() && text("instance").starts_with('/'));
        assert_eq!(json["error"]["details"], text("detail"));
        assert!(json["error"]["message"].as_str().is_some_and(|m| !m.contains('_')), "{json}");
        let waits = [429, 503].contains(&self.status.as_u16());
        assert_eq!(self.headers.contains_key("retry-after"), waits, "{json}");
        assert!(!String::from_utf8_lossy(&self.body).contains("secret"), "{json}");
        code.to_owned()
    }
}

/// Somebody with a key.
#[derive(Clone, Copy)]
pub struct Person {
    pub secret: [u8; 32],
    pub address: Address,
}

pub fn person(n: u8) -> Person {
    let secret = [n; 32];
    let address = Address::of_public(&public_of(&secret));
    Person { secret, address }
}

pub fn time(text: &str) -> Time {
    text.parse().expect("a time")
}

/// An IOU of the payer's own unit.
pub fn draft(from: Person, to: Person, amount: &str, random: u64) -> Draft {
    Draft {
        domain: DOMAIN.to_owned(),
        source: from.address,
        target: to.address,
        symbol: from.address,
        amount: amount.to_owned(),
        random: format!("{random:032}"),
        expiry: time("2027-01-01T00:00:00.000Z"),
        active: None,
        credit: None,
        locker: None,
        solver: None,
    }
}

/// The body that issues an amount of the payer's own unit.
pub fn issue(from: Person, to: Person, amount: &str, random: u64) -> Vec<u8> {
    body(&[draft(from, to, amount, random).sign(&from.secret)])
}

pub fn body(ious: &[Vec<u8>]) -> Vec<u8> {
    request::body_of(ious.iter().map(Vec::as_slice))
}
