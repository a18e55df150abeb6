//! Posting: what was signed goes to a server, and what became of it is said.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use clap::Args;
use serde_json::Value;
use webwallet_ledger::draft::Draft;
use webwallet_ledger::rejection::{Code, Rejection};
use webwallet_ledger::request::{Request, body_of};
use webwallet_ledger::{Hash, Record};

use crate::client::{Answer, Server, Url, data};
use crate::home::{Home, Keys, Labels};
use crate::outbox::{forget, is_in, keep, locks_for_a_swap, posting};
use crate::output::Outcome;
use crate::problem::Problem;
use crate::receipt::Proof;
use crate::{conflict, file, interrupt, iou, lock, output, record, refusal, transaction};

/// `webwallet post`
#[derive(Args)]
pub struct Post {
    /// Files with IOUs or a request; all IOUs together are one request. `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Ask what would become of it, and pay nothing
    #[arg(long, conflicts_with = "receipt")]
    dry_run: bool,
    #[command(flatten)]
    proof: Proof,
    #[command(flatten)]
    home: Home,
    #[command(flatten)]
    url: Url,
}

impl Post {
    /// Posts what stands in the files as one request.
    pub fn run(&self, json: bool) -> anyhow::Result<Outcome> {
        let (mut inputs, mut piped) = (Vec::new(), Vec::new());
        for file in &self.files {
            let text = file::read(file)?;
            let found = iou::split(&text)
                .with_context(|| format!("no IOUs can be read from {}", file::name(file)))?;
            let found: Vec<String> = found.into_iter().map(|iou| iou.get().to_owned()).collect();
            if file.as_os_str() == "-" {
                piped.extend_from_slice(&found);
            }
            inputs.extend(found);
        }
        ensure!(!inputs.is_empty(), iou::none_in("what was given"));
        // The text goes out as it came: the server judges what was signed.
        let request = body_of(inputs.iter().map(String::as_bytes));
        let (keys, server) = (self.home.keys()?, self.url.server()?);
        // Also what is only asked for is seen.
        if let Some(rejection) = shows_too_late(&server, &request)? {
            return Problem::from_rejection(&rejection)?.print(json, &keys.labels());
        }
        if self.dry_run {
            return rehearse(&server, &request, json, &keys.labels());
        }
        self.proof.can_be_kept(&request)?;
        let mut files = self.files.clone();
        // What came through a pipe may be nowhere else, and to be sent again it must be somewhere.
        if !piped.is_empty() {
            let piped = body_of(piped.iter().map(String::as_bytes));
            let kept = keys.outgoing(&Hash::sha3(&piped));
            keep(&kept, &piped)?;
            files.retain(|file| file.as_os_str() != "-");
            files.push(kept);
        }
        let sender = Sender { server: &server, keys: &keys, proof: &self.proof, json };
        sender.send(&request, &files)
    }
}

/// Why a preimage that is in a request must not be shown any more.
fn shows_too_late(server: &Server, request: &[u8]) -> anyhow::Result<Option<Rejection>> {
    let domain = domain_of(request);
    // What is none is for the server to refuse.
    let Ok(request) = Request::parse(request, &domain) else { return Ok(None) };
    for iou in &request.inputs {
        let Some(solver) = &iou.solver else { continue };
        if let Some(rejection) = lock::shows_too_late(server, &domain, iou.hash, solver)? {
            return Ok(Some(rejection));
        }
    }
    Ok(None)
}

/// What the server will say first of what was signed.
pub fn checked(draft: &Draft, signed: &[u8]) -> Result<Request, Rejection> {
    let request = Request::from_inputs(&[signed], &draft.domain);
    let request = request.map_err(|refusal| refusal.rejection)?;
    iou::verified(&request).map(|()| request)
}

/// How IOUs go to a server, and what comes of them is told.
pub struct Sender<'a> {
    /// Where to.
    pub server: &'a Server,
    /// The home that they are kept in while that is not certain.
    pub keys: &'a Keys,
    /// What the server must show of them.
    pub proof: &'a Proof,
    /// Whether scripts read what is printed.
    pub json: bool,
}

impl Sender<'_> {
    /// Checks what was signed as a server will, says what it is, keeps it and posts it.
    pub fn clear(&self, draft: &Draft, signed: &[u8], sentence: &str) -> anyhow::Result<Outcome> {
        let request = match checked(draft, signed) {
            Ok(request) => request.to_bytes(),
            Err(rejection) => {
                let problem = Problem::from_rejection(&rejection)?;
                return problem.print(self.json, &self.keys.labels());
            }
        };
        if !self.json {
            output::line(format!("signing  {sentence}"))?;
        }
        self.proof.can_be_kept(&request)?;
        let file = self.keys.outgoing(&draft.hash());
        keep(&file, signed)?;
        self.send(&request, &[file])
    }

    /// Posts a request from these files and prints what became of it. Those in the outbox are
    /// removed once that is certain, and all are pointed at while it is not.
    fn send(&self, request: &[u8], files: &[PathBuf]) -> anyhow::Result<Outcome> {
        let outbox = self.keys.outbox();
        let kept: Vec<&PathBuf> = files.iter().filter(|file| is_in(file, &outbox)).collect();
        let sent = Sent { by: self, request, files, kept };
        // Where that fails, only these words are lost.
        let asking = interrupt::says(sent.again()).ok();
        let answer = sent.or_unknown(self.server.post(request))?;
        drop(asking);
        let (outcome, is_certain) = match answer {
            Answer::Problem(problem) => sent.refused(&problem)?,
            Answer::Done { body, replayed, .. } => (sent.cleared(&body, replayed)?, true),
        };
        if is_certain {
            for file in sent.kept {
                forget(file)?;
            }
        }
        Ok(outcome)
    }
}

/// A request on its way.
struct Sent<'a> {
    by: &'a Sender<'a>,
    request: &'a [u8],
    /// Where it was read from.
    files: &'a [PathBuf],
    /// Those of them that are in the outbox.
    kept: Vec<&'a PathBuf>,
}

impl Sent<'_> {
    /// What posts it again, for a shell.
    fn command(&self) -> String {
        let Sender { server, keys, proof, .. } = self.by;
        format!("{}{}", posting(self.files, keys, server), proof.flags())
    }

    fn again(&self) -> String {
        match self.kept.is_empty() {
            false => format!(
                "nobody knows yet whether this was cleared; to ask again (it is never paid twice): {}",
                self.command()
            ),
            true => {
                "nobody knows yet whether this was cleared; post the same again: it is never paid twice"
                    .to_owned()
            }
        }
    }

    /// After an error nobody knows what became of it: that is said on a line of its own, which is
    /// there to be run.
    fn or_unknown<T>(&self, found: anyhow::Result<T>) -> anyhow::Result<T> {
        found.inspect_err(|_| output::complain(self.again()))
    }

    /// Prints a refusal, and what is to be done about it. Whether it is certain that what is kept
    /// is of no use any more.
    fn refused(&self, problem: &Problem) -> anyhow::Result<(Outcome, bool)> {
        let Sender { server, keys, proof, json } = *self.by;
        let (request, kept) = (self.request, &self.kept);
        let refused = problem.print(json, &keys.labels())?;
        let wrong = refusal::is_wrong(problem, request, &domain_of(request))?;
        let is_final = problem.is_final() && !wrong;
        if problem.is_unknown_outcome() {
            output::complain(self.again());
            return Ok((refused, false));
        }
        // What was refused is all of them together: others of them may clear.
        if is_final && !kept.is_empty() && ious(request).len() > 1 {
            output::complain(
                "they are kept, as one may clear without the others; to post each on its own, whatever becomes of the others:",
            );
            for file in kept {
                for file in apart(file, keys)? {
                    output::complain(posting(&[file], keys, server));
                }
            }
            return Ok((refused, false));
        }
        // What was piped was signed elsewhere: nobody here can sign it anew.
        let may_clear = problem.may_change().is_some() && kept.iter().any(|file| piped(file));
        if !kept.is_empty() && (!is_final || may_clear) {
            output::complain(match problem.code == Code::WrongDomain.as_str() {
                true => "it is kept; only the server that it was written for says whether it cleared: post it there (--url)".to_owned(),
                false if wrong => format!(
                    "that is not so, as far as can be seen here, and it may clear all the same: it is kept; to post it again: {}",
                    self.command()
                ),
                false => format!("it is kept; to post it again later: {}", self.command()),
            });
            return Ok((refused, false));
        }
        if let Some((ious, record)) = conflict::proven(problem.body(), request)
            && ious.len() == self::ious(request).len()
        {
            self.or_unknown(proof.take(server, &record))?;
            output::complain(format!("this has cleared before, in record {}", record.number));
        }
        if let Some(once) = problem.may_change()
            && let Some(warning) = stays_good(request, once)
        {
            output::complain(warning);
        }
        Ok((refused, true))
    }

    /// Prints the record of it, once that is known to be the one, and proven if that was asked.
    fn cleared(&self, body: &str, replayed: bool) -> anyhow::Result<Outcome> {
        let Sender { server, keys, proof, json } = *self.by;
        let record = self.or_unknown(data(body))?.get();
        let cleared = self.or_unknown(check_record(record, self.request))?;
        self.or_unknown(proof.take(server, &cleared))?;
        let printed = if json {
            output::line(record)
        } else {
            let first = if replayed { "cleared before  " } else { "cleared  " };
            let cleared = self.or_unknown(transaction::sentence(record, &keys.labels()))?;
            output::line(format!("{first}{cleared}"))
        };
        printed.context("it has cleared, and only saying so has failed")?;
        Ok(Outcome::Done)
    }
}

/// The IOUs of a request; none where it is none.
fn ious(request: &[u8]) -> Vec<Value> {
    let mut request: Value = serde_json::from_slice(request).unwrap_or_default();
    match request.pointer_mut("/data/inputs").map(Value::take) {
        Some(Value::Array(ious)) => ious,
        _ => Vec::new(),
    }
}

/// The domain that the first IOU of a request was written for; nothing where there is none.
pub fn domain_of(request: &[u8]) -> String {
    let ious = ious(request);
    let domain = ious.first().and_then(|iou| iou["data"]["domain"].as_str());
    domain.unwrap_or_default().to_owned()
}

/// Whether what is kept in a file came through a pipe: then it is kept as a request.
fn piped(file: &Path) -> bool {
    file::read(file).is_ok_and(|text| !ious(&text).is_empty())
}

/// Each IOU of a file of the outbox in a file of its own.
fn apart(file: &Path, keys: &Keys) -> anyhow::Result<Vec<PathBuf>> {
    let text = file::read(file)?;
    let ious = iou::split(&text)?;
    if ious.len() < 2 {
        return Ok(vec![file.to_owned()]);
    }
    let mut files = Vec::new();
    for iou in ious {
        let alone = body_of([iou.get().as_bytes()]);
        let place = keys.outgoing(&Hash::sha3(&alone));
        // The same may be there twice.
        if !files.contains(&place) {
            keep(&place, &alone)?;
            files.push(place);
        }
    }
    forget(file)?;
    Ok(files)
}

/// Until when what was refused stays good, and what ends that sooner: each IOU of a request
/// may clear without the others, `once` something has changed.
fn stays_good(request: &[u8], once: &str) -> Option<String> {
    let ious = ious(request);
    let expiry = ious.iter().filter_map(|iou| iou["data"]["expiry"].as_str()).max()?;
    // That of a swap's IOUs follows from its terms.
    let sooner = match ious.iter().any(|iou| locks_for_a_swap(&iou["data"])) {
        true => "",
        false => "; --expiry TIME ends that sooner",
    };
    Some(format!(
        "what was signed stays good until {expiry}: who has seen it can have it cleared {once}{sooner}"
    ))
}

/// The record that a server answers a request with: its name is that of its data, and it is of
/// these IOUs. Whoever believed another would take for cleared what is not, and pay again.
pub fn check_record(record: &str, request: &[u8]) -> anyhow::Result<Record> {
    let record = record::read(record.as_bytes()).map(|entry| entry.record);
    let record = record.ok().filter(|record| record::is_of(record, request));
    record.context("what the server answered is not the record of this payment")
}

/// Prints what a request would leave.
pub fn rehearse(
    server: &Server,
    request: &[u8],
    json: bool,
    labels: &Labels,
) -> anyhow::Result<Outcome> {
    match server.rehearse(request)? {
        Answer::Problem(problem) => problem.print(json, labels),
        Answer::Done { body, replayed, .. } => {
            let outputs = data(&body)?;
            if json {
                output::line(outputs.get())?;
            } else {
                let first = if replayed { "cleared before  " } else { "would clear  " };
                output::line(format!("{first}{}", transaction::left(outputs.get(), labels)?))?;
            }
            Ok(Outcome::Done)
        }
    }
}
