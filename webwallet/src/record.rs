//! Records as a server hands them out. It may hand out what it likes: of a record is believed
//! what its name proves, which is the hash of its data, and what the names of its IOUs prove.

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;
use webwallet_ledger::leaf::{Entry, Leaf};
use webwallet_ledger::{Hash, Record, Request};

use crate::client::{Server, data};

/// Reads a record. Its name is that of its data, and its IOUs are those that it names.
pub fn read(record: &[u8]) -> anyhow::Result<Entry> {
    let domain = Record::parse(record)?.domain().to_owned();
    match Leaf::parse(record, &domain)? {
        Leaf::Record(entry) => Ok(*entry),
        _ => bail!("it is no record"),
    }
}

/// Whether a record is that of a request: its IOUs are exactly those, and they were written for its
/// domain. A repeat in another order is answered with the record of the first.
pub fn is_of(record: &Record, request: &[u8]) -> bool {
    let Ok(request) = Request::parse(request, record.domain()) else { return false };
    let (mut asked, mut cleared) = (request.ious(), record.inputs.clone());
    asked.sort();
    cleared.sort();
    asked == cleared
}

/// The record of this name; none where the server has none.
pub fn named(server: &Server, name: Hash) -> anyhow::Result<Option<Entry>> {
    let Some(body) = server.found(&format!("/transaction/{name}"))? else { return Ok(None) };
    let asked = || format!("{} was asked for the record {name}", server.url());
    let entry = read(data(&body)?.get().as_bytes()).with_context(asked)?;
    let other = entry.record.hash;
    ensure!(other == name, "{}, and answered with another, {other}", asked());
    Ok(Some(entry))
}

/// The record in which an IOU has cleared; none while it has not.
pub fn of_iou(server: &Server, iou: Hash) -> anyhow::Result<Option<Entry>> {
    #[derive(Deserialize)]
    struct Cleared {
        transaction: String,
    }
    let Some(body) = server.found(&format!("/iou/{iou}"))? else { return Ok(None) };
    let cleared: Result<Cleared, _> = serde_json::from_str(data(&body)?.get());
    let name = cleared.ok().and_then(|cleared| cleared.transaction.parse().ok());
    let says = || format!("{} says that the IOU {iou} has cleared", server.url());
    let name = name.with_context(|| format!("{}, and not where", says()))?;
    let entry = named(server, name)?;
    let holds =
        |entry: &Entry| entry.request.as_ref().is_ok_and(|request| request.ious().contains(&iou));
    match entry {
        Some(entry) if holds(&entry) => Ok(Some(entry)),
        _ => bail!("{}, in the record {name}, and it is not there", says()),
    }
}
