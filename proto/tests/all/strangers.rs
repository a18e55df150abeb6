//! Who may call a service, and who may not.
//!
//! Graphstore believes whoever may call it that signatures are good. So a
//! stranger who got through, whichever way he came, could spend anybody's money.

use std::{fs, future::pending, path::Path, time::Duration};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::{io::AsyncReadExt as _, net::TcpListener};
use tonic::{Code, Status};
use webwallet_proto::{
    hashtable::{
        self,
        v1::{Document, PutRequest},
    },
    link::Link,
    serve::Services,
    tls::Tls,
    token::{Guarded, Token},
};

use crate::link::Puppet;

/// Long enough that a case which waits for it has failed.
const AMPLE: Duration = Duration::from_secs(30);

fn token(text: &str) -> Token {
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), text).expect("written");
    Token::read(file.path()).unwrap_or_else(|error| panic!("{error}"))
}

/// A CA, as a file, and the certificates it signed.
struct Ca {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Ca {
    fn new() -> Ca {
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a CA");
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("ca.pem"), issuer.pem()).expect("written");
        Ca { folder, issuer }
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Files of a certificate for this name, and its key.
    fn sign(&self, name: &str) -> (std::path::PathBuf, std::path::PathBuf) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([name.to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        let file = |end: &str| self.folder.path().join(format!("{name}.{end}"));
        fs::write(file("pem"), certificate.pem()).expect("written");
        fs::write(file("key"), key.serialize_pem()).expect("written");
        (file("pem"), file("key"))
    }

    /// What a process knows that has a certificate of this CA for this name,
    /// and believes that CA.
    fn tls(&self, own: Option<&str>, believed: &Ca) -> Tls {
        let files = own.map(|name| self.sign(name));
        let files = files.as_ref().map(|(cert, key)| (cert.as_path(), key.as_path()));
        Tls::read(files, Some(&believed.path())).unwrap_or_else(|error| panic!("{error}"))
    }
}

/// A service on a socket, and its port.
async fn serve(tls: Tls, token: Option<Token>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let mut services = Services::new().with_tls(tls);
    services.add(Guarded::new(hashtable::server(Puppet::obedient()), token)).await;
    tokio::spawn(async move { services.serve(listener, pending()).await.is_ok() });
    port
}

async fn call(link: Link) -> Result<(), Status> {
    let request = PutRequest { documents: Vec::new() };
    let answer = tokio::time::timeout(AMPLE, hashtable::client(link).put(request)).await;
    answer.expect("refused or not, it is answered").map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_right_token_or_certificate_gets_through() {
    let (ours, foreign) = (Ca::new(), Ca::new());
    let (right, wrong) = (token("0123456789abcdef"), token("0123456789abcdeF"));

    // A token asked for: in this process, on a socket, and on one with TLS.
    let embedded = Guarded::new(hashtable::server(Puppet::obedient()), Some(right.clone()));
    let plain = serve(Tls::default(), Some(right.clone())).await;
    let own = ours.sign("localhost");
    let only_own = Tls::read(Some((&own.0, &own.1)), None).unwrap_or_else(|e| panic!("{e}"));
    let hidden = serve(only_own, Some(right.clone())).await;
    let knows_ca = Tls::read(None, Some(&ours.path())).unwrap_or_else(|e| panic!("{e}"));
    let links = [
        Link::embedded(embedded, AMPLE),
        Link::remote(&format!("http://127.0.0.1:{plain}"), AMPLE).expect("an address"),
        Link::remote_tls(&format!("https://localhost:{hidden}"), &knows_ca, AMPLE)
            .expect("an address"),
    ];
    for (transport, link) in links.into_iter().enumerate() {
        for (who, link, refused) in [
            ("no token", link.clone(), Some(Code::Unauthenticated)),
            ("wrong token", link.clone().with_token(&wrong), Some(Code::Unauthenticated)),
            ("right token", link.with_token(&right), None),
        ] {
            let code = call(link).await.err().map(|status| status.code());
            assert_eq!(code, refused, "{who} on transport {transport}");
        }
    }

    // A certificate asked for: those without one cannot even connect.
    let mutual = serve(ours.tls(Some("localhost"), &ours), None).await;
    let at = format!("https://localhost:{mutual}");
    for (who, tls, passes) in [
        ("no certificate", knows_ca.clone(), false),
        ("a foreign CA's certificate", foreign.tls(Some("gateway"), &ours), false),
        ("our CA's certificate", ours.tls(Some("gateway"), &ours), true),
        ("our certificate, but a server we do not believe", ours.tls(Some("g"), &foreign), false),
    ] {
        let outcome = call(Link::remote_tls(&at, &tls, AMPLE).expect("an address")).await;
        let code = outcome.err().map(|status| status.code());
        assert_eq!(code, (!passes).then_some(Code::Unavailable), "{who}");
    }
    let plainly = Link::remote(&format!("http://localhost:{mutual}"), AMPLE).expect("an address");
    assert!(call(plainly).await.is_err(), "without TLS");

    // Somebody of ours under another name, in the server's place.
    let elsewhere = serve(ours.tls(Some("elsewhere"), &ours), None).await;
    let tls = ours.tls(Some("gateway"), &ours);
    let link = Link::remote_tls(&format!("https://localhost:{elsewhere}"), &tls, AMPLE);
    let status = call(link.expect("an address")).await.expect_err("not who was meant");
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");

    // Both asked for: neither is enough alone.
    let strict = serve(ours.tls(Some("localhost"), &ours), Some(right.clone())).await;
    let link = Link::remote_tls(&format!("https://localhost:{strict}"), &tls, AMPLE);
    let link = link.expect("an address");
    assert_eq!(
        call(link.clone()).await.expect_err("a certificate alone").code(),
        Code::Unauthenticated
    );
    call(link.with_token(&right)).await.expect("both");
}

/// A peer that connects and says nothing must not keep others waiting.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_handshake_holds_nobody_up_and_is_ended() {
    let ca = Ca::new();
    let port = serve(ca.tls(Some("localhost"), &ca), None).await;
    let mut silent = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.expect("connected");
    let tls = ca.tls(Some("gateway"), &ca);
    let link = Link::remote_tls(&format!("https://localhost:{port}"), &tls, AMPLE);
    call(link.expect("an address")).await.expect("answered meanwhile");
    let end = tokio::time::timeout(AMPLE, silent.read_u8()).await.expect("ended by the server");
    assert!(end.is_err(), "nothing is said to it");
}

/// Strangers are cut after five seconds; a payment that takes longer must not be cut with them.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_let_in_once_is_no_stranger() {
    const LONGER: Duration = Duration::from_secs(7);
    let (ca, token) = (Ca::new(), token("0123456789abcdef"));
    let plain = serve(Tls::default(), Some(token.clone())).await;
    let hidden = serve(ca.tls(Some("localhost"), &ca), None).await;
    let plain = Link::remote(&format!("http://127.0.0.1:{plain}"), LONGER);
    let tls = ca.tls(Some("gateway"), &ca);
    let hidden = Link::remote_tls(&format!("https://localhost:{hidden}"), &tls, LONGER);
    let never = |link: Link| async move {
        let documents = vec![Document { body: "never".into(), ..Document::default() }];
        let outcome = hashtable::client(link).put(PutRequest { documents }).await;
        outcome.expect_err("it never answers").code()
    };
    let (plain, hidden) = tokio::join!(
        never(plain.expect("an address").with_token(&token)),
        never(hidden.expect("an address")),
    );
    assert_eq!([plain, hidden], [Code::DeadlineExceeded; 2]);
}

/// A file that is not what it should be must stop the start, not the first call.
#[test]
fn files_are_judged_when_they_are_read() {
    let (ca, other) = (Ca::new(), Ca::new());
    let (cert, key) = ca.sign("localhost");
    let (_, other_key) = other.sign("localhost");
    let nothing = ca.folder.path().join("nothing");
    fs::write(&nothing, "no PEM").expect("written");
    let why = |own: Option<(&Path, &Path)>, ca: Option<&Path>| match Tls::read(own, ca) {
        Ok(_) => panic!("must be refused"),
        Err(why) => why.to_string(),
    };
    assert!(why(Some((Path::new("/nonexistent"), &key)), None).starts_with("cannot read"));
    assert!(why(Some((&nothing, &key)), None).ends_with("no certificate in PEM"));
    assert!(why(Some((&cert, &nothing)), None).ends_with("no private key in PEM"));
    assert!(why(Some((&key, &key)), None).ends_with("no certificate in PEM"));
    assert!(why(Some((&cert, &other_key)), None).ends_with("cannot be used with its key"));
    assert!(why(None, Some(&nothing)).ends_with("no certificate in PEM"));
    let tls = Tls::read(Some((&cert, &key)), Some(&ca.path())).unwrap_or_else(|e| panic!("{e}"));
    assert!(tls.acceptor().is_some());
    assert!(Tls::default().acceptor().is_none());
}
