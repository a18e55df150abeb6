//! `webwallet batch`: many requests, one a line, each cleared or refused on its
//! own, in their order.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use clap::Args;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::client::{Server, Stream, Url};
use crate::home::{Home, Labels};
use crate::output::Outcome;
use crate::problem::Problem;
use crate::{file, output, post, transaction};

/// Bytes of requests sent at a time. Their answers are read only after them, so
/// they must find room on the way meanwhile.
const SENT_BYTES: usize = 128 * 1024;
/// Bytes of one answer at most: a refusal may hold a request and a record.
const LINE_BYTES_MAX: u64 = 1 << 20;

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
        let mut lines = self.lines()?.split(b'\n').peekable();
        while let Some(line) = lines.next() {
            let line = line.context("the requests cannot be read")?;
            // Else each line of what is written over many would be refused on its own.
            ensure!(
                count > 0 || !goes_on(&line),
                "the first request in {} goes on after its line: each line must be one whole request, as `jq -c .` writes them",
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
    fn lines(&self) -> anyhow::Result<impl BufRead> {
        let mut rest: Box<dyn BufRead> = match self.is_piped() {
            true => Box::new(io::stdin().lock()),
            false => {
                let opened = File::open(&self.file);
                let what = || format!("cannot read {}", self.file.display());
                Box::new(BufReader::new(opened.with_context(what)?))
            }
        };
        let unread = "the requests cannot be read";
        let mut begin = Vec::new();
        while begin.trim_ascii().is_empty() {
            if rest.read_until(b'\n', &mut begin).context(unread)? == 0 {
                break;
            }
        }
        if is_array(&begin) {
            rest.read_to_end(&mut begin).context(unread)?;
            begin = lines_of(&begin).with_context(|| {
                format!("what is in {} begins as an array of requests", file::name(&self.file))
            })?;
        }
        Ok(Cursor::new(begin).chain(rest))
    }

    fn is_piped(&self) -> bool {
        self.file == Path::new("-")
    }

    /// What is not known when the answers end before their time, and what to do.
    fn open(&self, first: u64) -> String {
        let again = match self.is_piped() {
            false => "post the same again: nothing is ever paid twice",
            true => {
                "they came through a pipe and are kept nowhere; whoever wrote them must give the same bytes again, which are never paid twice, and sign nothing anew"
            }
        };
        format!("nobody knows what was cleared of the requests from {first} on; {again}")
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
        let answers = server.batch(requests, self.stop).with_context(|| self.open(first))?;
        let mut answers = match answers {
            Stream::Open(answers) => answers,
            Stream::Problem(problem) => return problem.print(json, labels),
        };
        let requests: Vec<&[u8]> = requests.trim_ascii_end().split(|byte| *byte == b'\n').collect();
        let mut outcome = Outcome::Done;
        let (mut answered, mut refused) = (0, false);
        // Each is told when it is there: what has cleared is known although the rest never comes.
        loop {
            let mut text = Vec::new();
            let read = answers.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut text);
            read.with_context(|| self.open(first + answered))?;
            // They have ended, perhaps within a line.
            if text.pop() != Some(b'\n') {
                break;
            }
            refused = self.tell(&text, &requests, first, answered, json, labels)?;
            answered += 1;
            if refused {
                outcome = Outcome::Refused;
            }
        }
        // A refusal may be of all that follows it, and the last word.
        ensure!(
            refused || answered == requests.len() as u64,
            "only {answered} of {} requests were answered: {}",
            requests.len(),
            self.open(first + answered)
        );
        Ok(outcome)
    }

    /// Prints the answer to the next request, and says whether it is a refusal.
    fn tell(
        &self,
        text: &[u8],
        requests: &[&[u8]],
        first: u64,
        answered: u64,
        json: bool,
        labels: &Labels,
    ) -> anyhow::Result<bool> {
        let index = first + answered;
        let unreadable = || format!("the answer cannot be read: {}", self.open(index));
        let text = std::str::from_utf8(text).with_context(unreadable)?;
        let line: Line<'_> = serde_json::from_str(text).with_context(unreadable)?;
        ensure!(line.index == answered, "the answers are not in order: {}", self.open(index));
        if let Some(record) = line.data {
            let request = requests.get(line.index as usize).copied().unwrap_or_default();
            post::check_record(record.get(), request).with_context(|| self.open(index))?;
        }
        if json {
            let rest = text.split_once(',').map_or("", |(_, rest)| rest);
            output::line(format!("{{\"index\":{index},{rest}"))?;
            return Ok(line.problem.is_some());
        }
        let said = match (line.data, line.problem) {
            (Some(record), _) => transaction::sentence(record.get(), labels)?,
            (None, Some(problem)) => {
                let problem = Problem::from_json(problem.get().to_owned())?;
                format!("refused: {}", problem.sentence())
            }
            (None, None) => anyhow::bail!("the answer has neither data nor problem"),
        };
        output::line(format!("{index}  {said}"))?;
        Ok(line.problem.is_some())
    }
}
