//! Retention: working rows past their late window, old records and cancel tasks, ended tokens and keys of requests, registrations that lapsed.

use std::sync::Arc;
use std::time::Duration;

use downlink_core::{Span, Timestamp};
use downlink_store::StoreError;
use tokio_util::sync::CancellationToken;

use super::rest;
use crate::clock;
use crate::engine::{CloseReason, Engine};
use crate::telemetry::SweepLabel;

const PAUSE: Duration = Duration::from_secs(30);

pub(super) async fn run(engine: Arc<Engine>, retention_days: u32, page: u32, stop: CancellationToken) {
    let keep = Span::from_secs(86_400).times(retention_days);
    while rest(PAUSE, &stop).await {
        let now = clock::now();
        if let Err(error) = round(&engine, now, now - keep, page, &stop).await {
            tracing::error!(%error, "the retention sweep failed");
        }
    }
}

async fn round(
    engine: &Engine,
    now: Timestamp,
    keep_from: Timestamp,
    page: u32,
    stop: &CancellationToken,
) -> Result<(), StoreError> {
    loop {
        let dropped = engine.store().prune(now, keep_from, page).await?;
        engine.metrics().swept(SweepLabel::Prune, dropped);
        if dropped < u64::from(page) || stop.is_cancelled() {
            break;
        }
    }
    while engine.store().prune_request_keys(now, page).await? >= u64::from(page.max(1)) {
        if stop.is_cancelled() {
            break;
        }
    }
    // They come one at a time; what is left over waits for the next round.
    engine.store().prune_cancel_tasks(keep_from, page).await?;
    engine.store().prune_tokens(now).await?;
    for device in engine.store().remove_unbound(now, page).await? {
        if let Some(session) = engine.sessions().of(device) {
            session.close(CloseReason::Removed);
        }
        engine.cancel_queue(device, "the registration lapsed").await?;
    }
    let open = engine.store().count_open().await?;
    engine
        .metrics()
        .open_commands
        .set(i64::try_from(open).unwrap_or(i64::MAX));
    Ok(())
}
