//! Commands on their way to devices: from a committed Send to the end of its write.

use std::collections::HashMap;

use downlink_core::lifecycle::Input;
use downlink_core::{CommandId, DeviceKey, SessionId};
use downlink_lwm2m::{DeviceNumber, NotReachable, Outcome};
use downlink_store::{Change, Changed, Dispatch, StoreError, Target};

use super::outcome;
use super::owner::Owner;
use super::translate::{Untranslated, codec_of};
use crate::clock;

/// The name of writes that nobody follows.
const UNFOLLOWED: u64 = 0;

/// A command that the protocol machine has, and the session that it was last sent over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Write {
    command: CommandId,
    session: SessionId,
}

/// The commands that the protocol machine has, by the name of the write and by command.
#[derive(Debug, Default)]
pub(super) struct Writes {
    by_tag: HashMap<u64, Write>,
    by_command: HashMap<CommandId, u64>,
    last_tag: u64,
}

impl Writes {
    /// The name of the next write.
    const fn next_tag(&self) -> u64 {
        self.last_tag + 1
    }

    fn begin(&mut self, command: CommandId, session: SessionId) {
        self.last_tag += 1;
        self.by_tag.insert(self.last_tag, Write { command, session });
        self.by_command.insert(command, self.last_tag);
    }

    /// Lets a write that is under way stand for this Send of the same command. False: there is none.
    fn stands_for(&mut self, command: CommandId, session: SessionId) -> bool {
        let tag = self.by_command.get(&command);
        let Some(write) = tag.and_then(|tag| self.by_tag.get_mut(tag)) else {
            return false;
        };
        write.session = session;
        true
    }

    fn end(&mut self, tag: u64) -> Option<Write> {
        let write = self.by_tag.remove(&tag)?;
        self.by_command.remove(&write.command);
        Some(write)
    }
}

/// Whether the device's queue is looked at again, once commands are back in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Ask,
    /// It would come to the same at once: the sweep of the queues brings them again.
    Wait,
}

impl Owner {
    /// A committed Send: its bytes are made.
    pub(super) fn take(&mut self, dispatch: Dispatch) {
        let live = self.devices.get(&dispatch.device).filter(|known| {
            known
                .offer()
                .is_some_and(|offer| offer.session == dispatch.session)
        });
        match live {
            None => self.take_back(vec![dispatch], Then::Ask),
            Some(known) => {
                let codec = codec_of(known.product.as_deref());
                self.count_under_way(dispatch.device, 1);
                self.calls.push(self.shared.encode(codec, dispatch));
            }
        }
    }

    pub(super) fn encoded(&mut self, dispatch: Dispatch, bytes: Result<Vec<u8>, Untranslated>) {
        match bytes {
            Ok(bytes) => self.write(dispatch, bytes),
            Err(Untranslated::Busy) => self.not_begun(dispatch, Then::Wait),
            Err(Untranslated::Never(why)) => self.unfit(&dispatch, why),
        }
    }

    fn write(&mut self, dispatch: Dispatch, bytes: Vec<u8>) {
        if self.writes.stands_for(dispatch.command, dispatch.session) {
            return self.over(dispatch.device);
        }
        let (now, tag) = (self.now(), self.writes.next_tag());
        let number = DeviceNumber(dispatch.device.0);
        match self
            .station
            .write(now, number, tag, bytes, dispatch.max_retransmit)
        {
            Ok(()) => self.writes.begin(dispatch.command, dispatch.session),
            Err(NotReachable::Unregistered | NotReachable::Asleep) => self.not_begun(dispatch, Then::Ask),
            Err(NotReachable::Full) => self.not_begun(dispatch, Then::Wait),
            Err(why @ NotReachable::Unfit) => self.unfit(&dispatch, why.to_string()),
        }
    }

    fn not_begun(&mut self, dispatch: Dispatch, then: Then) {
        let device = dispatch.device;
        self.take_back(vec![dispatch], then);
        self.over(device);
    }

    /// The answer to a report: nobody waits for how that ends.
    pub(super) fn answer_report(&mut self, device: DeviceKey, bytes: Vec<u8>) {
        let now = self.now();
        if let Err(why) = self
            .station
            .answer_report(now, DeviceNumber(device.0), UNFOLLOWED, bytes)
        {
            tracing::debug!(%why, "LwM2M: the answer to a report was not sent");
        }
    }

    /// A write ended.
    pub(super) fn written(&mut self, device: DeviceKey, tag: u64, outcome: Outcome) {
        let Some(write) = self.writes.end(tag) else {
            return;
        };
        tracing::debug!(command = %write.command, ?outcome, "LwM2M: written");
        let acked = outcome == Outcome::Acked;
        let offer = self.devices.get(&device).and_then(|known| known.offer());
        let change = Change {
            target: Target::OfDevice(device, write.command),
            input: outcome::input(outcome, write.session),
            now: clock::now(),
            // A device that is busy, or that does not answer, is left alone.
            then_send: offer.filter(|_| acked || matches!(outcome, Outcome::Refused(_) | Outcome::TooLarge)),
        };
        // It may have woken up again before this is in the store, and its queue was read too early.
        let again = outcome::is_to_be_sent_again(outcome).then_some(device);
        let again = again.into_iter().collect();
        self.calls.push(self.shared.apply(vec![change], again));
        self.over(device);
    }

    /// Changes were made; what was sent with them goes on its way. The queues of these devices have something again.
    pub(super) fn applied(&mut self, changed: Result<Vec<Changed>, StoreError>, again: Vec<DeviceKey>) {
        match changed {
            Ok(changed) => {
                for (_, dispatch) in changed.into_iter().filter_map(|one| one.next) {
                    self.take(dispatch);
                }
            }
            // A deadline ends what could not be told now.
            Err(error) => tracing::error!(%error, "LwM2M: what became of a command could not be kept"),
        }
        for device in again {
            self.hungry(device);
        }
    }

    /// Committed Sends of which nothing was sent.
    pub(super) fn take_back(&mut self, dispatches: Vec<Dispatch>, then: Then) {
        let again = match then {
            Then::Ask => dispatches.first().map(|dispatch| dispatch.device),
            Then::Wait => None,
        };
        let change = |dispatch: Dispatch| Change {
            target: Target::OfDevice(dispatch.device, dispatch.command),
            input: outcome::input(Outcome::NeverSent, dispatch.session),
            now: clock::now(),
            then_send: None,
        };
        if !dispatches.is_empty() {
            let changes = dispatches.into_iter().map(change).collect();
            self.calls
                .push(self.shared.apply(changes, again.into_iter().collect()));
        }
    }

    /// It can never be sent.
    fn unfit(&mut self, dispatch: &Dispatch, why: String) {
        let change = Change {
            target: Target::OfDevice(dispatch.device, dispatch.command),
            input: Input::Unsendable(why),
            now: clock::now(),
            then_send: self.devices.get(&dispatch.device).and_then(|known| known.offer()),
        };
        self.calls.push(self.shared.apply(vec![change], Vec::new()));
        self.over(dispatch.device);
    }

    /// One command less is under way to the device.
    fn over(&mut self, device: DeviceKey) {
        self.count_under_way(device, -1);
        self.close_if_idle(device);
    }

    fn count_under_way(&mut self, device: DeviceKey, by: isize) {
        if let Some(known) = self.devices.get_mut(&device) {
            known.under_way = known.under_way.saturating_add_signed(by);
            known.show();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_is_under_way_is_not_begun_twice_and_ends_over_the_session_of_its_last_send() {
        let command = |n| CommandId::from_parts(1, 0, n, 0);
        let (mut writes, first, second) = (Writes::default(), SessionId(7), SessionId(8));
        assert!(!writes.stands_for(command(1), first));
        let tag = writes.next_tag();
        writes.begin(command(1), first);
        assert!(writes.stands_for(command(1), second) && !writes.stands_for(command(2), second));
        assert_eq!(writes.end(tag).map(|write| write.session), Some(second));
        assert!(!writes.stands_for(command(1), second) && writes.end(tag).is_none());
        assert_ne!(writes.next_tag(), tag);
    }
}
