//! Fires ack, response and slot deadlines when they fall due.

use std::sync::Arc;
use std::time::Duration;

use downlink_core::lifecycle::DeadlineKind;
use downlink_core::{CommandId, Timestamp};
use downlink_store::{Change, Changed, Target};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::engine::{DeadlineHint, Deadlines, Engine, ToSession};

/// Fired in one transaction at the most.
const AT_ONCE: usize = 256;
/// Hints taken in at a time.
const HINTS_AT_ONCE: usize = 1024;
/// Deadlines that come back after the store failed.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// The task that owns the [`Deadlines`].
pub(super) struct Watch {
    engine: Arc<Engine>,
    hints: mpsc::Receiver<DeadlineHint>,
    found: mpsc::Receiver<DeadlineHint>,
    feed: mpsc::Sender<DeadlineHint>,
    deadlines: Deadlines,
}

impl Watch {
    pub(super) fn new(engine: Arc<Engine>, hints: mpsc::Receiver<DeadlineHint>, most: usize) -> Self {
        let (feed, found) = mpsc::channel(HINTS_AT_ONCE);
        Self {
            engine,
            hints,
            found,
            feed,
            deadlines: Deadlines::new(most),
        }
    }

    /// Where the sweep over open commands puts what it finds.
    pub(super) fn feed(&self) -> mpsc::Sender<DeadlineHint> {
        self.feed.clone()
    }

    pub(super) async fn run(mut self, stop: CancellationToken) {
        let (mut batch, mut found) = (Vec::new(), Vec::new());
        loop {
            let pause = pause(self.deadlines.next_at(), clock::now());
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = self.hints.recv_many(&mut batch, HINTS_AT_ONCE) => {}
                _ = self.found.recv_many(&mut found, HINTS_AT_ONCE) => {}
                () = tokio::time::sleep(pause) => {}
            }
            batch.drain(..).for_each(|hint| self.deadlines.set(hint));
            found.drain(..).for_each(|hint| self.deadlines.add_missing(hint));
            let due = self.deadlines.take_due(clock::now(), AT_ONCE);
            if !due.is_empty() && !self.fire(due).await && !super::rest(AFTER_FAILURE, &stop).await {
                return;
            }
            self.engine
                .metrics()
                .deadlines
                .set(i64::try_from(self.deadlines.len()).unwrap_or(i64::MAX));
        }
    }

    /// False: the store failed; the sweep over open commands brings these back.
    async fn fire(&self, due: Vec<(CommandId, DeadlineKind)>) -> bool {
        let now = clock::now();
        let change = |&(command, kind): &(CommandId, DeadlineKind)| Change {
            target: Target::Command(command),
            input: kind.input(),
            now,
            then_send: None,
        };
        match self.engine.apply(due.iter().map(change).collect()).await {
            Ok(changed) => {
                for ((command, kind), changed) in due.into_iter().zip(changed) {
                    self.after(command, kind, &changed);
                }
                true
            }
            Err(error) => {
                tracing::error!(%error, "deadlines could not be applied");
                false
            }
        }
    }

    /// A device that owes an acknowledgement is half-dead; one whose slot came free may take its next command.
    fn after(&self, command: CommandId, kind: DeadlineKind, changed: &Changed) {
        let Some(Ok(applied)) = &changed.outcome else {
            return;
        };
        let Some(session) = self.engine.sessions().of(applied.device) else {
            return;
        };
        let message = match kind {
            DeadlineKind::Ack => ToSession::AckOverdue(command),
            DeadlineKind::Slot | DeadlineKind::Response | DeadlineKind::Lifetime => ToSession::Work,
        };
        if session.hand(message).is_err() {
            self.engine.metrics().hints_lost.inc();
        }
    }
}

fn pause(next: Option<Timestamp>, now: Timestamp) -> Duration {
    const LONGEST: Duration = Duration::from_secs(1);
    match next {
        Some(at) => Duration::from_millis(at.since(now).as_millis().unsigned_abs()).min(LONGEST),
        None => LONGEST,
    }
}
