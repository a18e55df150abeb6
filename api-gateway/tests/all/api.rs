//! The API as a client sees it, without a socket: what each resource answers,
//! and what it says no to.

use axum::body::Body;
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use webwallet_api_gateway::{Limits, schema};
use webwallet_ledger::{Hash, document};
use webwallet_proto::blockstack::v1::Receipt;

use crate::standin::{
    self, Books, DOMAIN, Deployment, body, documented, draft, issue, person, time,
};

#[tokio::test]
async fn a_request_clears_and_its_repeat_is_answered_with_the_same_bytes() {
    let server = Deployment::new();
    let [alice, bob, carol] = [1, 2, 3].map(person);
    let ious = [
        draft(alice, bob, "10", 1).sign(&alice.secret),
        draft(alice, carol, "5", 2).sign(&alice.secret),
    ];
    let first = server.post(body(&ious)).await;
    assert_eq!(first.status, StatusCode::CREATED, "{first:?}");
    documented::<schema::RecordAnswer>(&first);
    let hash = first.json()["data"]["hash"]["value"].as_str().expect("a hash").to_owned();
    let path = format!("/transaction/{hash}");
    assert_eq!(first.header("location"), Some(path.as_str()));
    assert_eq!(first.header("idempotent-replayed"), None);
    // The body is the stored document itself.
    let stored = server.stores.documents.lock().expect("lock").values().next().cloned();
    let stored = stored.expect("kept");
    assert_eq!(document::name(&stored).expect("a document").to_string(), hash);
    assert_eq!(first.body, [&b"{\"data\":"[..], &stored, b"}"].concat());

    let [one, two] = ious;
    let again = server.post(body(&[two, one])).await;
    assert_eq!(again.status, StatusCode::OK);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!((&again.body, again.header("location")), (&first.body, Some(path.as_str())));
}

#[tokio::test]
async fn a_repeat_is_found_before_its_bad_signature_or_address_is_refused() {
    let server = Deployment::new();
    let [alice, bob] = [1, 2].map(person);
    let good = issue(alice, bob, "10", 1);
    let first = server.post(good.clone()).await;
    let text = String::from_utf8(good).expect("text");
    let mut request: Value = serde_json::from_str(&text).expect("JSON");
    let signature = &mut request["data"]["inputs"][0]["meta"]["signatures"][0]["string"];
    *signature = json!("00".repeat(64));
    let bad_signature = server.post(request.to_string()).await;
    assert_eq!(bad_signature.status, StatusCode::OK, "{bad_signature:?}");
    assert_eq!(bad_signature.body, first.body);
    request["data"]["inputs"][0]["meta"]["signatures"] = json!([]);
    assert_eq!(server.post(request.to_string()).await.body, first.body);
    // Not so where the hash is not the hash of what was sent.
    request["data"]["inputs"][0]["data"]["amount"] = json!("11");
    assert_eq!(server.post(request.to_string()).await.code(), "hash_mismatch");
}

#[tokio::test]
async fn rejections_carry_what_a_client_needs() {
    let server = Deployment::new();
    let [alice, bob, carol] = [1, 2, 3].map(person);
    let both = body(&[
        draft(alice, bob, "10", 1).sign(&alice.secret),
        draft(alice, bob, "5", 2).sign(&alice.secret),
    ]);
    let record = server.post(both).await.json()["data"]["hash"]["value"].clone();

    let half = server.post(issue(alice, bob, "10", 1)).await;
    assert_eq!((half.code().as_str(), half.status), ("iou_already_cleared", StatusCode::CONFLICT));
    assert_eq!(half.json()["transaction"], record);
    assert_eq!(half.json()["pointer"], "/data/inputs/0");
    assert_eq!(half.json()["conflict"]["cleared"]["hash"]["value"], record);
    assert_eq!(
        half.json()["conflict"]["sent"],
        serde_json::from_slice::<Value>(&issue(alice, bob, "10", 1)).expect("JSON")
    );
    assert_eq!(half.json()["error"]["message"], "iou-already-cleared");
    documented::<schema::Problem>(&half);

    let mut too_much = draft(bob, carol, "16", 3);
    too_much.symbol = alice.address;
    let too_much = server.post(body(&[too_much.sign(&bob.secret)])).await;
    assert_eq!(too_much.code(), "balance_below_min");
    let json = too_much.json();
    assert_eq!((&json["limit"], &json["actual"]), (&json!("0"), &json!("-1")));
    assert_eq!(json["account"], format!("{}|{}", alice.address, bob.address));
    assert_eq!(json["retry"], "rebuild");
    documented::<schema::Problem>(&too_much);

    let mut expired = draft(alice, bob, "1", 4);
    expired.expiry = time("2026-01-01T00:00:00.000Z");
    let expired = server.post(body(&[expired.sign(&alice.secret)])).await;
    assert_eq!(expired.code(), "expired");

    let mut elsewhere = draft(alice, bob, "1", 5);
    elsewhere.domain = "example.org".to_owned();
    let elsewhere = server.post(body(&[elsewhere.sign(&alice.secret)])).await;
    assert_eq!(elsewhere.code(), "wrong_domain");

    let forged = server.post(body(&[draft(alice, bob, "1", 6).unsigned()])).await;
    assert_eq!(forged.code(), "signature_missing");
    for nonsense in ["", "{", "[]", "null", "{\"data\":{\"inputs\":[]}}", "\u{feff}{}"] {
        let refused = server.post(nonsense).await;
        assert_eq!((refused.code().as_str(), refused.status.as_u16()), ("malformed", 400));
        assert!(refused.json()["pointer"].is_string());
    }
    assert_eq!(server.post(vec![0xff; 100]).await.code(), "malformed");
}

/// Who asks first must be told what will happen, and nothing must have happened.
#[tokio::test]
async fn a_dry_run_says_what_would_be_left_and_leaves_nothing() {
    let server = Deployment::new();
    let [alice, bob, carol] = [1, 2, 3].map(person);
    let ask = async |query: &str, body: Vec<u8>| {
        let request = Request::post(format!("/transaction?{query}")).body(Body::from(body));
        server.send(request.expect("a request")).await
    };
    let ten = issue(alice, bob, "10", 1);
    let dry = ask("dry_run=true", ten.clone()).await;
    assert_eq!((dry.status, dry.header("location")), (StatusCode::OK, None), "{dry:?}");
    documented::<schema::RehearsalAnswer>(&dry);
    documented::<schema::RepeatOrRehearsal>(&dry);
    assert_eq!(server.get("/transaction/1").await.code(), "not_found");
    assert!(server.stores.documents.lock().expect("lock").is_empty());

    let real = ask("dry_run=false", ten.clone()).await;
    assert_eq!(real.status, StatusCode::CREATED);
    assert_eq!(dry.json()["data"]["outputs"], real.json()["data"]["data"]["outputs"]);
    let repeat = ask("dry_run=true", ten).await;
    assert_eq!(
        (repeat.status, repeat.header("idempotent-replayed")),
        (StatusCode::OK, Some("true"))
    );
    assert_eq!(repeat.body, dry.body);

    let mut too_much = draft(bob, carol, "16", 3);
    too_much.symbol = alice.address;
    let too_much = body(&[too_much.sign(&bob.secret)]);
    let refused = ask("dry_run=true", too_much.clone()).await;
    assert_eq!(refused.code(), "balance_below_min");
    assert_eq!(refused.body, server.post(too_much).await.body);
    for wrong in ["dry_run=yes", "dry_run=", "dry_run", "dryrun=true", "dry_run=true&dry_run=true"]
    {
        assert_eq!(
            ask(wrong, issue(alice, bob, "1", 9)).await.code(),
            "parameter_invalid",
            "{wrong}"
        );
    }
    assert_eq!(server.get("/transaction/2").await.code(), "not_found");
}

#[tokio::test]
async fn a_record_is_read_by_hash_and_number_for_ever() {
    let server = Deployment::new();
    let [alice, bob] = [1, 2].map(person);
    let cleared = server.post(issue(alice, bob, "10", 1)).await;
    let path = cleared.header("location").expect("a location").to_owned();
    let hash = path.strip_prefix("/transaction/").expect("a hash");
    for path in [path.as_str(), "/transaction/1"] {
        let read = server.get(path).await;
        assert_eq!((read.status, &read.body), (StatusCode::OK, &cleared.body));
        let tag = format!("\"{hash}\"");
        assert_eq!(read.header("etag"), Some(tag.as_str()));
        assert_eq!(read.header("cache-control"), Some("public, max-age=31536000, immutable"));
        for (asked, status) in [
            (tag.clone(), 304),
            (format!("W/{tag}"), 304),
            (format!("\"x\", {tag}"), 304),
            ("*".to_owned(), 304),
            ("\"x\"".to_owned(), 200),
        ] {
            let request = Request::get(path).header("if-none-match", &asked);
            let read = server.send(request.body(Body::empty()).expect("a request")).await;
            assert_eq!(read.status.as_u16(), status, "{asked}");
            assert_eq!(read.body.is_empty(), status == 304);
            assert_eq!(read.header("etag"), Some(tag.as_str()));
        }
    }
    for absent in ["/transaction/2", "/transaction/99999999999999999999999"] {
        assert_eq!(server.get(absent).await.code(), "not_found");
    }
    let absent = format!("/transaction/{}", Hash([7; 32]));
    assert_eq!(server.get(&absent).await.code(), "not_found");
    for bad in ["0", "01", "-1", "x", &hash.to_uppercase(), "%ff", "1%00"] {
        let refused = server.get(&format!("/transaction/{bad}")).await;
        assert_eq!(refused.code(), "parameter_invalid", "{bad}");
    }
}

#[tokio::test]
async fn existence_is_not_execution() {
    let server = Deployment::new();
    let [alice, bob] = [1, 2].map(person);
    // Something else that is kept under its hash.
    let other = br#"{"data":{"identities":[]},"hash":{},"meta":{}}"#;
    server.stores.keep(Hash([9; 32]), other);
    assert_eq!(server.get(&format!("/transaction/{}", Hash([9; 32]))).await.code(), "not_found");

    // A record that only Graphstore has so far is read from there.
    let cleared = server.post(issue(alice, bob, "10", 1)).await;
    let path = cleared.header("location").expect("a location").to_owned();
    server.stores.documents.lock().expect("lock").clear();
    assert_eq!(server.get(&path).await.body, cleared.body);
    server.stores.fail("get", tonic::Code::DataLoss);
    assert_eq!(server.get(&path).await.body, cleared.body);
    // Nobody can say that it is not there while one could not be asked.
    let absent = format!("/transaction/{}", Hash([7; 32]));
    assert_eq!(server.get(&absent).await.code(), "unavailable");
}

#[tokio::test]
async fn an_iou_is_read_as_it_was_signed() {
    let server = Deployment::new();
    let [alice, bob] = [1, 2].map(person);
    let draft = draft(alice, bob, "10", 1);
    let (iou, path) = (draft.sign(&alice.secret), format!("/iou/{}", draft.hash()));
    assert_eq!(server.get(&path).await.code(), "not_found");
    server.post(body(&[standin::draft(alice, bob, "1", 9).sign(&alice.secret), iou.clone()])).await;
    let read = server.get(&path).await;
    assert_eq!(read.status, StatusCode::OK, "{read:?}");
    documented::<schema::IouAnswer>(&read);
    assert_eq!(read.json()["data"]["number"], "1");
    assert!(String::from_utf8_lossy(&read.body).contains(&String::from_utf8_lossy(&iou)[..]));
    let tag = format!("\"{}\"", draft.hash());
    assert_eq!(read.header("etag"), Some(tag.as_str()));
    assert_eq!(server.get("/iou/x").await.code(), "parameter_invalid");
}

#[tokio::test]
async fn balances_are_listed_page_by_page() {
    let server = Deployment::new();
    let bob = person(200);
    for n in 1..=5 {
        server.post(issue(person(n), bob, "10", 1)).await;
    }
    let path = format!("/address/{}", bob.address);
    let all = server.get(&path).await;
    documented::<schema::AddressAnswer>(&all);
    let all = all.json()["data"]["units"].as_array().expect("units").clone();
    assert_eq!(all.len(), 5);
    assert_eq!(all[0]["balance"], json!({"net": "10", "min": "0", "max": "Infinity"}));

    let mut seen = Vec::new();
    let mut next = format!("{path}?limit=2");
    loop {
        let page = server.get(&next).await;
        documented::<schema::AddressAnswer>(&page);
        let json = page.json();
        seen.extend(json["data"]["units"].as_array().expect("units").iter().cloned());
        let Some(cursor) = json["data"]["next"].as_str() else {
            assert_eq!(page.header("link"), None);
            break;
        };
        next = format!("{path}?limit=2&cursor={cursor}");
        assert_eq!(page.header("link"), Some(format!("<{next}>; rel=\"next\"").as_str()));
    }
    assert_eq!(seen, all);
    // A page that ends where the list ends has no next.
    assert!(server.get(&format!("{path}?limit=5")).await.json()["data"].get("next").is_none());

    let skipped = server.get(&format!("{path}?skip=1&limit=2")).await;
    documented::<schema::AddressAnswer>(&skipped);
    assert_eq!(skipped.json()["data"]["units"].as_array().expect("units"), &all[1..3]);

    let one = server.get(&format!("{path}?counter={}", person(3).address)).await.json();
    assert_eq!(one["data"]["units"].as_array().map(Vec::len), Some(1));
    assert_eq!(one["data"]["units"][0]["counter"], person(3).address.as_str());
    let stranger = server.get(&format!("/address/{}", person(99).address)).await;
    let expected = json!({"data": {"address": person(99).address.as_str(), "units": []}});
    assert_eq!((stranger.status, stranger.json()), (StatusCode::OK, expected));
}

#[tokio::test]
async fn a_history_is_stable_under_inserts() {
    let server = Deployment::new();
    let [alice, bob] = [1, 2].map(person);
    for n in 1..=7 {
        server.post(issue(alice, bob, "1", n)).await;
    }
    let filter = format!("?counter={}", alice.address);
    let path = format!("/address/{}/outputs", bob.address);
    let unspent = server.get(&format!("{path}/unspent{filter}")).await;
    documented::<schema::OutputsAnswer>(&unspent);
    assert_eq!(unspent.json()["data"]["outputs"].as_array().map(Vec::len), Some(1));
    let nets = |answer: &standin::Answer| -> Vec<String> {
        let json = answer.json();
        let outputs = json["data"]["outputs"].as_array().expect("outputs").iter();
        outputs.map(|o| o["content"]["balance"]["net"].as_str().expect("net").to_owned()).collect()
    };
    let first = server.get(&format!("{path}/history{filter}&limit=3")).await;
    documented::<schema::OutputsAnswer>(&first);
    assert_eq!(nets(&first), ["7", "6", "5"]);
    server.post(issue(alice, bob, "1", 8)).await;
    let cursor = first.json()["data"]["next"].as_str().expect("more").to_owned();
    let second = server.get(&format!("{path}/history{filter}&limit=3&cursor={cursor}")).await;
    assert_eq!(nets(&second), ["4", "3", "2"]);
    let third = server.get(&format!("{path}/history{filter}&limit=3&skip=6")).await;
    assert_eq!(nets(&third), ["2", "1"]);

    // The cursor is good for this list only.
    let carol = person(3).address;
    for other in [
        format!("{path}/unspent{filter}&cursor={cursor}"),
        format!("{path}/history?counter={carol}&cursor={cursor}"),
        format!("/address/{carol}/outputs/history{filter}&cursor={cursor}"),
        format!("/address/{}?cursor={cursor}", bob.address),
        format!("{path}/history{filter}&cursor={cursor}A"),
        format!("{path}/history{filter}&cursor="),
        format!("{path}/history{filter}&cursor=%ff"),
    ] {
        assert_eq!(server.get(&other).await.code(), "cursor_invalid", "{other}");
    }
    for bad in [
        format!("{path}/history"),
        format!("{path}/history?counter=x"),
        format!("{path}/history{filter}&limit=0"),
        format!("{path}/history{filter}&limit=1001"),
        format!("{path}/history{filter}&limit=1&limit=1"),
        format!("{path}/history{filter}&cursor={cursor}&skip=1"),
        format!("{path}/history{filter}&skp=1"),
        format!("/address/wS1EU4AtgzD6VDtsrJyGKXmkQdvkWt9Qer/outputs/unspent{filter}"),
        "/address/x".to_owned(),
        "/transaction/1?counter=x".to_owned(),
        "/.well-known/webwallet?x=1".to_owned(),
    ] {
        assert_eq!(server.get(&bad).await.code(), "parameter_invalid", "{bad}");
    }
    for good in
        [format!("{path}/history{filter}&limit=1000"), format!("{path}/history{filter}&limit=1")]
    {
        assert_eq!(server.get(&good).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn no_good_answer_leaves_before_both_stores_have_the_record() {
    let server = Deployment::new();
    let [alice, bob] = [1, 2].map(person);
    let request = issue(alice, bob, "10", 1);
    for (call, code, expected) in [
        ("clear", tonic::Code::Unavailable, "unavailable"),
        ("clear", tonic::Code::ResourceExhausted, "overloaded"),
        ("clear", tonic::Code::Internal, "unavailable"),
        ("put", tonic::Code::DeadlineExceeded, "unavailable"),
        ("put", tonic::Code::DeadlineExceeded, "unavailable"),
    ] {
        server.stores.fail(call, code);
        let refused = server.post(request.clone()).await;
        assert_eq!(refused.code(), expected, "{call} {code:?}");
        assert_eq!((refused.status.as_u16(), &refused.json()["retry"]), (503, &json!("same")));
        server.stores.mend();
    }
    // It cleared at the fourth try; now it is kept as well.
    assert!(server.stores.documents.lock().expect("lock").is_empty());
    assert_eq!(server.post(request.clone()).await.status, StatusCode::OK);
    assert_eq!(server.stores.documents.lock().expect("lock").len(), 1);
    // A record found for a request that is refused now is kept again, too.
    server.stores.documents.lock().expect("lock").clear();
    let stripped = body(&[draft(alice, bob, "10", 1).unsigned()]);
    server.stores.fail("replay", tonic::Code::Unavailable);
    assert_eq!(server.post(stripped.clone()).await.code(), "unavailable");
    server.stores.mend();
    assert_eq!(server.post(stripped).await.status, StatusCode::OK);
    assert_eq!(server.stores.documents.lock().expect("lock").len(), 1);
    for (call, path) in [
        ("record", "/transaction/1".to_owned()),
        ("record", format!("/iou/{}", Hash([1; 32]))),
        ("accounts", format!("/address/{}", bob.address)),
        ("outputs", format!("/address/{0}/outputs/unspent?counter={0}", bob.address)),
    ] {
        server.stores.fail(call, tonic::Code::Unknown);
        assert_eq!(server.get(&path).await.code(), "unavailable", "{path}");
        server.stores.mend();
    }
}

#[tokio::test]
async fn what_is_not_there_is_said_in_the_right_words() {
    let server = Deployment::new();
    for path in
        ["/", "/transactions", "/transaction/1/2", "/address", "/metrics", "/x%ff", "/docs/no"]
    {
        let refused = server.get(path).await;
        assert_eq!(refused.code(), "not_found", "{path}");
        assert_eq!(refused.json()["instance"], path);
    }
    for (method, path, allow) in [
        (Method::GET, "/transaction", "POST"),
        (Method::HEAD, "/transaction", "POST"),
        (Method::PUT, "/transaction", "POST"),
        (Method::POST, "/transaction/1", "GET,HEAD"),
        (Method::DELETE, "/address/x", "GET,HEAD"),
        (Method::OPTIONS, "/livez", "GET,HEAD"),
        (Method::POST, "/docs/", "GET,HEAD"),
    ] {
        let request = Request::builder().method(&method).uri(path).body(Body::empty());
        let refused = server.send(request.expect("a request")).await;
        assert_eq!(refused.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        assert_eq!(refused.header("allow"), Some(allow));
        if method == Method::HEAD {
            assert!(refused.body.is_empty());
        } else {
            assert_eq!(refused.code(), "method_not_allowed");
        }
    }
    for code in ["balance_below_min", "not_found"] {
        let page = server.get(&format!("/problems/{code}")).await;
        documented::<schema::Explanation>(&page);
        assert_eq!(page.json()["code"], code);
        let browser = Request::get(format!("/problems/{code}"))
            .header("accept", "text/html,application/xhtml+xml,*/*;q=0.8")
            .body(Body::empty());
        let shown = server.send(browser.expect("a request")).await;
        assert_eq!(shown.header("content-type"), Some("text/html; charset=utf-8"));
        let (shown, cure) = (String::from_utf8_lossy(&shown.body), page.json()["cure"].clone());
        assert!(shown.contains(code) && shown.contains(cure.as_str().expect("a text")), "{shown}");
    }
    assert_eq!(server.get("/problems/x").await.code(), "not_found");
}

#[tokio::test]
async fn forms_are_negotiated_before_anything_is_done() {
    let server = Deployment::new();
    let [alice, bob] = [1, 2].map(person);
    let send = async |header: &str, value: &str, n: u64| {
        let request = Request::post("/transaction").header(header, value);
        let body = Body::from(issue(alice, bob, "1", n));
        server.send(request.body(body).expect("a request")).await
    };
    for (header, value, code) in [
        ("accept", "text/html", "not_acceptable"),
        ("accept", "application/json;q=0", "not_acceptable"),
        ("content-type", "application/xml", "media_type"),
        ("content-type", "text/plain;charset=latin1", "media_type"),
        ("content-encoding", "gzip", "media_type"),
    ] {
        assert_eq!(send(header, value, 1).await.code(), code, "{header}: {value}");
    }
    for (n, header, value) in [
        (2, "accept", "*/*"),
        (3, "content-type", "application/json"),
        (4, "content-type", "text/plain;charset=UTF-8"),
        (5, "x-other", "1"),
    ] {
        assert_eq!(send(header, value, n).await.status, StatusCode::CREATED, "{header}: {value}");
    }
    for (header, values) in [
        ("content-type", ["application/json", "text/html"]),
        ("content-encoding", ["identity", "gzip"]),
    ] {
        let request = Request::post("/transaction").header(header, values[0]);
        let request = request.header(header, values[1]);
        let body = Body::from(issue(alice, bob, "1", 6));
        let twice = server.send(request.body(body).expect("a request")).await;
        assert_eq!(twice.code(), "media_type", "{header}: only the first of two was looked at");
    }
    let request = Request::post("/transaction?dry=1").body(Body::empty()).expect("a request");
    assert_eq!(server.send(request).await.code(), "parameter_invalid");
    // The refused ones cleared nothing.
    assert_eq!(server.get("/transaction/5").await.code(), "not_found");
    assert_eq!(server.get("/transaction/4").await.status, StatusCode::OK);
}

/// An example that is not so sends its reader the wrong way. Those of a listener's
/// other codes take more than one request, and are in tests of their own.
#[tokio::test]
async fn what_a_listener_refuses_is_refused_as_its_example_says() {
    let server = Deployment::new();
    let alice = person(1);
    server.post(issue(alice, person(2), "1", 1)).await;
    for (code, shown) in [
        ("not_found", ""),
        ("method_not_allowed", "GET,HEAD"),
        ("not_acceptable", ""),
        ("media_type", ""),
        ("parameter_invalid", "limit is a number from 1 to 1000"),
    ] {
        // METHOD PATH [with HEADER: VALUE | ...][: what the answer says].
        let page = server.get(&format!("/problems/{code}")).await.json();
        let example = page["example"].as_str().expect("a text").trim_end_matches('.');
        let (asked, rest) = example.split_once(": ").unwrap_or((example, ""));
        let asked = asked.replace("ADDRESS", &alice.address.to_string());
        let mut words = asked.split(' ');
        let mut word = || words.next().unwrap_or_default();
        let mut request = Request::builder().method(word()).uri(word());
        match word() {
            "with" => request = request.header(word(), rest),
            _ => assert!(rest.ends_with(shown), "{example}"),
        }
        let answer = server.send(request.body(Body::empty()).expect("a request")).await;
        assert_eq!(answer.code(), code, "{example}");
        let told = format!("{:?} {}", answer.header("allow"), answer.json()["detail"]);
        assert!(told.contains(shown), "{example}: {told}");
    }
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let server = Deployment::new();
    server.post(issue(person(1), person(2), "1", 1)).await;
    for path in ["/transaction/1", "/transaction/2", "/livez", "/openapi.json", "/docs/"] {
        let got = server.get(path).await;
        let request = Request::head(path).body(Body::empty()).expect("a request");
        let head = server.send(request).await;
        assert_eq!((head.status, head.body.len()), (got.status, 0), "{path}");
        assert_eq!(head.header("content-type"), got.header("content-type"));
        let length = got.body.len().to_string();
        assert_eq!(head.header("content-length"), Some(length.as_str()), "{path}");
    }
}

#[tokio::test]
async fn the_server_says_who_and_how_it_is() {
    let server = Deployment::new();
    let card = server.get("/.well-known/webwallet").await;
    documented::<schema::Server>(&card);
    let json = card.json();
    assert_eq!((&json["domain"], &json["rules"]), (&json!(DOMAIN), &json!("1")));
    assert_eq!(json["keys"], json!(["example.net+00000000+AAAA"]));
    assert_eq!(json["limits"]["body_bytes"], 131_072);
    assert_eq!(json["checkpoint"], standin::CHECKPOINT);

    assert_eq!(server.get("/livez").await.status, StatusCode::OK);
    let ready = server.get("/readyz").await;
    documented::<schema::Health>(&ready);
    assert!(ready.json().get("test_clock").is_none(), "only where there is one");
    for path in ["/livez", "/readyz", "/problems/malformed"] {
        assert_eq!(server.get(&format!("{path}?x=1")).await.code(), "parameter_invalid", "{path}");
    }
    for (call, missing) in [("status", "graphstore"), ("get", "hashtable")] {
        server.stores.fail(call, tonic::Code::Unavailable);
        let refused = server.get("/readyz").await;
        assert_eq!(refused.code(), "unavailable");
        assert!(refused.json()["detail"].as_str().is_some_and(|d| d.contains(missing)));
        server.stores.mend();
    }
    server.gateway.drain();
    assert_eq!(server.get("/readyz").await.code(), "unavailable");
    assert_eq!(server.get("/livez").await.status, StatusCode::OK);

    let strange = Deployment::of("example.org", Limits::default());
    let refused = strange.get("/readyz").await;
    assert!(refused.json()["detail"].as_str().is_some_and(|d| d.contains("domain")));
}

/// A number given while the stores disagree may have been given before: two
/// payments would bear it.
#[tokio::test]
async fn nothing_clears_while_the_stores_disagree_or_were_never_compared() {
    let [alice, bob] = [1, 2].map(person);
    let server = Deployment::new();
    *server.stores.read_only.lock().expect("lock") = Some("graphstore lags by 3".to_owned());
    let refused = server.post(issue(alice, bob, "10", 1)).await;
    assert_eq!(refused.code(), "read_only");
    assert!(refused.json()["detail"].as_str().is_some_and(|d| d.contains("lags by 3")));
    let ready = server.get("/readyz").await;
    assert_eq!(ready.code(), "unavailable");
    assert!(ready.json()["detail"].as_str().is_some_and(|d| d.contains("lags by 3")));

    let never = Deployment::new();
    never.stores.failing.lock().expect("lock").insert("blockstack", tonic::Code::Unavailable);
    assert_eq!(never.post(issue(alice, bob, "10", 1)).await.code(), "unavailable");
    assert!(never.stores.documents.lock().expect("lock").is_empty(), "nothing was stored");

    // A log that was there, and is restarted: payments go on.
    let server = Deployment::new();
    assert_eq!(server.get("/readyz").await.status, StatusCode::OK);
    server.stores.failing.lock().expect("lock").insert("blockstack", tonic::Code::Unavailable);
    assert_eq!(server.get("/readyz").await.code(), "unavailable");
    assert_eq!(server.post(issue(alice, bob, "10", 1)).await.status, StatusCode::CREATED);
    // But not over a Graphstore that went back meanwhile: Hashtable knows its numbers, until
    // it has given all of them again.
    server.stores.failing.lock().expect("lock").insert("put", tonic::Code::FailedPrecondition);
    assert_eq!(server.post(issue(alice, bob, "10", 2)).await.code(), "read_only");
    server.stores.failing.lock().expect("lock").remove("put");
    assert_eq!(server.post(issue(alice, bob, "10", 3)).await.code(), "read_only");
    server.stores.failing.lock().expect("lock").remove("blockstack");
    assert_eq!(server.get("/readyz").await.status, StatusCode::OK);
    assert_eq!(server.post(issue(alice, bob, "10", 3)).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn the_log_is_served_as_its_format_wants_it() {
    let server = Deployment::new();
    let newest = server.get("/checkpoint").await;
    assert_eq!((&newest.body[..], newest.status), (standin::CHECKPOINT.as_bytes(), StatusCode::OK));
    assert_eq!(newest.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(newest.header("cache-control"), Some("no-store"));
    for (path, form) in [
        ("/checkpoint/2", "text/plain; charset=utf-8"),
        ("/tile/0/000.p/2", "application/octet-stream"),
    ] {
        let fixed = server.get(path).await;
        assert_eq!((fixed.status, fixed.header("content-type")), (StatusCode::OK, Some(form)));
        assert!(fixed.header("cache-control").is_some_and(|c| c.contains("immutable")), "{path}");
        let tag = fixed.header("etag").expect("a tag").to_owned();
        let request = Request::get(path).header("if-none-match", tag);
        let held = server.send(request.body(Body::empty()).expect("a request")).await;
        assert_eq!((held.status, held.body.len()), (StatusCode::NOT_MODIFIED, 0));
    }
    let proof = server.get("/proof/inclusion?index=0&size=2").await;
    documented::<schema::Inclusion>(&proof);
    assert_eq!(proof.json()["path"], json!(["ab".repeat(32)]));
    for (path, code) in [
        ("/checkpoint/3", "not_found"),
        ("/checkpoint/x", "parameter_invalid"),
        ("/tile/nonsense", "parameter_invalid"),
        ("/tile/0/001", "not_found"),
        ("/proof/inclusion", "parameter_invalid"),
        ("/proof/inclusion?index=1&number=1", "parameter_invalid"),
        ("/proof/consistency?from=1", "parameter_invalid"),
        ("/proof/consistency?from=1&to=9", "not_found"),
        ("/block/7", "not_found"),
        ("/block/latest", "not_found"),
        ("/block/-1", "parameter_invalid"),
        ("/block/7/transactions", "not_found"),
        ("/stack/latest", "not_found"),
        ("/stack/x", "parameter_invalid"),
        ("/address/nobody/proof?counter=nobody", "parameter_invalid"),
        ("/unit/nobody/proof", "parameter_invalid"),
        ("/transaction/1/receipt", "not_found"),
    ] {
        assert_eq!(server.get(path).await.code(), code, "{path}");
    }
}

/// Whoever is told that what has cleared never did pays once more.
#[tokio::test]
async fn while_stores_disagree_nothing_is_said_to_be_absent() {
    let server = Deployment::new();
    let (name, unit) = ("0".repeat(64), person(1).address);
    let mut paths = vec![
        format!("/transaction/{name}"),
        format!("/iou/{name}"),
        format!("/address/{unit}/proof?counter={unit}"),
        format!("/address/{unit}/proof?counter={unit}&height=7"),
        format!("/unit/{unit}/proof"),
        format!("/unit/{unit}/proof?height=7"),
        format!("/block/{name}"),
    ];
    let others = [
        "/transaction/7",
        "/transaction/7/receipt",
        "/checkpoint/3",
        "/tile/0/001",
        "/proof/consistency?from=1&to=9",
        "/block/7",
        "/block/latest",
        "/block/7/transactions",
        "/stack/7",
        "/stack/latest",
    ];
    paths.extend(others.map(str::to_owned));
    for path in &paths {
        assert_eq!(server.get(path).await.code(), "not_found", "{path}");
    }
    let behind = Deployment::new();
    *behind.stores.read_only.lock().expect("lock") = Some("Graphstore is behind".into());
    for path in &paths {
        let answer = behind.get(path).await;
        assert_eq!((answer.code().as_str(), answer.status.as_u16()), ("read_only", 503), "{path}");
    }
}

/// Whoever is told an old balance has what he was paid since, as it seems, no more; or still has what he has spent.
#[tokio::test]
async fn while_stores_disagree_nothing_old_is_said_to_be_current() {
    let server = Deployment::new();
    let [alice, bob] = [1, 2].map(person);
    server.post(issue(alice, bob, "10", 1)).await;
    let (of, unit) = (bob.address, alice.address);
    let current = [
        format!("/address/{of}"),
        format!("/address/{of}?counter={unit}"),
        format!("/address/{of}/outputs/unspent?counter={unit}"),
        format!("/address/{of}/outputs/history?counter={unit}"),
        format!("/unit/{unit}"),
        format!("/unit/{unit}/holders"),
        "/events?after=1".to_owned(),
    ];
    for path in &current {
        assert_eq!(server.get(path).await.status, StatusCode::OK, "{path}");
    }
    *server.stores.read_only.lock().expect("lock") = Some("Graphstore is behind".into());
    // What the log has said is not taken for true any longer.
    assert_eq!(server.get("/readyz").await.code(), "unavailable");
    for path in &current {
        assert_eq!(server.get(path).await.code(), "read_only", "{path}");
    }
    // Nor is anybody sent away until a record is sealed, while nothing is.
    assert_eq!(server.get("/transaction/1/receipt").await.code(), "read_only");
    let stream = Request::get("/events").header("accept", "text/event-stream");
    let stream = server.send(stream.body(Body::empty()).expect("a request")).await;
    assert_eq!(stream.code(), "read_only");
    // What has cleared has cleared.
    for path in ["/events", "/transaction/1"] {
        assert_eq!(server.get(path).await.status, StatusCode::OK, "{path}");
    }
}

/// An old head that passes for the newest hides every payment after it; the true end of a
/// log is audited whatever else the stores disagree about.
#[tokio::test]
async fn an_older_checkpoint_is_not_said_to_be_the_newest() {
    let server = Deployment::new();
    let newest = ["/checkpoint", "/proof/inclusion?index=0"];
    let fixed = ["/checkpoint/2", "/proof/inclusion?index=0&size=2"];
    let intend = |height| *server.stores.intended.lock().expect("lock") = height;
    *server.stores.read_only.lock().expect("lock") = Some("the log is behind".into());
    for height in [None, Some(0)] {
        intend(height);
        for path in newest {
            assert_eq!(server.get(path).await.status, StatusCode::OK, "{path}");
        }
    }
    intend(Some(1));
    for path in newest {
        assert_eq!(server.get(path).await.code(), "read_only", "{path}");
    }
    for path in fixed {
        assert_eq!(server.get(path).await.status, StatusCode::OK, "{path}");
    }
    let card = server.get("/.well-known/webwallet").await;
    assert_eq!((card.status, card.json().get("checkpoint")), (StatusCode::OK, None));
}

/// The proof of a payment is its holder's, whatever Graphstore was put back from.
#[tokio::test]
async fn what_is_sealed_is_proven_though_graphstore_has_forgotten_it() {
    let server = Deployment::new();
    let [alice, bob] = [1, 2].map(person);
    let cleared = server.post(issue(alice, bob, "10", 1)).await;
    let by_hash = format!("{}/receipt", cleared.header("location").expect("a location"));
    let kept: Vec<_> = server.stores.documents.lock().expect("lock").keys().cloned().collect();
    let seal = |hash: Vec<u8>| {
        let text = "a receipt".to_owned();
        let receipt = Receipt { number: 1, hash: hash.into(), text, ..Receipt::default() };
        *server.stores.sealed.lock().expect("lock") = vec![receipt];
    };
    seal(kept[0].clone());
    *server.stores.books.lock().expect("lock") = Books::default();
    *server.stores.read_only.lock().expect("lock") = Some("Graphstore is behind".into());
    assert_eq!(server.get("/readyz").await.code(), "unavailable");
    for path in ["/transaction/1/receipt", &by_hash] {
        let receipt = server.get(path).await;
        assert_eq!((receipt.status, &receipt.body[..]), (StatusCode::OK, &b"a receipt"[..]));
    }
    assert_eq!(server.get("/transaction/2/receipt").await.code(), "read_only");
    // What is kept need not have cleared: the log has another record of that number.
    seal(vec![7; 32]);
    assert_eq!(server.get(&by_hash).await.code(), "read_only");
}

#[tokio::test]
async fn a_record_that_is_not_sealed_yet_says_so() {
    let server = Deployment::new();
    let [alice, bob] = [1, 2].map(person);
    let request = |wait: &str, body: Vec<u8>| {
        let request = Request::post("/transaction").header("prefer", wait);
        request.body(Body::from(body)).expect("a request")
    };
    let waited = server.send(request("respond-async, wait=1", issue(alice, bob, "10", 1))).await;
    assert_eq!(waited.status, StatusCode::CREATED);
    assert_eq!(waited.header("preference-applied"), Some("wait=1"));
    documented::<schema::ClearedAnswer>(&waited);
    assert!(waited.json().get("receipt").is_none());
    // A wish is no condition: a payment does not fail for it.
    for (n, wait, applied) in [
        (2, "wait=0", None),
        (3, "wait=soon", None),
        (4, "wait=3600", Some("wait=8")),
        (5, "handling=lenient;wait=1", None),
        (6, "handling=lenient;x=y, wait=1", Some("wait=1")),
    ] {
        let paid = server.send(request(wait, issue(alice, bob, "10", n))).await;
        assert_eq!(paid.status, StatusCode::CREATED, "{wait}");
        assert_eq!(paid.header("preference-applied"), applied, "{wait}");
    }
    // Nor because the server has less time than was wished for: it would be answered too late to say that it has cleared.
    for (request_timeout_ms, applied) in [(5_500, Some("wait=4")), (1_900, None)] {
        let hasty = Deployment::with(Limits { request_timeout_ms, ..Limits::default() });
        let paid = hasty.send(request("wait=8", issue(alice, bob, "10", 1))).await;
        assert_eq!(paid.status, StatusCode::CREATED);
        assert_eq!(paid.header("preference-applied"), applied, "{request_timeout_ms} ms");
    }
    let receipt = server.get("/transaction/1/receipt").await;
    // A cache must not give the JSON of one reader to another who wants the text.
    assert_eq!(receipt.header("vary"), Some("Accept"));
    assert_eq!((receipt.status, receipt.header("retry-after")), (StatusCode::ACCEPTED, Some("1")));
    documented::<schema::NotSealed>(&receipt);
    assert_eq!(server.get("/transaction/9/receipt").await.code(), "not_found");
}
