//! The way of a datagram to what it concerns.

use super::Station;
use crate::coap::{Builder, Code, Fault, Kind, Message};
use crate::peer::Peer;
use crate::time::Millis;

/// A message that came.
#[derive(Clone, Copy)]
pub(super) struct Arrival<'a> {
    pub(super) now: Millis,
    pub(super) from: Peer,
    pub(super) datagram: &'a [u8],
    pub(super) message: Message<'a>,
}

impl Station {
    /// Takes a datagram. Never fails: what is wrong with it is counted.
    pub fn receive(&mut self, now: Millis, from: Peer, datagram: &[u8]) {
        self.outbox.counters.received += 1;
        if self.outbox.len() >= self.settings.max_outputs || datagram.len() > self.settings.max_datagram {
            self.outbox.counters.dropped_datagrams += 1;
            return;
        }
        match Message::parse(datagram) {
            Ok(message) => self.take(&Arrival {
                now,
                from,
                datagram,
                message,
            }),
            Err(Fault::NotCoap) => self.outbox.counters.garbage += 1,
            Err(Fault::Malformed { kind, mid }) => {
                self.outbox.counters.malformed += 1;
                if kind == Kind::Con {
                    self.reset(now, from, mid);
                }
            }
        }
    }

    fn take(&mut self, arrival: &Arrival<'_>) {
        let Arrival {
            now, from, message, ..
        } = *arrival;
        match (message.kind, message.code) {
            (Kind::Con | Kind::Non, _) if self.repeat_answer(arrival) => {}
            // A ping (RFC 7252 §4.3).
            (Kind::Con, Code::EMPTY) => self.reset(now, from, message.mid),
            (Kind::Ack, Code::EMPTY) => self.acknowledged(now, from, message.mid),
            (Kind::Rst, Code::EMPTY) => self.was_reset(now, from, message.mid),
            (Kind::Con | Kind::Non, code) if code.is_request() => self.requested(arrival),
            (Kind::Con | Kind::Non, code) if code.is_response() => self.answered(arrival),
            (Kind::Ack, code) if code.is_response() => self.answered_at_once(arrival),
            (Kind::Con | Kind::Non | Kind::Ack | Kind::Rst, _) => self.outbox.counters.malformed += 1,
        }
    }

    /// Repeats an answer that no registration keeps.
    fn repeat_answer(&mut self, arrival: &Arrival<'_>) -> bool {
        let Arrival {
            now,
            from,
            datagram,
            message,
        } = *arrival;
        let Some(bytes) = self.answers.find(now, from, message.mid, datagram) else {
            return false;
        };
        let bytes = bytes.to_vec();
        self.outbox.counters.duplicates += 1;
        self.outbox.send(from, bytes);
        true
    }

    /// Says that a message means nothing here, if the rate allows.
    pub(super) fn reset(&mut self, now: Millis, to: Peer, mid: u16) {
        if self.resets.take(now) {
            self.outbox.send(to, Builder::empty(Kind::Rst, mid));
        } else {
            self.outbox.counters.answers_withheld += 1;
        }
    }

    /// Answers a request with a bare code, if the rate allows. It is no larger than the request was.
    pub(super) fn decline(&mut self, arrival: &Arrival<'_>, code: Code) {
        self.outbox.counters.bad_requests += 1;
        let message = &arrival.message;
        if !self.refusals.take(arrival.now) {
            self.outbox.counters.answers_withheld += 1;
            return;
        }
        let bytes = self.answer(message.kind, message.mid, message.token, code).done();
        self.outbox.send(arrival.from, bytes);
    }
}
