//! A server, as the wallet commands see it: a URL that answers JSON.
//!
//! A refusal (problem+json) is an answer like any other; only a server that
//! cannot be reached, or does not answer in the terms of the API, is an error.

use std::fs;
use std::io::{self, BufRead, BufReader, ErrorKind};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use serde::Deserialize;
use serde_json::value::RawValue;
use ureq::Proxy;
use ureq::tls::TlsConfig;
use webwallet_audit::url::{believing, is_here, is_url, with_user, wrong_scheme};
use webwallet_proto::token::Token;

use crate::home::Labels;
use crate::output::Outcome;
use crate::problem::Problem;
use crate::{config, output};

/// Answers are records and lists of at most 1,000 entries; this is far above
/// any of them and far below memory.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

const URL_VARIABLE: &str = "WEBWALLET_URL";
const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";
const EVENTS: &str = "text/event-stream";
/// Characters that are shown of an answer that is none.
const SHOWN_CHARS: usize = 40;

/// Which server to ask.
#[derive(Args, Clone)]
pub struct Url {
    /// The server
    #[arg(
        long,
        env = URL_VARIABLE,
        hide_env_values = true,
        value_name = "URL",
        default_value = "http://127.0.0.1:8080"
    )]
    url: String,
    #[command(flatten)]
    ca: Ca,
}

/// Whom a server's certificate must be from.
#[derive(Args, Clone, Default)]
pub struct Ca {
    /// Believe the CAs in this file (PEM) and no others
    #[arg(id = "ca", long, env = "WEBWALLET_CA", hide_env_values = true, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Ca {
    /// The server at a URL.
    pub fn server(&self, url: &str) -> anyhow::Result<Server> {
        let read = |file: &PathBuf| {
            fs::read(file).with_context(|| format!("cannot read {}", file.display()))
        };
        let pem = self.file.as_ref().map(read).transpose()?;
        let server = Server::within(url, PATIENCE, pem.as_deref())?;
        Ok(Server { ca: self.clone(), ..server })
    }

    /// The flag that names them again, for a shell; none where none was given.
    pub fn flag(&self) -> String {
        match &self.file {
            Some(file) => format!(" --ca {}", output::path(file)),
            None => String::new(),
        }
    }
}

impl Url {
    /// As it was given.
    pub fn text(&self) -> &str {
        &self.url
    }

    /// Whom to believe that it is the server.
    pub fn ca(&self) -> &Ca {
        &self.ca
    }

    /// The server at this URL.
    pub fn server(&self) -> anyhow::Result<Server> {
        self.ca.server(&self.url)
    }
}

/// A server and the connections to it.
pub struct Server {
    /// Its URL, with the user and password that were given with it.
    whole: String,
    /// The same without them, to be shown.
    url: String,
    /// The CAs that it is believed by.
    ca: Ca,
    agent: ureq::Agent,
}

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a busy server is asked again, and the wait before each time but the first.
const AGAIN_WITHIN: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_secs(1);
/// How long one stream of events is read.
const STREAM_MAX: Duration = Duration::from_secs(60);
/// Bytes of one line at most: a refusal in a batch may hold a request and a record, and an
/// event holds a record.
const LINE_BYTES_MAX: usize = 1 << 20;

/// A stream, or why there is none.
pub enum Stream {
    /// Lines as they come.
    Open(Lines),
    /// A refusal, or trouble that the server names.
    Problem(Box<Problem>),
}

/// Lines that are read while they come.
pub struct Lines {
    from: Box<dyn BufRead>,
    /// How long one of them may take.
    patience: Duration,
}

impl Lines {
    /// The next one, once it is whole; none where they have ended, perhaps within one. One that
    /// is too long or no text is [`ErrorKind::InvalidData`].
    pub fn line(&mut self) -> io::Result<Option<String>> {
        // A byte now and then ends no other wait, and would be waited for without end.
        let until = Instant::now() + self.patience;
        let invalid = |why: String| io::Error::new(ErrorKind::InvalidData, why);
        let mut line = Vec::new();
        loop {
            let more = self.from.fill_buf()?;
            if more.is_empty() {
                return Ok(None);
            }
            let end = more.iter().position(|byte| *byte == b'\n');
            line.extend_from_slice(&more[..end.unwrap_or(more.len())]);
            let read = end.map_or(more.len(), |end| end + 1);
            self.from.consume(read);
            if line.len() > LINE_BYTES_MAX {
                return Err(invalid(format!("a line has more than {LINE_BYTES_MAX} bytes")));
            }
            if end.is_some() {
                let is_cut = line.last() == Some(&b'\r');
                line.truncate(line.len() - usize::from(is_cut));
                let text = String::from_utf8(line);
                return text.map(Some).map_err(|_| invalid("a line is no text".to_owned()));
            }
            if Instant::now() > until {
                return Err(io::Error::new(ErrorKind::TimedOut, "a line does not end"));
            }
        }
    }
}

/// What a server said.
pub enum Answer {
    /// 200, 201 or 202: the body as it came.
    Done {
        /// Exactly the bytes of the body.
        body: String,
        /// It had been done before.
        replayed: bool,
        /// 202: what was asked for is on its way, and the body says so.
        later: bool,
    },
    /// A refusal, or trouble that the server names.
    Problem(Box<Problem>),
}

impl Server {
    /// The server at a URL.
    pub fn at(url: &str) -> Server {
        Server::with(url, PATIENCE, TlsConfig::default())
    }

    /// The server at a URL, for the patience of a program; with CAs in PEM, it
    /// believes those and no others.
    pub fn within(url: &str, patience: Duration, ca: Option<&[u8]>) -> anyhow::Result<Server> {
        // A password that was given with it is not shown.
        let shown = url.rsplit('@').next().unwrap_or_default();
        ensure!(is_url(url), "{shown:?} is no address of a server: begin with http:// or https://");
        let tls = ca.map(believing).transpose()?.unwrap_or_default();
        Ok(Server::with(url, patience, tls))
    }

    fn with(url: &str, patience: Duration, tls: TlsConfig) -> Server {
        let whole = url.trim_end_matches('/').to_owned();
        // The variables of a proxy mean servers elsewhere; it would ask its own machine.
        let proxy = if is_here(&whole) { None } else { Proxy::try_from_env() };
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            // A POST that is sent on would arrive as a GET, and elsewhere.
            .max_redirects(0)
            .timeout_connect(Some(Duration::from_secs(5)))
            .timeout_global(Some(patience))
            .tls_config(tls)
            .proxy(proxy)
            .user_agent(concat!("webwallet/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Server { url: with_user(&whole, ""), whole, ca: Ca::default(), agent }
    }

    /// Its URL, without a password that was given with it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The flags that name it again, for a shell. A password is not shown: the variable that
    /// it came from is named, or its place.
    pub fn flags(&self) -> String {
        let variable = std::env::var(URL_VARIABLE).unwrap_or_default();
        let url = match self.whole == self.url {
            true => output::word(&self.whole),
            false if variable.trim_end_matches('/') == self.whole => format!("\"${URL_VARIABLE}\""),
            false => output::word(&with_user(&self.whole, "USER:PASSWORD@")),
        };
        format!("--url {url}{}", self.ca.flag())
    }

    /// Asks for a path.
    pub fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.get_as(path, JSON)
    }

    /// Asks for a path and prints what is answered: a refusal, the JSON as it is, or, for
    /// people, what `page` makes of its `data`. A server answers what it likes: `check` says
    /// whether the `data` is what was asked for, for people and scripts alike.
    pub fn show(
        &self,
        path: &str,
        json: bool,
        labels: &Labels,
        check: impl FnOnce(&str) -> anyhow::Result<()>,
        page: impl FnOnce(&str) -> anyhow::Result<()>,
    ) -> anyhow::Result<Outcome> {
        let body = match self.get(path)? {
            Answer::Problem(problem) => return problem.print(json, labels),
            Answer::Done { body, .. } => body,
        };
        let found = data(&body)?.get();
        check(found)
            .with_context(|| format!("what {} answered is not what was asked for", self.url))?;
        if json {
            output::line(&body)?;
        } else {
            page(found)?;
        }
        Ok(Outcome::Done)
    }

    /// Asks for a path in another form than JSON.
    pub fn get_as(&self, path: &str, form: &str) -> anyhow::Result<Answer> {
        let url = format!("{}{path}", self.whole);
        let response = self.agent.get(&url).header("accept", form).call();
        let answer = if form == JSON { read_json(response) } else { read(response) };
        answer.with_context(|| format!("GET {}{path}", self.url))
    }

    /// Asks for a path past every proxy, which may answer in the place of a server that is gone.
    pub fn get_directly(&self, path: &str) -> anyhow::Result<Answer> {
        let url = format!("{}{path}", self.whole);
        let request = self.agent.get(&url).header("accept", JSON).config().proxy(None).build();
        read_json(request.call()).with_context(|| format!("GET {}{path}", self.url))
    }

    /// Opens a stream of events after a number; it is cut after a minute, lest a
    /// server that has vanished be waited for without end.
    pub fn events(&self, after: Option<u64>) -> anyhow::Result<Stream> {
        let url = format!("{}/events", self.whole);
        let mut request = self.agent.get(&url).header("accept", EVENTS);
        if let Some(after) = after {
            request = request.header("last-event-id", after.to_string());
        }
        let request = request
            .config()
            .timeout_global(None)
            .timeout_recv_response(Some(PATIENCE))
            .timeout_recv_body(Some(STREAM_MAX));
        stream(request.build().call(), EVENTS)
            .with_context(|| format!("no stream from {}/events", self.url))
    }

    /// Gives an operator's command, past every proxy: the token is for the server alone.
    pub fn command(&self, path: &str, token: Option<&Token>) -> anyhow::Result<Answer> {
        let url = format!("{}{path}", self.whole);
        let mut request = self.agent.post(&url).config().proxy(None).build();
        if let Some(token) = token {
            request = request.header("authorization", token.header());
        }
        read_json(request.send_empty()).with_context(|| format!("POST {}{path}", self.url))
    }

    /// Posts a request for clearing.
    pub fn post(&self, request: &[u8]) -> anyhow::Result<Answer> {
        self.send("/transaction", request)
    }

    /// Asks what would become of a request.
    pub fn rehearse(&self, request: &[u8]) -> anyhow::Result<Answer> {
        self.send("/transaction?dry_run=true", request)
    }

    /// Posts requests, one a line; their answers, one a line, as they come. A server
    /// takes its time for each, so there is a limit for each and none for all.
    pub fn batch(&self, requests: &[u8], stop: bool) -> anyhow::Result<Stream> {
        let mode = if stop { "stop" } else { "independent" };
        let url = format!("{}/batch?mode={mode}", self.whole);
        let request = self.agent.post(&url).content_type(LINES).config();
        let request = request
            .timeout_global(None)
            .timeout_send_body(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_per_read(Some(PATIENCE));
        stream(request.build().send(requests), LINES)
            .with_context(|| format!("POST {}/batch", self.url))
    }

    fn send(&self, path: &str, request: &[u8]) -> anyhow::Result<Answer> {
        let url = format!("{}{path}", self.whole);
        let response = self.agent.post(&url).content_type(JSON).send(request);
        read_json(response).with_context(|| format!("POST {}{path}", self.url))
    }

    /// Has a document kept under its path.
    pub fn put(&self, path: &str, document: &[u8]) -> anyhow::Result<Answer> {
        let url = format!("{}{path}", self.whole);
        let body = [b"{\"data\":", document, b"}"].concat();
        let response = self.agent.put(&url).content_type(JSON).send(&body[..]);
        read_json(response).with_context(|| format!("PUT {}{path}", self.url))
    }

    /// The domain the server clears for.
    pub fn domain(&self) -> anyhow::Result<String> {
        #[derive(Deserialize)]
        struct Card {
            domain: String,
        }
        let card: Card = match self.get("/.well-known/webwallet")? {
            Answer::Done { body, .. } => {
                serde_json::from_str(&body).context("the server does not say its domain")?
            }
            Answer::Problem(problem) => {
                bail!("the server does not say its domain: {}", problem.sentence())
            }
        };
        // It is shown, and signed.
        config::check_domain(&card.domain).context("the server's domain")?;
        Ok(card.domain)
    }

    /// What is there, asked [patiently]; none where the server has nothing there.
    pub fn found(&self, path: &str) -> anyhow::Result<Option<String>> {
        match patiently(|| self.get(path))? {
            Answer::Done { body, .. } => Ok(Some(body)),
            Answer::Problem(problem) if problem.code == "not_found" => Ok(None),
            Answer::Problem(problem) => bail!("{}", problem.sentence()),
        }
    }
}

/// What is answered to a question; a server that is busy is asked again, for a minute.
pub fn patiently(ask: impl Fn() -> anyhow::Result<Answer>) -> anyhow::Result<Answer> {
    again_within(AGAIN_WITHIN, ask)
}

/// The same for so long. Its answers may be slow, too: the clock counts, and not how many.
fn again_within(
    time: Duration,
    ask: impl Fn() -> anyhow::Result<Answer>,
) -> anyhow::Result<Answer> {
    let until = Instant::now() + time;
    loop {
        match ask()? {
            Answer::Problem(problem)
                if problem.may_succeed_later() && Instant::now() + AGAIN < until =>
            {
                thread::sleep(AGAIN);
            }
            answer => return Ok(answer),
        }
    }
}

/// What came; or why nothing did, and which scheme the address should begin with where that is
/// the reason.
fn came(
    response: Result<http::Response<ureq::Body>, ureq::Error>,
) -> anyhow::Result<http::Response<ureq::Body>> {
    response.map_err(|error| match wrong_scheme(&error) {
        Some(cure) => anyhow::Error::new(error).context(cure),
        None => error.into(),
    })
}

/// An answer in this form that is read while it comes.
fn stream(
    response: Result<http::Response<ureq::Body>, ureq::Error>,
    form: &str,
) -> anyhow::Result<Stream> {
    let response = came(response)?;
    if response.status() == 200 {
        let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok());
        let kind = kind.unwrap_or_default();
        ensure!(
            kind.starts_with(form),
            "this is no WebWallet server: it answered {kind:?} where {form} was asked for"
        );
        let from = Box::new(BufReader::new(response.into_body().into_reader()));
        return Ok(Stream::Open(Lines { from, patience: PATIENCE }));
    }
    match read(Ok(response))? {
        Answer::Problem(problem) => Ok(Stream::Problem(problem)),
        Answer::Done { .. } => bail!("this is no WebWallet server: it answered nothing"),
    }
}

fn read(response: Result<http::Response<ureq::Body>, ureq::Error>) -> anyhow::Result<Answer> {
    let mut response = came(response)?;
    let status = response.status();
    let header = |name: &str| {
        response.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned()
    };
    let (kind, replayed) = (header("content-type"), header("idempotent-replayed") == "true");
    let moved = status.is_redirection().then(|| header("location"));
    let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string()?;
    if kind.starts_with("application/problem+json") {
        return Ok(Answer::Problem(Box::new(Problem::from_json(body)?)));
    }
    if let Some(place) = moved {
        bail!("it has moved to {place:?}: give that address");
    }
    if !matches!(status.as_u16(), 200..=202) {
        bail!("this is no WebWallet server: it answered {status} without a problem document");
    }
    Ok(Answer::Done { body, replayed, later: status.as_u16() == 202 })
}

/// The same of an answer that must be JSON: any web server answers with 200, and says nothing
/// of ours.
fn read_json(response: Result<http::Response<ureq::Body>, ureq::Error>) -> anyhow::Result<Answer> {
    let answer = read(response)?;
    if let Answer::Done { body, .. } = &answer {
        let begin: String = body.chars().take(SHOWN_CHARS).collect();
        ensure!(
            serde_json::from_str::<&RawValue>(body).is_ok(),
            "this is no WebWallet server: what it answered is no JSON, and begins with {begin:?}"
        );
    }
    Ok(answer)
}

/// The bytes of `data` in an answer, as they came.
pub fn data(body: &str) -> anyhow::Result<&RawValue> {
    #[derive(Deserialize)]
    struct Envelope<'a> {
        #[serde(borrow)]
        data: &'a RawValue,
    }
    let envelope: Envelope<'_> = serde_json::from_str(body).context("the answer has no `data`")?;
    Ok(envelope.data)
}

/// Makes any text one segment of a path; the server says what it thinks of it.
pub fn segment(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:".contains(&b);
    let write = |b: u8| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") };
    text.bytes().map(write).collect()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io::Read;

    use super::*;

    /// A key with a slash in it must not ask for another page.
    #[test]
    fn any_text_is_one_segment() {
        assert_eq!(segment("12"), "12");
        assert_eq!(segment("../x?y#z"), "..%2Fx%3Fy%23z");
        assert_eq!(segment("a b%"), "a%20b%25");
    }

    /// So many bytes, each after a while.
    struct Slow(u32);

    impl Read for Slow {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(1).expect("no more is read than was waited for");
            thread::sleep(Duration::from_millis(20));
            into[0] = b' ';
            Ok(1)
        }
    }

    fn lines(from: impl BufRead + 'static) -> Lines {
        Lines { from: Box::new(from), patience: Duration::from_millis(200) }
    }

    /// Else a server has whoever reads it wait without end, or takes all its memory.
    #[test]
    fn a_line_has_an_end() {
        let mut whole = lines(&b"one\r\n\ntwo\nthr"[..]);
        for expected in [Some("one"), Some(""), Some("two"), None] {
            assert_eq!(whole.line().expect("read").as_deref(), expected);
        }
        let failed = |mut lines: Lines| lines.line().expect_err("no line").kind();
        assert_eq!(failed(lines(&b"\xff\n"[..])), ErrorKind::InvalidData);
        assert_eq!(failed(lines(BufReader::new(io::repeat(b'x')))), ErrorKind::InvalidData);
        assert_eq!(failed(lines(BufReader::new(Slow(100)))), ErrorKind::TimedOut);
    }

    /// A command that says how long it waits is waited for as long.
    #[test]
    fn a_slow_and_busy_server_is_asked_for_no_longer_than_is_said() {
        let asked = Cell::new(0);
        let busy = || {
            asked.set(asked.get() + 1);
            thread::sleep(Duration::from_millis(600));
            let busy = r#"{"code":"overloaded","retry":"later"}"#;
            Ok(Answer::Problem(Box::new(Problem::from_json(busy.to_owned())?)))
        };
        let answer = again_within(Duration::from_secs(3), busy).expect("an answer");
        assert!(matches!(answer, Answer::Problem(_)));
        assert_eq!(asked.get(), 2);
    }
}
