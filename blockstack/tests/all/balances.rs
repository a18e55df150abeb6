//! Balances proved at any height. If one were wrong, somebody could be shown a
//! proof, good under a signed head, of money that is not there.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use webwallet_ledger::block::Block;
use webwallet_ledger::state::{Proof, account_key, unit_key};
use webwallet_ledger::{AccountId, Address, Draft, Locker, Record, Solver};
use webwallet_proto::blockstack::v1::block_request::Key;
use webwallet_proto::blockstack::v1::*;

use crate::standin::{DOMAIN, Running, Stores, address, secret};

const PROOFS: usize = 10_000;
/// Questions in a row about one height.
const RUN: usize = 5;
const BLOCKS: usize = 60;
const PEOPLE: usize = 24;
/// The first people issue units.
const UNITS: usize = 5;

fn name(at: usize) -> String {
    format!("person {at}")
}

/// The target of an open lock takes it.
fn take(stores: &Stores, random: &mut StdRng, number: usize) -> Option<Vec<u8>> {
    let inner = stores.lock();
    let at = random.random_range(0..inner.locks.len().max(1));
    let (pointer, lock) = inner.locks.iter().nth(at)?;
    let is_target = |at: &usize| address(&name(*at)) == lock.account.address;
    let target = name((0..PEOPLE).find(is_target)?);
    let draft = Draft {
        domain: DOMAIN.into(),
        source: lock.account.address,
        target: lock.source,
        symbol: lock.account.unit,
        amount: "0".into(),
        random: format!("balance {number:08}"),
        expiry: "2027-01-01T00:00:00.000Z".parse().expect("a time"),
        active: None,
        credit: None,
        locker: None,
        solver: Some(Solver { output: *pointer, hashee: None }),
    };
    Some(draft.sign(&secret(&target)))
}

/// A payment between any two, or credit, or a lock, in one unit; it may be refused.
fn iou(random: &mut StdRng, number: usize) -> Vec<u8> {
    let unit = random.random_range(0..UNITS);
    let source = if random.random() { unit } else { random.random_range(0..PEOPLE) };
    // The last few are never paid.
    let target = (source + random.random_range(1..PEOPLE - 4)) % PEOPLE;
    let target = if target >= PEOPLE - 4 { UNITS } else { target };
    let target = if target == source { UNITS + 1 } else { target };
    let credit = (source == unit && random.random_range(0..5) == 0).then(|| {
        format!("{}{}", ["-", "-", ""][random.random_range(0..3)], random.random_range(1..50))
    });
    let expiry = "2028-01-01T00:00:00.000Z".parse().expect("a time");
    let locker = Locker { active: None, expiry, puzzle: None, script: None };
    let is_lock = credit.is_none() && random.random_range(0..5) == 0;
    let draft = Draft {
        domain: DOMAIN.into(),
        source: address(&name(source)),
        target: address(&name(target)),
        symbol: address(&name(unit)),
        amount: format!("{}.{:02}", random.random_range(0..100), random.random_range(1..100)),
        random: format!("balance {number:08}"),
        expiry: "2027-01-01T00:00:00.000Z".parse().expect("a time"),
        active: None,
        credit,
        locker: Some(locker).filter(|_| is_lock),
        solver: None,
    };
    draft.sign(&secret(&name(source)))
}

/// What records say, read without the rules: as JSON, the last output of each
/// account, and of each unit how many accounts it has, what its issuer owes and
/// what is locked, in hundredths.
#[derive(Clone, Default)]
struct Replay {
    accounts: BTreeMap<(String, String), Value>,
    units: BTreeMap<String, u64>,
    locks: BTreeMap<String, (String, u64)>,
}

/// Amounts here have two digits after the point, or fewer.
fn hundredths(amount: &str) -> u64 {
    let (whole, fraction) = amount.split_once('.').unwrap_or((amount, "0"));
    let number = |text: &str| text.parse::<u64>().expect("digits");
    number(whole) * 100 + number(&format!("{fraction:0<2}"))
}

fn decimal(hundredths: u64) -> String {
    let text = format!("{}.{:02}", hundredths / 100, hundredths % 100);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl Replay {
    fn take(&mut self, record: &[u8]) {
        let record: Value = serde_json::from_slice(record).expect("JSON");
        let outputs = record["data"]["outputs"].as_array().expect("a list");
        for (i, output) in outputs.iter().enumerate() {
            let text = |value: &Value| value.as_str().expect("a text").to_owned();
            let (unit, address) = (text(&output["counter"]), text(&output["address"]));
            let sources = output["sources"].as_array().expect("a list");
            sources.iter().for_each(|source| drop(self.locks.remove(&text(source))));
            if output["locker"].is_object() {
                let pointer = format!("{}::{i}", text(&record["hash"]["value"]));
                self.locks.insert(pointer, (unit, hundredths(&text(&output["balance"]["net"]))));
                continue;
            }
            let value = json!({
                "address": address,
                "max": output["balance"]["max"],
                "min": output["balance"]["min"],
                "net": output["balance"]["net"],
                "number": record["data"]["number"],
                "output": format!("{}::{i}", text(&record["hash"]["value"])),
                "unit": unit,
            });
            if self.accounts.insert((unit.clone(), address), value).is_none() {
                *self.units.entry(unit).or_default() += 1;
            }
        }
    }

    fn account(&self, unit: &Address, address: &Address) -> Option<Value> {
        self.accounts.get(&(unit.to_string(), address.to_string())).cloned()
    }

    fn unit(&self, unit: &Address) -> Option<Value> {
        let accounts = self.units.get(&unit.to_string())?;
        let issuer = self.account(unit, unit);
        let net = issuer
            .map_or("0".to_owned(), |issuer| issuer["net"].as_str().expect("a text").to_owned());
        let supply = net.strip_prefix('-').unwrap_or(&net);
        assert!(supply == "0" || net.starts_with('-'), "an issuer owes or is even");
        let of_unit = self.locks.values().filter(|(of, _)| *of == unit.to_string());
        let locked = of_unit.map(|(_, amount)| amount).sum();
        Some(json!({
            "accounts": accounts.to_string(), "locked": decimal(locked), "supply": supply,
            "unit": unit.to_string(),
        }))
    }
}

/// The block of a height, and what its records and all before have left.
async fn block(running: &mut Running, height: u64, before: &Replay) -> (Block, Replay) {
    let asked = BlockRequest { key: Some(Key::Height(height)) };
    let reply = running.client.block(asked).await.expect("an answer").into_inner();
    let block = Block::parse(&reply.block.expect("a block").body).expect("a block");
    let mut replay = before.clone();
    let records = running.client.block_records(BlockRecordsRequest { height }).await;
    let mut records = records.expect("an answer").into_inner();
    while let Some(record) = records.message().await.expect("a record") {
        replay.take(&record.body);
    }
    (block, replay)
}

/// What the proof shows to somebody who holds the block: a value, or that there
/// is none.
fn shown(reply: StateProofReply, block: &Block, key: &[u8; 32], root: &[u8; 32]) -> Option<Value> {
    let sent = reply.proof.expect("a proof");
    assert_eq!(&sent.block[..], &block.bytes[..], "of the block that was asked for");
    let proof = Proof::parse(&sent.proof).expect("a proof");
    proof.check(key, root).expect("good");
    proof.value.map(|value| serde_json::from_slice(&value).expect("JSON"))
}

/// How often something was proved to be there, and not to be.
#[derive(Default)]
struct Tally {
    there: usize,
    missing: usize,
}

async fn ask(
    running: &mut Running,
    random: &mut StdRng,
    (block, replay): &(Block, Replay),
    tally: &mut Tally,
) {
    let unit = address(&name(random.random_range(0..UNITS + 2)));
    let who = address(&name(random.random_range(0..PEOPLE)));
    let height = Some(block.header.height);
    let (found, expected) = if random.random_range(0..10) > 0 {
        let (counter, address) = (unit.to_string(), who.to_string());
        let asked = AccountProofRequest { unit: counter, address, height };
        let reply = running.client.account_proof(asked).await.expect("an answer").into_inner();
        let key = account_key(&AccountId { unit, address: who });
        (shown(reply, block, &key, &block.header.state), replay.account(&unit, &who))
    } else {
        let asked = UnitProofRequest { unit: unit.to_string(), height };
        let reply = running.client.unit_proof(asked).await.expect("an answer").into_inner();
        (shown(reply, block, &unit_key(&unit), &block.header.units), replay.unit(&unit))
    };
    assert_eq!(found, expected, "{who} in {unit} at height {height:?}");
    match found {
        Some(_) => tally.there += 1,
        None => tally.missing += 1,
    }
}

/// At random heights, so that balances are made from what was kept, from
/// snapshots and from nothing; also after a start without any snapshot.
#[tokio::test]
async fn balances_at_any_height_are_those_of_an_independent_replay() {
    let dir = tempfile::tempdir().expect("a folder");
    let (stores, mut random) = (Stores::default(), StdRng::seed_from_u64(1));
    let mut running = stores.start(dir.path()).await;
    let mut number = 0;
    for _ in 1..BLOCKS {
        for _ in 0..random.random_range(0..30) {
            let ious = (0..random.random_range(1..4)).map(|i| iou(&mut random, number + i));
            let mut ious: Vec<_> = ious.collect();
            if random.random_range(0..8) == 0 {
                ious.extend(take(&stores, &mut random, number + 3));
            }
            stores.clear(&ious);
            number += 4;
        }
        running.client.seal(SealRequest { stack: false }).await.expect("sealed");
    }
    let mut history = Vec::new();
    let mut replay = Replay::default();
    for height in 0..BLOCKS as u64 {
        let (block, after) = block(&mut running, height, &replay).await;
        replay = after.clone();
        history.push((block, after));
    }
    let mut tally = Tally::default();
    for run in 0..PROOFS / RUN {
        if run == PROOFS / RUN * 9 / 10 {
            running.blockstack.stop().await;
            std::fs::remove_dir_all(dir.path().join("state")).expect("removed");
            running = stores.start(dir.path()).await;
            assert_eq!(running.blockstack.read_only(), None);
        }
        let at = random.random_range(0..BLOCKS);
        for _ in 0..RUN {
            ask(&mut running, &mut random, &history[at], &mut tally).await;
        }
    }
    let (there, missing) = (tally.there, tally.missing);
    println!("{there} balances and {missing} absences, {} records", stores.lock().records.len());
    let locking = |record: &&Record| !record.locks.is_empty();
    let taking = |record: &&Record| !record.collects.is_empty();
    let locked = stores.lock().records.iter().filter(locking).count();
    let taken = stores.lock().records.iter().filter(taking).count();
    assert!(locked > 20 && taken > 5, "{locked} records lock, {taken} take");
    println!("{locked} records lock, {taken} take");
    assert!(there > PROOFS / 4 && missing > PROOFS / 10, "{there} there, {missing} missing");
    let ahead = UnitProofRequest { unit: address("ann").to_string(), height: Some(99) };
    assert_eq!(running.client.unit_proof(ahead).await.expect("one").into_inner().proof, None);
}
