//! Which push is attempted next: the whole policy of pushing, without sockets, clock or random source.
//!
//! It holds commands with changes that their receivers have not accepted. Per command: strictly in order of `seq`,
//! one attempt at a time, the next change only when the last is accepted; a failed attempt is repeated after a
//! pause, for ever. Commands are independent of each other. Receivers take turns, each with a limit of its own, so
//! that one holds up only its own pushes; repetitions leave room for first tries.
//!
//! What comes in is a hint: it may repeat, come late, or never come. The store's record is the truth, and what is
//! refused here for want of room is hinted at again by the sweep over open commands.

mod held;
mod receiver;
mod recent;
mod record;
mod room;

use std::collections::{BTreeSet, VecDeque};

use foldhash::HashMap;
use std::sync::Arc;
use std::time::Duration;

use downlink_core::retry::Backoff;
use downlink_core::{AppKey, CommandId, DeviceId, Status, Timestamp};
use downlink_store::{PushDuty, PushEvent, Told};

use self::held::{Held, Place};
use self::receiver::{Lane, Receiver, ReceiverId};
use self::recent::Recent;
use self::record::ToRecord;
use super::target::{Target, Targets};

pub(super) use self::receiver::Notice;

/// Every so many starts, a repetition goes before the first tries, so that neither starves.
const AGAIN_EVERY: u32 = 4;

/// Commands remembered after they are let go, however small the backlog may be.
const RECENT_AT_LEAST: usize = 1024;

/// The limits of a schedule.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Attempts in flight in all. A quarter of it is kept free of repetitions.
    pub(super) in_flight: usize,
    /// Attempts in flight per receiver.
    pub(super) per_receiver: usize,
    /// Commands held, where one counts once more for each KiB of results it holds.
    pub(super) backlog: usize,
    /// The pauses between attempts.
    pub(super) backoff: Backoff,
    /// How long an acceptance waits to be recorded together with that of the command's last change.
    pub(super) record_wait: Duration,
}

/// One push, ready to be attempted.
#[derive(Debug, Clone)]
pub(super) struct Push {
    pub(super) command: CommandId,
    pub(super) seq: u16,
    pub(super) status: Status,
    /// When the change happened.
    pub(super) at: Timestamp,
    /// The device's result as JSON text.
    pub(super) result: Option<Arc<str>>,
    pub(super) device_id: DeviceId,
    pub(super) target: Arc<Target>,
    /// Failed attempts before this one.
    pub(super) failures: u32,
}

/// What became of a hint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hinted {
    /// All of it is held, or was accepted already.
    Known,
    /// There is no room for some of it: it waits in the store.
    Refused,
}

/// The commands with pushes due. Time is an argument: how long ago the caller started.
pub(super) struct Schedule {
    limits: Limits,
    commands: HashMap<CommandId, Held>,
    receivers: HashMap<ReceiverId, Receiver>,
    by_key: HashMap<(AppKey, Arc<str>), ReceiverId>,
    next_receiver: ReceiverId,
    targets: Targets,
    /// Receivers that may start something, in the order of their turns; first tries and repetitions apart.
    turns: [VecDeque<ReceiverId>; 2],
    /// When something changes for a receiver by time alone.
    alarms: BTreeSet<(Duration, ReceiverId)>,
    /// Commands with accepted changes that the store does not know of.
    to_record: ToRecord,
    recent: Recent,
    weight: usize,
    in_flight: usize,
    again_in_flight: usize,
    started: u32,
}

impl Schedule {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            commands: HashMap::default(),
            receivers: HashMap::default(),
            by_key: HashMap::default(),
            next_receiver: 0,
            targets: Targets::default(),
            turns: [VecDeque::new(), VecDeque::new()],
            alarms: BTreeSet::new(),
            to_record: ToRecord::new(limits.record_wait, limits.backlog),
            recent: Recent::new(limits.backlog.max(RECENT_AT_LEAST)),
            weight: 0,
            in_flight: 0,
            again_in_flight: 0,
            started: 0,
        }
    }

    /// Takes note of what is to be pushed of a command: adds what is not known yet.
    pub(super) fn hint(&mut self, duty: PushDuty, now: Duration) -> Hinted {
        self.recent.forget(now);
        if !self.commands.contains_key(&duty.command) {
            let accepted = self.recent.accepted(duty.command);
            // All of it was accepted and recorded: the hint was read or made before that.
            let Some(first) = duty
                .events
                .iter()
                .map(|event| event.seq)
                .find(|seq| *seq > accepted)
            else {
                return Hinted::Known;
            };
            if !self.admit(&duty, first, now) {
                return Hinted::Refused;
            }
        }
        self.merge(duty.command, duty.events, now)
    }

    /// The next attempt to start, if there is one: its end must be told by [`Schedule::ended`].
    pub(super) fn start(&mut self, now: Duration) -> Option<Push> {
        self.wake(now);
        if self.in_flight >= self.limits.in_flight {
            return None;
        }
        let order = match (self.started + 1).is_multiple_of(AGAIN_EVERY) {
            false => [Lane::First, Lane::Again],
            true => [Lane::Again, Lane::First],
        };
        let push = order.into_iter().find_map(|lane| self.start_in(lane, now))?;
        self.started = self.started.wrapping_add(1);
        Some(push)
    }

    /// An attempt ended. `random` spreads the pause after a failure. Says if the receiver began to fail, or works again.
    pub(super) fn ended(
        &mut self,
        command: CommandId,
        accepted: bool,
        now: Duration,
        random: u32,
    ) -> Option<Notice> {
        let held = self.commands.get_mut(&command)?;
        let Place::InFlight { seq, lane } = held.place else {
            return None;
        };
        let receiver = self.receivers.get_mut(&held.receiver)?;
        self.in_flight -= 1;
        self.again_in_flight -= usize::from(lane == Lane::Again);
        let again_at = if accepted {
            let (freed, is_end) = held.accept(seq);
            receiver.weight -= freed;
            self.weight -= freed;
            self.to_record.note(command, held, is_end, now);
            None
        } else {
            held.failures = held.failures.saturating_add(1);
            Some(now + pause(self.limits.backoff, held.failures, random))
        };
        held.place = Place::of_idle(held);
        let more = held.place == Place::Queued;
        let notice = receiver.ended(command, again_at, more, now, self.limits.backoff);
        let id = held.receiver;
        self.settle(id, now);
        notice
    }

    /// Up to `most` acceptances that are to be recorded in the store by now. Each must come back by
    /// [`Schedule::recorded`] or [`Schedule::not_recorded`].
    pub(super) fn take_accepted(&mut self, now: Duration, most: usize) -> Vec<Told> {
        self.to_record.take(&mut self.commands, now, most)
    }

    /// The store has recorded these. A command of which all is accepted and recorded is let go.
    pub(super) fn recorded(&mut self, told: &[Told], now: Duration) {
        for Told { command, seq } in told {
            let Some(held) = self.commands.get_mut(command) else {
                continue;
            };
            held.recorded = held.recorded.max(*seq);
            if !held.is_done() {
                continue;
            }
            let (id, accepted) = (held.receiver, held.accepted);
            self.commands.remove(command);
            self.recent.keep(*command, accepted, now);
            self.weight -= 1;
            if let Some(receiver) = self.receivers.get_mut(&id) {
                receiver.commands -= 1;
                receiver.weight -= 1;
            }
            self.settle(id, now);
        }
    }

    /// The store did not record these: they are to be taken again.
    pub(super) fn not_recorded(&mut self, told: &[Told]) {
        for Told { command, .. } in told {
            if let Some(held) = self.commands.get_mut(command) {
                self.to_record.note(*command, held, true, Duration::ZERO);
            }
        }
    }

    /// When to call [`Schedule::start`] and [`Schedule::take_accepted`] again though nothing happened.
    pub(super) fn next_wake(&self) -> Option<Duration> {
        let alarm = self.alarms.first().map(|(at, _)| *at);
        [alarm, self.to_record.next_at()].into_iter().flatten().min()
    }

    /// Attempts in flight.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Commands held: with something to push, or accepted and not recorded yet.
    pub(super) fn backlog(&self) -> usize {
        self.commands.len()
    }

    fn merge(&mut self, command: CommandId, events: Vec<PushEvent>, now: Duration) -> Hinted {
        for event in events {
            let Some(held) = self.commands.get(&command) else {
                break;
            };
            if !held.lacks(event.seq) {
                continue;
            }
            // A held command always has its next change; those after it only if there is room.
            if !held.is_empty() && !self.make_room(Some(held.receiver), now) {
                return Hinted::Refused;
            }
            self.add(command, event, now);
        }
        Hinted::Known
    }

    fn add(&mut self, command: CommandId, event: PushEvent, now: Duration) {
        let Some(held) = self.commands.get_mut(&command) else {
            return;
        };
        let Some(receiver) = self.receivers.get_mut(&held.receiver) else {
            return;
        };
        let added = held.add(event);
        receiver.weight += added;
        self.weight += added;
        if held.place == Place::Idle {
            held.place = Place::Queued;
            receiver.queue(command);
        }
        let id = held.receiver;
        self.settle(id, now);
    }

    fn start_in(&mut self, lane: Lane, now: Duration) -> Option<Push> {
        loop {
            let room_for_again = self.again_in_flight < self.most_again();
            if lane == Lane::Again && !room_for_again {
                return None;
            }
            let id = self.turns[lane as usize].pop_front()?;
            let Some(receiver) = self.receivers.get_mut(&id) else {
                continue;
            };
            receiver.listed[lane as usize] = false;
            if let Some((command, lane)) = receiver.take(lane, room_for_again, self.limits.per_receiver, now)
            {
                return self.begin(command, lane, now);
            }
        }
    }

    fn begin(&mut self, command: CommandId, lane: Lane, now: Duration) -> Option<Push> {
        let held = self.commands.get_mut(&command)?;
        let push = held.next_push(command)?;
        held.place = Place::InFlight { seq: push.seq, lane };
        self.in_flight += 1;
        self.again_in_flight += usize::from(lane == Lane::Again);
        let id = held.receiver;
        self.settle(id, now);
        Some(push)
    }

    /// Of the attempts in flight, how many may be repetitions.
    fn most_again(&self) -> usize {
        (self.limits.in_flight - self.limits.in_flight / 4).max(1)
    }

    /// Does what is due by time.
    fn wake(&mut self, now: Duration) {
        self.recent.forget(now);
        while let Some((at, id)) = self.alarms.first().copied()
            && at <= now
        {
            self.alarms.pop_first();
            if let Some(receiver) = self.receivers.get_mut(&id) {
                receiver.alarm = None;
            }
            self.settle(id, now);
        }
    }

    /// After anything changed for a receiver: gives it its turns, sets its alarm, lets it go if it holds nothing.
    fn settle(&mut self, id: ReceiverId, now: Duration) {
        let Some(receiver) = self.receivers.get_mut(&id) else {
            return;
        };
        receiver.promote(now);
        for lane in [Lane::First, Lane::Again] {
            if !receiver.listed[lane as usize] && receiver.may_start(lane, self.limits.per_receiver, now) {
                receiver.listed[lane as usize] = true;
                self.turns[lane as usize].push_back(id);
            }
        }
        let alarm = receiver.next_alarm(now).filter(|_| receiver.commands > 0);
        let before = std::mem::replace(&mut receiver.alarm, alarm);
        if before != alarm {
            before.map(|at| self.alarms.remove(&(at, id)));
            alarm.map(|at| self.alarms.insert((at, id)));
        }
        if receiver.commands == 0
            && let Some(receiver) = self.receivers.remove(&id)
        {
            self.by_key.remove(&receiver.key);
        }
    }
}

/// The pause after failure number `failures` in a row.
fn pause(backoff: Backoff, failures: u32, random: u32) -> Duration {
    let ms = backoff.pause(failures, random).as_millis();
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

#[cfg(test)]
mod history;
#[cfg(test)]
mod tests;
