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
/// After hints came, more are waited for without being woken by each: no deadline is as near as that.
const GATHER: Duration = Duration::from_millis(20);
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
        loop {
            let pause = pause(self.deadlines.next_at(), clock::now());
            let mut batch = Vec::new();
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = self.hints.recv_many(&mut batch, HINTS_AT_ONCE) => {}
                hint = self.found.recv() => hint.into_iter().for_each(|hint| self.deadlines.add_missing(hint)),
                () = tokio::time::sleep(pause) => {}
            }
            let busy = !batch.is_empty();
            batch.into_iter().for_each(|hint| self.deadlines.set(hint));
            if busy && !super::rest(GATHER, &stop).await {
                return;
            }
            self.take_in();
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

    /// Takes in what has come, without waiting; no more than there is room for, so that it comes to an end.
    fn take_in(&mut self) {
        for _ in 0..self.hints.max_capacity() {
            match self.hints.try_recv() {
                Ok(hint) => self.deadlines.set(hint),
                Err(_) => break,
            }
        }
        for _ in 0..HINTS_AT_ONCE {
            match self.found.try_recv() {
                Ok(hint) => self.deadlines.add_missing(hint),
                Err(_) => break,
            }
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
