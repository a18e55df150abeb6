//! What has cleared, in maps.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use webwallet_ledger::account::{Account, AccountId};
use webwallet_ledger::clear::{self, Cleared};
use webwallet_ledger::{Address, Hash, History, Lock, Pointer, Record, RecordOf, request};
use webwallet_proto::graphstore::v1 as graph;

use super::{DOMAIN, NOW};

#[derive(Default)]
pub struct Books {
    pub(super) records: Vec<Record>,
    pub(super) accounts: BTreeMap<(Address, Address), Account>,
    pub(super) ious: HashMap<Hash, RecordOf>,
    pub(super) outputs: HashMap<AccountId, Vec<(u64, Pointer, Bytes)>>,
}

impl History for Books {
    fn account(&self, account: &AccountId) -> Option<Account> {
        self.accounts.get(&(account.address, account.unit)).cloned()
    }

    fn record_of(&self, iou: &Hash) -> Option<RecordOf> {
        self.ious.get(iou).copied()
    }

    fn lock(&self, _: &Pointer) -> Option<Lock> {
        // Nobody locks anything here.
        None
    }
}

impl Books {
    pub(super) fn wire(&self, number: u64) -> Option<graph::Record> {
        let record = self.records.get(number.checked_sub(1)? as usize)?;
        Some(graph::Record {
            number,
            hash: record.hash.0.to_vec().into(),
            body: record.bytes.clone().into(),
        })
    }

    pub(super) fn clear(&mut self, inputs: &[Bytes], rehearsal: bool) -> graph::ClearReply {
        use graph::clear_reply::Outcome;
        let request = request::Request::from_inputs(inputs, DOMAIN).expect("a gateway verifies");
        let (number, time) = (self.records.len() as u64 + 1, NOW.parse().expect("a time"));
        let (outcome, replayed) = match clear::clear(&request, number, time, self) {
            Ok(Cleared::Before(before)) => {
                (Outcome::Cleared(self.wire(before.number).expect("a record")), true)
            }
            Ok(Cleared::Now(record)) if rehearsal => {
                let hash = record.hash.0.to_vec().into();
                let body = record.bytes.into();
                (Outcome::Cleared(graph::Record { number, hash, body }), false)
            }
            Ok(Cleared::Now(record)) => {
                self.enter(record);
                (Outcome::Cleared(self.wire(number).expect("a record")), false)
            }
            Err(rejection) => (Outcome::Rejected((&rejection).into()), false),
        };
        graph::ClearReply { outcome: Some(outcome), replayed }
    }

    fn enter(&mut self, record: Record) {
        for &iou in &record.inputs {
            let inputs = record.inputs.len() as u32;
            let place = RecordOf { number: record.number, hash: record.hash, inputs };
            self.ious.insert(iou, place);
        }
        for (index, output) in (0..).zip(&record.outputs) {
            let pointer = Pointer { record: record.hash, index };
            let (id, balance) = (output.account, output.balance.clone());
            self.accounts.insert((id.address, id.unit), Account { balance, output: pointer });
            let mut content = Vec::new();
            output.write(&mut content);
            self.outputs.entry(id).or_default().push((record.number, pointer, content.into()));
        }
        self.records.push(record);
    }
}
