//! `webwallet batch`: many requests, one a line, each cleared or refused on its
//! own, in their order.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::client::{Answer, Server, Url};
use crate::key::{Home, Labels};
use crate::output::Outcome;
use crate::problem::Problem;
use crate::{output, transaction};

/// Bytes of requests sent at a time. Their answers are read only after them, so
/// they must find room on the way meanwhile.
const SENT_BYTES: usize = 128 * 1024;

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

impl Batch {
    /// Posts the requests of a file and prints what became of each.
    pub fn run(&self, json: bool) -> anyhow::Result<Outcome> {
        let labels = self.home.keys()?.labels();
        let server = self.url.server()?;
        let lines: Box<dyn BufRead> = match self.file.to_str() {
            Some("-") => Box::new(io::stdin().lock()),
            _ => {
                let file = File::open(&self.file);
                let what = || format!("cannot read {}", self.file.display());
                Box::new(BufReader::new(file.with_context(what)?))
            }
        };
        let (mut outcome, mut first, mut count, mut sent) = (Outcome::Done, 0, 0, Vec::new());
        let mut lines = lines.split(b'\n').peekable();
        while let Some(line) = lines.next() {
            let line = line.context("the requests cannot be read")?;
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
        Ok(outcome)
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
        let body = match server.batch(requests, self.stop)? {
            Answer::Done { body, .. } => body,
            Answer::Problem(problem) => {
                problem.print(json, labels)?;
                return Ok(Outcome::Refused);
            }
        };
        let mut outcome = Outcome::Done;
        for text in body.lines() {
            let line: Line<'_> = serde_json::from_str(text).context("the answer cannot be read")?;
            let index = first + line.index;
            if line.problem.is_some() {
                outcome = Outcome::Refused;
            }
            if json {
                let rest = text.split_once(',').map_or("", |(_, rest)| rest);
                output::line(format!("{{\"index\":{index},{rest}"))?;
                continue;
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
        }
        Ok(outcome)
    }
}
