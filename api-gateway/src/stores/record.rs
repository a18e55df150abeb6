//! Cleared records, from whichever store has them: Graphstore until they are sealed,
//! Hashtable, and the log once they are.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, TryStreamExt as _};
use tonic::{Code as Status, Response};
use webwallet_ledger::Hash;
use webwallet_proto::blockstack::v1 as log;
use webwallet_proto::graphstore::v1 as graph;
use webwallet_proto::hashtable::v1 as table;

use super::{Stores, answered, bytes_of, complain, failed, soon, unreadable};
use crate::problem::Problem;

/// Bytes of one piece of history, about: what somebody reads who reads slowly is
/// held meanwhile, and there may be a thousand of them.
pub(crate) const HISTORY_BYTES: usize = 64 * 1024;

/// A cleared record, as the services hand it over.
#[derive(Debug)]
pub(crate) struct Cleared {
    pub(crate) number: u64,
    pub(crate) hash: Hash,
    pub(crate) body: Bytes,
}

/// What a record is found by.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Key {
    Number(u64),
    Record(Hash),
    Iou(Hash),
}

impl Stores {
    /// The record made of exactly these IOUs.
    pub(crate) async fn replay(&self, ious: &[Hash]) -> Result<Option<Cleared>, Problem> {
        let ious = ious.iter().map(bytes_of).collect();
        let reply = self.graphstore.clone().replay(graph::ReplayRequest { ious }).await;
        self.found(reply, "Graphstore.Replay").await
    }

    /// A cleared record, from the one who decided.
    pub(crate) async fn record(&self, key: Key) -> Result<Option<Cleared>, Problem> {
        let key = match key {
            Key::Number(number) => graph::record_request::Key::Number(number),
            Key::Record(hash) => graph::record_request::Key::Hash(bytes_of(&hash)),
            Key::Iou(hash) => graph::record_request::Key::Iou(bytes_of(&hash)),
        };
        let call = graph::RecordRequest { key: Some(key) };
        let reply = self.graphstore.clone().record(call).await;
        self.found(reply, "Graphstore.Record").await
    }

    /// The last number given, as soon as it is higher than `after`; after the
    /// wait in any case.
    pub(crate) async fn newest(&self, after: u64, wait: Duration) -> Result<u64, Problem> {
        let wait_ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
        let reply = self.graphstore.clone().newest(graph::NewestRequest { after, wait_ms }).await;
        Ok(answered(reply, "Graphstore.Newest")?.number)
    }

    /// Records after a number, in order and without gaps, with their bytes: at
    /// most so many, none where there are none yet.
    pub(crate) async fn history(&self, after: u64, limit: u32) -> Result<Vec<Cleared>, Problem> {
        let call = graph::ClearedRequest { after, limit };
        let mut found = Vec::new();
        let ended = match self.graphstore.clone().cleared(call).await {
            Ok(stream) => taken(stream.into_inner(), after, &mut found).await,
            Err(status) => Err(status),
        };
        match ended {
            _ if !found.is_empty() => Ok(found),
            Ok(()) => Ok(found),
            // Its bytes were dropped, because they are sealed.
            Err(status) if status.code() == Status::OutOfRange => {
                let mut kept = self.kept(after, limit).await;
                if kept.is_empty() {
                    kept = self.proven(after, limit).await?;
                }
                if kept.is_empty() {
                    kept.extend(self.record(Key::Number(after.saturating_add(1))).await?);
                }
                Ok(kept)
            }
            Err(status) => Err(failed("Graphstore.Cleared", &status)),
        }
    }

    /// The record of a number.
    pub(crate) async fn numbered(&self, number: u64) -> Result<Option<Cleared>, Problem> {
        let Some(before) = number.checked_sub(1) else { return Ok(None) };
        if let Some(found) = self.kept(before, 1).await.pop() {
            return Ok(Some(found));
        }
        match self.record(Key::Number(number)).await {
            // Once it is sealed it is in the log, whoever else is away.
            Err(problem) => self.sealed(number).await.ok().flatten().map(Some).ok_or(problem),
            found => found,
        }
    }

    /// [`Stores::history`] from Hashtable, as far as that has it.
    async fn kept(&self, after: u64, limit: u32) -> Vec<Cleared> {
        let mut found = Vec::new();
        let call = soon(table::NumberedRequest { after, limit });
        let ended = match self.hashtable.clone().numbered(call).await {
            Ok(stream) => {
                let records = stream.into_inner().map_ok(|document| graph::Record {
                    number: document.number,
                    hash: document.hash,
                    body: document.body,
                });
                taken(records, after, &mut found).await
            }
            Err(status) => Err(status),
        };
        if let Err(status) = ended {
            complain("Hashtable.Numbered", &status);
        }
        found
    }

    /// The same from the log.
    async fn proven(&self, after: u64, limit: u32) -> Result<Vec<Cleared>, Problem> {
        let (mut found, mut bytes) = (Vec::new(), 0);
        let first = after.saturating_add(1);
        for number in first..first.saturating_add(limit.into()) {
            let Some(sealed) = self.sealed(number).await? else { break };
            bytes += sealed.body.len();
            found.push(sealed);
            if bytes >= HISTORY_BYTES {
                break;
            }
        }
        Ok(found)
    }

    /// A record from the log.
    async fn sealed(&self, number: u64) -> Result<Option<Cleared>, Problem> {
        let call = soon(log::ReceiptRequest { number, wait_ms: 0 });
        let reply = answered(self.blockstack.clone().receipt(call).await, "Blockstack.Receipt")?;
        let receipt = reply.receipt.map(|receipt| {
            let (hash, body) = (receipt.hash, receipt.record);
            cleared(graph::Record { number, hash, body })
        });
        receipt.transpose()
    }

    async fn found(
        &self,
        reply: Result<Response<graph::RecordReply>, tonic::Status>,
        call: &'static str,
    ) -> Result<Option<Cleared>, Problem> {
        match answered(reply, call)?.record {
            Some(record) => self.whole(cleared(record)?).await.map(Some),
            None => Ok(None),
        }
    }

    /// A record with its bytes: those that Graphstore has dropped, because they
    /// are sealed, are in the log; and in Hashtable, should Blockstack be away.
    pub(super) async fn whole(&self, record: Cleared) -> Result<Cleared, Problem> {
        if !record.body.is_empty() {
            return Ok(record);
        }
        // Whoever asks for it by its hash has asked Hashtable before.
        let sealed = self.sealed(record.number).await;
        if let Ok(Some(sealed)) = sealed
            && sealed.hash == record.hash
        {
            return Ok(sealed);
        }
        match self.document(&record.hash).await? {
            Some(body) => Ok(Cleared { body, ..record }),
            None => Err(unreadable(&format!("record {} is in no store", record.number))),
        }
    }

    /// Puts a record into Hashtable: a part of [`crate::gateway::Gateway::keep`].
    pub(crate) async fn put(&self, record: &Cleared) -> Result<(), Problem> {
        let documents = vec![table::Document {
            hash: bytes_of(&record.hash),
            body: record.body.clone(),
            number: record.number,
        }];
        let reply = self.hashtable.clone().put(table::PutRequest { documents }).await;
        answered(reply, "Hashtable.Put").map(drop)
    }

    /// The bytes stored under a name, whatever they are. A record is elsewhere too.
    pub(crate) async fn document(&self, hash: &Hash) -> Result<Option<Bytes>, Problem> {
        let call = soon(table::GetRequest { hashes: vec![bytes_of(hash)] });
        let reply = self.hashtable.clone().get(call).await;
        let documents = answered(reply, "Hashtable.Get")?.documents;
        Ok(documents.into_iter().next().and_then(|found| found.body))
    }
}

/// Takes records off a stream while each is the next one.
async fn taken(
    stream: impl Stream<Item = Result<graph::Record, tonic::Status>>,
    after: u64,
    found: &mut Vec<Cleared>,
) -> Result<(), tonic::Status> {
    let mut stream = pin!(stream);
    let (mut next, mut bytes) = (after.saturating_add(1), 0);
    while bytes < HISTORY_BYTES
        && let Some(record) = stream.try_next().await?
    {
        let hash = Hash::from_slice(&record.hash).filter(|_| record.number == next);
        let Some(hash) = hash else {
            return Err(tonic::Status::data_loss(format!("record {next} is missing")));
        };
        if record.body.is_empty() {
            return Err(tonic::Status::out_of_range(format!("record {next} was dropped")));
        }
        (next, bytes) = (next + 1, bytes + record.body.len());
        found.push(Cleared { number: record.number, hash, body: record.body });
    }
    Ok(())
}

pub(super) fn cleared(record: graph::Record) -> Result<Cleared, Problem> {
    match Hash::from_slice(&record.hash) {
        Some(hash) => Ok(Cleared { number: record.number, hash, body: record.body }),
        None => Err(unreadable(&"a record's hash is not 32 bytes")),
    }
}
