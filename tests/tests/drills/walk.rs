//! Walks over long lists while more is added to them. If one failed, whoever pays
//! all holders of a unit would pay somebody twice or not at all, and whoever keeps
//! books by the history would miss a payment.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use webwallet_graphstore::store::{Batch, Committed, Page, Store};
use webwallet_graphstore::{Embedded, Sizes};
use webwallet_ledger::clear::{Cleared, clear};
use webwallet_ledger::{
    Account, AccountId, Address, Hash, History, Lock, Pointer, RecordOf, Request,
};

use crate::rounds;

const DOMAIN: &str = "example.net";
/// Records in one commit.
const BATCH: u64 = 500;
/// Records that are added during one walk.
const ADDED: usize = 100;

/// Nobody signs here: Graphstore leaves that to gateways. So any bytes are a key.
fn public(name: &str) -> [u8; 32] {
    Hash::sha3(name.as_bytes()).0
}

fn address(name: &str) -> Address {
    Address::of_public(&public(name))
}

/// An issuer pays one of its unit.
fn issue(issuer: &str, to: Address, note: u64) -> Vec<u8> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (of, public, string) = (address(issuer), hex(&public(issuer)), hex(&[0; 64]));
    let data = format!(
        r#"{{"amount":"1","domain":"{DOMAIN}","expiry":"2027-01-01T00:00:00.000Z","random":"note {note:08}","source":"{of}","symbol":"{of}","target":"{to}"}}"#
    );
    let hash = Hash::sha3(data.as_bytes());
    let signature = format!(
        r#"{{"public":"{public}","scheme":"eddsa-ed25519","signer":"{of}","string":"{string}"}}"#
    );
    format!(
        r#"{{"data":{data},"hash":{{"steps":"stringify:data","types":"sha3-256","value":"{hash}"}},"meta":{{"signatures":[{signature}]}}}}"#
    )
    .into_bytes()
}

/// A store in which every record adds one output to the history of a hub, one holder
/// to its unit, and one unit to what a collector holds.
struct Lists {
    store: Embedded,
    number: u64,
    hub: Option<Account>,
}

impl History for Lists {
    /// All others are new.
    fn account(&self, account: &AccountId) -> Option<Account> {
        self.hub.clone().filter(|_| account.address == address("hub"))
    }

    fn record_of(&self, _: &Hash) -> Option<RecordOf> {
        None
    }

    fn lock(&self, _: &Pointer) -> Option<Lock> {
        None
    }
}

fn holder(number: u64) -> Address {
    address(&format!("holder {number}"))
}

fn issuer(number: u64) -> String {
    format!("issuer {number}")
}

impl Lists {
    async fn add(&mut self, records: u64) {
        let mut batch = Vec::new();
        for _ in 0..records {
            let number = self.number + 1;
            let ious = [
                issue("hub", holder(number), number),
                issue(&issuer(number), address("collector"), number),
            ];
            let request = Request::from_inputs(&ious, DOMAIN).expect("good IOUs");
            let time = "2026-01-01T00:00:00.000Z".parse().expect("a time");
            let cleared = clear(&request, number, time, self).expect("it clears");
            let Cleared::Now(record) = cleared else { panic!("it is new") };
            self.hub = record.accounts().next().map(|(_, account)| account);
            self.number = number;
            batch.push(Arc::new(record));
        }
        let committed = self.store.commit(&Batch::new(batch)).await.expect("it commits");
        assert_eq!(committed, Committed::Yes);
    }

    /// Adds one record every so many pages.
    async fn during(&mut self, page: usize, pages: usize) {
        if page.is_multiple_of((pages / ADDED).max(1)) && page < pages {
            self.add(1).await;
        }
    }

    async fn history(&mut self, limit: u32) {
        let there = self.number;
        let account = AccountId { unit: address("hub"), address: address("hub") };
        let (mut next, mut before) = (there, 0);
        for page in 1.. {
            let asked = Page { before, skip: 0, limit };
            let outputs = self.store.outputs(account, asked).await.expect("outputs");
            let Some(last) = outputs.last() else { break };
            before = last.number;
            for placed in &outputs {
                assert_eq!(placed.number, next, "pages of {limit}");
                next -= 1;
            }
            self.during(page, (there / u64::from(limit)) as usize).await;
        }
        assert_eq!(next, 0, "pages of {limit}");
    }

    async fn events(&mut self, limit: u32) {
        let there = self.number;
        let mut after = 0;
        for page in 1.. {
            let records = self.store.cleared(after, limit).await.expect("cleared");
            if records.is_empty() {
                break;
            }
            for record in &records {
                assert_eq!(record.number, after + 1, "pages of {limit}");
                after += 1;
            }
            self.during(page, (there / u64::from(limit)) as usize).await;
        }
        assert_eq!(after, self.number, "pages of {limit}");
    }

    async fn holders(&mut self, limit: u32) {
        let mut there: HashSet<Address> = (1..=self.number).map(holder).collect();
        let pages = there.len() / limit as usize;
        let mut after = None;
        for page in 1.. {
            let found = self.store.holders(address("hub"), after, 0, limit).await.expect("holders");
            if found.is_empty() {
                break;
            }
            for (address, _) in found {
                assert!(after < Some(address), "pages of {limit}");
                after = Some(address);
                there.remove(&address);
            }
            self.during(page, pages).await;
        }
        assert!(there.is_empty(), "{} left out, pages of {limit}", there.len());
    }

    async fn units(&mut self, limit: u32) {
        let mut there: HashSet<Address> =
            (1..=self.number).map(|number| address(&issuer(number))).collect();
        let pages = there.len() / limit as usize;
        let mut after = None;
        for page in 1.. {
            let found = self.store.accounts(address("collector"), after, 0, limit).await;
            let found = found.expect("accounts");
            if found.is_empty() {
                break;
            }
            for (id, _) in found {
                assert!(after < Some(id.unit), "pages of {limit}");
                after = Some(id.unit);
                there.remove(&id.unit);
            }
            self.during(page, pages).await;
        }
        assert!(there.is_empty(), "{} left out, pages of {limit}", there.len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_walk_during_inserts_sees_each_once_in_order() {
    let folder = tempfile::tempdir().expect("a folder");
    // Merged eight times as often as everybody's.
    let sizes = Sizes { merge_entries: 8_192, ..Sizes::default() };
    let store = Embedded::open_sized(folder.path(), sizes).expect("it opens");
    let mut lists = Lists { store, number: 0, hub: None };
    let begun = Instant::now();
    let records = rounds(10_000, 200_000) as u64;
    while lists.number < records {
        lists.add(BATCH).await;
    }
    println!("{records} records after {:?}", begun.elapsed());
    for limit in [1, 7, 100, 1_000] {
        lists.history(limit).await;
        lists.events(limit).await;
        lists.holders(limit).await;
        lists.units(limit).await;
        println!("pages of {limit} after {:?}", begun.elapsed());
    }
    let unit = lists.store.unit(address("hub")).await.expect("unit");
    assert_eq!(unit.supply.to_string(), lists.number.to_string());
    assert_eq!(unit.totals.accounts, lists.number + 1);
}
