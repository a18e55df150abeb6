//! The state cut into pieces, so that it can be kept and had again without
//! replaying every record.
//!
//! A piece is for whoever wrote it, on the same machine: its form may change,
//! and what it says of a balance is not compared with the hash of its value,
//! which takes an address that is not kept. So roots that equal those of a
//! block show that all pieces are there, and a sum in each that none is damaged.

use crate::amount::Amount;
use crate::hash::Hash;
use crate::lock::Lock;
use crate::merkle::Node;
use crate::pointer::Pointer;
use crate::state::{Held, Kept, Line, State, lock_key, read_balance, write_balance};

/// First byte of a piece that is an account.
const ACCOUNT: u8 = b'a';
/// First byte of a piece that is an open lock.
const LOCK: u8 = b'l';
/// First byte of a piece that is a unit.
const UNIT: u8 = b'u';

/// Bytes of the sum at the end of a piece: the first ones of its SHA3-256.
const SUM: usize = 8;

impl State {
    /// All accounts and units, a piece of at most 1,024 bytes each, in one order
    /// whatever the way here. What is unbalanced is not in them.
    pub fn pieces(&self) -> impl Iterator<Item = Vec<u8>> {
        let start = |first: u8, key: &Node, value: &Node| {
            let mut piece = Vec::with_capacity(160);
            piece.push(first);
            piece.extend_from_slice(key);
            piece.extend_from_slice(value);
            piece
        };
        let accounts = self.accounts.leaves().map(move |(key, value, kept)| match kept {
            Kept::Account(held) => {
                let mut piece = start(ACCOUNT, key, value);
                piece.extend_from_slice(&held.number.to_be_bytes());
                piece.extend_from_slice(&held.output.record.0);
                piece.extend_from_slice(&held.output.index.to_be_bytes());
                piece.extend_from_slice(held.balance.as_bytes());
                summed(piece)
            }
            Kept::Lock(lock) => {
                let (pointer, lock) = &**lock;
                let mut piece = start(LOCK, key, value);
                piece.extend_from_slice(&[0; 8]);
                piece.extend_from_slice(&pointer.record.0);
                piece.extend_from_slice(&pointer.index.to_be_bytes());
                piece.extend_from_slice(lock);
                summed(piece)
            }
        });
        let units = self.units.leaves().map(move |(key, value, line)| {
            let mut piece = start(UNIT, key, value);
            piece.extend_from_slice(&line.accounts.to_be_bytes());
            if let Some(locked) = &line.locked {
                piece.extend_from_slice(locked.to_string().as_bytes());
            }
            summed(piece)
        });
        accounts.chain(units)
    }

    /// Puts one piece back, in whatever order; `false` if it is none
    /// or damaged.
    pub fn add_piece(&mut self, piece: &[u8]) -> bool {
        self.read_piece(piece).is_some()
    }

    fn read_piece(&mut self, piece: &[u8]) -> Option<()> {
        let (body, _) = piece.split_last_chunk::<SUM>()?;
        (summed(body.to_vec()) == piece).then_some(())?;
        let (first, rest) = body.split_first()?;
        let (key, rest) = rest.split_first_chunk::<32>()?;
        let (value, rest) = rest.split_first_chunk::<32>()?;
        let (number, rest) = rest.split_first_chunk::<8>()?;
        let number = u64::from_be_bytes(*number);
        match *first {
            ACCOUNT | LOCK => {
                let (record, rest) = rest.split_first_chunk::<32>()?;
                let (index, rest) = rest.split_first_chunk::<4>()?;
                let output = Pointer { record: Hash(*record), index: u32::from_be_bytes(*index) };
                let kept = match *first {
                    ACCOUNT => Kept::Account(Held { balance: balance(rest)?, output, number }),
                    _ => {
                        // As it was written, and therefore readable for ever.
                        let lock = Lock::parse(rest).ok()?;
                        (lock.to_bytes() == rest && lock_key(&output) == *key).then_some(())?;
                        self.locks += 1;
                        Kept::Lock(Box::new((output, rest.to_vec())))
                    }
                };
                self.accounts.set(*key, *value, kept);
            }
            UNIT => {
                let mut line = Line { accounts: number, locked: None };
                if !rest.is_empty() {
                    let locked = std::str::from_utf8(rest).ok()?;
                    line.lock(Amount::parse_sum(locked)?);
                    (line.locked().to_string() == locked).then_some(())?;
                }
                self.units.set(*key, *value, line);
            }
            _ => return None,
        }
        Some(())
    }
}

fn summed(mut piece: Vec<u8>) -> Vec<u8> {
    let sum = Hash::sha3(&piece).0;
    piece.extend_from_slice(&sum[..SUM]);
    piece
}

/// A balance as it was written, and therefore readable for ever.
fn balance(bytes: &[u8]) -> Option<Box<str>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let balance = write_balance(&read_balance(text)?);
    (*balance == *text).then_some(balance)
}
