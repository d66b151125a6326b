//! Retention: what devices reported, working rows past their late window, old records and cancel tasks, ended tokens and keys of
//! requests, registrations that lapsed, shadows of devices that are gone.

use std::sync::Arc;
use std::time::Duration;

use downlink_core::{Span, Timestamp};
use downlink_store::StoreError;
use tokio_util::sync::CancellationToken;

use super::rest;
use crate::clock;
use crate::engine::{Engine, Outdated};
use crate::telemetry::SweepLabel;

const PAUSE: Duration = Duration::from_secs(30);

/// How long what is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keep {
    /// Records of commands.
    pub(super) records_days: u32,
    /// What devices reported.
    pub(super) history_days: u32,
}

pub(super) async fn run(engine: Arc<Engine>, keep: Keep, page: u32, stop: CancellationToken) {
    let days = |days| Span::from_secs(86_400).times(days);
    while rest(PAUSE, &stop).await {
        let now = clock::now();
        if let Err(error) = round(&engine, now, now - days(keep.records_days), page, &stop).await {
            tracing::error!(%error, "the retention sweep failed");
        }
        if let Err(error) = prune_history(&engine, now - days(keep.history_days), page, &stop).await {
            tracing::error!(%error, "the retention sweep over what devices reported failed");
        }
    }
}

async fn prune_history(
    engine: &Engine,
    before: Timestamp,
    page: u32,
    stop: &CancellationToken,
) -> Result<(), StoreError> {
    loop {
        let dropped = engine.store().prune_history(before, page).await?;
        engine.metrics().swept(SweepLabel::Prune, dropped);
        if dropped < u64::from(page) || stop.is_cancelled() {
            return Ok(());
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
    while engine.store().prune_shadows(page).await? > 0 {
        if stop.is_cancelled() {
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
    while engine.store().prune_batch_tasks(keep_from, page).await? > 0 {
        if stop.is_cancelled() {
            break;
        }
    }
    engine.store().prune_tokens(now).await?;
    while engine.remove_left_devices().await? && !stop.is_cancelled() {}
    engine.cancel_left_queues().await?;
    for device in engine.store().remove_unbound(now, page).await? {
        engine.outdate(Outdated::Removed(device));
        engine.cancel_queue(device, "the registration lapsed").await?;
    }
    let open = engine.store().count_open().await?;
    engine
        .metrics()
        .open_commands
        .set(i64::try_from(open).unwrap_or(i64::MAX));
    Ok(())
}
