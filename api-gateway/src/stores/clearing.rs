//! Requests on their way to be decided by Graphstore: one alone, or those of a batch in
//! their order over one stream.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::channel::mpsc;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tonic::Request as Call;
use webwallet_ledger::{Rejection, Request};
use webwallet_proto::graphstore::v1 as graph;

use super::record::{Cleared, cleared};
use super::{Stores, answered, failed, unreadable};
use crate::allowance::Held;
use crate::problem::{Other, Problem};

/// Requests after which a batch lets others have its turn.
const TURN_REQUESTS_MAX: usize = 1_024;
/// How long the requests of a batch wait for such a stream.
const TURN_WITHIN: Duration = Duration::from_secs(10);

/// What became of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    Cleared { record: Cleared, replayed: bool },
    Rejected(Rejection),
}

/// Requests of one batch on their way to be decided, one after the other.
pub(crate) struct Clearing(UnboundedSender<Asked>);

/// One of them, and who waits for what becomes of it.
struct Asked {
    request: graph::ClearRequest,
    held: Held,
    answer: oneshot::Sender<Result<graph::ClearReply, Problem>>,
}

impl Clearing {
    /// Hands a request over; the reply comes later. The receiver fails where what became
    /// of the request is not known.
    pub(crate) fn clear(
        &self,
        request: Request,
        held: Held,
    ) -> oneshot::Receiver<Result<graph::ClearReply, Problem>> {
        let (answer, reply) = oneshot::channel();
        let inputs = request.inputs.into_iter().map(|iou| Bytes::from(iou.bytes)).collect();
        // What is not taken is dropped, and its receiver fails.
        let _ = self.0.send(Asked { request: graph::ClearRequest { inputs }, held, answer });
        reply
    }
}

impl Stores {
    /// Lets Graphstore decide; of a rehearsal, only say what it would decide.
    pub(crate) async fn clear(
        &self,
        request: Request,
        held: Held,
        rehearsal: bool,
    ) -> Result<Outcome, Problem> {
        let inputs = request.inputs.iter().map(|iou| Bytes::copy_from_slice(&iou.bytes)).collect();
        let mut call = Call::new(graph::ClearRequest { inputs });
        call.extensions_mut().insert(Arc::new(request));
        let mut graphstore = self.graphstore.clone();
        let apart = held.is_some();
        let decided = async move {
            if rehearsal {
                return answered(graphstore.rehearse(call).await, "Graphstore.Rehearse");
            }
            let reply = answered(graphstore.clear(call).await, "Graphstore.Clear")?;
            counted(&reply, held);
            Ok(reply)
        };
        // Who goes away before the answer is counted all the same.
        let reply = match apart {
            true => tokio::spawn(decided).await.unwrap_or_else(|ended| {
                // It may have cleared before.
                Err(failed("Graphstore.Clear", &tonic::Status::unknown(ended.to_string())))
            })?,
            false => decided.await?,
        };
        self.outcome(reply).await
    }

    /// What Graphstore's reply says.
    pub(crate) async fn outcome(&self, reply: graph::ClearReply) -> Result<Outcome, Problem> {
        match reply.outcome {
            Some(graph::clear_reply::Outcome::Cleared(record)) => {
                let record = self.whole(cleared(record)?).await?;
                Ok(Outcome::Cleared { record, replayed: reply.replayed })
            }
            Some(graph::clear_reply::Outcome::Rejected(rejection)) => {
                let rejection = Rejection::try_from(rejection);
                Ok(Outcome::Rejected(rejection.map_err(|error| unreadable(&error))?))
            }
            None => Err(unreadable(&"Graphstore.Clear answered without an outcome")),
        }
    }

    /// A way to have requests decided in the order they are given, many at once; whoever
    /// uses it bounds how many.
    pub(crate) fn clearing(&self) -> Clearing {
        let (asked, mut asks) = unbounded_channel();
        let stores = self.clone();
        tokio::spawn(async move {
            while let Some(first) = asks.recv().await {
                stores.clear_in_order(first, &mut asks).await;
            }
        });
        Clearing(asked)
    }

    /// Over one stream, until nothing waits for a reply: an idle batch holds none, and what
    /// comes after a failure has a new one.
    async fn clear_in_order(&self, mut first: Asked, asks: &mut UnboundedReceiver<Asked>) {
        let turn = tokio::select! {
            turn = timeout(TURN_WITHIN, self.batches.acquire()) => turn,
            // The room of its body is others' by now.
            () = first.answer.closed() => return,
        };
        let Ok(_turn) = turn else {
            let detail = "as many batches clear at a time as may: send this request again";
            return refuse(first, asks, &Problem::new(Other::Overloaded, detail));
        };
        let (requests, calls) = mpsc::unbounded();
        let mut waiting = VecDeque::new();
        let hand_over = |Asked { request, held, answer }, waiting: &mut VecDeque<_>| {
            // Where the stream has ended, its replies say so.
            let _ = requests.unbounded_send(request);
            waiting.push_back((held, answer));
        };
        let mut replies = match self.graphstore.clone().clear_all(calls).await {
            Ok(replies) => replies.into_inner(),
            Err(status) => {
                return refuse(first, asks, &failed("Graphstore.ClearAll", &status));
            }
        };
        hand_over(first, &mut waiting);
        let mut left = TURN_REQUESTS_MAX;
        while !waiting.is_empty() {
            let reply = tokio::select! {
                Some(asked) = asks.recv(), if left > 0 => {
                    left -= 1;
                    hand_over(asked, &mut waiting);
                    continue;
                }
                reply = replies.message() => reply,
            };
            let Some((held, answer)) = waiting.pop_front() else { return };
            // A caller who left does not care any more.
            match reply {
                Ok(Some(reply)) => {
                    counted(&reply, held);
                    drop(answer.send(Ok(reply)));
                }
                // Nothing is known of the others either; they learn it by being dropped.
                Ok(None) => {
                    let ended = tonic::Status::unavailable("the replies ended before the last");
                    drop(answer.send(Err(failed("Graphstore.ClearAll", &ended))));
                    return;
                }
                Err(status) => {
                    drop(answer.send(Err(failed("Graphstore.ClearAll", &status))));
                    return;
                }
            }
        }
    }
}

/// Says no to what was asked so far, of which nothing was handed over.
fn refuse(first: Asked, asks: &mut UnboundedReceiver<Asked>, problem: &Problem) {
    let mut refused = Some(first);
    while let Some(asked) = refused {
        drop(asked.answer.send(Err(problem.clone())));
        refused = asks.try_recv().ok();
    }
}

/// What was held for a request counts if it clears now.
fn counted(reply: &graph::ClearReply, held: Held) {
    if let (Some(graph::clear_reply::Outcome::Cleared(_)), false) = (&reply.outcome, reply.replayed)
    {
        held.count();
    }
}
