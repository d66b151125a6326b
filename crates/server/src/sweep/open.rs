//! The pass over all open commands: deadlines and pushes that memory does not know of.
//!
//! It is what a start after a crash consists of, and what makes up for every lost hint. A round reads pages by id
//! and rests at the least 50 times as long as it took, so that a large store costs a bounded share of a core. While hints
//! get lost there is something to make up for, such as pushes beyond what memory holds: then it rests 5 times as long.

use std::sync::Arc;
use std::time::{Duration, Instant};

use downlink_store::StoreError;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::rest;
use crate::engine::{DeadlineHint, Engine};
use crate::telemetry::SweepLabel;

pub(super) async fn run(
    engine: Arc<Engine>,
    deadlines: mpsc::Sender<DeadlineHint>,
    pause: Duration,
    page: u32,
    stop: CancellationToken,
) {
    let mut lost = 0;
    loop {
        let began = Instant::now();
        if let Err(error) = round(&engine, &deadlines, page, &stop).await {
            tracing::error!(%error, "the sweep over open commands failed");
        }
        let lost_before = std::mem::replace(&mut lost, engine.metrics().hints_lost.get());
        if !rest(pause_after(pause, began.elapsed(), lost > lost_before), &stop).await {
            return;
        }
    }
}

fn pause_after(least: Duration, round: Duration, hints_were_lost: bool) -> Duration {
    let times = if hints_were_lost { 5 } else { 50 };
    least.max(round * times)
}

async fn round(
    engine: &Engine,
    deadlines: &mpsc::Sender<DeadlineHint>,
    page: u32,
    stop: &CancellationToken,
) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let (found, next) = engine.store().sweep_open(after, page).await?;
        let mut pushes_wanted = true;
        for one in found {
            if let Some(deadline) = one.deadline {
                let hint = DeadlineHint {
                    command: one.command,
                    deadline: Some(deadline),
                };
                if deadlines.send(hint).await.is_err() {
                    return Ok(());
                }
            }
            // A full dispatcher takes more when it has room; it asks the next round.
            if let Some(duty) = one.push.filter(|_| pushes_wanted) {
                pushes_wanted = engine.hint_push(duty);
                engine.metrics().swept(SweepLabel::Open, 1);
            }
        }
        after = next;
        if after.is_none() || stop.is_cancelled() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rests_long_after_long_rounds_and_less_while_hints_get_lost() {
        let secs = Duration::from_secs;
        assert_eq!(pause_after(secs(5), secs(0), false), secs(5));
        assert_eq!(pause_after(secs(5), secs(2), false), secs(100));
        assert_eq!(pause_after(secs(5), secs(2), true), secs(10));
    }
}
