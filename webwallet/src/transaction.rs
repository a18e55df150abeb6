//! Records as people read them, and `webwallet transaction`.

use anyhow::{Context as _, ensure};
use clap::Args;
use serde::Deserialize;

use crate::client::{Url, segment};
use crate::home::{Home, Labels};
use crate::output::{self, Outcome, harmless};
use crate::record;

/// `webwallet transaction`
#[derive(Args)]
pub struct Transaction {
    /// Hash or number of the record
    #[arg(value_name = "HASH_OR_NUMBER")]
    key: String,
    #[command(flatten)]
    home: Home,
    #[command(flatten)]
    url: Url,
}

impl Transaction {
    /// Prints one record.
    pub fn run(&self, json: bool) -> anyhow::Result<Outcome> {
        let labels = self.home.keys()?.labels();
        let path = format!("/transaction/{}", segment(&self.key));
        let check = |found: &str| {
            let record = record::read(found.as_bytes())?.record;
            let names = [record.number.to_string(), record.hash.to_string()];
            ensure!(names.contains(&self.key), "it is record {} {}", record.number, record.hash);
            Ok(())
        };
        let print = |found: &str| Ok(output::line(page(found, &labels)?)?);
        self.url.server()?.show(&path, json, &labels, check, print)
    }
}

#[derive(Deserialize)]
struct Record {
    data: RecordData,
    hash: Hash,
    meta: Meta,
}

#[derive(Deserialize)]
struct RecordData {
    number: String,
    time: String,
    outputs: Vec<Output>,
}

#[derive(Deserialize)]
struct Hash {
    value: String,
}

#[derive(Deserialize)]
struct Meta {
    inputs: Vec<Iou>,
}

#[derive(Deserialize)]
struct Iou {
    data: IouData,
}

#[derive(Deserialize)]
struct IouData {
    source: String,
    target: String,
    amount: String,
    symbol: String,
    credit: Option<String>,
}

/// One output of a record or of an account.
#[derive(Deserialize)]
pub struct Output {
    /// Who holds it.
    pub address: String,
    /// Its unit.
    pub counter: String,
    /// The account after the record, or what is locked.
    pub balance: Balance,
    /// Of a locked output: the conditions.
    locker: Option<Locker>,
}

#[derive(Deserialize)]
struct Locker {
    timers: Timers,
}

#[derive(Deserialize)]
struct Timers {
    expiry: String,
}

impl Output {
    /// Whose it is, or for whom it is locked.
    fn holder(&self, labels: &Labels) -> String {
        let name = labels.of(&self.address);
        match self.locker {
            Some(_) => format!("locked for {name}"),
            None => name.to_owned(),
        }
    }
}

/// A balance and its limits.
#[derive(Deserialize)]
pub struct Balance {
    /// What is held, or owed when negative.
    pub net: String,
    /// The least it may be.
    pub min: String,
    /// The most it may be.
    pub max: String,
}

fn parse<'r, T: Deserialize<'r>>(record: &'r str) -> anyhow::Result<T> {
    serde_json::from_str(record).context("the record cannot be read")
}

/// A record in one line, fit for a terminal.
pub fn sentence(record: &str, labels: &Labels) -> anyhow::Result<String> {
    // Its IOUs, which a receipt says nothing of, are not looked at.
    #[derive(Deserialize)]
    struct Outline {
        data: RecordData,
        hash: Hash,
    }
    let Outline { data, hash } = parse(record)?;
    let RecordData { number, time, outputs } = data;
    let mut text = format!("record {number} at {time}, {}", balances(&outputs, labels));
    for (pointer, ..) in locks(&outputs, &hash.value) {
        text.push_str(&format!("; lock {pointer}"));
    }
    Ok(harmless(&text).into_owned())
}

/// What a rehearsed request would leave, in one line.
pub fn left(rehearsal: &str, labels: &Labels) -> anyhow::Result<String> {
    #[derive(Deserialize)]
    struct Rehearsal {
        outputs: Vec<Output>,
    }
    let rehearsal: Rehearsal =
        serde_json::from_str(rehearsal).context("the outputs cannot be read")?;
    Ok(harmless(&balances(&rehearsal.outputs, labels)).into_owned())
}

fn balances(outputs: &[Output], labels: &Labels) -> String {
    let line = |output: &Output| format!("{} {}", output.holder(labels), output.balance.net);
    let mut lines = outputs.iter().take(4).map(line).collect::<Vec<_>>();
    if outputs.len() > lines.len() {
        lines.push(format!("and {} more", outputs.len() - lines.len()));
    }
    lines.join(", ")
}

/// What is locked, under the pointers that `release` and `refund` ask for.
fn locks<'a>(
    outputs: &'a [Output],
    record: &'a str,
) -> impl Iterator<Item = (String, &'a Output, &'a Timers)> {
    outputs.iter().enumerate().filter_map(move |(index, output)| {
        let timers = &output.locker.as_ref()?.timers;
        Some((format!("{record}::{index}"), output, timers))
    })
}

/// A record on a page.
fn page(record: &str, labels: &Labels) -> anyhow::Result<String> {
    let record: Record = parse(record)?;
    let head = [
        format!("record {}", record.data.number),
        format!("hash  {}", record.hash.value),
        format!("time  {}", record.data.time),
    ];
    let mut text = head.each_ref().map(|line| harmless(line)).join("\n  ");
    text.push_str("\n\n");
    let moves = record.meta.inputs.iter().map(|iou| {
        let label = |address: &str| labels.of(address).to_owned();
        let IouData { source, target, amount, symbol, credit } = &iou.data;
        vec![
            label(source),
            label(target),
            amount.clone(),
            label(symbol),
            credit.clone().unwrap_or_default(),
        ]
    });
    text.push_str(&output::table(&["from", "to", "amount", "unit", "credit"], moves));
    text.push_str("\n\n");
    let outputs = &record.data.outputs;
    let after = outputs.iter().map(|output| row(output, labels));
    text.push_str(&output::table(&["account", "unit", "net", "min", "max"], after));
    let mut locks = locks(outputs, &record.hash.value).peekable();
    if locks.peek().is_some() {
        let locks = locks.map(|(pointer, output, timers)| {
            vec![pointer, labels.of(&output.address).to_owned(), timers.expiry.clone()]
        });
        text.push_str("\n\n");
        text.push_str(&output::table(&["lock", "for", "until"], locks));
    }
    Ok(text)
}

/// An output as a row: account, unit, net, min, max.
pub fn row(output: &Output, labels: &Labels) -> Vec<String> {
    let Balance { net, min, max } = &output.balance;
    let label = |address: &str| labels.of(address).to_owned();
    vec![output.holder(labels), label(&output.counter), net.clone(), min.clone(), max.clone()]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server could erase what stands on the screen, and write that all is well.
    #[test]
    fn what_a_record_says_does_not_move_the_terminal() {
        let bad = r"\u001b[2K\r\u202eall is well\n\u009b1m";
        let record = format!(
            r#"{{"data":{{"number":"{bad}","time":"{bad}","outputs":[{{"address":"{bad}","counter":"{bad}","balance":{{"net":"{bad}","min":"0","max":"0"}}}}]}},"hash":{{"value":"{bad}"}},"meta":{{"inputs":[{{"data":{{"source":"{bad}","target":"{bad}","amount":"{bad}","symbol":"{bad}"}}}}]}}}}"#
        );
        let labels = Labels::default();
        for text in [sentence(&record, &labels), page(&record, &labels)] {
            let text = text.expect("a record");
            assert!(!text.contains(|c: char| c.is_control() && c != '\n' || c == '\u{202e}'));
            assert!(text.contains(r"\u{1b}"), "{text}");
        }
    }
}
