//! The gRPC service: what gateways ask about the log.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tonic::{Request as Call, Response, Status};
use webwallet_ledger::block::Block;
use webwallet_ledger::tile::TileId;
use webwallet_ledger::{AccountId, Address, Hash};
use webwallet_proto::blockstack::WAIT_MAX;
use webwallet_proto::blockstack::v1::{
    self, AccountProofRequest, BlockRecordsRequest, BlockReply, BlockRequest, CheckpointReply,
    CheckpointRequest, Consistency, ConsistencyReply, ConsistencyRequest, Inclusion,
    InclusionReply, InclusionRequest, Receipt, ReceiptReply, ReceiptRequest, Record,
    RotateLogKeyReply, RotateLogKeyRequest, SealReply, SealRequest, Stack, StackReply,
    StackRequest, StateProof, StateProofReply, StatusReply, StatusRequest, TileReply, TileRequest,
    UnitProofRequest, block_request, blockstack_server, inclusion_request,
};
use webwallet_proto::stream::Streamed;

use crate::log::LogError;
use crate::reader::{Of, Reader};
use crate::remote::Remote;
use crate::sealing::{Command, Made};
use crate::store::Store;
use crate::{Config, Seal};

/// How long Hashtable is asked for a block before the log is searched for it.
const HASHTABLE_MAX: Duration = Duration::from_secs(2);
/// How long the newest balances are waited for while a block is being sealed.
const SEALING_MAX: Duration = Duration::from_millis(500);
/// Who may wait for old balances at once, the first included: the others are told so.
const PAST_WAITING_MAX: usize = 8;

/// Blockstack as others see it. Cheap to clone.
pub struct Service<S> {
    pub(crate) reader: Arc<Reader<S>>,
    remote: Remote,
    commands: mpsc::Sender<Command>,
    domain: Arc<str>,
    manual_seal: bool,
    given_log_key: bool,
    /// Old balances are made one at a time: each takes seconds of a core. What is looked for
    /// in all blocks waits with them.
    past: Arc<Semaphore>,
    /// Who waits for them, and whose are being made.
    asking: Arc<Semaphore>,
}

impl<S> Clone for Service<S> {
    fn clone(&self) -> Self {
        Service {
            reader: self.reader.clone(),
            remote: self.remote.clone(),
            commands: self.commands.clone(),
            domain: self.domain.clone(),
            manual_seal: self.manual_seal,
            given_log_key: self.given_log_key,
            past: self.past.clone(),
            asking: self.asking.clone(),
        }
    }
}

/// A failure to read: its cause goes to the log, not to the caller.
fn failure(error: LogError) -> Status {
    tracing::error!(%error, "the log cannot be read");
    match error {
        LogError::Io(..) => Status::unavailable("the log cannot be read just now"),
        LogError::Missing(_) | LogError::Damaged(..) => {
            Status::data_loss("the log needs its operator; its messages say why")
        }
    }
}

fn address(text: &str) -> Result<Address, Status> {
    text.parse().map_err(|e| Status::invalid_argument(format!("address: {e}")))
}

fn nodes(path: Vec<[u8; 32]>) -> Vec<bytes::Bytes> {
    path.into_iter().map(|node| node.to_vec().into()).collect()
}

fn wire(block: Block) -> v1::Block {
    v1::Block {
        height: block.header.height,
        hash: block.hash.0.to_vec().into(),
        body: block.bytes.into(),
    }
}

impl<S: Store> Service<S> {
    pub(crate) fn new(
        reader: Arc<Reader<S>>,
        remote: Remote,
        commands: mpsc::Sender<Command>,
        config: &Config,
    ) -> Service<S> {
        Service {
            reader,
            remote,
            commands,
            domain: config.domain.as_str().into(),
            manual_seal: matches!(config.seal, Seal::Manual),
            given_log_key: config.given_log_key,
            past: Arc::new(Semaphore::new(1)),
            asking: Arc::new(Semaphore::new(PAST_WAITING_MAX)),
        }
    }

    /// Runs something that may take a while off the threads that serve.
    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Reader<S>) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, Status> {
        let reader = self.reader.clone();
        let task = tokio::task::spawn_blocking(move || work(&reader));
        let outcome = task.await;
        outcome
            .map_err(|e| Status::unavailable(format!("a reading task ended early: {e}")))?
            .map_err(failure)
    }

    async fn command(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<Made, Status>>) -> Command,
    ) -> Result<Made, Status> {
        let ended = || Status::unavailable("sealing has ended");
        let (answer, outcome) = oneshot::channel();
        self.commands.send(command(answer)).await.map_err(|_| ended())?;
        outcome.await.map_err(|_| ended())?
    }

    async fn state_proof(
        &self,
        of: Of,
        height: Option<u64>,
    ) -> Result<Response<StateProofReply>, Status> {
        let last = self.reader.head().map(|head| head.height());
        let height = match height {
            // What is not sealed waits behind nobody who asks for what takes long.
            Some(height) if last.is_none_or(|last| height > last) => None,
            Some(height) if last > Some(height) => Some(height),
            of_last => of_last.or(self.settled().await),
        };
        let Some(height) = height else {
            return Ok(Response::new(StateProofReply { proof: None }));
        };
        let at_hand = self.reader.head().is_some_and(|head| {
            height == head.height() && self.reader.stands_at(head.block.header.cleared)
        });
        let turn = if at_hand { None } else { Some(self.turn().await?) };
        let found = self.aside(move |reader| {
            // Until it is made: whoever leaves meanwhile does not end it.
            let _turn = turn;
            reader.proof(of, height)
        });
        let found = found.await?;
        let proof = found.map(|(proof, block)| StateProof {
            proof: proof.to_json().into(),
            block: block.bytes.into(),
        });
        Ok(Response::new(StateProofReply { proof }))
    }

    /// The turn of one who asks for old balances.
    async fn turn(&self) -> Result<impl Sized + Send + 'static, Status> {
        let busy = |_| Status::resource_exhausted("too many ask for what takes long; ask again");
        let place = self.asking.clone().try_acquire_owned().map_err(busy)?;
        let turn = self.past.clone().acquire_owned().await;
        Ok((turn.map_err(|e| Status::internal(e.to_string()))?, place))
    }

    /// The height of the last block, if possible at a moment when no newer one is
    /// being sealed: then its balances are at hand.
    async fn settled(&self) -> Option<u64> {
        let mut view = self.reader.view.subscribe();
        let settled = view.wait_for(|view| {
            let head = view.head.as_ref();
            head.is_none_or(|head| self.reader.stands_at(head.block.header.cleared))
        });
        let _ = tokio::time::timeout(SEALING_MAX, settled).await;
        self.reader.head().map(|head| head.height())
    }
}

#[tonic::async_trait]
impl<S: Store> blockstack_server::Blockstack for Service<S> {
    async fn status(&self, _: Call<StatusRequest>) -> Result<Response<StatusReply>, Status> {
        let view = self.reader.view.borrow().clone();
        let head = view.head.as_deref();
        Ok(Response::new(StatusReply {
            height: head.map(|head| head.height()),
            size: head.map_or(0, |head| head.size()),
            number: head.map_or(0, |head| head.block.header.cleared),
            checkpoint: head.map_or_else(String::new, |head| head.note.clone()),
            keys: view.keys.iter().rev().map(ToString::to_string).collect(),
            read_only: view.read_only.clone(),
            trouble: view.trouble,
            domain: self.domain.to_string(),
            manual_seal: self.manual_seal,
            given_log_key: self.given_log_key,
            compared: view.compared,
        }))
    }

    async fn checkpoint(
        &self,
        call: Call<CheckpointRequest>,
    ) -> Result<Response<CheckpointReply>, Status> {
        let checkpoint = match call.get_ref().size {
            None => self.reader.head().map(|head| head.note.clone()),
            Some(size) => self.aside(move |reader| reader.checkpoint(size)).await?,
        };
        Ok(Response::new(CheckpointReply { checkpoint }))
    }

    async fn tile(&self, call: Call<TileRequest>) -> Result<Response<TileReply>, Status> {
        let tile: TileId = match call.get_ref().path.parse() {
            Ok(tile) => tile,
            Err(why) => return Err(Status::invalid_argument(why.to_string())),
        };
        let body = self.aside(move |reader| reader.tile(tile)).await?;
        Ok(Response::new(TileReply { body: body.map(Into::into) }))
    }

    async fn inclusion(
        &self,
        call: Call<InclusionRequest>,
    ) -> Result<Response<InclusionReply>, Status> {
        let InclusionRequest { leaf, size } = call.into_inner();
        let leaf = leaf.ok_or_else(|| Status::invalid_argument("number or index is needed"))?;
        let found = self.aside(move |reader| {
            let index = match leaf {
                inclusion_request::Leaf::Index(index) => Some(index),
                inclusion_request::Leaf::Number(number) => {
                    reader.leaf_of(number)?.map(|(index, _)| index)
                }
            };
            let size = size.or_else(|| reader.head().map(|head| head.size()));
            let Some((index, size)) = index.zip(size) else { return Ok(None) };
            let found = reader.inclusion(index, size)?;
            Ok(found.map(|found| Inclusion { index, size, path: nodes(found.path) }))
        });
        Ok(Response::new(InclusionReply { inclusion: found.await? }))
    }

    async fn consistency(
        &self,
        call: Call<ConsistencyRequest>,
    ) -> Result<Response<ConsistencyReply>, Status> {
        let ConsistencyRequest { from, to } = *call.get_ref();
        if from > to {
            return Err(Status::invalid_argument(format!(
                "from is {from} and larger than to, {to}"
            )));
        }
        let path = self.aside(move |reader| reader.consistency(from, to)).await?;
        let consistency = path.map(|path| Consistency { path: nodes(path) });
        Ok(Response::new(ConsistencyReply { consistency }))
    }

    async fn receipt(&self, call: Call<ReceiptRequest>) -> Result<Response<ReceiptReply>, Status> {
        let ReceiptRequest { number, wait_ms } = *call.get_ref();
        if number == 0 {
            return Err(Status::invalid_argument("records are numbered from 1"));
        }
        let mut view = self.reader.view.subscribe();
        let sealed = view.wait_for(|view| {
            view.head.as_ref().is_some_and(|head| head.block.header.cleared >= number)
                || view.read_only.is_some()
        });
        let wait = Duration::from_millis(wait_ms.into()).min(WAIT_MAX);
        // Whether it was in time shows below.
        let _ = tokio::time::timeout(wait, sealed).await;
        let found = self.aside(move |reader| reader.receipt(number)).await?;
        let receipt = found.map(|(receipt, hash, height)| Receipt {
            number,
            hash: hash.0.to_vec().into(),
            index: receipt.index,
            text: receipt.to_text(),
            path: nodes(receipt.path),
            checkpoint: receipt.checkpoint,
            record: receipt.record.into(),
            height,
        });
        Ok(Response::new(ReceiptReply { receipt }))
    }

    async fn block(&self, call: Call<BlockRequest>) -> Result<Response<BlockReply>, Status> {
        let block = match call.into_inner().key {
            None => self.reader.head().map(|head| head.block.clone()),
            Some(block_request::Key::Height(height)) => {
                self.aside(move |reader| reader.block(height)).await?
            }
            Some(block_request::Key::Hash(name)) => {
                let name = Hash::from_slice(&name);
                let name = name.ok_or_else(|| Status::invalid_argument("a hash is 32 bytes"))?;
                // Hashtable has documents of every kind, and says nothing of
                // whether one was published. Where it is away, the log has them all.
                let asked = tokio::time::timeout(HASHTABLE_MAX, self.remote.document(&name));
                let asked = asked.await.unwrap_or_else(|_| Err(Status::unavailable("no answer")));
                let document = asked.unwrap_or_else(|status| {
                    tracing::warn!(why = status.message(), "Hashtable was asked for a block");
                    None
                });
                match document.as_deref().map(Block::parse) {
                    Some(Ok(block)) => {
                        let height = block.header.height;
                        let found = self.aside(move |reader| reader.block(height)).await?;
                        found.filter(|block| block.hash == name)
                    }
                    Some(Err(_)) => None,
                    // It may have lost it, and be filled again with records only.
                    None => {
                        let turn = self.turn().await?;
                        let find = move |reader: &Reader<S>| {
                            let _turn = turn;
                            reader.named(&name)
                        };
                        self.aside(find).await?
                    }
                }
            }
        };
        Ok(Response::new(BlockReply { block: block.map(wire) }))
    }

    type BlockRecordsStream = Streamed<Record>;

    async fn block_records(
        &self,
        call: Call<BlockRecordsRequest>,
    ) -> Result<Response<Self::BlockRecordsStream>, Status> {
        let height = call.get_ref().height;
        let found = self.aside(move |reader| {
            let block = reader.block(height)?;
            block.map(|block| reader.records(&block)).transpose()
        });
        let none = || Status::not_found(format!("there is no block {height}"));
        let records = found.await?.ok_or_else(none)?.into_iter().map(|(number, hash, body)| {
            Ok(Record { number, hash: hash.0.to_vec().into(), body: body.into() })
        });
        Ok(Response::new(Box::pin(tokio_stream::iter(records.collect::<Vec<_>>()))))
    }

    async fn stack(&self, call: Call<StackRequest>) -> Result<Response<StackReply>, Status> {
        let height = call.get_ref().height;
        let stack = self.aside(move |reader| reader.stack(height)).await?.map(|stack| Stack {
            height: stack.height,
            hash: stack.hash.0.to_vec().into(),
            body: stack.bytes.into(),
        });
        Ok(Response::new(StackReply { stack }))
    }

    async fn account_proof(
        &self,
        call: Call<AccountProofRequest>,
    ) -> Result<Response<StateProofReply>, Status> {
        let asked = call.get_ref();
        let id = AccountId { unit: address(&asked.unit)?, address: address(&asked.address)? };
        self.state_proof(Of::Account(id), asked.height).await
    }

    async fn unit_proof(
        &self,
        call: Call<UnitProofRequest>,
    ) -> Result<Response<StateProofReply>, Status> {
        let asked = call.get_ref();
        self.state_proof(Of::Unit(address(&asked.unit)?), asked.height).await
    }

    async fn seal(&self, call: Call<SealRequest>) -> Result<Response<SealReply>, Status> {
        let stack = call.get_ref().stack;
        let made = self.command(|answer| Command::Seal { stack, answer }).await?;
        let head = self.reader.head().ok_or_else(|| Status::unavailable("no block yet"))?;
        Ok(Response::new(SealReply {
            height: head.height(),
            blocks: made.blocks,
            records: made.records,
            checkpoint: head.note.clone(),
        }))
    }

    async fn rotate_log_key(
        &self,
        _: Call<RotateLogKeyRequest>,
    ) -> Result<Response<RotateLogKeyReply>, Status> {
        let made = self.command(|answer| Command::Rotate { answer }).await?;
        let key = self.reader.view.borrow().keys.last().map(ToString::to_string);
        let key = key.ok_or_else(|| Status::unavailable("no key yet"))?;
        Ok(Response::new(RotateLogKeyReply { key, height: made.changed.unwrap_or_default() }))
    }
}
