//! `webwallet balance` and `webwallet history`: what an address holds, and how
//! it came to hold it.

use anyhow::{Context as _, ensure};
use clap::Args;
use serde::Deserialize;

use crate::client::{Url, segment};
use crate::home::{Home, Labels};
use crate::output::{self, Outcome};
use crate::transaction::{Balance, Output, row};

/// Which part of a list.
#[derive(Args)]
pub struct Page {
    /// Entries at most
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1000), default_value_t = 100)]
    limit: u16,
    /// Where an earlier answer ended (its `next`)
    // One in 64 begins with a hyphen.
    #[arg(long, allow_hyphen_values = true)]
    cursor: Option<String>,
}

impl Page {
    /// As a server is asked for it.
    pub fn query(&self) -> String {
        let cursor = self.cursor.as_deref().map(|cursor| format!("&cursor={}", segment(cursor)));
        format!("limit={}{}", self.limit, cursor.unwrap_or_default())
    }
}

/// `webwallet balance`
#[derive(Args)]
pub struct BalanceOf {
    /// An address, or one of your keys
    #[arg(value_name = "NAME_OR_ADDRESS")]
    address: String,
    /// Only this unit
    #[arg(long, value_name = "NAME_OR_ADDRESS")]
    unit: Option<String>,
    #[command(flatten)]
    page: Page,
    #[command(flatten)]
    home: Home,
    #[command(flatten)]
    url: Url,
}

#[derive(Deserialize)]
struct Units {
    address: String,
    units: Vec<Unit>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Unit {
    counter: String,
    balance: Balance,
}

impl BalanceOf {
    /// Prints the units of an address.
    pub fn run(&self, json: bool) -> anyhow::Result<Outcome> {
        let keys = self.home.keys()?;
        let labels = keys.labels();
        let address = keys.address(&self.address)?;
        let mut path = format!("/address/{address}?{}", self.page.query());
        let unit = self.unit.as_deref().map(|unit| keys.address(unit)).transpose()?;
        if let Some(unit) = unit {
            path.push_str(&format!("&counter={unit}"));
        }
        let check = |found: &str| {
            let Units { address: of, units, .. } = parse(found)?;
            ensure!(of == address.as_str(), "it is of {of}");
            let is_of = |held: &Unit| unit.is_none_or(|unit| held.counter == unit.as_str());
            ensure!(units.iter().all(is_of), "it is of another unit");
            Ok(())
        };
        self.url.server()?.show(&path, json, &labels, check, |found| units(found, &labels))
    }
}

/// What an answer says.
pub fn parse<'a, T: Deserialize<'a>>(found: &'a str) -> anyhow::Result<T> {
    serde_json::from_str(found).context("the answer cannot be read")
}

fn units(found: &str, labels: &Labels) -> anyhow::Result<()> {
    let Units { units, next, .. } = parse(found)?;
    let rows = units.into_iter().map(|Unit { counter, balance: Balance { net, min, max } }| {
        vec![labels.of(&counter).to_owned(), net, min, max]
    });
    list(&["unit", "net", "min", "max"], rows, "no accounts", next)
}

/// `webwallet history`
#[derive(Args)]
pub struct History {
    /// An address, or one of your keys
    #[arg(value_name = "NAME_OR_ADDRESS")]
    address: String,
    /// In this unit [default: its own]
    #[arg(long, value_name = "NAME_OR_ADDRESS")]
    unit: Option<String>,
    #[command(flatten)]
    page: Page,
    #[command(flatten)]
    home: Home,
    #[command(flatten)]
    url: Url,
}

#[derive(Deserialize)]
struct Outputs {
    outputs: Vec<Placed>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Placed {
    pointer: String,
    content: Output,
}

impl History {
    /// Prints the outputs of an account, newest first.
    pub fn run(&self, json: bool) -> anyhow::Result<Outcome> {
        let keys = self.home.keys()?;
        let labels = keys.labels();
        let address = keys.address(&self.address)?;
        let unit = self.unit.as_deref().map_or_else(|| Ok(address), |unit| keys.address(unit))?;
        let path =
            format!("/address/{address}/outputs/history?counter={unit}&{}", self.page.query());
        let check = |found: &str| {
            let Outputs { outputs, .. } = parse(found)?;
            let is_of = |Placed { content, .. }: &Placed| {
                content.address == address.as_str() && content.counter == unit.as_str()
            };
            ensure!(outputs.iter().all(is_of), "it is of another account");
            Ok(())
        };
        self.url.server()?.show(&path, json, &labels, check, |found| outputs(found, &labels))
    }
}

fn outputs(found: &str, labels: &Labels) -> anyhow::Result<()> {
    let Outputs { outputs, next } = parse(found)?;
    let rows = outputs.iter().map(|placed| {
        let mut cells = row(&placed.content, labels).split_off(2);
        cells.push(placed.pointer.clone());
        cells
    });
    list(&["net", "min", "max", "pointer"], rows, "no outputs in this unit", next)
}

/// Prints a part of a list, or that `nothing` is in it, and says how to go on.
pub fn list(
    head: &[&str],
    rows: impl ExactSizeIterator<Item = Vec<String>>,
    nothing: &str,
    next: Option<String>,
) -> anyhow::Result<()> {
    if rows.len() == 0 {
        return Ok(output::line(nothing)?);
    }
    output::line(output::table(head, rows))?;
    if let Some(next) = next {
        // Somebody else's text, which is pasted into a shell.
        output::complain(format_args!("more with --cursor {}", output::word(&next)));
    }
    Ok(())
}
