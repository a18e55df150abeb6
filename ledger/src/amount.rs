//! Decimals: exact, bounded, with one shortest spelling for results.

use std::fmt;

use bigdecimal::num_bigint::{BigInt, Sign};
use bigdecimal::{BigDecimal, Zero};

use crate::limits::{FRACTION_DIGITS_MAX, WHOLE_DIGITS_MAX};

/// An exact decimal number of units: what an IOU moves, a balance, a limit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount(BigDecimal);

/// Why a text is no decimal of the protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAnAmount {
    /// Not `(0 | [1-9][0-9]*) ("." [0-9]+)?`.
    #[error("a decimal is digits without leading zero, then at most one point followed by digits")]
    Grammar,
    /// More digits on one side of the point than allowed.
    #[error("{actual} digits {side} the point; at most {limit}")]
    Digits {
        /// `before` or `after`.
        side: &'static str,
        /// The most there may be.
        limit: usize,
        /// How many there are.
        actual: usize,
    },
}

impl Amount {
    /// Nothing.
    pub fn zero() -> Amount {
        Amount(BigDecimal::zero())
    }

    /// The largest there is: every digit before and after the point a nine.
    pub(crate) fn largest() -> Amount {
        let nines = "9".repeat(WHOLE_DIGITS_MAX + FRACTION_DIGITS_MAX);
        let digits = nines.parse::<BigInt>().unwrap_or_default();
        Amount(BigDecimal::new(digits, FRACTION_DIGITS_MAX as i64))
    }

    /// Reads a decimal as an IOU has it: no sign, no exponent. The text is
    /// checked before any number is made of it.
    pub fn parse(text: &str) -> Result<Amount, NotAnAmount> {
        let (whole, fraction) = match text.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (text, None),
        };
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole)
            || (whole.len() > 1 && whole.starts_with('0'))
            || !fraction.is_none_or(digits)
        {
            return Err(NotAnAmount::Grammar);
        }
        let fraction = fraction.unwrap_or_default();
        for (side, part, limit) in
            [("before", whole, WHOLE_DIGITS_MAX), ("after", fraction, FRACTION_DIGITS_MAX)]
        {
            if part.len() > limit {
                return Err(NotAnAmount::Digits { side, limit, actual: part.len() });
            }
        }
        text.parse().map(Amount).map_err(|_| NotAnAmount::Grammar)
    }

    /// Reads a decimal as a record has it: with a `-` before it when negative.
    pub fn parse_signed(text: &str) -> Result<Amount, NotAnAmount> {
        match text.strip_prefix('-') {
            Some(rest) => Amount::parse(rest).map(|a| a.negated()),
            None => Amount::parse(text),
        }
    }

    /// Reads a sum of amounts, without a sign, which may be longer than each of
    /// them.
    pub fn parse_sum(text: &str) -> Option<Amount> {
        let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        plain.then(|| text.parse().ok()).flatten().map(Amount)
    }

    /// Is it zero?
    pub fn is_zero(&self) -> bool {
        self.0.is_zero()
    }

    /// Is it above zero?
    pub fn is_positive(&self) -> bool {
        self.0.sign() == Sign::Plus
    }

    /// The same with the other sign.
    pub fn negated(&self) -> Amount {
        Amount(-&self.0)
    }

    /// The sum.
    pub fn plus(&self, other: &Amount) -> Amount {
        Amount(&self.0 + &other.0)
    }

    /// The difference.
    pub fn minus(&self, other: &Amount) -> Amount {
        Amount(&self.0 - &other.0)
    }

    /// One in the last place of its shortest form, and at most one: 0.01 for 7.25, 1 for 700.
    pub(crate) fn last_place(&self) -> Amount {
        let scale = self.0.normalized().fractional_digit_count().max(0);
        Amount(BigDecimal::new(BigInt::from(1), scale))
    }

    /// Digits before the point; 1 for anything below one.
    pub fn whole_digits(&self) -> usize {
        let (digits, scale) = (self.0.digits() as i64, self.0.fractional_digit_count());
        usize::try_from(digits - scale).unwrap_or_default().max(1)
    }
}

impl fmt::Display for Amount {
    /// The shortest form: no exponent, no trailing zero, no `-0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = || self.0.normalized().to_plain_string();
        f.pad(&short(&self.0).unwrap_or_else(plain))
    }
}

/// The same form of a number whose digits fit 64 bits, in a quarter of the time:
/// every payment writes some twenty balances and limits, and nearly all fit.
fn short(number: &BigDecimal) -> Option<String> {
    let (digits, scale) = number.as_bigint_and_scale();
    let digits = i64::try_from(&*digits).ok()?;
    let scale = usize::try_from(scale).ok()?;
    let one = 10u64.checked_pow(u32::try_from(scale).ok()?)?;
    let sign = if digits < 0 { "-" } else { "" };
    let (whole, fraction) = (digits.unsigned_abs() / one, digits.unsigned_abs() % one);
    if fraction == 0 {
        return Some(format!("{sign}{whole}"));
    }
    let text = format!("{sign}{whole}.{fraction:0scale$}");
    Some(text.trim_end_matches('0').to_owned())
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two spellings of one result would give one clearing two hashes.
    #[test]
    fn results_have_one_shortest_spelling() {
        for (text, shortest) in [
            ("0", "0"),
            ("0.000", "0"),
            ("10", "10"),
            ("1200", "1200"),
            ("10.50", "10.5"),
            (
                "0.0000000000000000000000000000000000000001",
                "0.0000000000000000000000000000000000000001",
            ),
            (
                "999999999999999999999999999999999999999999999999999999999999",
                "999999999999999999999999999999999999999999999999999999999999",
            ),
            (
                "100000000000000000000000000000000000000000000000000000000000",
                "100000000000000000000000000000000000000000000000000000000000",
            ),
        ] {
            assert_eq!(Amount::parse(text).expect(text).to_string(), shortest);
        }
        let ten = Amount::parse("10").expect("decimal");
        assert_eq!(ten.negated().to_string(), "-10");
        assert_eq!(ten.minus(&ten).negated().to_string(), "0");
        assert_eq!(Amount::parse_signed("-0.50").expect("decimal").to_string(), "-0.5");
    }

    /// Short numbers are written in a way of their own.
    #[test]
    fn short_results_are_written_as_long_ones() {
        let mut digits: Vec<i64> = vec![i64::MIN, i64::MAX, 0];
        for power in 0..19 {
            let ten = 10i64.pow(power);
            digits.extend([ten, -ten, ten - 1, ten + 1, 7 * (ten / 2), -ten / 3]);
        }
        let mut short_ones = 0;
        for (digits, scale) in digits.iter().flat_map(|n| (-2..22).map(move |scale| (*n, scale))) {
            let number = BigDecimal::new(digits.into(), scale);
            let plain = number.normalized().to_plain_string();
            short_ones += usize::from(short(&number).is_some());
            assert_eq!(Amount(number).to_string(), plain, "{digits} {scale}");
        }
        assert!(short_ones > 2_000, "{short_ones}");
    }

    /// A sign or exponent taken for a number would move what nobody signed.
    #[test]
    fn nothing_but_plain_decimals_is_read() {
        for text in [
            "", ".", "1.", ".1", "01", "00", "-1", "+1", "1e3", "1_000", " 1", "1 ", "١", "0x1",
            "1.2.3", "NaN", "Infinity",
        ] {
            assert_eq!(Amount::parse(text), Err(NotAnAmount::Grammar), "{text}");
        }
        assert!(Amount::parse(&"9".repeat(60)).is_ok());
        assert!(Amount::parse(&"9".repeat(61)).is_err());
        assert!(Amount::parse(&format!("0.{}", "1".repeat(40))).is_ok());
        assert!(Amount::parse(&format!("0.{}", "1".repeat(41))).is_err());
    }

    /// What is added or left in this step is written as short as the amount itself.
    #[test]
    fn the_last_place_is_that_of_the_shortest_spelling() {
        for (text, last_place) in
            [("7.25", "0.01"), ("7.50", "0.1"), ("7", "1"), ("700", "1"), ("0.0004", "0.0001")]
        {
            assert_eq!(Amount::parse(text).expect(text).last_place().to_string(), last_place);
        }
    }

    /// A balance that outgrows sixty digits must be noticed, at exactly sixty-one.
    #[test]
    fn digits_before_the_point_are_counted() {
        let count = |text: &str| Amount::parse_signed(text).expect(text).whole_digits();
        assert_eq!(count("0"), 1);
        assert_eq!(count("0.001"), 1);
        assert_eq!(count("-12.5"), 2);
        assert_eq!(count("1000"), 4);
        let top = Amount::parse(&"9".repeat(60)).expect("decimal");
        assert_eq!(top.whole_digits(), 60);
        assert_eq!(top.plus(&Amount::parse("1").expect("decimal")).whole_digits(), 61);
        assert_eq!(top.negated().minus(&Amount::parse("1").expect("decimal")).whole_digits(), 61);
    }
}
