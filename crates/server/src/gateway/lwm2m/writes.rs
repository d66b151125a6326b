//! Commands on their way to devices: from a committed Send to the end of its write.

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

/// A command that the protocol machine has.
pub(super) struct Write {
    command: CommandId,
    session: SessionId,
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
            None => self.take_back(vec![dispatch]),
            Some(known) => {
                let codec = codec_of(known.product.as_deref());
                self.calls.push(self.shared.encode(codec, dispatch));
            }
        }
    }

    pub(super) fn encoded(&mut self, dispatch: Dispatch, bytes: Result<Vec<u8>, Untranslated>) {
        match bytes {
            Ok(bytes) => self.write(dispatch, bytes),
            // The sweep of the queues brings it again.
            Err(Untranslated::Busy) => self.take_back(vec![dispatch]),
            Err(Untranslated::Never(why)) => self.end(&dispatch, Input::Unsendable(why)),
        }
    }

    fn write(&mut self, dispatch: Dispatch, bytes: Vec<u8>) {
        let (now, device) = (self.now(), dispatch.device);
        let tag = self.last_tag + 1;
        let number = DeviceNumber(device.0);
        match self
            .station
            .write(now, number, tag, bytes, dispatch.max_retransmit)
        {
            Ok(()) => {
                self.last_tag = tag;
                let write = Write {
                    command: dispatch.command,
                    session: dispatch.session,
                };
                self.writes.insert(tag, write);
                self.count_under_way(device, 1);
            }
            Err(NotReachable::Unregistered | NotReachable::Asleep | NotReachable::Full) => {
                self.take_back(vec![dispatch]);
            }
            Err(why @ NotReachable::Unfit) => self.end(&dispatch, Input::Unsendable(why.to_string())),
        }
    }

    /// Bytes besides the commands, such as an answer to a report: sent once, and nobody waits for how that ends.
    pub(super) fn write_besides(&mut self, device: DeviceKey, bytes: Vec<u8>) {
        let now = self.now();
        if let Err(why) = self
            .station
            .write(now, DeviceNumber(device.0), UNFOLLOWED, bytes, None)
        {
            tracing::debug!(%why, "LwM2M: the answer to a report was not sent");
        }
    }

    /// A write ended.
    pub(super) fn written(&mut self, device: DeviceKey, tag: u64, outcome: Outcome) {
        let Some(write) = self.writes.remove(&tag) else {
            return;
        };
        self.count_under_way(device, -1);
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
        self.calls.push(self.shared.apply(vec![change]));
        self.close_if_idle(device);
    }

    /// Changes were made; what was sent with them goes on its way.
    pub(super) fn applied(&mut self, changed: Result<Vec<Changed>, StoreError>) {
        match changed {
            Ok(changed) => {
                for (_, dispatch) in changed.into_iter().filter_map(|one| one.next) {
                    self.take(dispatch);
                }
            }
            // A deadline ends what could not be told now.
            Err(error) => tracing::error!(%error, "LwM2M: what became of a command could not be kept"),
        }
    }

    /// Committed Sends of which nothing was sent.
    pub(super) fn take_back(&mut self, dispatches: Vec<Dispatch>) {
        if !dispatches.is_empty() {
            self.calls.push(self.shared.not_written(dispatches));
        }
    }

    fn end(&mut self, dispatch: &Dispatch, input: Input) {
        let change = Change {
            target: Target::OfDevice(dispatch.device, dispatch.command),
            input,
            now: clock::now(),
            then_send: self.devices.get(&dispatch.device).and_then(|known| known.offer()),
        };
        self.calls.push(self.shared.apply(vec![change]));
    }

    fn count_under_way(&mut self, device: DeviceKey, by: isize) {
        if let Some(known) = self.devices.get_mut(&device) {
            known.under_way = known.under_way.saturating_add_signed(by);
            known.show();
        }
    }
}
