//! The stand-in for Hashtable.

use std::time::Duration;

use bytes::Bytes;
use tonic::{Response, Status, async_trait};
use webwallet_ledger::Supplied;
use webwallet_proto::graphstore::v1 as graph;
use webwallet_proto::hashtable::v1 as table;
use webwallet_proto::hashtable::v1::hashtable_server::Hashtable;

use super::{Answers, Shared, answers};

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
        self.0.answers("get").await;
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
        self.0.answers("get").await;
        self.0.works("get")?;
        Ok(Response::new(table::StatusReply {
            number: 0,
            engine: "stand-in".to_owned(),
            lossy: false,
        }))
    }
}
