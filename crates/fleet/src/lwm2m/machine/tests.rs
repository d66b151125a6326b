//! The device against a server that is played by hand, in time that is made up.

mod commands;
mod older;
mod registration;
mod sleep;

use super::*;
use crate::lwm2m::Payload;
use crate::lwm2m::event::Command;
use crate::lwm2m::settings::{Code, Outcome, Write};
use crate::lwm2m::wire::{self, CoapOption, MessageClass, MessageType, Packet, RequestType};

const TOKEN: [u8; 2] = [0x5a, 1];
const WRITE: &[u8] = &[3, 0, 42, 1];
const RESULT: &[u8] = &[4, 0, 42, 0, 1];

/// A device and the time, and a server that is played by hand.
struct Bench {
    device: Machine,
    now: Instant,
    next_id: u16,
    events: Vec<Event>,
    sent: VecDeque<Packet>,
}

impl Bench {
    fn new(settings: Settings) -> Self {
        let now = Instant::now();
        let mut bench = Self {
            device: Machine::new(Arc::new(settings), 1, now),
            now,
            next_id: 0x2000,
            events: Vec::new(),
            sent: VecDeque::new(),
        };
        bench.device.tick(now);
        bench.collect();
        bench
    }

    fn collect(&mut self) {
        while let Some(output) = self.device.output() {
            match output {
                Output::Datagram(datagram) => self.sent.push_back(wire::read(&datagram).unwrap()),
                Output::Event(event) => self.events.push(event),
            }
        }
    }

    fn give(&mut self, packet: &Packet) {
        self.device.received(&wire::bytes(packet), self.now);
        self.collect();
    }

    fn next(&mut self) -> Packet {
        self.sent.pop_front().expect("the device sent something")
    }

    /// Lets time pass until the device has something to do, and does it.
    fn pass(&mut self) -> Duration {
        let due = self.device.due().expect("something is due");
        assert!(due > self.now, "it is due but not done");
        let passed = due - self.now;
        self.now = due;
        self.device.tick(due);
        self.collect();
        passed
    }

    fn pass_until(&mut self, event: &Event) {
        for _ in 0..100 {
            if self.events.contains(event) {
                return;
            }
            self.pass();
        }
        panic!("no {event:?} in {:?}", self.events);
    }

    fn answer(&mut self, to: &Packet, code: u8) {
        let mut answer = wire::message(
            MessageType::Acknowledgement,
            code.into(),
            to.header.message_id,
            to.get_token(),
        );
        if code == 0x41 {
            wire::set_all(&mut answer, CoapOption::LocationPath, &["rd", "k7"]);
        }
        self.give(&answer);
    }

    fn ask(&mut self, method: RequestType, path: &[&str]) -> Packet {
        self.next_id += 1;
        let mut packet = wire::message(
            MessageType::Confirmable,
            MessageClass::Request(method),
            self.next_id,
            &TOKEN,
        );
        wire::set_all(&mut packet, CoapOption::UriPath, path);
        packet
    }

    fn observe(&mut self, path: &[&str]) -> Packet {
        let mut observe = self.ask(RequestType::Get, path);
        wire::set_number(&mut observe, CoapOption::Observe, 0);
        self.give(&observe);
        self.next()
    }

    fn write(&mut self, payload: &[u8]) -> Packet {
        let mut write = self.ask(RequestType::Put, &["19", "1", "0"]);
        write.payload = payload.to_vec();
        self.give(&write);
        write
    }

    fn acknowledge(&mut self, packet: &Packet) {
        self.answer(packet, 0);
    }
}

fn binary() -> Settings {
    Settings {
        payload: Payload::Binary,
        ..Settings::new("861")
    }
}

fn ready(settings: Settings) -> Bench {
    let mut bench = Bench::new(settings);
    let register = bench.next();
    bench.answer(&register, 0x41);
    bench.observe(&["19", "0", "0"]);
    assert!(bench.device.is_ready());
    bench.events.clear();
    bench
}

fn code(packet: &Packet) -> u8 {
    packet.header.code.into()
}
