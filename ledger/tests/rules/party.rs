//! People of the tests: a key each, and the IOUs they sign.

use std::collections::{BTreeMap, HashMap};

use rand::SeedableRng;
use webwallet_ledger::clear::{Cleared, clear, outputs};
use webwallet_ledger::draft::add_signature;
use webwallet_ledger::hash::Types;
use webwallet_ledger::signature::{Keys, public_of};
use webwallet_ledger::{
    Account, AccountId, Address, Code, Draft, Hash, Lock, Pointer, Record, Rejection, Request,
    Time, verify,
};
use webwallet_ledger::{History, RecordOf};

pub const DOMAIN: &str = "example.net";

pub fn time(text: &str) -> Time {
    text.parse().expect("time")
}

pub fn now() -> Time {
    time("2026-01-01T00:00:00.000Z")
}

pub struct Party {
    pub secret: [u8; 32],
    pub address: Address,
}

pub fn party(name: &str) -> Party {
    let secret = Hash::sha3(name.as_bytes()).0;
    Party { secret, address: Address::of_public(&public_of(&secret)) }
}

/// An IOU of `amount` of the unit of `issuer`, from `source` to `target`; the
/// note makes it different from others.
pub fn draft(source: &Party, target: &Party, issuer: &Party, amount: &str, note: &str) -> Draft {
    Draft {
        domain: DOMAIN.into(),
        source: source.address,
        target: target.address,
        symbol: issuer.address,
        amount: amount.into(),
        random: format!("random-{note}"),
        expiry: time("2027-01-01T00:00:00.000Z"),
        active: None,
        credit: None,
        locker: None,
        solver: None,
    }
}

/// The IOU with this canonical custom data, signed anew.
pub fn with_custom(iou: &[u8], data: &str, secret: &[u8; 32]) -> Vec<u8> {
    let text = std::str::from_utf8(iou).expect("UTF-8");
    let (named, _) = text.split_once(",\"hash\":").expect("a hash");
    let named = named.trim_start_matches("{\"data\":");
    let custom = Types::Sha256Twice.digest(data.as_bytes());
    let named = named.replacen(",\"domain\"", &format!(",\"custom\":\"{custom}\",\"domain\""), 1);
    let (types, hash) = (Types::Sha3.as_str(), Hash::sha3(named.as_bytes()));
    let unsigned = format!(
        "{{\"data\":{named},\"hash\":{{\"steps\":\"stringify:data\",\"types\":\"{types}\",\"value\":\"{hash}\"}},\"meta\":{{\"custom\":{{\"data\":{data}}},\"signatures\":[]}}}}"
    );
    add_signature(unsigned.as_bytes(), secret).expect("an IOU")
}

pub fn body(ious: &[Vec<u8>]) -> Vec<u8> {
    webwallet_ledger::request::body_of(ious.iter().map(Vec::as_slice))
}

/// Everything cleared so far, kept in memory: the pure rules need no engine.
#[derive(Default)]
pub struct Ledger {
    pub accounts: HashMap<AccountId, Account>,
    pub ious: HashMap<Hash, RecordOf>,
    pub locks: BTreeMap<Pointer, Lock>,
    pub records: Vec<Record>,
    pub keys: Option<Keys>,
}

impl History for Ledger {
    fn account(&self, account: &AccountId) -> Option<Account> {
        self.accounts.get(account).cloned()
    }

    fn record_of(&self, iou: &Hash) -> Option<RecordOf> {
        self.ious.get(iou).copied()
    }

    fn lock(&self, pointer: &Pointer) -> Option<Lock> {
        self.locks.get(pointer).cloned()
    }
}

impl Ledger {
    /// Parses, verifies and clears, as a server would.
    pub fn post(&mut self, body: &[u8], time: Time) -> Result<Record, Rejection> {
        let request = Request::parse(body, DOMAIN).map_err(|refusal| refusal.rejection)?;
        let keys = self.keys.get_or_insert_with(|| Keys::new(1_000));
        let mut random = rand::rngs::StdRng::seed_from_u64(1);
        verify::verify(&[&request], keys, &mut random).remove(0)?;
        let number = self.records.len() as u64 + 1;
        // Whoever replays the log comes to the same verdict, and to the same bytes.
        let replayed = outputs(&request, time, self);
        let cleared = clear(&request, number, time, self).inspect_err(|refused| {
            let place = |refused: &Rejection| (refused.code, refused.pointer.clone());
            let other = replayed.as_ref().err().map(place);
            assert!(refused.code == Code::TooLarge || other == Some(place(refused)), "{other:?}");
        })?;
        match cleared {
            Cleared::Before(record) => Ok(self.records[record.number as usize - 1].clone()),
            Cleared::Now(record) => {
                let mut written = b"\"outputs\":[".to_vec();
                replayed.expect("what cleared clears").write(&mut written);
                written.extend_from_slice(b"],\"time\":");
                assert!(record.bytes.windows(written.len()).any(|part| part == written));
                self.take(&record);
                Ok(record)
            }
        }
    }

    /// Enters what has cleared.
    pub fn take(&mut self, record: &Record) {
        self.accounts.extend(record.accounts());
        record.collects.iter().for_each(|used| drop(self.locks.remove(used)));
        self.locks.extend(record.locked().map(|(pointer, lock)| (pointer, lock.clone())));
        let inputs = record.inputs.len() as u32;
        let at = RecordOf { number: record.number, hash: record.hash, inputs };
        self.ious.extend(record.inputs.iter().map(|iou| (*iou, at)));
        self.records.push(record.clone());
    }

    pub fn net(&self, unit: &Party, holder: &Party) -> String {
        let id = AccountId { unit: unit.address, address: holder.address };
        self.accounts.get(&id).map_or("0".into(), |account| account.balance.net.to_string())
    }
}
