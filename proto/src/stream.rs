//! Answers without an end known beforehand: lists that are read page by page while they
//! are sent.

use std::{future::Future, pin::Pin};

use futures::{Stream, TryStreamExt as _, stream};
use tonic::{Response, Status};

/// A stream of messages, as the generated servers ask for it.
pub type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Messages read at a time.
const PAGE: u32 = 256;

/// Sends a list from one place on, at most `limit` messages of it; 0 is all.
///
/// `page` reads at most so many from a place on, and `after` says of a message where
/// those behind it begin. The stream ends with the first page that is empty, or fails. A page
/// is read when its first message is asked for, by whoever asks: a panic is his call's.
pub fn pages<T, F>(
    from: u64,
    limit: u32,
    page: impl Fn(u64, u32) -> F + Send + 'static,
    after: fn(&T) -> u64,
) -> Response<Streamed<T>>
where
    T: Send + 'static,
    F: Future<Output = Result<Vec<T>, Status>> + Send + 'static,
{
    let left = if limit == 0 { u32::MAX } else { limit };
    let pages = stream::try_unfold((from, left), move |(from, left)| {
        let read = (left > 0).then(|| page(from, left.min(PAGE)));
        async move {
            let Some(read) = read else { return Ok::<_, Status>(None) };
            let messages = read.await?;
            let Some(last) = messages.last() else { return Ok(None) };
            let next = (after(last), left.saturating_sub(messages.len() as u32));
            Ok(Some((stream::iter(messages.into_iter().map(Ok)), next)))
        }
    });
    Response::new(Box::pin(pages.try_flatten()))
}
