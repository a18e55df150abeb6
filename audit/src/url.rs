//! Addresses of servers.

use std::net::IpAddr;

use ureq::http::Uri;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

/// Why a file names no CA.
#[derive(Debug, thiserror::Error)]
pub enum BadCa {
    /// It is no PEM.
    #[error("the CA's certificate")]
    Pem(#[source] ureq::Error),
    /// It is, of something else.
    #[error("there is no certificate of a CA in PEM")]
    None,
}

/// Servers are believed that have a certificate of one of these CAs, in PEM, and no others.
///
/// # Errors
/// There is none.
pub fn believing(pem: &[u8]) -> Result<TlsConfig, BadCa> {
    let mut cas = Vec::new();
    for item in parse_pem(pem) {
        if let PemItem::Certificate(ca) = item.map_err(BadCa::Pem)? {
            cas.push(ca);
        }
    }
    match cas.is_empty() {
        true => Err(BadCa::None),
        false => Ok(TlsConfig::builder().root_certs(RootCerts::new_with_certs(&cas)).build()),
    }
}

/// What to do where an address begins with the wrong scheme; none if that is not why it failed.
pub fn wrong_scheme(error: &ureq::Error) -> Option<&'static str> {
    // Which of its errors these are, only their words tell.
    let said = error.to_string();
    if said.contains("InvalidContentType") {
        Some("what answers there does not speak TLS: begin the address with http://")
    } else if said.contains("invalid HTTP version") {
        Some("what answers there speaks no HTTP, so perhaps TLS: begin the address with https://")
    } else {
        None
    }
}

/// Whether a text begins as a URL, and is no path.
pub fn is_url(text: &str) -> bool {
    let begins = |scheme: &str| {
        text.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
    };
    begins("http://") || begins("https://")
}

/// A URL with this in place of the user and the password that it may hold, to be shown.
pub fn with_user(url: &str, user: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let host = rest[..end].rfind('@').map_or(0, |at| at + 1);
    format!("{scheme}://{user}{}", &rest[host..])
}

/// Whether a URL leads to this machine.
pub fn is_here(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost")
        || host.parse().is_ok_and(|ip: IpAddr| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One program would ask a server where another looks for a folder of that name.
    #[test]
    fn a_url_is_told_from_a_path() {
        for (text, expected) in [
            ("http://a", true),
            ("HTTPS://a", true),
            ("Http://", true),
            ("http:/a", false),
            ("./http://a", false),
            ("hé", false),
            ("", false),
        ] {
            assert_eq!(is_url(text), expected, "{text}");
        }
    }

    /// Whoever reads over a shoulder, or a log, would learn the password.
    #[test]
    fn a_url_is_shown_without_its_password() {
        for (url, shown) in [
            ("http://alice:secret@example.net/a", "http://example.net/a"),
            ("http://alice:s@cret@example.net", "http://example.net"),
            ("http://example.net/a@b", "http://example.net/a@b"),
            ("http://example.net?a@b", "http://example.net?a@b"),
        ] {
            assert_eq!(with_user(url, ""), shown);
        }
    }

    /// What is said to a server of this machine, the operator's token too, is not for a proxy.
    #[test]
    fn a_url_of_this_machine_is_known_as_one() {
        for (url, expected) in [
            ("http://localhost:8080", true),
            ("https://LOCALHOST", true),
            ("http://127.0.0.1:8080/path", true),
            ("http://127.9.9.9", true),
            ("http://[::1]:8080", true),
            ("http://[::ffff:127.0.0.1]", true),
            ("http://alice:secret@127.0.0.1:8080", true),
            ("http://127.0.0.1@example.net", false),
            ("http://localhost.example.net", false),
            ("http://127.0.0.1.example.net", false),
            ("http://10.0.0.1:8080", false),
            ("https://example.net", false),
        ] {
            assert_eq!(is_here(url), expected, "{url}");
        }
    }
}
