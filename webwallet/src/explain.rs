//! `webwallet explain`: every code an answer can be refused with, offline.
//! The texts stand beside the codes, in `ledger` and `api-gateway`.

use clap::Args;
use serde_json::{Value, json};
use webwallet_api_gateway::problem::Kind;

use crate::output::{self, Outcome};

/// `webwallet explain`
#[derive(Args)]
pub struct Explain {
    /// Code of a refusal; all of them when left out
    code: Option<String>,
}

impl Explain {
    /// Prints one code's page, or the list.
    pub fn run(&self, as_json: bool) -> anyhow::Result<Outcome> {
        let Some(name) = &self.code else {
            for kind in Kind::all() {
                output::line(if as_json {
                    document(kind).to_string()
                } else {
                    format!("{:22} {}", kind.code(), kind.title())
                })?;
            }
            return Ok(Outcome::Done);
        };
        let Some(kind) = Kind::named(name) else {
            anyhow::bail!("there is no code `{name}`; `webwallet explain` lists all");
        };
        output::line(if as_json {
            document(kind).to_string()
        } else {
            format!(
                "{}: {}\n\nstatus  {}\nretry   {}\n\nCause: {}\n\nCure: {}\n\nExample: {}",
                kind.code(),
                kind.title(),
                kind.status().as_u16(),
                kind.retry(),
                kind.cause(),
                kind.cure(),
                kind.example()
            )
        })?;
        Ok(Outcome::Done)
    }
}

fn document(kind: Kind) -> Value {
    json!({
        "code": kind.code(),
        "title": kind.title(),
        "status": kind.status().as_u16(),
        "retry": kind.retry(),
        "cause": kind.cause(),
        "cure": kind.cure(),
        "example": kind.example(),
    })
}
