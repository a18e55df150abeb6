//! The state cut into pieces, so that it can be kept and had again without
//! replaying every record.
//!
//! A piece is for whoever wrote it, on the same machine: its form may change,
//! and what it says of a balance is not compared with the hash of its value,
//! which takes an address that is not kept. So roots that equal those of a
//! block show that all pieces are there, and a sum in each that none is damaged.

use crate::hash::Hash;
use crate::merkle::Node;
use crate::record::Pointer;
use crate::state::{Held, State, read_balance, write_balance};

/// First byte of a piece that is an account.
const ACCOUNT: u8 = b'a';
/// First byte of a piece that is a unit.
const UNIT: u8 = b'u';

/// Bytes of the sum at the end of a piece: the first ones of its SHA3-256.
const SUM: usize = 8;

impl State {
    /// All accounts and units, a piece of at most 512 bytes each, in one order
    /// whatever the way here. What is unbalanced is not in them.
    pub fn pieces(&self) -> impl Iterator<Item = Vec<u8>> {
        let start = |first: u8, key: &Node, value: &Node| {
            let mut piece = Vec::with_capacity(160);
            piece.push(first);
            piece.extend_from_slice(key);
            piece.extend_from_slice(value);
            piece
        };
        let accounts = self.accounts.leaves().map(move |(key, value, held)| {
            let mut piece = start(ACCOUNT, key, value);
            piece.extend_from_slice(&held.number.to_be_bytes());
            piece.extend_from_slice(&held.output.record.0);
            piece.extend_from_slice(&held.output.index.to_be_bytes());
            piece.extend_from_slice(held.balance.as_bytes());
            summed(piece)
        });
        let units = self.units.leaves().map(move |(key, value, accounts)| {
            let mut piece = start(UNIT, key, value);
            piece.extend_from_slice(&accounts.to_be_bytes());
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
            ACCOUNT => {
                let (record, rest) = rest.split_first_chunk::<32>()?;
                let (index, balance) = rest.split_first_chunk::<4>()?;
                let output = Pointer { record: Hash(*record), index: u32::from_be_bytes(*index) };
                let text = std::str::from_utf8(balance).ok()?;
                let balance = write_balance(&read_balance(text)?);
                // As it was written, and therefore readable for ever.
                (*balance == *text).then_some(())?;
                self.accounts.set(*key, *value, Held { balance, output, number });
            }
            UNIT if rest.is_empty() => self.units.set(*key, *value, number),
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
