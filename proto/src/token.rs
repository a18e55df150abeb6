//! The token with which one of our services knows another.
//!
//! Needed as soon as a service listens where strangers could connect: Graphstore
//! trusts whoever calls it for signatures. It travels as `authorization: Bearer`
//! in every call. It is no encryption: between machines, put it inside TLS.

use std::{
    convert::Infallible,
    fs, io,
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll},
};

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use subtle::ConstantTimeEq as _;
use tonic::{Status, body::Body, server::NamedService};
use tower::Service;

use crate::incoming::Admitted;

/// Fewer characters can be guessed.
const CHARACTERS_MIN: usize = 16;
/// More may find no room among the headers of a call.
const CHARACTERS_MAX: usize = 8_192;

const SCHEME: &str = "Bearer ";

/// A secret text. Has no `Debug`, so that it never reaches a log.
#[derive(Clone)]
pub struct Token(String);

/// Why a file holds no token. Never says what is in it.
#[derive(Debug, thiserror::Error)]
pub enum BadToken {
    /// The file system's answer.
    #[error("cannot read the token in {0}")]
    File(PathBuf, #[source] io::Error),
    /// Not what can stand in a header, or too short to be a secret.
    #[error(
        "the token in {0} must be {CHARACTERS_MIN} to {CHARACTERS_MAX} visible ASCII characters"
    )]
    Text(PathBuf),
}

impl Token {
    /// Reads it from a file; white space around it is not part of it.
    ///
    /// # Errors
    /// The file cannot be read or holds no token.
    pub fn read(file: &Path) -> Result<Token, BadToken> {
        let text =
            fs::read_to_string(file).map_err(|error| BadToken::File(file.to_owned(), error))?;
        let text = text.trim();
        let fits = (CHARACTERS_MIN..=CHARACTERS_MAX).contains(&text.len());
        if !fits || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(BadToken::Text(file.to_owned()));
        }
        Ok(Token(text.to_owned()))
    }

    /// What a caller sends. Never logged: it is marked as sensitive.
    pub fn header(&self) -> HeaderValue {
        // Visible ASCII is always a header value.
        let mut value = HeaderValue::try_from(format!("{SCHEME}{}", self.0))
            .unwrap_or_else(|_| HeaderValue::from_static(""));
        value.set_sensitive(true);
        value
    }

    /// Whether a call bears it. The time it takes says nothing of how much of a wrong
    /// token was right; it does say whether the length is.
    pub fn opens(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        given.and_then(|given| given.split_at_checked(SCHEME.len())).is_some_and(
            |(scheme, given)| {
                scheme.eq_ignore_ascii_case(SCHEME.as_bytes())
                    && given.ct_eq(self.0.as_bytes()).into()
            },
        )
    }
}

/// A server that answers `UNAUTHENTICATED` to calls without its token; without
/// a token, to nobody.
#[derive(Clone)]
pub struct Guarded<S> {
    server: S,
    token: Option<Token>,
}

impl<S> Guarded<S> {
    /// Puts a token before a server; `None` only where strangers cannot connect.
    pub fn new(server: S, token: Option<Token>) -> Guarded<S> {
        Guarded { server, token }
    }
}

impl<S: NamedService> NamedService for Guarded<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Guarded<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.server.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        match &self.token {
            Some(token) if !token.opens(request.headers()) => {
                let refusal = Status::unauthenticated("the token is missing or wrong");
                Box::pin(async move { Ok(refusal.into_http()) })
            }
            _ => {
                if let Some(admitted) = request.extensions().get::<Admitted>() {
                    admitted.set();
                }
                Box::pin(self.server.call(request))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Token, BadToken> {
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        fs::write(file.path(), text).expect("written");
        Token::read(file.path())
    }

    /// An empty file taken for a token would let everybody in.
    #[test]
    fn what_cannot_be_a_secret_is_no_token() {
        for text in ["", "\n", "short", "sixteen chars ..", "0123456789abcde", "0123456789abcdéf"]
        {
            assert!(read(text).is_err(), "{text:?}");
        }
        let long = "x".repeat(CHARACTERS_MAX);
        assert!(read(&long).is_ok() && read(&format!("{long}x")).is_err());
        assert!(read(" 0123456789abcdef\n").is_ok_and(|token| token.0 == "0123456789abcdef"));
        assert!(Token::read(Path::new("/nonexistent")).is_err());
    }

    /// Half a token must not clear anything.
    #[test]
    fn only_the_whole_token_opens() {
        let Ok(token) = read("0123456789abcdef") else { panic!("a token") };
        let mut headers = HeaderMap::new();
        assert!(!token.opens(&headers));
        for (value, opens) in [
            ("Bearer 0123456789abcdef", true),
            ("bearer 0123456789abcdef", true),
            ("Basic 0123456789abcdef", false),
            ("Bearer 0123456789abcde", false),
            ("Bearer 0123456789abcdeff", false),
            ("0123456789abcdef", false),
            ("Bearer ", false),
            ("Bearer", false),
            ("", false),
        ] {
            headers.insert(AUTHORIZATION, HeaderValue::from_static(value));
            assert_eq!(token.opens(&headers), opens, "{value}");
        }
        assert!(token.header().is_sensitive());
    }
}
