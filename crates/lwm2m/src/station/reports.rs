//! Reports of devices: notifications with the token of their observation (RFC 7641), large ones fetched in blocks.

use super::Station;
use super::incoming::Arrival;
use crate::assembly::{Assembly, Joined};
use crate::coap::{Block, Builder, Kind, Message, Token, option};
use crate::device::{Device, Observation};
use crate::exchanges::{Asked, Exchange};
use crate::flight::Job;
use crate::location::Location;
use crate::order::Newest;
use crate::output::{ExchangeId, Output};
use crate::peer::{DeviceNumber, Peer};
use crate::recent::print;
use crate::registry::Slot;
use crate::settings::Reordered;
use crate::time::Millis;

/// A report that is all there, and what its notification has to be answered by.
struct Complete {
    from: Peer,
    kind: Kind,
    mid: u16,
    sequence: Option<u32>,
    payload: Vec<u8>,
}

impl Station {
    /// Acknowledges a report, once it is committed. The acknowledgement is repeated if the report comes again.
    pub fn acknowledge(&mut self, exchange: ExchangeId) {
        let Some(exchange) = self.exchanges.close(exchange) else {
            return;
        };
        let Asked::Report { device, location } = exchange.asked else {
            return;
        };
        let bytes = Builder::empty(Kind::Ack, exchange.mid);
        if let Some(slot) = self.reporter(device, location)
            && let Some(device) = self.registry.get_mut(slot)
        {
            device.unanswered = device.unanswered.saturating_sub(1);
            device.recents.answered(exchange.mid, &bytes);
        }
        self.outbox.send(exchange.peer, bytes);
    }

    /// Forgets that a report came, so that it is taken when it comes again.
    pub(super) fn unsay(&mut self, exchange: &Exchange, device: DeviceNumber, location: Location) {
        if let Some(slot) = self.reporter(device, location)
            && let Some(device) = self.registry.get_mut(slot)
        {
            device.unanswered = device.unanswered.saturating_sub(1);
            device.recents.unsay(exchange.mid);
            device.newest = None;
        }
    }

    fn reporter(&self, device: DeviceNumber, location: Location) -> Option<Slot> {
        let slot = self.registry.by_number(device)?;
        (self.registry.get(slot)?.location == location).then_some(slot)
    }

    /// Takes a message with the token of the device's observation.
    pub(super) fn report(&mut self, arrival: &Arrival<'_>, slot: Slot) {
        let message = &arrival.message;
        if !message.code.is_success() {
            self.observation(slot, Observation::Refused);
            return self.drop_report(arrival, slot);
        }
        if !self.is_news(arrival, slot) {
            self.outbox.counters.reordered += 1;
            return self.drop_report(arrival, slot);
        }
        if message.kind == Kind::Con && !self.has_room(slot) {
            self.outbox.counters.dropped_exchanges += 1;
            return;
        }
        let moved = self.registry.relocate(slot, arrival.from);
        if !self.observed_after_all(arrival.now, slot) && moved {
            self.send_once_more(slot);
        }
        self.count_sequence(arrival, slot);
        self.heard_report(arrival.now, slot);
        self.remember(arrival, slot);
        match message.block(option::BLOCK2) {
            Ok(Some(block)) if block.more || block.number > 0 => self.begin_assembly(arrival, slot, block),
            Ok(_) => {
                let complete = Complete {
                    from: arrival.from,
                    kind: message.kind,
                    mid: message.mid,
                    sequence: message.uint(option::OBSERVE),
                    payload: message.payload.to_vec(),
                };
                self.tell_report(arrival.now, slot, complete, print(arrival.datagram));
            }
            Err(()) => self.lose_report(arrival, slot),
        }
    }

    /// A report that is of no use: remembered and acknowledged, so that it does not come again.
    fn drop_report(&mut self, arrival: &Arrival<'_>, slot: Slot) {
        let mid = arrival.message.mid;
        self.remember(arrival, slot);
        if arrival.message.kind == Kind::Con {
            let bytes = Builder::empty(Kind::Ack, mid);
            if let Some(device) = self.registry.get_mut(slot) {
                device.recents.answered(mid, &bytes);
            }
            self.outbox.send(arrival.from, bytes);
        }
    }

    fn lose_report(&mut self, arrival: &Arrival<'_>, slot: Slot) {
        self.outbox.counters.reports_lost += 1;
        self.drop_report(arrival, slot);
    }

    fn is_news(&self, arrival: &Arrival<'_>, slot: Slot) -> bool {
        let Some(device) = self.registry.get(slot) else {
            return false;
        };
        let sequence = arrival.message.uint(option::OBSERVE);
        match (self.settings.reordered, device.newest, sequence) {
            (Reordered::Drop, Some(newest), Some(sequence)) => {
                newest.is_before(sequence, arrival.now, device.sequence_bits())
            }
            (Reordered::Drop | Reordered::Deliver, _, _) => true,
        }
    }

    fn count_sequence(&mut self, arrival: &Arrival<'_>, slot: Slot) {
        if let Some(device) = self.registry.get_mut(slot)
            && let Some(sequence) = arrival.message.uint(option::OBSERVE)
        {
            device.newest = Some(Newest::new(sequence, arrival.now));
        }
    }

    fn has_room(&self, slot: Slot) -> bool {
        let unanswered = self.registry.get(slot).map_or(0, |device| device.unanswered);
        unanswered < self.settings.max_exchanges_per_device
            && self.exchanges.len() < self.settings.max_exchanges
    }

    /// A report proves the observation, whether or not its answer came; true if it was still being waited for.
    fn observed_after_all(&mut self, now: Millis, slot: Slot) -> bool {
        if let Some(device) = self.registry.get_mut(slot) {
            device.observation = Observation::InForce;
        }
        let waited = self.is_in_flight(slot, |job| matches!(job, Job::Observe));
        if waited {
            self.land(slot);
            self.launch_next(now, slot);
        }
        waited
    }

    fn tell_report(&mut self, now: Millis, slot: Slot, complete: Complete, print: u64) {
        let until = now.after(self.settings.answer_wait_ms);
        let Some(device) = self.registry.get_mut(slot) else {
            return;
        };
        let (number, location) = (device.number, device.location);
        let Complete {
            from,
            kind,
            mid,
            sequence,
            payload,
        } = complete;
        let exchange = (kind == Kind::Con).then(|| {
            device.unanswered += 1;
            let asked = Asked::Report {
                device: number,
                location,
            };
            let token = Token::default();
            self.exchanges.open(Exchange {
                peer: from,
                kind,
                mid,
                token,
                print,
                until,
                asked,
            })
        });
        self.outbox.tell(Output::Report {
            exchange,
            device: number,
            payload,
            sequence,
        });
    }

    fn begin_assembly(&mut self, arrival: &Arrival<'_>, slot: Slot, block: Block) {
        self.drop_assembly(slot);
        let begun = Assembly::begin(arrival.from, &arrival.message, block);
        let Some(assembly) = begun.filter(|_| self.assemblies < self.settings.max_assemblies) else {
            return self.lose_report(arrival, slot);
        };
        let Some(device) = self.registry.get_mut(slot) else {
            return;
        };
        device.assembly = Some(Box::new(assembly));
        device.lane.get_or_insert_default().waiting.push_front(Job::Fetch);
        self.assemblies += 1;
        self.launch_next(arrival.now, slot);
    }

    /// Takes a block that was fetched.
    pub(super) fn fetched(&mut self, now: Millis, slot: Slot, message: &Message<'_>) {
        let limit = self.settings.max_report;
        let Some(assembly) = self
            .registry
            .get_mut(slot)
            .and_then(|device| device.assembly.as_mut())
        else {
            return;
        };
        let joined = if message.code.is_success() {
            assembly.join(message)
        } else {
            Joined::Broken
        };
        let fits = assembly.body.len() <= limit;
        match joined {
            Joined::More if fits => self.launch(now, slot, Job::Fetch),
            Joined::Whole if fits => self.finish_assembly(now, slot),
            Joined::More | Joined::Whole => self.refuse_assembly(slot),
            Joined::Broken => self.drop_assembly(slot),
        }
    }

    fn finish_assembly(&mut self, now: Millis, slot: Slot) {
        let Some(assembly) = self.take_assembly(slot) else {
            return;
        };
        let Assembly {
            from,
            kind,
            mid,
            sequence,
            body,
            ..
        } = assembly;
        let complete = Complete {
            from,
            kind,
            mid,
            sequence,
            payload: body,
        };
        self.tell_report(now, slot, complete, 0);
    }

    /// A report above the limit: acknowledged, so that it does not come again.
    fn refuse_assembly(&mut self, slot: Slot) {
        self.outbox.counters.reports_lost += 1;
        let Some(assembly) = self.take_assembly(slot) else {
            return;
        };
        if assembly.kind == Kind::Con {
            let bytes = Builder::empty(Kind::Ack, assembly.mid);
            if let Some(device) = self.registry.get_mut(slot) {
                device.recents.answered(assembly.mid, &bytes);
            }
            self.outbox.send(assembly.from, bytes);
        }
    }

    /// Gives up a report whose blocks do not come; its notification may come again.
    pub(super) fn drop_assembly(&mut self, slot: Slot) {
        let Some(assembly) = self.take_assembly(slot) else {
            return;
        };
        self.outbox.counters.reports_lost += 1;
        if self.is_in_flight(slot, |job| matches!(job, Job::Fetch)) {
            self.land(slot);
        }
        let Some(device) = self.registry.get_mut(slot) else {
            return;
        };
        device.recents.unsay(assembly.mid);
        device.newest = None;
        if let Some(lane) = device.lane.as_mut() {
            lane.waiting.retain(|job| !matches!(job, Job::Fetch));
        }
    }

    fn is_in_flight(&self, slot: Slot, is: fn(&Job) -> bool) -> bool {
        self.registry
            .get(slot)
            .and_then(Device::flight)
            .is_some_and(|flight| is(&flight.job))
    }

    fn take_assembly(&mut self, slot: Slot) -> Option<Assembly> {
        let assembly = self.registry.get_mut(slot)?.assembly.take()?;
        self.assemblies -= 1;
        Some(*assembly)
    }
}
