//! Settles sub-tasks of batch tasks whose commands are over.
//!
//! It reads, page by page, what becomes of the commands that tasks wait for. The path of a command knows nothing of tasks, so
//! it costs no command anything; what that costs is bounded by the pages and the rests between them. A result is counted some
//! seconds after it came, with 100,000 commands open about ten.

use std::sync::Arc;
use std::time::Duration;

use downlink_store::{BatchTaskKey, StoreError};
use tokio_util::sync::CancellationToken;

use super::rest;
use crate::engine::Engine;
use crate::telemetry::SweepLabel;

/// Sub-tasks in one page.
const PAGE: u32 = 256;
/// Between two pages of a task.
const BREATH: Duration = Duration::from_millis(20);
/// Between two rounds, at the most.
const PAUSE: Duration = Duration::from_secs(1);
/// Tasks read at once.
const TASKS: u32 = 64;

pub(super) async fn run(engine: Arc<Engine>, pause: Duration, stop: CancellationToken) {
    while rest(pause.min(PAUSE), &stop).await {
        if let Err(error) = round(&engine, &stop).await {
            tracing::error!(%error, "batch tasks could not be settled");
        }
    }
}

async fn round(engine: &Engine, stop: &CancellationToken) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let tasks = engine.store().open_batch_tasks(after, TASKS).await?;
        for task in &tasks {
            if !settle(engine, task.key, stop).await? {
                return Ok(());
            }
        }
        after = tasks.last().map(|task| task.key);
        if tasks.len() < TASKS as usize {
            return Ok(());
        }
    }
}

/// One pass over a task. False: it is time to stop.
async fn settle(engine: &Engine, task: BatchTaskKey, stop: &CancellationToken) -> Result<bool, StoreError> {
    let mut from = 0;
    while let Some(next) = engine.settle_batch(task, from, PAGE).await? {
        engine.metrics().swept(SweepLabel::BatchResult, u64::from(PAGE));
        from = next;
        if !rest(BREATH, stop).await {
            return Ok(false);
        }
    }
    Ok(!stop.is_cancelled())
}
