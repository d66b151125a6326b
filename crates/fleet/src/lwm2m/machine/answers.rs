//! What the device does with the server's messages, and what it answers.

use std::time::Instant;

use super::{Access, BUSY, Event, Machine, Observation};
use crate::lwm2m::event::Command;
use crate::lwm2m::payload::Request;
use crate::lwm2m::settings::{Code, Outcome, Write};
use crate::lwm2m::wire::{self, CoapOption, MessageClass, MessageType, Packet, RequestType};

/// 2.04
const CHANGED: Code = Code(0x44);
/// 2.05
const CONTENT: Code = Code(0x45);
/// 4.04
const NOT_FOUND: Code = Code(0x84);
/// 4.05
const METHOD_NOT_ALLOWED: Code = Code(0x85);
/// 5.03
const UNAVAILABLE: Code = Code(0xa3);

/// What a request is answered.
enum Reply {
    /// Nothing.
    Silence,
    /// A reset.
    Reset,
    /// This code, and options and payload as the function in it sets them.
    Code(Code, fn(&mut Packet)),
}

impl Machine {
    /// A datagram arrived. While the device sleeps it is lost.
    pub fn received(&mut self, datagram: &[u8], now: Instant) {
        if self.power.is_asleep() {
            self.tell(Event::Missed);
            return;
        }
        match wire::read(datagram) {
            Some(packet) => self.hear(&packet, now),
            None => self.tell(Event::Stray("no CoAP message".to_owned())),
        }
        self.tick(now);
    }

    fn hear(&mut self, packet: &Packet, now: Instant) {
        match packet.header.get_type() {
            MessageType::Acknowledgement | MessageType::Reset => self.acknowledged(packet, now),
            MessageType::Confirmable | MessageType::NonConfirmable => self.hear_once(packet, now),
        }
    }

    /// A message that was heard already gets the same answer and does nothing else (RFC 7252 §4.5).
    fn hear_once(&mut self, packet: &Packet, now: Instant) {
        let id = packet.header.message_id;
        if let Some(answer) = self.heard.answer(id, now) {
            self.tell(Event::Repeated(id));
            if let Some(answer) = answer {
                self.send(answer);
            }
            return;
        }
        let mut after = None;
        let answer = match packet.header.code {
            MessageClass::Request(method) => self.asked(method, packet, &mut after, now),
            MessageClass::Empty => Some(wire::empty(MessageType::Reset, id)),
            MessageClass::Response(_) | MessageClass::Reserved(_) => self.response(packet, now),
        };
        self.heard.remember(id, now, answer.clone());
        if let Some(answer) = answer {
            self.send(answer);
        }
        if let Some(event) = after {
            self.tell(event);
        }
    }

    fn response(&mut self, packet: &Packet, now: Instant) -> Option<Vec<u8>> {
        let wanted = wire::is_response(packet) && self.separate_response(packet, now);
        if !wanted {
            self.tell(Event::Stray(format!(
                "{} that nobody waits for",
                wire::code(packet)
            )));
        }
        let kind = if wanted {
            MessageType::Acknowledgement
        } else {
            MessageType::Reset
        };
        let confirmable = packet.header.get_type() == MessageType::Confirmable;
        confirmable.then(|| wire::empty(kind, packet.header.message_id))
    }

    /// Answers a request; `after` is what there is to tell when the answer is sent.
    fn asked(
        &mut self,
        method: RequestType,
        packet: &Packet,
        after: &mut Option<Event>,
        now: Instant,
    ) -> Option<Vec<u8>> {
        let path = wire::joined(&wire::segments(packet, CoapOption::UriPath));
        let reply = match (self.settings.access, path.as_str(), method) {
            (Access::Lwm2m, "19/0/0", RequestType::Get) | (Access::Oc, "t/d", RequestType::Get) => {
                self.observed(packet, now)
            }
            (Access::Lwm2m, "19/1/0", RequestType::Put)
            | (Access::Oc, "t/d", RequestType::Post | RequestType::Put) => self.command(packet, after, now),
            (Access::Lwm2m, "19/0/0" | "19/1/0", _) | (Access::Oc, "t/d", _) => {
                Reply::Code(METHOD_NOT_ALLOWED, |_| {})
            }
            (Access::Lwm2m | Access::Oc, _, _) => {
                self.tell(Event::Stray(format!("{} {path}", packet.header.code)));
                Reply::Code(NOT_FOUND, |_| {})
            }
        };
        self.compose(packet, reply)
    }

    fn compose(&mut self, to: &Packet, reply: Reply) -> Option<Vec<u8>> {
        let confirmable = to.header.get_type() == MessageType::Confirmable;
        match reply {
            Reply::Silence => None,
            Reply::Reset => Some(wire::empty(MessageType::Reset, to.header.message_id)),
            Reply::Code(code, dress) => {
                let (kind, id) = if confirmable {
                    (MessageType::Acknowledgement, to.header.message_id)
                } else {
                    (MessageType::NonConfirmable, self.take_message_id())
                };
                let mut packet = wire::message(kind, code.0.into(), id, to.get_token());
                dress(&mut packet);
                Some(wire::bytes(&packet))
            }
        }
    }

    /// A read of what it reports: the first answer is a dummy, as modules send it.
    fn observed(&mut self, packet: &Packet, now: Instant) -> Reply {
        let dummy = |packet: &mut Packet| packet.payload = vec![0];
        match wire::number(packet, CoapOption::Observe) {
            // Modules of the older access know one observation: another one ends it.
            Some(0) if self.settings.access == Access::Oc && self.observation.is_some() => {
                self.unobserved(now);
                Reply::Code(CONTENT, dummy)
            }
            Some(0) => {
                let token = packet.get_token().to_vec();
                self.observation = Some(Observation { token, number: 1 });
                self.tell(Event::Observed);
                Reply::Code(CONTENT, |packet| {
                    wire::set_number(packet, CoapOption::Observe, 1);
                    wire::set_number(packet, CoapOption::ContentFormat, wire::OCTETS.into());
                    packet.payload = vec![0];
                })
            }
            Some(_) => {
                self.observation = None;
                Reply::Code(CONTENT, dummy)
            }
            None => Reply::Code(CONTENT, dummy),
        }
    }

    fn command(&mut self, packet: &Packet, after: &mut Option<Event>, now: Instant) -> Reply {
        let request = self.settings.payload.read(&packet.payload);
        let mid = request.as_ref().map(|request| request.mid);
        self.tell(Event::Received(Command {
            mid,
            message_id: packet.header.message_id,
            payload: packet.payload.clone(),
        }));
        let full = self.work.len() + self.say.len() >= BUSY;
        let code = match self.settings.write {
            Write::Silent => return Reply::Silence,
            Write::Reset => return Reply::Reset,
            Write::Refused(code) => code,
            Write::Changed if full => UNAVAILABLE,
            Write::Changed => {
                self.work.push_back((now + self.settings.takes, request));
                CHANGED
            }
        };
        *after = Some(Event::Acked(mid, code));
        Reply::Code(code, |_| {})
    }

    /// What a command that has been carried out reports, if anything.
    pub(super) fn result(&self, request: Option<&Request>) -> Option<Vec<u8>> {
        match self.settings.outcome {
            Outcome::Never => None,
            Outcome::Code(code) => request.map(|request| self.settings.payload.result(request, code)),
        }
    }
}
