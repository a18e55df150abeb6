//! Terms that somebody offers, accepts, keeps or removes. What cannot be taken is not locked
//! for, and what somebody has locked is not lost with a file.

use std::path::Path;

use serde_json::{Value, json};
use webwallet_ledger::lock::puzzle_of;

use super::{PREIMAGE, Swap, from_now, moved, pair};

/// What nobody can accept is locked for nothing until its time is over.
#[test]
fn what_cannot_be_taken_is_not_offered() {
    let swap = Swap::new();
    for take in ["abc", "1e3", "-1", "07", " 7", "0", "0.0", "7,5", &"9".repeat(61)] {
        let mut offer = swap.offer(&swap.long, &swap.short);
        let at = 1 + offer.iter().position(|word| word == "--take").expect("a flag");
        offer[at] = take.to_owned();
        let offer: Vec<&str> = offer.iter().map(String::as_str).collect();
        let output = swap.command("alice", &swap.ours, &offer).output().expect("it runs");
        let told = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(2), "{take}: {told}");
        assert!(told.contains("--take") && told.contains(take), "{take}: {told}");
        assert!(!Path::new(&swap.terms()).exists(), "{take}");
    }
    assert!(!swap.folder.path().join("alice/outbox").exists());
}

/// Terms that are no good keep nobody from their own.
#[test]
fn ones_own_is_had_back_whatever_else_the_terms_say() {
    let swap = Swap::new();
    swap.alice_offers();
    let written = std::fs::read_to_string(swap.terms()).expect("terms");
    let mut terms: Value = serde_json::from_str(&written).expect("JSON");
    terms["second"]["amount"] = json!("7,5");
    terms["second"]["until"] = terms["first"]["until"].clone();
    std::fs::write(swap.terms(), terms.to_string()).expect("written");
    swap.set_time(&swap.long);
    swap.does("alice", "refund");
    assert_eq!(swap.held(), pair("0", "0"));
}

/// Whoever shows the preimage of a hash takes everything that is locked under it, and gives once:
/// terms that are changed and sent again must not be locked for as well.
#[test]
fn other_terms_of_one_hash_are_not_locked_for() {
    let swap = Swap::new();
    swap.alice_offers();
    swap.does("bob", "accept");
    let written = std::fs::read_to_string(swap.terms()).expect("terms");
    let accept = |terms: &Value| {
        std::fs::write(swap.terms(), terms.to_string()).expect("written");
        let accept = ["swap", "accept", &swap.terms(), "--with", "bob"];
        let output = swap.command("bob", &swap.ours, &accept).output().expect("it runs");
        (output.status.code(), String::from_utf8(output.stderr).expect("UTF-8"))
    };
    let whole: Value = serde_json::from_str(&written).expect("JSON");
    let mut more = whole.clone();
    more["second"]["amount"] = json!("8");
    let (code, told) = accept(&more);
    assert!(code == Some(2) && told.contains("for other terms"), "{told}");
    // The same once more is the same lock.
    assert_eq!(accept(&whole).0, Some(0));
    // A user before an `@` reads as another server than the one that is asked.
    let mut other = whole.clone();
    let url = swap.ours.process.url().replace("http://", "http://ours.example:443@");
    other["first"]["url"] = json!(url);
    let (code, told) = accept(&other);
    assert!(code == Some(2) && told.contains("holds a user"), "{told}");
    std::fs::write(swap.terms(), written).expect("written");
    swap.does("alice", "claim");
    swap.does("bob", "claim");
    assert_eq!(swap.held(), pair("7", "5"));
}

/// What is left of an offer that ended before it was sent is in the way of the next; what may
/// stand by terms of an offer is lost with them.
#[test]
fn terms_of_an_offer_that_was_never_sent_may_be_removed() {
    let swap = Swap::new();
    let offer = || {
        let offer = swap.offer(&swap.long, &swap.short);
        let arguments: Vec<&str> = offer.iter().map(String::as_str).collect();
        let output = swap.command("alice", &swap.ours, &arguments).output().expect("it runs");
        (output.status.code(), String::from_utf8(output.stderr).expect("UTF-8"))
    };
    let is_told = |part: &str| {
        let (code, told) = offer();
        assert_eq!(code, Some(2), "{told}");
        assert!(told.contains("swap.json") && told.contains(part), "{part}: {told}");
    };
    std::fs::write(swap.terms(), "").expect("written");
    is_told("holds no terms of a swap: name another file, or remove it");
    std::fs::remove_file(swap.terms()).expect("removed");
    swap.alice_offers();
    is_told("an offer may stand by it");

    let written = std::fs::read_to_string(swap.terms()).expect("terms");
    let mut terms: Value = serde_json::from_str(&written).expect("JSON");
    let hash = puzzle_of(&format!("0x{PREIMAGE}")).to_string();
    terms["hash"] = json!(hash);
    std::fs::write(swap.terms(), terms.to_string()).expect("written");
    // Another's, perhaps, who has sent it.
    is_told("an offer may stand by it");
    let kept = swap.folder.path().join("alice/swaps").join(format!("{hash}.json"));
    std::fs::write(kept, json!({"preimage": format!("0x{PREIMAGE}")}).to_string()).expect("kept");
    is_told("of an offer that ended before anything was locked: remove it");
}

/// Terms that say more than is there, or leave no time, are not accepted.
#[test]
fn bob_accepts_only_what_is_there() {
    let swap = Swap::new();
    swap.alice_offers();
    let written = std::fs::read_to_string(swap.terms()).expect("terms");
    let terms: Value = serde_json::from_str(&written).expect("JSON");
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut terms = terms.clone();
        change(&mut terms);
        std::fs::write(swap.terms(), terms.to_string()).expect("written");
    };
    let lies: [(&str, Value); 3] = [
        ("amount", json!("6")),
        ("unit", json!(swap.address("bob"))),
        ("until", json!(moved(&swap.long, 1))),
    ];
    for (field, lie) in lies {
        changed(&|terms| terms["first"][field] = lie.clone());
        assert_eq!(swap.is_refused("bob", "accept").0, "lock_not_found", "{field}");
    }
    // Another hash than that of the lock: what alice shows would open nothing.
    changed(&|terms| terms["hash"] = json!("00".repeat(32)));
    assert_eq!(swap.is_refused("bob", "accept").0, "lock_not_found");
    let nonsense: [(&str, &str, Value); 4] = [
        ("second", "until", json!(moved(&swap.long, 1 - 600_000))),
        ("second", "url", json!(swap.ours.process.url())),
        ("second", "target", json!(swap.address("bob"))),
        ("first", "amount", json!("-5")),
    ];
    for (leg, field, value) in nonsense {
        changed(&|terms| terms[leg][field] = value.clone());
        let arguments = ["swap", "accept", &swap.terms(), "--with", "bob"];
        let output = swap.command("bob", &swap.ours, &arguments).output().expect("it runs");
        assert_eq!(output.status.code(), Some(2), "{leg} {field}");
    }
    std::fs::write(swap.terms(), &written).expect("written");
    assert_eq!(swap.states(), pair("open", "none"));
    // An offer is not written over, and one that leaves no time is not made.
    let (short, long) = (swap.short.as_str(), swap.long.as_str());
    for (until, their_until) in [(long, short), (short, long), (long, "2020-01-01T00:00:00.000Z")] {
        let offer = swap.offer(until, their_until);
        let arguments: Vec<&str> = offer.iter().map(String::as_str).collect();
        let output = swap.command("alice", &swap.ours, &arguments).output().expect("it runs");
        assert_eq!(output.status.code(), Some(2), "{until} {their_until}");
    }
    assert_eq!(std::fs::read_to_string(swap.terms()).expect("terms"), written);
}

/// Terms of an offer that was never made would have the other lock for nothing; those of
/// one that may still be made are needed.
#[test]
fn terms_are_kept_only_of_an_offer_that_may_stand() {
    let swap = Swap::new();
    let bob = swap.address("bob");
    let offer = |more: &[&str]| {
        let offer = swap.offer(&swap.long, &swap.short);
        let arguments: Vec<&str> = offer.iter().map(String::as_str).chain(more.to_vec()).collect();
        let output = swap.command("alice", &swap.ours, &arguments).output().expect("it runs");
        (output.status.code(), String::from_utf8(output.stderr).expect("UTF-8"))
    };
    // She has nothing of that unit. When her lock ends, the terms say, and no flag.
    let (code, told) = offer(&["--unit", &bob]);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("stays good until") && !told.contains("--expiry"), "{told}");
    assert!(!Path::new(&swap.terms()).exists());
    // The server has seen it, and what clears one day is had back by its terms.
    let kept = std::fs::read_dir(swap.folder.path().join("alice/swaps")).expect("a folder");
    let kept = kept.map(|file| file.expect("a file").path().display().to_string());
    let kept: Vec<String> = kept.filter(|file| file.ends_with(".terms.json")).collect();
    let [terms] = &kept[..] else { panic!("{kept:?}") };
    assert!(told.contains(terms), "{told}");
    // The other party would read her password in them.
    let secret = swap.ours.process.url().replace("http://", "http://alice:secret@");
    assert_eq!(offer(&["--url", &secret]).0, Some(2));
    assert!(!Path::new(&swap.terms()).exists());
    // Nobody knows what became of it: the server takes it, and does not answer.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut request = String::new();
            // Whoever is answered before the end of what they send may not hear it.
            while !request.ends_with(if request.starts_with("GET") { "\r\n\r\n" } else { "]}}" }) {
                let mut some = [0; 4_096];
                let length = stream.read(&mut some).expect("a request");
                assert!(length > 0, "it is cut off: {request}");
                request.push_str(std::str::from_utf8(&some[..length]).expect("UTF-8"));
            }
            let expired =
                json!({"code": "expired", "retry": "rebuild", "actual": from_now(0).to_string()});
            let (status, kind, body) = match request.as_str() {
                get if get.starts_with("GET /.well-known") => {
                    ("200 OK", "application/json", json!({"domain": "ours.example"}))
                }
                // What time is it?
                dry if dry.starts_with("POST /transaction?dry_run") => {
                    ("422 No", "application/problem+json", expired)
                }
                _ => continue,
            };
            let body = body.to_string();
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
            );
            stream.write_all(answer.as_bytes()).expect("answered");
        }
    });
    assert_eq!(offer(&["--url", &silent]).0, Some(2));
    assert!(Path::new(&swap.terms()).exists());
    // Offered anew, it would be locked twice; and the terms of the first would be lost.
    for (more, hint) in [(&[][..], "--once-more"), (&["--once-more"], "webwallet swap show ")] {
        let (code, told) = offer(more);
        assert_eq!(code, Some(2), "{told}");
        assert!(told.contains(hint), "{told}");
    }
    std::fs::remove_file(swap.terms()).expect("removed");
    assert_eq!(offer(&["--once-more"]).0, Some(0));
}

/// A preimage of no offer cannot be told from one that is money.
#[test]
fn an_offer_that_was_not_sent_leaves_nothing() {
    let swap = Swap::new();
    let alice = swap.folder.path().join("alice");
    let offer = || {
        let offer = swap.offer(&swap.long, &swap.short);
        let arguments = offer.iter().map(String::as_str).chain(["--once-more"]);
        let arguments: Vec<&str> = arguments.collect();
        let output = swap.command("alice", &swap.ours, &arguments).output().expect("it runs");
        let kept = std::fs::read_dir(alice.join("swaps")).map_or(0, |files| files.count());
        (output.status.code(), kept)
    };
    // What cannot be kept is not sent.
    std::fs::write(alice.join("outbox"), "").expect("written");
    assert_eq!(offer(), (Some(2), 0));
    assert!(!Path::new(&swap.terms()).exists());
    std::fs::remove_file(alice.join("outbox")).expect("removed");
    std::fs::write(swap.terms(), "of another").expect("written");
    assert_eq!(offer(), (Some(2), 0));
    std::fs::remove_file(swap.terms()).expect("removed");
    // Its preimage and its terms.
    assert_eq!(offer(), (Some(0), 2));
}
