//! The stand-in for Blockstack.

use bytes::Bytes;
use tonic::{Response, Status, async_trait};
use webwallet_proto::blockstack::v1 as log;
use webwallet_proto::blockstack::v1::blockstack_server::Blockstack;

use super::{CHECKPOINT, DOMAIN, LARGE, Shared};

/// A log with one checkpoint, in which nothing is sealed but what a test puts there.
#[async_trait]
impl Blockstack for Shared {
    async fn status(
        &self,
        _: tonic::Request<log::StatusRequest>,
    ) -> Result<Response<log::StatusReply>, Status> {
        self.0.answers("status").await;
        self.0.works("blockstack")?;
        let read_only = self.0.read_only.lock().expect("lock").clone();
        Ok(Response::new(log::StatusReply {
            height: Some(0),
            size: 2,
            checkpoint: CHECKPOINT.to_owned(),
            keys: vec!["example.net+00000000+AAAA".to_owned()],
            domain: DOMAIN.to_owned(),
            read_only,
            compared: true,
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
        let block = self.0.block.lock().expect("lock").clone();
        Ok(Response::new(log::BlockReply { block }))
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
