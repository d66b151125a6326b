//! The sweeps: duties that take no input, read what is due in bounded pages, and go through the engine's door.
//!
//! They run whether or not a device speaks or a hint arrives; after a crash, recovery is these, running as always.
//! Each rests between rounds, and a round that fails is logged and tried again at the next.

mod batch_results;
mod batch_tasks;
mod cancel_tasks;
mod contacts;
mod deadlines;
mod expiry;
mod feed;
mod open;
mod prune;
mod pushes;
mod queues;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::engine::{DeadlineHint, Engine};
use crate::push::Desk;

/// Starts all sweeps on `tasks`; they end when `stop` is cancelled.
pub(crate) fn start(
    engine: &Arc<Engine>,
    hints: mpsc::Receiver<DeadlineHint>,
    desk: &Arc<Desk>,
    config: &Config,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    let page = config.engine.sweep_page;
    tasks.spawn(contacts::run(Arc::clone(engine), stop.clone()));
    let deadlines = deadlines::Watch::new(Arc::clone(engine), hints, config.engine.max_deadlines);
    let deadline_feed = deadlines.feed();
    tasks.spawn(deadlines.run(stop.clone()));
    let expiry = Duration::from_millis(config.engine.expiry_sweep_ms);
    tasks.spawn(expiry::run(Arc::clone(engine), expiry, page, stop.clone()));
    let queues = Duration::from_millis(config.engine.queue_sweep_ms);
    tasks.spawn(queues::run(Arc::clone(engine), queues, page, stop.clone()));
    let open = Duration::from_millis(config.engine.open_sweep_ms);
    tasks.spawn(open::run(
        Arc::clone(engine),
        deadline_feed,
        open,
        page,
        stop.clone(),
    ));
    tasks.spawn(feed::run(
        Arc::clone(engine),
        config.feed.keep_secs,
        page,
        stop.clone(),
    ));
    let limits = pushes::Limits::of(&config.push);
    tasks.spawn(pushes::run(
        Arc::clone(engine),
        Arc::clone(desk),
        limits,
        page,
        stop.clone(),
    ));
    let rate = config.batch.rate_per_sec;
    tasks.spawn(batch_tasks::run(Arc::clone(engine), queues, rate, stop.clone()));
    tasks.spawn(batch_results::run(Arc::clone(engine), queues, stop.clone()));
    tasks.spawn(cancel_tasks::run(Arc::clone(engine), queues, stop.clone()));
    tasks.spawn(prune::run(
        Arc::clone(engine),
        prune::Keep {
            records_days: config.commands.retention_days,
            history_days: config.devices.history_days,
        },
        page,
        stop.clone(),
    ));
}

/// Rests for `pause`. False: it is time to stop.
async fn rest(pause: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        biased;
        () = stop.cancelled() => false,
        () = tokio::time::sleep(pause) => true,
    }
}
