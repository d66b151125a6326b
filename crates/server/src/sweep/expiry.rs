//! Ends the lifetimes of queued commands, whether or not their devices speak.

use std::sync::Arc;
use std::time::Duration;

use downlink_core::lifecycle::Input;
use downlink_store::{Change, StoreError, Target};
use tokio_util::sync::CancellationToken;

use super::rest;
use crate::clock;
use crate::engine::Engine;
use crate::telemetry::SweepLabel;

pub(super) async fn run(engine: Arc<Engine>, pause: Duration, page: u32, stop: CancellationToken) {
    while rest(pause, &stop).await {
        if let Err(error) = round(&engine, page).await {
            tracing::error!(%error, "the expiry sweep failed");
        }
    }
}

async fn round(engine: &Engine, page: u32) -> Result<(), StoreError> {
    loop {
        let now = clock::now();
        let expiring = engine.store().take_expiring(now, page).await?;
        let asked = expiring.len();
        if asked == 0 {
            return Ok(());
        }
        let end = |command| Change {
            target: Target::Command(command),
            input: Input::LifetimeEnded,
            now,
            then_send: None,
        };
        let changed = engine.apply(expiring.into_iter().map(end).collect()).await?;
        let mut ended = 0;
        for applied in changed
            .iter()
            .filter_map(|one| one.outcome.as_ref()?.as_ref().ok())
        {
            ended += 1;
            // The head of a queue may have been what held the others up.
            engine.sessions().wake(applied.device);
        }
        engine.metrics().swept(SweepLabel::Expiry, ended);
        // Those that are still in flight stay until their ack deadline.
        if ended == 0 || asked < page as usize {
            return Ok(());
        }
    }
}
