//! How the gateway says no: `application/problem+json` (RFC 9457).
//!
//! Two closed lists meet here. *Rejections* are the ledger's: the request was
//! understood and will not clear, and every engine agrees on the code. *Other
//! problems* are this listener's own: a path that is not there, a queue that is
//! full, a store that does not answer. A client reads both in one form.
//!
//! A handler returns a [`Problem`]; it becomes bytes in one place only (the edge
//! of the router), where the request's path is known and refusals are counted.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::value::RawValue;
use webwallet_ledger::rejection::Meaning;
use webwallet_ledger::request::Refusal;
use webwallet_ledger::{Change, Code, Hash, Rejection};

/// The media type of every refusal.
pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

macro_rules! others {
    ($($variant:ident $name:literal $original:literal $status:literal $retry:literal $after:expr;
       $title:literal
       cause: $cause:literal
       cure: $cure:literal
       example: $example:literal)*) => {
        /// Problems that are not rejections: nothing was said about the money.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Other {
            $(#[doc = $title] $variant,)*
        }

        impl Other {
            /// Every one of them, in the order of the API document.
            pub const ALL: &[Other] = &[$(Other::$variant),*];

            /// What it says to whom.
            pub fn meaning(self) -> &'static Meaning {
                match self {
                    $(Other::$variant => &Meaning {
                        code: $name,
                        original: $original,
                        status: $status,
                        title: $title,
                        cause: $cause,
                        cure: $cure,
                        example: $example,
                    }),*
                }
            }

            /// As written in answers; stable.
            pub fn as_str(self) -> &'static str {
                self.meaning().code
            }

            /// What the client may do: `never`, or `same` (send the same bytes again).
            pub fn retry(self) -> &'static str {
                match self { $(Other::$variant => $retry),* }
            }

            /// Seconds the client should wait before it sends the same again.
            pub fn retry_after(self) -> Option<u32> {
                match self { $(Other::$variant => $after),* }
            }
        }
    };
}

others! {
    NotFound "not_found" "not-found" 404 "never" None;
        "There is nothing at this address."
        cause: "The path is not one of the API, or what it names has not been cleared, sealed or supplied here."
        cure: "Compare the path with /openapi.json; a record is readable from the moment its 201 was sent."
        example: "GET /transaction/999 on a server that has cleared 12 records."
    MethodNotAllowed "method_not_allowed" "method-not-allowed" 405 "never" None;
        "The resource does not answer this method."
        cause: "The path exists, the method is not one of its own."
        cure: "Use a method that the Allow header names."
        example: "DELETE /transaction/1: the Allow header of the answer says GET,HEAD."
    NotAcceptable "not_acceptable" "not-acceptable" 406 "never" None;
        "The answer cannot be given in an accepted form."
        cause: "The Accept header leaves out application/json."
        cure: "Send Accept: application/json, or no Accept header."
        example: "GET /address/ADDRESS with Accept: text/html."
    MediaType "media_type" "unsupported-media-type" 415 "never" None;
        "The body is of a form that is not read here."
        cause: "Content-Type is none that is read here (the detail names those) or is given more than once, its charset is not UTF-8, or the body is compressed."
        cure: "Send plain JSON with Content-Type: application/json."
        example: "POST /transaction with Content-Type: application/xml."
    ParameterInvalid "parameter_invalid" "invalid-parameter" 400 "never" None;
        "A parameter of the URL is unknown, missing or out of its range."
        cause: "A part of the path or of the query does not have the documented form."
        cure: "The detail names the parameter and what was expected of it."
        example: "GET /address/ADDRESS?limit=5000: limit is \"5000\"; it is a number from 1 to 1000."
    CursorInvalid "cursor_invalid" "invalid-cursor" 400 "never" None;
        "The cursor does not belong to this list."
        cause: "A cursor is good only for the path and filter it was given for, and only unchanged."
        cure: "Start the list again without a cursor."
        example: "A cursor of the history of alice, sent with the address of bob."
    Unauthorized "unauthorized" "unauthorized" 401 "never" None;
        "This needs a token."
        cause: "The admin listener has a token configured, and the request did not bring it; or a page in a browser sent it, which may send nothing there; or, where no token is configured, its Host header names no address of this machine."
        cure: "Send Authorization: Bearer and the token; where there is none, ask by the IP address of the listener, or by localhost."
        example: "POST /seal on an admin listener with a token: curl -H \"Authorization: Bearer $(cat FILE)\" ..."
    RateLimited "rate_limited" "rate-limited" 429 "same" Some(1);
        "More a second than the operator allows."
        cause: "The operator has set a number of requests a second for each client, or of IOUs that clear for each source or unit. Nothing was stored."
        cure: "Send the same again after the seconds that Retry-After names."
        example: "A client that may send 20 requests a second sends its 21st within one: 429, Retry-After: 1."
    Overloaded "overloaded" "overloaded" 503 "same" Some(1);
        "The server has as much work waiting as it takes on."
        cause: "More requests, bytes of them, answers that nobody reads or followed events are in work than the operator allows. Nothing was stored."
        cure: "Send the same bytes again after the seconds that Retry-After names."
        example: "Ten thousand clients at once: 503, Retry-After: 1. The same bytes, sent a second later, clear."
    Unavailable "unavailable" "unavailable" 503 "same" Some(1);
        "A part of the server did not answer."
        cause: "A store is starting, stopping or out of reach, or the request did not arrive or end in time. The request may have cleared."
        cure: "Send the same bytes again: a request clears at most once, and its repeat is answered with the record."
        example: "POST /transaction while Redis is restarted: 503, Retry-After: 1. The same bytes again give the record, whether it had cleared or not."
    ReadOnly "read_only" "read-only" 503 "same" Some(30);
        "The server takes no requests to clear at present."
        cause: "Its stores do not agree on what has cleared, or its log cannot be sealed: a number given now might have been given before."
        cure: "Its operator must act; the detail names the store and the command, which is given the settings of the server. Then send the same bytes again."
        example: "Graphstore was restored from an older backup than the log: /readyz names the store and the command that helps."
}

/// What a problem is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The ledger's no.
    Rejection(Code),
    /// The listener's no.
    Other(Other),
}

impl Kind {
    /// Every kind: the rejections in order of precedence, then the others.
    pub fn all() -> impl Iterator<Item = Kind> {
        let rejections = Code::ALL.iter().map(|&code| Kind::Rejection(code));
        rejections.chain(Other::ALL.iter().map(|&other| Kind::Other(other)))
    }

    /// The kind written as `code` in answers.
    pub fn named(code: &str) -> Option<Kind> {
        Kind::all().find(|kind| kind.code() == code)
    }

    /// What it says to whom.
    pub fn meaning(self) -> &'static Meaning {
        match self {
            Kind::Rejection(code) => code.meaning(),
            Kind::Other(other) => other.meaning(),
        }
    }

    /// As written in answers; stable.
    pub fn code(self) -> &'static str {
        self.meaning().code
    }

    /// HTTP status of the answer.
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.meaning().status).unwrap_or(StatusCode::UNPROCESSABLE_ENTITY)
    }

    /// `never`, `same`, `rebuild` or `later`.
    pub fn retry(self) -> &'static str {
        match self {
            Kind::Rejection(code) => code.retry().as_str(),
            Kind::Other(other) => other.retry(),
        }
    }
}

/// One refusal, before it is written.
///
/// The detail goes to the client as it is: it must never carry the cause of a
/// machine's failure (paths, hosts, messages of engines). That belongs in the log.
#[derive(Clone, Debug)]
pub struct Problem(Box<Facts>);

/// What is known about a refusal. Boxed: a result should not be large because
/// it could have gone wrong.
#[derive(Clone, Debug)]
struct Facts {
    kind: Kind,
    detail: String,
    pointer: Option<String>,
    limit: Option<String>,
    actual: Option<String>,
    account: Option<String>,
    transaction: Option<Hash>,
    retry: &'static str,
    /// In place of its kind's.
    retry_after: Option<u32>,
    suggestion: Vec<Change>,
    conflict: Option<Conflict>,
}

/// A request that no store was asked about, and which record it might repeat.
pub(crate) struct Refused {
    pub(crate) problem: Problem,
    /// See [`Refusal::ious`].
    pub(crate) ious: Option<Vec<Hash>>,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Refused {
        Refused { problem: refusal.rejection.into(), ious: refusal.ious }
    }
}

/// Both sides of a conflict.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Conflict {
    /// The request that is refused, in canonical JSON.
    pub(crate) sent: Box<RawValue>,
    /// The record that holds an IOU of it.
    pub(crate) cleared: Box<RawValue>,
}

impl Problem {
    /// A problem of the listener.
    pub fn new(other: Other, detail: impl Into<String>) -> Problem {
        Problem(Box::new(Facts {
            kind: Kind::Other(other),
            retry: other.retry(),
            detail: detail.into(),
            pointer: None,
            limit: None,
            actual: None,
            account: None,
            transaction: None,
            retry_after: None,
            suggestion: Vec::new(),
            conflict: None,
        }))
    }

    /// The same with both requests of a conflict.
    pub(crate) fn with_conflict(mut self, conflict: Conflict) -> Problem {
        self.0.conflict = Some(conflict);
        self
    }

    /// The same with the limit it is about.
    pub(crate) fn with_limit(mut self, limit: u32) -> Problem {
        self.0.limit = Some(limit.to_string());
        self
    }

    /// The same with the part of the request it is about, a JSON pointer.
    pub(crate) fn at(mut self, pointer: String) -> Problem {
        self.0.pointer = Some(pointer);
        self
    }

    /// The same, for the client to wait so many seconds.
    pub(crate) fn with_retry_after(mut self, seconds: u32) -> Problem {
        self.0.retry_after = Some(seconds);
        self
    }

    /// The same of what another try would do once more: not to be sent again unseen.
    pub(crate) fn once(mut self, detail: &str) -> Problem {
        (self.0.retry, self.0.detail) = ("never", detail.to_owned());
        self
    }

    /// In words, for whoever reads it.
    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    /// What it is about.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Seconds to wait before the same is sent again.
    fn retry_after(&self) -> Option<u32> {
        if self.0.retry == "never" {
            return None;
        }
        self.0.retry_after.or(match self.0.kind {
            Kind::Rejection(_) => None,
            Kind::Other(other) => other.retry_after(),
        })
    }

    /// The document itself. `instance` is the path of the request.
    pub fn document(&self, instance: &str) -> Vec<u8> {
        let Facts { kind, detail, pointer, limit, actual, account, transaction, retry, .. } =
            &*self.0;
        let document = Document {
            r#type: format!("/problems/{}", kind.code()),
            title: kind.meaning().title,
            status: kind.status().as_u16(),
            detail,
            instance,
            code: kind.code(),
            retry,
            retry_after: self.retry_after(),
            pointer: pointer.as_deref(),
            limit: limit.as_deref(),
            actual: actual.as_deref(),
            account: account.as_deref(),
            transaction: transaction.map(|hash| hash.to_string()),
            suggestion: self.0.suggestion.iter().map(Suggested::from).collect(),
            conflict: self.0.conflict.as_ref(),
            error: Original { message: kind.meaning().original, details: detail },
        };
        // Strings and small integers: there is nothing in it that could fail to be written.
        serde_json::to_vec(&document).unwrap_or_default()
    }

    /// The response. `instance` is the path of the request.
    pub fn render(&self, instance: &str) -> Response {
        let kind = self.0.kind;
        let mut response = Response::new(Body::from(self.document(instance)));
        *response.status_mut() = kind.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if kind == Kind::Other(Other::Unauthorized) {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Problem {
        Problem(Box::new(Facts {
            kind: Kind::Rejection(rejection.code),
            retry: rejection.retry().as_str(),
            detail: rejection.detail,
            pointer: Some(rejection.pointer),
            limit: rejection.limit,
            actual: rejection.actual,
            account: rejection.account,
            transaction: rejection.record,
            retry_after: None,
            suggestion: rejection.suggestion,
            conflict: None,
        }))
    }
}

/// Carries the problem to the edge, which writes it.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.0.kind.status();
        response.extensions_mut().insert(self);
        response
    }
}

/// The members of the answer, in the order they are written.
#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    instance: &'a str,
    code: &'a str,
    retry: &'a str,
    /// As in the header, which an answer among others does not have.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actual: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    suggestion: Vec<Suggested<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conflict: Option<&'a Conflict>,
    error: Original<'a>,
}

/// A change of the request.
#[derive(Serialize)]
struct Suggested<'a> {
    pointer: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remove: Option<bool>,
}

impl<'a> From<&'a Change> for Suggested<'a> {
    fn from(Change { pointer, value }: &'a Change) -> Suggested<'a> {
        Suggested { pointer, value: value.as_deref(), remove: value.is_none().then_some(true) }
    }
}

/// The answer's form in the original system.
#[derive(Serialize)]
struct Original<'a> {
    message: &'a str,
    details: &'a str,
}
