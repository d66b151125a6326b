//! What is kept of a receiver's answer: its status, the first bytes of its body, and when it wants to be asked again.
//!
//! All of it comes from a stranger. The excerpt is bounded and holds nothing that a terminal or a page would act on beyond
//! plain text; the pause is bounded, so that no sum with a clock overflows.

use std::sync::Arc;
use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};

use crate::clock;

/// Bytes of an answer's body that are kept, unless it is a success.
const EXCERPT: usize = 256;

/// The longest pause that is read from an answer.
const LONGEST_PAUSE: Duration = Duration::from_secs(7 * 24 * 3600);

/// An answer, as far as it came.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) status: Option<StatusCode>,
    pub(super) retry_after: Option<Duration>,
    start: Vec<u8>,
}

impl Answer {
    /// Takes note of the head.
    pub(super) fn head(&mut self, status: StatusCode, headers: &HeaderMap) {
        self.status = Some(status);
        self.retry_after = match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => retry_after(headers),
            _ => None,
        };
    }

    /// Takes note of a piece of the body.
    pub(super) fn body(&mut self, piece: &[u8]) {
        if self.status.is_some_and(|status| !status.is_success()) {
            let room = EXCERPT - self.start.len();
            self.start.extend_from_slice(&piece[..piece.len().min(room)]);
        }
    }

    /// The first bytes of the body as text; empty for a success. What is no text, or would act on a terminal, is replaced.
    pub(super) fn excerpt(&self) -> Arc<str> {
        if self.start.is_empty() {
            return Arc::default();
        }
        let text = String::from_utf8_lossy(&self.start);
        let plain = |found: char| match acts(found) {
            true => char::REPLACEMENT_CHARACTER,
            false => found,
        };
        text.chars().map(plain).collect::<String>().into()
    }
}

/// Control characters, and those that turn the direction of text or break lines.
fn acts(found: char) -> bool {
    found.is_control()
        || matches!(found, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The pause that the receiver asks for: seconds, or until a date. One that lies in the past: none at all.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let pause = match text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
        // More digits than a number has room for: longer than any.
        true => text.parse().map_or(LONGEST_PAUSE, Duration::from_secs),
        false => until(text)?,
    };
    Some(pause.min(LONGEST_PAUSE))
}

fn until(date: &str) -> Option<Duration> {
    let at = httpdate::parse_http_date(date).ok()?;
    let at = at.duration_since(std::time::UNIX_EPOCH).ok()?;
    let now = Duration::from_millis(u64::try_from(clock::now().as_millis()).unwrap_or(0));
    Some(at.saturating_sub(now))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn answer(status: u16, retry_after: &str) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_str(retry_after).unwrap());
        let mut answer = Answer::default();
        answer.head(StatusCode::from_u16(status).unwrap(), &headers);
        answer
    }

    #[test]
    fn a_pause_is_read_from_seconds_and_from_every_form_of_date() {
        let secs = |text: &str| answer(429, text).retry_after.map(|pause| pause.as_secs());
        assert_eq!(secs("0"), Some(0));
        assert_eq!(secs(" 120 "), Some(120));
        assert_eq!(secs("999999999"), Some(LONGEST_PAUSE.as_secs()));
        assert_eq!(secs("99999999999999999999999"), Some(LONGEST_PAUSE.as_secs()));
        for past in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(secs(past), Some(0), "{past}");
        }
        let soon = std::time::SystemTime::now() + Duration::from_secs(1000);
        let soon = secs(&httpdate::fmt_http_date(soon)).unwrap();
        assert!((900..=1000).contains(&soon), "{soon}");
        for wrong in [
            "",
            "-1",
            "1.5",
            "+3",
            "soon",
            "1994-11-06T08:49:37Z",
            "Sun, 06 Nov",
        ] {
            assert_eq!(secs(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn only_429_and_503_may_ask_for_a_pause() {
        for status in [200, 204, 301, 400, 404, 408, 410, 500, 502, 504] {
            assert_eq!(answer(status, "7").retry_after, None, "{status}");
        }
        assert!(answer(503, "7").retry_after.is_some());
    }

    #[test]
    fn an_excerpt_is_short_and_plain_text() {
        let mut failed = answer(500, "1");
        failed.body(b"one\x1b[31m\r\n\0two\xff ");
        failed.body("a\u{202e}b\u{2028}c\u{85}d é".as_bytes());
        assert_eq!(
            &*failed.excerpt(),
            "one\u{fffd}[31m\u{fffd}\u{fffd}\u{fffd}two\u{fffd} a\u{fffd}b\u{fffd}c\u{fffd}d é"
        );
        let mut long = answer(500, "1");
        for _ in 0..100 {
            long.body(&[b'x'; 100]);
        }
        assert_eq!(long.excerpt().len(), EXCERPT);
        let mut success = answer(201, "1");
        success.body(b"private");
        assert_eq!(&*success.excerpt(), "");
    }
}
