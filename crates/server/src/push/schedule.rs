//! Which push is attempted next: the whole policy of pushing, without sockets, clock or random source.
//!
//! Two kinds come here. *Changes* of commands come by hints and are attempted straight from the command. What fails, or
//! finds its receiver held, failing, or the memory full, is *diverted*: it becomes a stored push, and so does all
//! that follows of its command. *Stored pushes* are read from their table when their receiver can take them; what is
//! ready there is in order already. Per command: one attempt at a time, the next change only when the last is accepted.
//!
//! Receivers take turns within their application, and applications take turns. How many attempts a receiver has at once
//! is learnt ([`flow`]), and never so many that nothing is left for others: no more than there are free slots. So one that
//! is slow or dead holds up only its own pushes. A hint may repeat, come late, or never come: the store's record is the
//! truth, and the sweeps tell it again.

mod divert;
mod ends;
mod flow;
mod health;
mod held;
mod hosts;
mod receiver;
mod recent;
mod record;
mod room;
mod rows;
mod stored;
mod turns;
mod view;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use downlink_core::retry::Backoff;
use downlink_core::{AppKey, CommandId, Timestamp};
use downlink_store::{OrderKey, PushContent, PushDuty, PushEvent, PushId, ReadyPush, ReceiverKey};
use foldhash::HashMap;

use self::divert::Diverts;
use self::ends::ToSettle;
use self::health::Health;
use self::held::{Held, Place};
use self::hosts::Hosts;
use self::receiver::{LANES, Lane, Receiver, ReceiverId, Taken};
use self::recent::Recent;
use self::record::ToRecord;
use self::turns::Turns;
use super::target::{Target, Targets};

pub(super) use self::ends::{Ending, Failure};
pub(super) use self::health::Notice;
pub(super) use self::stored::Refill;

/// Every so many starts, a stored push goes before changes, so that neither starves.
const AGAIN_EVERY: u32 = 4;

/// Commands remembered after they are let go, however small the backlog may be.
const RECENT_AT_LEAST: usize = 1024;

/// The limits of a schedule.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Attempts in flight in all. A quarter of it is kept free of stored pushes.
    pub(super) in_flight: usize,
    /// Attempts in flight per receiver, at the most.
    pub(super) per_receiver: usize,
    /// Attempts in flight per host, over all its receivers.
    pub(super) per_host: usize,
    /// Commands held, where one counts once more for each KiB of results it holds; and half as many stored pushes.
    pub(super) backlog: usize,
    /// The pauses between attempts.
    pub(super) backoff: Backoff,
    /// How long an acceptance waits to be recorded together with that of the command's last change.
    pub(super) record_wait: Duration,
    /// How long that of the last change waits for those of others.
    pub(super) record_gather: Duration,
}

/// What is attempted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Source {
    /// The next change of a command.
    Change(CommandId),
    /// A stored push.
    Stored(PushId),
}

/// One push, ready to be attempted. Its end must be told by [`Schedule::ended`].
#[derive(Debug, Clone)]
pub(super) struct Push {
    pub(super) source: Source,
    pub(super) app: AppKey,
    pub(super) key: OrderKey,
    pub(super) seq: u32,
    pub(super) content: PushContent,
    /// When what it tells happened.
    pub(super) at: Timestamp,
    pub(super) target: Arc<Target>,
    /// Failed attempts before this one.
    pub(super) failures: u32,
    receiver: ReceiverId,
    /// The how-many-th in flight of its receiver it is, and since when.
    nth: usize,
    started: Duration,
}

/// What became of a hint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hinted {
    /// All of it is held, on its way into the table, or was accepted already.
    Known,
    /// There is no room: it waits in the store.
    Refused,
}

/// What is to be pushed. Time is an argument: how long ago the caller started.
pub(super) struct Schedule {
    limits: Limits,
    commands: HashMap<CommandId, Held>,
    receivers: HashMap<ReceiverId, Receiver>,
    by_key: HashMap<(AppKey, Arc<str>), ReceiverId>,
    by_stored: HashMap<ReceiverKey, ReceiverId>,
    next_receiver: ReceiverId,
    hosts: Hosts,
    targets: Targets,
    turns: Turns,
    /// When something changes for a receiver by time alone.
    alarms: BTreeSet<(Duration, ReceiverId)>,
    /// Receivers for which stored pushes are to be read.
    to_read: VecDeque<ReceiverId>,
    /// Commands with accepted changes that the store does not know of.
    to_record: ToRecord,
    diverts: Diverts,
    to_settle: ToSettle,
    recent: Recent,
    weight: usize,
    /// Stored pushes that are loaded and not attempted.
    loaded: usize,
    in_flight: usize,
    in_flight_of: HashMap<AppKey, usize>,
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
            by_stored: HashMap::default(),
            next_receiver: 0,
            hosts: Hosts::new(limits.per_host),
            targets: Targets::default(),
            turns: Turns::default(),
            alarms: BTreeSet::new(),
            to_read: VecDeque::new(),
            to_record: ToRecord::new(limits.record_wait, limits.record_gather, limits.backlog),
            diverts: Diverts::default(),
            to_settle: ToSettle::default(),
            recent: Recent::new(limits.backlog.max(RECENT_AT_LEAST)),
            weight: 0,
            loaded: 0,
            in_flight: 0,
            in_flight_of: HashMap::default(),
            again_in_flight: 0,
            started: 0,
        }
    }

    /// Takes note of what is to be pushed of a command: adds what is not known yet.
    pub(super) fn hint(&mut self, duty: PushDuty, now: Duration, wall: Timestamp) -> Hinted {
        self.recent.forget(now);
        let Some(last) = duty.events.last().map(|event| event.seq) else {
            return Hinted::Known;
        };
        if self.diverts.knows(duty.command) {
            return Hinted::Known;
        }
        if !self.commands.contains_key(&duty.command) {
            let accepted = self.recent.accepted(duty.command);
            // All of it was accepted and recorded, or stored: the hint was read or made before that.
            let mut events = duty.events.iter().map(|event| event.seq);
            let Some(first) = events.find(|seq| *seq > accepted) else {
                return Hinted::Known;
            };
            if let Some(refused) = self.admit(&duty, (first, last), now, wall) {
                return refused;
            }
        }
        self.merge(duty.command, duty.events, now);
        Hinted::Known
    }

    /// The next attempt to start, if there is one.
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

    /// When to call [`Schedule::start`] and the `take` methods again though nothing happened. `may_record`: acceptances could
    /// be taken then. If they cannot they must not wake: the time for them stays in the past until they are.
    pub(super) fn next_wake(&self, may_record: bool) -> Option<Duration> {
        let alarm = self.alarms.first().map(|(at, _)| *at);
        let record = self.to_record.next_at().filter(|_| may_record);
        alarm.into_iter().chain(record).min()
    }

    /// Attempts in flight.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Hosts that have all the attempts in flight that one may.
    pub(super) fn hosts_full(&self) -> usize {
        self.hosts.full()
    }

    /// What is in memory: commands, and stored pushes that are loaded.
    pub(super) fn backlog(&self) -> usize {
        self.commands.len() + self.diverts.len() + self.loaded
    }

    fn merge(&mut self, command: CommandId, events: Vec<PushEvent>, now: Duration) {
        for event in events {
            let Some(held) = self.commands.get_mut(&command) else {
                return;
            };
            let Some(receiver) = self.receivers.get_mut(&held.receiver) else {
                return;
            };
            if !held.lacks(event.seq) {
                continue;
            }
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
    }

    fn start_in(&mut self, lane: Lane, now: Duration) -> Option<Push> {
        let mut over = Vec::new();
        let mut started = None;
        for _ in 0..self.turns.len(lane) {
            let room_for_again = self.again_in_flight < self.most_again();
            if lane == Lane::Again && !room_for_again {
                break;
            }
            let Some(id) = self.turns.pop(lane) else { break };
            let fair = self.has_room(id);
            let Some(receiver) = self.receivers.get_mut(&id) else {
                continue;
            };
            receiver.listed[lane as usize] = false;
            if !receiver.may_start(lane, now) {
                continue;
            }
            if !fair {
                receiver.listed[lane as usize] = true;
                over.push((receiver.app, id));
                continue;
            }
            if let Some(taken) = receiver.take(lane, room_for_again, now) {
                started = self.begin(id, taken, now);
                break;
            }
        }
        for (app, id) in over {
            self.turns.push(lane, app, id);
        }
        started
    }

    /// Whether a receiver may have one more of the slots: its host has not all that it may have; and it has fewer than are free, and its
    /// application fewer than twice as many; or it has few, and its application not nearly all. So whoever comes finds free slots, however many
    /// others have taken all they may.
    fn has_room(&self, id: ReceiverId) -> bool {
        let Some(receiver) = self.receivers.get(&id) else {
            return true;
        };
        if self.hosts.is_full(receiver.host) {
            return false;
        }
        let free = self.limits.in_flight - self.in_flight;
        let of_app = self.in_flight_of.get(&receiver.app).copied().unwrap_or(0);
        let few = receiver.in_flight < FEW.min(free.div_ceil(2)) && of_app < 8 * free;
        receiver.in_flight < free && (of_app < 2 * free || few)
    }

    fn begin(&mut self, id: ReceiverId, taken: Taken, now: Duration) -> Option<Push> {
        let receiver = self.receivers.get_mut(&id)?;
        let push = match taken {
            Taken::Change(command) => {
                let held = self.commands.get_mut(&command)?;
                let (event, device_id, target) = held.next()?;
                held.place = Place::InFlight { seq: event.seq };
                Push {
                    source: Source::Change(command),
                    app: receiver.app,
                    key: OrderKey::of_command(command),
                    seq: event.seq.into(),
                    content: PushContent::Change {
                        device_id,
                        status: event.status,
                        result: event.result,
                    },
                    at: event.at,
                    target,
                    failures: 0,
                    receiver: id,
                    nth: receiver.in_flight,
                    started: now,
                }
            }
            Taken::Stored(row) => {
                self.loaded -= 1;
                self.again_in_flight += 1;
                let target = self.targets.of(&row.url);
                of_row(row, receiver, id, target, now)
            }
        };
        receiver.health.started(push.source);
        self.hosts.started(receiver.host);
        self.in_flight += 1;
        *self.in_flight_of.entry(receiver.app).or_default() += 1;
        self.settle(id, now);
        Some(push)
    }

    /// Of the attempts in flight, how many may be of stored pushes.
    fn most_again(&self) -> usize {
        (self.limits.in_flight - self.limits.in_flight / 4).max(1)
    }

    /// How many stored pushes one receiver may have loaded, as far as others leave room.
    fn most_rows(&self) -> usize {
        let room = (self.limits.backlog / 2).saturating_sub(self.loaded);
        self.limits.per_receiver.min(room).max(FEW_ROWS)
    }

    /// Does what is due by time.
    pub(super) fn wake(&mut self, now: Duration) {
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

    /// After anything changed for a receiver: gives it its turns, has its stored pushes read, sets its alarm, forgets it if
    /// it has had nothing to do for long.
    fn settle(&mut self, id: ReceiverId, now: Duration) {
        let crowded = self.receivers.len() > RECEIVERS_IDLE;
        let most = self.most_rows();
        let Some(receiver) = self.receivers.get_mut(&id) else {
            return;
        };
        for lane in LANES {
            if !receiver.listed[lane as usize] && receiver.may_start(lane, now) {
                receiver.listed[lane as usize] = true;
                self.turns.push(lane, receiver.app, id);
            }
        }
        if !receiver.wants_rows && receiver.wanted_rows(now, most).is_some() {
            receiver.wants_rows = true;
            self.to_read.push_back(id);
        }
        let gone = receiver.may_go(now) || (crowded && receiver.is_idle());
        let alarm = receiver.next_alarm(now).filter(|_| !gone);
        let before = std::mem::replace(&mut receiver.alarm, alarm);
        if before != alarm {
            before.map(|at| self.alarms.remove(&(at, id)));
            alarm.map(|at| self.alarms.insert((at, id)));
        }
        if gone && let Some(receiver) = self.receivers.remove(&id) {
            self.hosts.leave(receiver.host);
            self.by_key.remove(&(receiver.app, receiver.origin));
            receiver.key.map(|key| self.by_stored.remove(&key));
        }
    }
}

/// Attempts in flight that a receiver may have though its application has many.
const FEW: usize = 8;

/// Receivers that are remembered though they have nothing to do, at the most.
const RECEIVERS_IDLE: usize = 4096;

/// Stored pushes that each receiver may have loaded though there are many in all.
const FEW_ROWS: usize = 4;

fn of_row(row: ReadyPush, receiver: &Receiver, id: ReceiverId, target: Arc<Target>, now: Duration) -> Push {
    Push {
        source: Source::Stored(row.id),
        app: receiver.app,
        key: row.key,
        seq: row.seq,
        content: row.content,
        at: row.at,
        target,
        failures: row.tries,
        receiver: id,
        nth: receiver.in_flight,
        started: now,
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
mod replays;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod told;
