//! The pass over all open commands: deadlines and pushes that memory does not know of.
//!
//! It is what a start after a crash consists of, and what makes up for every lost hint. A round reads pages by id, and rests
//! for what it looked at, so that a large store costs a bounded share of a core: by rows and not by time, since a round that took
//! long because the machine or the disk stood still is no reason to rest long. While hints get lost there is something to make up
//! for, such as pushes beyond what memory holds: then it rests a tenth of that.

use std::sync::Arc;
use std::time::Duration;

use downlink_store::StoreError;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::rest;
use crate::engine::{DeadlineHint, Engine};
use crate::telemetry::SweepLabel;

/// The rest for each row that was looked at, which costs 0.3 to 0.4 µs of a core.
const FOR_ROW: Duration = Duration::from_micros(20);
/// The rest for each that has a deadline or something to push, which costs a few µs.
const FOR_FOUND: Duration = Duration::from_micros(150);
/// By what the rest is divided while hints get lost.
const BEHIND: u32 = 10;

/// What a round looked at.
#[derive(Default)]
struct Looked {
    rows: u32,
    found: u32,
}

pub(super) async fn run(
    engine: Arc<Engine>,
    deadlines: mpsc::Sender<DeadlineHint>,
    pause: Duration,
    page: u32,
    stop: CancellationToken,
) {
    let mut lost = 0;
    loop {
        let mut looked = Looked::default();
        if let Err(error) = round(&engine, &deadlines, page, &mut looked, &stop).await {
            tracing::error!(%error, "the sweep over open commands failed");
        }
        let lost_before = std::mem::replace(&mut lost, engine.metrics().hints_lost.get());
        if !rest(pause_after(pause, &looked, lost > lost_before), &stop).await {
            return;
        }
    }
}

fn pause_after(least: Duration, looked: &Looked, hints_were_lost: bool) -> Duration {
    let whole = FOR_ROW
        .saturating_mul(looked.rows)
        .saturating_add(FOR_FOUND.saturating_mul(looked.found));
    least.max(if hints_were_lost { whole / BEHIND } else { whole })
}

async fn round(
    engine: &Engine,
    deadlines: &mpsc::Sender<DeadlineHint>,
    page: u32,
    looked: &mut Looked,
    stop: &CancellationToken,
) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let (found, next) = engine.store().sweep_open(after, page).await?;
        looked.found = looked.found.saturating_add(count(found.len()));
        // Only the last page may be a part of one.
        let rows = if next.is_some() { page } else { count(found.len()) };
        looked.rows = looked.rows.saturating_add(rows);
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

fn count(rows: usize) -> u32 {
    u32::try_from(rows).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rests_longer_the_more_rows_there_are_and_less_while_hints_get_lost() {
        let secs = Duration::from_secs;
        let looked = |rows, found| Looked { rows, found };
        assert_eq!(pause_after(secs(5), &looked(1000, 1000), false), secs(5));
        assert_eq!(pause_after(secs(5), &looked(1_000_000, 0), false), secs(20));
        assert_eq!(pause_after(secs(5), &looked(1_000_000, 200_000), false), secs(50));
        assert_eq!(pause_after(secs(5), &looked(5_000_000, 0), true), secs(10));
        let all = looked(u32::MAX, u32::MAX);
        assert!(pause_after(secs(5), &all, true) < secs(86_400), "bounded");
    }
}
