//! Commands that a person types, as processes: what they print and the code
//! they end with. Scripts are built on both.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde_json::Value;
use webwallet_ledger::Code;
use webwallet_ledger::request::body_of;
use webwallet_tests::command::{done, json, run, text};
use webwallet_tests::party::{draft, party};
use webwallet_tests::process::{Process, agent, binary, post};

/// IOUs that other software signed, good ones and forged ones. A wallet that
/// judged them otherwise would refuse somebody's money, or take none for some.
#[test]
fn iou_verify_judges_every_vector() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join("iou-signatures.json");
    let vectors = std::fs::read(file).expect("the vectors");
    let cases = json(text(&vectors))["cases"].as_array().expect("cases").clone();
    let command =
        ["iou", "verify", "-", "--at", "2027-01-01T00:00:00.000Z", "--domain", "example.net"];
    let output = run(&[&command[..], &["--json"]].concat(), &vectors, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let verdicts: Vec<Value> = text(&output.stdout).lines().map(json).collect();
    assert_eq!((cases.len(), verdicts.len()), (58, 58));
    let valid = verdicts.iter().filter(|verdict| verdict["valid"] == true).count();
    println!("{valid} of {} vectors are valid", verdicts.len());
    assert_eq!(valid, 17);
    for (case, verdict) in cases.iter().zip(&verdicts) {
        let name = case["name"].as_str().expect("a name");
        assert_eq!(verdict["hash"], case["iou"]["hash"]["value"], "{name}");
        let code = verdict["code"].as_str().unwrap_or("valid");
        assert_eq!(verdict["valid"], code == "valid", "{name}");
        let expected: &[&str] = match name {
            // Good, but of another domain.
            "sample-0" | "sample-1" | "sample-2" | "ecdsa-unicode-and-escapes" => &["wrong_domain"],
            // Good by its signature, with fields that may not stand together.
            "ecdsa-all-fields" => &["malformed"],
            _ if case["strict"] == true => &["valid"],
            _ => {
                assert_ne!(code, "valid", "{name}");
                continue;
            }
        };
        assert!(expected.contains(&code), "{name}: {verdict}");
    }
    // For people: the same, in words.
    let output = run(&command, &vectors, &[]);
    assert_eq!(output.status.code(), Some(1));
    let valid = text(&output.stdout).lines().filter(|line| line.starts_with("valid ")).count();
    assert_eq!(valid, 17);
}

/// Whoever asks how much there is of a unit sees what was issued, and to whom.
#[test]
fn a_unit_its_holders_and_a_document_are_read_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Process::all(&folder.path().join("data"), &[]);
    let (url, home) = (server.url(), folder.path().join("home"));
    let at = [("WEBWALLET_URL", url.as_str()), ("WEBWALLET_HOME", home.to_str().expect("UTF-8"))];
    let webwallet = |arguments: &[&str]| {
        let output = run(arguments, b"", &at);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout).to_owned()
    };
    for name in ["alice", "bob", "carol"] {
        webwallet(&["key", "new", name]);
    }
    webwallet(&["issue", "--from", "alice", "--to", "bob", "--amount", "10"]);
    webwallet(&["issue", "--from", "alice", "--to", "carol", "--amount", "0.5", "--credit", "-7"]);
    let unit = json(&webwallet(&["unit", "alice", "--json"]))["data"].clone();
    let part = |name: &str| unit[name].as_str().expect("a text").to_owned();
    assert_eq!(["supply", "locked", "accounts", "credit"].map(part), ["10.5", "0", "3", "7"]);
    assert!(webwallet(&["unit", "alice"]).contains("10.5"));
    let mut nets = Vec::new();
    let mut more = String::new();
    loop {
        let mut page = vec!["unit", "alice", "--holders", "--json", "--limit", "1"];
        if !more.is_empty() {
            page.extend(["--cursor", &more]);
        }
        let page = json(&webwallet(&page))["data"].clone();
        nets.push(page["holders"][0]["balance"]["net"].as_str().expect("a net").to_owned());
        let Some(next) = page["next"].as_str() else { break };
        more = next.to_owned();
    }
    nets.sort();
    assert_eq!(nets, ["-10.5", "0.5", "10"]);
    // A cursor may begin with a hyphen; whether it is one, the server says.
    let output = run(&["unit", "alice", "--holders", "--cursor", "-no"], b"", &at);
    assert!(text(&output.stdout).contains("cursor"), "{}", text(&output.stderr));

    let data = r#"{"for":"bread"}"#;
    let name = webwallet_ledger::Hash::sha3(data.as_bytes());
    let hash = format!(r#"{{"steps":"stringify:data","types":"sha3-256","value":"{name}"}}"#);
    let document = format!(r#"{{"data":{data},"hash":{hash},"meta":{{}}}}"#);
    let file = folder.path().join("document.json");
    std::fs::write(&file, format!("{document}\n")).expect("written");
    let file = file.to_str().expect("UTF-8");
    for _ in 0..2 {
        assert_eq!(webwallet(&["document", "put", file]).trim_end(), document);
    }
    assert_eq!(webwallet(&["document", "get", &name.to_string()]).trim_end(), document);
    let unknown = run(&["document", "get", &"0".repeat(64)], b"", &at);
    assert_eq!(unknown.status.code(), Some(1));
}

/// The first thing a newcomer runs.
#[test]
fn demo_shows_everything_and_ends_well() {
    let begun = Instant::now();
    let shown = done(&["demo"]);
    println!("webwallet demo took {:.2} s", begun.elapsed().as_secs_f64());
    let curls =
        shown.lines().filter(|line| line.trim_start().starts_with("$ curl -s http")).count();
    assert!(curls >= 4, "{shown}");
    for part in ["201: ", "200, replayed: ", "422 balance_below_min", "carol", "sum       0"] {
        assert!(shown.contains(part), "{part:?} in:\n{shown}");
    }
}

/// A newcomer without a server would find no help, and a script take a typing mistake for success.
#[test]
fn what_explains_the_program_needs_nothing() {
    let script = done(&["completions", "bash"]);
    assert!(script.contains("complete -F _webwallet"), "{script}");
    assert!(done(&["man"]).starts_with(".ie"), "a page in roff");
    let settings = done(&["config", "show", "--json"]);
    assert!(settings.contains("body_bytes_in_flight_max") && settings.contains("domain"));
    settings.lines().for_each(|line| drop(json(line)));
    let listed = done(&["explain", "--json"]);
    let listed = listed.lines().map(|line| json(line)["code"].as_str().unwrap_or("").to_owned());
    let rejections = Code::ALL.iter().map(|code| code.as_str().to_owned());
    assert!(
        listed.take(Code::ALL.len()).eq(rejections),
        "every code of a rejection, in their order"
    );
    let explained = json(done(&["explain", "balance_below_min", "--json"]).trim_end());
    assert_eq!(
        (&explained["code"], &explained["status"]),
        (&"balance_below_min".into(), &422.into())
    );
    for member in ["title", "retry", "cause", "cure", "example"] {
        assert!(explained[member].as_str().is_some_and(|text| !text.is_empty()), "{explained}");
    }
    for wrong in [&["serve", "--no-such-flag"][..], &["no-such-command"]] {
        let output = run(wrong, b"", &[]);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        assert!(output.stdout.is_empty() && text(&output.stderr).contains("no-such-"), "{wrong:?}");
    }
}

/// A proxy would ask its own machine in place of this one; and whoever runs it would have the
/// operator's token.
#[test]
fn no_proxy_is_between_a_command_and_its_own_server() {
    let data = tempfile::tempdir().expect("a folder");
    let server = Process::all(&data.path().join("data"), &[]);
    let (url, admin) = (server.url(), server.line["admin"].as_str().expect("an address"));
    let admin = format!("http://{admin}");
    // Nobody answers there.
    let proxy = "http://127.0.0.1:1";
    let proxies = [("ALL_PROXY", proxy), ("HTTP_PROXY", proxy), ("NO_PROXY", "")];
    let code = |arguments: &[&str]| run(arguments, b"", &proxies).status.code();
    assert_eq!(code(&["health", "--url", &url]), Some(0));
    assert_eq!(code(&["seal", "--admin", &admin]), Some(0));
    assert_eq!(code(&["checkpoint", "--url", &url]), Some(0));
    assert_eq!(code(&["demo"]), Some(0));
    let audited = Command::new(binary().with_file_name("webwallet-audit"))
        .args([url.as_str(), "--key", server.line["key"].as_str().expect("a key")])
        .envs(proxies)
        .output()
        .expect("it runs");
    assert!(audited.status.success(), "{audited:?}");
    // An address that is not known to be of this machine, and leads to it.
    let [elsewhere, its_admin] = [&url, &admin].map(|url| url.replace("127.0.0.1", "0.0.0.0"));
    assert_eq!(code(&["checkpoint", "--url", &elsewhere]), Some(2), "the proxy is asked");
    assert_eq!(code(&["health", "--url", &elsewhere]), Some(0));
    // It is the server that answers: its operator must call it by a name of its own.
    assert_eq!(code(&["seal", "--admin", &its_admin]), Some(1));
}

/// Two addresses stand in the first line of a server; who takes the wrong one is told which is
/// right, and does not look for a command that seems to be gone.
#[test]
fn a_command_for_the_admin_listener_is_told_where_it_belongs() {
    let data = tempfile::tempdir().expect("a folder");
    let server = Process::all(&data.path().join("data"), &[]);
    for command in ["seal", "rotate-log-key"] {
        let refused = run(&[command, "--json", "--admin", &server.url()], b"", &[]);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        assert_eq!(json(text(&refused.stdout))["code"], "not_found");
        let told = text(&refused.stderr);
        assert!(told.contains("no admin listener") && told.contains("--admin"), "{told}");
        assert!(told.contains(&server.url()), "{told}");
    }
}

/// Who writes an address by heart is told which scheme it has, and not what a library made of
/// bytes that it did not expect.
#[test]
fn an_address_with_the_wrong_scheme_is_told_the_right_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = |name: &str| folder.path().join(name).display().to_string();
    let key = rcgen::KeyPair::generate().expect("a key");
    let names = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("parameters");
    let certificate = names.self_signed(&key).expect("a certificate");
    std::fs::write(place("cert"), certificate.pem()).expect("written");
    std::fs::write(place("key"), key.serialize_pem()).expect("written");
    let tls = ["--tls-cert", &place("cert"), "--tls-key", &place("key")];
    let plain = Process::all(&folder.path().join("plain"), &[]);
    let secret = Process::all(&folder.path().join("secret"), &tls);
    let admin = format!("http://{}", plain.line["admin"].as_str().expect("an address"));
    let https = |url: &str| url.replace("http://", "https://");
    for (url, admin, scheme) in
        [(https(&plain.url()), https(&admin), "http://"), (secret.url(), secret.url(), "https://")]
    {
        let commands: [&[&str]; 3] = [
            &["checkpoint", "--url", &url],
            &["events", "--url", &url],
            &["seal", "--admin", &admin],
        ];
        for command in commands {
            let failed = run(command, b"", &[]);
            assert_eq!(failed.status.code(), Some(2), "{command:?}: {failed:?}");
            let cure = format!("begin the address with {scheme}");
            assert!(text(&failed.stderr).contains(&cure), "{command:?}: {failed:?}");
        }
        let auditor = binary().with_file_name("webwallet-audit");
        let log_key = plain.line["key"].as_str().expect("a key");
        let failed = Command::new(auditor).args([&url, "--key", log_key]).output();
        let failed = failed.expect("it runs");
        let cure = format!("begin the address with {scheme}");
        assert!(text(&failed.stderr).contains(&cure), "{failed:?}");
    }
}

/// A refusal for each line of a request that was only written over many says nothing of what is
/// wrong; nor does one of a key that is right in what it stands in.
#[test]
fn a_batch_of_something_else_is_told_what_it_is() {
    let data = tempfile::tempdir().expect("a folder");
    let server = Process::all(&data.path().join("data"), &[]);
    let url = server.url();
    let (alice, bob) = (party("alice"), party("bob"));
    let iou = draft(&alice, &bob, &alice, "1", "one").sign(&alice.secret);
    let request: Value = json(text(&body_of([iou.as_slice()])));
    let pretty = serde_json::to_vec_pretty(&request).expect("JSON");
    let refused = run(&["batch", "-", "--url", &url], &pretty, &[]);
    assert_eq!((refused.status.code(), text(&refused.stdout)), (Some(2), ""), "{refused:?}");
    let told = text(&refused.stderr);
    assert!(told.contains("one whole request") && told.contains("jq -c"), "{told}");
    let refused = run(&["batch", "-", "--url", &url], &iou, &[]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(text(&refused.stdout).contains("this is an IOU"), "{refused:?}");
    // What is wrong in a request is named by its place.
    let wrong = text(&body_of([iou.as_slice()])).replace("\"amount\":", "\"amuont\":");
    let refused = run(&["batch", "-", "--url", &url], wrong.as_bytes(), &[]);
    assert!(text(&refused.stdout).contains(") at /data/inputs/0/data/amuont"), "{refused:?}");
    // An array may be written as one likes.
    let pretty = serde_json::to_vec_pretty(&[&request]).expect("JSON");
    let cleared = run(&["batch", "-", "--url", &url], &pretty, &[]);
    assert_eq!(cleared.status.code(), Some(0), "{cleared:?}");
}

/// A receipt that takes the place of something else may cost a key, or the only other proof.
#[test]
fn a_receipt_takes_the_place_of_no_other_file() {
    let home = tempfile::tempdir().expect("a folder");
    let variables = [("WEBWALLET_HOME", home.path().to_str().expect("UTF-8"))];
    assert!(run(&["key", "new", "alice"], b"", &variables).status.success());
    let data = tempfile::tempdir().expect("a folder");
    let server = Process::all(data.path(), &[]);
    let url = server.url();
    let bob = party("bob").address.to_string();
    for amount in ["1", "2"] {
        let pay = ["issue", "--from", "alice", "--to", &bob, "--amount", amount, "--url", &url];
        assert!(run(&pay, b"", &variables).status.success());
    }
    let code = |record: &str, file: &Path| {
        let file = file.to_str().expect("UTF-8");
        run(&["receipt", record, "-o", file, "--url", &url], b"", &variables).status.code()
    };
    let (key, proof) = (home.path().join("keys/alice.json"), home.path().join("proof"));
    let secret = std::fs::read(&key).expect("a key");
    assert_eq!((code("1", &key), std::fs::read(&key).expect("a key")), (Some(2), secret));
    assert_eq!(code("1", &proof), Some(0));
    let first = std::fs::read(&proof).expect("a receipt");
    assert_eq!((code("2", &proof), std::fs::read(&proof).expect("there")), (Some(2), first));
    assert_eq!(code("1", &proof), Some(0), "a newer one of the same record");
    // An operator who copies the address of the first line.
    let admin = server.line["admin"].as_str().expect("an address");
    assert!(run(&["seal", "--admin", admin], b"", &[]).status.success());
    // A backup that grows into itself ends with the disk that it was to outlive.
    let [inside, of] = [data.path().join("backup"), data.path().to_owned()];
    let of = ["--data", of.to_str().expect("UTF-8"), "--domain", "example.net"];
    let inside_of = [&["backup", inside.to_str().expect("UTF-8")], &of[..]].concat();
    let refused = run(&inside_of, b"", &[]);
    assert!(text(&refused.stderr).contains("name another folder"), "{refused:?}");
    assert!(!inside.exists());
}

/// Scripts go by the exit status, whether somebody reads or not.
#[test]
fn what_was_refused_is_refused_without_a_reader_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let forged = folder.path().join("forged.json");
    std::fs::write(&forged, "{}\n{}\n").expect("written");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let status = Command::new(binary())
        .args(["iou", "verify"])
        .arg(&forged)
        .stdout(writer)
        .status()
        .expect("it runs");
    assert_eq!(status.code(), Some(1));
    // And nothing is not valid.
    for nothing in ["", "[]", r#"{"data":{"inputs":[]}}"#] {
        let output = run(&["iou", "verify", "-"], nothing.as_bytes(), &[]);
        assert_eq!(output.status.code(), Some(2), "{nothing}: {}", text(&output.stdout));
        let told = text(&output.stderr);
        assert!(told.contains("no IOU in standard input") && told.contains("--offline"), "{told}");
    }
}

/// A key that cannot be used is no reason to lose sight of all others.
#[test]
fn keys_are_listed_beside_one_that_cannot_be_used() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = tempfile::tempdir().expect("a folder");
    let variables = [("WEBWALLET_HOME", home.path().to_str().expect("UTF-8"))];
    for name in ["alice", "bob"] {
        assert!(run(&["key", "new", name], b"", &variables).status.success());
    }
    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(home.path().join("keys/alice.json"), open).expect("changed");
    let listed = run(&["key", "list", "--json"], b"", &variables);
    assert_eq!(
        (listed.status.code(), &json(text(&listed.stdout))["name"]),
        (Some(0), &"bob".into())
    );
    assert!(text(&listed.stderr).contains("cannot use the key alice"), "{}", text(&listed.stderr));
}

/// Whoever is told that an IOU was used twice need not believe the server.
#[test]
fn a_conflict_is_verified_without_a_server() {
    let data = tempfile::tempdir().expect("a folder");
    let server = Process::all(data.path(), &[]);
    let (alice, bob) = (party("alice"), party("bob"));
    let iou = |note| draft(&alice, &bob, &alice, "1", note).sign(&alice.secret);
    let both = body_of([iou("a").as_slice(), iou("b").as_slice()]);
    assert_eq!(post(&agent(), &server.url(), &both).expect("an answer").status, 201);
    // Formatted as its sender likes; what was signed is the same.
    let half =
        String::from_utf8(body_of([iou("c").as_slice(), iou("a").as_slice()])).expect("UTF-8");
    let refused = post(&agent(), &server.url(), half.replace(",\"", " ,\n\"").as_bytes());
    let refused = refused.expect("an answer");
    assert_eq!((refused.status, refused.code().as_str()), (409, "iou_already_cleared"));
    server.kill();
    let verify = |refusal: &[u8]| {
        let output = run(&["verify-conflict", "-", "--json"], refusal, &[]);
        (output.status.code(), json(text(&output.stdout)))
    };
    let (code, verdict) = verify(&refused.body);
    assert_eq!((code, &verdict["valid"], &verdict["number"]), (Some(0), &true.into(), &"1".into()));
    let used = json(text(&iou("a")))["hash"]["value"].clone();
    assert_eq!(verdict["ious"], serde_json::json!([used]));
    let said = run(&["verify-conflict", "-"], &refused.body, &[]);
    assert!(
        text(&said.stdout).starts_with("confirmed: the request of record 1 "),
        "{}",
        text(&said.stdout)
    );
    // What somebody made up is not confirmed.
    let original = refused.json();
    let forged = |change: &dyn Fn(&mut Value)| {
        let mut refusal = original.clone();
        change(&mut refusal["conflict"]);
        verify(refusal.to_string().as_bytes())
    };
    let signature = "/data/inputs/1/meta/signatures/0/string";
    let forgeries: [&dyn Fn(&mut Value); 4] = [
        &|c| *c["sent"].pointer_mut(signature).expect("there") = "00".repeat(64).into(),
        &|c| drop(c["sent"]["data"]["inputs"].as_array_mut().expect("inputs").pop()),
        &|c| c["cleared"]["data"]["number"] = "2".into(),
        &|c| c["sent"]["data"]["inputs"] = c["cleared"]["meta"]["inputs"].clone(),
    ];
    for (n, forgery) in forgeries.into_iter().enumerate() {
        let (code, verdict) = forged(forgery);
        assert_eq!((code, &verdict["valid"]), (Some(1), &false.into()), "forgery {n}");
    }
}
