//! Ids and times, of the form and length that the server's have.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use super::locked;

/// Makes ids, and shows times.
#[derive(Default)]
pub(super) struct Ids {
    count: AtomicU64,
    /// The second that was shown last, and how: all answers of a second show the same.
    shown: Mutex<(Option<u64>, String)>,
}

impl Ids {
    /// A number that no other has.
    pub(super) fn next(&self) -> u64 {
        self.count.fetch_add(1, Ordering::Relaxed)
    }

    /// The id of a command made at `ms`: a UUIDv7 with a count where others have random bits.
    pub(super) fn command(&self, ms: u64) -> u128 {
        (u128::from(ms) << 80) | (7 << 76) | (0b10 << 62) | u128::from(self.next())
    }

    /// Adds an instant as answers show it.
    pub(super) fn put_time(&self, text: &mut String, ms: u64) {
        let (second, mut shown) = (ms / 1000, locked(&self.shown));
        if shown.0 != Some(second) {
            let at = jiff::Timestamp::from_second(second.cast_signed()).unwrap_or_default();
            *shown = (Some(second), at.strftime("%Y%m%dT%H%M%SZ").to_string());
        }
        text.push_str(&shown.1);
    }
}

/// Milliseconds since 1970.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as u64
}
