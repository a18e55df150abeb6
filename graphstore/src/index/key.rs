//! The keys of the index's tables: what stands beside what.

use std::ops::Bound;

use webwallet_ledger::{AccountId, Address, Hash, Pointer};

/// Address first, so that the accounts of one holder stand together.
pub(super) type AccountKey = [u8; 40];
/// Unit first, so that the accounts of one unit stand together.
pub(super) type MemberKey = [u8; 40];
pub(super) type UnitKey = [u8; 20];
/// Record and index.
pub(super) type LockKey = [u8; 36];
/// Address and unit of one of the two that may use it, then the lock.
pub(super) type HolderKey = [u8; 76];

/// Keys from one to another.
pub(super) type Range<Key> = (Bound<Key>, Bound<Key>);

pub(super) fn account_key(id: &AccountId) -> AccountKey {
    pair(id.address.digest(), id.unit.digest())
}

pub(super) fn member_key(id: &AccountId) -> MemberKey {
    pair(id.unit.digest(), id.address.digest())
}

fn pair(first: &[u8; 20], second: &[u8; 20]) -> [u8; 40] {
    let mut key = [0; 40];
    key[..20].copy_from_slice(first);
    key[20..].copy_from_slice(second);
    key
}

/// The second address of a key that has two.
pub(super) fn second(key: &[u8; 40]) -> Address {
    Address::from_digest(std::array::from_fn(|i| key[20 + i]))
}

/// The keys that begin with this address, after the one with that second address.
pub(super) fn pairs_after(first: &Address, second: Option<&Address>) -> Range<[u8; 40]> {
    let from = match second {
        Some(second) => Bound::Excluded(pair(first.digest(), second.digest())),
        None => Bound::Included(pair(first.digest(), &[0; 20])),
    };
    (from, Bound::Included(pair(first.digest(), &[0xff; 20])))
}

pub(super) fn lock_key(pointer: &Pointer) -> LockKey {
    let mut key = [0; 36];
    key[..32].copy_from_slice(&pointer.record.0);
    key[32..].copy_from_slice(&pointer.index.to_be_bytes());
    key
}

pub(super) fn holder_key(account: &AccountId, pointer: &Pointer) -> HolderKey {
    let mut key = [0; 76];
    key[..40].copy_from_slice(&account_key(account));
    key[40..].copy_from_slice(&lock_key(pointer));
    key
}

/// The locks of an account after this one.
pub(super) fn holders_after(account: &AccountId, after: Option<&Pointer>) -> Range<HolderKey> {
    let from = match after {
        Some(after) => Bound::Excluded(holder_key(account, after)),
        None => Bound::Included(holder_key(account, &Pointer::LOWEST)),
    };
    let last = Pointer { record: Hash([0xff; 32]), index: u32::MAX };
    (from, Bound::Included(holder_key(account, &last)))
}

/// The lock of a holder's key.
pub(super) fn pointer_of(key: &HolderKey) -> Pointer {
    let record = Hash(std::array::from_fn(|i| key[40 + i]));
    let index = u32::from_be_bytes(std::array::from_fn(|i| key[72 + i]));
    Pointer { record, index }
}
