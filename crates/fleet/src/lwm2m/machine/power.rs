//! When a device listens and when it sleeps.

use std::time::Instant;

use super::{Access, Event, Machine, Phase, Say, What};
use crate::lwm2m::settings::Sleep;

#[derive(Debug)]
pub(super) enum Power {
    /// It never sleeps.
    Mains,
    /// It listens, until this time if nothing of its own is open.
    Awake(Sleep, Instant),
    /// It sleeps, until this time if it has nothing to say.
    Asleep(Sleep, Instant),
}

impl Power {
    pub(super) fn new(sleep: Option<Sleep>, now: Instant) -> Self {
        sleep.map_or(Self::Mains, |sleep| Self::Awake(sleep, now + sleep.awake))
    }

    pub(super) const fn is_asleep(&self) -> bool {
        matches!(self, Self::Asleep(..))
    }

    pub(super) const fn due(&self, open: bool) -> Option<Instant> {
        match self {
            Self::Mains => None,
            Self::Awake(_, until) => {
                if open {
                    None
                } else {
                    Some(*until)
                }
            }
            Self::Asleep(_, until) => Some(*until),
        }
    }

    /// It sent something of its own: it listens from now on for as long as it does.
    pub(super) fn said(&mut self, now: Instant) {
        match self {
            Self::Mains => {}
            Self::Awake(sleep, _) | Self::Asleep(sleep, _) => *self = Self::Awake(*sleep, now + sleep.awake),
        }
    }
}

impl Machine {
    /// Something of its own went out later than it was said, as over a session that had to be made first: it listens from
    /// now on for as long as it does. What sleeps is not woken by that.
    pub fn transmitted(&mut self, now: Instant) {
        if matches!(self.power, Power::Awake(..)) {
            self.power.said(now);
        }
    }

    /// Wakes if it has slept long enough or has something to say.
    pub(super) fn wake(&mut self, now: Instant) {
        let Power::Asleep(_, until) = self.power else {
            return;
        };
        if until <= now {
            self.say_something(now);
        } else if !self.has_to_speak(now) {
            return;
        }
        self.power.said(now);
        self.tell(Event::Awake);
    }

    fn has_to_speak(&self, now: Instant) -> bool {
        match &self.phase {
            Phase::Off(at) => *at <= now,
            Phase::Registering => false,
            Phase::Registered { update_at, .. } => {
                self.leaving || *update_at <= now || (self.observation.is_some() && !self.say.is_empty())
            }
            Phase::Left => false,
        }
    }

    /// The reason to wake when there is no other: an update, or a report where there are no updates.
    fn say_something(&mut self, now: Instant) {
        if let Phase::Registered { update_at, .. } = &mut self.phase {
            match self.settings.access {
                Access::Lwm2m => *update_at = now,
                Access::Oc => {
                    self.reports = self.reports.wrapping_add(1);
                    let payload = self.settings.payload.report(self.reports);
                    self.say.push_back(Say {
                        what: What::Report,
                        payload,
                    });
                }
            }
        }
    }

    /// Falls asleep if nobody is to be listened to any longer.
    pub(super) fn rest(&mut self, now: Instant) {
        let Power::Awake(sleep, until) = self.power else {
            return;
        };
        if self.open.is_none() && until <= now {
            self.power = Power::Asleep(sleep, now + sleep.asleep);
            self.tell(Event::Asleep);
        }
    }
}
