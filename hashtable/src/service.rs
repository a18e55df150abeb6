//! gRPC over any store.
//!
//! Checks that every document is the bytes of its name before a store sees it,
//! and turns failures into statuses. What led to a failure is for the log of
//! this process; a caller learns only whether to try again.

use std::sync::Arc;

use bytes::Bytes;
use tonic::{Request, Response, Status};
use webwallet_ledger::{Hash, Supplied};
use webwallet_proto::engine;
use webwallet_proto::hashtable::DOCUMENTS_MAX;
use webwallet_proto::hashtable::v1::{
    self, Found, GetReply, GetRequest, NamesReply, NumberedRequest, PutReply, PutRequest,
    StatusReply, StatusRequest, SuppliedRequest, SupplyReply, SupplyRequest,
    hashtable_server::{Hashtable, HashtableServer},
};
use webwallet_proto::stream::{Streamed, pages};

use crate::store::{Document, Error, Store};

/// Names in one answer.
const NAMES_MAX: u32 = 10_000;

/// Hashtable over a store.
pub struct Service<S> {
    store: Arc<S>,
}

impl<S: Store> Service<S> {
    /// The service over this store.
    pub fn new(store: S) -> Service<S> {
        // An alert on what grows from nothing would miss the first.
        metrics::counter!("webwallet_hashtable_damaged_total").increment(0);
        Service { store: Arc::new(store) }
    }

    fn status(&self, error: Error) -> Status {
        status(&self.store.name(), error)
    }
}

/// The gRPC server of a store, with the limits of every server of ours.
pub fn server<S: Store>(store: S) -> HashtableServer<Service<S>> {
    webwallet_proto::hashtable::server(Service::new(store))
}

#[tonic::async_trait]
impl<S: Store> Hashtable for Service<S> {
    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutReply>, Status> {
        let documents = request.into_inner().documents;
        within_limit(documents.len())?;
        let documents = documents.into_iter().map(checked).collect::<Result<Vec<_>, _>>()?;
        self.store.put(documents).await.map_err(|error| self.status(error))?;
        Ok(Response::new(PutReply {}))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetReply>, Status> {
        let hashes = request.into_inner().hashes;
        within_limit(hashes.len())?;
        let names = hashes.iter().map(hash).collect::<Result<Vec<_>, _>>()?;
        let found = self.store.get(&names).await.map_err(|error| self.status(error))?;
        let documents = found.into_iter().map(|body| Found { body }).collect();
        Ok(Response::new(GetReply { documents }))
    }

    async fn supply(
        &self,
        request: Request<SupplyRequest>,
    ) -> Result<Response<SupplyReply>, Status> {
        let supplied = Supplied::of_document(&request.get_ref().body)
            .map_err(|rejection| Status::invalid_argument(rejection.to_string()))?;
        let put = self.store.put(vec![supplied.into()]).await;
        put.map(|()| Response::new(SupplyReply {})).map_err(|error| self.status(error))
    }

    async fn supplied(&self, request: Request<SuppliedRequest>) -> Result<Response<Found>, Status> {
        let name = hash(&request.get_ref().hash)?;
        let body = self.store.supplied(name).await.map_err(|error| self.status(error))?;
        Ok(Response::new(Found { body }))
    }

    type NumberedStream = Streamed<v1::Document>;

    async fn numbered(
        &self,
        request: Request<NumberedRequest>,
    ) -> Result<Response<Self::NumberedStream>, Status> {
        let NumberedRequest { after, limit } = request.into_inner();
        let store = self.store.clone();
        let page = move |after, limit| {
            let store = store.clone();
            async move {
                let found = store.numbered(after, limit).await;
                let found = found.map_err(|error| status(&store.name(), error))?;
                Ok(found.iter().map(wire).collect())
            }
        };
        Ok(pages(after, limit, page, |document| document.number))
    }

    async fn names(
        &self,
        request: Request<NumberedRequest>,
    ) -> Result<Response<NamesReply>, Status> {
        let NumberedRequest { after, limit } = request.into_inner();
        let limit = if limit == 0 { NAMES_MAX } else { limit.min(NAMES_MAX) };
        let names = self.store.names(after, limit).await.map_err(|error| self.status(error))?;
        let hashes = names.iter().map(|name| Bytes::copy_from_slice(&name.0)).collect();
        Ok(Response::new(NamesReply { hashes }))
    }

    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusReply>, Status> {
        let number = self.store.highest().await.map_err(|error| self.status(error))?;
        let (engine, lossy) = (self.store.name(), self.store.may_be_lossy());
        Ok(Response::new(StatusReply { number, engine, lossy }))
    }
}

fn within_limit(count: usize) -> Result<(), Status> {
    if count > DOCUMENTS_MAX {
        let message = format!("{count} documents in one call; the limit is {DOCUMENTS_MAX}");
        return Err(Status::invalid_argument(message));
    }
    Ok(())
}

fn hash(bytes: &Bytes) -> Result<Hash, Status> {
    Hash::from_slice(bytes)
        .ok_or_else(|| Status::invalid_argument(format!("a hash is 32 bytes, not {}", bytes.len())))
}

fn wire(document: &Document) -> v1::Document {
    let hash = Bytes::copy_from_slice(&document.name().0);
    v1::Document { hash, body: document.bytes().clone(), number: document.number() }
}

fn checked(document: v1::Document) -> Result<Document, Status> {
    let name = hash(&document.hash)?;
    Document::new(name, document.body, document.number)
        .map_err(|rejection| Status::invalid_argument(format!("document {name}: {rejection}")))
}

fn status(engine: &str, error: Error) -> Status {
    tracing::error!(error = engine::chain(&error), "hashtable");
    match error {
        Error::Damaged(name) => {
            metrics::counter!("webwallet_hashtable_damaged_total").increment(1);
            Status::data_loss(format!("document {name} is damaged"))
        }
        Error::Taken(_) => Status::failed_precondition(error.to_string()),
        Error::Stopped(_) => engine::missing(engine, "the store does not write"),
        Error::Engine(_) => engine::missing(engine, "the store failed"),
    }
}
