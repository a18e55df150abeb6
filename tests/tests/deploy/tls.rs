//! A whole deployment that speaks nothing in the clear: certificates between the
//! services, and one for those who pay.

use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use webwallet_tests::party::{issue, party};
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

fn store(role: &str, data: &Path, tls: &[String]) -> (Process, String) {
    let data = data.join(role);
    let process = start(&["--role", role, "--data", data.to_str().expect("UTF-8")], tls);
    let url = process.url().replace("http://", "https://");
    (process, url)
}

#[test]
fn certificates_take_the_place_of_the_token_and_the_public_gets_https() {
    let folder = tempfile::tempdir().expect("a folder");
    let ours = Ca::new(folder.path().join("ours"));
    let foreign = Ca::new(folder.path().join("foreign"));
    let tls = ours.flags(&ours);
    let (_hashtable, hashtable) = store("hashtable", folder.path(), &tls);
    let (_graphstore, graphstore) = store("graphstore", folder.path(), &tls);
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
    assert_eq!(health(&["--role", "graphstore", "--url", &graphstore], &tls), Some(0));
    assert_eq!(health(&["--role", "graphstore", "--url", &graphstore], &foreign_ca), Some(1));

    let ca = Certificate::from_pem(ours.issuer.pem().as_bytes()).expect("PEM");
    let config = ureq::Agent::config_builder().http_status_as_error(false);
    let roots = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&[ca])).build();
    let client = config.tls_config(roots).build().into();
    let body = issue(&party("alice"), &party("bob"), "10", "1");
    assert_eq!(post(&client, &url, &body).expect("an answer").status, 201);
    assert_eq!(get(&client, &url, "/transaction/1").status, 200);
    assert!(post(&agent(), &url, &body).is_err(), "who does not know the CA does not go on");
    assert!(post(&agent(), &one_of_us.url(), &body).is_err(), "nothing in the clear");
}
