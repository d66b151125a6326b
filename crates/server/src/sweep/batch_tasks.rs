//! Works batch tasks off: each in its turn by one short step, at a bounded rate in all. A large task does not hold up the small
//! ones, and commands that come meanwhile go between the steps.

use std::sync::Arc;
use std::time::Duration;

use downlink_store::{BatchTask, StoreError};
use tokio_util::sync::CancellationToken;

use super::rest;
use crate::clock;
use crate::engine::Engine;
use crate::http::Fault;
use crate::telemetry::SweepLabel;

/// Devices looked at in one transaction.
const GATHER: u32 = 1000;
/// Commands made in one transaction, at the most.
const STEP: u32 = 32;
/// Steps in a second, if the rate is small.
const STEPS_PER_SEC: u32 = 20;
/// Sub-tasks ended in one transaction.
const EXPIRE: u32 = 500;
/// Tasks in one turn.
const TURN: u32 = 64;

pub(super) async fn run(engine: Arc<Engine>, pause: Duration, rate: u32, stop: CancellationToken) {
    loop {
        if let Err(error) = round(&engine, rate.max(1), &stop).await {
            tracing::error!(%error, "batch tasks could not be worked off");
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = engine.new_batch_task() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Ends when nothing is left to do for any task or all have to wait, or it is time to stop.
async fn round(engine: &Engine, rate: u32, stop: &CancellationToken) -> Result<(), StoreError> {
    let (mut after, mut done) = (None, 0);
    loop {
        let turn = engine.store().open_batch_tasks(after, TURN).await?;
        for task in &turn {
            let did = step(engine, task, rate).await?;
            done += did.work;
            if did.made > 0 && !rest(pace(did.made, rate), stop).await {
                return Ok(());
            }
        }
        after = turn
            .last()
            .map(|task| task.key)
            .filter(|_| turn.len() == TURN as usize);
        if stop.is_cancelled() || (after.is_none() && done == 0) {
            return Ok(());
        }
        // Behind the last one the first has its turn again.
        if after.is_none() {
            done = 0;
        }
    }
}

/// What a step did.
#[derive(Default)]
struct Did {
    /// Something; 0: nothing is left to do, or it has to wait.
    work: u64,
    /// Turns that count for the rate.
    made: u64,
}

async fn step(engine: &Engine, task: &BatchTask, rate: u32) -> Result<Did, StoreError> {
    if !task.is_gathered {
        engine.gather_batch(task.key, GATHER).await?;
        return Ok(Did { work: 1, made: 0 });
    }
    if task.tried >= task.total {
        return Ok(Did::default());
    }
    if clock::now() >= task.timeout_at() {
        let work = engine.expire_batch(task.key, EXPIRE).await?;
        return Ok(Did { work, made: 0 });
    }
    let limit = (rate / STEPS_PER_SEC).clamp(1, STEP);
    let made = engine
        .step_batch(task, limit, |error| Fault::from(error).told())
        .await?;
    engine.metrics().swept(SweepLabel::BatchTask, made);
    Ok(Did { work: made, made })
}

/// How long so many turns have to take.
fn pace(made: u64, rate: u32) -> Duration {
    Duration::from_micros(made.saturating_mul(1_000_000) / u64::from(rate.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_kept_whatever_a_step_does() {
        assert_eq!(pace(25, 500), Duration::from_millis(50));
        assert_eq!(pace(1, 1), Duration::from_secs(1));
        assert_eq!(pace(0, 500), Duration::ZERO);
    }
}
