//! Reads the queues of connected devices again: what a lost hint would have sent.

use std::sync::Arc;
use std::time::Duration;

use downlink_store::StoreError;
use tokio_util::sync::CancellationToken;

use super::rest;
use crate::engine::{Engine, ToSession};
use crate::telemetry::SweepLabel;

pub(super) async fn run(engine: Arc<Engine>, pause: Duration, page: u32, stop: CancellationToken) {
    while rest(pause, &stop).await {
        if let Err(error) = round(&engine, page as usize).await {
            tracing::error!(%error, "the queue sweep failed");
        }
    }
}

async fn round(engine: &Engine, page: usize) -> Result<(), StoreError> {
    let sessions: Vec<_> = engine
        .sessions()
        .all()
        .into_iter()
        .filter(|one| one.offer().is_some())
        .collect();
    for some in sessions.chunks(page) {
        let devices = some.iter().map(|session| session.device).collect();
        let queued = engine.store().with_queue(devices).await?;
        engine.metrics().swept(SweepLabel::Queue, queued.len() as u64);
        for device in queued {
            // Not a hint that may be dropped: this is what makes up for those.
            if let Some(session) = engine.sessions().of(device) {
                let _full_inbox_means_it_is_awake = session.hand(ToSession::Work);
            }
        }
    }
    Ok(())
}
