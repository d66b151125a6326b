//! Stored pushes: those that are too old are given up, those that were given up long ago go; their sums, for the metrics; and whose are
//! too many.

mod sums;

use std::sync::Arc;
use std::time::Duration;

use downlink_core::{AppKey, Span, Timestamp};
use downlink_store::{PushLimits, ReceiverKey, StoreError};
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
    let mut crowded = HashSet::default();
    while rest(PAUSE, &stop).await {
        let prune = more || rounds.is_multiple_of(PRUNE_EVERY);
        rounds = rounds.wrapping_add(1);
        match round(&engine, &desk, &mut crowded, limits, page, prune).await {
            Ok(left) => more = left,
            Err(error) => tracing::error!(%error, "the sweep over stored pushes failed"),
        }
    }
}

/// `crowded`: applications of which too much waits. True: more is to be pruned than one round does.
async fn round(
    engine: &Engine,
    desk: &Desk,
    crowded: &mut HashSet<AppKey>,
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
    let apps = match totals.waiting > limits.waiting_per_app || !crowded.is_empty() {
        true => {
            let sums = Sums::of_busy(engine, page).await?;
            sums.crowded(limits.waiting_per_app, crowded)
        }
        false => HashSet::default(),
    };
    set_crowded(engine, crowded, apps).await?;
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

/// Of each application that has more than `limit` that were given up, the oldest go of the receivers that have the most. True: there is more
/// than one round does.
async fn forget_dead(engine: &Engine, limit: u64, page: u32) -> Result<bool, StoreError> {
    let too_many = Sums::of_all(engine, page).await?.dead_over(limit);
    let forget = |receiver, some| async move {
        let gone = engine.store().forget_dead(receiver, some).await?;
        engine.metrics().push_dead_dropped.inc_by(gone);
        Ok(gone)
    };
    in_shares(too_many, page, forget).await
}

/// Has `step` do so many of each, which gives how many it did, in no more steps than one round may have. True: there is more.
async fn in_shares<F>(
    shares: Vec<(ReceiverKey, u64)>,
    page: u32,
    mut step: impl FnMut(ReceiverKey, u32) -> F,
) -> Result<bool, StoreError>
where
    F: Future<Output = Result<u64, StoreError>>,
{
    let mut steps = 0..STEPS;
    for (receiver, mut left) in shares {
        while left > 0 {
            if steps.next().is_none() {
                return Ok(true);
            }
            let some = page.max(1).min(u32::try_from(left).unwrap_or(u32::MAX));
            left = match step(receiver, some).await? {
                // They went meanwhile.
                0 => 0,
                did => left.saturating_sub(did),
            };
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

/// These applications are crowded now, and no others: the store is told, and makes no notices of what their devices report. A create only asks it,
/// so the limit is kept to within what comes between two rounds.
async fn set_crowded(
    engine: &Engine,
    crowded: &mut HashSet<AppKey>,
    apps: HashSet<AppKey>,
) -> Result<(), StoreError> {
    let dropped = engine.store().set_crowded(apps.clone());
    let dropped = dropped.iter().map(|(_, reports)| reports).sum();
    engine.metrics().push_reports_dropped.inc_by(dropped);
    let before = std::mem::replace(crowded, apps.clone());
    for app in apps.difference(&before) {
        let app = id_of(engine, *app).await?;
        tracing::warn!(
            app,
            "too many pushes of an application wait: it may create no commands that it is to be told of, and is told of no reports"
        );
    }
    for app in before.difference(&apps) {
        let app = id_of(engine, *app).await?;
        tracing::info!(app, "the pushes of an application that wait are fewer again");
    }
    Ok(())
}

/// The application's id; it may have been removed meanwhile.
async fn id_of(engine: &Engine, app: AppKey) -> Result<String, StoreError> {
    let found = engine.store().app_by_key(app).await?;
    Ok(found.map_or_else(|| "(removed)".to_owned(), |app| app.id.to_string()))
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

    /// How many steps of ten it takes for such shares, and whether more is left. Of each there are no more than 200.
    async fn shares(shares: &[u64]) -> (u32, bool) {
        let keyed: Vec<_> = (1..).map(ReceiverKey).zip(shares.iter().copied()).collect();
        let (mut there, mut steps) = (vec![200; shares.len()], 0);
        let step = |receiver: ReceiverKey, some: u32| {
            let there = &mut there[usize::try_from(receiver.0 - 1).unwrap()];
            let did = u64::from(some).min(*there);
            (*there, steps) = (*there - did, steps + 1);
            std::future::ready(Ok(did))
        };
        let left = in_shares(keyed, 10, step).await.unwrap();
        (steps, left)
    }

    /// Found in a review: there was no limit over all receivers.
    #[tokio::test]
    async fn a_round_forgets_no_more_of_all_receivers_than_of_one() {
        assert_eq!(shares(&[]).await, (0, false));
        assert_eq!(shares(&[25, 0, 10]).await, (4, false));
        assert_eq!(shares(&[300]).await, (21, false), "there are no more");
        assert_eq!(shares(&[200, 200, 100]).await, (50, false));
        assert_eq!(shares(&[200, 200, 101, 9]).await, (50, true));
    }

    #[tokio::test]
    async fn a_round_goes_on_while_there_is_more_but_not_for_ever() {
        assert_eq!(steps(0).await, (1, false));
        assert_eq!(steps(25).await, (3, false));
        assert_eq!(steps(10_000).await, (STEPS, true));
    }
}
