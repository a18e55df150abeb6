//! A whole deployment that speaks nothing in the clear: certificates between the
//! services, and one for those who pay.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use webwallet_tests::party::{DOMAIN, issue, party};
use webwallet_tests::process::{Process, agent, binary, get, post};

/// A CA of an operator, as files.
struct Ca {
    folder: PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Ca {
    fn new(folder: PathBuf) -> Ca {
        std::fs::create_dir_all(&folder).expect("a folder");
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a CA");
        std::fs::write(folder.join("ca.pem"), issuer.pem()).expect("written");
        Ca { folder, issuer }
    }

    /// The flags of a process with a certificate of ours, believing this CA.
    fn flags(&self, believed: &Ca) -> Vec<String> {
        let key = KeyPair::generate().expect("a key");
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let params = CertificateParams::new(names).expect("names");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        std::fs::write(self.folder.join("own.pem"), certificate.pem()).expect("written");
        std::fs::write(self.folder.join("own.key"), key.serialize_pem()).expect("written");
        let text = |path: PathBuf| path.to_str().expect("UTF-8").to_owned();
        let flag = |name: &str, file: PathBuf| [name.to_owned(), text(file)];
        [
            flag("--tls-cert", self.folder.join("own.pem")),
            flag("--tls-key", self.folder.join("own.key")),
            flag("--tls-ca", believed.folder.join("ca.pem")),
        ]
        .concat()
    }
}

fn start(arguments: &[&str], tls: &[String]) -> Process {
    let tls: Vec<&str> = tls.iter().map(String::as_str).collect();
    Process::start(&[arguments, &tls].concat())
}

fn health(arguments: &[&str], tls: &[String]) -> Option<i32> {
    let mut command = Command::new(binary());
    command.arg("health").args(arguments).args(tls);
    command.output().expect("it runs").status.code()
}

fn store(role: &str, data: &Path, more: &[&str], tls: &[String]) -> (Process, String) {
    let data = data.join(role);
    let own = ["--role", role, "--data", data.to_str().expect("UTF-8")];
    let process = start(&[&own[..], more].concat(), tls);
    let url = process.url().replace("http://", "https://");
    (process, url)
}

/// A stranger with a certificate of his own making could clear whatever he likes.
#[test]
fn certificates_take_the_place_of_the_token_and_the_public_gets_https() {
    let folder = tempfile::tempdir().expect("a folder");
    let ours = Ca::new(folder.path().join("ours"));
    let foreign = Ca::new(folder.path().join("foreign"));
    let tls = ours.flags(&ours);
    let (_hashtable, hashtable) = store("hashtable", folder.path(), &[], &tls);
    let beside = ["--hashtable", &hashtable];
    let (_graphstore, graphstore) = store("graphstore", folder.path(), &beside, &tls);
    let stores = ["--hashtable", &hashtable, "--graphstore", &graphstore];
    let log = folder.path().join("blockstack");
    let sealing = ["--role", "blockstack", "--data", log.to_str().expect("UTF-8")];
    let sealing = start(&[sealing, stores].concat(), &tls);
    let blockstack = sealing.url().replace("http://", "https://");
    let gateway = ["--role", "gateway", "--admin", "127.0.0.1:0", "--blockstack", &blockstack];
    let gateway = [&gateway[..], &stores[..]].concat();

    // Somebody with a certificate of his own is a stranger to our stores.
    let stranger = start(&gateway, &foreign.flags(&ours));
    let url = stranger.url().replace("http://", "https://");
    let foreign_ca = foreign.flags(&foreign);
    assert_eq!(health(&["--url", &url], &foreign_ca), Some(1), "it is up, and reaches no store");

    let one_of_us = start(&gateway, &tls);
    let url = one_of_us.url().replace("http://", "https://");
    assert_eq!(health(&["--url", &url], &tls), Some(0));
    let of_graphstore = [&["--role", "graphstore", "--url", &graphstore][..], &beside].concat();
    assert_eq!(health(&of_graphstore, &tls), Some(0));
    assert_eq!(health(&of_graphstore, &foreign_ca), Some(1));

    let ca = Certificate::from_pem(ours.issuer.pem().as_bytes()).expect("PEM");
    let config = ureq::Agent::config_builder().http_status_as_error(false);
    let roots = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&[ca])).build();
    let client = config.tls_config(roots).build().into();
    let body = issue(&party("alice"), &party("bob"), "10", "1");
    assert_eq!(post(&client, &url, &body).expect("an answer").status, 201);
    assert_eq!(get(&client, &url, "/transaction/1").status, 200);
    assert!(post(&agent(), &url, &body).is_err(), "who does not know the CA does not go on");
    // A wallet believes the CA that it is told, and no other.
    let wallet = |ca: &Ca| {
        let mut command = Command::new(binary());
        command.args(["transaction", "1", "--url", &url, "--home", ours.folder.to_str().unwrap()]);
        command.arg("--ca").arg(ca.folder.join("ca.pem"));
        command.output().expect("it runs").status.code()
    };
    assert_eq!((wallet(&ours), wallet(&foreign)), (Some(0), Some(2)));
    // So does an auditor: a server that only its operator's tools can read is audited by nobody.
    let wait = "/transaction/1/receipt";
    while get(&client, &url, wait).status == 202 {}
    let key = sealing.line["key"].as_str().expect("a key");
    let audit = |ca: &Ca| {
        let mut command = Command::new(binary().with_file_name("webwallet-audit"));
        command.args([&url, "--key", key]).arg("--ca").arg(ca.folder.join("ca.pem"));
        command.output().expect("it runs").status.code()
    };
    assert_eq!((audit(&ours), audit(&foreign)), (Some(0), Some(2)));
    let lines = folder.path().join("lines");
    std::fs::write(&lines, [&body[..], b"\n"].concat()).expect("written");
    let mut batch = Command::new(binary());
    batch.arg("batch").arg(&lines).args(["--url", &url]).env("WEBWALLET_HOME", &ours.folder);
    batch.env("WEBWALLET_CA", ours.folder.join("ca.pem"));
    assert_eq!(batch.output().expect("it runs").status.code(), Some(0));
    assert!(post(&agent(), &one_of_us.url(), &body).is_err(), "nothing in the clear");
}

/// A Redis in somebody's cloud is reached through TLS, and is nobody else.
#[test]
fn redis_is_reached_over_tls_and_its_certificate_is_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let ours = Ca::new(folder.path().join("ours"));
    let foreign = Ca::new(folder.path().join("foreign"));
    let [_, cert, _, key, _, ca] = &ours.flags(&ours)[..] else { panic!("three files") };
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    let port = port.expect("a free port").port().to_string();
    // Nothing in the clear: its usual port is closed once it has the other one.
    let redis = webwallet_engines::Redis::private();
    let said = redis::Client::open(&*redis.url).and_then(|client| client.get_connection());
    let mut said = said.expect("it answers");
    let settings = [
        ("tls-cert-file", cert.as_str()),
        ("tls-key-file", key),
        ("tls-ca-cert-file", ca),
        ("tls-auth-clients", "no"),
        ("tls-port", &port),
        ("port", "0"),
    ];
    let mut set = redis::cmd("CONFIG");
    settings.iter().fold(set.arg("SET"), |set, (name, value)| set.arg(name).arg(value));
    set.exec(&mut said).expect("set");

    let url = format!("rediss://localhost:{port}");
    let data = folder.path().join("data");
    let arguments = ["--admin", "127.0.0.1:0", "--data", data.to_str().unwrap(), "--redis", &url];
    let believing = |ca: &Ca| {
        let mut command = Command::new(binary());
        command.env("SSL_CERT_FILE", ca.folder.join("ca.pem"));
        command
    };
    let mut stranger = believing(&foreign);
    let stranger = stranger.args(["serve", "--listen", "127.0.0.1:0", "--domain", DOMAIN]);
    let refused = stranger.args(arguments).output().expect("it runs");
    let why = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{why}");
    assert!(why.contains(&url) && why.contains("SSL_CERT_FILE"), "{why}");

    let server = Process::start_by(believing(&ours), &arguments);
    let body = issue(&party("alice"), &party("bob"), "10", "1");
    let posted = post(&agent(), &server.url(), &body).expect("an answer");
    assert_eq!(posted.status, 201);
    assert_eq!(get(&agent(), &server.url(), "/transaction/1").body, posted.body);
}
