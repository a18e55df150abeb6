//! Graphstore and Hashtable in memory, with the promises that Blockstack relies
//! on and nothing else; and a count of every write anywhere, each of which can
//! be made to fail without or with effect, once or for good.
//!
//! Over the real ones Blockstack runs in the scenarios, `tests/tests/all/scenarios.rs`.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use tonic::{Request as Call, Response, Status};
use webwallet_blockstack::{
    Blockstack, Config, Folder, LogKey, Published, Seal, StartError, rebuild,
};
use webwallet_ledger::clear::{Cleared, clear};
use webwallet_ledger::signature::public_of;
use webwallet_ledger::tile::TileId;
use webwallet_ledger::{
    Account, AccountId, Address, Draft, Hash, History, Lock, Pointer, Record, RecordOf, Request,
    Time,
};
use webwallet_proto::blockstack::v1::blockstack_client::BlockstackClient;
use webwallet_proto::graphstore::v1::graphstore_server::Graphstore;
use webwallet_proto::graphstore::v1::{self as graphstore, IntendRequest, Intent};
use webwallet_proto::hashtable::v1::hashtable_server::Hashtable;
use webwallet_proto::hashtable::v1::{self as hashtable, Document};
use webwallet_proto::link::Link;
use webwallet_proto::stream::Streamed;

pub const DOMAIN: &str = "example.net";
const DEADLINE: Duration = Duration::from_secs(10);

/// What happens to one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Fails, and nothing was written.
    Without,
    /// Fails, and everything was written.
    With,
}

/// Every write of a test, counted.
#[derive(Default)]
pub struct Writes {
    pub done: BTreeMap<&'static str, u64>,
    pub count: u64,
    /// Which one fails, how, and whether nothing works afterwards.
    pub fault: Option<(u64, Fault, bool)>,
    pub hit: Option<&'static str>,
    dead: bool,
}

/// All stores of a server. Clones are the same stores.
#[derive(Clone, Default)]
pub struct Stores(Arc<Mutex<Inner>>);

#[derive(Default)]
pub struct Inner {
    pub writes: Writes,
    pub records: Vec<Record>,
    accounts: HashMap<AccountId, Account>,
    ious: HashMap<Hash, RecordOf>,
    /// Those that are open.
    pub locks: BTreeMap<Pointer, Lock>,
    pub intents: Vec<Intent>,
    pub trimmed: u64,
    pub documents: HashMap<Hash, Bytes>,
    /// Documents that were asked for.
    pub asked: usize,
    pub numbers: BTreeMap<u64, Hash>,
    pub time: Option<Time>,
    /// What the clock shows.
    pub clock: i64,
    /// Every checkpoint that was signed: size and whole note, in order.
    pub signed: Vec<String>,
    pub unavailable: bool,
    /// The log's files cannot be read.
    pub unreadable: bool,
    /// What happens right after Graphstore has next said where it stands.
    pub meanwhile: Option<fn(&Stores)>,
}

impl History for Inner {
    fn account(&self, account: &AccountId) -> Option<Account> {
        self.accounts.get(account).cloned()
    }
    fn record_of(&self, iou: &Hash) -> Option<RecordOf> {
        self.ious.get(iou).copied()
    }

    fn lock(&self, pointer: &Pointer) -> Option<Lock> {
        self.locks.get(pointer).cloned()
    }
}

impl Inner {
    fn now(&self) -> Time {
        let clock = Time::from_unix_ms(1_767_225_600_000 + self.clock);
        self.time.map_or(clock, |time| time.max(clock))
    }

    /// One write of this kind: does it happen, and is it said to have?
    fn write<T>(&mut self, kind: &'static str, effect: impl FnOnce(&mut Inner) -> T) -> Option<T> {
        if self.writes.dead {
            return None;
        }
        let number = self.writes.count;
        self.writes.count += 1;
        *self.writes.done.entry(kind).or_default() += 1;
        match self.writes.fault {
            Some((at, fault, dies)) if at == number => {
                self.writes.hit = Some(kind);
                self.writes.dead = dies;
                if fault == Fault::With {
                    effect(self);
                }
                None
            }
            _ => Some(effect(self)),
        }
    }
}

fn failed() -> Status {
    Status::unavailable("a test")
}

pub fn secret(name: &str) -> [u8; 32] {
    Hash::sha3(name.as_bytes()).0
}

pub fn address(name: &str) -> Address {
    Address::of_public(&public_of(&secret(name)))
}

impl Stores {
    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Clears a payment in the payer's own unit.
    pub fn pay(&self, from: &str, to: &str, amount: u64) -> u64 {
        let number = self.lock().records.len() as u64 + 1;
        assert!(self.clear(&[iou(from, to, amount, number)]), "it clears");
        number
    }

    /// One payment to each of so many who never had anything, in one request.
    pub fn pay_out(&self, from: &str, count: u64) {
        let number = self.lock().records.len() as u64 + 1;
        let to = |i| iou(from, &format!("payee {number} {i}"), 1, number);
        assert!(self.clear(&(0..count).map(to).collect::<Vec<_>>()), "it clears");
    }

    /// Clears a request, if it does.
    pub fn clear(&self, ious: &[Vec<u8>]) -> bool {
        let mut inner = self.lock();
        let request = Request::from_inputs(ious, DOMAIN).expect("IOUs");
        let (number, time) = (inner.records.len() as u64 + 1, inner.now());
        let Ok(Cleared::Now(record)) = clear(&request, number, time, &*inner) else {
            return false;
        };
        inner.accounts.extend(record.accounts());
        let at = record.cleared();
        inner.ious.extend(record.inputs.iter().map(|iou| (*iou, at)));
        inner.time = Some(time);
        record.collects.iter().for_each(|used| drop(inner.locks.remove(used)));
        inner.locks.extend(record.locked().map(|(pointer, lock)| (pointer, lock.clone())));
        inner.records.push(record);
        true
    }

    /// So many different payments.
    pub fn pay_often(&self, count: u64) {
        for _ in 0..count {
            let number = self.lock().records.len() as u64;
            self.pay(["ann", "ben"][number as usize % 2], &format!("holder {}", number % 7), 1);
        }
    }

    pub fn advance(&self, ms: i64) {
        self.lock().clock += ms;
    }

    pub fn fail_at(&self, write: u64, fault: Fault, dies: bool) {
        self.lock().writes.fault = Some((write, fault, dies));
    }

    pub fn is_dead(&self) -> bool {
        self.lock().writes.dead
    }

    /// After a kill: everything works again.
    pub fn revive(&self) {
        let mut inner = self.lock();
        (inner.writes.dead, inner.writes.fault) = (false, None);
    }

    /// A Blockstack over these stores, in a folder as `serve` lays it out.
    pub async fn start(&self, dir: &Path) -> Running {
        self.start_with(dir, Seal::Manual, 20).await
    }

    pub async fn start_with(&self, dir: &Path, seal: Seal, snapshot_records: u64) -> Running {
        let (config, store, key) = self.parts(dir, seal, snapshot_records);
        let (graphstore, hashtable) = self.clients();
        let blockstack = Blockstack::start(config, store, key, graphstore, hashtable);
        let blockstack = blockstack.await.expect("starts");
        let link = Link::embedded(blockstack.server(), DEADLINE);
        Running { client: webwallet_proto::blockstack::client(link), blockstack }
    }

    /// `webwallet rebuild log` over these stores; the size.
    pub async fn rebuild_log(&self, dir: &Path) -> Result<u64, StartError> {
        let (config, store, key) = self.parts(dir, Seal::Manual, 20);
        let (graphstore, hashtable) = self.clients();
        rebuild::log(config, store, key, graphstore, hashtable).await
    }

    fn parts(&self, dir: &Path, seal: Seal, snapshot_records: u64) -> (Config, Store, LogKey) {
        let mut config = Config::new(DOMAIN, dir.join("state"));
        (config.seal, config.snapshot_records, config.mark_blocks) = (seal, snapshot_records, 4);
        let folder = Folder::open(&dir.join("log")).expect("the log's folder");
        let next = Mutex::new(0_u8);
        let randomness = Arc::new(move || {
            let mut next = next.lock().expect("a lock");
            *next += 1;
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            Hash::sha3(format!("{next} {now:?}").as_bytes()).0
        });
        let key = LogKey::open(&dir.join("log-key"), DOMAIN, randomness);
        (config, Store { folder, stores: self.clone() }, key.expect("a log key"))
    }

    fn clients(
        &self,
    ) -> (
        graphstore::graphstore_client::GraphstoreClient<Link>,
        hashtable::hashtable_client::HashtableClient<Link>,
    ) {
        let graphstore = webwallet_proto::graphstore::server(self.clone());
        let hashtable = webwallet_proto::hashtable::server(self.clone());
        (
            webwallet_proto::graphstore::client(Link::embedded(graphstore, DEADLINE)),
            webwallet_proto::hashtable::client(Link::embedded(hashtable, DEADLINE)),
        )
    }
}

/// A Blockstack and the way to ask it.
pub struct Running {
    pub blockstack: Blockstack<Store>,
    pub client: BlockstackClient<Link>,
}

fn iou(from: &str, to: &str, amount: u64, number: u64) -> Vec<u8> {
    let draft = Draft {
        domain: DOMAIN.into(),
        source: address(from),
        target: address(to),
        symbol: address(from),
        amount: amount.to_string(),
        random: format!("payment {number}"),
        expiry: "2027-01-01T00:00:00.000Z".parse().expect("a time"),
        active: None,
        credit: None,
        locker: None,
        solver: None,
    };
    draft.sign(&secret(from))
}

/// The real folder; each file written to it is a write of its own.
pub struct Store {
    folder: Folder,
    stores: Stores,
}

impl webwallet_blockstack::Store for Store {
    fn put(&self, files: &[(TileId, Vec<u8>)]) -> io::Result<()> {
        for file in files {
            let kind = match file.0.level {
                webwallet_ledger::tile::Level::Entries => "entries",
                webwallet_ledger::tile::Level::Hashes(_) => "tile",
            };
            let put = |_: &mut Inner| self.folder.put(std::slice::from_ref(file));
            self.stores.lock().write(kind, put).ok_or_else(|| io::Error::other("a test"))??;
        }
        Ok(())
    }
    fn get(&self, tile: TileId) -> io::Result<Option<Vec<u8>>> {
        match self.stores.lock().unreadable {
            true => Err(io::Error::other("a test")),
            false => self.folder.get(tile),
        }
    }
    fn has(&self, tile: TileId) -> io::Result<bool> {
        self.folder.has(tile)
    }
    fn has_any(&self) -> io::Result<bool> {
        self.folder.has_any()
    }
    fn remove_wider(&self, tiles: &[TileId]) -> io::Result<()> {
        self.folder.remove_wider(tiles)
    }
    fn remove_partials(&self, full: &[TileId]) -> io::Result<()> {
        let remove = |_: &mut Inner| self.folder.remove_partials(full);
        self.stores.lock().write("removal", remove).ok_or_else(|| io::Error::other("a test"))?
    }

    fn checkpoint(&self) -> io::Result<Option<String>> {
        self.folder.checkpoint()
    }
    fn publish(&self, before: Option<&str>, checkpoint: &str) -> io::Result<Published> {
        let mut inner = self.stores.lock();
        inner.signed.push(checkpoint.to_owned());
        let publish = |_: &mut Inner| self.folder.publish(before, checkpoint);
        inner.write("checkpoint", publish).ok_or_else(|| io::Error::other("a test"))?
    }
}

fn stream<T: Send + 'static>(items: Vec<T>) -> Response<Streamed<T>> {
    Response::new(Box::pin(tokio_stream::iter(items.into_iter().map(Ok))))
}

fn alive(inner: &Inner) -> Result<(), Status> {
    if inner.writes.dead || inner.unavailable { Err(failed()) } else { Ok(()) }
}

fn limited(limit: u32) -> usize {
    if limit == 0 { usize::MAX } else { limit as usize }
}

#[tonic::async_trait]
impl Graphstore for Stores {
    async fn clear(
        &self,
        _: Call<graphstore::ClearRequest>,
    ) -> Result<Response<graphstore::ClearReply>, Status> {
        Err(Status::unimplemented("not asked by Blockstack"))
    }
    async fn rehearse(
        &self,
        _: Call<graphstore::ClearRequest>,
    ) -> Result<Response<graphstore::ClearReply>, Status> {
        Err(Status::unimplemented("not asked by Blockstack"))
    }
    async fn newest(
        &self,
        _: Call<graphstore::NewestRequest>,
    ) -> Result<Response<graphstore::NewestReply>, Status> {
        Err(Status::unimplemented("not asked by Blockstack"))
    }
    type ClearAllStream = tokio_stream::Empty<Result<graphstore::ClearReply, Status>>;
    async fn clear_all(
        &self,
        _: Call<tonic::Streaming<graphstore::ClearRequest>>,
    ) -> Result<Response<Self::ClearAllStream>, Status> {
        Err(Status::unimplemented("not asked by Blockstack"))
    }
    async fn replay(
        &self,
        _: Call<graphstore::ReplayRequest>,
    ) -> Result<Response<graphstore::RecordReply>, Status> {
        Err(Status::unimplemented("not asked by Blockstack"))
    }
    async fn record(
        &self,
        call: Call<graphstore::RecordRequest>,
    ) -> Result<Response<graphstore::RecordReply>, Status> {
        let Some(graphstore::record_request::Key::Number(number)) = call.into_inner().key else {
            return Err(Status::unimplemented("not asked by Blockstack"));
        };
        let inner = self.lock();
        alive(&inner)?;
        let record = inner.records.iter().find(|record| record.number == number);
        let record = record.map(|record| graphstore::Record {
            number,
            hash: record.hash.0.to_vec().into(),
            body: Bytes::new(),
        });
        Ok(Response::new(graphstore::RecordReply { record }))
    }
    async fn accounts(
        &self,
        _: Call<graphstore::AccountsRequest>,
    ) -> Result<Response<graphstore::AccountsReply>, Status> {
        Err(Status::unimplemented("not asked by Blockstack"))
    }
    async fn outputs(
        &self,
        _: Call<graphstore::OutputsRequest>,
    ) -> Result<Response<graphstore::OutputsReply>, Status> {
        Err(Status::unimplemented("not asked by Blockstack"))
    }

    type ClearedStream = Streamed<graphstore::Record>;
    async fn cleared(
        &self,
        call: Call<graphstore::ClearedRequest>,
    ) -> Result<Response<Self::ClearedStream>, Status> {
        let (inner, asked) = (self.lock(), call.get_ref());
        alive(&inner)?;
        if asked.after < inner.trimmed {
            return Err(Status::out_of_range("trimmed"));
        }
        let records = inner.records.iter().skip(asked.after as usize).take(limited(asked.limit));
        let wire = |record: &Record| graphstore::Record {
            number: record.number,
            hash: record.hash.0.to_vec().into(),
            body: record.bytes.clone().into(),
        };
        Ok(stream(records.map(wire).collect()))
    }

    async fn intend(&self, call: Call<IntendRequest>) -> Result<Response<Intent>, Status> {
        let IntendRequest { intent, quiet } = call.into_inner();
        let intent = intent.ok_or_else(|| Status::invalid_argument("no intent"))?;
        let mut inner = self.lock();
        alive(&inner)?;
        if let Some(stored) = inner.intents.get(intent.height as usize) {
            return Ok(Response::new(stored.clone()));
        }
        let number = inner.records.len() as u64;
        let time: Time = intent.time.parse().map_err(|_| Status::invalid_argument("time"))?;
        let next = intent.height == inner.intents.len() as u64 && intent.cleared <= number;
        if !next || quiet && (intent.cleared < number || Some(time) < inner.time) {
            return Err(Status::failed_precondition("not the next one"));
        }
        let stored = inner.write("intent", |inner| {
            inner.intents.push(intent.clone());
            inner.time = inner.time.max(Some(time));
        });
        stored.map(|()| Response::new(intent)).ok_or_else(failed)
    }

    type IntentsStream = Streamed<Intent>;
    async fn intents(
        &self,
        call: Call<graphstore::IntentsRequest>,
    ) -> Result<Response<Self::IntentsStream>, Status> {
        let (inner, asked) = (self.lock(), call.get_ref());
        alive(&inner)?;
        let intents = inner.intents.iter().skip(asked.from as usize).take(limited(asked.limit));
        Ok(stream(intents.cloned().collect()))
    }

    async fn unit(
        &self,
        _: Call<graphstore::UnitRequest>,
    ) -> Result<Response<graphstore::UnitReply>, Status> {
        Err(Status::unimplemented("not here"))
    }
    async fn holders(
        &self,
        _: Call<graphstore::HoldersRequest>,
    ) -> Result<Response<graphstore::HoldersReply>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn trim(
        &self,
        call: Call<graphstore::TrimRequest>,
    ) -> Result<Response<graphstore::TrimReply>, Status> {
        let (mut inner, upto) = (self.lock(), call.get_ref().upto);
        // Nothing is dropped that is not in Hashtable.
        assert!((1..=upto).all(|number| inner.numbers.contains_key(&number)), "trimmed too much");
        let trimmed = inner.write("trim", |inner| inner.trimmed = inner.trimmed.max(upto));
        trimmed.map(|()| Response::new(graphstore::TrimReply {})).ok_or_else(failed)
    }

    async fn status(
        &self,
        _: Call<graphstore::StatusRequest>,
    ) -> Result<Response<graphstore::StatusReply>, Status> {
        let mut inner = self.lock();
        alive(&inner)?;
        let reply = graphstore::StatusReply {
            number: inner.records.len() as u64,
            time: inner.time.map(|time| time.to_string()).unwrap_or_default(),
            domain: DOMAIN.into(),
            engine: "stand-in".into(),
            now: inner.now().to_string(),
            intent_height: (inner.intents.len() as u64).checked_sub(1),
            test_clock: false,
            held: None,
        };
        let meanwhile = inner.meanwhile.take();
        drop(inner);
        meanwhile.into_iter().for_each(|happens| happens(self));
        Ok(Response::new(reply))
    }
}

#[tonic::async_trait]
impl Hashtable for Stores {
    async fn supply(
        &self,
        _: Call<hashtable::SupplyRequest>,
    ) -> Result<Response<hashtable::SupplyReply>, Status> {
        Err(Status::unimplemented("not here"))
    }
    async fn supplied(
        &self,
        _: Call<hashtable::SuppliedRequest>,
    ) -> Result<Response<hashtable::Found>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn put(
        &self,
        call: Call<hashtable::PutRequest>,
    ) -> Result<Response<hashtable::PutReply>, Status> {
        let documents = call.into_inner().documents;
        let put = |inner: &mut Inner| {
            for Document { hash, body, number } in documents {
                let name = Hash::from_slice(&hash).expect("a hash");
                assert_eq!(webwallet_ledger::document::name(&body).expect("a document"), name);
                inner.documents.entry(name).or_insert(body);
                if number > 0 {
                    inner.numbers.insert(number, name);
                }
            }
        };
        let stored = self.lock().write("document", put);
        stored.map(|()| Response::new(hashtable::PutReply {})).ok_or_else(failed)
    }

    async fn get(
        &self,
        call: Call<hashtable::GetRequest>,
    ) -> Result<Response<hashtable::GetReply>, Status> {
        let mut inner = self.lock();
        alive(&inner)?;
        inner.asked += call.get_ref().hashes.len();
        let body = |hash: &Bytes| inner.documents.get(&Hash::from_slice(hash)?).cloned();
        let hashes = &call.get_ref().hashes;
        let documents = hashes.iter().map(|hash| hashtable::Found { body: body(hash) }).collect();
        Ok(Response::new(hashtable::GetReply { documents }))
    }

    type NumberedStream = Streamed<Document>;
    async fn numbered(
        &self,
        call: Call<hashtable::NumberedRequest>,
    ) -> Result<Response<Self::NumberedStream>, Status> {
        let (inner, asked) = (self.lock(), call.get_ref());
        alive(&inner)?;
        let numbers = inner.numbers.range(asked.after + 1..).take(limited(asked.limit));
        let document = |(&number, name): (&u64, &Hash)| Document {
            hash: name.0.to_vec().into(),
            body: inner.documents[name].clone(),
            number,
        };
        Ok(stream(numbers.map(document).collect()))
    }

    async fn names(
        &self,
        call: Call<hashtable::NumberedRequest>,
    ) -> Result<Response<hashtable::NamesReply>, Status> {
        let (inner, asked) = (self.lock(), call.get_ref());
        alive(&inner)?;
        let numbers = inner.numbers.range(asked.after + 1..).zip(asked.after + 1..);
        let named = numbers.take_while(|((number, _), next)| *number == next);
        let names = named.take(limited(asked.limit)).map(|((_, name), _)| name.0.to_vec().into());
        Ok(Response::new(hashtable::NamesReply { hashes: names.collect() }))
    }

    async fn status(
        &self,
        _: Call<hashtable::StatusRequest>,
    ) -> Result<Response<hashtable::StatusReply>, Status> {
        let inner = self.lock();
        alive(&inner)?;
        let number = inner.numbers.keys().last().copied().unwrap_or_default();
        Ok(Response::new(hashtable::StatusReply {
            number,
            engine: "stand-in".into(),
            lossy: false,
        }))
    }
}
