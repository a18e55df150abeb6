//! `webwallet document`: puzzles and custom data, kept by a server for whoever
//! knows their name.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand};
use webwallet_ledger::Supplied;

use crate::client::{Answer, Url, data, segment};
use crate::file;
use crate::home::Labels;
use crate::output::{self, Outcome, harmless};

/// `webwallet document ...`
#[derive(Subcommand)]
pub enum Command {
    /// Have a server keep a document: a puzzle, or custom data, with its hash and an empty meta
    Put(Put),
    /// One document by its name
    Get(Get),
}

/// `webwallet document put`
#[derive(Args)]
pub struct Put {
    /// The document; `-` is standard input
    file: PathBuf,
    #[command(flatten)]
    url: Url,
}

/// `webwallet document get`
#[derive(Args)]
pub struct Get {
    /// Its `hash.value`
    hash: String,
    #[command(flatten)]
    url: Url,
}

/// Prints the document as the server has it.
pub fn run(command: &Command, json: bool) -> anyhow::Result<Outcome> {
    let print = |document: &str| Ok(output::line(harmless(document).as_bytes())?);
    let name =
        |found: &str| Ok::<_, anyhow::Error>(Supplied::of_document(found.as_bytes())?.name());
    match command {
        Command::Get(Get { hash, url }) => {
            let check = |found: &str| {
                let name = name(found)?;
                ensure!(name.to_string() == *hash, "it is {name}");
                Ok(())
            };
            let path = format!("/document/{}", segment(hash));
            url.server()?.show(&path, json, &Labels::default(), check, print)
        }
        Command::Put(put) => {
            let file = file::name(&put.file);
            let document = file::read(&put.file)?;
            // Its name is part of the URL, so it must have one before the server sees it.
            let document = Supplied::of_document(&document)
                .with_context(|| format!("{file} is no document that a server keeps"))?;
            let path = format!("/document/{}", document.name());
            match put.url.server()?.put(&path, document.bytes())? {
                Answer::Problem(problem) => return problem.print(json, &Labels::default()),
                Answer::Done { body, .. } => {
                    let unlike = "the server's answer is not this document";
                    let kept = data(&body).context(unlike)?.get();
                    let name = name(kept).context(unlike)?;
                    ensure!(name == document.name(), "the server answers the document {name}");
                    if json { output::line(&body)? } else { print(kept)? }
                }
            }
            Ok(Outcome::Done)
        }
    }
}
