//! Holds answers of a gateway against `api-gateway/openapi.json` (OpenAPI 3.1, whose schemas are JSON
//! Schema 2020-12). Tests do it where they read an answer, so whatever any of them
//! provokes is an answer that clients made from the document can read.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

use http::header::CACHE_CONTROL;
use http::{Method, Uri, response};
use jsonschema::Validator;
use serde_json::{Map, Value, json};

const PROBLEM: &str = "application/problem+json";

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let text = include_str!("../../../api-gateway/openapi.json");
    let mut document: Value = serde_json::from_str(text).expect("JSON");
    close(&mut document);
    document
});

/// Takes back what the document leaves open for servers that are still to come: this one answers no member and no code
/// that is not in it.
fn close(document: &mut Value) {
    let schemas = document["components"]["schemas"].as_object_mut().expect("schemas");
    for schema in schemas.values_mut().filter(|schema| schema.get("properties").is_some()) {
        schema["additionalProperties"] = json!(false);
    }
    schemas["ProblemCode"] = schemas["KnownCode"].clone();
}

/// Compiled schemas, by where they stand in the document.
static VALIDATORS: LazyLock<Mutex<HashMap<String, &'static Validator>>> =
    LazyLock::new(Mutex::default);

/// An answer, and what was asked.
#[derive(Debug, Clone, Copy)]
struct Answer<'a> {
    method: &'a str,
    path: &'a str,
    status: u16,
    content_type: Option<&'a str>,
    /// Names of those that a client has a use for.
    headers: &'a [&'a str],
    body: &'a [u8],
}

/// Headers that are of HTTP, or of which the document speaks as of the content.
const OF_ALL: [&str; 6] =
    ["connection", "content-length", "content-type", "date", "keep-alive", "transfer-encoding"];

/// The operation's template and itself, or nothing for a path that is not of the document.
fn item(path: &str) -> Option<(&'static str, &'static Value)> {
    let fits = |template: &str| {
        let mut left = path.split('/');
        for part in template.split('/') {
            match left.next() {
                // The one parameter that spans slashes.
                Some(_) if template == "/tile/{path}" && part == "{path}" => return true,
                Some(given) if part == given || (part.starts_with('{') && !given.is_empty()) => {}
                _ => return false,
            }
        }
        left.next().is_none()
    };
    let paths = DOCUMENT["paths"].as_object()?;
    let found = paths.iter().filter(|(template, _)| fits(template));
    // A path that is written out goes before a template (OpenAPI 3.1, Paths Object).
    found.min_by_key(|(template, _)| template.contains('{')).map(|(t, item)| (t.as_str(), item))
}

/// The schema at this JSON pointer, compiled once.
fn validator(pointer: &str) -> &'static Validator {
    let mut validators = VALIDATORS.lock().expect("no test panics here");
    validators.entry(pointer.to_owned()).or_insert_with(|| {
        let schema = DOCUMENT.pointer(pointer).expect("a schema");
        let whole = json!({ "allOf": [schema], "components": DOCUMENT["components"] });
        let built = jsonschema::draft202012::options().build(&whole);
        Box::leak(Box::new(built.unwrap_or_else(|error| panic!("{pointer}: {error}"))))
    })
}

fn fits(pointer: &str, text: &[u8]) -> Result<(), String> {
    let value: Value = serde_json::from_slice(text).map_err(|error| format!("no JSON: {error}"))?;
    validator(pointer)
        .validate(&value)
        .map_err(|error| format!("{pointer} at {:?}: {error}", error.instance_path().as_str()))
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// The part of the document that promises this answer, and its form if it has a body.
fn promised(answer: &Answer<'_>) -> Result<Option<String>, String> {
    // Without parameters, such as a charset.
    let form = answer.content_type.map(|kind| kind.split(';').next().unwrap_or_default().trim());
    let refusal = Some("/components/schemas/Problem".to_owned());
    // HEAD is answered wherever GET is (RFC 9110, 9.3.2).
    let method = if answer.method == "HEAD" { "GET" } else { answer.method }.to_lowercase();
    let found = item(answer.path).and_then(|(path, item)| Some((path, item.get(&method)?)));
    let Some((path, operation)) = found else {
        // `/docs`, what is asked of an admin, what nobody serves: its refusals have the form of all.
        return match (answer.status, form) {
            (400.., Some(PROBLEM)) => Ok(refusal),
            (400.., _) => Err("a refusal in a form of its own".to_owned()),
            _ => Ok(None),
        };
    };
    let class = format!("{}XX", answer.status / 100);
    let responses = &operation["responses"];
    let status = [answer.status.to_string(), class]
        .into_iter()
        .find(|status| responses.get(status).is_some())
        .ok_or("a status that the document does not list")?;
    let named = responses[&status].get("headers").and_then(Value::as_object);
    let is_named = |header: &&&str| {
        named.into_iter().flat_map(Map::keys).any(|name| name.eq_ignore_ascii_case(header))
    };
    if let Some(header) = answer.headers.iter().find(|header| !is_named(header)) {
        return Err(format!("a header that the document does not list, {header}"));
    }
    let Some(content) = responses[&status].get("content").and_then(Value::as_object) else {
        return if answer.body.is_empty() { Ok(None) } else { Err("it has a body".to_owned()) };
    };
    let form = form.ok_or("no Content-Type")?;
    if !content.contains_key(form) {
        return Err("a Content-Type that the document does not list".to_owned());
    }
    let path = escaped(path);
    let form = escaped(form);
    Ok(Some(format!("/paths/{path}/{method}/responses/{status}/content/{form}/schema")))
}

/// Whether the document promises this answer; if not, why.
fn check(answer: &Answer<'_>) -> Result<(), String> {
    // What browsers ask before they ask; no client is made for it.
    if answer.method == "OPTIONS" {
        return Ok(());
    }
    let Some(pointer) = promised(answer)? else { return Ok(()) };
    if answer.method == "HEAD" {
        return if answer.body.is_empty() { Ok(()) } else { Err("it has a body".to_owned()) };
    }
    if pointer.contains("ndjson") {
        let mut lines = answer.body.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        return lines.try_for_each(|line| fits(&pointer, line));
    }
    if pointer.contains("json") || pointer.ends_with("/Problem") {
        return fits(&pointer, answer.body);
    }
    Ok(())
}

/// Holds an answer, whole, against what was asked.
///
/// # Panics
///
/// With the answer, when the document does not promise it.
pub fn hold(method: &Method, uri: &Uri, head: &response::Parts, body: &[u8]) {
    let content_type = head.headers.get("content-type").and_then(|kind| kind.to_str().ok());
    let (method, path, status) = (method.as_str(), uri.path(), head.status.as_u16());
    // Whatever does not say how long it may be kept is not to be.
    let of_use = (head.headers.iter())
        .filter(|(name, _)| !OF_ALL.contains(&name.as_str()))
        .filter(|(name, value)| **name != CACHE_CONTROL || *value != "no-store");
    let headers: Vec<&str> = of_use.map(|(name, _)| name.as_str()).collect();
    let answer = Answer { method, path, status, content_type, headers: &headers, body };
    if let Err(why) = check(&answer) {
        let body = String::from_utf8_lossy(body);
        panic!(
            "openapi.json does not promise this: {why}\n{method} {path}: {status}, {content_type:?}\n{body}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALIVE: Answer<'static> = Answer {
        method: "GET",
        path: "/livez",
        status: 200,
        content_type: Some("application/json"),
        headers: &[],
        body: br#"{"status":"ok"}"#,
    };

    /// If one of these passed, an answer no client can read would.
    #[test]
    fn what_the_document_does_not_promise_is_found() {
        check(&ALIVE).expect("promised");
        let refusal = Answer {
            path: "/problems/x",
            status: 404,
            content_type: Some(PROBLEM),
            body: br#"{"type":"/problems/no_such_code","title":"","status":404,"detail":"","instance":"/","code":"no_such_code",
                "retry":"never","error":{"message":"","details":""}}"#,
            ..ALIVE
        };
        let other: [(Answer<'_>, &str); 10] = [
            (Answer { status: 201, ..ALIVE }, "a status"),
            (Answer { content_type: Some("text/html"), ..ALIVE }, "a Content-Type"),
            (Answer { content_type: None, ..ALIVE }, "no Content-Type"),
            (Answer { headers: &["etag"], ..ALIVE }, "a header"),
            (Answer { body: b"{}", ..ALIVE }, "required"),
            (Answer { body: br#"{"status":"ok","since":"1"}"#, ..ALIVE }, "'since' was unexpected"),
            (refusal, "\"no_such_code\" is not one of"),
            (Answer { body: b"{", ..ALIVE }, "no JSON"),
            (Answer { method: "HEAD", ..ALIVE }, "a body"),
            (Answer { path: "/nowhere", status: 404, ..ALIVE }, "a form of its own"),
        ];
        for (answer, why) in other {
            let found = check(&answer).expect_err(why);
            assert!(found.contains(why), "{found}");
        }
    }

    /// Answers would be held against another operation, or none, and clients meet what it forbids.
    #[test]
    fn paths_are_found_by_their_templates() {
        let of = |path| item(path).map(|(template, _)| template);
        assert_eq!(of("/tile/0/x001/000.p/2"), Some("/tile/{path}"));
        assert_eq!(of("/unit/U"), Some("/unit/{unit}"));
        assert_eq!(of("/unit/U/holders"), Some("/unit/{unit}/holders"));
        for none in ["/unit/", "/unit", "/unit/U/", "/tile", "/openapi.json"] {
            assert_eq!(of(none), None, "{none}");
        }
    }
}
