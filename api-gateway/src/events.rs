//! `GET /events`: what clears, in the order of its numbers, for programs that
//! follow it: page by page, or as a stream that goes on where it was cut.
//!
//! While the stores disagree, nobody knows whether more has cleared than Graphstore
//! has: then no page is empty, and no stream is silent.

use std::io;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use futures::stream::unfold;
use http::{HeaderMap, HeaderName, Uri};
use tokio::time::{sleep, timeout};

use crate::answer::{self, Form};
use crate::feed::{Event, HISTORY_RECORDS, Reader};
use crate::gateway::Gateway;
use crate::media;
use crate::problem::{Other, Problem};
use crate::query::{self, LIMIT_MAX, Query};
use crate::schema;

/// The last number that a reader was given (the standard of server-sent events).
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Milliseconds after which a browser that was cut connects again.
const RETRY_MS: u32 = 1_000;
/// A stream without news says so as often, or proxies take it for dead.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// Bytes around an event in a stream, at most.
const FRAME_BYTES: usize = 40;
/// The wait before a store that did not answer is asked again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Follow what clears
///
/// Every record once, in the order of the numbers. As NDJSON: what has cleared after a number, up to `limit`, at once; the next page is
/// after the last number of this one. With `Accept: text/event-stream`, and pages not named as well: a stream that goes on (server-sent events, `id` is the
/// number). It starts now, or after `after`, or where `Last-Event-ID` says: a reader that was cut misses nothing and gets
/// nothing twice. A number that no record has yet is refused: it is of another history. A reader that is slow is given all of it, later. While nothing clears (`read_only`), what has is read page by page; instead of
/// an empty page or a stream comes the refusal, and streams end.
#[utoipa::path(
    get,
    path = "/events",
    tag = "transactions",
    params(
        ("after" = Option<String>, Query, description = "records with a higher number than this; a page starts with the first, a stream now", example = "0"),
        ("limit" = Option<u32>, Query, description = "of a page: 1 to 1000, default 1000", minimum = 1, maximum = 1000),
        ("Last-Event-ID" = Option<String>, Header, description = "of a stream: goes on after this number, whatever `after` says"),
    ),
    responses(
        (status = 200, description = "Events", content(
            (schema::Event = "application/x-ndjson"),
            (String = "text/event-stream"),
        ), headers(("X-Accel-Buffering" = String, description = "`no`: a proxy sends on what comes when it comes"))),
        (status = "4XX", description = "Refused", body = schema::Problem, content_type = "application/problem+json"),
        (status = 503, description = "A store did not answer; or what is current is not known (`read_only`); or as many follow as may (`overloaded`)", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_events(
    State(gateway): State<Gateway>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let query = Query::parse(uri.query(), &["after", "limit"])?;
    let after = query.number("after")?;
    if !media::prefers_events(&headers) {
        return page(gateway, after.unwrap_or_default(), query.limit_or(LIMIT_MAX)?).await;
    }
    if query.get("limit").is_some() {
        return Err(query::invalid("a stream has no limit; pages have, without text/event-stream"));
    }
    let mut ids = headers.get_all(LAST_EVENT_ID).iter();
    let after = match ids.next() {
        Some(_) if ids.next().is_some() => {
            return Err(query::invalid("Last-Event-ID is given more than once"));
        }
        Some(id) => {
            let id = id.to_str().map_err(|_| query::invalid("Last-Event-ID is not text"))?;
            Some(query::number("Last-Event-ID", id)?)
        }
        None => after,
    };
    gateway.prover().permit().await?;
    if let Some(after) = after {
        has_been(&gateway, after).await?;
    }
    let reader = gateway.feed().follow(after).await?;
    Ok(stream(gateway, reader))
}

/// Reads on while it is sent: a page of the largest records is 60 MB.
async fn page(gateway: Gateway, after: u64, limit: u32) -> Result<Response, Problem> {
    let first = piece(&gateway, after, limit).await?;
    if first.is_empty() {
        gateway.prover().permit().await?;
        has_been(&gateway, after).await?;
    }
    let rest = move |(first, after, left): (Option<Vec<Event>>, u64, u32)| {
        let gateway = gateway.clone();
        async move {
            let events = match first {
                Some(events) => events,
                None => match piece(&gateway, after, left).await {
                    Ok(events) => events,
                    Err(_) => {
                        let why = io::Error::other("the rest of the page cannot be read");
                        return Some((Err(why), (None, after, 0)));
                    }
                },
            };
            let last = events.last()?.number;
            let left = left.saturating_sub(u32::try_from(events.len()).unwrap_or(u32::MAX));
            let bytes = events.iter().map(|event| event.json.len() + 1).sum();
            let mut lines = Vec::with_capacity(bytes);
            for event in &events {
                lines.extend_from_slice(&event.json);
                lines.push(b'\n');
            }
            Some((Ok(Bytes::from(lines)), (None, last, left)))
        }
    };
    Ok(answer::lasting(Form::Lines, unfold((Some(first), after, limit), rest)))
}

/// That there has been a record of this number. Else its reader follows a history that is not
/// this one, and would never be told that what comes up to there is missing.
async fn has_been(gateway: &Gateway, after: u64) -> Result<(), Problem> {
    // It fails where there may be more than this Graphstore knows.
    let newest = gateway.stores().newest(after, Duration::ZERO).await?;
    match after <= newest {
        true => Ok(()),
        false => Err(Problem::new(
            Other::NotFound,
            format!(
                "nothing has the number {after} here, the newest record is {newest}: that number is of another server, or this one was put back to an older state; look with GET /transaction/HASH which of your records are here, and go on after the last of them"
            ),
        )),
    }
}

async fn piece(gateway: &Gateway, after: u64, left: u32) -> Result<Vec<Event>, Problem> {
    if left == 0 {
        return Ok(Vec::new());
    }
    let records = gateway.stores().history(after, left.min(HISTORY_RECORDS)).await?;
    records.iter().map(Event::of).collect()
}

/// Ends when the server does, when its reader leaves, and when nothing may clear.
fn stream(gateway: Gateway, reader: Reader) -> Response {
    // The first id is of an event without data, which no reader is shown; but
    // one that is cut before the first event goes on from here.
    let opening = format!("retry: {RETRY_MS}\nid: {}\n\n", reader.after());
    let next = |(opening, mut reader, gateway): (Option<String>, Reader, Gateway)| async move {
        let piece = match opening {
            Some(opening) => Bytes::from(opening),
            None => gateway.draining().run_until_cancelled(news(&gateway, &mut reader)).await??,
        };
        Some((Ok(piece), (None, reader, gateway)))
    };
    answer::lasting(Form::Events, unfold((Some(opening), reader, gateway), next))
}

/// The next piece of a stream: events, or a word that there are none; nothing where
/// that cannot be said.
async fn news(gateway: &Gateway, reader: &mut Reader) -> Option<Bytes> {
    Some(match timeout(SILENCE_MAX, reader.next()).await {
        Ok(Ok(events)) => {
            let bytes = events.iter().map(|event| event.json.len() + FRAME_BYTES).sum();
            let mut piece = Vec::with_capacity(bytes);
            for Event { number, json } in &events {
                piece.extend_from_slice(format!("id: {number}\ndata: ").as_bytes());
                piece.extend_from_slice(json);
                piece.extend_from_slice(b"\n\n");
            }
            Bytes::from(piece)
        }
        Ok(Err(_)) => {
            sleep(AGAIN_AFTER).await;
            Bytes::from_static(b": a store does not answer\n\n")
        }
        Err(_) => {
            gateway.prover().permit().await.ok()?;
            Bytes::from_static(b":\n\n")
        }
    })
}
