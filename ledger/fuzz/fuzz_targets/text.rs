//! Short texts: addresses, amounts, times, pointers, hashes, paths of tiles.
#![no_main]

use std::fmt::{Debug, Display};
use std::str::FromStr;

use libfuzzer_sys::fuzz_target;
use webwallet_ledger::tile::TileId;
use webwallet_ledger::{Address, Amount, Hash, Pointer, Time};

/// Whether it is read, and then written and read again the same.
fn read<T: FromStr<Err: Debug> + Display + PartialEq + Debug>(text: &str) -> Option<String> {
    let value: T = text.parse().ok()?;
    let written = value.to_string();
    assert_eq!(written.parse::<T>().expect("its own text"), value);
    Some(written)
}

fuzz_target!(|text: &str| {
    for amount in [Amount::parse(text), Amount::parse_signed(text)].into_iter().flatten() {
        assert_eq!(Amount::parse_signed(&amount.to_string()).as_ref(), Ok(&amount));
    }
    for written in [read::<Address>(text), read::<Time>(text), read::<Pointer>(text)] {
        assert!(written.is_none_or(|written| written == text));
    }
    for written in [read::<Hash>(text), read::<TileId>(text)] {
        assert!(written.is_none_or(|written| written == text));
    }
});
