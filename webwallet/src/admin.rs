//! The commands by which an operator seals: to the admin listener of a running server.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use serde_json::Value;
use webwallet_proto::token::Token;

use crate::client::{Answer, Ca, data};
use crate::home::Labels;
use crate::output::{self, Outcome, harmless};

/// Where the operator's commands go.
#[derive(Args)]
pub struct Admin {
    /// The server's admin listener: a URL, or ADDRESS:PORT
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8081")]
    admin: String,
    /// File with the token of that listener
    #[arg(long, env = "WEBWALLET_ADMIN_TOKEN_FILE", hide_env_values = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    #[command(flatten)]
    ca: Ca,
}

/// `webwallet seal`
#[derive(Args)]
pub struct Seal {
    /// Begin with a stack of all blocks since the last one
    #[arg(long)]
    stack: bool,
    #[command(flatten)]
    admin: Admin,
}

/// `webwallet rotate-log-key`
#[derive(Args)]
pub struct RotateLogKey {
    #[command(flatten)]
    admin: Admin,
}

impl Seal {
    /// Has the server seal everything that has cleared.
    pub fn run(&self, json: bool) -> anyhow::Result<Outcome> {
        let path = if self.stack { "/seal?stack=true" } else { "/seal" };
        self.admin.post(path, json, |sealed| {
            format!(
                "sealed up to block {}: {} new, with {} records",
                sealed("height"),
                sealed("blocks"),
                sealed("records")
            )
        })
    }
}

impl RotateLogKey {
    /// Has the server make a new log key.
    pub fn run(&self, json: bool) -> anyhow::Result<Outcome> {
        self.admin.post("/log-key", json, |rotated| {
            let (height, key) = (rotated("height"), rotated("key"));
            format!("from block {height} on the log is signed by\n{key}")
        })
    }
}

impl Admin {
    /// Gives a command and prints the `data` of its answer: as it is, or for people what
    /// `sentence` makes of its members.
    fn post(
        &self,
        path: &str,
        json: bool,
        sentence: impl FnOnce(&dyn Fn(&str) -> String) -> String,
    ) -> anyhow::Result<Outcome> {
        let token = self.token_file.as_deref().map(Token::read).transpose()?;
        // As `serve` is told of it, and says it in its first line.
        let server = match self.admin.parse::<SocketAddr>() {
            Ok(address) => self.ca.server(&format!("http://{address}"))?,
            Err(_) => self.ca.server(&self.admin)?,
        };
        let body = match server.command(path, token.as_ref())? {
            Answer::Problem(problem) => {
                let refused = problem.print(json, &Labels::default())?;
                if problem.code == "not_found" {
                    output::complain(format_args!(
                        "{} is no admin listener, but the public one or that of another role: name the admin one with --admin; `serve` shows it as \"admin\" in its first line",
                        server.url()
                    ));
                }
                return Ok(refused);
            }
            Answer::Done { body, .. } => body,
        };
        let done: Value = serde_json::from_str(data(&body)?.get())?;
        let member = |name: &str| harmless(done[name].as_str().unwrap_or_default()).into_owned();
        output::line(if json { done.to_string() } else { sentence(&member) })?;
        Ok(Outcome::Done)
    }
}
