//! The caller's answers to a registration, and to reports.

use super::Station;
use crate::coap::{Block, Builder, Code, Kind, option};
use crate::device::{Device, Hearing, Observation};
use crate::exchanges::{Asked, Exchange};
use crate::flight::Job;
use crate::location::Location;
use crate::output::{Access, ExchangeId, Parting, Refusal, WorkMode};
use crate::peer::{DeviceNumber, Peer};
use crate::recent::Recents;
use crate::time::Millis;

/// How long the answer to a registration is repeated. Shorter than for other messages: a device that restarts may begin
/// with the very same message, and then has to be observed anew.
const REGISTRATION_MS: u64 = 100_000;

impl Station {
    /// Lets a device in: it is answered with its location, observed, and can be written to. A registration that the device
    /// had before ends. False if the exchange was given up already, if there is no room (the device gets 5.03), if it
    /// came over a DTLS session that is not, or no longer, the device's (4.03), or if it came in clear while the device is
    /// registered over DTLS (4.03, by the older access 5.00): what was proved gives way to nothing that was not.
    pub fn accept(
        &mut self,
        now: Millis,
        exchange: ExchangeId,
        device: DeviceNumber,
        mode: WorkMode,
    ) -> bool {
        let Some(exchange) = self.exchanges.close(exchange) else {
            return false;
        };
        let Asked::Register {
            access,
            lifetime_secs,
            queues,
            block,
        } = exchange.asked
        else {
            return false;
        };
        if let Peer::Secure(session) = exchange.peer
            && self.sessions.get(&session) != Some(&device)
        {
            self.send_answer(&exchange, Code::FORBIDDEN);
            return false;
        }
        let old = self.registry.by_number(device);
        let proved = old.and_then(|slot| self.registry.get(slot));
        if proved.is_some_and(|old| matches!((old.peer, exchange.peer), (Peer::Secure(_), Peer::Plain(_)))) {
            self.outbox.counters.wrong_peer += 1;
            self.send_answer(&exchange, refused(Refusal::Unknown, access));
            return false;
        }
        if old.is_none() && self.registry.len() >= self.settings.max_registrations {
            self.outbox.counters.registrations_full += 1;
            self.send_answer(&exchange, Code::UNAVAILABLE);
            return false;
        }
        // The device still knows the ids of messages that it had from us: go on counting.
        let old = old.and_then(|slot| self.part(slot, Some(Parting::Replaced)));
        let next_mid = old.unwrap_or_else(|| self.random.next_u64() as u16);
        let registration = self.new_device(now, device, exchange.peer, access, next_mid);
        let registration = Device {
            given_mode: mode,
            queues,
            lifetime_secs,
            ends: now.after_secs(lifetime_secs),
            ..registration
        };
        self.send_location(now, &exchange, access, registration.location, block);
        let slot = self.registry.insert(registration);
        self.enqueue(slot, Job::Observe);
        self.launch_next(now, slot);
        self.heard(now, slot);
        self.registry.reschedule(slot);
        true
    }

    /// Says how a registered device sleeps from now on: what it was accepted with may have changed meanwhile.
    pub fn set_mode(&mut self, now: Millis, device: DeviceNumber, mode: WorkMode) {
        let Some(slot) = self.registry.by_number(device) else {
            return;
        };
        if let Some(device) = self.registry.get_mut(slot) {
            device.given_mode = mode;
        }
        self.tell_hearing(now, slot);
        self.registry.reschedule(slot);
    }

    /// Turns a registration away; a report is forgotten instead, so that the device may send it again.
    pub fn refuse(&mut self, exchange: ExchangeId, why: Refusal) {
        let Some(exchange) = self.exchanges.close(exchange) else {
            return;
        };
        match exchange.asked {
            Asked::Register { access, .. } => self.send_answer(&exchange, refused(why, access)),
            Asked::Report { device, location } => self.unsay(&exchange, device, location),
        }
    }

    /// Gives up an event that the caller did not answer.
    pub(super) fn give_up(&mut self, exchange: ExchangeId) {
        self.outbox.counters.unanswered += 1;
        let Some(exchange) = self.exchanges.close(exchange) else {
            return;
        };
        if let Asked::Report { device, location } = exchange.asked {
            self.unsay(&exchange, device, location);
        }
    }

    fn send_answer(&mut self, exchange: &Exchange, code: Code) {
        let bytes = self
            .answer(exchange.kind, exchange.mid, exchange.token, code)
            .done();
        self.outbox.send(exchange.peer, bytes);
    }

    fn send_location(
        &mut self,
        now: Millis,
        exchange: &Exchange,
        access: Access,
        location: Location,
        block: Option<Block>,
    ) {
        let answer = match access {
            Access::Lwm2m => self
                .answer(exchange.kind, exchange.mid, exchange.token, Code::CREATED)
                .each(option::LOCATION_PATH, &["rd", &location.text()]),
            Access::Oc => self.answer(exchange.kind, exchange.mid, exchange.token, Code::CHANGED),
        };
        let bytes = with_block(answer, block).done();
        let (key, until) = ((exchange.peer, exchange.mid), now.after(REGISTRATION_MS));
        if exchange.kind == Kind::Con {
            self.answers
                .keep(key, exchange.print, until, &bytes, self.settings.max_exchanges);
        }
        self.outbox.send(exchange.peer, bytes);
    }

    /// A device without settings of its own, with names that nobody else has.
    pub(super) fn new_device(
        &mut self,
        now: Millis,
        number: DeviceNumber,
        peer: Peer,
        access: Access,
        next_mid: u16,
    ) -> Device {
        let (location, token) = self.fresh_names();
        Device {
            number,
            peer,
            location,
            token,
            next_mid,
            access,
            given_mode: WorkMode::Psm,
            queues: false,
            observation: Observation::Asked,
            newest: None,
            lifetime_secs: 0,
            ends: now,
            hearing: Hearing {
                linked: true,
                until: now,
                held: None,
                busy_until: Millis(0),
                told: false,
            },
            unanswered: 0,
            lane: None,
            assembly: None,
            recents: Recents::default(),
            due: now,
        }
    }

    fn fresh_names(&mut self) -> (Location, u64) {
        loop {
            let location = Location::from_random(self.random.next_u64());
            let token = self.random.next_u64();
            if self.registry.is_free(location, token) {
                return (location, token);
            }
        }
    }
}

/// The code by which a registration is turned away.
const fn refused(why: Refusal, access: Access) -> Code {
    match (why, access) {
        (Refusal::Unknown, Access::Lwm2m) => Code::FORBIDDEN,
        (Refusal::Unknown, Access::Oc) | (Refusal::Internal, _) => Code::INTERNAL,
        (Refusal::Busy, _) => Code::UNAVAILABLE,
    }
}

fn with_block(answer: Builder, block: Option<Block>) -> Builder {
    match block {
        Some(block) => answer.uint(option::BLOCK1, block.value()),
        None => answer,
    }
}
