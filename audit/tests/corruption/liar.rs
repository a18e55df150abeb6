//! Who tells lies: somebody who holds the log's key, and signs everything again.

use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use webwallet_audit::Audit;
use webwallet_ledger::block::Keys;
use webwallet_ledger::checkpoint::Checkpoint;
use webwallet_ledger::merkle::{self, Sha256, TreeHash as _};
use webwallet_ledger::{Draft, Locker, Record, Time};

use crate::chain::{DOMAIN, canonical, secret};
use crate::life::{Life, issue, signed, taking};

const DAY_MS: i64 = 86_400_000;

/// Who tells a lie, while the log is written.
pub struct Liar<'a> {
    pub life: &'a mut Life,
    pub random: &'a mut StdRng,
    /// How the log will be audited: some lies are about that.
    pub audit: &'a mut Audit,
    /// The last checkpoint of the log without the lie.
    pub honest: &'a str,
}

impl Liar<'_> {
    /// A true record, as it should be cleared now.
    pub fn record(&mut self) -> Vec<u8> {
        let iou = signed(&issue(&self.life.log, self.random));
        self.life.log.cleared(&[iou]).bytes
    }

    /// A true record of an issuer who pays a holder under a condition.
    pub fn locking(&mut self, change: impl FnOnce(&mut Locker)) -> Record {
        let mut iou = issue(&self.life.log, self.random);
        let expiry = Time::from_unix_ms(self.life.log.now_ms + DAY_MS);
        let mut locker = Locker { active: None, expiry, puzzle: None, script: None };
        change(&mut locker);
        iou.locker = Some(locker);
        self.life.log.cleared(&[signed(&iou)])
    }

    /// The same is the next record; gives the IOU by which the holder takes what
    /// is locked.
    pub fn locked(&mut self, change: impl FnOnce(&mut Locker)) -> Draft {
        let record = self.locking(change);
        let (pointer, lock) = record.locked().next().expect("a lock");
        let (by, other) = (lock.account.address, lock.source);
        let mut iou = taking(&self.life.log, self.random, by, other, pointer);
        iou.symbol = lock.account.unit;
        self.life.log.record(record.bytes);
        iou
    }

    /// The next record holds these IOUs, whether they should have cleared or not.
    pub fn force(&mut self, ious: &[Vec<u8>]) {
        let record = self.life.log.forged(ious, json!([]));
        self.say(record);
    }

    /// This is the next record.
    pub fn say(&mut self, record: Vec<u8>) {
        self.life.log.record(record);
    }

    /// The next record is a true one with this change, under the name it had.
    pub fn change(&mut self, change: impl FnOnce(&mut Value, &mut StdRng)) {
        let mut record = serde_json::from_slice(&self.record()).expect("JSON");
        change(&mut record, self.random);
        self.say(canonical(&record));
    }

    /// The next record has a signature with this change.
    pub fn sign_as(&mut self, change: impl FnOnce(&mut Value)) {
        self.change(|record, _| {
            change(&mut record["meta"]["inputs"][0]["meta"]["signatures"][0]);
        });
    }

    /// The document that hands the log to a new key, as it should be.
    pub fn keys(&self, new: &str) -> Vec<u8> {
        let old = secret(&self.life.key_name());
        Keys::new(DOMAIN, self.life.log.time(), &old, &secret(new)).bytes
    }

    /// Somebody hands the log to a new key.
    pub fn hand_over(&mut self, by: &str, new: &str) {
        let keys = Keys::new(DOMAIN, self.life.log.time(), &secret(by), &secret(new));
        self.life.log.rotate_by(keys.bytes, new);
    }

    /// With the clock a little before what was last said.
    pub fn in_the_past(&mut self, act: impl FnOnce(&mut Self)) {
        let now = self.life.log.now_ms;
        let last = self.life.log.last_time.max(self.life.log.block_time).unix_ms();
        self.life.log.now_ms = last - self.random.random_range(1..1_000);
        act(self);
        self.life.log.now_ms = now;
    }

    /// Signs a checkpoint of all leaves that are there, or a false one.
    pub fn publish(&mut self, origin: &str, root: Option<[u8; 32]>, key: &str) {
        let log = &mut self.life.log;
        let leaves: Vec<_> = log.leaves.iter().map(|leaf| Sha256::leaf(leaf)).collect();
        let root = root.unwrap_or_else(|| merkle::root::<Sha256>(&leaves));
        let size = leaves.len() as u64;
        let key = if key.is_empty() { self.life.key_name() } else { key.to_owned() };
        let checkpoint = Checkpoint { origin: origin.into(), size, root }.sign(&secret(&key));
        self.life.log.checkpoints.push(checkpoint);
    }
}
