//! Blockstack behind the gateway: what is sealed, and the proofs of it.
//!
//! As with the stores, whatever goes wrong on the way becomes `unavailable`; what
//! is not sealed yet, or not there, is an absent answer.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tonic::{Code as Status, Request as Call};
use webwallet_ledger::{Address, Hash};
use webwallet_proto::blockstack::v1::blockstack_client::BlockstackClient;
use webwallet_proto::blockstack::{NOT_COMPARED, v1 as wire};
use webwallet_proto::link::Link;

use crate::problem::{Other, Problem};
use crate::schema::Health;
use crate::stores;

/// How long Blockstack may take to say how it is.
const STATUS_WITHIN: Duration = Duration::from_secs(1);
/// How often it is asked whether requests may clear, and how long it may take over that:
/// nobody waits for it.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const LOOK_WITHIN: Duration = Duration::from_secs(5);

/// How much longer than the time to wait it may take over a receipt.
const RECEIPT_WITHIN: Duration = Duration::from_millis(500);

/// A client of Blockstack, and what is known of it.
pub(crate) struct Prover {
    client: BlockstackClient<Link>,
    known: Arc<watch::Sender<Known>>,
}

/// What Blockstack said when it last answered.
#[derive(Default)]
struct Known {
    /// It was asked, if it has not answered.
    asked: bool,
    /// It has compared the log with the stores since its start.
    compared: bool,
    /// Why nothing may clear.
    read_only: Option<String>,
}

/// A block, as Blockstack hands it over.
pub(crate) struct Document {
    pub(crate) hash: Hash,
    pub(crate) body: Bytes,
}

impl Prover {
    /// Asks Blockstack from now on how it is, until this is dropped.
    pub(crate) fn new(client: BlockstackClient<Link>) -> Prover {
        let known = Arc::new(watch::Sender::new(Known::default()));
        tokio::spawn(look(client.clone(), Arc::downgrade(&known)));
        Prover { client, known }
    }

    fn client(&self) -> BlockstackClient<Link> {
        self.client.clone()
    }

    /// Where the log stands.
    pub(crate) async fn status(&self) -> Result<wire::StatusReply, Problem> {
        let reply = status(self.client(), &self.known, STATUS_WITHIN).await;
        reply.map_err(|status| failed("Blockstack.Status", &status))
    }

    /// Whether requests may clear. Not while the stores disagree: a number given
    /// now might have been given before. A Blockstack that has compared them and
    /// is silent now stops nobody; what clears is sealed when it is back.
    pub(crate) async fn permit(&self) -> Result<(), Problem> {
        let mut known = self.known.subscribe();
        // It fails if nobody asks any more, and then nothing is known.
        let known = known.wait_for(|known| known.asked).await;
        let known = known.map_err(|_| Problem::new(Other::Unavailable, NOT_COMPARED))?;
        match &known.read_only {
            Some(why) => Err(Problem::new(Other::ReadOnly, why.clone())),
            None if known.compared => Ok(()),
            None => Err(Problem::new(Other::Unavailable, NOT_COMPARED)),
        }
    }

    /// A store has met a second history: nothing clears until Blockstack, which may be
    /// away, has answered again.
    pub(crate) fn distrust(&self, why: &str) {
        self.known.send_modify(|known| known.read_only = Some(why.to_owned()));
    }

    /// What is missing before requests of this domain can be served.
    pub(crate) async fn missing(&self, domain: &str, health: &mut Health) -> Option<String> {
        let Ok(status) = self.status().await else {
            return Some("blockstack does not answer".to_owned());
        };
        (health.manual_seal, health.given_log_key) = (status.manual_seal, status.given_log_key);
        if status.domain != domain {
            return Some(format!(
                "blockstack is of the domain {:?}, not {domain:?}",
                status.domain
            ));
        }
        let begin = if status.read_only.is_some() { "read only: " } else { "" };
        status.held().map(|why| format!("{begin}{why}"))
    }

    /// A checkpoint: the newest, or that of a size at which a block ended.
    pub(crate) async fn checkpoint(&self, size: Option<u64>) -> Result<Option<String>, Problem> {
        let reply = self.client().checkpoint(wire::CheckpointRequest { size }).await;
        Ok(answered(reply, "Blockstack.Checkpoint")?.checkpoint)
    }

    /// A tile or an entry bundle.
    pub(crate) async fn tile(&self, path: String) -> Result<Option<Bytes>, Problem> {
        let reply = self.client().tile(wire::TileRequest { path }).await;
        Ok(answered(reply, "Blockstack.Tile")?.body)
    }

    pub(crate) async fn inclusion(
        &self,
        leaf: wire::inclusion_request::Leaf,
        size: Option<u64>,
    ) -> Result<Option<wire::Inclusion>, Problem> {
        let call = wire::InclusionRequest { leaf: Some(leaf), size };
        Ok(answered(self.client().inclusion(call).await, "Blockstack.Inclusion")?.inclusion)
    }

    pub(crate) async fn consistency(
        &self,
        from: u64,
        to: u64,
    ) -> Result<Option<wire::Consistency>, Problem> {
        let reply = self.client().consistency(wire::ConsistencyRequest { from, to }).await;
        Ok(answered(reply, "Blockstack.Consistency")?.consistency)
    }

    /// The receipt of a record, if it is sealed within this time.
    pub(crate) async fn receipt(
        &self,
        number: u64,
        wait: Duration,
    ) -> Result<Option<wire::Receipt>, Problem> {
        let wait_ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
        let mut call = Call::new(wire::ReceiptRequest { number, wait_ms });
        if !wait.is_zero() {
            call.set_timeout(wait + RECEIPT_WITHIN);
        }
        let reply = self.client().receipt(call).await;
        Ok(answered(reply, "Blockstack.Receipt")?.receipt)
    }

    /// A block; without a key, the latest.
    pub(crate) async fn block(
        &self,
        key: Option<wire::block_request::Key>,
    ) -> Result<Option<Document>, Problem> {
        let reply = self.client().block(wire::BlockRequest { key }).await;
        let block = answered(reply, "Blockstack.Block")?.block;
        block.map(|block| document(&block.hash, block.body)).transpose()
    }

    /// A stack; without a height, the latest.
    pub(crate) async fn stack(&self, height: Option<u64>) -> Result<Option<Document>, Problem> {
        let reply = self.client().stack(wire::StackRequest { height }).await;
        let stack = answered(reply, "Blockstack.Stack")?.stack;
        stack.map(|stack| document(&stack.hash, stack.body)).transpose()
    }

    /// The records of a block, in order.
    pub(crate) async fn records(&self, height: u64) -> Result<Option<Vec<Bytes>>, Problem> {
        const CALL: &str = "Blockstack.BlockRecords";
        let call = wire::BlockRecordsRequest { height };
        let mut stream = match self.client().block_records(call).await {
            Ok(reply) => reply.into_inner(),
            Err(status) if status.code() == Status::NotFound => return Ok(None),
            Err(status) => return Err(failed(CALL, &status)),
        };
        let mut records = Vec::new();
        while let Some(record) = stream.message().await.map_err(|status| failed(CALL, &status))? {
            records.push(record.body);
        }
        Ok(Some(records))
    }

    /// What an account held after a block.
    pub(crate) async fn account_proof(
        &self,
        unit: &Address,
        address: &Address,
        height: Option<u64>,
    ) -> Result<Option<wire::StateProof>, Problem> {
        let (unit, address) = (unit.to_string(), address.to_string());
        let call = wire::AccountProofRequest { unit, address, height };
        Ok(answered(self.client().account_proof(call).await, "Blockstack.AccountProof")?.proof)
    }

    /// The supply of a unit after a block.
    pub(crate) async fn unit_proof(
        &self,
        unit: &Address,
        height: Option<u64>,
    ) -> Result<Option<wire::StateProof>, Problem> {
        let call = wire::UnitProofRequest { unit: unit.to_string(), height };
        Ok(answered(self.client().unit_proof(call).await, "Blockstack.UnitProof")?.proof)
    }

    pub(crate) async fn seal(&self, stack: bool) -> Result<wire::SealReply, Problem> {
        answered(self.client().seal(wire::SealRequest { stack }).await, "Blockstack.Seal")
    }

    pub(crate) async fn rotate_log_key(&self) -> Result<wire::RotateLogKeyReply, Problem> {
        let reply = self.client().rotate_log_key(wire::RotateLogKeyRequest {}).await;
        answered(reply, "Blockstack.RotateLogKey")
    }
}

/// Asks Blockstack again and again, so that no request waits for one that is silent.
async fn look(client: BlockstackClient<Link>, known: Weak<watch::Sender<Known>>) {
    let mut answers = true;
    while let Some(known) = known.upgrade() {
        let reply = status(client.clone(), &known, LOOK_WITHIN).await;
        drop(known);
        if let (Err(status), true) = (&reply, answers) {
            stores::complain("Blockstack.Status", status);
        }
        answers = reply.is_ok();
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Asks how it is. What it says, or that it says nothing, is in `known` then.
async fn status(
    mut client: BlockstackClient<Link>,
    known: &watch::Sender<Known>,
    within: Duration,
) -> Result<wire::StatusReply, tonic::Status> {
    let mut call = Call::new(wire::StatusRequest {});
    call.set_timeout(within);
    let reply = client.status(call).await.map(tonic::Response::into_inner);
    known.send_modify(|known| {
        known.asked = true;
        if let Ok(reply) = &reply {
            known.compared = reply.compared;
            known.read_only = reply.read_only.clone();
        }
    });
    reply
}

fn document(hash: &[u8], body: Bytes) -> Result<Document, Problem> {
    match Hash::from_slice(hash) {
        Some(hash) => Ok(Document { hash, body }),
        None => Err(stores::unreadable(&"the hash of a block or stack is not 32 bytes")),
    }
}

fn answered<T>(
    reply: Result<tonic::Response<T>, tonic::Status>,
    call: &'static str,
) -> Result<T, Problem> {
    reply.map(tonic::Response::into_inner).map_err(|status| failed(call, &status))
}

/// A call that got no answer: the question had no sense, nothing is sealed at
/// present, too many ask, or Blockstack failed.
fn failed(call: &'static str, status: &tonic::Status) -> Problem {
    match status.code() {
        Status::InvalidArgument => {
            return Problem::new(Other::ParameterInvalid, status.message());
        }
        Status::FailedPrecondition => return Problem::new(Other::ReadOnly, status.message()),
        Status::ResourceExhausted => {
            return Problem::new(Other::Overloaded, "the log has as much work as it takes on");
        }
        _ => {}
    }
    stores::complain(call, status);
    let detail = match status.code() {
        Status::DataLoss => {
            "a file of the log is damaged or gone; its operator finds which in its messages"
        }
        _ => "the log did not answer",
    };
    Problem::new(Other::Unavailable, detail)
}
