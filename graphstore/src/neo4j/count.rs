//! Counting the units of a graph that an earlier build has left: it kept the
//! accounts and the locks, but not what they come to.
//!
//! This process has taken the graph by then, so that nothing clears meanwhile.
//! Killed in the middle, it begins again: every total is written as a whole, and
//! the format last.

use std::collections::HashMap;

use neo4rs::{BoltType, query};
use webwallet_ledger::account::Balance;
use webwallet_ledger::{Address, Lock};

use super::bolt::{Bolt, Failure, first, get, integer, list, packed};
use super::read::{lock, parsed};
use super::statements::{FORMAT, SHARD, Statements};
use crate::unit::Totals;

/// Accounts or locks read at a time.
const PAGE: usize = 5_000;
/// Units written in one transaction.
const UNITS: usize = 1_000;

/// A row for the statement that writes what units come to.
pub(super) fn row(unit: &Address, totals: &Totals) -> BoltType {
    let (locked, credit) = (totals.locked.to_string(), totals.credit.to_string());
    list(vec![unit.as_str().into(), integer(totals.accounts), locked.into(), credit.into()])
}

/// Counts all units and brings the graph to this program's format.
pub(super) async fn units(bolt: &Bolt, epoch: u64) -> Result<(), Failure> {
    let statements = Statements::new();
    let mut units: HashMap<Address, Totals> = HashMap::new();
    count_accounts(bolt, &statements, &mut units).await?;
    count_locks(bolt, &statements, &mut units).await?;
    tracing::info!(units = units.len(), "the units of an earlier build's graph are counted");
    let rows: Vec<BoltType> = units.iter().map(|(unit, totals)| row(unit, totals)).collect();
    for rows in rows.chunks(UNITS) {
        write(bolt, &statements, epoch, rows).await?;
    }
    let formed = query(&statements.formed)
        .param("shard", SHARD)
        .param("epoch", integer(epoch))
        .param("format", FORMAT);
    if bolt.write(formed).await?.is_empty() {
        return Err(taken());
    }
    Ok(())
}

fn taken() -> Failure {
    let why = "another Graphstore has taken the graph while its units were counted";
    Failure::Transient(why.into())
}

/// Writes what units come to, unless somebody else has taken the graph: what he has
/// counted or cleared since must not become what it was.
async fn write(
    bolt: &Bolt,
    statements: &Statements,
    epoch: u64,
    rows: &[BoltType],
) -> Result<(), Failure> {
    let mut transaction = bolt.begin().await?;
    let ran = async {
        // Nobody takes it from here to the end.
        let locked = transaction.rows(statements.settle_query()).await?;
        if get::<u64>(first(&locked)?, "epoch")? != epoch {
            return Err(taken());
        }
        for (query, _) in packed(&statements.units_counted, rows.to_vec()) {
            transaction.rows(query).await?;
        }
        Ok(())
    };
    let ran = ran.await;
    transaction.end(ran).await
}

async fn count_accounts(
    bolt: &Bolt,
    statements: &Statements,
    units: &mut HashMap<Address, Totals>,
) -> Result<(), Failure> {
    let mut after = 0;
    loop {
        let asked = query(&statements.accounts_after);
        let asked = asked.param("after", integer(after)).param("limit", PAGE as i64);
        let rows = bolt.read(asked).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = get(last, "no")?;
        for row in &rows {
            let (unit, address): (Address, Address) =
                (parsed(row, "unit")?, parsed(row, "address")?);
            let totals = units.entry(unit).or_default();
            totals.accounts += 1;
            if unit != address {
                let balance = Balance::from_texts("0", get(row, "min")?, "Infinity");
                let balance = balance.map_err(|e| {
                    Failure::Unexplained(format!("the lower limit of account {after}: {e}"))
                })?;
                let credit = balance.min.map(|min| min.negated());
                totals.credit = credit.map_or(totals.credit.clone(), |c| totals.credit.plus(&c));
            }
        }
    }
}

async fn count_locks(
    bolt: &Bolt,
    statements: &Statements,
    units: &mut HashMap<Address, Totals>,
) -> Result<(), Failure> {
    let mut after = String::new();
    loop {
        let asked = query(&statements.locks_after);
        let asked = asked.param("after", after).param("limit", PAGE as i64);
        let rows = bolt.read(asked).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = get(last, "id")?;
        for row in &rows {
            if get(row, "open")? {
                let Lock { account, amount, .. } = lock(row)?;
                let totals = units.entry(account.unit).or_default();
                totals.locked = totals.locked.plus(&amount);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use webwallet_ledger::signature::public_of;

    use super::super::bolt::Settings;
    use super::super::schema;
    use super::*;

    const DOMAIN: &str = "example.net";

    /// Everybody who asks what a unit comes to would be told, for ever, what it came to
    /// before the second Graphstore cleared.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn whoever_has_lost_the_graph_counts_no_more() {
        let server = tokio::task::spawn_blocking(webwallet_engines::neo4j).await.expect("a server");
        let webwallet_engines::Neo4j { uri, user, password, .. } = server;
        let settings =
            Settings { url: uri.clone(), user: user.clone(), password: password.clone() };
        let bolt = Bolt::new(&settings).expect("an address");
        bolt.write(query("MATCH (n) DETACH DELETE n")).await.expect("emptied");
        let open = async || {
            let opened = schema::open(&bolt, &settings, DOMAIN).await.expect("opened");
            opened.epoch.expect("to write")
        };
        let (statements, unit) = (Statements::new(), Address::of_public(&public_of(&[0; 32])));
        let counted = async |epoch, accounts| {
            let totals = Totals { accounts, ..Totals::default() };
            write(&bolt, &statements, epoch, &[row(&unit, &totals)]).await
        };
        let (first, second) = (open().await, open().await);
        counted(second, 2).await.expect("it has the graph");
        assert!(matches!(counted(first, 1).await, Err(Failure::Transient(_))));
        let rows = bolt.read(query("MATCH (u:Unit) RETURN u.accounts AS accounts")).await;
        let rows = rows.expect("an answer");
        let accounts: Vec<u64> =
            rows.iter().map(|row| get(row, "accounts").expect("a number")).collect();
        assert_eq!(accounts, [2]);
    }
}
