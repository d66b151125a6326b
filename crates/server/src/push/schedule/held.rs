//! A command with changes that its receiver has not accepted, or whose acceptance the store does not know of.

use std::collections::VecDeque;
use std::sync::Arc;

use downlink_core::{DeviceId, Timestamp};
use downlink_store::PushEvent;

use super::receiver::ReceiverId;
use super::record::Noted;
use crate::push::target::Target;

/// Where a command is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Nothing to push.
    Idle,
    /// With its receiver: ready, or waiting for its pause to end.
    Queued,
    /// The change `seq` is being attempted.
    InFlight { seq: u16 },
}

impl Place {
    /// Where a command is that is not in flight.
    pub(super) fn of_idle(held: &Held) -> Self {
        match held.is_empty() {
            true => Self::Idle,
            false => Self::Queued,
        }
    }
}

#[derive(Debug)]
pub(super) struct Held {
    pub(super) receiver: ReceiverId,
    pub(super) place: Place,
    /// Its receiver has all up to this change.
    pub(super) accepted: u16,
    /// The store knows that it has all up to this one.
    pub(super) recorded: u16,
    /// Whether it waits for its acceptances to be recorded.
    pub(super) noted: Noted,
    device_id: DeviceId,
    target: Arc<Target>,
    /// Not accepted, in order of `seq`.
    events: VecDeque<PushEvent>,
}

impl Held {
    pub(super) fn new(receiver: ReceiverId, device_id: DeviceId, target: Arc<Target>, accepted: u16) -> Self {
        Self {
            receiver,
            place: Place::Idle,
            accepted,
            recorded: accepted,
            noted: Noted::No,
            device_id,
            target,
            events: VecDeque::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Nothing to push, nothing to record.
    pub(super) fn is_done(&self) -> bool {
        self.is_empty() && self.place == Place::Idle && self.recorded >= self.accepted
    }

    /// What it counts towards the bound: 1, and 1 more for each KiB of results.
    pub(super) fn weight(&self) -> usize {
        1 + self.events.iter().map(weight).sum::<usize>()
    }

    /// Whether the change is neither accepted nor known.
    pub(super) fn lacks(&self, seq: u16) -> bool {
        seq > self.accepted && self.events.iter().all(|event| event.seq != seq)
    }

    /// Adds a change in its place. Gives the weight added.
    pub(super) fn add(&mut self, event: PushEvent) -> usize {
        let weight = weight(&event);
        let at = self.events.partition_point(|known| known.seq < event.seq);
        self.events.insert(at, event);
        weight
    }

    /// The change `seq` was accepted. Gives the weight freed, and whether that was the command's end.
    pub(super) fn accept(&mut self, seq: u16) -> (usize, bool) {
        let at = self.events.iter().position(|event| event.seq == seq);
        let accepted = at.and_then(|at| self.events.remove(at));
        let freed = accepted.as_ref().map_or(0, weight);
        let is_end = accepted.is_some_and(|event| event.status.is_end());
        // Never beyond a change that is not accepted, whatever came in between.
        let before_next = self
            .events
            .front()
            .map_or(seq, |next| next.seq.saturating_sub(1).min(seq));
        self.accepted = self.accepted.max(before_next);
        (freed, is_end && self.events.is_empty())
    }

    /// Forgets what is not in flight: the store tells it. Gives the weight freed.
    pub(super) fn leave_to_store(&mut self) -> usize {
        let before = self.weight();
        match self.place {
            Place::InFlight { seq } => self.events.retain(|event| event.seq == seq),
            Place::Idle | Place::Queued => {
                self.events.clear();
                self.place = Place::Idle;
            }
        }
        before - self.weight()
    }

    /// The next change, of which device, and where it goes.
    pub(super) fn next(&self) -> Option<(PushEvent, DeviceId, Arc<Target>)> {
        let event = self.events.front()?.clone();
        Some((event, self.device_id.clone(), Arc::clone(&self.target)))
    }

    /// When what the next change tells happened.
    pub(super) fn next_at(&self) -> Option<Timestamp> {
        self.events.front().map(|event| event.at)
    }

    /// The last change that is known.
    pub(super) fn last_seq(&self) -> u16 {
        self.events.back().map_or(self.accepted, |event| event.seq)
    }
}

/// What a change counts towards the bound, besides its command.
fn weight(event: &PushEvent) -> usize {
    event.result.as_ref().map_or(0, |result| result.len() / 1024)
}
