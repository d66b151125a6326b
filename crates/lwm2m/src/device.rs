//! One registered device. There may be many thousands, so what is seldom there is behind a pointer.

use crate::assembly::Assembly;
use crate::flight::{Flight, Lane};
use crate::location::Location;
use crate::order::Newest;
use crate::output::{Access, WorkMode};
use crate::peer::{DeviceNumber, Peer};
use crate::recent::Recents;
use crate::time::Millis;

/// How the observation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Observation {
    /// Asked for; no answer yet.
    Asked,
    /// The device reports with our token.
    InForce,
    /// The device refused or ended it.
    Refused,
    /// The device did not answer.
    Unanswered,
}

/// Whether the device can be sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hearing {
    /// Whether there is a way to it: not between two DTLS sessions.
    pub(crate) linked: bool,
    /// A sleeping device hears until then.
    pub(crate) until: Millis,
    /// It has more to report and is left alone until then.
    pub(crate) held: Option<Millis>,
    /// It said that it takes nothing before then; zero: it did not.
    pub(crate) busy_until: Millis,
    /// Whether the caller was told that it can be sent to.
    pub(crate) told: bool,
}

#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) number: DeviceNumber,
    pub(crate) peer: Peer,
    pub(crate) location: Location,
    /// The token of its observation.
    pub(crate) token: u64,
    pub(crate) next_mid: u16,
    pub(crate) access: Access,
    /// The work mode that the caller gave.
    pub(crate) given_mode: WorkMode,
    /// Whether the device's binding says that it sleeps.
    pub(crate) queues: bool,
    pub(crate) observation: Observation,
    pub(crate) newest: Option<Newest>,
    pub(crate) lifetime_secs: u32,
    pub(crate) ends: Millis,
    pub(crate) hearing: Hearing,
    /// Reports of it that the caller has not answered.
    pub(crate) unanswered: usize,
    pub(crate) lane: Option<Box<Lane>>,
    pub(crate) assembly: Option<Box<Assembly>>,
    pub(crate) recents: Recents,
    /// When it is next looked at; kept by the registry.
    pub(crate) due: Millis,
}

impl Device {
    /// Its work mode: a device that is said to hear always, but says of itself that it sleeps, sleeps.
    pub(crate) const fn mode(&self) -> WorkMode {
        match (self.given_mode, self.queues) {
            (WorkMode::Drx, true) => WorkMode::Psm,
            (mode, _) => mode,
        }
    }

    /// Whether it sleeps, and so hears only for a while after it spoke.
    pub(crate) fn sleeps(&self) -> bool {
        self.mode() == WorkMode::Psm
    }

    /// Whether it may be sent to at `now`.
    pub(crate) fn hears(&self, now: Millis) -> bool {
        let hearing = &self.hearing;
        hearing.linked
            && hearing.busy_until <= now
            && (!self.sleeps() || (hearing.until > now && hearing.held.is_none()))
    }

    /// What is added to each wait for an acknowledgement. The network keeps what is sent between two of its paging
    /// windows, so an answer may take one cycle longer.
    pub(crate) const fn extra_wait_ms(&self) -> u64 {
        match self.mode() {
            WorkMode::Edrx { cycle_secs } => cycle_secs as u64 * 1000,
            WorkMode::Psm | WorkMode::Drx => 0,
        }
    }

    /// Width of its observe numbers: the older modules count in one byte.
    pub(crate) const fn sequence_bits(&self) -> u32 {
        match self.access {
            Access::Lwm2m => 24,
            Access::Oc => 8,
        }
    }

    pub(crate) fn flight(&self) -> Option<&Flight> {
        self.lane.as_ref()?.flight.as_ref()
    }

    pub(crate) fn flight_mut(&mut self) -> Option<&mut Flight> {
        self.lane.as_mut()?.flight.as_mut()
    }

    /// The message in flight, taken out.
    pub(crate) fn land(&mut self) -> Option<Flight> {
        let lane = self.lane.as_mut()?;
        let flight = lane.flight.take();
        if lane.is_idle() {
            self.lane = None;
        }
        flight
    }

    /// When something happens to it by itself.
    pub(crate) fn next_due(&self) -> Millis {
        let awake = (self.hearing.told && self.sleeps()).then_some(self.hearing.until);
        let flight = self.flight().map(|flight| flight.due);
        let busy = self.hearing.busy_until;
        let free = (busy > Millis(0)).then_some(busy);
        [awake, self.hearing.held, free, flight, self.recents.all_over()]
            .into_iter()
            .flatten()
            .fold(self.ends, Millis::min)
    }
}
