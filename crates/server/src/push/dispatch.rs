//! The one task that owns the schedule: takes hints, starts attempts, records what was accepted.
//!
//! Attempts are futures that this task drives itself: a push costs no task and no message between tasks. When the server
//! stops, no attempt is started any more, those in flight are awaited (their clock bounds that), and what they achieved is
//! recorded.

use std::collections::hash_map::RandomState;
use std::future::Future;
use std::hash::BuildHasher;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use downlink_core::retry::Backoff;
use downlink_core::{CommandId, Span, Timestamp};
use downlink_store::{PushDuty, Store, StoreError, Told};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::outcome::Outcome;
use super::schedule::{Hinted, Limits, Notice, Push, Schedule};
use crate::clock;
use crate::telemetry::Metrics;

/// Acceptances recorded in one call of the store at the most.
const MAX_TOLD: usize = 1024;

/// Hints taken before anything else gets its turn.
const HINTS_AT_ONCE: usize = 1024;

/// Pauses while the store does not take acceptances.
const STORE_PAUSE: Backoff = Backoff {
    first: Span::from_millis(100),
    longest: Span::from_secs(5),
};

/// Refusals of the store in a row after which a stopping server gives up: what it could not record is pushed again
/// after the next start.
const LAST_TRIES: u32 = 3;

/// The end of an attempt.
struct Ended {
    push: Push,
    outcome: Outcome,
    took: Duration,
}

/// An attempt in flight.
type Attempt = Pin<Box<dyn Future<Output = Ended> + Send>>;

/// A call of the store that is under way, and what it is to record.
type Telling = Pin<Box<dyn Future<Output = (Vec<Told>, Result<(), StoreError>)> + Send>>;

/// The owner of the schedule.
pub(super) struct Dispatcher {
    schedule: Schedule,
    client: Arc<Client>,
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    began: Instant,
    random: RandomState,
    attempts: FuturesUnordered<Attempt>,
    alarm: Alarm,
    telling: Option<Telling>,
    refusals: u32,
}

/// What woke the dispatcher.
enum Event {
    Hint(Option<PushDuty>),
    Ended(Ended),
    Told(Vec<Told>, Result<(), StoreError>),
    Time,
    Stop,
}

impl Dispatcher {
    pub(super) fn new(
        limits: Limits,
        client: Arc<Client>,
        store: Arc<dyn Store>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            schedule: Schedule::new(limits),
            client,
            store,
            metrics,
            began: Instant::now(),
            random: RandomState::new(),
            attempts: FuturesUnordered::new(),
            alarm: Alarm::default(),
            telling: None,
            refusals: 0,
        }
    }

    /// Runs until `stop`, and then until nothing is in flight or unrecorded.
    pub(super) async fn run(mut self, inbox: mpsc::Receiver<PushDuty>, stop: CancellationToken) {
        let (mut inbox, mut stopping) = (Some(inbox), false);
        loop {
            match self.next(&mut inbox, &stop, stopping).await {
                Event::Hint(Some(duty)) => self.hint(duty),
                // Nobody can change commands any more, but what is held goes on.
                Event::Hint(None) => inbox = None,
                Event::Ended(ended) => self.ended(ended),
                Event::Told(told, result) => self.told(&told, result),
                Event::Time => {}
                Event::Stop => (stopping, inbox) = (true, None),
            }
            self.take_waiting(inbox.as_mut());
            if !stopping {
                self.start_attempts();
            }
            self.tell(stopping);
            self.show();
            if stopping && self.is_finished() {
                return;
            }
        }
    }

    /// Waits for something to happen.
    async fn next(
        &mut self,
        inbox: &mut Option<mpsc::Receiver<PushDuty>>,
        stop: &CancellationToken,
        stopping: bool,
    ) -> Event {
        let wake = self
            .schedule
            .next_wake()
            .filter(|_| !stopping)
            .map(|at| self.began + at);
        tokio::select! {
            biased;
            Some(ended) = self.attempts.next() => Event::Ended(ended),
            (told, result) = finish(&mut self.telling) => Event::Told(told, result),
            () = stop.cancelled(), if !stopping => Event::Stop,
            duty = hint_from(inbox) => Event::Hint(duty),
            () = self.alarm.rings(wake) => Event::Time,
        }
    }

    /// Takes what is there besides, without waiting, so that no source starves another.
    fn take_waiting(&mut self, inbox: Option<&mut mpsc::Receiver<PushDuty>>) {
        while let Some(Some(ended)) = self.attempts.next().now_or_never() {
            self.ended(ended);
        }
        let Some(inbox) = inbox else { return };
        for _ in 0..HINTS_AT_ONCE {
            match inbox.try_recv() {
                Ok(duty) => self.hint(duty),
                Err(_) => return,
            }
        }
    }

    fn hint(&mut self, duty: PushDuty) {
        match self.schedule.hint(duty, self.began.elapsed()) {
            Hinted::Known => {}
            Hinted::Refused => {
                self.metrics.hints_lost.inc();
            }
        }
    }

    fn start_attempts(&mut self) {
        while let Some(push) = self.schedule.start(self.began.elapsed()) {
            self.attempts
                .push(Box::pin(attempt(Arc::clone(&self.client), push)));
        }
    }

    fn ended(&mut self, ended: Ended) {
        let Ended { push, outcome, took } = ended;
        self.metrics.push_attempt(outcome.label());
        if push.failures == 0 {
            self.metrics
                .push_first_attempt_seconds
                .observe(seconds_since(push.at));
        }
        tracing::debug!(
            command = %push.command,
            seq = push.seq,
            receiver = &*push.target.origin,
            failures = push.failures,
            took_ms = took.as_millis(),
            %outcome,
            "push attempted"
        );
        let (now, random) = (self.began.elapsed(), self.random(push.command, push.failures));
        let receiver = &*push.target.origin;
        match self
            .schedule
            .ended(push.command, outcome.is_accepted(), now, random)
        {
            Some(Notice::Failing) => {
                tracing::warn!(receiver, %outcome, "pushes to a receiver fail; trying on")
            }
            Some(Notice::WorksAgain) => tracing::info!(receiver, "pushes to a receiver work again"),
            None => {}
        }
    }

    /// The hasher's keys are random; that is random enough to spread pauses.
    fn random(&self, command: CommandId, failures: u32) -> u32 {
        (self.random.hash_one((command, failures)) >> 32) as u32
    }

    /// Has the store record what was accepted, one call at a time: what comes in meanwhile shares the next. `all`: also
    /// what could wait.
    fn tell(&mut self, all: bool) {
        if self.telling.is_some() {
            return;
        }
        let now = if all { Duration::MAX } else { self.began.elapsed() };
        let told = self.schedule.take_accepted(now, MAX_TOLD);
        if told.is_empty() {
            return;
        }
        let store = Arc::clone(&self.store);
        let pause = STORE_PAUSE.pause(self.refusals, 0).as_millis();
        let pause = Duration::from_millis(u64::try_from(pause).unwrap_or(0));
        let refused_before = self.refusals > 0;
        self.telling = Some(Box::pin(async move {
            if refused_before {
                sleep(pause).await;
            }
            let result = store.told(told.clone()).await;
            (told, result)
        }));
    }

    fn told(&mut self, told: &[Told], result: Result<(), StoreError>) {
        match result {
            Ok(()) => {
                self.refusals = 0;
                self.schedule.recorded(told, self.began.elapsed());
            }
            Err(error) => {
                if self.refusals == 0 {
                    tracing::warn!(%error, "the store did not record accepted pushes; trying on");
                }
                self.refusals = self.refusals.saturating_add(1);
                self.schedule.not_recorded(told);
            }
        }
    }

    fn show(&self) {
        self.metrics.push_backlog.set(count(self.schedule.backlog()));
        self.metrics.push_in_flight.set(count(self.schedule.in_flight()));
    }

    /// Nothing in flight, and all that was accepted is recorded or cannot be.
    fn is_finished(&self) -> bool {
        let recorded = self.telling.is_none();
        self.schedule.in_flight() == 0 && (recorded || self.refusals >= LAST_TRIES)
    }
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn seconds_since(at: Timestamp) -> f64 {
    clock::now().since(at).as_millis() as f64 / 1000.0
}

/// Ends when the call under way does; never without one.
async fn finish(telling: &mut Option<Telling>) -> (Vec<Told>, Result<(), StoreError>) {
    let Some(call) = telling else {
        return std::future::pending().await;
    };
    let done = call.await;
    *telling = None;
    done
}

async fn hint_from(inbox: &mut Option<mpsc::Receiver<PushDuty>>) -> Option<PushDuty> {
    match inbox {
        Some(inbox) => inbox.recv().await,
        None => std::future::pending().await,
    }
}

/// A timer that is set anew only if it would ring too late: setting one costs, and ringing too early does no harm.
#[derive(Default)]
struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Rings at `at` or before; never without one.
    async fn rings(&mut self, at: Option<Instant>) {
        let Some(at) = at else {
            return std::future::pending().await;
        };
        let timer = self.0.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if timer.is_elapsed() || at < timer.deadline() {
            timer.as_mut().reset(at);
        }
        timer.await
    }
}

/// Makes one attempt. It ends whatever happens in it: a command must not stay in flight for ever.
async fn attempt(client: Arc<Client>, push: Push) -> Ended {
    let began = Instant::now();
    // What it shares with others (the pool of connections) has to hold after a panic in any task anyway.
    let outcome = AssertUnwindSafe(client.push(&push)).catch_unwind().await;
    Ended {
        outcome: outcome.unwrap_or_else(|_| Outcome::Broken("the attempt panicked".to_owned())),
        took: began.elapsed(),
        push,
    }
}
