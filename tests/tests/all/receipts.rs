//! Receipts in the hands of who was paid, from servers that lie: they are kept for the day on which
//! nothing else is left.

use std::path::Path;

use webwallet_ledger::checkpoint::Checkpoint;
use webwallet_ledger::merkle::{Sha256, TreeHash as _};
use webwallet_ledger::note::verifier_key;
use webwallet_ledger::receipt::Receipt;
use webwallet_tests::party::{DOMAIN, issue, party};
use webwallet_tests::process::{Process, agent, get, post};

use crate::proofs::seal;
use crate::strangers::{Alice, CARD, path, said, stranger, with_two_records};

/// A receipt is kept for the day on which the server is gone: then it is too late to
/// find that it was none.
#[test]
fn only_the_receipt_that_was_asked_for_is_kept() {
    let data = tempfile::tempdir().expect("a folder");
    let server = with_two_records(&data.path().join("data"));
    let alice = Alice::new();
    let file = data.path().join("receipt");
    let receipt = |name: &str, url: &str, more: &[&str]| {
        let asked = ["receipt", name, "-o", path(&file), "--url", url];
        alice.run(&[&asked[..], more].concat())
    };
    assert!(receipt("1", &server.url(), &[]).status.success());
    let first = said(&std::fs::read(&file).expect("a receipt"));
    let hash =
        get(&agent(), &server.url(), "/transaction/1").json()["data"]["hash"]["value"].clone();
    let hash = hash.as_str().expect("a hash");
    assert!(receipt(hash, &server.url(), &["--json"]).status.success());
    assert!(receipt(hash, &server.url(), &[]).status.success());
    let ill = first.replace("\n\n", "\n\n\u{1b}[2K");
    // What no key could verify, and what is of another log.
    let index = first.lines().nth(2).expect("its index");
    let moved = first.replace(index, "index 0");
    let origin = first.replace("\n\nexample.net\n", "\n\nelsewhere.example\n");
    // Its name is that of the record, and with it went what everybody has signed.
    let record = Receipt::read(first.as_bytes()).expect("a receipt").record;
    let record = said(&record);
    let (named, _) = record.split_once(",\"meta\":").expect("a meta");
    let without_ious = of_one_leaf(&format!("{named},\"meta\":{{\"inputs\":[]}}}}"));
    let signature = record.split("\"string\":\"").nth(1).expect("a signature").split('"').next();
    let unsigned = of_one_leaf(&record.replace(signature.expect("a signature"), &"00".repeat(64)));
    // Who is shown one as a payment reads that nobody has signed it.
    let key = verifier_key(DOMAIN, &[7; 32]).to_string();
    for (leaf, is_a_payment) in
        [(&without_ious, false), (&unsigned, false), (&of_one_leaf(&record), true)]
    {
        let shown = data.path().join("shown");
        std::fs::write(&shown, leaf).expect("written");
        let verdict = alice.run(&["verify", path(&shown), "--key", &key]);
        assert!(said(&verdict.stdout).starts_with("valid: "), "{verdict:?}");
        assert_eq!(!said(&verdict.stderr).contains("no honest server"), is_a_payment, "{leaf}");
    }
    let lies = [
        ("1", String::new()),
        ("1", "cleared".to_owned()),
        ("2", first.clone()),
        ("1", ill),
        ("1", moved),
        ("1", origin),
        ("1", without_ious),
        ("1", unsigned),
    ];
    for (name, lie) in lies {
        assert_ne!((name, &lie), ("1", &first));
        let liar = stranger(move |path, _| match path {
            "/.well-known/webwallet" => (200, "application/json", CARD.to_owned()),
            _ => (200, "text/plain", lie.clone()),
        });
        let refused = receipt(name, &liar, &[]);
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        assert_eq!(said(&std::fs::read(&file).expect("still there")), first);
    }
}

/// A receipt of this record in a log of nothing else, which any key may sign.
fn of_one_leaf(record: &str) -> String {
    let (record, origin) = (record.as_bytes().to_vec(), DOMAIN.to_owned());
    let checkpoint = Checkpoint { origin, size: 1, root: Sha256::leaf(&record) }.sign(&[7; 32]);
    Receipt { record, index: 0, path: Vec::new(), checkpoint }.to_text()
}

/// Two signed heads of one size are the proof that a server shows everybody another history:
/// whoever holds the one must not lose it to the other.
#[test]
fn a_receipt_of_another_history_takes_the_place_of_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = folder.path().join("clock");
    std::fs::write(&clock, "2026-01-01T00:00:00.000Z").expect("a clock");
    let key = folder.path().join("key");
    let controls = ["--test-clock", path(&clock), "--seal", "manual"];
    let first = Process::all(&folder.path().join("first"), &controls);
    std::fs::copy(folder.path().join("first/log-key"), &key).expect("a key");
    let own = [&controls[..], &["--log-key", path(&key)]].concat();
    let second = Process::all(&folder.path().join("second"), &own);
    for (server, other) in [(&first, "two"), (&second, "another")] {
        for n in ["one", other] {
            let body = issue(&party("alice"), &party("bob"), "1", n);
            assert_eq!(post(&agent(), &server.url(), &body).expect("an answer").status, 201);
        }
        seal(server);
    }
    let (alice, file) = (Alice::new(), folder.path().join("receipt"));
    let receipt =
        |server: &Process| alice.run(&["receipt", "1", "-o", path(&file), "--url", &server.url()]);
    let held = || said(&std::fs::read(&file).expect("a receipt"));
    assert_eq!(receipt(&first).status.code(), Some(0));
    let kept = held();
    let refused = receipt(&second);
    assert_eq!((refused.status.code(), held()), (Some(2), kept.clone()), "{refused:?}");
    assert!(said(&refused.stderr).contains("two logs"), "{refused:?}");
    // Of the same history there is one.
    seal(&first);
    let again = receipt(&first);
    assert_eq!((again.status.code(), held()), (Some(0), kept.clone()), "{again:?}");
    // Under another head, although the same record is the same leaf there.
    let record = Receipt::read(kept.as_bytes()).expect("a receipt").record;
    std::fs::write(&file, of_one_leaf(&said(&record))).expect("written");
    let (held, refused) = (held(), receipt(&first));
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert_eq!(said(&std::fs::read(&file).expect("there")), held);
}

/// The receipt of a payment that a server has lost since, or denies, is the only proof of it: what
/// the server answers today under the same name must not take its place.
#[test]
fn a_receipt_takes_the_place_of_no_other_proof() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = folder.path().join("clock");
    std::fs::write(&clock, "2026-01-01T00:00:00.000Z").expect("a clock");
    let serve =
        |name: &str| Process::all(&folder.path().join(name), &["--test-clock", path(&clock)]);
    let (server, twin, other) = (serve("server"), serve("twin"), serve("other"));
    // The twin has the same record in a log of another key; the other one another record 1.
    for (server, n) in [(&server, "one"), (&twin, "one"), (&other, "another")] {
        let body = issue(&party("alice"), &party("bob"), "1", n);
        assert_eq!(post(&agent(), &server.url(), &body).expect("an answer").status, 201);
    }
    let alice = Alice::new();
    let file = folder.path().join("receipt");
    let key = server.line["key"].as_str().expect("a key").to_owned();
    let receipt =
        |name: &str, url: &str| alice.run(&["receipt", name, "-o", path(&file), "--url", url]);
    let held = || {
        let valid = alice.run(&["verify", path(&file), "--key", &key]);
        assert_eq!(valid.status.code(), Some(0), "{valid:?}");
        said(&std::fs::read(&file).expect("a receipt"))
    };
    assert!(receipt("1", &server.url()).status.success());
    let first = held();
    let hash = |server: &Process| {
        let record = get(&agent(), &server.url(), "/transaction/1").json();
        record["data"]["hash"]["value"].as_str().expect("a hash").to_owned()
    };
    let (ours, others) = (hash(&server), hash(&other));
    assert_eq!(ours, hash(&twin));
    let refused = receipt("1", &other.url());
    assert_eq!((refused.status.code(), held()), (Some(2), first.clone()), "{refused:?}");
    let told = said(&refused.stderr);
    assert!([&ours, &others].iter().all(|hash| told.contains(*hash)), "{told}");
    assert!(told.contains("name another file"), "{told}");
    let refused = receipt(&ours, &twin.url());
    assert_eq!((refused.status.code(), held()), (Some(2), first.clone()), "{refused:?}");
    assert!(said(&refused.stderr).contains("name another file"), "{refused:?}");
    // One whose signature is broken, from a server that names the right key.
    let (start, end) = first.trim_end().split_at(first.trim_end().len() - 6);
    let broken = format!("{start}{}\n", if end == "AAAA==" { "BBBB==" } else { "AAAA==" });
    let card = format!(r#"{{"domain":"example.net","keys":["{key}"]}}"#);
    let liar = stranger(move |path, _| match path {
        "/.well-known/webwallet" => (200, "application/json", card.clone()),
        _ => (200, "text/plain", broken.clone()),
    });
    let refused = receipt(&ours, &liar);
    assert_eq!((refused.status.code(), held()), (Some(2), first.clone()), "{refused:?}");
    // The same in another form is the same proof.
    let form = ["receipt", &ours, "-o", path(&file), "--url", &server.url(), "--json"];
    assert_eq!(alice.run(&form).status.code(), Some(0));
    assert!(held().starts_with('{'));
}

/// Whoever pays for goods on a server's word alone has nothing to show when it denies the payment
/// later, or shows others another log.
#[test]
fn a_payment_is_open_until_its_receipt_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let [server, twin] =
        ["server", "twin"].map(|name| Process::all(&folder.path().join(name), &[]));
    let key = server.line["key"].as_str().expect("a key");
    let (alice, bob) = (Alice::new(), party("bob").address.to_string());
    let file = folder.path().join("receipt");
    let pay = |url: &str, receipt: &Path| {
        let what = ["issue", "--from", "alice", "--to", &bob, "--amount", "1", "--url", url];
        alice.run(&[&what[..], &["--receipt", path(receipt), "--key", key]].concat())
    };
    // The twin clears, and its receipt is of a log that another key signs.
    let told = pay(&twin.url(), &file);
    assert_eq!(told.status.code(), Some(2), "{told:?}");
    assert!(!said(&told.stdout).contains("cleared") && !file.exists(), "{told:?}");
    let kept = alice.outbox();
    assert_eq!(kept.len(), 1, "{told:?}");
    let again = format!("--receipt {} --key {key}", path(&file));
    assert!(said(&told.stderr).contains(&again), "{told:?}");
    // Nor is it paid anew, and whoever asks for it asks for the receipt.
    let anew = pay(&server.url(), &file);
    assert_eq!(anew.status.code(), Some(2), "{anew:?}");
    assert!(said(&anew.stderr).contains(&again), "{anew:?}");
    let post = |url: &str| {
        let what = ["post", path(&kept[0]), "--url", url, "--receipt", path(&file), "--key", key];
        alice.run(&what)
    };
    let told = post(&twin.url());
    assert_eq!((told.status.code(), alice.outbox()), (Some(2), kept.clone()), "{told:?}");
    let done = post(&server.url());
    assert_eq!((done.status.code(), alice.outbox().len()), (Some(0), 0), "{done:?}");
    assert_eq!(alice.run(&["verify", path(&file), "--key", key]).status.code(), Some(0));
    // What is there already is known before anything is paid.
    let secret = folder.path().join("server/log-key");
    for taken in [&file, &secret, &folder.path().join("nowhere/receipt")] {
        let refused = pay(&server.url(), taken);
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        assert!(said(&refused.stderr).contains("nothing was sent"), "{refused:?}");
    }
    let next = get(&agent(), &server.url(), "/transaction/2").status;
    assert_eq!((next, alice.outbox().len()), (404, 0));
    let second = folder.path().join("second");
    assert_eq!(pay(&server.url(), &second).status.code(), Some(0));
    assert_eq!(alice.run(&["verify", path(&second), "--key", key]).status.code(), Some(0));
}
