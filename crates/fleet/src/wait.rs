//! Waiting for a condition on something watched, never for time.

use std::time::Duration;

use tokio::sync::watch;

/// The condition was not met in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not within {waited:?}; then: {seen}")]
pub struct TimedOut {
    /// How long it was waited for.
    pub waited: Duration,
    /// What there was at the end, for people.
    pub seen: String,
}

/// Returns `pick`'s first answer, looked for now and at every change. `describe` tells what there was if none came.
pub(crate) async fn until<T, R>(
    watched: &watch::Sender<T>,
    limit: Duration,
    mut pick: impl FnMut(&T) -> Option<R>,
    describe: impl FnOnce(&T) -> String,
) -> Result<R, TimedOut> {
    let mut changes = watched.subscribe();
    let mut found = None;
    let search = changes.wait_for(|value| {
        found = pick(value);
        found.is_some()
    });
    // The sender is borrowed, so the channel cannot close while this waits.
    let in_time = tokio::time::timeout(limit, search)
        .await
        .is_ok_and(|found| found.is_ok());
    match found {
        Some(found) if in_time => Ok(found),
        Some(_) | None => Err(TimedOut {
            waited: limit,
            seen: describe(&watched.borrow()),
        }),
    }
}
