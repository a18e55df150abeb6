//! What Graphstore keeps beside the records, so that it need not read them: accounts and
//! their chains of outputs, open locks, and what units come to.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use webwallet_graphstore::Store as Graph;
use webwallet_graphstore::store::{Error, Page, Placed};
use webwallet_hashtable::{Error as Kept, Store as Documents};
use webwallet_ledger::account::Balance;
use webwallet_ledger::{Account, AccountId, Address, Hash, Lock, Pointer, Record};

use super::books::mark;
use super::{Check, PAGE};

/// Where of two lists of locks one has another than the other, or none.
fn others(ours: Vec<(Pointer, Lock)>, theirs: Vec<(Pointer, Lock)>) -> BTreeSet<Pointer> {
    let (ours, theirs) = (BTreeMap::from_iter(ours), BTreeMap::from_iter(theirs));
    let pointers = ours.keys().chain(theirs.keys()).copied();
    pointers.filter(|pointer| ours.get(pointer) != theirs.get(pointer)).collect()
}

impl<G: Graph, D: Documents> Check<'_, G, D> {
    /// Every account and every output of its chain.
    pub(super) async fn accounts(&mut self) -> anyhow::Result<()> {
        let mut ids: Vec<AccountId> = self.books.accounts.keys().copied().collect();
        ids.sort_unstable();
        for ids in ids.chunks(PAGE) {
            let loaded = self.loaded(ids).await?;
            for id in ids {
                let chain = self.chain(*id).await?;
                let Some(line) = self.books.accounts.get(id) else { continue };
                let right = loaded.get(id) == Some(&line.account);
                let whole = chain == (line.outputs, line.sum);
                if right && whole {
                    continue;
                }
                let (last, output) = (line.number, line.account.output);
                let number = Some(self.first_other(*id, output).await?.unwrap_or(last));
                if !right {
                    let detail =
                        format!("Graphstore's balance or current output of {id} is another");
                    self.find("F-HEAD", number, detail);
                }
                if !whole {
                    let detail = format!("Graphstore's chain of outputs of {id} is another");
                    self.find("F-CHAIN", number, detail);
                }
            }
        }
        Ok(())
    }

    /// These accounts as Graphstore has them, but for those that it cannot put together.
    async fn loaded(&self, ids: &[AccountId]) -> anyhow::Result<HashMap<AccountId, Account>> {
        match self.graph.load(ids, &[]).await {
            Ok(loaded) => return Ok(loaded.accounts),
            Err(Error::Broken(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let mut accounts = HashMap::new();
        for id in ids {
            match self.graph.load(&[*id], &[]).await {
                Ok(loaded) => accounts.extend(loaded.accounts),
                Err(Error::Broken(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(accounts)
    }

    /// Every open lock, and that the two who may use it find it and no other.
    pub(super) async fn locks(&mut self) -> anyhow::Result<()> {
        let locks: Vec<(Pointer, Lock)> =
            self.books.locks.iter().map(|(pointer, lock)| (*pointer, lock.clone())).collect();
        for locks in locks.chunks(PAGE) {
            let pointers: Vec<Pointer> = locks.iter().map(|(pointer, _)| *pointer).collect();
            let found = self.graph.locks(&pointers).await?;
            for (pointer, lock) in locks.iter().filter(|(at, lock)| found.get(at) != Some(lock)) {
                let detail = format!("Graphstore has another lock, or none, at {pointer}: {lock}");
                let number = self.number_of(pointer).await?;
                self.find("F-LOCK", number, detail);
            }
        }
        let mut of: BTreeMap<AccountId, Vec<(Pointer, Lock)>> = BTreeMap::new();
        for (pointer, lock) in locks {
            for address in [lock.account.address, lock.source] {
                let id = AccountId { unit: lock.account.unit, address };
                of.entry(id).or_default().push((pointer, lock.clone()));
            }
        }
        // Those who have none, too: what was used must be gone.
        let ids = self.books.accounts.keys().copied().chain(of.keys().copied());
        for id in ids.collect::<BTreeSet<_>>() {
            let (mut listed, mut after) = (Vec::new(), None);
            loop {
                let page = self.graph.locks_of(id, after, PAGE as u32).await?;
                after = page.last().map(|(pointer, _)| *pointer);
                if page.is_empty() {
                    break;
                }
                listed.extend(page);
            }
            let ours = of.remove(&id).unwrap_or_default();
            if listed != ours {
                let mut numbers = Vec::new();
                for pointer in others(ours, listed) {
                    numbers.extend(self.number_of(&pointer).await?);
                }
                let detail = format!("Graphstore lists other open locks of {id}");
                self.find("F-LOCK", numbers.into_iter().min(), detail);
            }
        }
        Ok(())
    }

    /// What Graphstore says that each unit comes to, and its list of holders.
    pub(super) async fn units(&mut self) -> anyhow::Result<()> {
        for (address, (unit, holders)) in self.books.units() {
            let told = self.graph.unit(address).await?;
            if told != unit {
                let detail = format!("Graphstore says {told:?} of {address}, and it is {unit:?}");
                self.find("F-UNIT", None, detail);
            }
            if !self.holders(address).await?.into_iter().eq(holders) {
                let detail = format!("Graphstore lists other holders of {address}");
                self.find("F-UNIT", None, detail);
            }
        }
        Ok(())
    }

    async fn holders(&self, unit: Address) -> anyhow::Result<Vec<(Address, Balance)>> {
        let (mut listed, mut after) = (Vec::new(), None);
        loop {
            let page = self.graph.holders(unit, after, 0, PAGE as u32).await?;
            let Some((last, _)) = page.last() else { return Ok(listed) };
            after = Some(*last);
            listed.extend(page);
        }
    }

    /// How many outputs an account has in Graphstore, and their sum.
    async fn chain(&self, id: AccountId) -> anyhow::Result<(u64, u128)> {
        let (mut count, mut sum) = (0, 0u128);
        let add = |_, mark| {
            count += 1;
            sum = sum.wrapping_add(mark);
        };
        self.outputs(id, add).await?;
        Ok((count, sum))
    }

    /// The number and mark of every output that an account has in Graphstore, but for those
    /// that it cannot put together.
    async fn outputs(&self, id: AccountId, mut each: impl FnMut(u64, u128)) -> anyhow::Result<()> {
        let (mut before, mut skip, mut limit) = (0, 0, PAGE as u32);
        loop {
            let outputs = match self.graph.outputs(id, Page { before, skip, limit }).await {
                Ok(outputs) => outputs,
                // One by one up to those that are missing, and past them.
                Err(Error::Broken(_)) if limit > 1 => {
                    limit = 1;
                    continue;
                }
                Err(Error::Broken(_)) => {
                    skip += 1;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let Some(last) = outputs.last() else { return Ok(()) };
            (before, limit) = (last.number, if skip > 0 { PAGE as u32 } else { limit });
            skip = 0;
            for Placed { pointer, output, number } in &outputs {
                each(*number, mark(pointer, *number, output));
            }
        }
    }

    /// The first record of whose output of an account Graphstore's chain has not, or has
    /// another; or in which it has one that no record made. The records are followed from the
    /// account's last output back: it is asked where something is wrong, and not otherwise.
    async fn first_other(&self, id: AccountId, last: Pointer) -> anyhow::Result<Option<u64>> {
        let (mut held, mut first) = (BTreeMap::new(), None);
        let mut hold = |number, mark| {
            held.insert(number, mark);
        };
        self.outputs(id, &mut hold).await?;
        let mut next = Some(last);
        while let Some(pointer) = next {
            // Behind one that cannot be read nothing is known.
            let Some(record) = self.named(pointer.record).await? else { return Ok(first) };
            let output = record.outputs.get(pointer.index as usize);
            let Some(output) = output.filter(|output| output.account == id) else {
                return Ok(first);
            };
            let number = record.number;
            if held.remove(&number) != Some(mark(&pointer, number, output)) {
                first = Some(number);
            }
            next = record.spent(output);
        }
        Ok(first.into_iter().chain(held.into_keys()).min())
    }

    /// The record of this name, as Hashtable has it, or else Graphstore.
    async fn named(&self, name: Hash) -> anyhow::Result<Option<Record>> {
        let kept = match self.documents.get(&[name]).await {
            Ok(found) => found.into_iter().next().flatten(),
            Err(Kept::Damaged(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let bytes = match kept {
            Some(bytes) => bytes.to_vec(),
            None => self.graph.named(name).await?.map_or_else(Vec::new, |stored| stored.bytes),
        };
        Ok(Record::parse(&bytes).ok().filter(|record| record.hash == name))
    }

    /// The number of the record that made a lock.
    async fn number_of(&self, lock: &Pointer) -> anyhow::Result<Option<u64>> {
        Ok(self.graph.named(lock.record).await?.map(|stored| stored.number))
    }
}
