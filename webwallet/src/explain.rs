//! `webwallet explain`: every code an answer can be refused with, offline.
//! The texts stand beside the codes, in `ledger` and `api-gateway`.

use clap::Args;
use webwallet_api_gateway::problem::Kind;
use webwallet_api_gateway::schema::Explanation;

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
                output::line(match as_json {
                    true => serde_json::to_string(&Explanation::from(kind))?,
                    false => format!("{:22} {}", kind.code(), kind.meaning().title),
                })?;
            }
            return Ok(Outcome::Done);
        };
        let Some(kind) = Kind::named(name) else {
            anyhow::bail!("there is no code `{name}`; `webwallet explain` lists all");
        };
        let Explanation { code, title, status, retry, cause, cure, example } = kind.into();
        output::line(match as_json {
            true => serde_json::to_string(&Explanation::from(kind))?,
            false => format!(
                "{code}: {title}\n\nstatus  {status}\nretry   {retry}\n\nCause: {cause}\n\nCure: {cure}\n\nExample: {example}"
            ),
        })?;
        Ok(Outcome::Done)
    }
}
