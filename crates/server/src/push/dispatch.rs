//! The one task that owns the schedule: takes hints, starts attempts, has the store record what came of them.
//!
//! Attempts are futures that this task drives itself: a push costs no task and no message between tasks. Calls of the
//! store are such futures too ([`calls`]). When the server stops, no attempt is started any more, those in flight are
//! awaited (their clock bounds that), and what they achieved is recorded.

mod calls;
mod ended;

use std::future::Future;
use std::hash::BuildHasher;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use downlink_core::Timestamp;
use downlink_store::{PushDuty, ReceiverKey, Store};
use foldhash::fast::FixedState;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use self::calls::{Calls, Done};
use super::attempt::{Ended, Sends, attempt};
use super::desk::Ask;
use super::outcome::Outcome;
use super::schedule::{Hinted, Limits, Notice, Schedule, Source};
use crate::clock;
use crate::idle::Waiting;
use crate::secrets::random;
use crate::telemetry::Metrics;

/// Hints taken before anything else gets its turn.
const HINTS_AT_ONCE: usize = 1024;

/// The operator's questions that are answered then.
const ASKS_AT_ONCE: usize = 4;

/// What wakes the dispatcher from outside: hints, the operator's questions, and who waits until it is idle.
pub(super) struct Inbox {
    /// Changes of commands to be pushed.
    pub(super) duties: mpsc::Receiver<PushDuty>,
    /// Receivers of which the store has news.
    pub(super) receivers: mpsc::Receiver<ReceiverKey>,
    /// What the operator asks.
    pub(super) asks: mpsc::Receiver<Ask>,
    /// Who waits until nothing is at hand.
    pub(super) waiting: mpsc::Receiver<Waiting>,
}

/// An attempt in flight.
type Attempt = Pin<Box<dyn Future<Output = Ended> + Send>>;

/// The owner of the schedule.
pub(super) struct Dispatcher<S> {
    schedule: Schedule,
    client: Arc<S>,
    metrics: Arc<Metrics>,
    began: Instant,
    random: FixedState,
    attempts: FuturesUnordered<Attempt>,
    alarm: Alarm,
    calls: Calls,
}

/// What woke the dispatcher.
enum Event {
    Duty(Option<PushDuty>),
    Receiver(Option<ReceiverKey>),
    Asked(Ask),
    Idle(Waiting),
    Ended(Box<Ended>),
    Done(Done),
    Time,
    Stop,
}

impl<S: Sends> Dispatcher<S> {
    pub(super) fn new(
        limits: Limits,
        client: Arc<S>,
        store: Arc<dyn Store>,
        metrics: Arc<Metrics>,
        look_every: Duration,
    ) -> Self {
        Self {
            schedule: Schedule::new(limits),
            client,
            metrics,
            began: Instant::now(),
            random: FixedState::with_seed(u64::from_le_bytes(random())),
            attempts: FuturesUnordered::new(),
            alarm: Alarm::default(),
            calls: Calls::new(store, look_every, limits.backoff.longest),
        }
    }

    /// Runs until `stop`, and then until nothing is in flight or unrecorded.
    pub(super) async fn run(mut self, inbox: Inbox, stop: CancellationToken) {
        let (mut inbox, mut stopping) = (Some(inbox), false);
        loop {
            let mut idle = None;
            match self.next(&mut inbox, &stop, stopping).await {
                Event::Duty(Some(duty)) => self.hint(duty),
                Event::Receiver(Some(key)) => self.calls.look_at(key),
                // Nobody can change commands any more, but what is held goes on.
                Event::Duty(None) | Event::Receiver(None) => inbox = None,
                Event::Asked(ask) => self.answer(ask),
                Event::Idle(waiting) => idle = Some(waiting),
                Event::Ended(ended) => self.ended(&ended),
                Event::Done(done) => self.done(done),
                Event::Time => {}
                Event::Stop => (stopping, inbox) = (true, None),
            }
            self.take_waiting(inbox.as_mut());
            if !stopping {
                self.start_attempts();
            }
            self.call(stopping);
            self.show();
            if let Some(waiting) = idle {
                tell_all(waiting, inbox.as_mut());
            }
            if stopping && self.is_finished() {
                return;
            }
        }
    }

    /// Waits for something to happen.
    async fn next(&mut self, inbox: &mut Option<Inbox>, stop: &CancellationToken, stopping: bool) -> Event {
        let of_schedule = self.schedule.next_wake(self.calls.may_tell());
        let wakes = [of_schedule, self.calls.next_look()];
        let wake = wakes.into_iter().flatten().min();
        let wake = wake.filter(|_| !stopping).map(|at| self.began + at);
        tokio::select! {
            biased;
            Some(ended) = self.attempts.next() => Event::Ended(Box::new(ended)),
            Some(done) = self.calls.next() => Event::Done(done),
            () = stop.cancelled(), if !stopping => Event::Stop,
            event = hint_from(inbox) => event,
            () = self.alarm.rings(wake) => Event::Time,
        }
    }

    /// Takes what is there besides, without waiting, so that no source starves another.
    fn take_waiting(&mut self, inbox: Option<&mut Inbox>) {
        let mut all = Vec::new();
        ended::take(&mut self.attempts, |ended| all.push(ended));
        all.iter().for_each(|ended| self.ended(ended));
        let Some(inbox) = inbox else { return };
        for _ in 0..HINTS_AT_ONCE {
            match inbox.duties.try_recv() {
                Ok(duty) => self.hint(duty),
                Err(_) => break,
            }
        }
        while self.calls.has_room()
            && let Ok(key) = inbox.receivers.try_recv()
        {
            self.calls.look_at(key);
        }
        for _ in 0..ASKS_AT_ONCE {
            match inbox.asks.try_recv() {
                Ok(ask) => self.answer(ask),
                Err(_) => break,
            }
        }
    }

    fn hint(&mut self, duty: PushDuty) {
        match self.schedule.hint(duty, self.began.elapsed(), clock::now()) {
            Hinted::Known => {}
            Hinted::Refused => {
                self.metrics.hints_lost.inc();
            }
        }
    }

    /// Whoever asked may be gone.
    fn answer(&mut self, ask: Ask) {
        let (now, wall) = (self.began.elapsed(), clock::now());
        match ask {
            Ask::States(keys, answer) => {
                let states = keys.into_iter().map(|key| self.schedule.state_of(key, now, wall));
                drop(answer.send(states.collect()));
            }
            Ask::Oldest(answer) => drop(answer.send(self.schedule.oldest_waiting())),
            Ask::Live(most, answer) => drop(answer.send(self.schedule.live(most, now, wall))),
            Ask::Probe(whom) => self.schedule.probe(&whom, now),
            Ask::Changed(changed) => self.calls.look_for(changed),
        }
    }

    fn start_attempts(&mut self) {
        if !self.calls.knows_receivers() {
            // One of them may be held. Alarms are taken note of all the same: they must not stay in the past.
            self.schedule.wake(self.began.elapsed());
            return;
        }
        while let Some(push) = self.schedule.start(self.began.elapsed()) {
            self.attempts
                .push(Box::pin(attempt(Arc::clone(&self.client), push)));
        }
    }

    fn ended(&mut self, ended: &Ended) {
        let Ended {
            push, report, took, ..
        } = ended;
        let outcome = &report.outcome;
        self.metrics.push_attempt(outcome.label());
        if push.failures == 0 {
            self.metrics
                .push_first_attempt_seconds
                .observe(seconds_since(push.at));
        }
        tracing::debug!(
            key = ?push.key,
            seq = push.seq,
            receiver = &*push.target.origin,
            failures = push.failures,
            took_ms = took.as_millis(),
            %outcome,
            "push attempted"
        );
        let (now, wall) = (self.began.elapsed(), clock::now());
        let random = self.random(push.source, push.failures);
        let receiver = &*push.target.origin;
        if matches!(outcome, Outcome::Gone) {
            self.metrics.push_given_up.inc();
            tracing::warn!(receiver, key = ?push.key, seq = push.seq, "a push was given up: 410 (gone)");
        }
        match self.schedule.ended(push, ended.ending(), now, wall, random) {
            Some(Notice::Failing) => {
                tracing::warn!(receiver, %outcome, "pushes to a receiver fail; trying on")
            }
            Some(Notice::WorksAgain) => tracing::info!(receiver, "pushes to a receiver work again"),
            None => {}
        }
    }

    /// The hasher's seed is random; that is random enough to spread pauses.
    fn random(&self, source: Source, failures: u32) -> u32 {
        (self.random.hash_one((source, failures)) >> 32) as u32
    }

    fn show(&self) {
        self.metrics.push_backlog.set(count(self.schedule.backlog()));
        self.metrics.push_in_flight.set(count(self.schedule.in_flight()));
        self.metrics
            .push_hosts_full
            .set(count(self.schedule.hosts_full()));
    }

    /// Nothing in flight, and all that was achieved is recorded or cannot be.
    fn is_finished(&self) -> bool {
        self.schedule.in_flight() == 0 && self.calls.is_finished(self.schedule.owes_records())
    }
}

/// Tells who waited that nothing was at hand, and all who waited before and may be gone.
fn tell_all(waiting: Waiting, inbox: Option<&mut Inbox>) {
    let _ = waiting.send(());
    let Some(inbox) = inbox else { return };
    while let Ok(waiting) = inbox.waiting.try_recv() {
        let _ = waiting.send(());
    }
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn seconds_since(at: Timestamp) -> f64 {
    clock::now().since(at).as_millis() as f64 / 1000.0
}

async fn hint_from(inbox: &mut Option<Inbox>) -> Event {
    match inbox {
        Some(inbox) => tokio::select! {
            biased;
            duty = inbox.duties.recv() => Event::Duty(duty),
            key = inbox.receivers.recv() => Event::Receiver(key),
            Some(ask) = inbox.asks.recv() => Event::Asked(ask),
            Some(waiting) = inbox.waiting.recv() => Event::Idle(waiting),
        },
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

#[cfg(test)]
mod tests;
