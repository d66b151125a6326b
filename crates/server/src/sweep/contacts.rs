//! Writes down which devices are there, and has it told which fell silent, and again what could not be told of those that came or went.

use std::sync::Arc;
use std::time::Duration;

use downlink_store::StoreError;
use tokio_util::sync::CancellationToken;

use super::rest;
use crate::engine::Engine;

/// How often. Who asks for devices by their status has it done at once.
const PAUSE: Duration = Duration::from_secs(1);
/// Devices of one transaction that fell silent.
const SILENT_AT_ONCE: u32 = 256;
/// Transactions of a round: where a whole network falls away, its devices are told of over some minutes.
const SILENT_STEPS: u32 = 8;

pub(super) async fn run(engine: Arc<Engine>, stop: CancellationToken) {
    loop {
        let goes_on = rest(PAUSE, &stop).await;
        if let Err(error) = engine.write_contacts().await {
            tracing::error!(%error, "which devices are there could not be written down");
        }
        if !goes_on {
            return;
        }
        if let Err(error) = engine.tell_presence_again().await {
            tracing::error!(%error, "devices that came or went could not be told");
        }
        if let Err(error) = tell_silent(&engine).await {
            tracing::error!(%error, "devices that fell silent could not be told");
        }
    }
}

/// After the notes are written: who was heard just now is not silent.
async fn tell_silent(engine: &Engine) -> Result<(), StoreError> {
    for _ in 0..SILENT_STEPS {
        if engine.tell_silent(SILENT_AT_ONCE).await? < u64::from(SILENT_AT_ONCE) {
            break;
        }
    }
    Ok(())
}
