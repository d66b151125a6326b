//! Retention of the feeds: changes that are older than they are kept.

use std::sync::Arc;
use std::time::Duration;

use downlink_core::Span;
use downlink_store::StoreError;
use tokio_util::sync::CancellationToken;

use super::rest;
use crate::clock;
use crate::engine::Engine;
use crate::telemetry::SweepLabel;

/// The longest rest between rounds, and the shortest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(1));

pub(super) async fn run(engine: Arc<Engine>, keep_secs: u32, page: u32, stop: CancellationToken) {
    let keep = Span::from_secs(keep_secs);
    let pause = Duration::from_secs(u64::from(keep_secs)).clamp(PAUSES.1, PAUSES.0);
    while rest(pause, &stop).await {
        if let Err(error) = round(&engine, keep, page, &stop).await {
            tracing::error!(%error, "the retention sweep over the feeds failed");
        }
    }
}

async fn round(engine: &Engine, keep: Span, page: u32, stop: &CancellationToken) -> Result<(), StoreError> {
    let before = clock::now() - keep;
    loop {
        let pruned = engine.store().prune_feed(before, page).await?;
        engine.metrics().swept(SweepLabel::Feed, pruned);
        if pruned < u64::from(page) || stop.is_cancelled() {
            return Ok(());
        }
    }
}
