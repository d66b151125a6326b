//! The two ways in which instants are written: the platform's, to the second, and ISO 8601, to the millisecond, in
//! Downlink's own extensions.

use std::fmt;

use downlink_core::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;
use serde::{Serialize, Serializer};

/// An instant as the platform writes it: UTC, `yyyyMMdd'T'HHmmss'Z'`. What is finer than a second is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WireTime(pub Timestamp);

/// An instant as the extensions write it: UTC, `yyyy-MM-dd'T'HH:mm:ss.SSS'Z'` (RFC 3339).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IsoTime(pub Timestamp);

impl fmt::Display for WireTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = civil(self.0);
        let (date, time) = (at.date(), at.time());
        write!(
            f,
            "{:04}{:02}{:02}T",
            date.year().max(0),
            date.month(),
            date.day()
        )?;
        write!(f, "{:02}{:02}{:02}Z", time.hour(), time.minute(), time.second())
    }
}

impl fmt::Display for IsoTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = civil(self.0);
        let (date, time) = (at.date(), at.time());
        write!(
            f,
            "{:04}-{:02}-{:02}T",
            date.year().max(0),
            date.month(),
            date.day()
        )?;
        write!(
            f,
            "{:02}:{:02}:{:02}.{:03}Z",
            time.hour(),
            time.minute(),
            time.second(),
            time.millisecond()
        )
    }
}

impl Serialize for WireTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for IsoTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl WireTime {
    /// The instant that `text` writes; none if it is not written so, or is no date.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() != 16 || bytes[8] != b'T' || bytes[15] != b'Z' {
            return None;
        }
        let year = i16::try_from(number(&bytes[..4])?).ok()?;
        let two = |from: usize| number(&bytes[from..from + 2]).and_then(|n| i8::try_from(n).ok());
        let at = DateTime::new(year, two(4)?, two(6)?, two(9)?, two(11)?, two(13)?, 0).ok()?;
        let at = Offset::UTC.to_timestamp(at).ok()?;
        Some(Self(Timestamp::from_millis(at.as_millisecond())))
    }
}

fn number(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0_u16, |sum, digit| {
        digit.is_ascii_digit().then(|| sum * 10 + u16::from(digit - b'0'))
    })
}

/// Instants that no calendar here can show are shown as the nearest one that it can.
fn civil(at: Timestamp) -> DateTime {
    let nearest = match at.as_millis() < 0 {
        true => jiff::Timestamp::MIN,
        false => jiff::Timestamp::MAX,
    };
    let at = jiff::Timestamp::from_millisecond(at.as_millis()).unwrap_or(nearest);
    Offset::UTC.to_datetime(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_in_utc_without_separators() {
        // `date -u -d @1700000000`: 2023-11-14 22:13:20
        let at = Timestamp::from_millis(1_700_000_000_123);
        assert_eq!(WireTime(at).to_string(), "20231114T221320Z");
        assert_eq!(IsoTime(at).to_string(), "2023-11-14T22:13:20.123Z");
        assert_eq!(
            serde_json::to_string(&WireTime(at)).unwrap(),
            r#""20231114T221320Z""#
        );
    }

    #[test]
    fn what_is_written_is_read() {
        for secs in [0, 951_782_400, 1_700_000_000, 4_102_444_799] {
            let at = WireTime(Timestamp::from_millis(secs * 1000));
            assert_eq!(WireTime::parse(&at.to_string()), Some(at));
        }
    }

    #[test]
    fn other_texts_are_no_instants() {
        for text in [
            "",
            "20231114T221320",
            "20231114T221320z",
            "20231314T221320Z",
            "20230229T000000Z",
            "20231114T241320Z",
            "2023-11-14T22:13:20Z",
            "2023111aT221320Z",
            "+0231114T221320Z",
            "2023\u{e9}114T22132Z",
        ] {
            assert_eq!(WireTime::parse(text), None, "{text}");
        }
    }

    #[test]
    fn instants_beyond_the_calendar_do_not_panic() {
        for ms in [i64::MIN, i64::MAX, -1] {
            assert!(WireTime(Timestamp::from_millis(ms)).to_string().ends_with('Z'));
        }
    }
}
