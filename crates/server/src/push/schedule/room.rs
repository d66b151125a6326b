//! Who may be held in memory: the bound of the schedule, and how receivers share it.

use std::sync::Arc;
use std::time::Duration;

use downlink_core::{AppKey, CommandId, Timestamp};
use downlink_store::PushDuty;

use super::held::Held;
use super::receiver::{Receiver, ReceiverId};
use super::{Hinted, Schedule};

impl Schedule {
    /// Holds a command, without its changes yet. If its receiver takes none, or there is no room, the command is diverted
    /// (or refused, if even too many are on their way): then says so.
    pub(super) fn admit(
        &mut self,
        duty: &PushDuty,
        (first, last): (u16, u16),
        now: Duration,
        wall: Timestamp,
    ) -> Option<Hinted> {
        let target = self.targets.of(&duty.receiver);
        let id = self.receiver_of(duty.app, &target.origin);
        // What is before the first change that the store still has to tell is accepted and recorded.
        let accepted = first.saturating_sub(1);
        let takes = self.receivers.get(&id).is_some_and(Receiver::takes_changes);
        if !takes || !self.make_room(id, wall) {
            if self.diverts.len() >= self.limits.backlog {
                return Some(Hinted::Refused);
            }
            let origin = Arc::clone(&target.origin);
            self.diverts
                .add(duty.command, origin, (accepted, last), None, wall);
            self.settle(id, now);
            return Some(Hinted::Known);
        }
        if let Some(receiver) = self.receivers.get_mut(&id) {
            receiver.commands += 1;
            receiver.weight += 1;
        }
        self.weight += 1;
        let held = Held::new(id, duty.device_id.clone(), target, accepted);
        self.commands.insert(duty.command, held);
        None
    }

    /// The receiver of this application and origin; a new one if it is not known.
    pub(super) fn receiver_of(&mut self, app: AppKey, origin: &Arc<str>) -> ReceiverId {
        let key = (app, Arc::clone(origin));
        if let Some(id) = self.by_key.get(&key) {
            return *id;
        }
        let id = self.next_receiver;
        self.next_receiver += 1;
        self.by_key.insert(key, id);
        let receiver = Receiver::new(
            app,
            Arc::clone(origin),
            self.hosts.enter(origin),
            self.limits.per_receiver,
        );
        self.receivers.insert(id, receiver);
        id
    }

    /// Whether a receiver may hold more. When all room is taken, one that holds less than its even
    /// share gets room from the one that holds the most: so a receiver that stands still keeps nobody out.
    fn make_room(&mut self, id: ReceiverId, wall: Timestamp) -> bool {
        if self.weight < self.limits.backlog {
            return true;
        }
        let holds = self.receivers.get(&id).map_or(0, |one| one.weight);
        let sharers = self.receivers.values().filter(|one| one.weight > 0).count() + usize::from(holds == 0);
        if holds >= self.limits.backlog / sharers.max(1) {
            return false;
        }
        let heaviest = self
            .receivers
            .iter()
            .max_by_key(|(id, one)| (one.weight, **id))
            .map(|(id, _)| *id);
        if let Some(heaviest) = heaviest.filter(|other| *other != id) {
            self.evict_from(heaviest, wall);
        }
        self.weight < self.limits.backlog
    }

    /// Has some of a receiver's commands stored, those that it would have come to last.
    fn evict_from(&mut self, id: ReceiverId, wall: Timestamp) {
        let some = self.receivers.get(&id).map_or(0, |one| one.commands.div_ceil(16));
        // Some at once: looking for the heaviest receiver takes time.
        for _ in 0..some {
            let last = self.receivers.get_mut(&id).and_then(Receiver::take_last);
            let Some(command) = last else { break };
            self.divert(command, None, wall);
        }
    }

    /// Lets go of a command.
    pub(super) fn let_go(&mut self, command: CommandId) -> Option<Held> {
        let held = self.commands.remove(&command)?;
        self.weight -= held.weight();
        if let Some(receiver) = self.receivers.get_mut(&held.receiver) {
            receiver.commands -= 1;
            receiver.weight -= held.weight();
        }
        Some(held)
    }
}
