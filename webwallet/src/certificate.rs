//! How long others believe our own certificate.

use std::path::Path;

use anyhow::{Context as _, ensure};
use webwallet_ledger::Time;
use x509_parser::pem::Pem;

const DAY_S: i64 = 86_400;

/// For how many more days clients believe the first certificate in a PEM file, ours: those of
/// its CAs follow it.
///
/// # Errors
/// It cannot be read, or is none; or they refuse it at this time, and what to do.
pub fn days_left(file: &Path, now: Time) -> anyhow::Result<i64> {
    let first = Pem::iter_from_buffer(&std::fs::read(file)?).next().context("no PEM")??;
    let validity = first.parse_x509()?.validity().clone();
    let [from, until] = [validity.not_before, validity.not_after].map(|time| time.timestamp());
    let now = now.unix_ms().div_euclid(1_000);
    let time = |seconds: i64| Time::from_unix_ms(seconds.saturating_mul(1_000));
    ensure!(
        now >= from,
        "clients refuse it before {}: set the clock, or use it from then on",
        time(from)
    );
    ensure!(
        now <= until,
        "clients refuse it since {}: have it renewed, and start again",
        time(until)
    );
    Ok((until - now) / DAY_S)
}

/// Warns where nobody will speak to us. It is no refusal: a new one takes another start, and
/// what asks only for health may not look.
pub fn warn(file: &Path, now: Time) {
    if let Err(why) = days_left(file, now) {
        tracing::warn!("the certificate {}: {why:#}", file.display());
    }
}
