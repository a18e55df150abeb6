//! `webwallet unit`: how much there is of a unit, and who has it.

use anyhow::ensure;
use clap::Args;
use serde::Deserialize;

use crate::account::{Page, list, parse};
use crate::client::Url;
use crate::home::{Home, Labels};
use crate::output::{self, Outcome};
use crate::transaction::Balance;

/// `webwallet unit`
#[derive(Args)]
pub struct UnitOf {
    /// The unit: its issuer's address, or one of your keys
    #[arg(value_name = "NAME_OR_ADDRESS")]
    unit: String,
    /// Who has it, in the order of addresses
    #[arg(long)]
    holders: bool,
    #[command(flatten)]
    page: Page,
    #[command(flatten)]
    home: Home,
    #[command(flatten)]
    url: Url,
}

#[derive(Deserialize)]
struct Unit {
    unit: String,
    supply: String,
    locked: String,
    accounts: String,
    credit: String,
}

#[derive(Deserialize)]
struct Holders {
    holders: Vec<Holder>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Holder {
    address: String,
    balance: Balance,
}

impl UnitOf {
    /// Prints what a unit comes to, or its holders.
    pub fn run(&self, json: bool) -> anyhow::Result<Outcome> {
        let keys = self.home.keys()?;
        let labels = keys.labels();
        let unit = keys.address(&self.unit)?;
        let path = match self.holders {
            true => format!("/unit/{unit}/holders?{}", self.page.query()),
            false => format!("/unit/{unit}"),
        };
        let check = |found: &str| {
            // The list of its holders does not say whose they are.
            if !self.holders {
                let found: Unit = parse(found)?;
                ensure!(found.unit == unit.as_str(), "it is of {}", found.unit);
            }
            Ok(())
        };
        self.url.server()?.show(&path, json, &labels, check, |found| match self.holders {
            true => holders(found, &labels),
            false => unit_line(found, &labels),
        })
    }
}

fn unit_line(found: &str, labels: &Labels) -> anyhow::Result<()> {
    let Unit { unit, supply, locked, accounts, credit } = parse(found)?;
    let row = vec![labels.of(&unit).to_owned(), supply, locked, accounts, credit];
    output::line(output::table(&["unit", "supply", "locked", "accounts", "credit"], [row]))?;
    Ok(())
}

fn holders(found: &str, labels: &Labels) -> anyhow::Result<()> {
    let Holders { holders, next } = parse(found)?;
    let rows = holders.into_iter().map(|Holder { address, balance: Balance { net, min, max } }| {
        vec![labels.of(&address).to_owned(), net, min, max]
    });
    list(&["address", "net", "min", "max"], rows, "no accounts", next)
}
