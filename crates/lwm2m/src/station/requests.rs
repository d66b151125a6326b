//! Requests of devices: registration, update, leave. Everything else is a path that is not there.

use super::Station;
use super::incoming::Arrival;
use crate::arguments::Arguments;
use crate::coap::{Block, Code, option};
use crate::exchanges::{Asked, Exchange};
use crate::location::Location;
use crate::output::{Access, Output};
use crate::recent::{Answer, print};
use crate::registry::Slot;

/// Longest path that is looked at.
const SEGMENTS: usize = 3;

impl Station {
    pub(super) fn requested(&mut self, arrival: &Arrival<'_>) {
        let message = &arrival.message;
        let mut segments = [&[][..]; SEGMENTS];
        let mut count = 0;
        for (number, value) in message.options() {
            match number {
                option::PROXY_URI | option::PROXY_SCHEME => return self.decline(arrival, Code::NO_PROXY),
                number if option::is_unknown_critical(number) => {
                    return self.decline(arrival, Code::BAD_OPTION);
                }
                option::URI_PATH if count < SEGMENTS => {
                    segments[count] = value;
                    count += 1;
                }
                _ => {}
            }
        }
        match (message.code, &segments[..count]) {
            (Code::POST, [b"rd"]) => self.in_blocks(arrival, |station, block| {
                station.register(arrival, Access::Lwm2m, block)
            }),
            (Code::POST, [b"t", b"r"]) => self.in_blocks(arrival, |station, block| {
                station.register(arrival, Access::Oc, block)
            }),
            (Code::POST, [b"rd", name]) => {
                self.in_blocks(arrival, |station, _| station.update(arrival, name))
            }
            (Code::DELETE, [b"rd", name]) => self.leave(arrival, name),
            (_, [b"rd"] | [b"rd", _] | [b"t", b"r"]) => self.decline(arrival, Code::NOT_ALLOWED),
            _ => self.decline(arrival, Code::NOT_FOUND),
        }
    }

    /// Goes through a request that may come in blocks (RFC 7959 §2.5). What a registration's body says is not used, so
    /// blocks are not kept: each is asked to go on, and the last one is the request. Nothing is held for a stranger.
    fn in_blocks(&mut self, arrival: &Arrival<'_>, last: impl FnOnce(&mut Self, Option<Block>)) {
        let Ok(block) = arrival.message.block(option::BLOCK1) else {
            return self.decline(arrival, Code::BAD_REQUEST);
        };
        match block {
            Some(block) if block.offset() + arrival.message.payload.len() > self.settings.max_report => {
                self.decline(arrival, Code::TOO_LARGE);
            }
            Some(block) if block.more => self.go_on(arrival, block),
            block => last(self, block),
        }
    }

    fn go_on(&mut self, arrival: &Arrival<'_>, block: Block) {
        let message = &arrival.message;
        if !self.refusals.take(arrival.now) {
            self.outbox.counters.answers_withheld += 1;
            return;
        }
        let answer = self.answer(message.kind, message.mid, message.token, Code::CONTINUE);
        self.outbox
            .send(arrival.from, answer.uint(option::BLOCK1, block.value()).done());
    }

    fn register(&mut self, arrival: &Arrival<'_>, access: Access, block: Option<Block>) {
        let Arrival {
            now,
            from,
            datagram,
            message,
        } = *arrival;
        let print = print(datagram);
        if self.exchanges.is_registering(from, message.mid, print) {
            self.outbox.counters.duplicates += 1;
            return;
        }
        let arguments = Arguments::read(&message, self.settings.max_endpoint);
        let Some((arguments, endpoint)) = arguments.and_then(|mut arguments| {
            let endpoint = arguments.endpoint.take()?;
            Some((arguments, endpoint))
        }) else {
            return self.decline(arrival, Code::BAD_REQUEST);
        };
        if self.exchanges.len() >= self.settings.max_exchanges {
            self.outbox.counters.dropped_exchanges += 1;
            return;
        }
        let lifetime_secs = self.lifetime(arguments.lifetime_secs);
        let asked = Asked::Register {
            access,
            lifetime_secs,
            queues: arguments.queues() == Some(true),
            block,
        };
        let until = now.after(self.settings.answer_wait_ms);
        let (kind, mid, token) = (message.kind, message.mid, message.token);
        let exchange = self.exchanges.open(Exchange {
            peer: from,
            kind,
            mid,
            token,
            print,
            until,
            asked,
        });
        self.outbox.tell(Output::Register {
            exchange,
            peer: from,
            endpoint,
            lifetime_secs,
            binding: arguments.binding.unwrap_or_default(),
            access,
            version: arguments.version.unwrap_or_default(),
        });
    }

    /// A lifetime as the device named it; none, or none at all, is the standard one.
    fn lifetime(&self, named: Option<u32>) -> u32 {
        named
            .filter(|&secs| secs > 0)
            .unwrap_or(self.settings.default_lifetime_secs)
    }

    fn update(&mut self, arrival: &Arrival<'_>, name: &[u8]) {
        let Some(slot) = self.registered_at(arrival, name) else {
            return;
        };
        if self.repeat_to_device(arrival, slot) {
            return;
        }
        let Some(arguments) = Arguments::read(&arrival.message, self.settings.max_endpoint) else {
            return self.decline(arrival, Code::BAD_REQUEST);
        };
        let moved = self.registry.relocate(slot, arrival.from);
        self.update_device(arrival, slot, &arguments);
        self.answer_device(arrival, slot, Code::CHANGED);
        let woke = self.heard(arrival.now, slot);
        if moved || woke {
            self.send_once_more(slot);
        }
        self.observe_if_unanswered(arrival.now, slot);
        self.registry.reschedule(slot);
    }

    fn update_device(&mut self, arrival: &Arrival<'_>, slot: Slot, arguments: &Arguments) {
        let Some(device) = self.registry.get_mut(slot) else {
            return;
        };
        device.lifetime_secs = arguments
            .lifetime_secs
            .filter(|&secs| secs > 0)
            .unwrap_or(device.lifetime_secs);
        device.ends = arrival.now.after_secs(device.lifetime_secs);
        device.queues = arguments.queues().unwrap_or(device.queues);
        let (device, lifetime_secs) = (device.number, device.lifetime_secs);
        self.outbox.tell(Output::Updated {
            device,
            lifetime_secs,
        });
    }

    fn leave(&mut self, arrival: &Arrival<'_>, name: &[u8]) {
        let Some(slot) = self.registered_at(arrival, name) else {
            return;
        };
        let Arrival {
            now,
            from,
            datagram,
            message,
        } = *arrival;
        let bytes = self
            .answer(message.kind, message.mid, message.token, Code::DELETED)
            .done();
        let until = now.after(self.settings.exchange_lifetime_ms);
        self.answers.keep(
            (from, message.mid),
            print(datagram),
            until,
            &bytes,
            self.settings.max_exchanges,
        );
        self.outbox.send(from, bytes);
        self.part(slot, Some(crate::output::Parting::Deregistered));
    }

    /// The device registered at this location, if the request may be its own; else the request is declined.
    fn registered_at(&mut self, arrival: &Arrival<'_>, name: &[u8]) -> Option<Slot> {
        let slot = Location::parse(name).and_then(|location| self.registry.by_location(location));
        match slot {
            Some(slot) if self.may_come(slot, arrival.from) => return Some(slot),
            Some(_) => self.outbox.counters.wrong_peer += 1,
            None => self.outbox.counters.unknown_location += 1,
        }
        self.decline(arrival, Code::NOT_FOUND);
        None
    }

    /// Whether the device sent this very message before; if so, it gets the same answer, if there is one.
    pub(super) fn repeat_to_device(&mut self, arrival: &Arrival<'_>, slot: Slot) -> bool {
        let Some(device) = self.registry.get(slot) else {
            return true;
        };
        let Some(answer) = device
            .recents
            .find(arrival.now, arrival.message.mid, arrival.datagram)
        else {
            return false;
        };
        self.outbox.counters.duplicates += 1;
        match answer {
            Answer::Bytes(bytes) => self.outbox.send(arrival.from, bytes.to_vec()),
            Answer::Nothing => {}
        }
        true
    }

    /// Answers a registered device's request with a bare code, and remembers the answer.
    fn answer_device(&mut self, arrival: &Arrival<'_>, slot: Slot, code: Code) {
        let message = &arrival.message;
        let bytes = self.answer(message.kind, message.mid, message.token, code).done();
        self.remember(arrival, slot);
        if let Some(device) = self.registry.get_mut(slot) {
            device.recents.answered(message.mid, &bytes);
        }
        self.outbox.send(arrival.from, bytes);
    }

    /// Remembers a message of a device, without an answer yet.
    pub(super) fn remember(&mut self, arrival: &Arrival<'_>, slot: Slot) {
        let until = arrival.now.after(self.settings.exchange_lifetime_ms);
        let limit = self.settings.max_remembered;
        if let Some(device) = self.registry.get_mut(slot) {
            device
                .recents
                .remember(arrival.message.mid, arrival.datagram, until, limit);
        }
    }
}
