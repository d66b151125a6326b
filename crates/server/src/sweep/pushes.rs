//! Stored pushes: those that are too old are given up, those that were given up long ago go; their sums, for the metrics; and whose are
//! too many.

mod sums;

use std::sync::Arc;
use std::time::Duration;

use downlink_core::{AppKey, Span, Timestamp};
use downlink_store::{PushLimits, StoreError};
use foldhash::HashSet;
use tokio_util::sync::CancellationToken;

use self::sums::Sums;
use super::rest;
use crate::clock;
use crate::config;
use crate::engine::Engine;
use crate::push::Desk;

const PAUSE: Duration = Duration::from_secs(1);

/// Every so many rounds, and in the first, what was given up long ago is looked for; in the next one again if it was more than a round does.
const PRUNE_EVERY: u32 = 60;

/// Steps of one round at the most: between rounds others have the store.
const STEPS: u32 = 50;

/// The limits that the configuration sets.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    push: PushLimits,
    waiting_per_app: u64,
    dead_per_app: u64,
}

impl Limits {
    pub(super) fn of(config: &config::Push) -> Self {
        Self {
            push: PushLimits {
                max_age: Span::from_secs(config.max_age_secs),
                max_held: Span::from_secs(config.max_held_secs),
                keep_dead: Span::from_secs(86_400).times(config.keep_dead_days),
            },
            waiting_per_app: config.max_stored_per_app,
            dead_per_app: config.max_dead_per_app,
        }
    }
}

pub(super) async fn run(
    engine: Arc<Engine>,
    desk: Arc<Desk>,
    limits: Limits,
    page: u32,
    stop: CancellationToken,
) {
    let (mut rounds, mut more) = (0u32, false);
    while rest(PAUSE, &stop).await {
        let prune = more || rounds.is_multiple_of(PRUNE_EVERY);
        rounds = rounds.wrapping_add(1);
        match round(&engine, &desk, limits, page, prune).await {
            Ok(left) => more = left,
            Err(error) => tracing::error!(%error, "the sweep over stored pushes failed"),
        }
    }
}

/// True: more is to be pruned than one round does.
async fn round(
    engine: &Engine,
    desk: &Desk,
    limits: Limits,
    page: u32,
    prune: bool,
) -> Result<bool, StoreError> {
    let now = clock::now();
    let totals = engine.store().push_totals(now).await?;
    let metrics = engine.metrics();
    metrics.push_stored.set(as_gauge(totals.waiting));
    metrics.push_dead.set(as_gauge(totals.dead));
    let in_memory = desk.oldest_in_memory().await;
    let oldest = totals.oldest_due.into_iter().chain(in_memory).min();
    let oldest = oldest.map_or(0, |due| now.since(due).as_millis() / 1000);
    metrics.push_oldest_due_seconds.set(oldest);
    let apps = match totals.waiting > limits.waiting_per_app {
        true => Sums::of_busy(engine, page)
            .await?
            .waiting_over(limits.waiting_per_app),
        false => HashSet::default(),
    };
    set_crowded(engine, apps);
    if totals.waiting > 0 {
        give_up(engine, limits.push, page, now).await?;
    }
    if !prune {
        return Ok(false);
    }
    let more = in_steps(page, || engine.store().prune_pushes(limits.push, now, page)).await?;
    match totals.dead > limits.dead_per_app {
        true => Ok(forget_dead(engine, limits.dead_per_app, page).await? || more),
        false => Ok(more),
    }
}

/// Of each application that has more than `limit` that were given up, the oldest go, of the receivers that have the most. True: there is more.
async fn forget_dead(engine: &Engine, limit: u64, page: u32) -> Result<bool, StoreError> {
    let sums = Sums::of_all(engine, page).await?;
    for (receiver, too_many) in sums.dead_over(limit) {
        let mut left = too_many;
        let more = in_steps(page, || {
            let some = page.max(1).min(u32::try_from(left).unwrap_or(u32::MAX));
            left -= u64::from(some);
            engine.store().forget_dead(receiver, some)
        })
        .await?;
        engine.metrics().push_dead_dropped.inc_by(too_many - left);
        if more && left > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Does `step`, which gives how much it did, until it does less than `page`, or as often as one round may. True: there is more.
async fn in_steps<F>(page: u32, mut step: impl FnMut() -> F) -> Result<bool, StoreError>
where
    F: Future<Output = Result<u64, StoreError>>,
{
    for _ in 0..STEPS {
        if step().await? < u64::from(page.max(1)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// These applications are crowded now, and no others.
fn set_crowded(engine: &Engine, apps: HashSet<AppKey>) {
    let dropped = engine.store().set_crowded(apps.clone());
    for (app, reports) in dropped {
        engine.metrics().push_reports_dropped.inc_by(reports);
        tracing::debug!(app = app.0, reports, "notices of reports were not made");
    }
    let before = engine.crowded().set(apps.clone());
    for app in apps.difference(&before) {
        tracing::warn!(
            app = app.0,
            "too many pushes of an application wait: it may create no commands that it is to be told of, and is told of no reports"
        );
    }
    for app in before.difference(&apps) {
        tracing::info!(
            app = app.0,
            "the pushes of an application that wait are fewer again"
        );
    }
}

async fn give_up(engine: &Engine, limits: PushLimits, page: u32, now: Timestamp) -> Result<(), StoreError> {
    for _ in 0..STEPS {
        let given_up = engine.store().give_up_old(limits, now, page).await?;
        for one in &given_up {
            engine.metrics().push_given_up.inc_by(one.pushes);
            tracing::warn!(
                receiver = one.receiver.0,
                pushes = one.pushes,
                "pushes were given up: too old, or held for too long"
            );
            // Those behind them may be ready now.
            engine.hint_receiver(one.receiver);
        }
        if given_up.iter().map(|one| one.pushes).sum::<u64>() < u64::from(page) {
            return Ok(());
        }
    }
    Ok(())
}

fn as_gauge(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many steps it takes for so many, and whether more is left.
    async fn steps(mut many: u64) -> (u32, bool) {
        let mut steps = 0;
        let step = || {
            let did = many.min(10);
            (many, steps) = (many - did, steps + 1);
            std::future::ready(Ok(did))
        };
        let left = in_steps(10, step).await.unwrap();
        (steps, left)
    }

    #[tokio::test]
    async fn a_round_goes_on_while_there_is_more_but_not_for_ever() {
        assert_eq!(steps(0).await, (1, false));
        assert_eq!(steps(25).await, (3, false));
        assert_eq!(steps(10_000).await, (STEPS, true));
    }
}
