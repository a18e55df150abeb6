//! The one task that writes.

use std::{collections::HashSet, sync::Arc, time::Instant};

use ::redis::{Cmd, RedisResult, Value, cmd};
use bytes::Bytes;
use tokio::sync::mpsc;
use webwallet_ledger::Hash;

use super::{Shared, engine};
use crate::{
    put::{Entry, Put},
    store::Error,
    value,
};

/// Replaces a value, unless it is another one by now.
const REPLACE: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2]) end";
/// Raises a number; several processes may write.
const RAISE: &str = "if tonumber(ARGV[1]) > tonumber(redis.call('GET', KEYS[1]) or '0') then redis.call('SET', KEYS[1], ARGV[1]) end";

pub(super) fn gone() -> Error {
    Error::Stopped("its task has ended".to_owned())
}

/// Writes until the store is dropped, and what has arrived then.
pub(super) async fn run(shared: Arc<Shared>, mut puts: mpsc::Receiver<Put>) {
    while let Some(first) = puts.recv().await {
        // Whoever woke this task may be about to put more.
        tokio::task::yield_now().await;
        let group = Put::arrived(first, &mut puts);
        let outcome = shared.write(&group).await;
        for put in group {
            let outcome = match &outcome {
                Ok(taken) => put
                    .entries
                    .iter()
                    .find(|entry| taken.contains(&entry.name))
                    .map_or(Ok(()), |entry| Err(Error::Taken(entry.number))),
                Err(error) => Err(again(error)),
            };
            put.answer(outcome);
        }
    }
}

/// One failure, told to each of a group.
fn again(error: &Error) -> Error {
    match error {
        Error::Damaged(name) => Error::Damaged(*name),
        Error::Stopped(why) => Error::Stopped(why.clone()),
        Error::Taken(number) => Error::Taken(*number),
        Error::Engine(cause) => Error::Engine(cause.to_string().into()),
    }
}

impl Shared {
    /// Writes a group, and names the records whose number another one has.
    async fn write(&self, group: &[Put]) -> Result<HashSet<Hash>, Error> {
        if let Some(faults) = self.faults() {
            return Err(Error::Stopped(faults));
        }
        let entries: Vec<&Entry> = group.iter().flat_map(|put| &put.entries).collect();
        let begun = Instant::now();
        let outcome = match self.store(&entries).await {
            // Sent again as a whole: all of it may be done twice.
            Err(error) => {
                tracing::warn!(%error, "redis; the same documents once more");
                self.store(&entries).await
            }
            stored => stored,
        };
        // The settings may have changed with the connection.
        match (outcome, self.faults()) {
            (Err(error), _) => Err(engine(error)),
            (Ok(_), Some(faults)) => Err(Error::Stopped(faults)),
            (Ok(taken), None) => {
                metrics::histogram!("webwallet_hashtable_commit_seconds").record(begun.elapsed());
                metrics::counter!("webwallet_hashtable_commits_total").increment(1);
                metrics::counter!("webwallet_hashtable_documents_total")
                    .increment(entries.len() as u64);
                Ok(taken)
            }
        }
    }

    /// Durable when it returns, but for the numbers of those whose names it returns:
    /// these are of other records.
    async fn store(&self, entries: &[&Entry]) -> RedisResult<HashSet<Hash>> {
        let records = || entries.iter().filter(|entry| entry.number != 0);
        let documents = entries.iter().map(|entry| {
            let mut set = cmd("SET");
            set.arg(self.shelf_key(entry.shelf, &entry.name)).arg(&entry.value).arg("NX");
            set
        });
        let numbers = records().map(|entry| {
            let mut set = cmd("SET");
            set.arg(self.number_key(entry.number)).arg(entry.name.to_string()).arg("NX");
            set
        });
        let highest = records().map(|entry| entry.number).max().map(|number| {
            let mut raise = cmd("EVAL");
            raise.arg(RAISE).arg(1).arg(self.key("highest")).arg(number);
            raise
        });
        let stages = vec![documents.collect(), numbers.collect(), highest.into_iter().collect()];
        let mut answers = self.commit(stages).await?.into_iter();
        let there = entries.iter().zip(&mut answers).filter(|(_, answer)| *answer == Value::Nil);
        let there: Vec<&Entry> = there.map(|(entry, _)| *entry).collect();
        let numbered = records().zip(answers).filter(|(_, answer)| *answer == Value::Nil);
        let numbered: Vec<&Entry> = numbered.map(|(entry, _)| *entry).collect();
        self.mend(&there).await?;
        let names = self.values(numbered.iter().map(|entry| self.number_key(entry.number))).await?;
        let others = numbered.iter().zip(names).filter_map(|(entry, name)| {
            let name = name?;
            (entry.name.to_string().as_bytes() != &name[..]).then_some((*entry, name))
        });
        self.contest(others.collect()).await
    }

    /// Names the records among these whose number another one has: what stands under it
    /// is in the index. A number in there that is nobody's is given to them.
    async fn contest(&self, entries: Vec<(&Entry, Bytes)>) -> RedisResult<HashSet<Hash>> {
        let other = |text: &Bytes| std::str::from_utf8(text).ok()?.parse::<Hash>().ok();
        let keys = entries.iter().map(|(_, there)| self.key(String::from_utf8_lossy(there)));
        let values = self.values(keys).await?;
        let (mut taken, mut replaced) = (HashSet::new(), Vec::new());
        for ((entry, there), value) in entries.into_iter().zip(values) {
            let value = value.unwrap_or_default();
            match other(&there) {
                Some(name) if value::has_number(name, &value, entry.number) => {
                    taken.insert(entry.name);
                }
                _ => {
                    let (key, name) = (self.number_key(entry.number), entry.name.to_string());
                    replaced.push(replace(key, &there, name.as_bytes()));
                }
            }
        }
        self.commit(vec![replaced]).await?;
        Ok(taken)
    }

    /// Reads back what was there before, and replaces what is damaged.
    async fn mend(&self, entries: &[&Entry]) -> RedisResult<()> {
        let values = self
            .values(entries.iter().map(|entry| self.shelf_key(entry.shelf, &entry.name)))
            .await?;
        // Where each put asks for its own sync, what another process put may not be
        // synced yet; written again by this one, it is.
        let always = self.waits();
        let replaced = entries.iter().zip(values).filter_map(|(entry, value)| {
            let value = value?;
            let new = match value::verified(entry.shelf, entry.name, &value) {
                Some(_) if always => &value[..],
                Some(_) => return None,
                None => {
                    tracing::error!(name = %entry.name, "damaged document, put again");
                    metrics::counter!("webwallet_hashtable_mended_total").increment(1);
                    &entry.value
                }
            };
            Some(replace(self.shelf_key(entry.shelf, &entry.name), &value, new))
        });
        let replaced = replaced.collect();
        self.commit(vec![replaced]).await.map(|_| ())
    }
}

/// Puts one value in place of another.
fn replace(key: String, old: &[u8], new: &[u8]) -> Cmd {
    let mut replace = cmd("EVAL");
    replace.arg(REPLACE).arg(1).arg(key).arg(old).arg(new);
    replace
}
