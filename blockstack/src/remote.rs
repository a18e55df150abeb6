//! What Blockstack asks of Graphstore and Hashtable.

use std::sync::Arc;

use bytes::Bytes;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Code, Status};
use webwallet_ledger::block::{AtHeight, Block, Header};
use webwallet_ledger::leaf::Leaf;
use webwallet_ledger::{Hash, Record};
use webwallet_proto::graphstore::v1::graphstore_client::GraphstoreClient;
use webwallet_proto::graphstore::v1::{
    self as graphstore, ClearedRequest, IntendRequest, Intent, IntentsRequest, RecordRequest,
    StatusReply, StatusRequest, TrimRequest, record_request,
};
use webwallet_proto::hashtable::DOCUMENTS_MAX;
use webwallet_proto::hashtable::v1::hashtable_client::HashtableClient;
use webwallet_proto::hashtable::v1::{
    self as hashtable, Document, GetRequest, NumberedRequest, PutRequest,
};
use webwallet_proto::link::Link;

use crate::chain::Parts;

/// Bytes of records taken at a time, about.
const FETCH_BYTES: usize = 4 << 20;
/// Documents and bytes in one put: far below what a message may have.
const PUT_DOCUMENTS_MAX: usize = DOCUMENTS_MAX / 2;
const PUT_BYTES: usize = 2 << 20;

/// Records in order, as they were given.
pub(crate) enum Records {
    /// By a Graphstore of this process: as its writer made them.
    Made(Arc<[Arc<Record>]>),
    /// As they are stored.
    Bytes(Vec<Bytes>),
}

/// The two other stores. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Remote {
    pub(crate) graphstore: GraphstoreClient<Link>,
    pub(crate) hashtable: HashtableClient<Link>,
}

impl Remote {
    pub(crate) async fn status(&self) -> Result<StatusReply, Status> {
        Ok(self.graphstore.clone().status(StatusRequest {}).await?.into_inner())
    }

    /// The highest number of a record in Hashtable.
    pub(crate) async fn stored(&self) -> Result<u64, Status> {
        Ok(self.hashtable.clone().status(hashtable::StatusRequest {}).await?.into_inner().number)
    }

    /// Records after a number, at most so many: from Graphstore or, where those
    /// were trimmed, from Hashtable.
    pub(crate) async fn records(&self, after: u64, limit: u64) -> Result<Records, Status> {
        match self.cleared(after, limit).await {
            Err(status) if status.code() == Code::OutOfRange => {
                self.numbered(after, limit).await.map(Records::Bytes)
            }
            outcome => outcome,
        }
    }

    /// Graphstore's record of a number, perhaps without its bytes.
    pub(crate) async fn record(&self, number: u64) -> Result<Option<graphstore::Record>, Status> {
        let asked = RecordRequest { key: Some(record_request::Key::Number(number)) };
        match self.graphstore.clone().record(asked).await {
            Ok(reply) => Ok(reply.into_inner().record),
            // It was put back, and does not say whether there was one.
            Err(status) if status.code() == Code::FailedPrecondition => Ok(None),
            Err(status) => Err(status),
        }
    }

    async fn cleared(&self, after: u64, limit: u64) -> Result<Records, Status> {
        let asked = ClearedRequest { after, limit: u32::try_from(limit).unwrap_or(u32::MAX) };
        let reply = self.graphstore.clone().cleared(asked).await?;
        if let Some(made) = reply.extensions().get() {
            return Ok(Records::Made(Arc::clone(made)));
        }
        Ok(Records::Bytes(bodies(reply.into_inner().map(|record| Ok(record?.body))).await?))
    }

    async fn numbered(&self, after: u64, limit: u64) -> Result<Vec<Bytes>, Status> {
        let asked = NumberedRequest { after, limit: u32::try_from(limit).unwrap_or(u32::MAX) };
        let stream = self.hashtable.clone().numbered(asked).await?.into_inner();
        bodies(stream.map(|document| Ok(document?.body))).await
    }

    /// The names of records after a number that Hashtable has, up to the first
    /// that it has not; at most so many.
    pub(crate) async fn names(&self, after: u64, limit: u64) -> Result<Vec<Bytes>, Status> {
        let asked = NumberedRequest { after, limit: u32::try_from(limit).unwrap_or(u32::MAX) };
        Ok(self.hashtable.clone().names(asked).await?.into_inner().hashes)
    }

    /// Stores documents in Hashtable: durable when it returns.
    pub(crate) async fn put(&self, documents: Vec<Document>) -> Result<(), Status> {
        let mut client = self.hashtable.clone();
        let (mut group, mut bytes) = (Vec::new(), 0);
        for document in documents {
            bytes += document.body.len();
            group.push(document);
            if group.len() >= PUT_DOCUMENTS_MAX || bytes >= PUT_BYTES {
                client.put(PutRequest { documents: std::mem::take(&mut group) }).await?;
                bytes = 0;
            }
        }
        if !group.is_empty() {
            client.put(PutRequest { documents: group }).await?;
        }
        Ok(())
    }

    /// The document of this name.
    pub(crate) async fn document(&self, name: &Hash) -> Result<Option<Bytes>, Status> {
        Ok(self.documents(&[*name]).await?.pop().flatten())
    }

    /// The documents of these names, in their order.
    pub(crate) async fn documents(&self, names: &[Hash]) -> Result<Vec<Option<Bytes>>, Status> {
        let hashes = names.iter().map(|name| name.0.to_vec().into()).collect();
        let reply = self.hashtable.clone().get(GetRequest { hashes }).await?.into_inner();
        Ok(reply.documents.into_iter().map(|found| found.body).collect())
    }

    pub(crate) async fn intend(&self, intent: Intent, quiet: bool) -> Result<Intent, Status> {
        let asked = IntendRequest { intent: Some(intent), quiet };
        Ok(self.graphstore.clone().intend(asked).await?.into_inner())
    }

    /// The intents from a height on, at most so many.
    pub(crate) async fn intents(&self, from: u64, limit: u32) -> Result<Vec<Intent>, Status> {
        let asked = IntentsRequest { from, limit };
        let stream = self.graphstore.clone().intents(asked).await?.into_inner();
        stream.collect().await
    }

    pub(crate) async fn trim(&self, upto: u64) -> Result<(), Status> {
        self.graphstore.clone().trim(TrimRequest { upto }).await.map(drop)
    }
}

/// The first bodies of a stream, of about [`FETCH_BYTES`]. What came before an error is good; the
/// rest is asked for next.
async fn bodies(
    mut stream: impl Stream<Item = Result<Bytes, Status>> + Unpin,
) -> Result<Vec<Bytes>, Status> {
    let (mut bodies, mut bytes) = (Vec::new(), 0);
    while bytes < FETCH_BYTES
        && let Some(body) = stream.next().await
    {
        match body {
            Ok(body) => {
                bytes += body.len();
                bodies.push(body);
            }
            Err(_) if !bodies.is_empty() => break,
            Err(status) => return Err(status),
        }
    }
    Ok(bodies)
}

/// A record as Hashtable takes it.
pub(crate) fn record(record: &Record) -> Document {
    document(record.hash, &record.bytes, record.number)
}

/// What Hashtable has of a block beside its records, so that each is found by its name like
/// any other document; and, last of all, the block by its height.
pub(crate) fn others(parts: &Parts, block: &Block) -> Vec<Document> {
    let Header { domain, height, .. } = &block.header;
    let documents = parts.documents.iter().map(Leaf::hash).collect();
    let (name, entry) = AtHeight { block: block.hash, documents }.document(domain, *height);
    let others = parts.documents.iter().map(|leaf| document(leaf.hash(), leaf.bytes(), 0));
    others.chain([document(block.hash, &block.bytes, 0), document(name, &entry, 0)]).collect()
}

/// Whether this, which Hashtable has under a height, is the entry of this block.
pub(crate) fn is_of(entry: &[u8], block: &Hash) -> bool {
    AtHeight::parse(entry).is_ok_and(|entry| entry.block == *block)
}

/// A document as Hashtable takes it.
pub(crate) fn document(name: Hash, body: &[u8], number: u64) -> Document {
    Document { hash: name.0.to_vec().into(), body: body.to_vec().into(), number }
}
