//! A refusal as the wallet commands print it: from a server's problem+json,
//! or from a rule that was asked here, without a server.

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::Value;
use webwallet_ledger::rejection::{Code, Rejection};

use crate::home::Labels;
use crate::output::{self, Outcome, harmless};

/// What an answer says about a refusal; members we do not know are printed
/// with `--json` and otherwise left alone.
#[derive(Deserialize)]
pub struct Problem {
    /// One of the closed list.
    #[serde(default)]
    pub code: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    detail: String,
    #[serde(default)]
    pointer: String,
    #[serde(default)]
    retry: String,
    #[serde(default)]
    limit: Value,
    #[serde(default)]
    actual: Value,
    /// `unit|address` of the account whose limit was met.
    #[serde(default)]
    account: String,
    #[serde(default)]
    suggestion: Vec<Change>,
    /// The whole document as it came.
    #[serde(skip)]
    body: String,
}

/// A change of the request by which it would have cleared.
#[derive(Deserialize)]
struct Change {
    pointer: String,
    value: Option<String>,
}

impl Change {
    /// For people: what to do with which IOU of the request.
    fn sentence(&self) -> String {
        let mut parts = self.pointer.trim_start_matches("/data/inputs/").splitn(2, '/');
        let input = parts.next().unwrap_or_default();
        let part = parts.next().map(|part| part.trim_start_matches("data/"));
        match (part, &self.value) {
            (None, _) => format!("IOU {input} left out"),
            (Some(part), None) => format!("IOU {input} without {part}"),
            (Some(part), Some(value)) => format!("IOU {input} with {part} {value}"),
        }
    }
}

impl Problem {
    /// Reads problem+json.
    pub fn from_json(body: String) -> anyhow::Result<Problem> {
        let problem: Problem =
            serde_json::from_str(&body).context("the problem document cannot be read")?;
        Ok(Problem { body, ..problem })
    }

    /// A refusal by the rules, before any server was asked: as one would write it.
    pub fn from_rejection(rejection: &Rejection) -> anyhow::Result<Problem> {
        let problem = webwallet_api_gateway::problem::Problem::from(rejection.clone());
        Problem::from_json(String::from_utf8(problem.document("/transaction"))?)
    }

    /// Whether the same bytes may succeed later. What a newer server says in a
    /// word we do not know may well be that.
    pub fn may_succeed_later(&self) -> bool {
        !matches!(self.retry.as_str(), "never" | "rebuild")
    }

    /// Whether it says of these bytes that they never clear: a rule does, of a server
    /// that they were written for. A path that is not there says nothing of them; and an
    /// expiry that is too far comes nearer.
    pub fn is_final(&self) -> bool {
        let not = [Code::WrongDomain, Code::ExpiryTooFar];
        !self.may_succeed_later() && self.code.parse().is_ok_and(|code| !not.contains(&code))
    }

    /// When the same bytes may clear one day all the same, by whoever has them; none where
    /// nothing but these bytes decides.
    pub fn may_change(&self) -> Option<&'static str> {
        match self.code.parse().ok()? {
            Code::CreditNotGranted
            | Code::BalanceBelowMin
            | Code::BalanceAboveMax
            | Code::AmountOverflow => Some("once the balances allow it"),
            Code::ExpiryTooFar => Some("once its expiry is near enough"),
            _ => None,
        }
    }

    /// The whole document as it came.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// The value that met a limit, where it is a text.
    pub fn actual(&self) -> Option<&str> {
        self.actual.as_str()
    }

    /// Is it open whether it was cleared?
    pub fn is_unknown_outcome(&self) -> bool {
        self.retry == "same"
    }

    /// In one sentence, fit for a terminal.
    pub fn sentence(&self) -> String {
        let text = if self.detail.is_empty() { &self.title } else { &self.detail };
        let at = if self.pointer.is_empty() { "" } else { " at " };
        harmless(&format!("{} ({text}){at}{}", self.code, self.pointer)).into_owned()
    }

    /// On standard output: the document itself, or for people. So a command ends that was
    /// refused.
    pub fn print(&self, json: bool, labels: &Labels) -> anyhow::Result<Outcome> {
        if json {
            output::line(&self.body)?;
            return Ok(Outcome::Refused);
        }
        let mut lines = vec![format!("refused: {}", self.code)];
        if !self.title.is_empty() {
            lines.push(self.title.clone());
        }
        if !self.detail.is_empty() && self.detail != self.title {
            let named = self.detail.split(' ').map(|word| labels.of(word)).collect::<Vec<_>>();
            lines.push(named.join(" "));
        }
        let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        for (name, value) in [("limit", &self.limit), ("actual", &self.actual)] {
            if !value.is_null() {
                lines.push(format!("{name} {}", plain(value)));
            }
        }
        if let Some((unit, address)) = self.account.split_once('|') {
            let (unit, address) = (labels.of(unit), labels.of(address));
            lines.push(format!("account {address} in the unit of {unit}"));
        }
        if !self.pointer.is_empty() {
            lines.push(format!("at {}", self.pointer));
        }
        if !self.suggestion.is_empty() {
            let changes: Vec<String> = self.suggestion.iter().map(Change::sentence).collect();
            lines.push(format!("clears {}", changes.join(", ")));
        }
        lines.push(format!("more: webwallet explain {}", output::word(&self.code)));
        // A server writes what it likes into any of them.
        let lines: Vec<_> = lines.iter().map(|line| harmless(line)).collect();
        output::line(lines.join("\n  "))?;
        Ok(Outcome::Refused)
    }
}
