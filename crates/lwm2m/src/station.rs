//! The machine: datagrams, instants and the caller's answers in, [`Output`]s out. One value serves all devices.
//!
//! The caller gives each datagram to [`Station::receive`], calls [`Station::tick`] when [`Station::next_wake`] is due, and
//! takes every output with [`Station::poll`] after each call. Devices are known by their registration, never by their
//! address alone: by the location or token that they were given, from any plain address, or from a DTLS session that
//! the caller vouched for.

mod incoming;
mod keeping;
mod lane;
mod parting;
mod registering;
mod replies;
mod reports;
mod requests;
mod timers;
mod waking;
mod whose;

pub use keeping::Registration;

use crate::answers::Answers;
use crate::bucket::Bucket;
use crate::coap::{Builder, Code, Kind, Token};
use crate::counters::Counters;
use crate::exchanges::Exchanges;
use crate::outbox::Outbox;
use crate::output::{NotReachable, Output};
use crate::peer::{DeviceNumber, Peer};
use crate::random::Random;
use crate::registry::{Registry, Slot};
use crate::settings::Settings;
use crate::time::Millis;
use std::collections::BTreeMap;

/// All devices of a gateway.
pub struct Station {
    settings: Settings,
    random: Random,
    outbox: Outbox,
    registry: Registry,
    exchanges: Exchanges,
    answers: Answers,
    resets: Bucket,
    refusals: Bucket,
    /// Whose each DTLS session is.
    sessions: BTreeMap<u64, DeviceNumber>,
    /// Large reports that are being fetched.
    assemblies: usize,
}

impl Station {
    /// A machine without devices. The seed must be secret and never the same twice: tokens and locations come of it.
    pub fn new(settings: Settings, seed: [u8; 32]) -> Self {
        let resets = Bucket::new(settings.resets_per_sec);
        let refusals = Bucket::new(settings.refusals_per_sec);
        Self {
            settings,
            random: Random::new(seed),
            outbox: Outbox::default(),
            registry: Registry::default(),
            exchanges: Exchanges::default(),
            answers: Answers::default(),
            resets,
            refusals,
            sessions: BTreeMap::new(),
            assemblies: 0,
        }
    }

    /// Takes the oldest output. Outputs come in the order in which things happened.
    pub fn poll(&mut self) -> Option<Output> {
        self.outbox.take()
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        Counters {
            registrations: self.registry.len() as u64,
            ..self.outbox.counters
        }
    }

    /// When [`tick`](Self::tick) has something to do; `None` if never, as things stand.
    pub fn next_wake(&self) -> Option<Millis> {
        let device = self.registry.first_due().map(|(due, _)| due);
        let exchange = self.exchanges.oldest().map(|(_, until)| until);
        device.into_iter().chain(exchange).min()
    }

    /// Says that a DTLS session was proved to be a device's. What comes over it with the device's own location or token
    /// counts from then on, and what is sent to the device goes over it once something came.
    pub fn session_opened(&mut self, session: u64, device: DeviceNumber) {
        self.sessions.insert(session, device);
    }

    /// Says that a DTLS session ended. The registration stays; its device cannot be written to until it speaks over
    /// another session.
    pub fn session_ended(&mut self, now: Millis, session: u64) {
        let slot = self
            .sessions
            .remove(&session)
            .and_then(|device| self.registry.by_number(device));
        let Some(slot) = slot else { return };
        if self
            .registry
            .get(slot)
            .is_some_and(|device| device.peer == Peer::Secure(session))
        {
            self.unlink(now, slot);
            self.registry.reschedule(slot);
        }
    }

    /// Writes to a device: a confirmable PUT of 19/1/0, or POST of `t/d`. `tag` is the caller's and comes back with
    /// [`Output::Written`], exactly once. `max_resends` lowers the number of resends. A payload that is too large for one
    /// message goes out in blocks.
    ///
    /// # Errors
    /// [`NotReachable`]: nothing was sent, and no output will come.
    pub fn write(
        &mut self,
        now: Millis,
        device: DeviceNumber,
        tag: u64,
        payload: Vec<u8>,
        max_resends: Option<u8>,
    ) -> Result<(), NotReachable> {
        if payload.is_empty() || payload.len() > self.settings.max_write {
            return Err(NotReachable::Unfit);
        }
        let slot = self
            .registry
            .by_number(device)
            .ok_or(NotReachable::Unregistered)?;
        self.queue_write(now, slot, tag, payload, max_resends)?;
        self.launch_next(now, slot);
        self.registry.reschedule(slot);
        Ok(())
    }

    /// Forgets a device that was removed or whose product changed: its writes end, its location and token mean nothing
    /// from then on, and it has to register anew.
    pub fn forget(&mut self, device: DeviceNumber) {
        if let Some(slot) = self.registry.by_number(device) {
            self.part(slot, None);
        }
    }

    /// Begins an answer to a message: in the acknowledgement, or as a message of its own.
    fn answer(&mut self, kind: Kind, mid: u16, token: Token, code: Code) -> Builder {
        match kind {
            Kind::Con => Builder::new(Kind::Ack, code, mid, token),
            Kind::Non | Kind::Ack | Kind::Rst => {
                Builder::new(Kind::Non, code, self.random.next_u64() as u16, token)
            }
        }
    }

    /// Whether a message from `from` may count as one of this device.
    fn may_come(&self, slot: Slot, from: Peer) -> bool {
        let Some(device) = self.registry.get(slot) else {
            return false;
        };
        match (device.peer, from) {
            (Peer::Plain(_), Peer::Plain(_)) => true,
            (Peer::Secure(_) | Peer::Plain(_), Peer::Secure(session)) => {
                self.sessions.get(&session) == Some(&device.number)
            }
            (Peer::Secure(_), Peer::Plain(_)) => false,
        }
    }
}
