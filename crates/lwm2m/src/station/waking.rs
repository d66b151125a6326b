//! When a sleeping device may be written to: for a window after it spoke, unless it has more to report first.

use super::Station;
use crate::output::{NotReachable, Output};
use crate::peer::DeviceNumber;
use crate::registry::Slot;
use crate::time::Millis;

impl Station {
    /// Writes the answer to a report, as [`write`](Self::write) does, but to a sleeping device that has more to report, too: it
    /// waits for this answer before it says more.
    ///
    /// # Errors
    /// [`NotReachable`]: nothing was sent, and no output will come.
    pub fn answer_report(
        &mut self,
        now: Millis,
        device: DeviceNumber,
        tag: u64,
        payload: Vec<u8>,
    ) -> Result<(), NotReachable> {
        let slot = self.registry.by_number(device);
        let slot = slot.ok_or(NotReachable::Unregistered)?;
        let held = self
            .registry
            .get_mut(slot)
            .and_then(|device| device.hearing.held.take());
        let written = self.write(now, device, tag, payload, None);
        if let Some(device) = self.registry.get_mut(slot) {
            device.hearing.held = held;
        }
        self.registry.reschedule(slot);
        written
    }

    /// Says whether a decoded report has more behind it. While it has, a sleeping device is left alone, for a limited
    /// time; once it has not, the device may be written to. To be called after every report of a device that sleeps.
    pub fn report_has_more(&mut self, now: Millis, device: DeviceNumber, more: bool) {
        let Some(slot) = self.registry.by_number(device) else {
            return;
        };
        let limit = self.settings.hold_limit_ms;
        let Some(device) = self.registry.get_mut(slot) else {
            return;
        };
        device.hearing.held = (more && device.sleeps()).then(|| now.after(limit));
        if self.tell_hearing(now, slot) {
            self.send_once_more(slot);
        }
        self.registry.reschedule(slot);
    }

    /// The device takes nothing for a while: it may not be written to before then, whatever else it says.
    pub(super) fn leave_alone(&mut self, now: Millis, slot: Slot, secs: u32) {
        let secs = secs.clamp(1, self.settings.max_busy_secs);
        if let Some(device) = self.registry.get_mut(slot) {
            device.hearing.busy_until = now.after_secs(secs);
        }
        self.tell_hearing(now, slot);
    }

    /// Counts a message from the device: it hears for one more window. True if it did not before.
    pub(super) fn heard(&mut self, now: Millis, slot: Slot) -> bool {
        if let Some(device) = self.registry.get_mut(slot) {
            device.hearing.until = now.after(self.settings.awake_window_ms);
        }
        self.tell_hearing(now, slot)
    }

    /// Counts a report. What woke up to report is left alone until the caller has said whether it has more.
    pub(super) fn heard_report(&mut self, now: Millis, slot: Slot) {
        let limit = now.after(self.settings.hold_limit_ms);
        if let Some(device) = self.registry.get_mut(slot)
            && device.sleeps()
            && !device.hearing.told
        {
            device.hearing.held.get_or_insert(limit);
        }
        self.heard(now, slot);
    }

    /// Tells the caller whether the device can be written to, if that is news; true if it can from now on.
    pub(super) fn tell_hearing(&mut self, now: Millis, slot: Slot) -> bool {
        let Some(device) = self.registry.get_mut(slot) else {
            return false;
        };
        let hears = device.hears(now);
        if hears == device.hearing.told {
            return false;
        }
        device.hearing.told = hears;
        let device = device.number;
        match hears {
            true => self.outbox.counters.awake += 1,
            false => self.outbox.counters.awake -= 1,
        }
        self.outbox.tell(if hears {
            Output::Awake { device }
        } else {
            Output::Asleep { device }
        });
        hears
    }

    /// Tells the caller that the device cannot be written to, if it was told otherwise.
    pub(super) fn tell_asleep(&mut self, slot: Slot) {
        let Some(device) = self.registry.get_mut(slot) else {
            return;
        };
        if std::mem::take(&mut device.hearing.told) {
            let device = device.number;
            self.outbox.counters.awake -= 1;
            self.outbox.tell(Output::Asleep { device });
        }
    }
}
