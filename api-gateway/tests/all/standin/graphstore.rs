//! The stand-in for Graphstore: it decides by the real rules.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use tonic::{Response, Status, async_trait};
use webwallet_ledger::account::AccountId;
use webwallet_ledger::clear;
use webwallet_ledger::{Amount, Hash};
use webwallet_proto::graphstore::v1 as graph;
use webwallet_proto::graphstore::v1::graphstore_server::Graphstore;

use super::{Answers, DOMAIN, NOW, Shared, Stores, answers};

/// A stream of `ClearAll`, counted until it is dropped.
struct OpenStream(Arc<Stores>);

impl OpenStream {
    fn new(stores: Arc<Stores>) -> OpenStream {
        let mut streams = stores.clear_all_streams.lock().expect("lock");
        streams.open += 1;
        streams.most = streams.most.max(streams.open);
        drop(streams);
        OpenStream(stores)
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.clear_all_streams.lock().expect("lock").open -= 1;
    }
}

#[async_trait]
impl Graphstore for Shared {
    async fn clear(
        &self,
        call: tonic::Request<graph::ClearRequest>,
    ) -> Result<Response<graph::ClearReply>, Status> {
        self.0.works("clear")?;
        self.0.delay().await;
        let reply = self.0.books.lock().expect("lock").clear(&call.into_inner().inputs, false);
        Ok(Response::new(reply))
    }

    type ClearAllStream = futures::stream::BoxStream<'static, Result<graph::ClearReply, Status>>;

    async fn clear_all(
        &self,
        call: tonic::Request<tonic::Streaming<graph::ClearRequest>>,
    ) -> Result<Response<Self::ClearAllStream>, Status> {
        self.0.works("clear_all")?;
        let stores = self.0.clone();
        let open = Arc::new(OpenStream::new(self.0.clone()));
        let replies = call.into_inner().then(move |request| {
            let (stores, open) = (stores.clone(), open.clone());
            async move {
                stores.works("clear")?;
                stores.delay().await;
                drop(open);
                Ok(stores.books.lock().expect("lock").clear(&request?.inputs, false))
            }
        });
        Ok(Response::new(replies.boxed()))
    }

    async fn rehearse(
        &self,
        call: tonic::Request<graph::ClearRequest>,
    ) -> Result<Response<graph::ClearReply>, Status> {
        self.0.works("rehearse")?;
        let reply = self.0.books.lock().expect("lock").clear(&call.into_inner().inputs, true);
        Ok(Response::new(reply))
    }

    async fn replay(
        &self,
        call: tonic::Request<graph::ReplayRequest>,
    ) -> Result<Response<graph::RecordReply>, Status> {
        self.0.works("replay")?;
        let ious = call.into_inner().ious;
        let ious: Vec<Hash> = ious.iter().filter_map(|b| Hash::from_slice(b)).collect();
        let books = self.0.books.lock().expect("lock");
        let record = clear::replay(&ious, &*books).and_then(|of| books.wire(of.number));
        Ok(Response::new(graph::RecordReply { record }))
    }

    async fn record(
        &self,
        call: tonic::Request<graph::RecordRequest>,
    ) -> Result<Response<graph::RecordReply>, Status> {
        use graph::record_request::Key;
        self.0.works("record")?;
        let books = self.0.books.lock().expect("lock");
        let number = match call.into_inner().key.expect("a key") {
            Key::Number(number) => Some(number),
            Key::Hash(hash) => {
                books.records.iter().find(|r| r.hash.0[..] == hash[..]).map(|r| r.number)
            }
            Key::Iou(hash) => {
                Hash::from_slice(&hash).and_then(|h| books.ious.get(&h)).map(|of| of.number)
            }
        };
        let record = number.and_then(|number| books.wire(number));
        Ok(Response::new(graph::RecordReply { record }))
    }

    type ClearedStream = Answers<graph::Record>;

    async fn cleared(
        &self,
        call: tonic::Request<graph::ClearedRequest>,
    ) -> Result<Response<Self::ClearedStream>, Status> {
        self.0.works("cleared")?;
        let graph::ClearedRequest { after, limit } = call.into_inner();
        let books = self.0.books.lock().expect("lock");
        let numbers = after.saturating_add(1)..=after.saturating_add(limit.into());
        let records = numbers.map_while(|number| books.wire(number)).map(Ok);
        Ok(Response::new(answers(records.collect())))
    }

    async fn newest(
        &self,
        call: tonic::Request<graph::NewestRequest>,
    ) -> Result<Response<graph::NewestReply>, Status> {
        self.0.works("newest")?;
        let graph::NewestRequest { after, wait_ms } = call.into_inner();
        let wait = Duration::from_millis(wait_ms.into());
        let number = || self.0.books.lock().expect("lock").records.len() as u64;
        let until = tokio::time::Instant::now() + wait;
        while number() <= after && tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(Response::new(graph::NewestReply { number: number() }))
    }

    async fn intend(
        &self,
        _: tonic::Request<graph::IntendRequest>,
    ) -> Result<Response<graph::Intent>, Status> {
        Err(Status::unimplemented("not for a gateway"))
    }

    type IntentsStream = tonic::codegen::tokio_stream::Empty<Result<graph::Intent, Status>>;

    async fn intents(
        &self,
        _: tonic::Request<graph::IntentsRequest>,
    ) -> Result<Response<Self::IntentsStream>, Status> {
        Err(Status::unimplemented("not for a gateway"))
    }

    async fn trim(
        &self,
        _: tonic::Request<graph::TrimRequest>,
    ) -> Result<Response<graph::TrimReply>, Status> {
        Err(Status::unimplemented("not for a gateway"))
    }

    async fn accounts(
        &self,
        call: tonic::Request<graph::AccountsRequest>,
    ) -> Result<Response<graph::AccountsReply>, Status> {
        self.0.works("accounts")?;
        let call = call.into_inner();
        let books = self.0.books.lock().expect("lock");
        let accounts = books
            .accounts
            .iter()
            .filter(|((address, _), _)| address.as_str() == call.address)
            .filter(|((_, unit), _)| call.unit.is_empty() || unit.as_str() == call.unit)
            .filter(|((_, unit), _)| unit.as_str() > call.after.as_str())
            .skip(call.skip as usize)
            .take(call.limit as usize)
            .map(|((_, unit), account)| graph::Account {
                unit: unit.to_string(),
                net: account.balance.net.to_string(),
                min: account.balance.min_text(),
                max: account.balance.max_text(),
                pointer: account.output.to_string(),
            })
            .collect();
        Ok(Response::new(graph::AccountsReply { accounts }))
    }

    async fn unit(
        &self,
        call: tonic::Request<graph::UnitRequest>,
    ) -> Result<Response<graph::UnitReply>, Status> {
        self.0.works("unit")?;
        let books = self.0.books.lock().expect("lock");
        let zero = Amount::zero;
        let (mut supply, mut credit, mut accounts) = (zero(), zero(), 0);
        for ((address, unit), account) in &books.accounts {
            if unit.as_str() == call.get_ref().unit {
                accounts += 1;
                match &account.balance.min {
                    Some(min) if address != unit => credit = credit.minus(min),
                    _ => supply = account.balance.net.negated(),
                }
            }
        }
        Ok(Response::new(graph::UnitReply {
            supply: supply.to_string(),
            locked: zero().to_string(),
            credit: credit.to_string(),
            accounts,
        }))
    }

    async fn holders(
        &self,
        call: tonic::Request<graph::HoldersRequest>,
    ) -> Result<Response<graph::HoldersReply>, Status> {
        self.0.works("holders")?;
        let call = call.into_inner();
        let books = self.0.books.lock().expect("lock");
        let holders = books
            .accounts
            .iter()
            .filter(|((_, unit), _)| unit.as_str() == call.unit)
            .filter(|((address, _), _)| address.as_str() > call.after.as_str())
            .skip(call.skip as usize)
            .take(call.limit as usize)
            .map(|((address, _), account)| graph::Holder {
                address: address.to_string(),
                net: account.balance.net.to_string(),
                min: account.balance.min_text(),
                max: account.balance.max_text(),
            })
            .collect();
        Ok(Response::new(graph::HoldersReply { holders }))
    }

    async fn outputs(
        &self,
        call: tonic::Request<graph::OutputsRequest>,
    ) -> Result<Response<graph::OutputsReply>, Status> {
        self.0.works("outputs")?;
        let call = call.into_inner();
        let id = AccountId {
            unit: call.unit.parse().expect("a gateway sends addresses"),
            address: call.address.parse().expect("a gateway sends addresses"),
        };
        let books = self.0.books.lock().expect("lock");
        let none = Vec::new();
        let chain = books.outputs.get(&id).unwrap_or(&none);
        let newest = if call.unspent { 1 } else { usize::MAX };
        let outputs = chain
            .iter()
            .rev()
            .take(newest)
            .filter(|(number, ..)| call.before == 0 || *number < call.before)
            .skip(call.skip as usize)
            .take(call.limit as usize)
            .map(|(number, pointer, content)| graph::Output {
                pointer: pointer.to_string(),
                content: content.clone(),
                number: *number,
            })
            .collect();
        Ok(Response::new(graph::OutputsReply { outputs }))
    }

    async fn status(
        &self,
        _: tonic::Request<graph::StatusRequest>,
    ) -> Result<Response<graph::StatusReply>, Status> {
        *self.0.looks.lock().expect("lock") += 1;
        self.0.works("status")?;
        let number = self.0.books.lock().expect("lock").records.len() as u64;
        Ok(Response::new(graph::StatusReply {
            number,
            time: NOW.to_owned(),
            domain: DOMAIN.to_owned(),
            engine: "stand-in".to_owned(),
            now: NOW.to_owned(),
            intent_height: *self.0.intended.lock().expect("lock"),
            test_clock: false,
            held: None,
        }))
    }
}
