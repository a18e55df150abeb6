//! `webwallet events`: what clears, one record a line, from a number on or as
//! it happens.

use std::io::ErrorKind;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Args;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::client::{Answer, Lines, Server, Stream, Url};
use crate::home::{Home, Labels};
use crate::output::Outcome;
use crate::{output, record, transaction};

/// The wait before a server that cut the stream is asked again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// `webwallet events`
#[derive(Args)]
pub struct Events {
    /// Records with a higher number than this [default: from the first; with --follow, from now on]
    #[arg(long, value_name = "NUMBER")]
    after: Option<u64>,
    /// Go on with what clears from now on, until interrupted
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    home: Home,
    #[command(flatten)]
    url: Url,
}

#[derive(Deserialize)]
struct Event<'a> {
    number: String,
    hash: String,
    time: String,
    #[serde(borrow)]
    transaction: &'a RawValue,
}

impl Events {
    /// Prints what has cleared, or what clears.
    pub fn run(&self, json: bool) -> anyhow::Result<Outcome> {
        let printer = Printer { json, labels: self.home.keys()?.labels() };
        let server = self.url.server()?;
        if self.follow { self.follow(&server, &printer) } else { self.list(&server, &printer) }
    }

    fn list(&self, server: &Server, printer: &Printer) -> anyhow::Result<Outcome> {
        let mut after = self.after.unwrap_or_default();
        loop {
            let page =
                match server.get_as(&format!("/events?after={after}"), "application/x-ndjson")? {
                    Answer::Done { body, .. } => body,
                    Answer::Problem(problem) => {
                        return problem.print(printer.json, &printer.labels);
                    }
                };
            let before = after;
            for line in page.lines() {
                after = printer.print(line, Some(after))?;
            }
            if after == before || output::reader_is_gone() {
                return Ok(Outcome::Done);
            }
        }
    }

    /// Reads stream after stream, each from where the one before was cut.
    fn follow(&self, server: &Server, printer: &Printer) -> anyhow::Result<Outcome> {
        let (mut after, mut reached) = (self.after, false);
        loop {
            match server.events(after) {
                Ok(Stream::Open(lines)) => {
                    reached = true;
                    printer.stream(lines, &mut after)?;
                    if output::reader_is_gone() {
                        return Ok(Outcome::Done);
                    }
                }
                Ok(Stream::Problem(problem)) if reached && problem.may_succeed_later() => {}
                Ok(Stream::Problem(problem)) => {
                    return problem.print(printer.json, &printer.labels);
                }
                Err(error) if !reached => return Err(error),
                Err(error) => output::complain(format_args!("{error:#}; asking again")),
            }
            sleep(AGAIN_AFTER);
        }
    }
}

struct Printer {
    json: bool,
    labels: Labels,
}

impl Printer {
    /// Prints the events of a stream until it is cut. The last number that was
    /// read whole is where the next one goes on.
    fn stream(&self, mut lines: Lines, after: &mut Option<u64>) -> anyhow::Result<()> {
        let (mut id, mut data) = (None, None);
        loop {
            let line = match lines.line() {
                Ok(Some(line)) => line,
                Err(error) if error.kind() == ErrorKind::InvalidData => {
                    return Err(error).context("the stream cannot be read");
                }
                // It was cut.
                Ok(None) | Err(_) => return Ok(()),
            };
            if output::reader_is_gone() {
                return Ok(());
            }
            if let Some(number) = line.strip_prefix("id: ") {
                id = Some(number.parse().context("the stream cannot be read")?);
            } else if let Some(event) = line.strip_prefix("data: ") {
                data = Some(event.to_owned());
            } else if line.is_empty() {
                *after = match (data.take(), id.take()) {
                    (Some(event), _) => Some(self.print(&event, *after)?),
                    // Where the stream begins; a number further on would pass over events.
                    (None, Some(begin)) => {
                        let goes_on = after.is_none_or(|after| after == begin);
                        ensure!(goes_on, "the stream begins at another number than was asked for");
                        Some(begin)
                    }
                    (None, None) => *after,
                };
            }
        }
    }

    /// Prints the event after this number; its own. Whoever was given others, or one twice, or
    /// one of another record, would have missed a payment, or seen one that never was.
    fn print(&self, line: &str, after: Option<u64>) -> anyhow::Result<u64> {
        let event: Event<'_> = serde_json::from_str(line).context("the event cannot be read")?;
        let number: u64 = event.number.parse().context("the event has no number")?;
        ensure!(
            after.is_none_or(|after| after.checked_add(1) == Some(number)),
            "the events are not in order: number {number} comes after {}",
            after.unwrap_or_default()
        );
        let record = record::read(event.transaction.get().as_bytes())
            .with_context(|| format!("the event of number {number} has no record"))?
            .record;
        ensure!(
            record.number == number,
            "the event of number {number} has the record {}",
            record.number
        );
        ensure!(
            event.hash == record.hash.to_string() && event.time == record.time.to_string(),
            "the event of number {number} has another hash or time than its record, {} and {}",
            record.hash,
            record.time
        );
        if self.json {
            output::line(line)?;
        } else {
            output::line(transaction::sentence(event.transaction.get(), &self.labels)?)?;
        }
        Ok(number)
    }
}
