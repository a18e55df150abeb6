//! What a caller may rely on, whichever transport lies under its client.
//!
//! Each case runs twice: on `Link::embedded`, and on `Link::remote` to the same
//! server on a socket. If one of them failed, a deployment of several processes
//! would behave otherwise than the one everybody tries first.

use std::{
    future::{Future, pending},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status};
use webwallet_proto::{
    MESSAGE_BYTES_MAX,
    graphstore::{self, v1 as graph, v1::graphstore_client::GraphstoreClient},
    hashtable::{
        self,
        v1::{
            Document, Found, GetReply, GetRequest, PutReply, PutRequest,
            hashtable_client::HashtableClient,
        },
    },
    link::Link,
    serve::{Services, is_serving},
    tls::Tls,
};

/// Long enough that a case which waits for it has failed.
const AMPLE: Duration = Duration::from_secs(30);

/// What a handler of the test server reports about itself.
#[derive(Debug, PartialEq)]
enum Event {
    Began,
    Dropped,
}

/// A server that does what the first bytes of a request tell it to.
#[derive(Clone)]
pub struct Puppet {
    events: mpsc::UnboundedSender<Event>,
}

impl Puppet {
    /// One that nobody listens to.
    pub fn obedient() -> Puppet {
        Puppet { events: mpsc::unbounded_channel().0 }
    }
}

/// Tells when a handler or a stream was dropped before its end.
struct TellDrop(mpsc::UnboundedSender<Event>);

impl Drop for TellDrop {
    fn drop(&mut self) {
        // The test may have ended already.
        let _ = self.0.send(Event::Dropped);
    }
}

#[tonic::async_trait]
impl hashtable::v1::hashtable_server::Hashtable for Puppet {
    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutReply>, Status> {
        let timeout = request.metadata().get("grpc-timeout").cloned();
        match &request.get_ref().documents[..] {
            [document] if document.body == "refuse" => Err(Status::with_details(
                Code::InvalidArgument,
                "not the bytes of its name: \u{e9}\n%",
                Bytes::from_static(&[0, 1, 255]),
            )),
            [document] if document.body == "panic" => panic!("on demand"),
            [document] if document.body == "never" => {
                let _tell = TellDrop(self.events.clone());
                let _ = self.events.send(Event::Began);
                assert!(timeout.is_none(), "deadlines are the link's business");
                pending().await
            }
            _ => Ok(Response::new(PutReply {})),
        }
    }

    /// Answers every hash with itself as a document; with `[n]` as the only hash, with n MiB;
    /// with none, with what the message was made of. Its own is made of "an answer".
    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetReply>, Status> {
        let made_of = request.extensions().get::<Arc<str>>().cloned();
        let hashes = request.into_inner().hashes;
        let documents = match &hashes[..] {
            [] => {
                let body = made_of.map(|text| Bytes::copy_from_slice(text.as_bytes()));
                let mut response = Response::new(GetReply { documents: vec![Found { body }] });
                response.extensions_mut().insert(Arc::<str>::from("an answer"));
                return Ok(response);
            }
            [one] if one.len() == 1 => {
                vec![Found { body: Some(vec![0; usize::from(one[0]) << 20].into()) }]
            }
            _ => hashes.into_iter().map(|hash| Found { body: Some(hash) }).collect(),
        };
        Ok(Response::new(GetReply { documents }))
    }

    type NumberedStream = tokio_stream::Empty<Result<Document, Status>>;

    async fn numbered(
        &self,
        _: Request<hashtable::v1::NumberedRequest>,
    ) -> Result<Response<Self::NumberedStream>, Status> {
        Err(Status::unimplemented("not here"))
    }
    async fn supply(
        &self,
        _: Request<hashtable::v1::SupplyRequest>,
    ) -> Result<Response<hashtable::v1::SupplyReply>, Status> {
        Err(Status::unimplemented("not here"))
    }
    async fn supplied(
        &self,
        _: Request<hashtable::v1::SuppliedRequest>,
    ) -> Result<Response<Found>, Status> {
        Err(Status::unimplemented("not here"))
    }
    async fn names(
        &self,
        _: Request<hashtable::v1::NumberedRequest>,
    ) -> Result<Response<hashtable::v1::NamesReply>, Status> {
        Err(Status::unimplemented("not here"))
    }
    async fn status(
        &self,
        _: Request<hashtable::v1::StatusRequest>,
    ) -> Result<Response<hashtable::v1::StatusReply>, Status> {
        Err(Status::unimplemented("not here"))
    }
}

type Records = Pin<Box<dyn Stream<Item = Result<graph::Record, Status>> + Send>>;

fn record(number: u64) -> graph::Record {
    graph::Record { number, hash: vec![1; 32].into(), body: "{}".into() }
}

#[tonic::async_trait]
impl graph::graphstore_server::Graphstore for Puppet {
    type ClearedStream = Records;

    /// Streams `limit` records, and then ends as `after` says.
    async fn cleared(
        &self,
        request: Request<graph::ClearedRequest>,
    ) -> Result<Response<Records>, Status> {
        let graph::ClearedRequest { after, limit } = request.into_inner();
        let records = tokio_stream::iter(1..=u64::from(limit)).map(|n| Ok(record(n)));
        let tell = TellDrop(self.events.clone());
        Ok(Response::new(match after {
            0 => Box::pin(records),
            1 => Box::pin(records.chain(tokio_stream::once(Err(Status::data_loss("torn"))))),
            2 => Box::pin(records.chain(Silent(tell))),
            3 => Box::pin(records.chain(Panics)),
            _ => return Err(Status::unimplemented("no such end")),
        }))
    }

    async fn clear(
        &self,
        _: Request<graph::ClearRequest>,
    ) -> Result<Response<graph::ClearReply>, Status> {
        Err(Status::unimplemented("not here"))
    }
    async fn rehearse(
        &self,
        _: Request<graph::ClearRequest>,
    ) -> Result<Response<graph::ClearReply>, Status> {
        Err(Status::unimplemented("not here"))
    }
    async fn newest(
        &self,
        _: Request<graph::NewestRequest>,
    ) -> Result<Response<graph::NewestReply>, Status> {
        Err(Status::unimplemented("not here"))
    }
    type ClearAllStream = tokio_stream::Empty<Result<graph::ClearReply, Status>>;
    async fn clear_all(
        &self,
        _: Request<tonic::Streaming<graph::ClearRequest>>,
    ) -> Result<Response<Self::ClearAllStream>, Status> {
        Err(Status::unimplemented("not here"))
    }
    async fn replay(
        &self,
        _: Request<graph::ReplayRequest>,
    ) -> Result<Response<graph::RecordReply>, Status> {
        Err(Status::unimplemented("not here"))
    }
    async fn record(
        &self,
        _: Request<graph::RecordRequest>,
    ) -> Result<Response<graph::RecordReply>, Status> {
        Err(Status::unimplemented("not here"))
    }
    async fn accounts(
        &self,
        _: Request<graph::AccountsRequest>,
    ) -> Result<Response<graph::AccountsReply>, Status> {
        Err(Status::unimplemented("not here"))
    }
    async fn unit(
        &self,
        _: Request<graph::UnitRequest>,
    ) -> Result<Response<graph::UnitReply>, Status> {
        Err(Status::unimplemented("not here"))
    }
    async fn holders(
        &self,
        _: Request<graph::HoldersRequest>,
    ) -> Result<Response<graph::HoldersReply>, Status> {
        Err(Status::unimplemented("not here"))
    }
    async fn outputs(
        &self,
        _: Request<graph::OutputsRequest>,
    ) -> Result<Response<graph::OutputsReply>, Status> {
        Err(Status::unimplemented("not here"))
    }
    async fn status(
        &self,
        _: Request<graph::StatusRequest>,
    ) -> Result<Response<graph::StatusReply>, Status> {
        Err(Status::unimplemented("not here"))
    }
    async fn intend(
        &self,
        _: Request<graph::IntendRequest>,
    ) -> Result<Response<graph::Intent>, Status> {
        Err(Status::unimplemented("not here"))
    }

    type IntentsStream = tokio_stream::Empty<Result<graph::Intent, Status>>;

    async fn intents(
        &self,
        _: Request<graph::IntentsRequest>,
    ) -> Result<Response<Self::IntentsStream>, Status> {
        Err(Status::unimplemented("not here"))
    }
    async fn trim(
        &self,
        _: Request<graph::TrimRequest>,
    ) -> Result<Response<graph::TrimReply>, Status> {
        Err(Status::unimplemented("not here"))
    }
}

struct Silent(#[allow(dead_code)] TellDrop);
impl Stream for Silent {
    type Item = Result<graph::Record, Status>;
    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Pending
    }
}

struct Panics;
impl Stream for Panics {
    type Item = Result<graph::Record, Status>;
    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        panic!("on demand")
    }
}

/// The test server and clients to it over one transport.
struct Stage {
    hashtable: HashtableClient<Link>,
    graphstore: GraphstoreClient<Link>,
    events: mpsc::UnboundedReceiver<Event>,
    /// Stops the server where there is one to stop.
    socket: Option<(CancellationToken, JoinHandle<()>, String)>,
}

impl Stage {
    async fn embedded(deadline: Duration) -> Stage {
        let (events, seen) = mpsc::unbounded_channel();
        let puppet = Puppet { events };
        Stage {
            hashtable: hashtable::client(Link::embedded(
                hashtable::server(puppet.clone()),
                deadline,
            )),
            graphstore: graphstore::client(Link::embedded(graphstore::server(puppet), deadline)),
            events: seen,
            socket: None,
        }
    }

    async fn remote(deadline: Duration) -> Stage {
        let (events, seen) = mpsc::unbounded_channel();
        let puppet = Puppet { events };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let uri = format!("http://{}", listener.local_addr().expect("bound"));
        let mut services = Services::new();
        services.add(hashtable::server(puppet.clone())).await;
        services.add(graphstore::server(puppet)).await;
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let serving = tokio::spawn(async move {
            services.serve(listener, stopped).await.expect("the listener works");
        });
        let link = Link::remote(&uri, deadline).expect("an address");
        Stage {
            hashtable: hashtable::client(link.clone()),
            graphstore: graphstore::client(link),
            events: seen,
            socket: Some((stop, serving, uri)),
        }
    }

    async fn event(&mut self) -> Event {
        within(self.events.recv()).await.expect("the server still exists")
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(AMPLE, future).await.expect("it should have happened long ago")
}

fn put(body: impl Into<Bytes>) -> PutRequest {
    PutRequest {
        documents: vec![Document { hash: vec![0; 32].into(), body: body.into(), number: 0 }],
    }
}

/// Runs each case on both transports.
macro_rules! on_both_transports {
    ($($case:ident)*) => {
        mod embedded { $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() { super::$case(super::Stage::embedded).await; }
        )* }
        mod remote { $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() { super::$case(super::Stage::remote).await; }
        )* }
    };
}

on_both_transports! {
    a_call_is_answered
    a_stream_is_answered_to_its_end
    a_status_keeps_code_message_and_details
    a_status_may_end_a_stream
    a_silent_server_is_too_late
    a_request_may_ask_for_a_shorter_deadline
    a_stream_that_falls_silent_is_too_late
    a_dropped_call_is_dropped_in_the_server
    a_dropped_stream_is_dropped_in_the_server
    a_panic_is_unavailable_and_harms_no_other_call
    a_panic_while_streaming_is_unavailable
    a_message_at_the_limit_passes_and_one_over_it_does_not
    many_calls_at_once_get_their_own_answers
}

async fn a_call_is_answered<F: Future<Output = Stage>>(stage: impl Fn(Duration) -> F) {
    let mut stage = stage(AMPLE).await;
    let reply = stage.hashtable.put(put("anything")).await.expect("answered");
    assert_eq!(reply.into_inner(), PutReply {});
}

/// In-process it saves reading the bytes again. If it came over a socket, a
/// stranger could say that his bytes mean something else.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_message_was_made_of_arrives_in_the_process_and_never_by_a_socket() {
    for (mut stage, arrives) in
        [(Stage::embedded(AMPLE).await, true), (Stage::remote(AMPLE).await, false)]
    {
        let mut call = Request::new(GetRequest { hashes: Vec::new() });
        call.extensions_mut().insert(Arc::<str>::from("a question"));
        let reply = stage.hashtable.get(call).await.expect("answered");
        let answer = reply.extensions().get::<Arc<str>>().map(|text| text.to_string());
        assert_eq!(answer, arrives.then(|| "an answer".to_owned()));
        let body = arrives.then(|| Bytes::from("a question"));
        assert_eq!(reply.into_inner().documents, [Found { body }]);
    }
}

/// A block, or a store that is rebuilt, would miss the records at the end of a stream.
async fn a_stream_is_answered_to_its_end<F: Future<Output = Stage>>(stage: impl Fn(Duration) -> F) {
    let mut stage = stage(AMPLE).await;
    let request = graph::ClearedRequest { after: 0, limit: 1000 };
    let stream = stage.graphstore.cleared(request).await.expect("begun");
    let records: Vec<_> =
        stream.into_inner().map(|record| record.expect("a record").number).collect().await;
    assert_eq!(records, (1..=1000).collect::<Vec<_>>());
}

/// A payer would be told to try again where an operator must act.
async fn a_status_keeps_code_message_and_details<F: Future<Output = Stage>>(
    stage: impl Fn(Duration) -> F,
) {
    let mut stage = stage(AMPLE).await;
    let status = stage.hashtable.put(put("refuse")).await.expect_err("refused");
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(status.message(), "not the bytes of its name: \u{e9}\n%");
    assert_eq!(status.details(), [0, 1, 255]);
}

/// A list that broke off would pass for a whole one, and the payments after that for unpaid.
async fn a_status_may_end_a_stream<F: Future<Output = Stage>>(stage: impl Fn(Duration) -> F) {
    let mut stage = stage(AMPLE).await;
    let request = graph::ClearedRequest { after: 1, limit: 2 };
    let mut stream = stage.graphstore.cleared(request).await.expect("begun").into_inner();
    assert_eq!(stream.message().await.expect("first"), Some(record(1)));
    assert_eq!(stream.message().await.expect("second"), Some(record(2)));
    let status = stream.message().await.expect_err("torn");
    assert_eq!((status.code(), status.message()), (Code::DataLoss, "torn"));
}

/// People would wait for ever for a store that hangs.
async fn a_silent_server_is_too_late<F: Future<Output = Stage>>(stage: impl Fn(Duration) -> F) {
    let mut stage = stage(Duration::from_millis(50)).await;
    let status = stage.hashtable.put(put("never")).await.expect_err("silence");
    assert_eq!(status.code(), Code::DeadlineExceeded);
    // The server was at it, and is not any more.
    assert_eq!(stage.event().await, Event::Began);
    assert_eq!(stage.event().await, Event::Dropped);
}

/// Whoever asks whether a store is well would hang with it.
async fn a_request_may_ask_for_a_shorter_deadline<F: Future<Output = Stage>>(
    stage: impl Fn(Duration) -> F,
) {
    let mut stage = stage(10 * AMPLE).await;
    let mut request = Request::new(put("never"));
    request.set_timeout(Duration::from_millis(50));
    let status = within(stage.hashtable.put(request)).await.expect_err("silence");
    assert_eq!(status.code(), Code::DeadlineExceeded);
}

/// Records would wait for their block for ever, behind a stream that stopped in the middle.
async fn a_stream_that_falls_silent_is_too_late<F: Future<Output = Stage>>(
    stage: impl Fn(Duration) -> F,
) {
    let mut stage = stage(Duration::from_millis(200)).await;
    let request = graph::ClearedRequest { after: 2, limit: 3 };
    let mut stream = stage.graphstore.cleared(request).await.expect("begun").into_inner();
    for n in 1..=3 {
        assert_eq!(stream.message().await.expect("in time"), Some(record(n)));
    }
    let status = stream.message().await.expect_err("silence");
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(stage.event().await, Event::Dropped);
}

/// What nobody waits for any more would go on taking what others need.
async fn a_dropped_call_is_dropped_in_the_server<F: Future<Output = Stage>>(
    stage: impl Fn(Duration) -> F,
) {
    let mut stage = stage(10 * AMPLE).await;
    let mut client = stage.hashtable.clone();
    let call = tokio::spawn(async move { client.put(put("never")).await });
    assert_eq!(stage.event().await, Event::Began);
    call.abort();
    assert_eq!(stage.event().await, Event::Dropped);
}

/// The same of a stream that nobody reads on.
async fn a_dropped_stream_is_dropped_in_the_server<F: Future<Output = Stage>>(
    stage: impl Fn(Duration) -> F,
) {
    let mut stage = stage(10 * AMPLE).await;
    let request = graph::ClearedRequest { after: 2, limit: 1 };
    let mut stream = stage.graphstore.cleared(request).await.expect("begun").into_inner();
    assert_eq!(stream.message().await.expect("first"), Some(record(1)));
    drop(stream);
    assert_eq!(stage.event().await, Event::Dropped);
}

/// One request that trips over a mistake would take the service from everybody else.
async fn a_panic_is_unavailable_and_harms_no_other_call<F: Future<Output = Stage>>(
    stage: impl Fn(Duration) -> F,
) {
    let mut stage = stage(AMPLE).await;
    let mut other = stage.hashtable.clone();
    let other = tokio::spawn(async move { other.put(put("never")).await });
    assert_eq!(stage.event().await, Event::Began);

    let status = stage.hashtable.put(put("panic")).await.expect_err("panicked");
    assert_eq!(status.code(), Code::Unavailable);
    assert!(!status.message().contains("on demand"), "what it panicked with is for the log");
    stage.hashtable.put(put("anything")).await.expect("the server goes on");
    assert!(!other.is_finished(), "the other call is still waiting");
    other.abort();
    assert_eq!(stage.event().await, Event::Dropped);
}

/// A stream that a mistake cut off would pass for a whole one.
async fn a_panic_while_streaming_is_unavailable<F: Future<Output = Stage>>(
    stage: impl Fn(Duration) -> F,
) {
    let mut stage = stage(AMPLE).await;
    let request = graph::ClearedRequest { after: 3, limit: 1 };
    let mut stream = stage.graphstore.cleared(request).await.expect("begun").into_inner();
    // Messages that are ready are sent together; the first may be lost with it.
    let status = loop {
        match stream.message().await {
            Ok(message) => assert_eq!(message, Some(record(1))),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::Unavailable);
}

/// What is as large as it may be would never get through, or what is larger take the memory of all.
async fn a_message_at_the_limit_passes_and_one_over_it_does_not<F: Future<Output = Stage>>(
    stage: impl Fn(Duration) -> F,
) {
    let mut stage = stage(AMPLE).await;
    // Tags and lengths of the messages around the body.
    let around = prost::Message::encoded_len(&put(vec![0; MESSAGE_BYTES_MAX - 64]))
        - (MESSAGE_BYTES_MAX - 64);
    let largest = vec![0; MESSAGE_BYTES_MAX - around];
    stage.hashtable.put(put(largest.clone())).await.expect("at the limit");

    let mut over = largest;
    over.push(0);
    let status = stage.hashtable.put(put(over.clone())).await.expect_err("over it");
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
    // A client that does not keep to the limit meets it at the server.
    let status = stage
        .hashtable
        .clone()
        .max_encoding_message_size(usize::MAX)
        .put(put(over))
        .await
        .expect_err("over it");
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");

    let answer_of = |mebibytes: u8| GetRequest { hashes: vec![vec![mebibytes].into()] };
    stage.hashtable.get(answer_of(15)).await.expect("below it");
    let status = stage.hashtable.get(answer_of(16)).await.expect_err("over it, with its tags");
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
}

/// In a crowd somebody would be answered with what another has asked for.
async fn many_calls_at_once_get_their_own_answers<F: Future<Output = Stage>>(
    stage: impl Fn(Duration) -> F,
) {
    let stage = stage(AMPLE).await;
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..2_000u32 {
        let mut client = stage.hashtable.clone();
        calls.spawn(async move {
            let asked: Bytes = n.to_be_bytes().to_vec().into();
            let hashes = vec![asked.clone(); 2];
            let reply = client.get(GetRequest { hashes }).await.expect("answered");
            let body = Some(asked);
            let found = Found { body };
            assert_eq!(reply.into_inner().documents, [found.clone(), found]);
        });
    }
    within(calls.join_all()).await;
}

/// After a store was away, nobody could pay until somebody restarts each gateway.
#[test]
fn a_server_that_is_gone_is_unavailable_and_found_again_when_it_is_back() {
    // Its own runtime, since dropping that ends connections as a death does.
    let other_process = || tokio::runtime::Runtime::new().expect("a runtime");
    let here = tokio::runtime::Runtime::new().expect("a runtime");

    let there = other_process();
    let mut stage = there.block_on(Stage::remote(AMPLE));
    let (_, _, uri) = stage.socket.take().expect("a socket");
    let link = {
        let _entered = here.enter();
        Link::remote(&uri, AMPLE).expect("an address")
    };
    let mut client = hashtable::client(link);
    let in_flight = here.spawn({
        let mut client = client.clone();
        async move { client.put(put("never")).await }
    });
    assert_eq!(here.block_on(stage.event()), Event::Began);

    there.shutdown_background();
    let answer = here.block_on(within(in_flight)).expect("it ran");
    let status = answer.expect_err("cut off");
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    let status = here.block_on(client.put(put("anything"))).expect_err("nobody there");
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");

    let there = other_process();
    there.block_on(async {
        let (events, _) = mpsc::unbounded_channel();
        let address = uri.strip_prefix("http://").expect("as made");
        let listener = TcpListener::bind(address).await.expect("the same port");
        let mut services = Services::new();
        services.add(hashtable::server(Puppet { events })).await;
        tokio::spawn(async move { services.serve(listener, pending()).await.is_ok() });
    });
    here.block_on(client.put(put("anything"))).expect("back again, on the same link");
}

/// A peer that accepts a call and then dies must not be taken for one that
/// refused it.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_is_unavailable() {
    use tokio::io::AsyncReadExt as _;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let uri = format!("http://{}", listener.local_addr().expect("bound"));
    let cut = tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.expect("a caller");
        let mut some = [0; 64];
        connection.read_exact(&mut some).await.expect("its call");
    });
    let mut client = hashtable::client(Link::remote(&uri, AMPLE).expect("an address"));
    let status = client.put(put("anything")).await.expect_err("cut off");
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    cut.await.expect("it ran");
}

/// At every upgrade somebody would be cut off in the middle of an answer.
#[tokio::test(flavor = "multi_thread")]
async fn shutting_down_lets_calls_in_flight_end() {
    let mut stage = Stage::remote(AMPLE).await;
    let request = graph::ClearedRequest { after: 0, limit: 100 };
    let mut stream = stage.graphstore.cleared(request).await.expect("begun").into_inner();
    let (stop, serving, _) = stage.socket.take().expect("a socket");
    stop.cancel();
    for n in 1..=100 {
        assert_eq!(stream.message().await.expect("still"), Some(record(n)));
    }
    assert_eq!(stream.message().await.expect("the end"), None);
    drop(stream);
    within(serving).await.expect("ended by itself");
}

/// A supervisor would send people to a service that does not work, or restart one that does.
#[tokio::test(flavor = "multi_thread")]
async fn health_and_reflection_answer_on_the_same_listener() {
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let (events, _) = mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let uri = format!("http://{}", listener.local_addr().expect("bound"));
    let mut services = Services::new();
    services.add(hashtable::server(Puppet { events })).await;
    let health = services.health();
    let serving = tokio::spawn(async move { services.serve(listener, pending()).await.is_ok() });
    let link = Link::remote(&uri, AMPLE).expect("an address");

    let asked = HealthCheckRequest { service: "webwallet.hashtable.v1.Hashtable".to_owned() };
    assert!(is_serving(link.clone(), &asked.service).await.expect("known"));
    let mut client = HealthClient::new(link.clone());
    let reply = client.check(asked.clone()).await.expect("known");
    assert_eq!(reply.into_inner().status, 1, "serving");
    health.set_service_status(&asked.service, tonic_health::ServingStatus::NotServing).await;
    assert!(!is_serving(link.clone(), &asked.service).await.expect("known"));
    let reply = client.check(asked).await.expect("known");
    assert_eq!(reply.into_inner().status, 2, "not serving");

    let asked = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut replies = ServerReflectionClient::new(link)
        .server_reflection_info(tokio_stream::once(asked))
        .await
        .expect("served")
        .into_inner();
    let reply = replies.message().await.expect("one").expect("answer");
    let Some(MessageResponse::ListServicesResponse(list)) = reply.message_response else {
        panic!("not a list of services");
    };
    let mut names: Vec<_> = list.service.into_iter().map(|s| s.name).collect();
    names.sort();
    assert_eq!(
        names,
        [
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "webwallet.hashtable.v1.Hashtable"
        ],
        "and not what is served elsewhere"
    );
    serving.abort();
}

/// An operator would learn of a mistyped address, or one without TLS, at the first payment only.
#[tokio::test]
async fn an_address_is_looked_at_before_the_first_call() {
    for bad in ["", "localhost", "/path", "https://example.net", "ftp://example.net:1"] {
        assert!(Link::remote(bad, AMPLE).is_err(), "{bad}");
    }
    assert!(Link::remote("http://example.net:1", AMPLE).is_ok());
    let tls = Tls::default();
    for bad in ["", "localhost", "http://example.net:1"] {
        assert!(Link::remote_tls(bad, &tls, AMPLE).is_err(), "{bad}");
    }
    assert!(Link::remote_tls("https://example.net:1", &tls, AMPLE).is_ok());
}

#[test]
fn links_are_shared_between_threads() {
    fn shared<T: Clone + Send + Sync + 'static>() {}
    shared::<Link>();
    shared::<Arc<HashtableClient<Link>>>();
}
