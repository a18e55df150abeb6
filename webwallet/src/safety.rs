//! What is refused before anything is opened: settings that can be read, and
//! that would let strangers clear, set the time, or read a password.
//!
//! Only this configuration is looked at, and who may read the files it names. What
//! an engine or a data directory says about itself comes later, from those who open it.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use crate::config::{Config, Sealing};
use crate::file::is_open_to_others;

/// One sentence for the operator, with what to do.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Unsafe {
    /// Whoever connects to it could do what only we may.
    #[error(
        "the {listener} listener {address} is outside loopback and anybody could call it; {cure}"
    )]
    Open {
        /// Which one.
        listener: &'static str,
        /// Where it would be.
        address: SocketAddr,
        /// What to set.
        cure: &'static str,
    },
    /// Its clients could then be told any time, or wait for a block for ever.
    #[error("{0} is for tests, on loopback only, and {1} is not")]
    ForTests(&'static str, SocketAddr),
    /// Everybody who lists processes would read it.
    #[error(
        "the address of {0} must not hold a password; put it into a file and name that with {1}"
    )]
    Password(&'static str, &'static str),
    /// A certificate nobody judges is no certificate.
    #[error("{0}; name the CA of the services in PEM: --tls-ca FILE")]
    NoCa(String),
    /// What was meant to be secret would not be.
    #[error(
        "tls_ca_file is set, but the {0} is called without TLS; its address must begin with https://"
    )]
    Plain(&'static str),
    /// A certificate cannot be asked for without showing one.
    #[error(
        "gRPC cannot ask for certificates of {0} without one of its own: --tls-cert FILE --tls-key FILE"
    )]
    NoCertificate(String),
}

/// Refuses what would be dangerous.
pub fn check(config: &Config) -> Result<(), Unsafe> {
    listeners(config)?;
    links(config)?;
    passwords(config)
}

/// Refuses passwords where everybody may read them.
pub fn passwords(config: &Config) -> Result<(), Unsafe> {
    for (engine, url, variable) in [
        ("redis", &config.redis, "WEBWALLET_REDIS_PASSWORD_FILE"),
        ("neo4j", &config.neo4j, "WEBWALLET_NEO4J_PASSWORD_FILE"),
    ] {
        if url.as_deref().is_some_and(holds_password) {
            return Err(Unsafe::Password(engine, variable));
        }
    }
    Ok(())
}

/// Warns of files with secrets that others on this machine may read. It is no
/// refusal: what an orchestrator mounts is often for everybody, in a container of one.
pub fn warn_of_readers<'a>(secrets: impl IntoIterator<Item = &'a Path>) {
    for file in secrets {
        if fs::metadata(file).is_ok_and(|there| is_open_to_others(&there)) {
            let file = file.display();
            tracing::warn!("others on this machine may read a secret; chmod 600 {file}");
        }
    }
}

fn listeners(config: &Config) -> Result<(), Unsafe> {
    let outside = |address: SocketAddr| !address.ip().is_loopback();
    let admin = config.operators();
    if let Some(address) = admin
        && outside(address)
        && config.admin_token_file.is_none()
    {
        let cure = "name a file with a token: WEBWALLET_ADMIN_TOKEN_FILE";
        let listener = if config.role.is_gateway() { "admin" } else { "metrics" };
        return Err(Unsafe::Open { listener, address, cure });
    }
    if !config.role.is_gateway() {
        let mutual = match (&config.tls_cert_file, &config.tls_ca_file) {
            (None, Some(ca)) => return Err(Unsafe::NoCertificate(ca.display().to_string())),
            (cert, ca) => cert.is_some() && ca.is_some(),
        };
        if outside(config.listen) && config.token_file.is_none() && !mutual {
            let cure = "name a file with a token, WEBWALLET_TOKEN_FILE, or ask for certificates \
                with --tls-cert, --tls-key and --tls-ca";
            return Err(Unsafe::Open { listener: "gRPC", address: config.listen, cure });
        }
    }
    let outside = [Some(config.listen), admin].into_iter().flatten().find(|at| outside(*at));
    for (control, set) in [
        ("the test clock", config.test_clock.is_some()),
        ("sealing by hand", config.seal == Sealing::Manual),
        ("a log key of one's own", config.log_key.is_some()),
    ] {
        if let (true, Some(address)) = (set, outside) {
            return Err(Unsafe::ForTests(control, address));
        }
    }
    Ok(())
}

fn links(config: &Config) -> Result<(), Unsafe> {
    for (service, uri) in config.services() {
        let Some(uri) = uri else { continue };
        match (uri.starts_with("https://"), &config.tls_ca_file) {
            (true, None) => {
                return Err(Unsafe::NoCa(format!("nothing says who {service} at {uri} must be")));
            }
            (false, Some(_)) => return Err(Unsafe::Plain(service)),
            _ => {}
        }
    }
    Ok(())
}

/// `scheme://user:password@host`: is there anything after a colon before the `@`?
fn holds_password(urls: &str) -> bool {
    // Of a Redis Cluster there may be several addresses. A password may hold a comma.
    urls.split(",redis://").flat_map(|urls| urls.split(",rediss://")).any(one_holds_password)
}

fn one_holds_password(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    // A password may itself hold an `@`, or a `/` that nobody escaped.
    authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
        || rest.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::config::Role;

    /// Whoever reaches Graphstore clears without a signature; whoever sets the
    /// time clears what has expired.
    #[test]
    fn nothing_dangerous_is_open_to_strangers() {
        let outside = SocketAddr::from(([0, 0, 0, 0], 1));
        let file = Some(PathBuf::from("x"));
        let safe = Config::default();
        assert!(check(&safe).is_ok());
        assert!(check(&Config { listen: outside, ..safe.clone() }).is_ok());
        assert!(check(&Config { admin: outside, ..safe.clone() }).is_err());
        assert!(
            check(&Config { admin: outside, admin_token_file: file.clone(), ..safe.clone() })
                .is_ok()
        );
        assert!(check(&Config { test_clock: file.clone(), ..safe.clone() }).is_ok());
        assert!(
            check(&Config { test_clock: file.clone(), listen: outside, ..safe.clone() }).is_err()
        );
        let by_hand = Config { seal: Sealing::Manual, ..safe.clone() };
        assert!(check(&by_hand).is_ok());
        assert!(check(&Config { listen: outside, ..by_hand }).is_err());
        let own_key = Config { log_key: file.clone(), listen: outside, ..safe.clone() };
        assert!(check(&own_key).is_err());
        for role in [Role::Graphstore, Role::Hashtable, Role::Blockstack] {
            let apart = Config { role, ..safe.clone() };
            assert!(check(&apart).is_ok());
            let open = Config { listen: outside, ..apart.clone() };
            assert!(check(&open).is_err());
            assert!(check(&Config { admin_token_file: file.clone(), ..open.clone() }).is_err());
            assert!(check(&Config { token_file: file.clone(), ..open.clone() }).is_ok());
            // A certificate of its own keeps nobody out; asking for one does.
            let tls = Config { tls_cert_file: file.clone(), tls_key_file: file.clone(), ..open };
            assert!(check(&tls).is_err());
            assert!(check(&Config { tls_ca_file: file.clone(), ..tls }).is_ok());
            assert!(check(&Config { tls_ca_file: file.clone(), ..apart.clone() }).is_err());
            let clocked = Config { test_clock: file.clone(), token_file: file.clone(), ..apart };
            assert!(check(&Config { listen: outside, ..clocked }).is_err());
        }
        let gateway = Config { role: Role::Gateway, listen: outside, ..safe };
        assert!(check(&gateway).is_ok());
        assert!(check(&Config { admin: outside, ..gateway }).is_err());
    }

    /// A link that was meant to be secret must not silently be plain, nor trust
    /// just anybody's certificate.
    #[test]
    fn links_are_as_secret_as_the_settings_say() {
        let links = |hashtable: &str, graphstore: &str, ca: bool| {
            check(&Config {
                role: Role::Gateway,
                hashtable: Some(hashtable.into()),
                graphstore: Some(graphstore.into()),
                tls_ca_file: ca.then(|| PathBuf::from("ca.pem")),
                ..Config::default()
            })
        };
        assert!(links("http://a:1", "http://b:2", false).is_ok());
        assert!(links("https://a:1", "https://b:2", true).is_ok());
        assert!(matches!(links("http://a:1", "https://b:2", false), Err(Unsafe::NoCa(_))));
        assert_eq!(links("https://a:1", "http://b:2", true), Err(Unsafe::Plain("graphstore")));
    }

    /// A password would stand where everybody on the machine, and in its logs, may read it.
    #[test]
    fn a_password_in_an_address_is_seen() {
        for url in [
            "redis://:secret@host:1",
            "redis://user:secret@host:1/0",
            "bolt://neo4j:sec@ret@host:1",
            "bolt://neo4j:sec/ret@host",
            "neo4j:secret@host",
            "redis://:@host",
            "redis://app:se,redis@host:6379",
            "redis://app@a:6379,rediss://app:secret@b:6379",
            "redis://app:se,cret@host:1",
        ] {
            assert!(holds_password(url), "{url}");
        }
        let several = "redis://app@a:6379,redis://app@b:6379";
        for url in
            ["redis://host:1", "bolt://neo4j@host:1", "redis://[::1]:1/0", "host:1", "", several]
        {
            assert!(!holds_password(url), "{url}");
        }
        let config = Config { neo4j: Some("bolt://a:b@c".into()), ..Config::default() };
        let refused = check(&config).expect_err("must be refused").to_string();
        assert!(refused.contains("WEBWALLET_NEO4J_PASSWORD_FILE") && !refused.contains("a:b"));
    }
}
