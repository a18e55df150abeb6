//! `POST /batch`: many requests in one body, each an answer of its own, both
//! ways as they come.
//!
//! What is held of a batch is bounded: so many of its requests are under way at
//! once, and their bytes count as those of all other requests, its answers as those to
//! questions. A client that does not read its answers is not read either.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{self, State};
use axum::response::Response;
use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt as _, unfold};
use http::{Version, header};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};
use webwallet_ledger::request::{Refusal, Request, body_too_large};
use webwallet_ledger::{Code, Rejection};
use webwallet_proto::graphstore::v1::ClearReply;

use crate::answer::{self, Form};
use crate::body;
use crate::clients::Connected;
use crate::gateway::Gateway;
use crate::media;
use crate::problem::{Other, Problem, Refused};
use crate::query::{self, Query};
use crate::room::Place;
use crate::schema;
use crate::split::{Piece, Splitter};
use crate::stores::clearing::Clearing;
use crate::stores::record::Cleared;
use crate::transaction;

/// Requests of one batch that are verified, decided and stored at a time.
const UNDER_WAY: usize = 64;

/// Clear many requests
///
/// One request a line (NDJSON), or an array of requests; under `application/x-ndjson` always one a line. Each clears or is refused as if it had been posted alone, in the order of
/// the body: a request sees what those before it have left. The answers are lines, in the same order, and come while requests are still
/// being sent; read them meanwhile, for a batch whose answers are not read waits. `mode=stop` ends at the first refusal, and what follows is
/// neither cleared nor answered. A batch that breaks off may be sent again as it is: what has cleared is answered with its record.
#[utoipa::path(
    post,
    path = "/batch",
    tag = "transactions",
    params(
        ("mode" = inline(Option<schema::BatchMode>), Query, description = "`independent` (default): a refusal ends only its own request; `stop`: the first ends the batch"),
    ),
    request_body(content((schema::Transaction = "application/x-ndjson"), (Vec<schema::Transaction> = "application/json")),
        description = "Requests of at most 128 KiB each, as many as you like"),
    responses(
        (status = 200, description = "A line for each request; its `status` is what it would have been alone", body = schema::BatchLine, content_type = "application/x-ndjson",
            headers(("X-Accel-Buffering" = String, description = "`no`: a proxy sends on what comes when it comes"))),
        (status = "4XX", description = "Refused as a whole", body = schema::Problem, content_type = "application/problem+json"),
        (status = 503, description = "Nothing clears at present, or as many batches are answered as may be (`overloaded`)", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn post_batch(
    State(gateway): State<Gateway>,
    request: extract::Request,
) -> Result<Response, Problem> {
    let stop = match Query::parse(request.uri().query(), &["mode"])?.get("mode") {
        None | Some("independent") => false,
        Some("stop") => true,
        Some(other) => return Err(query::wrong("mode", other, "independent or stop")),
    };
    let splitter = match media::check_batch(request.headers())? {
        true => Splitter::of_lines(),
        false => Splitter::default(),
    };
    gateway.prover().permit().await?;
    let asks =
        request.version() == Version::HTTP_11 && request.headers().contains_key(header::EXPECT);
    let request = match asks {
        true => begun(request, gateway.limits().body_read_timeout()).await,
        false => request,
    };
    let stopped = Arc::new(AtomicBool::new(false));
    let items = unfold(Reading::new(&gateway, request, splitter, stopped.clone()), Reading::next);
    let verifying = gateway.clone();
    let verified = items.map(move |item| verified(verifying.clone(), item)).buffered(UNDER_WAY);
    let lines: Pin<Box<dyn Stream<Item = io::Result<Written>> + Send>> = match stop {
        true => Box::pin(one_by_one(gateway, Box::pin(verified), stopped)),
        false => Box::pin(in_order(gateway, Box::pin(verified))),
    };
    let lines = lines.enumerate().map(|(index, line)| line.map(|line| line.numbered(index)));
    Ok(answer::lasting(Form::Lines, lines))
}

/// The same, as soon as some of its body has come. A client that asks first is let send when
/// the body is read, and no more once the answer has begun (RFC 9110, section 10.1.1).
async fn begun(request: extract::Request, within: Duration) -> extract::Request {
    let (parts, body) = request.into_parts();
    let mut pieces = body.into_data_stream();
    let first = timeout(within, pieces.next()).await.ok().flatten();
    let body = Body::from_stream(stream::iter(first).chain(pieces));
    extract::Request::from_parts(parts, body)
}

/// A request of the body, or why it or the rest of the body is none.
type Item = Result<(Bytes, Place), Problem>;

/// A body that is cut as it comes.
struct Reading {
    gateway: Gateway,
    client: Option<Arc<Connected>>,
    /// The batch was a request already.
    first: bool,
    body: Option<Body>,
    splitter: Splitter,
    place: Place,
    /// When the request that is held in part has to be whole: what never ends
    /// would keep the room of others for a byte now and then.
    until: Option<Instant>,
    /// Nothing more of the body can be told apart.
    broken: bool,
    /// A request was refused, and nothing after it is wanted.
    stopped: Arc<AtomicBool>,
}

impl Reading {
    fn new(
        gateway: &Gateway,
        request: extract::Request,
        splitter: Splitter,
        stopped: Arc<AtomicBool>,
    ) -> Reading {
        Reading {
            gateway: gateway.clone(),
            client: request.extensions().get::<Arc<Connected>>().cloned(),
            first: true,
            body: Some(request.into_body()),
            splitter,
            place: gateway.bodies().place(),
            until: None,
            broken: false,
            stopped,
        }
    }

    /// Its next request, as soon as it has come.
    async fn next(mut self) -> Option<(Item, Reading)> {
        loop {
            if self.broken || self.stopped.load(Ordering::Relaxed) {
                // Who still sends hears why only if it is let send; who does not, is not waited for.
                let within = self.gateway.limits().body_read_timeout();
                let _ = timeout(within, body::discard(self.body.take()?, 0)).await;
                return None;
            }
            if let Some(piece) = self.splitter.next() {
                self.until = None;
                if let Some(client) = self.client.as_ref().filter(|_| !self.first) {
                    client.turn().await;
                }
                self.first = false;
                let item = self.item(piece);
                self.place.keep(self.splitter.holds());
                return Some((item, self));
            }
            // Blanks and what is too long are not held.
            self.place.keep(self.splitter.holds());
            match self.more().await? {
                Ok(Some(bytes)) => self.splitter.feed(&bytes),
                Ok(None) => {
                    self.splitter.end();
                    self.body = None;
                }
                Err(problem) => {
                    self.body = None;
                    return Some((Err(problem), self));
                }
            }
        }
    }

    fn item(&mut self, piece: Piece) -> Item {
        match piece {
            Piece::Request(bytes) => {
                let place = self.place.part(bytes.len());
                Ok((bytes, place))
            }
            Piece::TooLarge(bytes) => Err(body_too_large(bytes).into()),
            Piece::Broken(why) => {
                self.broken = true;
                Err(Rejection::new(Code::Malformed, "", why).into())
            }
        }
    }

    /// What comes next of the body, in time, and has its place; none of a body that was
    /// read to its end.
    async fn more(&mut self) -> Option<Result<Option<Bytes>, Problem>> {
        let latest = Instant::now() + self.gateway.limits().body_read_timeout();
        let until = match self.splitter.holds() {
            0 => {
                self.until = None;
                latest
            }
            _ => *self.until.get_or_insert(latest),
        };
        Some(match timeout_at(until, body::next(self.body.as_mut()?)).await {
            Ok(Ok(Some(bytes))) => self.place.take(bytes.len()).map(|()| Some(bytes)),
            Ok(more) => more,
            Err(_) => Err(Problem::new(Other::Unavailable, "the body does not go on")),
        })
    }
}

/// What the verifier says of an item. The bytes of what is to clear keep their
/// place; those of what is refused are needed no more.
type Verified = Result<Result<(Request, Bytes, Place), Refusal>, Problem>;

async fn verified(gateway: Gateway, item: Item) -> Verified {
    let (body, place) = item?;
    let verdict = gateway.verifier().verify(body.clone()).await?;
    Ok(verdict.map(|request| (request, body, place)))
}

type VerifiedItems = Pin<Box<dyn Stream<Item = Verified> + Send>>;

/// Each after the one before has been answered, until one is refused.
fn one_by_one(
    gateway: Gateway,
    verified: VerifiedItems,
    stopped: Arc<AtomicBool>,
) -> impl Stream<Item = io::Result<Written>> {
    unfold((gateway, verified, stopped), |(gateway, mut verified, stopped)| async {
        if stopped.load(Ordering::Relaxed) {
            // Nothing of it is looked at any more, but it is read to its end.
            while verified.next().await.is_some() {}
            return None;
        }
        let line = decided(&gateway, verified.next().await?).await;
        if line.is_err() {
            stopped.store(true, Ordering::Relaxed);
        }
        Some((write(&gateway, line).await, (gateway, verified, stopped)))
    })
}

async fn decided(gateway: &Gateway, verified: Verified) -> Line {
    let cleared = match verified? {
        Ok((request, body, _place)) => {
            permit(gateway).await?;
            transaction::decide(gateway, Ok(request), &body, false).await?
        }
        Err(refusal) => transaction::refused(gateway, refusal.into()).await?,
    };
    stored(gateway, cleared).await
}

/// Many at once, decided in their order.
fn in_order(gateway: Gateway, verified: VerifiedItems) -> impl Stream<Item = io::Result<Written>> {
    let finishing = gateway.clone();
    let clearing = gateway.stores().clearing();
    let decided = CancellationToken::new();
    decided.cancel();
    let submitting = Submitting { gateway, verified, clearing, decided };
    let submitted = unfold(submitting, |mut submitting| async {
        let verified = submitting.verified.next().await?;
        Some((submitting.submit(verified).await, submitting))
    });
    let lines = submitted.map(move |submitted| {
        let gateway = finishing.clone();
        async move {
            let line = finished(&gateway, submitted).await;
            write(&gateway, line).await
        }
    });
    lines.buffered(UNDER_WAY)
}

/// A batch whose requests are handed over one after the other.
struct Submitting {
    gateway: Gateway,
    verified: VerifiedItems,
    clearing: Clearing,
    /// Cancelled when the last request so far is decided, and so all before it.
    decided: CancellationToken,
}

/// What was done with a request, whose answer comes later.
enum Submitted {
    Clearing(oneshot::Receiver<Result<ClearReply, Problem>>, Bytes, Place, DropGuard),
    /// It may be the repeat of a request before it, once that is decided.
    Refused(Refused, CancellationToken),
}

impl Submitting {
    async fn submit(&mut self, verified: Verified) -> Result<Submitted, Problem> {
        let (request, body, place) = match verified? {
            Ok(request) => request,
            Err(refusal) => return Ok(self.refused(refusal.into())),
        };
        permit(&self.gateway).await?;
        let held = match self.gateway.allowances().hold(&request).await {
            Ok(held) => held,
            Err(short) => return Ok(self.refused(short)),
        };
        let reply = self.clearing.clear(request, held);
        self.decided = CancellationToken::new();
        Ok(Submitted::Clearing(reply, body, place, self.decided.clone().drop_guard()))
    }

    fn refused(&self, refused: Refused) -> Submitted {
        Submitted::Refused(refused, self.decided.clone())
    }
}

/// Asked for every line: a batch may outlast what was true at its head.
async fn permit(gateway: &Gateway) -> Result<(), Problem> {
    gateway.prover().permit().await
}

async fn finished(gateway: &Gateway, submitted: Result<Submitted, Problem>) -> Line {
    let (cleared, _place) = match submitted? {
        Submitted::Refused(refused, decided) => {
            decided.cancelled().await;
            (transaction::refused(gateway, refused).await?, None)
        }
        Submitted::Clearing(reply, body, place, decided) => {
            let reply = reply.await;
            drop(decided);
            let lost = |_| Problem::new(Other::Unavailable, "a store did not answer");
            let outcome = gateway.stores().outcome(reply.map_err(lost)??).await?;
            (transaction::decided(gateway, outcome, &body).await?, Some(place))
        }
    };
    stored(gateway, cleared).await
}

/// As with a single request: no good answer before both stores have the record.
async fn stored(gateway: &Gateway, (record, replayed): (Cleared, bool)) -> Line {
    gateway.keep(&record).await?;
    Ok((record, replayed))
}

/// The answer to one request of a batch: its record, and whether it was there before.
type Line = Result<(Cleared, bool), Problem>;

/// A line but for its number, which may have to wait for those before it, and for its
/// reader.
struct Written {
    status: u16,
    member: &'static str,
    content: Bytes,
    _place: Place,
}

/// # Errors
/// If there is no room for it within a request's time. That it has cleared must not be
/// refused; so the batch breaks off, and may be sent again.
async fn write(gateway: &Gateway, line: Line) -> io::Result<Written> {
    let (status, member, content) = match line {
        Ok((record, replayed)) => (if replayed { 200 } else { 201 }, "data", record.body),
        Err(problem) => {
            let kind = problem.kind();
            metrics::counter!("webwallet_gateway_refusals_total", "code" => kind.code())
                .increment(1);
            (kind.status().as_u16(), "problem", problem.document("/batch").into())
        }
    };
    metrics::counter!("webwallet_gateway_batch_requests_total", "status" => status.to_string())
        .increment(1);
    let place = gateway.answers().line(content.len(), gateway.limits().request_timeout()).await?;
    Ok(Written { status, member, content, _place: place })
}

impl Written {
    fn numbered(self, index: usize) -> Bytes {
        let Written { status, member, content, .. } = self;
        let head = format!("{{\"index\":{index},\"status\":{status},\"{member}\":");
        [head.as_bytes(), &content, b"}\n"].concat().into()
    }
}
