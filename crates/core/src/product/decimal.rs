//! Decimal numbers as profiles and parameters write them, compared exactly.

use std::fmt;
use std::str::FromStr;

/// Digits after the point.
const SCALE: u32 = 18;
const ONE: i128 = 10_i128.pow(SCALE);
/// Digits before the point: with those after it, what fits.
const WHOLE_DIGITS: i64 = 20;

/// A decimal number of up to 18 digits after the point and below 10^20: every 64-bit integer, and then some.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decimal(i128);

/// The text is no decimal number, or one with too many digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a decimal number of at most 20 digits before and 18 after the point")]
pub struct NotADecimal;

impl Decimal {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Whether nothing stands after the point.
    pub const fn is_whole(self) -> bool {
        self.0 % ONE == 0
    }

    /// Whether it is `from` plus or minus a number of `step`s. A step of zero is no step.
    pub const fn is_step_from(self, from: Self, step: Self) -> bool {
        step.0 == 0 || self.0.rem_euclid(step.0) == from.0.rem_euclid(step.0)
    }
}

impl FromStr for Decimal {
    type Err = NotADecimal;

    /// Reads what JSON calls a number; a plus sign, leading zeros and a bare point are taken too.
    fn from_str(text: &str) -> Result<Self, NotADecimal> {
        let (negative, rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            Some(_) | None => (false, text),
        };
        let (digits, exponent) = match rest.split_once(['e', 'E']) {
            Some((digits, exponent)) => (digits, exponent.parse::<i32>().map_err(|_| NotADecimal)?),
            None => (rest, 0),
        };
        let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.len() + part.len() == 0 || !all_digits(whole) || !all_digits(part) {
            return Err(NotADecimal);
        }
        let magnitude = scaled(whole, part, exponent)?;
        Ok(Self(if negative { -magnitude } else { magnitude }))
    }
}

/// The digits as a number of units of the last place kept.
fn scaled(whole: &str, part: &str, exponent: i32) -> Result<i128, NotADecimal> {
    // Where the first digit stands: 0 is the place before the point.
    let first = whole.len() as i64 - 1 + i64::from(exponent);
    let mut sum = 0_i128;
    for (n, digit) in (0_i64..).zip(whole.bytes().chain(part.bytes())) {
        let (digit, place) = (i128::from(digit - b'0'), first - n);
        if digit == 0 {
            continue;
        }
        if place >= WHOLE_DIGITS || place < -i64::from(SCALE) {
            return Err(NotADecimal);
        }
        let unit = u32::try_from(place + i64::from(SCALE)).map_err(|_| NotADecimal)?;
        sum += digit * 10_i128.pow(unit);
    }
    Ok(sum)
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.0.unsigned_abs();
        let one = ONE.unsigned_abs();
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{}", magnitude / one)?;
        match magnitude % one {
            0 => Ok(()),
            part => write!(f, ".{}", format!("{part:018}").trim_end_matches('0')),
        }
    }
}

impl fmt::Debug for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn numbers_are_read_and_shown() {
        for (text, shown) in [
            ("0", "0"),
            ("-0.0", "0"),
            ("+1", "1"),
            ("007", "7"),
            ("-12.50", "-12.5"),
            ("1e3", "1000"),
            ("1.5E-3", "0.0015"),
            ("0.000000000000000001", "0.000000000000000001"),
            ("18446744073709551615", "18446744073709551615"),
            ("-99999999999999999999.5", "-99999999999999999999.5"),
            ("0e999999", "0"),
            (".5", "0.5"),
        ] {
            assert_eq!(decimal(text).to_string(), shown, "{text}");
        }
    }

    #[test]
    fn what_is_no_number_or_does_not_fit_is_refused() {
        for text in [
            "",
            "-",
            ".",
            "1x",
            "e1",
            "1e",
            "1e99",
            "1e-19",
            "1 ",
            "--1",
            "0x1",
            "1e9999999999",
            "NaN",
            "١",
        ] {
            assert_eq!(text.parse::<Decimal>(), Err(NotADecimal), "{text}");
        }
    }

    #[test]
    fn steps_are_exact() {
        let fits = |value, from, step| decimal(value).is_step_from(decimal(from), decimal(step));
        assert!(fits("0.3", "0", "0.1"), "no rounding as of binary fractions");
        assert!(!fits("0.35", "0", "0.1"));
        assert!(fits("7", "1", "3") && fits("-2", "1", "3") && !fits("6", "1", "3"));
        assert!(fits("0.123", "0", "0"));
        assert!(fits("99999999999999999999", "-99999999999999999999", "0.5"));
    }

    #[test]
    fn whole_numbers_have_nothing_after_the_point() {
        assert!(decimal("1.0").is_whole() && decimal("-3e2").is_whole());
        assert!(!decimal("0.5").is_whole());
    }

    proptest::proptest! {
        /// Proptest prints what it found, and keeps it as small as it can.
        #[test]
        fn what_is_shown_reads_as_the_same(units in -(10_i128.pow(38) - 1)..10_i128.pow(38), other: i64) {
            let number = Decimal(units);
            proptest::prop_assert_eq!(number.to_string().parse(), Ok(number));
            let whole = decimal(&other.to_string());
            proptest::prop_assert_eq!(whole.0, i128::from(other) * ONE);
            proptest::prop_assert_eq!(number < whole, units < i128::from(other) * ONE);
        }

        #[test]
        fn no_text_panics(text in "[-+.eE0-9]{0,50}|\\PC{0,9}") {
            let _ = text.parse::<Decimal>();
        }
    }
}
