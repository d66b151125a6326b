//! Who may be held in memory: the bound of the schedule, and how receivers share it.

use std::sync::Arc;
use std::time::Duration;

use downlink_store::PushDuty;

use super::Schedule;
use super::held::Held;
use super::receiver::{Receiver, ReceiverId};

impl Schedule {
    /// Makes room for a command and holds it, without its changes yet. False: there is no room.
    pub(super) fn admit(&mut self, duty: &PushDuty, first: u16, now: Duration) -> bool {
        let target = self.targets.of(&duty.receiver);
        let key = (duty.app, Arc::clone(&target.origin));
        let known = self.by_key.get(&key).copied();
        if !self.make_room(known, now) {
            return false;
        }
        let id = known.unwrap_or_else(|| {
            let id = self.next_receiver;
            self.next_receiver += 1;
            self.by_key.insert(key.clone(), id);
            self.receivers.insert(id, Receiver::new(key));
            id
        });
        if let Some(receiver) = self.receivers.get_mut(&id) {
            receiver.commands += 1;
            receiver.weight += 1;
        }
        self.weight += 1;
        // What is before the first change that the store still has to tell is accepted and recorded.
        let held = Held::new(id, duty.device_id.clone(), target, first.saturating_sub(1));
        self.commands.insert(duty.command, held);
        true
    }

    /// Whether a receiver (none: a new one) may hold more. When all room is taken, one that holds less than its even
    /// share gets room from the one that holds the most: so a receiver that stands still keeps nobody out.
    pub(super) fn make_room(&mut self, receiver: Option<ReceiverId>, now: Duration) -> bool {
        if self.weight < self.limits.backlog {
            return true;
        }
        let holds = receiver
            .and_then(|id| self.receivers.get(&id))
            .map_or(0, |one| one.weight);
        let sharers = self.receivers.len() + usize::from(receiver.is_none());
        if holds >= self.limits.backlog / sharers.max(1) {
            return false;
        }
        let heaviest = self
            .receivers
            .iter()
            .max_by_key(|(id, one)| (one.weight, **id))
            .map(|(id, _)| *id);
        if let Some(heaviest) = heaviest.filter(|id| Some(*id) != receiver) {
            self.evict_from(heaviest, now);
        }
        self.weight < self.limits.backlog
    }

    /// Lets go of some of a receiver's commands, those that it would have come to last. They wait in the store.
    fn evict_from(&mut self, id: ReceiverId, now: Duration) {
        let Some(receiver) = self.receivers.get_mut(&id) else {
            return;
        };
        // Some at once: looking for the heaviest receiver takes time.
        for _ in 0..receiver.commands.div_ceil(16) {
            let is_free = |command| self.commands.get(&command).is_some_and(Held::is_free);
            let Some(command) = receiver.drop_last(is_free) else {
                break;
            };
            let Some(held) = self.commands.remove(&command) else {
                break;
            };
            receiver.commands -= 1;
            receiver.weight -= held.weight();
            self.weight -= held.weight();
            self.recent.keep(command, held.accepted, now);
        }
        self.settle(id, now);
    }
}
