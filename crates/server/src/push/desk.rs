//! What the operator asks of pushing: a trial, and how things stand with receivers.
//!
//! The dispatcher owns what it has learnt. It is asked over an inbox of its own and answers with a copy, so that neither
//! waits for a lock; a dispatcher that has stopped answers nothing, and nothing is known then.

use std::sync::Arc;
use std::time::Duration;

use downlink_core::{AppKey, Timestamp};
use downlink_store::{Attempt, ReceiverKey};
use tokio::sync::{mpsc, oneshot};

use super::Hints;
use super::dispatch::Inbox;
use super::target::Target;
use super::trial::Trial;
use crate::idle::{self, WhenIdle};

/// Questions that wait for the dispatcher at once; more than these wait for room.
const ASKS: usize = 16;

/// Nobody waits longer than this for pushes to be idle: where there is more to push than can be, they never are.
const IDLE_WITHIN: Duration = Duration::from_millis(20);

/// What the dispatcher knows of a receiver that it has in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReceiverState {
    /// Whose.
    pub(crate) app: AppKey,
    /// Scheme, host and port.
    pub(crate) origin: Arc<str>,
    /// The store's key of it, if the store knows it.
    pub(crate) key: Option<ReceiverKey>,
    /// Whether pushes go there.
    pub(crate) breaker: Breaker,
    /// Attempts under way.
    pub(crate) in_flight: usize,
    /// Attempts at once that it may have, as learnt so far.
    pub(crate) limit: usize,
    /// It asked for a pause until then.
    pub(crate) paused_until: Option<Timestamp>,
    /// What of it waits in memory: commands, and stored pushes that are loaded.
    pub(crate) in_memory: usize,
}

/// See the page on pushes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Breaker {
    /// It works, or is taken to.
    Closed {
        /// Failures in a row.
        failures: u32,
    },
    /// It failed many times in a row: probes only.
    Open {
        /// When the next probe may go; none: one is under way.
        next_probe_at: Option<Timestamp>,
    },
}

/// What the dispatcher is asked. Nobody may be there any more to hear the answer.
#[derive(Debug)]
pub(super) enum Ask {
    /// How it stands with these receivers, in order; none: not in memory.
    States(Vec<ReceiverKey>, oneshot::Sender<Vec<Option<ReceiverState>>>),
    /// Up to so many receivers that are in memory: those whose breaker is open first, then those with the most under way.
    Live(usize, oneshot::Sender<Vec<ReceiverState>>),
    /// Since when the change waits in memory that waits longest.
    Oldest(oneshot::Sender<Option<Timestamp>>),
    /// If this one's breaker is open, it is to be probed now.
    Probe(Whom),
    /// The store was changed at the operator's wish: what is known here is older.
    Changed(Changed),
}

/// What was changed in the store, and who waits until the dispatcher acts on it.
#[derive(Debug)]
pub(super) struct Changed {
    pub(super) receiver: ReceiverKey,
    /// Pushes of commands are sent again, among them such as the dispatcher may have in mind.
    pub(super) again: bool,
    /// Dropped if the dispatcher stops.
    pub(super) done: oneshot::Sender<()>,
}

/// A receiver, as one knows it.
#[derive(Debug)]
pub(super) enum Whom {
    /// By the store's key.
    Key(ReceiverKey),
    /// By its application and its scheme, host and port.
    Named(AppKey, Arc<str>),
}

/// Where the operator's calls come.
pub(crate) struct Desk {
    trial: Trial,
    asks: mpsc::Sender<Ask>,
    idle: WhenIdle,
}

impl Desk {
    /// A desk, and where the dispatcher hears of it and of `hints`.
    pub(super) fn new(trial: Trial, hints: Hints) -> (Self, Inbox) {
        let ((ask, asks), (idle, waiting)) = (mpsc::channel(ASKS), idle::pair(IDLE_WITHIN));
        let inbox = Inbox {
            duties: hints.duties,
            receivers: hints.receivers,
            asks,
            waiting,
        };
        let desk = Self {
            trial,
            asks: ask,
            idle,
        };
        (desk, inbox)
    }

    /// For who waits until nothing is at hand of what can be pushed now: until all hints were read, and all attempts that may be are under way.
    pub(crate) fn when_idle(&self) -> WhenIdle {
        self.idle.clone()
    }

    /// Sends `body` to `url` once, as the application's pushes are sent. Nothing of it is kept; but a receiver that
    /// accepts it works again, and is probed at once if its breaker is open.
    pub(crate) async fn test(&self, app: AppKey, url: &str, body: &'static [u8]) -> Attempt {
        let target = Arc::new(Target::of(url));
        let origin = Arc::clone(&target.origin);
        let (attempt, accepted) = self.trial.attempt(app, target, body).await;
        if accepted {
            let _ = self.asks.send(Ask::Probe(Whom::Named(app, origin))).await;
        }
        attempt
    }

    /// The operator takes this receiver to work again: it is probed at once if its breaker is open.
    pub(crate) async fn probe(&self, receiver: ReceiverKey) {
        let _ = self.asks.send(Ask::Probe(Whom::Key(receiver))).await;
    }

    /// The store has a receiver held, released, or limited otherwise, or some of its pushes dropped. Comes back when the
    /// dispatcher acts on it: whoever is answered then sees nothing of before but attempts that are under way.
    pub(crate) async fn changed(&self, receiver: ReceiverKey) {
        self.tell(receiver, false).await;
    }

    /// The same of a receiver of which pushes are sent again.
    pub(crate) async fn sent_again(&self, receiver: ReceiverKey) {
        self.tell(receiver, true).await;
    }

    async fn tell(&self, receiver: ReceiverKey, again: bool) {
        let (done, heard) = oneshot::channel();
        let changed = Changed {
            receiver,
            again,
            done,
        };
        let _ = self.asks.send(Ask::Changed(changed)).await;
        // A dispatcher that stops begins no attempt any more.
        let _ = heard.await;
    }

    /// How it stands with these receivers, in order; none: not in memory, or nobody is there to say.
    pub(crate) async fn states(&self, of: Vec<ReceiverKey>) -> Vec<Option<ReceiverState>> {
        let (count, (answer, asked)) = (of.len(), oneshot::channel());
        // Who stops meanwhile drops the question, and so its answer.
        let _ = self.asks.send(Ask::States(of, answer)).await;
        let mut states = asked.await.unwrap_or_default();
        states.resize(count, None);
        states
    }

    /// Up to `most` receivers that are in memory: those whose breaker is open first, then those with the most under way.
    pub(crate) async fn live(&self, most: usize) -> Vec<ReceiverState> {
        let (answer, asked) = oneshot::channel();
        let _ = self.asks.send(Ask::Live(most, answer)).await;
        asked.await.unwrap_or_default()
    }

    /// Since when the change waits in memory for its first attempt that waits longest, or about so long; none: none does, or nobody is there to say.
    pub(crate) async fn oldest_in_memory(&self) -> Option<Timestamp> {
        let (answer, asked) = oneshot::channel();
        let _ = self.asks.send(Ask::Oldest(answer)).await;
        asked.await.unwrap_or_default()
    }
}
