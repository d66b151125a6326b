//! The one wall clock of the shell. Pure code is given its value.

use std::time::{SystemTime, UNIX_EPOCH};

use downlink_core::Timestamp;

/// Now, to the millisecond. Before 1970: the epoch.
#[expect(clippy::disallowed_methods, reason = "the one place")]
pub(crate) fn now() -> Timestamp {
    #[cfg(feature = "simulation")]
    if let Some(now) = crate::simulated::now() {
        return now;
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
