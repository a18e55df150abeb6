//! `POST /transaction`: one request from its bytes to its record.
//! `GET /transaction/{name}`: the record again, for ever.

use std::time::{Duration, Instant};

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use serde::Deserialize;
use serde_json::value::RawValue;
use webwallet_ledger::{Hash, document};
use webwallet_proto::blockstack::WAIT_MAX;

use crate::answer::{self, Kept};
use crate::body;
use crate::conflict;
use crate::gateway::Gateway;
use crate::media;
use crate::problem::{Problem, Refused};
use crate::query::{self, Query};
use crate::schema;
use crate::stores::clearing::Outcome;
use crate::stores::record::{Cleared, Key};
use crate::stores::unreadable;
use crate::verifier::Verdict;

/// Tells a repeat from the first time: the record was there before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// What a client would like, and what was done of it (RFC 7240).
const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
/// The longest wait for a receipt.
const WAIT_SECONDS_MAX: u64 = WAIT_MAX.as_secs();
/// What is kept of a request's time for the answer, once a wait for its receipt was
/// in vain: an answer that came late would not say that the request has cleared.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);

/// Clear a request
///
/// All its IOUs clear, or none. When the answer comes, the record is durable in two places. The set of
/// IOU hashes is the idempotency key, for ever: a repeat, in any order and with any signatures,
/// is answered with the same record, status 200 and `Idempotent-Replayed: true`.
/// The body is read as JSON also where Content-Type is `text/plain` or absent.
/// With `Prefer: wait=2` the answer waits up to 2 seconds (8 at most, or as long as this server's time for an answer lets it) until the
/// record is sealed, and then has its receipt; `Preference-Applied` says the wait that was granted.
/// With `dry_run=true` nothing clears: the answer is the outputs that the request would leave now, or the refusal it would get.
#[utoipa::path(
    post,
    path = "/transaction",
    tag = "transactions",
    params(
        ("dry_run" = Option<bool>, Query, description = "`true`: only say what would become of it"),
        ("Prefer" = Option<String>, Header, description = "`wait=2`: wait so many seconds for the receipt, 8 at most"),
    ),
    request_body(content = schema::Transaction, description = "1 to 100 signed IOUs in at most 128 KiB"),
    responses(
        (status = 201, description = "Cleared; with `receipt` where it was waited for", body = schema::ClearedAnswer,
            headers(("Location" = String, description = "`/transaction/{hash}`"),
                ("Preference-Applied" = String, description = "`wait=2`: the seconds that the answer would wait for the receipt"))),
        (status = 200, description = "Cleared before; or, of a rehearsal, what it would leave", body = schema::RepeatAnswer,
            headers(("Idempotent-Replayed" = String, description = "`true`"),
                ("Location" = String, description = "`/transaction/{hash}`"),
                ("Preference-Applied" = String, description = "`wait=2`: the seconds that the answer would wait for the receipt"))),
        (status = "4XX", description = "Refused", body = schema::Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not known: send the same bytes again", body = schema::Problem,
            content_type = "application/problem+json",
            headers(("Retry-After" = String, description = "seconds"))),
    )
)]
pub(crate) async fn post_transaction(
    State(gateway): State<Gateway>,
    request: Request,
) -> Result<Response, Problem> {
    let began = Instant::now();
    let dry_run = Query::parse(request.uri().query(), &["dry_run"])?.flag("dry_run")?;
    media::check_body(request.headers())?;
    let wait = wait(request.headers());
    gateway.prover().permit().await?;
    // Its place is taken until the answer: what is made of a body is as large.
    let mut place = gateway.bodies().place();
    let body = body::read(request, gateway.limits().body_read_timeout(), &mut place).await?;
    let verdict = gateway.verifier().verify(body.clone()).await?;
    let (record, replayed) = decide(&gateway, verdict, &body, dry_run).await?;
    if dry_run {
        return rehearsed(&record, replayed);
    }
    // Also for a repeat: the first time may have ended between the two stores,
    // and no good answer leaves before both have the record.
    gateway.keep(&record).await?;
    let left = gateway.limits().request_timeout().saturating_sub(began.elapsed() + ANSWERED_WITHIN);
    let wait = wait.map(|wait| wait.min(left.as_secs())).filter(|wait| *wait > 0);
    let Some(wait) = wait else { return Ok(cleared(&record, replayed, None)) };
    // It has cleared, whatever becomes of the wait for its receipt.
    let receipt = gateway.prover().receipt(record.number, Duration::from_secs(wait)).await;
    let receipt = receipt.unwrap_or_default();
    let mut response = cleared(&record, replayed, receipt.as_ref().map(|r| r.text.as_str()));
    answer::insert(response.headers_mut(), PREFERENCE_APPLIED, &format!("wait={wait}"));
    Ok(response)
}

/// The record of a request, and whether it was there before; of a rehearsal,
/// the one that it would have.
pub(crate) async fn decide(
    gateway: &Gateway,
    verdict: Verdict,
    sent: &Bytes,
    rehearsal: bool,
) -> Result<(Cleared, bool), Problem> {
    let request = match verdict {
        Ok(request) => request,
        Err(refusal) => return refused(gateway, refusal.into()).await,
    };
    let held = match rehearsal {
        true => gateway.allowances().rehearse(&request),
        false => gateway.allowances().hold(&request).await,
    };
    match held {
        Ok(held) => {
            let outcome = gateway.stores().clear(request, held, rehearsal).await?;
            decided(gateway, outcome, sent).await
        }
        Err(short) => refused(gateway, short).await,
    }
}

/// The record, or why there is none.
pub(crate) async fn decided(
    gateway: &Gateway,
    outcome: Outcome,
    sent: &Bytes,
) -> Result<(Cleared, bool), Problem> {
    match outcome {
        Outcome::Cleared { record, replayed } => Ok((record, replayed)),
        Outcome::Rejected(rejection) => Err(conflict::explained(gateway, rejection, sent).await),
    }
}

/// What is refused before any store was asked may be the repeat of what cleared.
pub(crate) async fn refused(
    gateway: &Gateway,
    refused: Refused,
) -> Result<(Cleared, bool), Problem> {
    let replay = match &refused.ious {
        Some(ious) => gateway.stores().replay(ious).await?,
        None => None,
    };
    match replay {
        Some(record) => Ok((record, true)),
        None => Err(refused.problem),
    }
}

/// How long the client would wait for the receipt: `Prefer: wait=2`. What is not
/// understood or cannot be done is passed over, not refused (RFC 7240, section 2).
fn wait(headers: &HeaderMap) -> Option<u64> {
    let preferences = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    let mut preferences = preferences.flat_map(|value| value.split(','));
    let wait = preferences.find_map(|preference| {
        // What follows a semicolon are parameters of the preference before it.
        let (name, value) = preference.split(';').next()?.split_once('=')?;
        name.trim().eq_ignore_ascii_case("wait").then(|| value.trim().trim_matches('"'))
    });
    let wait = wait?;
    // More seconds than there are numbers are as good as the most.
    let beyond = wait.len() > 19 && wait.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = if beyond { Some(WAIT_SECONDS_MAX) } else { query::decimal(wait) };
    seconds.filter(|seconds| *seconds > 0).map(|seconds| seconds.min(WAIT_SECONDS_MAX))
}

fn cleared(record: &Cleared, replayed: bool, receipt: Option<&str>) -> Response {
    let status = if replayed { StatusCode::OK } else { StatusCode::CREATED };
    let body = match receipt {
        None => answer::data(&record.body),
        Some(receipt) => {
            let receipt = serde_json::Value::from(receipt).to_string();
            let parts =
                [b"{\"data\":", &record.body[..], b",\"receipt\":", receipt.as_bytes(), b"}"];
            parts.concat().into()
        }
    };
    let mut response = answer::current(status, body);
    let headers = response.headers_mut();
    answer::insert(headers, header::LOCATION, &format!("/transaction/{}", record.hash));
    if replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// The outputs, out of the record that would hold them.
fn rehearsed(record: &Cleared, replayed: bool) -> Result<Response, Problem> {
    #[derive(Deserialize)]
    struct Record<'a> {
        #[serde(borrow)]
        data: Data<'a>,
    }
    #[derive(Deserialize)]
    struct Data<'a> {
        #[serde(borrow)]
        outputs: &'a RawValue,
    }
    let record: Record<'_> =
        serde_json::from_slice(&record.body).map_err(|error| unreadable(&error))?;
    let outputs = record.data.outputs.get().as_bytes();
    let mut response =
        answer::current(StatusCode::OK, [&b"{\"data\":{\"outputs\":"[..], outputs, b"}}"].concat());
    if replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// Read a record
///
/// By its hash or by its number. A record never changes: what was read by its hash may be kept for ever. What has a number is
/// asked for again, for a server that begins anew gives it to another record.
#[utoipa::path(
    get,
    path = "/transaction/{name}",
    tag = "transactions",
    params(("name" = String, Path, description = "64 lower-case hex digits, or a number from 1", example = "1")),
    responses(
        (status = 200, description = "The record", body = schema::RecordAnswer,
            headers(("ETag" = String, description = "the record's hash, quoted"))),
        (status = 304, description = "`If-None-Match` named the record's hash"),
        (status = "4XX", description = "Refused", body = schema::Problem, content_type = "application/problem+json"),
        (status = 503, description = "A store did not answer", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_transaction(
    State(gateway): State<Gateway>,
    name: Result<Path<String>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Query::parse(uri.query(), &[])?;
    let name = query::segment(name)?;
    let name = named(&name)?;
    let found = match name {
        Name::Hash(hash) => by_hash(&gateway, hash).await?.map(|body| (hash, body)),
        Name::Number(number) => {
            let record = gateway.stores().numbered(number).await?;
            record.map(|record| (record.hash, record.body))
        }
        Name::Beyond => None,
    };
    let Some((hash, body)) = found else { return Err(gateway.absent(NOTHING).await) };
    let kept = match name {
        Name::Hash(_) => Kept::ForEver,
        Name::Number(_) | Name::Beyond => Kept::WhileTrue,
    };
    Ok(answer::named(&headers, kept, &hash, || answer::data(&body)))
}

pub(crate) const NOTHING: &str = "no such record has been cleared here";

/// The two names of a record; a number beyond all numbers is a name of none.
pub(crate) enum Name {
    Hash(Hash),
    Number(u64),
    Beyond,
}

pub(crate) fn named(text: &str) -> Result<Name, Problem> {
    if let Ok(hash) = text.parse() {
        return Ok(Name::Hash(hash));
    }
    let decimal =
        text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0') && !text.is_empty();
    match (decimal, query::decimal(text)) {
        (true, Some(number)) => Ok(Name::Number(number)),
        (true, None) => Ok(Name::Beyond),
        (false, _) => Err(query::invalid(
            "a record is named by its hash (64 lower-case hex digits) or its number (from 1)",
        )),
    }
}

/// A record by its hash: where documents are kept, else from the one who decided.
pub(crate) async fn by_hash(gateway: &Gateway, hash: Hash) -> Result<Option<Bytes>, Problem> {
    let kept = gateway.stores().document(&hash).await;
    if let Ok(Some(body)) = kept {
        // Existence is not execution: other documents have a hash as well.
        return Ok(document::is_record(&body).then_some(body));
    }
    let decided = gateway.stores().record(Key::Record(hash)).await?;
    match (decided, kept) {
        (Some(record), _) => Ok(Some(record.body)),
        // Not there, says the one; the other could not be asked.
        (None, Err(problem)) => Err(problem),
        (None, Ok(_)) => Ok(None),
    }
}
