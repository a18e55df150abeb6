//! One gateway: its configuration and its parts.
//!
//! It holds no state that matters: run as many copies as wanted, in front of
//! the same stores.

use std::sync::Arc;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;
use webwallet_proto::blockstack::v1::blockstack_client::BlockstackClient;
use webwallet_proto::graphstore::v1::graphstore_client::GraphstoreClient;
use webwallet_proto::hashtable::v1::hashtable_client::HashtableClient;
use webwallet_proto::link::Link;

use crate::about::Readiness;
use crate::allowance::Allowances;
use crate::feed::Feed;
use crate::limits::Limits;
use crate::problem::{Kind, Other, Problem};
use crate::prover::Prover;
use crate::room::{Answers, Room};
use crate::stores::Stores;
use crate::stores::record::Cleared;
use crate::verifier::{Randomness, Verifier};

/// What a gateway is told by whoever starts it.
#[derive(Clone)]
pub struct Config {
    /// The server's name: IOUs written for another are refused.
    pub domain: String,
    /// How much it takes on.
    pub limits: Limits,
    /// Where the random numbers for batches of signatures come from.
    pub randomness: Randomness,
}

/// A running gateway. Clones are the same gateway.
#[derive(Clone)]
pub struct Gateway(Arc<Parts>);

struct Parts {
    domain: String,
    limits: Limits,
    bodies: Room,
    answers: Answers,
    allowances: Allowances,
    stores: Stores,
    prover: Prover,
    verifier: Verifier,
    feed: Arc<Feed>,
    bundles: Semaphore,
    readiness: Readiness,
    draining: CancellationToken,
}

/// Answers of many megabytes that may be made at a time. Each has its place among what
/// is in flight only when it has been made.
const BUNDLES_AT_ONCE: usize = 2;

impl Gateway {
    /// Starts the threads that verify. They end when the last clone of the
    /// gateway and its routers are dropped.
    ///
    /// Install the recorder of metrics before: what is counted is looked up here.
    ///
    /// # Errors
    /// If the machine cannot start a thread.
    pub fn start(
        config: Config,
        graphstore: GraphstoreClient<Link>,
        hashtable: HashtableClient<Link>,
        blockstack: BlockstackClient<Link>,
    ) -> std::io::Result<Gateway> {
        describe_metrics();
        let verifier = Verifier::start(&config.domain, &config.limits, &config.randomness)?;
        let stores = Stores::new(graphstore, hashtable, blockstack.clone());
        Ok(Gateway(Arc::new(Parts {
            domain: config.domain,
            bodies: Room::of_requests(&config.limits),
            answers: Answers::new(&config.limits),
            allowances: Allowances::new(&config.limits),
            limits: config.limits,
            feed: Feed::new(stores.clone()),
            stores,
            prover: Prover::new(blockstack),
            verifier,
            bundles: Semaphore::new(BUNDLES_AT_ONCE),
            readiness: Readiness::default(),
            draining: CancellationToken::new(),
        })))
    }

    /// From now on `/readyz` says no, so that nobody sends more, and streams of
    /// events end. Requests are still served: stopping is the listener's part.
    pub fn drain(&self) {
        self.0.draining.cancel();
    }

    pub(crate) fn draining(&self) -> &CancellationToken {
        &self.0.draining
    }

    pub(crate) fn domain(&self) -> &str {
        &self.0.domain
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// That something is not there; or, while nothing may clear because the stores
    /// disagree, that this cannot be told.
    pub(crate) async fn absent(&self, nothing: &str) -> Problem {
        let nothing = || Problem::new(Other::NotFound, nothing);
        self.prover().permit().await.err().unwrap_or_else(nothing)
    }

    /// That the end of the log is its newest. While nothing may clear, what was found may
    /// be an older one: then Graphstore knows of later blocks.
    pub(crate) async fn shows_the_newest(&self) -> Result<(), Problem> {
        let Err(problem) = self.prover().permit().await else { return Ok(()) };
        let shown = self.prover().status().await?.height;
        match self.stores().intended().await {
            Ok(intended) if intended <= shown => Ok(()),
            _ => Err(problem),
        }
    }

    /// Keeps a record in its second place. Returns when it is durable there.
    pub(crate) async fn keep(&self, record: &Cleared) -> Result<(), Problem> {
        let kept = self.stores().put(record).await;
        if let Err(problem) = &kept
            && problem.kind() == Kind::Other(Other::ReadOnly)
        {
            self.prover().distrust(problem.detail());
        }
        kept
    }

    /// Where bodies have their place while they are worked on.
    pub(crate) fn bodies(&self) -> &Room {
        &self.0.bodies
    }

    /// Where answers of the public listener have their place until they are read.
    pub(crate) fn answers(&self) -> &Answers {
        &self.0.answers
    }

    /// A turn at making an answer of many megabytes, until it is dropped.
    pub(crate) async fn bundle(&self) -> Option<SemaphorePermit<'_>> {
        // Nobody closes it.
        self.0.bundles.acquire().await.ok()
    }

    /// Whether all that it needs is there.
    pub(crate) fn readiness(&self) -> &Readiness {
        &self.0.readiness
    }

    pub(crate) fn allowances(&self) -> &Allowances {
        &self.0.allowances
    }

    pub(crate) fn stores(&self) -> &Stores {
        &self.0.stores
    }

    pub(crate) fn prover(&self) -> &Prover {
        &self.0.prover
    }

    pub(crate) fn feed(&self) -> &Arc<Feed> {
        &self.0.feed
    }

    pub(crate) fn verifier(&self) -> &Verifier {
        &self.0.verifier
    }
}

fn describe_metrics() {
    use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
    describe_counter!("webwallet_gateway_requests_total", "Answers by listener, route and status.");
    describe_histogram!(
        "webwallet_gateway_request_seconds",
        Unit::Seconds,
        "From a request's headers to its answer, by listener and route."
    );
    describe_counter!("webwallet_gateway_refusals_total", "Refusals by code.");
    describe_counter!(
        "webwallet_gateway_calls_failed_total",
        "Calls of the stores that failed, by call."
    );
    describe_gauge!("webwallet_gateway_connections", "Open connections.");
    describe_counter!(
        "webwallet_gateway_connections_refused_total",
        "Connections closed at once because their client had too many."
    );
    describe_gauge!("webwallet_gateway_verify_queue", "Requests waiting to be verified.");
    describe_histogram!(
        "webwallet_gateway_verify_batch_signatures",
        "Signatures verified together."
    );
    describe_counter!("webwallet_gateway_signatures_verified_total", "Signatures verified.");
    describe_counter!("webwallet_gateway_batch_requests_total", "Requests of batches, by status.");
    describe_gauge!("webwallet_gateway_event_readers", "Open streams of events.");
    describe_counter!(
        "webwallet_gateway_events_total",
        "Events sent, by whether they were at hand (recent) or read for a reader behind (history)."
    );
}
