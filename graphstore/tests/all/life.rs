//! A life at random: payments, credit, locks made and used, and debts that go
//! round in a circle, in the units of a few people and in one whose issuer never
//! shows up. The same seed is the same life.

use std::sync::Arc;

use webwallet_graphstore::store::{Batch, Loaded, Totals, Unit};
use webwallet_ledger::account::Balance;
use webwallet_ledger::clear::{Cleared, clear};
use webwallet_ledger::{Address, Amount, Draft, Hash, Locker, Pointer, Request, Solver};

use crate::payments::{DOMAIN, address, draft, secret, time};

const PEOPLE: [&str; 5] = ["ann", "ben", "cid", "dot", "eve"];
/// The units of a life. Nobody has the last one.
pub const UNITS: [&str; 4] = ["ann", "ben", "cid", "nobody"];

pub struct Life {
    seed: u64,
    drawn: u64,
    number: u64,
    /// What has cleared leaves this.
    pub loaded: Loaded,
}

impl Life {
    pub fn new(seed: u64) -> Life {
        Life { seed, drawn: 0, number: 0, loaded: Loaded::default() }
    }

    fn below(&mut self, limit: usize) -> usize {
        self.drawn += 1;
        let Hash(bytes) = Hash::sha3(format!("{} {}", self.seed, self.drawn).as_bytes());
        let drawn = u64::from_be_bytes(std::array::from_fn(|i| bytes[i]));
        (drawn % limit as u64) as usize
    }

    fn amount(&mut self) -> String {
        format!("{}.{}", 1 + self.below(20), 1 + self.below(9))
    }

    /// A request of so many records that have cleared, one after the other.
    pub fn batch(&mut self, records: usize) -> Batch {
        let mut cleared = Vec::new();
        while cleared.len() < records {
            let request = self.request();
            // Many are refused: who has nothing tries to pay too.
            let record = clear(&request, self.number + 1, time(), &self.loaded);
            if let Ok(Cleared::Now(record)) = record {
                self.number += 1;
                self.loaded.apply(&record);
                cleared.push(Arc::new(record));
            }
        }
        Batch::new(cleared)
    }

    fn request(&mut self) -> Request {
        let unit = UNITS[self.below(3)];
        let from = self.below(PEOPLE.len());
        let to = PEOPLE[(from + 1 + self.below(PEOPLE.len() - 1)) % PEOPLE.len()];
        let (mut from, amount) = (PEOPLE[from], self.amount());
        let note = format!("{} {}", self.seed, self.drawn);
        let mut iou = draft(from, to, unit, &amount, &note);
        match self.below(10) {
            0 => iou.credit = Some(format!("-{}", self.amount())),
            1 => iou.credit = Some(self.amount()),
            2 | 3 => {
                let expiry = "2026-06-01T00:00:00.000Z".parse().expect("time");
                iou.locker = Some(Locker { active: None, expiry, puzzle: None, script: None });
            }
            4 => return self.take(&note),
            6 => return circle(&amount, &note),
            // Enough that somebody has something.
            7 | 8 if to != unit => from = unit,
            _ => {}
        }
        if iou.credit.is_some() && to != unit {
            from = unit;
        }
        iou.source = address(from);
        request(&[(iou, from)])
    }

    /// The use of some open lock by its target; a payment where there is none.
    fn take(&mut self, note: &str) -> Request {
        let mut open: Vec<Pointer> = self.loaded.locks.keys().copied().collect();
        open.sort_unstable();
        if open.is_empty() {
            return request(&[(draft("ann", "ben", "ann", "1", note), "ann")]);
        }
        let output = open[self.below(open.len())];
        let lock = &self.loaded.locks[&output];
        let name = |of| PEOPLE.into_iter().find(|name| address(name) == of).expect("one of them");
        let (who, unit) = (name(lock.account.address), name(lock.account.unit));
        let to = if who == "dot" { "eve" } else { "dot" };
        let mut iou = draft(who, to, unit, "0", note);
        iou.solver = Some(Solver { output, hashee: None });
        request(&[(iou, who)])
    }

    /// What a unit comes to, added up from its accounts and locks.
    pub fn recount(&self, unit: &str) -> (Unit, Vec<(Address, Balance)>) {
        let unit = address(unit);
        let of_unit = self.loaded.accounts.iter().filter(|(id, _)| id.unit == unit);
        let mut holders: Vec<(Address, Balance)> =
            of_unit.map(|(id, account)| (id.address, account.balance.clone())).collect();
        holders.sort_unstable_by_key(|(address, _)| *address);
        let mut totals = Totals { accounts: holders.len() as u64, ..Totals::default() };
        let mut supply = Amount::zero();
        for (address, Balance { net, min, .. }) in &holders {
            match min {
                Some(min) if *address != unit => totals.credit = totals.credit.minus(min),
                _ => supply = net.negated(),
            }
        }
        for lock in self.loaded.locks.values().filter(|lock| lock.account.unit == unit) {
            totals.locked = totals.locked.plus(&lock.amount);
        }
        (Unit { supply, totals }, holders)
    }
}

/// Three who owe each other the same, in a unit that nobody has issued.
fn circle(amount: &str, note: &str) -> Request {
    let debt = |from, to| (draft(from, to, "nobody", amount, note), from);
    request(&[debt("ann", "ben"), debt("ben", "cid"), debt("cid", "ann")])
}

fn request(ious: &[(Draft, &str)]) -> Request {
    let signed: Vec<_> = ious.iter().map(|(iou, by)| iou.sign(&secret(by))).collect();
    Request::from_inputs(&signed, DOMAIN).expect("good IOUs")
}
