//! Writes down which devices are there.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::rest;
use crate::engine::Engine;

/// How often. Who asks for devices by their status has it done at once.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) async fn run(engine: Arc<Engine>, stop: CancellationToken) {
    loop {
        let goes_on = rest(PAUSE, &stop).await;
        if let Err(error) = engine.write_contacts().await {
            tracing::error!(%error, "which devices are there could not be written down");
        }
        if !goes_on {
            return;
        }
    }
}
