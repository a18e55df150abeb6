//! Answers without an end known beforehand: lists that are read page by page while they
//! are sent.

use std::{future::Future, pin::Pin};

use futures::Stream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status};

/// A stream of messages, as the generated servers ask for it.
pub type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Messages read at a time.
const PAGE: u32 = 256;
/// Messages that wait for their reader; the next page is not read before there is room.
const WAITING_MAX: usize = 16;

/// Sends a list from one place on, at most `limit` messages of it; 0 is all.
///
/// `page` reads at most so many from a place on, and `after` says of a message where
/// those behind it begin. The stream ends with the first page that is empty, or fails.
pub fn pages<T, F>(
    mut from: u64,
    limit: u32,
    page: impl Fn(u64, u32) -> F + Send + 'static,
    after: fn(&T) -> u64,
) -> Response<Streamed<T>>
where
    T: Send + 'static,
    F: Future<Output = Result<Vec<T>, Status>> + Send,
{
    let mut left = if limit == 0 { u32::MAX } else { limit };
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    tokio::spawn(async move {
        while left > 0 {
            let messages = match page(from, left.min(PAGE)).await {
                Ok(messages) => messages,
                Err(status) => return drop(sender.send(Err(status)).await),
            };
            let Some(last) = messages.last() else { return };
            from = after(last);
            left = left.saturating_sub(messages.len() as u32);
            for message in messages {
                // A reader that has gone ends the stream.
                if sender.send(Ok(message)).await.is_err() {
                    return;
                }
            }
        }
    });
    Response::new(Box::pin(ReceiverStream::new(receiver)))
}
