//! Sending to devices: one confirmable message at a time, sent again until it is answered (RFC 7252 §4.2).

use super::Station;
use crate::coap::{Block, Builder, Code, Kind, Token, option};
use crate::device::{Device, Observation};
use crate::flight::{Flight, Job, Progress, Write};
use crate::output::{Access, NotReachable, Outcome};
use crate::peer::DeviceNumber;
use crate::registry::Slot;
use crate::schedule::Resends;
use crate::time::Millis;

impl Station {
    pub(super) fn queue_write(
        &mut self,
        now: Millis,
        slot: Slot,
        tag: u64,
        payload: Vec<u8>,
        cap: Option<u8>,
    ) -> Result<(), NotReachable> {
        let limit = self.settings.max_waiting_writes;
        let block_size = self.settings.block_size;
        let device = self.registry.get_mut(slot).ok_or(NotReachable::Unregistered)?;
        if !device.hears(now) {
            return Err(NotReachable::Asleep);
        }
        let lane = device.lane.get_or_insert_default();
        if lane.waiting.len() >= limit {
            return Err(NotReachable::Full);
        }
        let blocks = (payload.len() > block_size).then(|| Progress {
            exponent: Block::exponent_within(block_size),
            offset: 0,
        });
        lane.waiting.push_back(Job::Write(Write {
            tag,
            payload,
            cap,
            blocks,
        }));
        Ok(())
    }

    pub(super) fn enqueue(&mut self, slot: Slot, job: Job) {
        if let Some(device) = self.registry.get_mut(slot) {
            device.lane.get_or_insert_default().waiting.push_back(job);
        }
    }

    /// The longest that one message to the device can take, in milliseconds: all its sends, and the wait for an answer that
    /// comes by itself. Nothing for a device that is not registered.
    pub fn longest_wait_ms(&self, device: DeviceNumber) -> u64 {
        let slot = self.registry.by_number(device);
        let Some(device) = slot.and_then(|slot| self.registry.get(slot)) else {
            return 0;
        };
        Resends::longest_ms(&self.settings.schedule, device.extra_wait_ms())
            .saturating_add(self.settings.separate_wait_ms)
    }

    /// Sends the device's next message, if none is in flight.
    pub(super) fn launch_next(&mut self, now: Millis, slot: Slot) {
        let Some(lane) = self
            .registry
            .get_mut(slot)
            .and_then(|device| device.lane.as_mut())
        else {
            return;
        };
        if lane.flight.is_some() {
            return;
        }
        match lane.waiting.pop_front() {
            Some(job) => self.launch(now, slot, job),
            None => {
                if let Some(device) = self.registry.get_mut(slot) {
                    device.lane = None;
                }
            }
        }
    }

    /// Sends a message that is the next of its device.
    pub(super) fn launch(&mut self, now: Millis, slot: Slot, job: Job) {
        let Some(token) = self.token_for(slot, &job) else {
            return;
        };
        let Some(mid) = self.next_mid(slot) else { return };
        let Some(device) = self.registry.get_mut(slot) else {
            return;
        };
        let cap = match &job {
            Job::Write(write) => write.cap,
            Job::Observe | Job::Fetch => None,
        };
        let bytes = datagram(device, &job, mid, token);
        let resends = Resends::begin(
            &self.settings.schedule,
            cap,
            device.extra_wait_ms(),
            &mut self.random,
        );
        let flight = Flight {
            job,
            mid,
            token,
            bytes: bytes.clone(),
            resends,
            acknowledged: false,
            due: resends.due(now),
        };
        device.lane.get_or_insert_default().flight = Some(flight);
        let peer = device.peer;
        self.registry.list_flight(slot);
        self.outbox.send(peer, bytes);
    }

    fn token_for(&mut self, slot: Slot, job: &Job) -> Option<u64> {
        if matches!(job, Job::Observe) {
            return self.registry.get(slot).map(|device| device.token);
        }
        loop {
            let token = self.random.next_u64();
            if self.registry.by_token(token).is_none() {
                return Some(token);
            }
        }
    }

    /// The next message id towards the device, one that is not in flight to its peer.
    fn next_mid(&mut self, slot: Slot) -> Option<u16> {
        let peer = self.registry.get(slot)?.peer;
        for _ in 0..=u16::MAX {
            let device = self.registry.get_mut(slot)?;
            let mid = device.next_mid;
            device.next_mid = mid.wrapping_add(1);
            if self.registry.by_flight(peer, mid).is_none() {
                return Some(mid);
            }
        }
        None
    }

    /// Sends what is in flight once more, outside the schedule: the device woke up, or is somewhere else now, and must not
    /// wait for the next resend, when it may be asleep again.
    pub(super) fn send_once_more(&mut self, slot: Slot) {
        let Some(device) = self.registry.get(slot) else {
            return;
        };
        let Some(flight) = device.flight().filter(|flight| !flight.acknowledged) else {
            return;
        };
        let (peer, bytes) = (device.peer, flight.bytes.clone());
        self.outbox.counters.retransmits += 1;
        self.outbox.send(peer, bytes);
    }

    /// The message in flight was not answered in time: it is sent again, or has timed out.
    pub(super) fn overdue(&mut self, now: Millis, slot: Slot) {
        let Some(device) = self.registry.get_mut(slot) else {
            return;
        };
        let peer = device.peer;
        let Some(flight) = device.flight_mut() else { return };
        if !flight.acknowledged && flight.resends.again() {
            flight.due = flight.resends.due(now);
            let bytes = flight.bytes.clone();
            self.outbox.counters.retransmits += 1;
            self.outbox.send(peer, bytes);
        } else {
            self.outbox.counters.timeouts += 1;
            self.timed_out(now, slot);
        }
    }

    /// A device that sleeps is asleep now, and what waits for it is not sent; others get what is next.
    fn timed_out(&mut self, now: Millis, slot: Slot) {
        let Some(device) = self.registry.get_mut(slot) else {
            return;
        };
        if device.sleeps() {
            device.hearing.until = now;
            self.empty_lane(slot, Outcome::TimedOut);
            self.tell_asleep(slot);
            return;
        }
        self.registry.unlist_flight(slot);
        let landed = self.registry.get_mut(slot).and_then(Device::land);
        match landed.map(|flight| flight.job) {
            Some(Job::Write(write)) => self.written(slot, write.tag, Outcome::TimedOut),
            Some(Job::Observe) => self.observation(slot, Observation::Unanswered),
            Some(Job::Fetch) => self.drop_assembly(slot),
            None => {}
        }
        self.launch_next(now, slot);
    }

    pub(super) fn written(&mut self, slot: Slot, tag: u64, outcome: Outcome) {
        if let Some(device) = self.registry.get(slot) {
            self.outbox.written(device.number, tag, outcome);
        }
    }

    pub(super) fn observation(&mut self, slot: Slot, observation: Observation) {
        if observation == Observation::Refused {
            self.outbox.counters.observe_refused += 1;
        }
        if let Some(device) = self.registry.get_mut(slot) {
            device.observation = observation;
        }
    }

    /// Asks again for an observation that was never answered. Not by the older access, whose devices forget a token
    /// when they are asked twice.
    pub(super) fn observe_if_unanswered(&mut self, now: Millis, slot: Slot) {
        let Some(device) = self.registry.get_mut(slot) else {
            return;
        };
        if device.observation == Observation::Unanswered && device.access == Access::Lwm2m {
            device.observation = Observation::Asked;
            self.enqueue(slot, Job::Observe);
            self.launch_next(now, slot);
        }
    }
}

/// The bytes of a message to a device.
fn datagram(device: &Device, job: &Job, mid: u16, token: u64) -> Vec<u8> {
    let begin = |code| Builder::new(Kind::Con, code, mid, Token::from_number(token));
    match (job, device.access) {
        (Job::Observe, Access::Lwm2m) => begin(Code::GET)
            .uint(option::OBSERVE, 0)
            .each(option::URI_PATH, &["19", "0", "0"])
            .uint(option::ACCEPT, option::OCTETS)
            .done(),
        (Job::Observe, Access::Oc) => begin(Code::GET)
            .uint(option::OBSERVE, 0)
            .each(option::URI_PATH, &["t", "d"])
            .done(),
        (Job::Write(write), Access::Lwm2m) => {
            write_payload(begin(Code::PUT).each(option::URI_PATH, &["19", "1", "0"]), write)
        }
        (Job::Write(write), Access::Oc) => {
            write_payload(begin(Code::POST).each(option::URI_PATH, &["t", "d"]), write)
        }
        (Job::Fetch, access) => fetch(begin(Code::GET), device, access),
    }
}

fn write_payload(message: Builder, write: &Write) -> Vec<u8> {
    let message = message.uint(option::CONTENT_FORMAT, option::OCTETS);
    let Some(progress) = write.blocks else {
        return message.payload(&write.payload);
    };
    let (block, part) = part(&write.payload, progress);
    let message = message.uint(option::BLOCK1, block.value());
    if block.number > 0 {
        return message.payload(part);
    }
    message
        .uint(option::SIZE1, write.payload.len() as u32)
        .payload(part)
}

/// The block of a payload that a transfer has got to.
pub(super) fn part(payload: &[u8], progress: Progress) -> (Block, &[u8]) {
    let rest = payload.get(progress.offset..).unwrap_or_default();
    let number = (progress.offset >> (4 + progress.exponent as usize)) as u32;
    let block = Block {
        number,
        more: false,
        exponent: progress.exponent,
    };
    let more = rest.len() > block.size();
    (Block { more, ..block }, &rest[..rest.len().min(block.size())])
}

fn fetch(message: Builder, device: &Device, access: Access) -> Vec<u8> {
    let block = device
        .assembly
        .as_ref()
        .map_or(0, |assembly| assembly.next().value());
    let message = match access {
        Access::Lwm2m => message
            .each(option::URI_PATH, &["19", "0", "0"])
            .uint(option::ACCEPT, option::OCTETS),
        Access::Oc => message.each(option::URI_PATH, &["t", "d"]),
    };
    message.uint(option::BLOCK2, block).done()
}
