//! Blocks, stacks and checkpoints, as the server gives them.

use anyhow::{Context as _, ensure};
use clap::Args;
use serde_json::Value;
use webwallet_ledger::Hash;
use webwallet_ledger::block;
use webwallet_ledger::note::Note;

use crate::client::{Answer, Url, segment};
use crate::home::Labels;
use crate::output::{self, Outcome, harmless};

/// `webwallet block`
#[derive(Args)]
pub struct Block {
    /// Height, hash, or `latest`
    #[arg(default_value = "latest")]
    name: String,
    #[command(flatten)]
    url: Url,
}

/// `webwallet stack`
#[derive(Args)]
pub struct Stack {
    /// Height, or `latest`
    #[arg(default_value = "latest")]
    name: String,
    #[command(flatten)]
    url: Url,
}

/// `webwallet checkpoint`
#[derive(Args)]
pub struct Checkpoint {
    #[command(flatten)]
    url: Url,
}

impl Block {
    /// Prints a block.
    pub fn run(&self, json: bool) -> anyhow::Result<Outcome> {
        let path = format!("/block/{}", segment(&self.name));
        let check = |found: &str| {
            let block = block::Block::parse(found.as_bytes())?;
            is_called(&self.name, block.header.height, block.hash)
        };
        self.url.server()?.show(&path, json, &Labels::default(), check, document)
    }
}

impl Stack {
    /// Prints a stack.
    pub fn run(&self, json: bool) -> anyhow::Result<Outcome> {
        let path = format!("/stack/{}", segment(&self.name));
        let check = |found: &str| {
            let stack = block::Stack::parse(found.as_bytes())?;
            is_called(&self.name, stack.height, stack.hash)
        };
        self.url.server()?.show(&path, json, &Labels::default(), check, document)
    }
}

impl Checkpoint {
    /// Prints the newest checkpoint as it is signed; with `--json`, as text in JSON.
    pub fn run(&self, json: bool) -> anyhow::Result<Outcome> {
        match self.url.server()?.get_as("/checkpoint", "text/plain")? {
            Answer::Done { body, .. } => {
                check_note(&body).context("the server's answer is no checkpoint")?;
                match json {
                    true => output::line(serde_json::json!({ "checkpoint": body }).to_string())?,
                    false => output::line(body.trim_end_matches('\n'))?,
                }
                Ok(Outcome::Done)
            }
            Answer::Problem(problem) => problem.print(json, &Labels::default()),
        }
    }
}

/// That it has the form of a note, and that nothing in it moves a terminal: a note is
/// shown as it was signed, or not at all.
pub fn check_note(note: &str) -> anyhow::Result<()> {
    Note::parse(note.as_bytes())?;
    let is_plain = note.lines().all(|line| harmless(line) == line);
    ensure!(is_plain, "there are control characters in the note");
    Ok(())
}

/// That a document of the log goes by a name: its height, its hash, or `latest`, which may be any.
fn is_called(name: &str, height: u64, hash: Hash) -> anyhow::Result<()> {
    let names = ["latest".to_owned(), height.to_string(), hash.to_string()];
    ensure!(names.iter().any(|one| one == name), "it is {height} {hash}");
    Ok(())
}

/// A document of the log, one field a line.
fn document(found: &str) -> anyhow::Result<()> {
    let document: Value = serde_json::from_str(found)?;
    let fields = document["data"].as_object().context("the document has no data")?;
    let width = fields.keys().map(String::len).max().unwrap_or_default();
    let line =
        |name: &str, value: &str| harmless(&format!("  {name:width$}  {value}")).into_owned();
    let kind = fields.get("kind").and_then(Value::as_str).unwrap_or_default();
    let height = fields.get("height").and_then(Value::as_str).unwrap_or_default();
    let mut lines = vec![harmless(&format!("{kind} {height}")).into_owned()];
    lines.push(line("hash", document["hash"]["value"].as_str().unwrap_or_default()));
    for (name, value) in
        fields.iter().filter(|(name, _)| !["kind", "height"].contains(&name.as_str()))
    {
        lines.push(line(name, value.as_str().unwrap_or_default()));
    }
    Ok(output::line(lines.join("\n"))?)
}
