//! `webwallet batch`: many requests, one a line, each cleared or refused on its
//! own, in their order.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read as _};
use std::iter;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use serde::Deserialize;
use serde_json::value::RawValue;
use webwallet_ledger::rejection::Code;

use crate::client::{Server, Stream, Url};
use crate::home::{Home, Labels};
use crate::output::Outcome;
use crate::problem::Problem;
use crate::{file, output, post, refusal, transaction};

/// Bytes of requests sent at a time. Their answers are read only after them, so
/// they must find room on the way meanwhile.
const SENT_BYTES: usize = 128 * 1024;
/// Bytes of one request at most. A server takes 128 KiB, and says so itself of what is not far
/// larger; a line without end would take all memory.
const REQUEST_BYTES_MAX: u64 = 1 << 20;
/// Bytes of an array at most, which is read whole before anything of it is sent.
const ARRAY_BYTES_MAX: u64 = 64 << 20;

/// `webwallet batch`
#[derive(Args)]
pub struct Batch {
    /// File with a request a line; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// End at the first refusal
    #[arg(long)]
    stop: bool,
    #[command(flatten)]
    home: Home,
    #[command(flatten)]
    url: Url,
}

#[derive(Deserialize)]
struct Line<'a> {
    index: u64,
    status: u16,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    problem: Option<&'a RawValue>,
}

/// The elements of an array, one a line: it may be written over many, and is sent in parts.
fn lines_of(array: &[u8]) -> anyhow::Result<Vec<u8>> {
    let elements: Vec<&RawValue> = serde_json::from_slice(array)?;
    let mut lines = Vec::new();
    for (index, element) in elements.into_iter().enumerate() {
        // At the begin of what is sent, the server would take it for an array of requests.
        ensure!(!is_array(element.get().as_bytes()), "its element {index} is an array, no request");
        // Between the parts of a document a line's end is a space; within a text there is none.
        let bytes = element.get().bytes();
        lines.extend(bytes.map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
        lines.push(b'\n');
    }
    Ok(lines)
}

/// What became of a request.
#[derive(PartialEq, Eq)]
enum Told {
    Cleared,
    Refused,
    /// Not even the server knows.
    Unknown,
}

/// The next line without its end; none where there is no more.
fn line_of(requests: &mut impl BufRead) -> anyhow::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    // One byte more than can be right shows that it is too long.
    if requests.take(REQUEST_BYTES_MAX + 1).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    ensure!(
        line.len() as u64 <= REQUEST_BYTES_MAX,
        "a line has more than {REQUEST_BYTES_MAX} bytes, and each line must be one request"
    );
    line.pop_if(|byte| *byte == b'\n');
    Ok(Some(line))
}

/// Whether an array begins here.
fn is_array(text: &[u8]) -> bool {
    text.trim_ascii_start().starts_with(b"[")
}

/// Whether an object begins in a line and does not end there.
fn goes_on(line: &[u8]) -> bool {
    line.trim_ascii_start().starts_with(b"{")
        && serde_json::from_slice::<&RawValue>(line).is_err_and(|error| error.is_eof())
}

impl Batch {
    /// Posts the requests of a file and prints what became of each.
    pub fn run(&self, json: bool) -> anyhow::Result<Outcome> {
        let labels = self.home.keys()?.labels();
        let server = self.url.server()?;
        let (mut outcome, mut first, mut count, mut sent) = (Outcome::Done, 0, 0, Vec::new());
        let mut requests = self.lines()?;
        let mut lines = iter::from_fn(|| line_of(&mut requests).transpose()).peekable();
        while let Some(line) = lines.next() {
            let line = line.with_context(|| {
                format!("the requests cannot be read, and those from {first} on were not sent")
            })?;
            // Else each line of what is written over many would be refused on its own.
            ensure!(
                count > 0 || !goes_on(&line),
                "the first request in {} goes on after its line: each line must be one whole request, as `jq -c .` writes them",
                file::name(&self.file)
            );
            // At the begin of what is sent, a server could take it for all there is.
            ensure!(
                !is_array(&line),
                "the request {count} in {} is an array and so none, and those from {first} on were not sent: give each of its elements a line",
                file::name(&self.file)
            );
            if !line.trim_ascii().is_empty() {
                sent.extend_from_slice(&line);
                sent.push(b'\n');
                count += 1;
            }
            let last = lines.peek().is_none();
            if (sent.len() < SENT_BYTES && !last) || sent.is_empty() {
                continue;
            }
            if self.post(&server, &sent, first, json, &labels)? == Outcome::Refused {
                outcome = Outcome::Refused;
                if self.stop {
                    break;
                }
            }
            (first, sent) = (count, Vec::new());
        }
        ensure!(count > 0, "there is no request in what was given");
        Ok(outcome)
    }

    /// What is to be posted, a request a line.
    fn lines(&self) -> anyhow::Result<Box<dyn BufRead>> {
        let mut rest: Box<dyn BufRead> = match self.is_piped() {
            true => Box::new(io::stdin().lock()),
            false => {
                let opened = File::open(&self.file);
                let what = || format!("cannot read {}", self.file.display());
                Box::new(BufReader::new(opened.with_context(what)?))
            }
        };
        let unread = "the requests cannot be read";
        // Blanks before the first of them are none.
        let is_array = loop {
            let begin = rest.fill_buf().context(unread)?;
            let text = begin.trim_ascii_start();
            if begin.is_empty() || !text.is_empty() {
                break is_array(text);
            }
            let blanks = begin.len();
            rest.consume(blanks);
        };
        if !is_array {
            return Ok(rest);
        }
        let mut array = Vec::new();
        rest.take(ARRAY_BYTES_MAX + 1).read_to_end(&mut array).context(unread)?;
        ensure!(
            array.len() as u64 <= ARRAY_BYTES_MAX,
            "the array in {} has more than {ARRAY_BYTES_MAX} bytes: give a request a line, as `jq -c '.[]'` writes them",
            file::name(&self.file)
        );
        let lines = lines_of(&array).with_context(|| {
            format!("what is in {} begins as an array of requests", file::name(&self.file))
        })?;
        Ok(Box::new(Cursor::new(lines)))
    }

    fn is_piped(&self) -> bool {
        self.file == Path::new("-")
    }

    /// What is not known when the answers end before their time, and what to do.
    fn unknown_from(&self, first: u64) -> String {
        let again = self.again();
        format!("nobody knows what was cleared of the requests from {first} on; {again}")
    }

    /// What to do about what is not known.
    fn again(&self) -> &'static str {
        match self.is_piped() {
            false => "post the same again: nothing is ever paid twice",
            true => {
                "they came through a pipe and are kept nowhere; whoever wrote them must give the same bytes again, which are never paid twice, and sign nothing anew"
            }
        }
    }

    /// Posts some of them, the first of which has this place.
    fn post(
        &self,
        server: &Server,
        requests: &[u8],
        first: u64,
        json: bool,
        labels: &Labels,
    ) -> anyhow::Result<Outcome> {
        let answers =
            server.batch(requests, self.stop).with_context(|| self.unknown_from(first))?;
        let mut answers = match answers {
            Stream::Open(answers) => answers,
            Stream::Problem(problem) => {
                let refused = problem.print(json, labels)?;
                output::complain(match problem.is_unknown_outcome() {
                    true => self.unknown_from(first),
                    false => format!("that is said of all requests sent together, from {first} on"),
                });
                return Ok(refused);
            }
        };
        let requests: Vec<&[u8]> = requests.trim_ascii_end().split(|byte| *byte == b'\n').collect();
        let mut outcome = Outcome::Done;
        let (mut answered, mut unknown) = (0, Vec::new());
        // Each is told when it is there: what has cleared is known although the rest never comes.
        for request in &requests {
            let index = first + answered;
            let open = || self.unknown_from(index);
            // They have ended, perhaps within a line.
            let Some(text) = answers.line().with_context(open)? else { break };
            let (told, printed) =
                tell(&text, request, first, answered, json, labels).with_context(open)?;
            output::line(printed).with_context(open)?;
            answered += 1;
            if told == Told::Unknown {
                unknown.push(index);
            }
            if told != Told::Cleared {
                outcome = Outcome::Refused;
                // The last word: nothing after it was looked at.
                if self.stop {
                    break;
                }
            }
        }
        if let [earliest, ..] = unknown[..] {
            output::complain(format_args!(
                "nobody knows yet whether {} of the requests cleared, the first of them {earliest}; {}",
                unknown.len(),
                self.again()
            ));
        }
        ensure!(
            (self.stop && outcome == Outcome::Refused) || answered == requests.len() as u64,
            "only {answered} of {} requests were answered: {}",
            requests.len(),
            self.unknown_from(first + answered)
        );
        Ok(outcome)
    }
}

/// What the answer to a request says, and what is printed of it. The answer has the place among
/// those of its part, the first of which has another among all.
fn tell(
    text: &str,
    request: &[u8],
    first: u64,
    answered: u64,
    json: bool,
    labels: &Labels,
) -> anyhow::Result<(Told, String)> {
    let index = first + answered;
    let line: Line<'_> = serde_json::from_str(text).context("the answer cannot be read")?;
    ensure!(line.index == answered, "the answers are not in order");
    let (told, member, content, said) = match (line.data, line.problem) {
        (Some(record), None) => {
            post::check_record(record.get(), request)?;
            (Told::Cleared, "data", record, transaction::sentence(record.get(), labels)?)
        }
        (None, Some(content)) => {
            let problem = Problem::from_json(content.get().to_owned())?;
            // Of another domain, or of rules that this server does not know, it is none of its requests.
            let none = [Code::WrongDomain, Code::UnsupportedField];
            let is_none = none.iter().any(|code| problem.code == code.as_str());
            let wrong = || refusal::is_wrong(&problem, request, &post::domain_of(request));
            let (told, word) = match problem.is_unknown_outcome() {
                true => (Told::Unknown, "not known"),
                false if !is_none && wrong()? => {
                    (Told::Unknown, "refused, which is not so as far as can be seen here")
                }
                false => (Told::Refused, "refused"),
            };
            (told, "problem", content, format!("{word}: {}", problem.sentence()))
        }
        _ => bail!("the answer has not one of data and problem"),
    };
    let printed = match json {
        true => {
            let (status, content) = (line.status, content.get());
            format!("{{\"index\":{index},\"status\":{status},\"{member}\":{content}}}")
        }
        false => format!("{index}  {said}"),
    };
    Ok((told, printed))
}
