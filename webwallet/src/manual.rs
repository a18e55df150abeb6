//! Manual pages and shell completions, made from the command line's own
//! description.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Command};
use clap_complete::Shell;

use crate::output::{self, Outcome};

/// `webwallet man`
#[derive(Args)]
pub struct Man {
    /// Write a page for every command into this folder
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Man {
    /// Prints the page of `webwallet`, or writes all pages.
    pub fn run(&self, command: Command) -> anyhow::Result<Outcome> {
        match &self.dir {
            Some(dir) => {
                fs::create_dir_all(dir)
                    .and_then(|()| clap_mangen::generate_to(command, dir))
                    .with_context(|| format!("cannot write manual pages to {}", dir.display()))?;
            }
            None => {
                let mut page = Vec::new();
                clap_mangen::Man::new(command).render(&mut page)?;
                output::line(page.trim_ascii_end())?;
            }
        }
        Ok(Outcome::Done)
    }
}

/// `webwallet completions`
#[derive(Args)]
pub struct Completions {
    /// Which shell
    shell: Shell,
}

impl Completions {
    /// Prints the script that a shell reads.
    pub fn run(&self, mut command: Command) -> anyhow::Result<Outcome> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "webwallet", &mut script);
        output::line(script.trim_ascii_end())?;
        Ok(Outcome::Done)
    }
}
