//! Drills: crashes at random moments, many people after one balance, and what
//! the kernel saw. Short by default; `scripts/soak` runs them long.

#![allow(clippy::unwrap_used)]

mod disk;
mod engines;
mod flood;
mod kill;
mod race;
mod seal;
mod syncs;
mod walk;

/// How often to repeat: `short` in `scripts/test`, `long` in `scripts/soak`.
fn rounds(short: usize, long: usize) -> usize {
    match std::env::var("WEBWALLET_TEST_DRILLS").as_deref() {
        Ok("long") => long,
        _ => short,
    }
}
