//! The ends of attempts: what they mean for the push, its command and its receiver, and what the store is to be told.

use std::collections::VecDeque;
use std::time::Duration;

use downlink_core::{Span, Timestamp};
use downlink_store::{Attempt, Diverted, Fate, PushId, ReceiverKey, Settled, Told};

use super::held::Place;
use super::receiver::ReceiverId;
use super::{CommandId, Notice, Push, Schedule, Source, pause};

/// The longest pause that a receiver may ask for, for one push and for all of its own.
const RETRY_AFTER_LONGEST: Duration = Duration::from_secs(3600);
const PAUSE_LONGEST: Duration = Duration::from_secs(180);

/// The least pause of a push whose receiver says that it is too much.
const THROTTLED_LEAST: Duration = Duration::from_secs(5);

/// How an attempt ended.
#[derive(Debug)]
pub(in crate::push) enum Ending {
    /// The receiver has it.
    Accepted,
    /// It has not.
    Failed(Failure, Attempt),
}

/// What a failure says of the push and of its receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::push) enum Failure {
    /// 410: this push is given up.
    Gone,
    /// 429 or 503, and the pause that was asked for.
    Throttled(Option<Duration>),
    /// It may be too much for the receiver, or it is not there.
    Trouble,
    /// It did not like this one: another 4xx.
    Rejected,
}

/// Ends of attempts at stored pushes that the store does not know of.
#[derive(Default)]
pub(super) struct ToSettle {
    waiting: VecDeque<(ReceiverId, Settled)>,
    /// With the store now.
    taken: VecDeque<(ReceiverId, PushId)>,
}

impl Schedule {
    /// An attempt ended. `random` spreads the pause after a failure. Says if the receiver began to fail, or works again.
    pub(in crate::push) fn ended(
        &mut self,
        push: &Push,
        ending: Ending,
        now: Duration,
        wall: Timestamp,
        random: u32,
    ) -> Option<Notice> {
        self.count_end(push);
        let failure = match &ending {
            Ending::Accepted => None,
            Ending::Failed(failure, _) => Some(*failure),
        };
        let fate = failure.map(|failure| self.fate(failure, push.failures + 1, wall, random));
        match (push.source, ending) {
            (Source::Change(command), Ending::Accepted) => self.accepted(command, push, now),
            (Source::Change(command), Ending::Failed(_, attempt)) => {
                self.divert(command, fate.map(|fate| (attempt, fate)), wall);
            }
            (Source::Stored(id), Ending::Accepted) => {
                self.note_end(push.receiver, id, None, Fate::Accepted, wall);
            }
            (Source::Stored(id), Ending::Failed(_, attempt)) => {
                let fate = fate.unwrap_or(Fate::Again(wall));
                self.note_end(push.receiver, id, Some(attempt), fate, wall);
            }
        }
        self.learn(push, failure, now, wall)
    }

    fn count_end(&mut self, push: &Push) {
        self.in_flight -= 1;
        self.again_in_flight -= usize::from(matches!(push.source, Source::Stored(_)));
        if let Some(of_app) = self.in_flight_of.get_mut(&push.app) {
            *of_app -= 1;
            if *of_app == 0 {
                self.in_flight_of.remove(&push.app);
            }
        }
        if let Some(receiver) = self.receivers.get_mut(&push.receiver) {
            receiver.in_flight -= 1;
            self.hosts.ended(receiver.host);
        }
    }

    fn fate(&self, failure: Failure, failures: u32, wall: Timestamp, random: u32) -> Fate {
        let pause = pause(self.limits.backoff, failures, random);
        let pause = match failure {
            Failure::Gone => return Fate::Dead("the receiver answered 410 (gone)".into()),
            Failure::Throttled(None) => pause.max(THROTTLED_LEAST),
            Failure::Throttled(Some(asked)) => pause.max(asked.min(RETRY_AFTER_LONGEST)),
            Failure::Trouble | Failure::Rejected => pause,
        };
        Fate::Again(wall + Span::from_millis(u32::try_from(pause.as_millis()).unwrap_or(u32::MAX)))
    }

    fn accepted(&mut self, command: CommandId, push: &Push, now: Duration) {
        let Some(held) = self.commands.get_mut(&command) else {
            return;
        };
        let Place::InFlight { seq } = held.place else {
            return;
        };
        let (freed, is_end) = held.accept(seq);
        self.weight -= freed;
        self.to_record.note(command, held, is_end, now);
        held.place = Place::of_idle(held);
        if let Some(receiver) = self.receivers.get_mut(&push.receiver) {
            receiver.weight -= freed;
            if held.place == Place::Queued {
                receiver.queue(command);
            }
        }
    }

    /// What the end says of the receiver.
    fn learn(
        &mut self,
        push: &Push,
        failure: Option<Failure>,
        now: Duration,
        wall: Timestamp,
    ) -> Option<Notice> {
        let id = push.receiver;
        let receiver = self.receivers.get_mut(&id)?;
        let notice = match failure {
            None => receiver.health.succeeded(),
            Some(_) => receiver.health.failed(push.source, now, self.limits.backoff),
        };
        match failure {
            None if notice.is_some() => {
                receiver.flow.restart(now);
                receiver.rows.look_ahead();
            }
            None => receiver.flow.succeeded(push.nth, now),
            Some(Failure::Throttled(asked)) => {
                receiver.flow.failed(push.nth, push.started, now);
                let asked = asked.unwrap_or(Duration::ZERO).min(PAUSE_LONGEST);
                receiver.paused_until = receiver.paused_until.max(now + asked);
            }
            Some(Failure::Trouble) => receiver.flow.failed(push.nth, push.started, now),
            Some(Failure::Gone | Failure::Rejected) => {}
        }
        if notice == Some(Notice::Failing) {
            self.divert_all(id, wall);
        }
        self.settle(id, now);
        notice
    }

    fn note_end(
        &mut self,
        receiver: ReceiverId,
        id: PushId,
        attempt: Option<Attempt>,
        fate: Fate,
        now: Timestamp,
    ) {
        let settled = Settled {
            id,
            attempt,
            fate,
            now,
        };
        self.to_settle.waiting.push_back((receiver, settled));
    }

    /// Up to `most` ends of attempts at stored pushes that are to be recorded. One call at a time: they must come
    /// back by [`Schedule::settled`] or [`Schedule::not_settled`] before the next.
    pub(in crate::push) fn take_settled(&mut self, most: usize) -> Vec<Settled> {
        let some = most.min(self.to_settle.waiting.len());
        let taken: Vec<_> = self.to_settle.waiting.drain(..some).collect();
        self.to_settle.taken = taken.iter().map(|(receiver, one)| (*receiver, one.id)).collect();
        taken.into_iter().map(|(_, settled)| settled).collect()
    }

    /// The store has recorded what was taken; these receivers have something that became ready by it.
    pub(in crate::push) fn settled(
        &mut self,
        settled: &[Settled],
        stirred: &[ReceiverKey],
        now: Duration,
        wall: Timestamp,
    ) {
        let taken = std::mem::take(&mut self.to_settle.taken);
        let mut touched: Vec<ReceiverId> = Vec::new();
        for ((id, push), one) in taken.into_iter().zip(settled) {
            if let Some(receiver) = self.receivers.get_mut(&id) {
                receiver.rows.recorded(push);
                if let Fate::Again(at) = one.fate {
                    receiver.rows.due_at(later(at, now, wall));
                }
            }
            if touched.last() != Some(&id) {
                touched.push(id);
            }
        }
        for key in stirred {
            self.stir(*key, now);
        }
        for id in touched {
            self.settle(id, now);
        }
    }

    /// The store did not record these: they are to be taken again.
    pub(in crate::push) fn not_settled(&mut self, settled: Vec<Settled>) {
        let taken = std::mem::take(&mut self.to_settle.taken);
        for ((receiver, _), one) in taken.into_iter().zip(settled).rev() {
            self.to_settle.waiting.push_front((receiver, one));
        }
    }

    /// Up to `most` acceptances that are to be recorded in the store by now. Each must come back by
    /// [`Schedule::recorded`] or [`Schedule::not_recorded`].
    pub(in crate::push) fn take_accepted(&mut self, now: Duration, most: usize) -> Vec<Told> {
        self.to_record.take(&mut self.commands, now, most)
    }

    /// The store has recorded these. A command of which all is accepted and recorded is let go.
    pub(in crate::push) fn recorded(&mut self, told: &[Told], now: Duration) {
        for Told { command, seq } in told {
            let Some(held) = self.commands.get_mut(command) else {
                continue;
            };
            held.recorded = held.recorded.max(*seq);
            if !held.is_done() {
                continue;
            }
            let (id, accepted) = (held.receiver, held.accepted);
            self.let_go(*command);
            self.recent.keep(*command, accepted, now);
            self.settle(id, now);
        }
    }

    /// The store did not record these: they are to be taken again.
    pub(in crate::push) fn not_recorded(&mut self, told: &[Told]) {
        for Told { command, .. } in told {
            if let Some(held) = self.commands.get_mut(command) {
                self.to_record.note(*command, held, true, Duration::ZERO);
            }
        }
    }

    /// Whether anything is to be recorded, besides acceptances.
    pub(in crate::push) fn owes_records(&self) -> bool {
        !self.to_settle.waiting.is_empty() || self.diverts.len() > 0
    }

    /// Up to `most` commands that are to become stored pushes. They must come back by [`Schedule::diverted`] or
    /// [`Schedule::not_diverted`].
    pub(in crate::push) fn take_diverts(&mut self, most: usize) -> Vec<Diverted> {
        self.diverts.take(most)
    }

    /// The store did not take these: they are to be taken again.
    pub(in crate::push) fn not_diverted(&mut self, diverted: Vec<Diverted>) {
        self.diverts.failed(diverted);
    }
}

/// When `at` is, as the schedule counts.
pub(super) fn later(at: Timestamp, now: Duration, wall: Timestamp) -> Duration {
    now + Duration::from_millis(u64::try_from(at.since(wall).as_millis()).unwrap_or(0))
}
