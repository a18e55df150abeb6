//! What was cleared before, as far as clearing asks for it.

use crate::account::{Account, AccountId};
use crate::hash::Hash;
use crate::lock::Lock;
use crate::pointer::Pointer;

/// What clearing needs to know of everything cleared before.
pub trait History {
    /// The account as the last clearing left it; `None` if never touched.
    fn account(&self, account: &AccountId) -> Option<Account>;
    /// The record that holds this IOU.
    fn record_of(&self, iou: &Hash) -> Option<RecordOf>;
    /// The lock that stands there, if nobody has used it.
    fn lock(&self, pointer: &Pointer) -> Option<Lock>;
}

/// The history before the first payment: nobody has touched anything.
#[derive(Clone, Copy, Debug)]
pub struct Nothing;

impl History for Nothing {
    fn account(&self, _: &AccountId) -> Option<Account> {
        None
    }

    fn record_of(&self, _: &Hash) -> Option<RecordOf> {
        None
    }

    fn lock(&self, _: &Pointer) -> Option<Lock> {
        None
    }
}

/// Where an IOU was cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordOf {
    /// The record's number.
    pub number: u64,
    /// The record's name.
    pub hash: Hash,
    /// How many IOUs it holds.
    pub inputs: u32,
}
