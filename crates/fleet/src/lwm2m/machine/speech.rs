//! What the device says on its own: how it is written, and what comes of the answers.

use std::time::{Duration, Instant};

use super::{Access, Event, Exchange, Machine, OBSERVED_WITHIN, OC_OBSERVED_WITHIN, Phase, Say, What};
use crate::lwm2m::settings::Code;
use crate::lwm2m::wire::{self, CoapOption, MessageClass, MessageType, Packet, RequestType};

/// How many bytes its tokens have.
const TOKEN: usize = 4;
/// 2.01
const CREATED: Code = Code(0x41);
/// 2.02
const DELETED: Code = Code(0x42);
/// 2.04
const CHANGED: Code = Code(0x44);
/// 2.05
const CONTENT: u8 = 0x45;
/// However short the lifetime is.
const UPDATE_AT_LEAST: Duration = Duration::from_secs(1);
/// A device of the older access does not renew its registration.
const NEVER: Duration = Duration::from_secs(10 * 365 * 86_400);

impl Machine {
    /// Says the next thing; false if there is nothing to be said now.
    pub(super) fn speak(&mut self, now: Instant) -> bool {
        match &self.phase {
            Phase::Off(at) if *at <= now => self.register(now),
            Phase::Registered { location, .. } if self.leaving => {
                let location = location.clone();
                let packet = self.request(RequestType::Delete, &location);
                self.ask(What::Deregister, packet, now);
            }
            Phase::Registered {
                location, update_at, ..
            } if *update_at <= now => {
                let location = location.clone();
                let packet = self.request(RequestType::Post, &location);
                self.ask(What::Update, packet, now);
            }
            Phase::Registered { .. } if self.observation.is_some() => {
                let Some(say) = self.say.pop_front() else {
                    return false;
                };
                self.notify(say, now);
            }
            Phase::Registered { .. } | Phase::Off(_) | Phase::Registering | Phase::Left => return false,
        }
        true
    }

    fn register(&mut self, now: Instant) {
        // The server may observe before its answer arrives, so what was is forgotten now and not then.
        self.phase = Phase::Registering;
        self.observation = None;
        let packet = match self.settings.access {
            Access::Lwm2m => self.lwm2m_registration(),
            Access::Oc => {
                let mut packet = self.request(RequestType::Post, &[b"t".to_vec(), b"r".to_vec()]);
                let query = format!("ep={}", self.settings.endpoint);
                wire::set_all(&mut packet, CoapOption::UriQuery, &[query]);
                packet
            }
        };
        self.ask(What::Register, packet, now);
    }

    fn lwm2m_registration(&mut self) -> Packet {
        let mut packet = self.request(RequestType::Post, &[b"rd".to_vec()]);
        let binding = if self.settings.queue_mode { "UQ" } else { "U" };
        let query = [
            "lwm2m=1.0".to_owned(),
            format!("ep={}", self.settings.endpoint),
            format!("b={binding}"),
            format!("lt={}", self.settings.lifetime.as_secs()),
        ];
        wire::set_all(&mut packet, CoapOption::UriQuery, &query);
        wire::set_number(&mut packet, CoapOption::ContentFormat, wire::LINKS.into());
        packet.payload = b"</1/0>,</3/0>,</19/0>,</19/1>".to_vec();
        packet
    }

    fn request(&mut self, method: RequestType, path: &[Vec<u8>]) -> Packet {
        let token = self.random.next().to_be_bytes();
        let id = self.take_message_id();
        let class = MessageClass::Request(method);
        let mut packet = wire::message(MessageType::Confirmable, class, id, &token[..TOKEN]);
        wire::set_all(&mut packet, CoapOption::UriPath, path);
        packet
    }

    fn ask(&mut self, what: What, packet: Packet, now: Instant) {
        self.open_exchange(what, &packet, None, now);
        self.power.said(now);
    }

    fn open_exchange(&mut self, what: What, packet: &Packet, say: Option<Say>, now: Instant) {
        let (id, token, datagram) = (
            packet.header.message_id,
            packet.get_token().to_vec(),
            wire::bytes(packet),
        );
        let exchange = Exchange::new(what, id, token, datagram.clone(), now, &mut self.random);
        self.open = Some((exchange, say));
        self.send(datagram);
    }

    /// Sends a notification (RFC 7641 §4.2) with this report.
    fn notify(&mut self, say: Say, now: Instant) {
        let id = self.take_message_id();
        let Some(observation) = &mut self.observation else {
            return;
        };
        observation.number = (observation.number + 1) & 0xff_ffff;
        let kind = if self.settings.confirm {
            MessageType::Confirmable
        } else {
            MessageType::NonConfirmable
        };
        let mut packet = wire::message(kind, CONTENT.into(), id, &observation.token);
        wire::set_number(&mut packet, CoapOption::Observe, observation.number);
        if self.settings.access == Access::Lwm2m {
            wire::set_number(&mut packet, CoapOption::ContentFormat, wire::OCTETS.into());
        }
        packet.payload.clone_from(&say.payload);
        let what = say.what;
        if self.settings.confirm {
            self.open_exchange(what, &packet, Some(say), now);
        } else {
            self.unconfirmed = Some(id);
            self.send(wire::bytes(&packet));
        }
        self.power.said(now);
        self.tell_said(what);
    }

    fn tell_said(&mut self, what: What) {
        match what {
            What::Report => self.tell(Event::Reported),
            What::Answer(mid) => self.tell(Event::Answered(mid)),
            What::Register | What::Update | What::Deregister => {}
        }
    }

    /// An acknowledgement or reset came.
    pub(super) fn acknowledged(&mut self, packet: &Packet, now: Instant) {
        let id = packet.header.message_id;
        let reset = packet.header.get_type() == MessageType::Reset;
        if reset && self.unconfirmed == Some(id) {
            self.unobserved(now);
        }
        let Some((exchange, say)) = self.open.take_if(|(exchange, _)| exchange.message_id == id) else {
            return;
        };
        if reset {
            self.rejected(exchange.what, say, now);
            return;
        }
        match exchange.what {
            What::Report => {}
            What::Answer(mid) => self.tell(Event::AnswerAcked(mid)),
            what @ (What::Register | What::Update | What::Deregister) => {
                if wire::is_response(packet) {
                    self.answered(what, packet, now);
                } else {
                    let mut exchange = exchange;
                    exchange.promised(now);
                    self.open = Some((exchange, say));
                }
            }
        }
    }

    /// The server does not know what this message is about.
    fn rejected(&mut self, what: What, say: Option<Say>, now: Instant) {
        match what {
            What::Report | What::Answer(_) => {
                if let Some(say) = say {
                    self.say.push_front(say);
                }
                self.unobserved(now);
            }
            What::Register => self.refused(Code(0), now),
            What::Update => {
                self.tell(Event::Forgotten(Code(0)));
                self.start_over(now);
            }
            What::Deregister => self.phase = Phase::Left,
        }
    }

    /// The server's observation has ended: the device registers anew to get another.
    pub(super) fn unobserved(&mut self, now: Instant) {
        if self.observation.take().is_some() {
            self.unconfirmed = None;
            self.tell(Event::Unobserved);
            self.start_over(now);
        }
    }

    /// A response came in a message of its own (RFC 7252 §5.2.2); false if nobody waits for it.
    pub(super) fn separate_response(&mut self, packet: &Packet, now: Instant) -> bool {
        let token = packet.get_token();
        let Some((exchange, _)) = self
            .open
            .take_if(|(exchange, say)| say.is_none() && exchange.token == token)
        else {
            return false;
        };
        self.answered(exchange.what, packet, now);
        true
    }

    fn answered(&mut self, what: What, packet: &Packet, now: Instant) {
        let code = wire::code(packet);
        match what {
            What::Register => {
                let wanted = match self.settings.access {
                    Access::Lwm2m => CREATED,
                    Access::Oc => CHANGED,
                };
                if code == wanted {
                    self.registered(packet, now);
                } else {
                    self.refused(code, now);
                }
            }
            What::Update if code == CHANGED => {
                self.renewed(now);
                self.tell(Event::Updated);
            }
            What::Update => {
                self.tell(Event::Forgotten(code));
                self.start_over(now);
            }
            What::Deregister => {
                self.phase = Phase::Left;
                if code == DELETED {
                    self.tell(Event::Deregistered);
                }
            }
            What::Report | What::Answer(_) => {}
        }
    }

    fn registered(&mut self, packet: &Packet, now: Instant) {
        self.failures = 0;
        let location = wire::segments(packet, CoapOption::LocationPath);
        let within = match self.settings.access {
            Access::Lwm2m => OBSERVED_WITHIN,
            Access::Oc => OC_OBSERVED_WITHIN,
        };
        self.tell(Event::Registered(wire::joined(&location)));
        self.phase = Phase::Registered {
            location,
            update_at: now + self.update_after(),
            observed_by: now + within,
        };
    }

    fn renewed(&mut self, now: Instant) {
        let after = self.update_after();
        if let Phase::Registered { update_at, .. } = &mut self.phase {
            *update_at = now + after;
        }
    }

    fn update_after(&self) -> Duration {
        match self.settings.access {
            Access::Lwm2m => (self.settings.lifetime / 4 * 3).max(UPDATE_AT_LEAST),
            Access::Oc => NEVER,
        }
    }

    fn refused(&mut self, code: Code, now: Instant) {
        self.tell(Event::Refused(code));
        let pause = self.pause();
        self.start_over(now + pause);
    }
}
