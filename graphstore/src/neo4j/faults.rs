//! What is wrong with a graph as such, for whoever inspects one.

use neo4rs::query;

use super::Inner;
use super::bolt::{Failure, get};
use super::schema::missing;
use super::statements::SHARD;
use crate::store::Error;

impl Inner {
    /// One sentence for each constraint or index that is missing, and for each
    /// of the Shard's counters that disagrees with what is there.
    pub(super) async fn faults(&self) -> Result<Vec<String>, Error> {
        let mut faults: Vec<String> = (missing(&self.bolt).await?.into_iter())
            .map(|missing| {
                format!("{} is missing; make it again with: {}", missing.what, missing.command)
            })
            .collect();
        let rows = self.bolt.read(query(&self.statements.faults).param("shard", SHARD)).await?;
        let [row] = &rows[..] else {
            faults.push("the Shard, which numbers everything, is missing".into());
            return Ok(faults);
        };
        let count = |name| -> Result<u64, Failure> { get(row, name) };
        let mut compare = |what: &str, counter: u64, there: u64| {
            if counter != there {
                faults.push(format!("the Shard counts {counter} {what}, and {there} are there"));
            }
        };
        compare("transactions", count("n")?, count("transactions")?);
        compare("accounts", count("accounts")?, count("all")?);
        compare("blocks", count("heights")?, count("blocks")?);
        let beyond = count("beyond")?;
        if beyond > 0 {
            faults.push(format!("{beyond} transactions have a number beyond the last one given"));
        }
        Ok(faults)
    }
}
