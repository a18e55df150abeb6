//! What form a body has, and what form the answer may have.
//!
//! The original SDK leaves headers to its caller, and `fetch` given a string
//! sends `text/plain;charset=UTF-8`: so JSON is read under that name too, and
//! under none. Anything else is refused, as is a compressed body, which could
//! be a thousand times the size that was allowed.

use http::{HeaderMap, HeaderValue, header};

use crate::problem::{Other, Problem};

/// Refuses a body that does not say it is JSON.
pub(crate) fn check_body(headers: &HeaderMap) -> Result<(), Problem> {
    check(headers, &["application/json", "text/plain"])
}

/// Refuses a body that says it is neither JSON nor lines of it. Whether it says that it is lines.
pub(crate) fn check_batch(headers: &HeaderMap) -> Result<bool, Problem> {
    check(headers, &["application/json", "text/plain", LINES])?;
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(parts);
    Ok(kind.is_some_and(|(kind, _)| kind.eq_ignore_ascii_case(LINES)))
}

fn check(headers: &HeaderMap, known: &[&str]) -> Result<(), Problem> {
    let refused = |what: &str| Err(Problem::new(Other::MediaType, what));
    let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
    if !codings.all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return refused("a body is not read in compressed form");
    }
    let mut transfers = headers.get_all(header::TRANSFER_ENCODING).iter();
    if !transfers.all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return refused("Transfer-Encoding is chunked, or there is none");
    }
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let Some(value) = values.next() else {
        return Ok(());
    };
    if values.next().is_some() {
        return refused("Content-Type is given more than once");
    }
    // The usual case, without taking it apart.
    if value == "application/json" {
        return Ok(());
    }
    let Some((kind, mut parameters)) = value.to_str().ok().map(parts) else {
        return refused("Content-Type is not text");
    };
    if !known.iter().any(|known| kind.eq_ignore_ascii_case(known)) {
        return refused(&format!("Content-Type is none of {}", known.join(", ")));
    }
    let utf8 = parameters.all(|(name, value)| {
        !name.eq_ignore_ascii_case("charset")
            || ["utf-8", "utf8"].iter().any(|u| value.eq_ignore_ascii_case(u))
    });
    if utf8 { Ok(()) } else { refused("the charset of a body is UTF-8") }
}

/// Whether an answer in JSON is welcome.
pub(crate) fn accepts_json(headers: &HeaderMap) -> bool {
    // The usual case, without taking it apart.
    headers.get_all(header::ACCEPT).iter().all(is_usual) || weight(headers, JSON) > 0.0
}

/// Whether JSON is asked for by name, where text is what is given otherwise.
pub(crate) fn prefers_json(headers: &HeaderMap) -> bool {
    prefers(headers, JSON, "text/plain")
}

/// Whether a page for people is asked for, as browsers do.
pub(crate) fn prefers_html(headers: &HeaderMap) -> bool {
    prefers(headers, "text/html", JSON)
}

/// Whether a stream of events is asked for. Who names pages as well, and no less, gets a page: clients made from the
/// OpenAPI document name all forms of an answer, and one that reads answers whole would wait for the end of a stream.
pub(crate) fn prefers_events(headers: &HeaderMap) -> bool {
    prefers(headers, EVENTS, LINES) && !prefers(headers, LINES, EVENTS)
}

const EVENTS: &str = "text/event-stream";
const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";

/// Whether a form is asked for by name, and no less than what is given otherwise.
fn prefers(headers: &HeaderMap, form: &str, otherwise: &str) -> bool {
    let named = ranges(headers).any(|range| parts(range).0.eq_ignore_ascii_case(form));
    let weight = |form| weight(headers, form);
    named && weight(form) > 0.0 && weight(form) >= weight(otherwise)
}

/// How much a form is wished for, from 0 to 1: the most specific range that names it
/// decides (RFC 9110, section 12.5.1). No range at all is no wish, and all are welcome.
fn weight(headers: &HeaderMap, form: &str) -> f32 {
    let whole = form.split_once('/').map_or(form, |(whole, _)| whole);
    let (mut best, mut any) = (None, false);
    for range in ranges(headers) {
        any = true;
        let (kind, mut parameters) = parts(range);
        let of_all = kind.strip_suffix("/*");
        let specific = match kind {
            _ if kind.eq_ignore_ascii_case(form) => 2,
            _ if of_all.is_some_and(|kind| kind.eq_ignore_ascii_case(whole)) => 1,
            "*/*" => 0,
            _ => continue,
        };
        let q = parameters.find(|(name, _)| name.eq_ignore_ascii_case("q"));
        let q = q.and_then(|(_, value)| value.parse().ok()).unwrap_or(1.0);
        if best.is_none_or(|(known, _)| specific >= known) {
            best = Some((specific, q));
        }
    }
    match best {
        Some((_, q)) => q,
        None if any => 0.0,
        None => 1.0,
    }
}

/// The ranges of `Accept`.
fn ranges(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter(|range| !range.trim().is_empty())
}

fn is_usual(value: &HeaderValue) -> bool {
    value == "*/*" || value == "application/json"
}

/// `type/subtype` and its parameters.
fn parts(text: &str) -> (&str, impl Iterator<Item = (&str, &str)>) {
    let (kind, parameters) = text.split_once(';').unwrap_or((text, ""));
    let parameters = parameters.split(';').filter_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        Some((name.trim(), value.trim().trim_matches('"')))
    });
    (kind.trim(), parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(&name, HeaderValue::from_str(value).expect("a header"));
        }
        headers
    }

    /// The original SDK could not pay; or a few bytes would swell to more than any body may have.
    #[test]
    fn json_is_read_under_the_names_that_clients_use() {
        for (values, read) in [
            (&[][..], true),
            (&["application/json"], true),
            (&["application/json; charset=utf-8"], true),
            (&["Application/JSON;charset=\"UTF-8\""], true),
            (&["text/plain;charset=UTF-8"], true),
            (&["text/plain"], true),
            (&["text/plain;charset=latin1"], false),
            (&["application/json;charset=utf-16"], false),
            (&["application/x-www-form-urlencoded"], false),
            (&["application/cbor"], false),
            (&["text/html"], false),
            (&[""], false),
        ] {
            assert_eq!(
                check_body(&headers(header::CONTENT_TYPE, values)).is_ok(),
                read,
                "{values:?}"
            );
        }
        for (values, read) in [(&["identity"], true), (&["gzip"], false)] {
            assert_eq!(
                check_body(&headers(header::CONTENT_ENCODING, values)).is_ok(),
                read,
                "{values:?}"
            );
        }
    }

    /// A client that reads JSON would be refused, or one that does not be sent it.
    #[test]
    fn the_most_specific_wish_decides() {
        for (values, welcome) in [
            (&[][..], true),
            (&[""], true),
            (&["*/*"], true),
            (&["application/json"], true),
            (&["APPLICATION/JSON;q=0.5"], true),
            (&["application/*"], true),
            (&["text/html,application/xhtml+xml,*/*;q=0.8"], true),
            (&["text/html", "application/json"], true),
            (&["text/html"], false),
            (&["application/problem+json"], false),
            (&["application/json;q=0"], false),
            (&["application/json;q=0, */*"], false),
            (&["*/*;q=0"], false),
            (&["*/*", "application/json;q=0"], false),
            (&["application/xml, */*;q=0"], false),
            (&["*/*;q=0, application/json"], true),
        ] {
            assert_eq!(accepts_json(&headers(header::ACCEPT, values)), welcome, "{values:?}");
        }
    }

    /// What a client weighs lower, or does not want at all, is not what it gets.
    #[test]
    fn of_two_forms_the_one_that_is_wished_for_more_is_given() {
        for (accept, json, html, events) in [
            ("application/json", true, false, false),
            ("application/json, text/plain", true, false, false),
            ("text/plain, application/json;q=0.1", false, false, false),
            ("text/html,application/xhtml+xml,*/*;q=0.8", false, true, false),
            ("application/json, text/html;q=0.1", true, false, false),
            ("text/event-stream", false, false, true),
            ("application/x-ndjson, text/event-stream;q=0", false, false, false),
            ("text/event-stream, */*", false, false, true),
            ("application/x-ndjson, text/event-stream", false, false, false),
            ("text/event-stream;q=0.5, application/x-ndjson;q=0.5", false, false, false),
            ("text/event-stream, application/x-ndjson;q=0.5", false, false, true),
            ("*/*", false, false, false),
        ] {
            let headers = headers(header::ACCEPT, &[accept]);
            let given = (prefers_json(&headers), prefers_html(&headers), prefers_events(&headers));
            assert_eq!(given, (json, html, events), "{accept}");
        }
    }
}
