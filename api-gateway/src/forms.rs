//! What a name means wherever it stands: the form of a hash, a number, a time; which headers an answer has by its status; and
//! where it leads.
//!
//! Names mean the same in every document and parameter, so their forms stand here
//! once, and not beside every field of [`crate::schema`]; a field that is new has
//! its form by its name. The document says as much of each value as a schema can, so that a
//! client's mistake is found before it is sent, and a test finds ours.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use webwallet_ledger::limits::{
    CUSTOM_KEYS_MAX, DEPTH_MAX, DOMAIN_BYTES_MAX, FRACTION_DIGITS_MAX, WHOLE_DIGITS_MAX,
};

use crate::edge::NEGOTIATED;

/// A number from 0: no log has more leaves than fit into 63 bits.
const NUMBER: &str = "(0|[1-9][0-9]{0,18})";
const HASH: &str = "[0-9a-f]{64}";

/// A decimal of the protocol, without its sign.
fn decimal() -> String {
    format!(r"(0|[1-9][0-9]{{0,{}}})(\.[0-9]{{1,{FRACTION_DIGITS_MAX}}})?", WHOLE_DIGITS_MAX - 1)
}

/// Names of fields and parameters, and their form.
fn form(name: &str) -> Option<Value> {
    let pattern = |pattern: &str| json!({ "pattern": format!("^{pattern}$") });
    Some(match name {
        "address" | "counter" | "signer" | "source" | "symbol" | "target" | "unit" => {
            json!({ "format": "address", "minLength": 34, "maxLength": 34 })
        }
        "custom" | "hash" | "key" | "log" | "path" | "previous" | "puzzle" | "root" | "script"
        | "siblings" | "state" | "transaction" | "units" | "value" | "valuehash" => pattern(HASH),
        "public" | "string" => pattern("([0-9a-fA-F]{2})+"),
        "after" | "blocks" | "cleared" | "first" | "from" | "height" | "index" | "leaves"
        | "number" | "records" | "size" | "to" => pattern(NUMBER),
        "active" | "expiry" | "time" => {
            // Not `format: date-time`: clients made from it read a time into a type of theirs and write it out in another
            // form, and what was signed is then another text.
            let day = "[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])";
            pattern(&format!(r"{day}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{{3}}Z"))
        }
        "amount" => pattern(&decimal()),
        "credit" => pattern(&format!("-?{}", decimal())),
        "max" | "min" | "net" => pattern(&format!("(-?{}|-?Infinity)", decimal())),
        "output" | "pointer" | "sources" => pattern(&format!("{HASH}::{NUMBER}")),
        "domain" => pattern(&format!("[a-z0-9.:-]{{1,{DOMAIN_BYTES_MAX}}}")),
        "cursor" | "next" => pattern("[A-Za-z0-9_-]+"),
        "linker" => json!({ "enum": ["sha256:ripemd160"] }),
        "retry" => json!({ "enum": ["never", "same", "rebuild", "later"] }),
        "scheme" => json!({ "enum": ["eddsa-ed25519", "ecdsa-ed25519"] }),
        "steps" => json!({ "enum": ["stringify:data"] }),
        "types" => json!({ "enum": ["sha3-256", "sha256", "sha256:sha256"] }),
        _ => return None,
    })
}

/// The form of `{name}` and `{path}`, which mean what the path they end is of.
fn form_in(path: &str) -> Option<Value> {
    let names = match path.split('/').nth(1)? {
        "transaction" => format!("({HASH}|[1-9][0-9]{{0,18}})"),
        "block" => format!("({HASH}|latest|{NUMBER})"),
        "stack" => format!("(latest|{NUMBER})"),
        "tile" => tile(),
        _ => return None,
    };
    Some(json!({ "pattern": format!("^{names}$") }))
}

/// `{L}/{N}[.p/{W}]`: groups of three digits, all but the last after an `x`, the first of these never zero.
/// As high as a log of a million million leaves.
fn tile() -> String {
    let first = "x(00[1-9]|0[1-9][0-9]|[1-9][0-9]{2})/";
    let width = r"(\.p/([1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5]))?";
    format!(
        "((entries|0)/({first}(x[0-9]{{3}}/){{0,3}})?|[1-3]/({first}(x[0-9]{{3}}/)?)?|4/({first})?|5/)[0-9]{{3}}{width}"
    )
}

/// Schemas whose names are words of their own: texts for people, a state that is no hash, sums longer than amounts.
const FREE: [&str; 6] = ["Change", "Explanation", "NotSealed", "OriginalError", "Problem", "Unit"];

/// Adds the forms to a document.
pub(crate) fn add(document: &mut Value) {
    let closed = closed(document);
    let schemas = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut);
    for (name, schema) in schemas.into_iter().flatten() {
        if schema.get("properties").is_some() {
            // Said of the open ones, too: where it is not, generators take an object for closed.
            schema["additionalProperties"] = json!(!closed.contains(name));
        }
        let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
        for (property, schema) in properties.into_iter().flatten() {
            if property == "meta" && schema.get("$ref").is_none() {
                schema["type"] = json!("object");
                schema["additionalProperties"] = json!(false);
            }
            if name == "Signature" && property == "script" {
                // As the other hex beside it, in either case.
                put(schema, Some(json!({ "pattern": "^[0-9a-fA-F]{64}$" })));
            } else if property == "retry" || !FREE.contains(&name.as_str()) {
                put(schema, form(property));
            }
        }
    }
    describe_custom(document);
    show_request(document);
    let paths = document.get_mut("paths").and_then(Value::as_object_mut);
    for (path, item) in paths.into_iter().flatten() {
        for operation in item.as_object_mut().into_iter().flat_map(Map::values_mut) {
            let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
            for parameter in parameters.into_iter().flatten() {
                let name = parameter["name"].as_str().unwrap_or_default();
                let form = match name {
                    "name" | "path" => form_in(path),
                    name => form(name),
                };
                put(&mut parameter["schema"], form);
            }
            let negotiated = NEGOTIATED.iter().any(|negotiated| path.starts_with(negotiated));
            name_headers(&mut operation["responses"], negotiated);
        }
    }
    never_null(document);
    LINKS.into_iter().for_each(|way| link(document, way));
}

/// See [`crate::answer::Kept`].
const KEPT: &str = "`immutable` of what is named by its own hash; `no-cache` of a receipt, and of what is named by a number, \
    a height, a size, or an IOU in it: ask again with `If-None-Match`; `no-store` where it is the latest";

/// Names the headers that answers have by their status, whatever they are of. What has a 304 has
/// a tag, and says how long it may be kept.
fn name_headers(answers: &mut Value, negotiated: bool) {
    let kept = answers.get("304").is_some();
    for (status, answer) in answers.as_object_mut().into_iter().flatten() {
        let by_status: &[(&str, &str)] = match status.as_str() {
            "200" | "304" if kept => &[
                ("ETag", "names these bytes; not where they are the latest"),
                ("Cache-Control", KEPT),
            ],
            "4XX" => {
                &[("Allow", "of 405: the methods of this path"), ("Retry-After", "of 429: seconds")]
            }
            "503" => &[("Retry-After", "seconds")],
            _ => &[],
        };
        let negotiated = negotiated.then_some(("Vary", "`Accept`"));
        for (name, description) in by_status.iter().copied().chain(negotiated) {
            let header = &mut answer["headers"][name];
            if header.is_null() {
                *header = json!({ "description": description, "schema": { "type": "string" } });
            }
        }
    }
}

/// Where good answers lead: path, method, name of the link, operation it leads to, its parameters.
#[rustfmt::skip]
const LINKS: [Link; 14] = [
    ("/transaction", "post", "Record", "get_transaction", &[("name", "$response.body#/data/hash/value")]),
    ("/transaction", "post", "Receipt", "get_receipt", &[("name", "$response.body#/data/data/number")]),
    ("/transaction", "post", "Iou", "get_iou", &[("hash", "$response.body#/data/data/inputs/0/hash")]),
    ("/transaction", "post", "Holdings", "get_address", &[("address", "$response.body#/data/data/outputs/0/address")]),
    ("/transaction", "post", "Unspent", "get_unspent", ACCOUNT),
    ("/transaction", "post", "History", "get_history", ACCOUNT),
    ("/transaction", "post", "Proof", "get_account_proof", ACCOUNT),
    ("/transaction", "post", "Inclusion", "get_inclusion", &[("number", "$response.body#/data/data/number")]),
    ("/transaction", "post", "Unit", "get_unit", UNIT),
    ("/transaction", "post", "Holders", "get_holders", UNIT),
    ("/document/{hash}", "put", "Document", "get_document", &[("hash", "$response.body#/data/hash/value")]),
    ("/iou/{hash}", "get", "Record", "get_transaction", &[("name", "$response.body#/data/transaction")]),
    ("/block/{name}", "get", "Records", "get_block_transactions", &[("height", "$response.body#/data/data/height")]),
    ("/block/{name}", "get", "Before", "get_checkpoint_at", &[("size", "$response.body#/data/data/first")]),
];

type Link = (&'static str, &'static str, &'static str, &'static str, Parameters);
type Parameters = &'static [(&'static str, &'static str)];

/// The account of a record's first output.
const ACCOUNT: Parameters = &[
    ("address", "$response.body#/data/data/outputs/0/address"),
    ("counter", "$response.body#/data/data/outputs/0/counter"),
];

/// Its unit.
const UNIT: Parameters = &[("unit", "$response.body#/data/data/outputs/0/counter")];

fn link(document: &mut Value, (path, method, name, to, parameters): Link) {
    let answers = &mut document["paths"][path][method]["responses"];
    for status in ["200", "201"] {
        if let Some(answer) = answers.get_mut(status) {
            let parameters: Map<String, Value> =
                parameters.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
            answer["links"][name] = json!({ "operationId": to, "parameters": parameters });
        }
    }
}

/// What is hashed as it stands, beside what requests are made of.
const HASHED: [&str; 3] = ["Block", "Record", "Stack"];

/// The schemas of objects that have the fields that are named and no other: those of requests, in which any other is refused, and
/// of what is hashed or signed, in which it would be another document. All other answers may have more one day, which a client that
/// was made today has to pass over.
fn closed(document: &Value) -> BTreeSet<String> {
    let mut names: Vec<String> = HASHED.map(str::to_owned).into();
    for item in document["paths"].as_object().into_iter().flat_map(Map::values) {
        for operation in item.as_object().into_iter().flat_map(Map::values) {
            names.extend(references(&operation["requestBody"]));
        }
    }
    let mut closed = BTreeSet::new();
    while let Some(name) = names.pop() {
        if !closed.contains(&name) {
            names.extend(references(&document["components"]["schemas"][&name]));
            closed.insert(name);
        }
    }
    closed
}

/// The names of the schemas that a part of the document leads to.
fn references(part: &Value) -> Vec<String> {
    match part {
        Value::Object(members) => {
            let reference = members.get("$ref").and_then(Value::as_str);
            let name = reference.and_then(|path| path.strip_prefix("#/components/schemas/"));
            let deeper = members.values().flat_map(references);
            name.map(str::to_owned).into_iter().chain(deeper).collect()
        }
        Value::Array(elements) => elements.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

/// Custom data, which is anybody's: text, lists and objects, however deep. Said in words: generators make nothing of a map of choices
/// that compiles.
fn describe_custom(document: &mut Value) {
    let Some(schemas) = document.pointer_mut("/components/schemas") else { return };
    schemas["CustomData"] = json!({
        "description": format!("Its values are text, and lists and objects of text, and nothing else; a request is at most {DEPTH_MAX} deep."),
        "type": "object",
        "maxProperties": CUSTOM_KEYS_MAX,
        "additionalProperties": true,
    });
    schemas["Custom"] = json!({
        "description": "What an IOU is for, in its parties' own words.",
        "type": "object",
        "required": ["data"],
        "properties": {
            "data": { "$ref": "#/components/schemas/CustomData" },
            "hash": { "$ref": "#/components/schemas/HashOf" },
        },
        "additionalProperties": false,
    });
    if let Some(data) = schemas.pointer_mut("/Document/properties/data") {
        *data = json!({
            "description": "What the hash is of: that of a puzzle, as in `PuzzleData`, or custom data, as in `CustomData`.",
            "type": "object",
            "maxProperties": CUSTOM_KEYS_MAX,
            "additionalProperties": true,
        });
    }
    if let Some(custom) = schemas.pointer_mut("/IouMeta/properties/custom") {
        *custom = json!({ "$ref": "#/components/schemas/Custom" });
    }
}

/// Shows a request that is one: signed, if long ago and for another server. What a browser of the document makes of the schemas alone has every field at
/// once, which is none.
fn show_request(document: &mut Value) {
    let Ok(request) = serde_json::from_str::<Value>(include_str!("schema/example.json")) else {
        return;
    };
    let content = |document: &mut Value, path: &str, form: &str, example: Value| {
        document["paths"][path]["post"]["requestBody"]["content"][form]["example"] = example;
    };
    content(document, "/batch", "application/json", json!([request]));
    content(document, "/batch", "application/x-ndjson", request.clone());
    content(document, "/transaction", "application/json", request);
}

/// A form is of texts, and of lists of them.
fn put(schema: &mut Value, form: Option<Value>) {
    let Some(Value::Object(form)) = form else { return };
    if schema["type"] == json!("array") {
        put(&mut schema["items"], Some(Value::Object(form)));
    } else if is_text(schema)
        && let Some(schema) = schema.as_object_mut()
    {
        schema.extend(form);
    }
}

fn is_text(schema: &Value) -> bool {
    schema["type"] == json!("string") || schema["type"] == json!(["string", "null"])
}

/// What is not there is left out: nothing that is sent or read is ever null.
fn never_null(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if let Some(Value::Array(types)) = members.get_mut("type") {
                types.retain(|kind| kind != "null");
                if let [one] = &mut types[..] {
                    let one = one.take();
                    members.insert("type".to_owned(), one);
                }
            }
            if let Some(Value::Array(choices)) = members.get_mut("oneOf") {
                choices.retain(|choice| *choice != json!({ "type": "null" }));
                if let [Value::Object(one)] = &mut choices[..] {
                    let one = std::mem::take(one);
                    members.remove("oneOf");
                    members.extend(one);
                }
            }
            members.values_mut().for_each(never_null);
        }
        Value::Array(elements) => elements.iter_mut().for_each(never_null),
        _ => {}
    }
}
