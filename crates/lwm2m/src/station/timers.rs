//! What happens by itself: resends, ends of windows, holds, lifetimes and waits.

use super::Station;
use crate::output::Parting;
use crate::registry::Slot;
use crate::time::Millis;

/// Devices, and exchanges, that one call deals with at the most.
const AT_ONCE: usize = 512;

impl Station {
    /// Does what is due at `now`, a bounded part of it: [`next_wake`](Self::next_wake) says at once if there is more. Does
    /// nothing while too many outputs wait to be taken.
    pub fn tick(&mut self, now: Millis) {
        for _ in 0..AT_ONCE {
            let due = self.registry.first_due().filter(|&(due, _)| due <= now);
            let Some((_, slot)) = due.filter(|_| self.outbox.len() < self.settings.max_outputs) else {
                break;
            };
            self.due(now, slot);
        }
        for _ in 0..AT_ONCE {
            let Some((exchange, _)) = self.exchanges.oldest().filter(|&(_, until)| until <= now) else {
                break;
            };
            self.give_up(exchange);
        }
        self.answers.prune(now);
    }

    fn due(&mut self, now: Millis, slot: Slot) {
        let Some(device) = self.registry.get_mut(slot) else {
            return;
        };
        if device.ends <= now {
            self.part(slot, Some(Parting::LifetimeEnded));
            return;
        }
        if device.hearing.held.is_some_and(|held| held <= now) {
            device.hearing.held = None;
        }
        if device.hearing.busy_until <= now {
            device.hearing.busy_until = Millis(0);
        }
        device.recents.prune(now);
        if device.flight().is_some_and(|flight| flight.due <= now) {
            self.overdue(now, slot);
        }
        self.tell_hearing(now, slot);
        self.registry.reschedule(slot);
    }
}
