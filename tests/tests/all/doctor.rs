//! An operator who is told that all is well, and whose server then does not start; or whose
//! running server a mere look brings down.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::Value;
use webwallet_tests::deployment::{Deployment, on_every_engine};
use webwallet_tests::process::{Process, agent, binary, get};

use crate::proofs::{live, seal, text};

const ADMIN: [&str; 2] = ["--admin", "127.0.0.1:0"];
const ANYWHERE: [&str; 2] = ["--listen", "127.0.0.1:0"];

/// Its exit status, and a line for each part and for the whole.
fn doctor(stores: &Deployment<'_>, more: &[&str]) -> (Option<i32>, Vec<Value>) {
    let arguments = [&["doctor", "--json"], &ADMIN[..], more].concat();
    let output = stores.command(&arguments).output().expect("it runs");
    println!("{more:?}: {}{}", text(&output.stdout), text(&output.stderr));
    let lines = text(&output.stdout).lines();
    (output.status.code(), lines.map(|line| serde_json::from_str(line).expect("JSON")).collect())
}

/// The verdict on one part, and its reason.
fn of<'a>(lines: &'a [Value], part: &str) -> (&'a str, &'a str) {
    let line = lines.iter().find(|line| line["part"] == part);
    let line = line.unwrap_or_else(|| panic!("nothing is said of {part}: {lines:?}"));
    (line["verdict"].as_str().expect("a verdict"), line["detail"].as_str().expect("a reason"))
}

#[test]
fn a_machine_that_is_fit_is_found_so_and_is_left_as_it_was() {
    on_every_engine(|stores| {
        let (code, lines) = doctor(stores, &ANYWHERE);
        assert_eq!(code, Some(0), "{lines:?}");
        assert!(!stores.data().exists(), "nothing is made");
        let server = stores.serve(&["--seal", "manual"]);
        live(&server.url(), 0, 2);
        seal(&server);
        let address = server.line["listen"].as_str().expect("an address");
        let (code, lines) = doctor(stores, &["--listen", address]);
        assert_eq!(code, Some(0), "{lines:?}");
        let (verdict, detail) = of(&lines, "listen");
        assert!(verdict == "good" && detail.contains("by the server"), "{detail}");
        assert_eq!(lines.last().expect("a summary")["result"], "fit");
        // Nobody was deposed.
        live(&server.url(), 2, 2);
        assert_eq!(server.terminate(), Some(0));
    });
}

#[test]
fn what_would_stop_a_server_is_found_before_it_is_started() {
    let stores = Deployment::embedded();
    let wrong = |stores: &Deployment<'_>, more: &[&str], part: &str, why: &str| {
        let (code, lines) = doctor(stores, more);
        let (verdict, detail) = of(&lines, part);
        assert!(code == Some(1) && verdict == "wrong" && detail.contains(why), "{lines:?}");
        assert_eq!(lines.last().expect("a summary")["result"], "unfit");
    };
    let anywhere = |more: &[&'static str]| [&ANYWHERE[..], more].concat();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    wrong(&stores, &["--listen", &address], "listen", "is taken, and no server is ready");
    // Ports that nobody listens on, and one that is no engine.
    wrong(&stores, &anywhere(&["--redis", "redis://127.0.0.1:1"]), "redis", "does not answer");
    wrong(&stores, &anywhere(&["--neo4j", "bolt://127.0.0.1:1"]), "neo4j", "does not answer");
    // Everybody who reads what is said there would read the password, too.
    for (part, address) in
        [("redis", "redis://:S3CRET@127.0.0.1:1"), ("neo4j", "bolt://neo4j:S3CRET@127.0.0.1:1")]
    {
        let flag = format!("--{part}");
        let more = [&ANYWHERE[..], &[&flag, address]].concat();
        wrong(&stores, &more, part, "must not hold a password");
        let (_, lines) = doctor(&stores, &more);
        assert!(!format!("{lines:?}").contains("S3CRET"), "{lines:?}");
    }
    wrong(&stores, &["--seal", "manual", "--listen", "0.0.0.0:0"], "settings", "loopback");
    let kept = ["--role", "graphstore", "--hashtable", "http://127.0.0.1:1"];
    wrong(&stores, &anywhere(&kept), "hashtable", "http://127.0.0.1:1");

    let settle = |folder: &Path, file: &str, text: &str| {
        fs::create_dir_all(folder).expect("made");
        fs::write(folder.join(file), text).expect("written");
    };
    settle(&stores.data(), "holiday.jpg", "x");
    wrong(&stores, &ANYWHERE, "data", "not a data directory of WebWallet");
    settle(&stores.data(), "version", r#"{"format":1,"domain":"example.com"}"#);
    wrong(&stores, &ANYWHERE, "data", "belongs to the domain example.com");
    settle(&stores.data(), "restoring", "");
    settle(&stores.data(), "version", r#"{"format":2,"domain":"example.net"}"#);
    wrong(&stores, &ANYWHERE, "data", "a restore into");
    settle(&stores.data(), "log-key", "no key");
    wrong(&stores, &ANYWHERE, "log-key", "is not a signed-note private key");
    // One port for both listeners.
    drop(taken);
    let both = ["doctor", "--json", "--listen", &address, "--admin", &address];
    let output = stores.command(&both).output();
    let said = output.expect("it runs").stdout;
    assert!(text(&said).contains("each listener needs a port of its own"), "{}", text(&said));
    let file = stores.folder().join("file");
    fs::write(&file, "").expect("written");
    let on_a_file = ["--data", file.to_str().expect("UTF-8")];
    let mut command = Command::new(binary());
    command.arg("doctor").args(ANYWHERE).args(ADMIN).args(on_a_file);
    let output = command.output().expect("it runs");
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
}

/// A key made in the place of a lost one is taken for the log's, and the next backup has that one.
#[test]
fn a_log_key_that_is_lost_is_missed_and_not_made_anew() {
    let stores = Deployment::embedded();
    let server = stores.serve(&["--seal", "manual"]);
    live(&server.url(), 0, 2);
    seal(&server);
    assert_eq!(server.terminate(), Some(0));
    let key = stores.data().join("log-key");
    fs::rename(&key, stores.folder().join("kept")).expect("moved");
    let lost = || {
        let (code, lines) = doctor(&stores, &ANYWHERE);
        let (verdict, detail) = of(&lines, "log-key");
        assert_eq!((code, verdict), (Some(1), "wrong"), "{detail}");
    };
    lost();
    // What is sealed is served all the same.
    let server = stores.serve(&["--seal", "manual"]);
    let agent = agent();
    assert_eq!(get(&agent, &server.url(), "/transaction/1").status, 200);
    for path in ["/readyz", "/address/nobody"] {
        let answer = get(&agent, &server.url(), path);
        let folder = stores.folder().display().to_string();
        assert!(!text(&answer.body).contains(&folder), "{path}: {}", text(&answer.body));
    }
    assert_eq!(server.terminate(), Some(0));
    lost();
    fs::rename(stores.folder().join("kept"), &key).expect("moved");
    let server = stores.serve(&["--seal", "manual"]);
    live(&server.url(), 2, 1);
    seal(&server);
    assert_eq!(server.terminate(), Some(0));
    // With it went the log, so that Graphstore alone knows that there was one.
    fs::rename(&key, stores.folder().join("kept")).expect("moved");
    fs::rename(stores.data().join("log"), stores.folder().join("log")).expect("moved");
    let server = stores.serve(&["--seal", "manual"]);
    let ready = get(&agent, &server.url(), "/readyz").status;
    assert_eq!((&server.line["key"], ready), (&Value::Null, 503));
    assert_eq!(server.terminate(), Some(0));
    assert!(!key.exists(), "another key signs the next log");
    fs::rename(stores.folder().join("kept"), &key).expect("moved");
    let server = stores.serve(&["--seal", "manual"]);
    live(&server.url(), 3, 1);
    assert_eq!(server.terminate(), Some(0));
}

/// A key that others may read, or a certificate that is over, would first be noticed by strangers.
#[test]
fn what_an_operator_would_be_sorry_for_is_said() {
    let stores = Deployment::embedded();
    let (code, lines) = doctor(&stores, &["--listen", "0.0.0.0:0"]);
    let doubts = lines.iter().filter(|line| line["part"] == "exposure").count();
    assert_eq!((code, doubts), (Some(0), 2), "no TLS, no limits: {lines:?}");

    let key = KeyPair::generate().expect("a key");
    let place = |name: &str| stores.folder().join(name);
    fs::write(place("key"), key.serialize_pem()).expect("written");
    let verdict = |since: i32, until: i32, mode: u32| {
        let mut params = CertificateParams::new(["localhost".to_owned()]).expect("parameters");
        params.not_before = date_time_ymd(since, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let certificate = params.self_signed(&key).expect("a certificate");
        fs::write(place("certificate"), certificate.pem()).expect("written");
        fs::set_permissions(place("key"), Permissions::from_mode(mode)).expect("set");
        let [cert, key] = ["certificate", "key"].map(|name| place(name).display().to_string());
        let tls = ["--tls-cert", &cert, "--tls-key", &key];
        let (code, lines) = doctor(&stores, &[&ANYWHERE[..], &tls].concat());
        let of = |part| of(&lines, part).0.to_owned();
        (code, of("certificate"), of("secret"))
    };
    assert_eq!(verdict(2020, 2100, 0o600), (Some(0), "good".into(), "good".into()));
    assert_eq!(verdict(2020, 2100, 0o644), (Some(0), "good".into(), "doubtful".into()));
    assert_eq!(verdict(2090, 2100, 0o600), (Some(1), "wrong".into(), "good".into()));
    assert_eq!(verdict(2010, 2020, 0o600), (Some(1), "wrong".into(), "good".into()));
    // Who starts a server with it sees no error, and nobody speaks to it.
    let [cert, key] = ["certificate", "key"].map(|name| place(name).display().to_string());
    let log = place("stderr");
    let mut command = Command::new(binary());
    command.stderr(fs::File::create(&log).expect("made"));
    let data = stores.data().display().to_string();
    let tls = ["--tls-cert", &cert, "--tls-key", &key, "--data", &data];
    let server = Process::start_by(command, &[&ADMIN[..], &tls].concat());
    // By which of its names it is asked, is for its operator to say.
    let at = ["--listen", server.line["listen"].as_str().expect("an address")];
    let (_, lines) = doctor(&stores, &[&at[..], &tls[..4]].concat());
    let (verdict, detail) = of(&lines, "listen");
    assert!(verdict == "doubtful" && detail.contains("webwallet health --url"), "{detail}");
    assert_eq!(server.terminate(), Some(0));
    // A stranger on the port shows none, and a server would not start.
    let stranger = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = stranger.local_addr().expect("an address").to_string();
    std::thread::spawn(move || stranger.incoming().for_each(drop));
    let (code, lines) = doctor(&stores, &[&["--listen", &at], &tls[..4]].concat());
    assert_eq!((code, of(&lines, "listen").0), (Some(1), "wrong"), "{lines:?}");
    let said = fs::read_to_string(&log).expect("read");
    assert!(said.contains("since 2020-01-01"), "{said}");

    // The clock went back behind the last block.
    let server = stores.serve(&["--seal", "manual"]);
    live(&server.url(), 0, 1);
    seal(&server);
    assert_eq!(server.terminate(), Some(0));
    fs::write(place("clock"), "2020-01-01T00:00:00Z").expect("written");
    let clock = place("clock").display().to_string();
    let (code, lines) = doctor(&stores, &[&ANYWHERE[..], &["--test-clock", &clock]].concat());
    assert_eq!((code, of(&lines, "clock").0), (Some(1), "wrong"), "{lines:?}");
}
