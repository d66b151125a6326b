//! Ends of registrations and of the ways to devices.

use super::Station;
use crate::device::Observation;
use crate::flight::{Flight, Job, Lane};
use crate::output::{Outcome, Output, Parting};
use crate::peer::DeviceNumber;
use crate::registry::Slot;
use crate::time::Millis;

impl Station {
    /// Ends a registration, with all that was to be sent. Returns the message id that would have been next.
    pub(super) fn part(&mut self, slot: Slot, why: Option<Parting>) -> Option<u16> {
        let mut device = self.registry.remove(slot)?;
        if device.hearing.told {
            self.outbox.counters.awake -= 1;
        }
        if device.assembly.is_some() {
            self.assemblies -= 1;
            self.outbox.counters.reports_lost += 1;
        }
        if let Some(lane) = device.lane.take() {
            self.end_lane(device.number, *lane, Outcome::Interrupted);
        }
        if let Some(why) = why {
            self.outbox.tell(Output::Gone {
                device: device.number,
                why,
            });
        }
        Some(device.next_mid)
    }

    /// Says how each write of a lane ended: what was in flight as given, what waited as never sent.
    fn end_lane(&mut self, device: DeviceNumber, lane: Lane, in_flight: Outcome) {
        if let Some(Flight {
            job: Job::Write(write),
            ..
        }) = lane.flight
        {
            self.outbox.written(device, write.tag, in_flight);
        }
        for job in lane.waiting {
            if let Job::Write(write) = job {
                self.outbox.written(device, write.tag, Outcome::NeverSent);
            }
        }
    }

    /// Takes a device for out of reach: what is to be sent ends, and it may not be written to until it speaks.
    pub(super) fn unlink(&mut self, now: Millis, slot: Slot) {
        self.empty_lane(slot, Outcome::Interrupted);
        if let Some(device) = self.registry.get_mut(slot) {
            device.hearing.linked = false;
            device.hearing.until = now;
        }
        self.tell_asleep(slot);
    }

    /// Ends all that is to be sent to a device. An observation that is cut off is asked for again with the next update.
    pub(super) fn empty_lane(&mut self, slot: Slot, in_flight: Outcome) {
        self.registry.unlist_flight(slot);
        let Some(device) = self.registry.get_mut(slot) else {
            return;
        };
        let number = device.number;
        if device.observation == Observation::Asked {
            device.observation = Observation::Unanswered;
        }
        if let Some(lane) = device.lane.take() {
            self.end_lane(number, *lane, in_flight);
        }
        self.drop_assembly(slot);
    }
}
