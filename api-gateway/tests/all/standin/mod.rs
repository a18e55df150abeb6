//! Stand-ins for Graphstore, Hashtable and Blockstack: the real rules over maps in
//! memory, and switches that make them fail. A gateway may not import the real ones,
//! not even in its tests; those meet it in the crate `tests`.

#![allow(dead_code, reason = "each test file uses its part")]

mod answer;
mod blockstack;
mod books;
mod graphstore;
mod hashtable;
mod payment;

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::Request;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::sync::Notify;
use tonic::Status;
use webwallet_api_gateway::{Config, Gateway, Limits};
use webwallet_ledger::Hash;
use webwallet_proto::blockstack::v1 as log;
use webwallet_proto::link::Link;

pub use answer::*;
pub use books::Books;
pub use payment::*;

/// A bundle of the largest leaves.
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
    /// The name of a call that never answers.
    pub silent: Mutex<Option<&'static str>>,
    /// How often Graphstore was asked how it is.
    pub looks: Mutex<usize>,
    /// Milliseconds before `Clear` answers.
    pub clear_delay_ms: Mutex<u64>,
    /// The streams of `ClearAll`.
    pub clear_all_streams: Mutex<Streams>,
    /// Milliseconds before the next `Put` answers; those after it do at once.
    pub put_delay_ms: Mutex<u64>,
    /// What the log has sealed.
    pub sealed: Mutex<Vec<log::Receipt>>,
    /// The block that it has.
    pub block: Mutex<Option<log::Block>>,
    /// Why nothing may clear.
    pub read_only: Mutex<Option<String>>,
    /// The last block that Graphstore knows of; the log shows block 0.
    pub intended: Mutex<Option<u64>>,
    /// Told when `Clear` has begun.
    pub clearing: Notify,
    /// Ends the delays of those `Clear` that wait now.
    pub go_on: Notify,
}

/// How many there are, and have been at once.
#[derive(Default)]
pub struct Streams {
    pub open: usize,
    pub most: usize,
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

    /// Never ends, if this call is to be silent.
    async fn answers(&self, call: &'static str) {
        let silent = *self.silent.lock().expect("lock") == Some(call);
        if silent {
            std::future::pending::<()>().await;
        }
    }

    fn works(&self, call: &'static str) -> Result<(), Status> {
        match self.failing.lock().expect("lock").get(call) {
            // For whoever asks, as a store says it.
            Some(tonic::Code::FailedPrecondition) => {
                Err(Status::failed_precondition("the stores disagree"))
            }
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
