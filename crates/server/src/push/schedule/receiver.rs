//! One receiver: its commands that are ready, its stored pushes that are loaded, and what it may be given now.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use downlink_core::{AppKey, CommandId};
use downlink_store::{ReadyPush, ReceiverKey};

use super::AGAIN_EVERY;
use super::flow::Flow;
use super::health::Health;
use super::hosts::HostId;
use super::rows::Rows;

/// How long one that has nothing to do is remembered, with what was learnt of it.
const REMEMBERED: Duration = Duration::from_secs(60);

/// A receiver's number; never used again.
pub(super) type ReceiverId = u64;

/// Which attempts go before which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// A change, straight from its command.
    First = 0,
    /// A stored push.
    Again = 1,
}

pub(super) const LANES: [Lane; 2] = [Lane::First, Lane::Again];

/// What is to be attempted next.
pub(super) enum Taken {
    Change(CommandId),
    Stored(ReadyPush),
}

pub(super) struct Receiver {
    pub(super) app: AppKey,
    pub(super) origin: Arc<str>,
    pub(super) host: HostId,
    /// The store's key of it, once the store knows it.
    pub(super) key: Option<ReceiverKey>,
    /// Whether it stands in the queue of turns, per lane.
    pub(super) listed: [bool; 2],
    /// Whether it stands in the queue of those to be read for.
    pub(super) wants_rows: bool,
    pub(super) alarm: Option<Duration>,
    /// Commands held for it, and what they count towards the bound.
    pub(super) commands: usize,
    pub(super) weight: usize,
    fresh: VecDeque<CommandId>,
    pub(super) rows: Rows,
    pub(super) in_flight: usize,
    started: u32,
    pub(super) health: Health,
    pub(super) flow: Flow,
    pub(super) held: bool,
    /// It has a rate of its own: to be remembered.
    pub(super) rated: bool,
    /// It asked for a pause.
    pub(super) paused_until: Duration,
    forget_at: Option<Duration>,
}

impl Receiver {
    pub(super) fn new(app: AppKey, origin: Arc<str>, host: HostId, most: usize) -> Self {
        Self {
            app,
            origin,
            host,
            key: None,
            listed: [false; 2],
            wants_rows: false,
            alarm: None,
            commands: 0,
            weight: 0,
            fresh: VecDeque::new(),
            rows: Rows::default(),
            in_flight: 0,
            started: 0,
            health: Health::WELL,
            flow: Flow::new(most),
            held: false,
            rated: false,
            paused_until: Duration::ZERO,
            forget_at: None,
        }
    }

    /// A command has a change that was never attempted.
    pub(super) fn queue(&mut self, command: CommandId) {
        self.fresh.push_back(command);
    }

    /// A command that was queued is not to be attempted.
    pub(super) fn unqueue(&mut self, command: CommandId) {
        self.fresh.retain(|queued| *queued != command);
    }

    /// Whether it takes changes straight from their commands. If not, they become stored pushes.
    pub(super) fn takes_changes(&self) -> bool {
        !self.held && !self.health.is_braked()
    }

    /// The command whose change is attempted next, if it may be.
    pub(super) fn next_fresh(&self) -> Option<CommandId> {
        self.fresh.front().copied()
    }

    /// Takes out all commands that are ready.
    pub(super) fn take_fresh(&mut self) -> VecDeque<CommandId> {
        std::mem::take(&mut self.fresh)
    }

    /// Takes out the command that would come last.
    pub(super) fn take_last(&mut self) -> Option<CommandId> {
        self.fresh.pop_back()
    }

    /// Whether it would be attempted at, if there is something.
    fn is_open(&mut self, now: Duration) -> bool {
        !self.held
            && self.paused_until <= now
            && self.health.allows(now)
            && self.flow.allows(self.in_flight, now)
    }

    /// Whether an attempt may start now in this lane.
    pub(super) fn may_start(&mut self, lane: Lane, now: Duration) -> bool {
        let there = match lane {
            Lane::First => !self.fresh.is_empty(),
            Lane::Again => self.rows.has_loaded(),
        };
        there && self.is_open(now)
    }

    /// Takes what to attempt now on a turn in this lane.
    pub(super) fn take(&mut self, lane: Lane, room_for_again: bool, now: Duration) -> Option<Taken> {
        self.started = self.started.wrapping_add(1);
        let swap = room_for_again && self.started.is_multiple_of(AGAIN_EVERY) && self.rows.has_loaded();
        let taken = match lane {
            Lane::First if !swap => Taken::Change(self.fresh.pop_front()?),
            Lane::First | Lane::Again => Taken::Stored(self.rows.take()?),
        };
        self.in_flight += 1;
        self.flow.started(self.in_flight, now);
        Some(taken)
    }

    /// How many stored pushes are to be loaded now; none: no more are needed, or can be used, or are there.
    pub(super) fn wanted_rows(&self, now: Duration, most: usize) -> Option<usize> {
        if self.held || self.key.is_none() || self.paused_until > now || !self.rows.may_have(now) {
            return None;
        }
        if self.health.is_braked() {
            // One, for the probe.
            let wanted = self.health.allows(now) && !self.rows.has_loaded();
            return wanted.then_some(1);
        }
        let most = most.min(self.flow.limit() * 2).max(1);
        let few = self.rows.loaded() <= most / 2 && !self.rows.is_heavy();
        few.then(|| most - self.rows.loaded())
    }

    /// When time alone changes something next.
    pub(super) fn next_alarm(&self, now: Duration) -> Option<Duration> {
        if self.held {
            return None;
        }
        let work = !self.fresh.is_empty() || self.rows.has_loaded() || self.rows.may_have(now);
        let probe = self.health.probe_at().filter(|_| work);
        let pause = Some(self.paused_until).filter(|_| work);
        let flow = self.flow.opens_at(self.in_flight, now).filter(|_| work);
        let times = [probe, pause, flow, self.rows.next_at(), self.forget_at];
        // What is due by now is not a matter of time any more.
        times.into_iter().flatten().filter(|at| *at > now).min()
    }

    /// Nothing waits for it, and nothing is to be remembered. It is forgotten some time after.
    pub(super) fn may_go(&mut self, now: Duration) -> bool {
        let idle =
            self.commands == 0 && self.in_flight == 0 && self.rows.is_idle() && !self.held && !self.rated;
        match (idle, self.forget_at) {
            (false, _) => self.forget_at = None,
            (true, None) => self.forget_at = Some(now + REMEMBERED),
            (true, Some(at)) => return at <= now,
        }
        false
    }

    /// See [`may_go`](Self::may_go): it may go now.
    pub(super) fn is_idle(&self) -> bool {
        self.forget_at.is_some()
    }
}
