//! Works cancel tasks off: each in its turn by one step, until none is left. A long queue does not hold up the short ones, and
//! commands that come meanwhile go between the steps.

use std::sync::Arc;
use std::time::Duration;

use downlink_store::{CancelTaskKey, StoreError};
use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::telemetry::SweepLabel;

/// Commands cancelled in one transaction.
const STEP: u32 = 256;
/// Tasks in one turn.
const TURN: u32 = 64;

pub(super) async fn run(engine: Arc<Engine>, pause: Duration, stop: CancellationToken) {
    loop {
        if let Err(error) = round(&engine, &stop).await {
            tracing::error!(%error, "cancel tasks could not be worked off");
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = engine.new_cancel_task() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Ends when no task is left, or it is time to stop.
async fn round(engine: &Engine, stop: &CancellationToken) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let turn = engine.store().open_cancel_tasks(after, TURN).await?;
        if turn.is_empty() && after.is_none() {
            return Ok(());
        }
        for task in &turn {
            if stop.is_cancelled() {
                return Ok(());
            }
            step(engine, *task).await?;
        }
        // Behind the last one the first has its turn again.
        after = turn.last().copied().filter(|_| turn.len() == TURN as usize);
    }
}

async fn step(engine: &Engine, task: CancelTaskKey) -> Result<(), StoreError> {
    engine.metrics().swept(SweepLabel::CancelTask, 1);
    engine.step_cancel_task(task, STEP).await.map(|_is_over| ())
}
