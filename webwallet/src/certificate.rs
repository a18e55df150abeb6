//! How long others believe our own certificate.

use std::path::Path;

use anyhow::Context as _;
use webwallet_ledger::Time;
use x509_parser::pem::Pem;

const DAY_S: i64 = 86_400;

/// When clients believe a certificate.
pub enum Believed {
    /// Now, and for so many days.
    Days(i64),
    /// From that time on.
    Later(Time),
    /// Until that time.
    NoMore(Time),
}

/// Of the first certificate in a PEM file, ours: those of its CAs follow it.
///
/// # Errors
/// It cannot be read, or is none.
pub fn believed(file: &Path, now: Time) -> anyhow::Result<Believed> {
    let first = Pem::iter_from_buffer(&std::fs::read(file)?).next().context("no PEM")??;
    let validity = first.parse_x509()?.validity().clone();
    let [from, until] = [validity.not_before, validity.not_after].map(|time| time.timestamp());
    let now = now.unix_ms().div_euclid(1_000);
    let time = |seconds: i64| Time::from_unix_ms(seconds.saturating_mul(1_000));
    Ok(match now {
        _ if now < from => Believed::Later(time(from)),
        _ if now > until => Believed::NoMore(time(until)),
        _ => Believed::Days((until - now) / DAY_S),
    })
}

/// Warns where nobody will speak to us. It is no refusal: a new one takes another start, and
/// what asks only for health may not look.
pub fn warn(file: &Path, now: Time) {
    let file_shown = file.display();
    match believed(file, now) {
        Ok(Believed::Later(from)) => {
            tracing::warn!(
                "clients refuse the certificate {file_shown} before {from}: set the clock, or use it from then on"
            );
        }
        Ok(Believed::NoMore(until)) => tracing::warn!(
            "clients refuse the certificate {file_shown} since {until}: have it renewed, and start again"
        ),
        // What cannot be read is refused by whoever uses it.
        Ok(Believed::Days(_)) | Err(_) => {}
    }
}
