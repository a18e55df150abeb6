//! Where time comes from: the system's clock, or a file in tests; and to a wallet,
//! the server that decides.
//!
//! The only place of the program that reads a clock for the rules. Everything
//! below takes time as an argument, or a [`Clock`] made here.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, anyhow, bail};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use webwallet_ledger::address::Address;
use webwallet_ledger::draft::Draft;
use webwallet_ledger::rejection::Code;
use webwallet_ledger::request::body_of;
use webwallet_ledger::signature::public_of;
use webwallet_ledger::time::Time;

use crate::client::{Answer, Server, patiently};
use crate::key::random_bytes;

pub use webwallet_graphstore::Clock;

/// The system's clock.
pub fn system() -> Clock {
    Arc::new(|| now().map_err(|error| format!("{error:#}")))
}

/// The time that stands in a file, read again at every use: a test moves time
/// by writing the file (to be renamed into place, so that no half is read).
pub fn file(path: &Path) -> Clock {
    let path = path.to_owned();
    Arc::new(move || read(&path).map_err(|error| format!("{error:#}")))
}

/// Now, by the system's clock.
pub fn now() -> anyhow::Result<Time> {
    let since =
        SystemTime::now().duration_since(UNIX_EPOCH).context("the clock stands before 1970")?;
    let ms = i64::try_from(since.as_millis()).context("the clock is too far ahead")?;
    Ok(Time::from_unix_ms(ms))
}

/// The time that a server gives to what it clears now. Its clock may be behind that: what was
/// given once is never gone back behind. So the rules are asked, with an IOU that expired long
/// ago: why it does not clear is said with the time, and it never will.
pub fn of(server: &Server, domain: &str) -> anyhow::Result<Time> {
    let request = question(domain)?;
    let problem = match patiently(|| server.rehearse(&request))? {
        Answer::Problem(problem) => problem,
        Answer::Done { .. } => {
            bail!("{domain} takes what expired in 1970: its clock cannot be right")
        }
    };
    let time = problem.actual().filter(|_| problem.code == Code::Expired.as_str());
    let said = || format!("{domain} does not say its time: {}", problem.sentence());
    time.with_context(said)?.parse().with_context(said)
}

/// An IOU that expired long ago.
fn question(domain: &str) -> anyhow::Result<Vec<u8>> {
    // A key that nobody has: with one that others have, they could use up what it may ask.
    let secret = random_bytes()?;
    let nobody = Address::of_public(&public_of(&secret));
    let draft = Draft {
        domain: domain.to_owned(),
        source: nobody,
        target: Address::from_digest([0; 20]),
        symbol: nobody,
        amount: "1".to_owned(),
        random: "what time is it".to_owned(),
        expiry: Time::from_unix_ms(0),
        active: None,
        credit: None,
        locker: None,
        solver: None,
    };
    Ok(body_of([draft.sign(&secret).as_slice()]))
}

/// The time in a file.
pub fn read(path: &Path) -> anyhow::Result<Time> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("cannot read the test clock {}", path.display()))?;
    parse(text.trim()).with_context(|| format!("the test clock {}", path.display()))
}

/// Any RFC 3339 time, cut to the millisecond: people may leave out what a
/// document may not.
pub fn parse(text: &str) -> anyhow::Result<Time> {
    // Its reason gives itself as its cause, once more or twice.
    let moment = OffsetDateTime::parse(text, &Rfc3339).map_err(|why| {
        anyhow!("`{text}` is not an RFC 3339 time such as 2027-01-31T12:00:00Z: {why}")
    })?;
    // Within years 0 to 9999, so it always fits.
    let ms = i64::try_from(moment.unix_timestamp_nanos().div_euclid(1_000_000))?;
    Ok(Time::from_unix_ms(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A time read wrongly by an hour or a digit expires what should clear.
    #[test]
    fn times_of_people_become_times_of_documents() {
        for (text, written) in [
            ("2027-01-01T00:00:00.000Z", "2027-01-01T00:00:00.000Z"),
            ("2027-01-01T00:00:00Z", "2027-01-01T00:00:00.000Z"),
            ("2027-01-01T01:30:00+01:30", "2027-01-01T00:00:00.000Z"),
            ("2027-01-01T00:00:00.123999Z", "2027-01-01T00:00:00.123Z"),
            ("1969-12-31T23:59:59.9999Z", "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(parse(text).expect(text).to_string(), written);
        }
        for text in [
            "",
            "2027-01-01",
            "2027-01-01T00:00:00",
            "2027-02-30T00:00:00Z",
            "tomorrow",
            "1798761600",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    /// With a source that everybody has, a stranger could use up what it may ask, and whoever then
    /// does not hear the time shows no preimage: the other party has both sides of a swap.
    #[test]
    fn the_time_is_asked_for_by_nobody_else() {
        let source = || {
            let question = question("example.net").expect("a question");
            let question: serde_json::Value = serde_json::from_slice(&question).expect("JSON");
            question["data"]["inputs"][0]["data"]["source"].to_string()
        };
        assert_ne!(source(), source());
    }

    /// A test clock that is read once would never expire anything.
    #[test]
    fn the_test_clock_is_read_at_every_use() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("clock");
        let clock = file(&path);
        assert!(clock().is_err());
        fs::write(&path, "2027-01-01T00:00:00Z\n").expect("written");
        assert_eq!(clock().expect("time").to_string(), "2027-01-01T00:00:00.000Z");
        fs::write(&path, "2027-01-02T00:00:00.5Z").expect("written");
        assert_eq!(clock().expect("time").to_string(), "2027-01-02T00:00:00.500Z");
    }
}
