//! One receiver: its commands that are ready or wait, and whether it works.
//!
//! The brake: after a few failures in a row only one attempt at a time goes to it, a probe, with growing pauses
//! between probes; the first success releases the brake and all that waited. A dead receiver costs few attempts.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use downlink_core::retry::Backoff;
use downlink_core::{AppKey, CommandId, Span};

use super::{AGAIN_EVERY, pause};

/// Failures in a row that set the brake.
const BRAKE_AFTER: u32 = 5;

/// The longest pause between probes, before jitter.
const LONGEST_BETWEEN_PROBES: Span = Span::from_secs(180);

/// Waiting commands looked at to find one that may be let go: those that may not are a moment from it.
const LOOKED_AT: usize = 64;

/// A receiver's number; never used again.
pub(super) type ReceiverId = u64;

/// Which attempts go before which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// The first attempt of a change.
    First = 0,
    /// Any after it, and probes.
    Again = 1,
}

/// What an operator should know of a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::push) enum Notice {
    /// It failed several times in a row: the brake is on.
    Failing,
    /// It accepted again after that.
    WorksAgain,
}

#[derive(Debug)]
enum Health {
    Working {
        failures: u32,
    },
    Braked {
        probes: u32,
        next_at: Duration,
        probe: Option<CommandId>,
    },
}

#[derive(Debug)]
pub(super) struct Receiver {
    pub(super) key: (AppKey, Arc<str>),
    /// Whether it stands in the queue of turns, per lane.
    pub(super) listed: [bool; 2],
    pub(super) alarm: Option<Duration>,
    /// Commands held for it, and what they count towards the bound.
    pub(super) commands: usize,
    pub(super) weight: usize,
    first: VecDeque<CommandId>,
    again: VecDeque<CommandId>,
    waiting: BTreeSet<(Duration, CommandId)>,
    in_flight: usize,
    started: u32,
    health: Health,
}

impl Receiver {
    pub(super) fn new(key: (AppKey, Arc<str>)) -> Self {
        Self {
            key,
            listed: [false; 2],
            alarm: None,
            commands: 0,
            weight: 0,
            first: VecDeque::new(),
            again: VecDeque::new(),
            waiting: BTreeSet::new(),
            in_flight: 0,
            started: 0,
            health: Health::Working { failures: 0 },
        }
    }

    /// A command has a change that was never attempted.
    pub(super) fn queue(&mut self, command: CommandId) {
        self.first.push_back(command);
    }

    /// Whether an attempt may start now in this lane.
    pub(super) fn may_start(&self, lane: Lane, most: usize, now: Duration) -> bool {
        let (first, again) = (!self.first.is_empty(), !self.again.is_empty());
        self.in_flight < most
            && match (&self.health, lane) {
                (Health::Working { .. }, Lane::First) => first,
                (Health::Working { .. }, Lane::Again) => again,
                (Health::Braked { .. }, Lane::First) => false,
                (Health::Braked { next_at, probe, .. }, Lane::Again) => {
                    probe.is_none() && *next_at <= now && (first || again)
                }
            }
    }

    /// Takes the command to attempt now on a turn in this lane, if one may start.
    pub(super) fn take(
        &mut self,
        lane: Lane,
        room_for_again: bool,
        most: usize,
        now: Duration,
    ) -> Option<(CommandId, Lane)> {
        if !self.may_start(lane, most, now) {
            return None;
        }
        self.started = self.started.wrapping_add(1);
        let swap = room_for_again && self.started.is_multiple_of(AGAIN_EVERY) && !self.again.is_empty();
        let taken = match (&mut self.health, lane) {
            (Health::Working { .. }, Lane::First) if !swap => (self.first.pop_front()?, Lane::First),
            (Health::Working { .. }, Lane::First | Lane::Again) => (self.again.pop_front()?, Lane::Again),
            (Health::Braked { probe, .. }, Lane::First | Lane::Again) => {
                let command = self.first.pop_front().or_else(|| self.again.pop_front())?;
                *probe = Some(command);
                (command, Lane::Again)
            }
        };
        self.in_flight += 1;
        Some(taken)
    }

    /// An attempt ended: with success, and `more` to push of the command; or not, and it is due again at `again_at`.
    pub(super) fn ended(
        &mut self,
        command: CommandId,
        again_at: Option<Duration>,
        more: bool,
        now: Duration,
        backoff: Backoff,
    ) -> Option<Notice> {
        self.in_flight -= 1;
        match again_at {
            Some(at) => {
                self.waiting.insert((at, command));
                self.failed(command, now, backoff)
            }
            None => {
                if more {
                    self.first.push_back(command);
                }
                self.succeeded()
            }
        }
    }

    fn succeeded(&mut self) -> Option<Notice> {
        let before = std::mem::replace(&mut self.health, Health::Working { failures: 0 });
        match before {
            Health::Working { .. } => None,
            Health::Braked { .. } => {
                self.again.extend(
                    std::mem::take(&mut self.waiting)
                        .into_iter()
                        .map(|(_, command)| command),
                );
                Some(Notice::WorksAgain)
            }
        }
    }

    fn failed(&mut self, command: CommandId, now: Duration, backoff: Backoff) -> Option<Notice> {
        let between = Backoff {
            longest: backoff.longest.min(LONGEST_BETWEEN_PROBES),
            ..backoff
        };
        match &mut self.health {
            Health::Working { failures } => {
                *failures += 1;
                if *failures < BRAKE_AFTER {
                    return None;
                }
                self.health = Health::Braked {
                    probes: 1,
                    next_at: now + pause(between, 1, 0),
                    probe: None,
                };
                Some(Notice::Failing)
            }
            Health::Braked {
                probes,
                next_at,
                probe,
            } => {
                // Attempts that were in flight when the brake was set say nothing new.
                if *probe == Some(command) {
                    *probes = probes.saturating_add(1);
                    *next_at = now + pause(between, *probes, 0);
                    *probe = None;
                }
                None
            }
        }
    }

    /// Takes out the command that would come last, if it `may` go: never attempted before any that failed.
    pub(super) fn drop_last(&mut self, may: impl Fn(CommandId) -> bool) -> Option<CommandId> {
        if let Some(command) = self.first.pop_back_if(|command| may(*command)) {
            return Some(command);
        }
        let last = self.waiting.iter().rev().take(LOOKED_AT);
        if let Some(due) = last.copied().find(|(_, command)| may(*command)) {
            self.waiting.remove(&due);
            return Some(due.1);
        }
        self.again.pop_back_if(|command| may(*command))
    }

    /// Those whose pause is over are ready.
    pub(super) fn promote(&mut self, now: Duration) {
        while let Some((at, command)) = self.waiting.first().copied()
            && at <= now
        {
            self.waiting.pop_first();
            self.again.push_back(command);
        }
    }

    /// When time alone changes something next.
    pub(super) fn next_alarm(&self, now: Duration) -> Option<Duration> {
        let waiting = self.waiting.first().map(|(at, _)| *at);
        let probe = match &self.health {
            Health::Working { .. } | Health::Braked { probe: Some(_), .. } => None,
            Health::Braked {
                next_at, probe: None, ..
            } => {
                let ready = !(self.first.is_empty() && self.again.is_empty());
                Some(*next_at).filter(|at| ready && *at > now)
            }
        };
        [waiting, probe].into_iter().flatten().min()
    }
}
