//! The stores behind the gateway, and what their silence means here.
//!
//! Graphstore decides, Hashtable keeps, and what is sealed is in Blockstack's log
//! too; they are asked through `proto`'s clients and never known any closer. Whatever
//! goes wrong on the way becomes `unavailable` for the client, with the cause in the log
//! only: nothing is known of the outcome, and the same bytes may be sent again.
//!
//! [`clearing`] is what Graphstore decides, [`record`] what has cleared; here is the rest.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tonic::{Code as Status, Request as Call, Response};
use webwallet_ledger::{Address, Hash, Supplied};
use webwallet_proto::blockstack::v1::blockstack_client::BlockstackClient;
use webwallet_proto::engine;
use webwallet_proto::graphstore::v1 as graph;
use webwallet_proto::graphstore::v1::graphstore_client::GraphstoreClient;
use webwallet_proto::hashtable::v1 as table;
use webwallet_proto::hashtable::v1::hashtable_client::HashtableClient;
use webwallet_proto::link::Link;

use crate::problem::{Other, Problem};
use crate::schema::Health;

pub(crate) mod clearing;
pub(crate) mod record;

/// How long a store may take to show that it is there, and to answer what another one can
/// answer too. To show it, it gives its engine half of that, so that it is the store that
/// says which of the two is missing.
const SOON: Duration = Duration::from_secs(2);

/// Batches that have a stream to Graphstore at a time. All calls share one connection, and
/// `webwallet_proto::serve::STREAMS_MAX` of them: payments and reads need the most of it.
const BATCHES_MAX: usize = 256;

/// Clients of the three services.
#[derive(Clone)]
pub(crate) struct Stores {
    batches: Arc<Semaphore>,
    graphstore: GraphstoreClient<Link>,
    hashtable: HashtableClient<Link>,
    blockstack: BlockstackClient<Link>,
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
        let mut graphstore = self.graphstore.clone();
        let (mut hashtable, mut asked) = (self.hashtable.clone(), self.hashtable.clone());
        let keeps = async {
            // Asked for nothing, it says whether it would take a put.
            let takes = hashtable.get(soon(table::GetRequest { hashes: Vec::new() }));
            let status = asked.status(soon(table::StatusRequest {}));
            tokio::try_join!(takes, status).map(|(_, status)| status)
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
            Err(status) => missing.push(silent("graphstore", "Graphstore.Status", &status)),
        }
        match keeps.map(Response::into_inner) {
            Ok(status) => health.lossy_redis = status.lossy,
            Err(status) => missing.push(silent("hashtable", "Hashtable.Status", &status)),
        }
        missing
    }
}

/// A call of one who asks whether a store is there, or another one after it.
fn soon<T>(message: T) -> Call<T> {
    let mut call = Call::new(message);
    call.set_timeout(SOON);
    call
}

/// A store that does not do its work, in words for the public: which process to
/// look at, or which engine. Why, its log says; and where it does not answer, ours.
fn silent(store: &str, call: &'static str, status: &tonic::Status) -> String {
    if let Some(engine) = engine::missing_in(status) {
        return format!("{store} cannot use its engine, {engine}; its log says why");
    }
    complain(call, status);
    format!("{store} does not answer ({:?})", status.code())
}

fn bytes_of(hash: &Hash) -> Bytes {
    Bytes::copy_from_slice(&hash.0)
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
        Status::FailedPrecondition => Problem::new(Other::ReadOnly, status.message()),
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
