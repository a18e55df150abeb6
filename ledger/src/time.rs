//! Points in time as documents write them: exactly `YYYY-MM-DDTHH:MM:SS.sssZ`
//! (RFC 3339, UTC, milliseconds), years 0000 to 9999.

use std::fmt;
use std::str::FromStr;

use ::time::{Date, Duration, Month, OffsetDateTime, PrimitiveDateTime, Time as Clock};

/// A point in time, in whole milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    unix_ms: i64,
}

/// First and last milliseconds that can be written with a year of four digits.
const FIRST_MS: i64 = -62_167_219_200_000;
const LAST_MS: i64 = 253_402_300_799_999;
const DAY_MS: i64 = 86_400_000;

impl Time {
    /// From milliseconds since 1970; outside the years 0000 to 9999 the
    /// nearest end of that range.
    pub fn from_unix_ms(unix_ms: i64) -> Time {
        Time { unix_ms: unix_ms.clamp(FIRST_MS, LAST_MS) }
    }

    /// Milliseconds since 1970.
    pub fn unix_ms(self) -> i64 {
        self.unix_ms
    }

    /// Days since 1970, in UTC.
    pub fn day(self) -> i64 {
        self.unix_ms.div_euclid(DAY_MS)
    }

    /// So many days later, at most the last millisecond of the year 9999.
    pub fn plus_days(self, days: i64) -> Time {
        Time::from_unix_ms(self.unix_ms.saturating_add(days.saturating_mul(DAY_MS)))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = OffsetDateTime::UNIX_EPOCH + Duration::milliseconds(self.unix_ms);
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second(),
            at.millisecond()
        )
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a time in the one form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a time is written exactly YYYY-MM-DDTHH:MM:SS.sssZ")]
pub struct NotATime;

impl FromStr for Time {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Time, NotATime> {
        let b = text.as_bytes();
        let separators =
            [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'.'), (23, b'Z')];
        if b.len() != 24 || separators.iter().any(|&(at, c)| b[at] != c) {
            return Err(NotATime);
        }
        let number = |from: usize, to: usize| -> Result<u16, NotATime> {
            b[from..to].iter().try_fold(0u16, |n, c| match c {
                b'0'..=b'9' => Ok(n * 10 + u16::from(c - b'0')),
                _ => Err(NotATime),
            })
        };
        let small = |from, to| number(from, to).map(|n| n as u8);
        let month = Month::try_from(small(5, 7)?).map_err(|_| NotATime)?;
        let date = Date::from_calendar_date(i32::from(number(0, 4)?), month, small(8, 10)?);
        let clock =
            Clock::from_hms_milli(small(11, 13)?, small(14, 16)?, small(17, 19)?, number(20, 23)?);
        let at = PrimitiveDateTime::new(date.map_err(|_| NotATime)?, clock.map_err(|_| NotATime)?)
            .assume_utc();
        Ok(Time { unix_ms: at.unix_timestamp() * 1000 + i64::from(at.millisecond()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A time that reads back as another would change what was signed.
    #[test]
    fn every_written_time_reads_back() {
        for text in [
            "0000-01-01T00:00:00.000Z",
            "1969-12-31T23:59:59.999Z",
            "2024-02-29T12:30:45.678Z",
            "9999-12-31T23:59:59.999Z",
        ] {
            assert_eq!(text.parse::<Time>().expect(text).to_string(), text);
        }
        let ms = |text: &str| text.parse::<Time>().map(Time::unix_ms);
        assert_eq!(ms("1969-12-31T23:59:58.999Z"), Ok(-1_001));
        assert_eq!(ms("1970-01-02T00:00:00.002Z"), Ok(86_400_002));
        assert_eq!(Time::from_unix_ms(i64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
        assert_eq!(Time::from_unix_ms(i64::MIN).to_string(), "0000-01-01T00:00:00.000Z");
    }

    /// A second spelling of one instant would give one IOU two hashes.
    #[test]
    fn other_spellings_are_refused() {
        for text in [
            "",
            "2024-02-29T12:30:45Z",
            "2024-02-29t12:30:45.678z",
            "2024-02-29T12:30:45.678+00:00",
            "2023-02-29T12:30:45.678Z",
            "2024-02-29T24:00:00.000Z",
            "2024-02-29T23:59:60.000Z",
            "+024-02-29T12:30:45.678Z",
            "2024-02-29T12:30:45.６Z",
        ] {
            assert_eq!(text.parse::<Time>(), Err(NotATime), "{text}");
        }
    }
}
