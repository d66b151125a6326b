//! Registrations over a restart of the server. A device that sleeps for hours does not register anew because the server
//! restarted: it reports with the token that it has, and whoever does not know that token loses its reports.

use super::Station;
use crate::device::{Device, Hearing, Observation};
use crate::location::Location;
use crate::output::{Access, WorkMode};
use crate::peer::{DeviceNumber, NO_SESSION, Peer};
use crate::registry::Slot;
use crate::time::Millis;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

/// What has to be kept of a registration for it to outlive the process. Whoever knows location and token of a plain
/// device can speak in its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Registration {
    /// Whose.
    pub device: DeviceNumber,
    /// Where it was last, in clear. None: it came over a DTLS session, and nothing in clear counts as the device's.
    pub address: Option<SocketAddr>,
    /// By which resources it speaks.
    pub access: Access,
    /// The work mode that it was accepted with.
    pub mode: WorkMode,
    /// Whether it says of itself that it sleeps.
    pub queues: bool,
    /// Its lifetime, in seconds.
    pub lifetime_secs: u32,
    /// What of the lifetime is left, in milliseconds.
    pub left_ms: u64,
    /// The number that its location is made of.
    pub location: u64,
    /// The token of its observation.
    pub token: u64,
    /// Whether it has answered the observation.
    pub observed: bool,
}

impl Registration {
    /// What of it matters to whoever keeps it: two of the same essence serve the same device as well. Time goes by in either;
    /// a device that sleeps is not sent to before it speaks, so that it does not matter where it was; and an observation is
    /// asked for once more if need be.
    #[must_use]
    pub fn essence(&self) -> Self {
        const ANYWHERE: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
        let address = self
            .address
            .map(|address| if self.sleeps() { ANYWHERE } else { address });
        Self {
            address,
            left_ms: 0,
            observed: false,
            ..*self
        }
    }

    const fn sleeps(&self) -> bool {
        match self.mode {
            WorkMode::Psm => true,
            WorkMode::Drx => self.queues,
            WorkMode::Edrx { .. } => false,
        }
    }
}

impl Station {
    /// A device's registration as it is now. Worth keeping after `accept`, after [`Updated`](crate::Output::Updated), and
    /// after a report, which may have come from another address.
    pub fn registration(&self, now: Millis, device: DeviceNumber) -> Option<Registration> {
        let device = self.registry.get(self.registry.by_number(device)?)?;
        Some(Registration {
            device: device.number,
            address: match device.peer {
                Peer::Plain(address) => Some(address),
                Peer::Secure(_) => None,
            },
            access: device.access,
            mode: device.given_mode,
            queues: device.queues,
            lifetime_secs: device.lifetime_secs,
            left_ms: device.ends.since(now),
            location: device.location.number(),
            token: device.token,
            observed: device.observation == Observation::InForce,
        })
    }

    /// Takes a kept registration up again, in a new process. A device that sleeps is asleep until it speaks; so is one
    /// whose DTLS session is gone. False if there is no room, or if the device or its names are registered already.
    pub fn restore(&mut self, now: Millis, kept: &Registration) -> bool {
        let location = Location::from_number(kept.location);
        let known = self.registry.by_number(kept.device).is_some();
        if known
            || self.registry.len() >= self.settings.max_registrations
            || !self.registry.is_free(location, kept.token)
        {
            return false;
        }
        let next_mid = self.random.next_u64() as u16;
        let peer = kept.address.map_or(Peer::Secure(NO_SESSION), Peer::Plain);
        let fresh = self.new_device(now, kept.device, peer, kept.access, next_mid);
        let observation = if kept.observed {
            Observation::InForce
        } else {
            Observation::Unanswered
        };
        let slot = self.registry.insert(Device {
            location,
            token: kept.token,
            given_mode: kept.mode,
            queues: kept.queues,
            observation,
            lifetime_secs: kept.lifetime_secs,
            ends: now.after(kept.left_ms),
            hearing: Hearing {
                linked: kept.address.is_some(),
                ..fresh.hearing
            },
            ..fresh
        });
        self.tell_restored(now, slot);
        true
    }

    fn tell_restored(&mut self, now: Millis, slot: Slot) {
        self.tell_hearing(now, slot);
        self.registry.reschedule(slot);
    }
}
