//! A story for a station: steps of datagrams, time, writes and answers, read from bytes. The fuzz target and the test that
//! replays the corpus both call this.
//!
//! A step is one byte that says what happens, and for a datagram a byte of length and its bytes. In a datagram the id
//! `dddd`, the token `eeeeeeeeeeeeeeee` and the location `aaaaaaaaaa` stand for those that the station gave last, which
//! nobody could guess.

use downlink_lwm2m::coap::{Message, option};
use downlink_lwm2m::{DeviceNumber, ExchangeId, Millis, Output, Peer, Refusal, Settings, Station, WorkMode};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};

const PLACEHOLDER_MID: [u8; 2] = [0xdd; 2];
const PLACEHOLDER_TOKEN: [u8; 8] = [0xee; 8];
const PLACEHOLDER_LOCATION: &[u8] = b"aaaaaaaaaa";

struct Story {
    station: Station,
    now: Millis,
    exchanges: Vec<ExchangeId>,
    mid: [u8; 2],
    token: [u8; 8],
    location: Vec<u8>,
    tags: u64,
    open: BTreeSet<u64>,
    came: usize,
    went: usize,
    registered: bool,
}

fn station(seed: u8) -> Station {
    let settings = Settings {
        max_report: 2048,
        max_write: 2048,
        block_size: 64,
        ..Settings::default()
    };
    let mut station = Station::new(settings, [seed; 32]);
    station.session_opened(1, DeviceNumber(1));
    station
}

/// Plays a story to its end.
pub(crate) fn check(script: &[u8]) {
    let mut story = Story::new();
    let mut rest = script;
    while let Some((&step, after)) = rest.split_first() {
        rest = story.step(step, after);
        story.take_outputs();
    }
    story.end();
}

impl Story {
    fn new() -> Self {
        Self {
            station: station(7),
            now: Millis(0),
            exchanges: Vec::new(),
            mid: [0; 2],
            token: [0; 8],
            location: Vec::new(),
            tags: 0,
            open: BTreeSet::new(),
            came: 0,
            went: 0,
            registered: false,
        }
    }

    /// Does one step; what is left of the script after it.
    fn step<'a>(&mut self, step: u8, rest: &'a [u8]) -> &'a [u8] {
        let (what, which) = (step >> 4, u64::from(step & 0x0f));
        match what {
            0..=6 => return self.datagram(which, rest),
            7 => self.pass(1 << which),
            8 => self.pass(which * 10_000),
            9 | 10 => self.write(which, 8),
            11 => self.write(which, 150),
            12 => self.accept(which),
            13 => self.refuse(which),
            14 => self.acknowledge(),
            _ => self.other(which),
        }
        rest
    }

    fn datagram<'a>(&mut self, from: u64, rest: &'a [u8]) -> &'a [u8] {
        let Some((&length, rest)) = rest.split_first() else {
            return rest;
        };
        let (datagram, rest) = rest.split_at(rest.len().min(usize::from(length)));
        let datagram = self.named(datagram);
        self.came += datagram.len();
        let peer = match from {
            0 => Peer::Secure(1),
            1 => Peer::Secure(2),
            port => Peer::Plain(SocketAddr::from((Ipv4Addr::LOCALHOST, port as u16))),
        };
        self.station.receive(self.now, peer, &datagram);
        rest
    }

    fn named(&self, datagram: &[u8]) -> Vec<u8> {
        let mut named = datagram.to_vec();
        if named.get(2..4) == Some(&PLACEHOLDER_MID) {
            named[2..4].copy_from_slice(&self.mid);
        }
        if named.get(4..12) == Some(&PLACEHOLDER_TOKEN) {
            named[4..12].copy_from_slice(&self.token);
        }
        let place = named
            .windows(10)
            .position(|window| window == PLACEHOLDER_LOCATION);
        if let (Some(place), 10) = (place, self.location.len()) {
            named[place..place + 10].copy_from_slice(&self.location);
        }
        named
    }

    fn pass(&mut self, ms: u64) {
        self.now = self.now.after(ms);
        self.station.tick(self.now);
    }

    fn write(&mut self, device: u64, size: usize) {
        let payload = vec![9; size];
        self.tags += 1;
        if self
            .station
            .write(
                self.now,
                DeviceNumber(device as i64 & 3),
                self.tags,
                payload,
                Some(1),
            )
            .is_ok()
        {
            self.open.insert(self.tags);
        }
    }

    fn accept(&mut self, device: u64) {
        let Some(exchange) = self.exchanges.pop() else {
            return;
        };
        let mode = match device % 3 {
            0 => WorkMode::Psm,
            1 => WorkMode::Drx,
            _ => WorkMode::Edrx { cycle_secs: 20 },
        };
        self.registered |= self
            .station
            .accept(self.now, exchange, DeviceNumber(device as i64 & 3), mode);
    }

    fn refuse(&mut self, why: u64) {
        let Some(exchange) = self.exchanges.pop() else {
            return;
        };
        let why = match why % 3 {
            0 => Refusal::Unknown,
            1 => Refusal::Busy,
            _ => Refusal::Internal,
        };
        self.station.refuse(exchange, why);
    }

    fn acknowledge(&mut self) {
        if let Some(exchange) = self.exchanges.pop() {
            self.station.acknowledge(exchange);
        }
    }

    fn other(&mut self, which: u64) {
        let device = DeviceNumber(which as i64 & 3);
        match which >> 2 {
            3 if which == 15 => self.restart(),
            0 => self.station.forget(device),
            1 => self.station.report_has_more(self.now, device, true),
            2 => self.station.report_has_more(self.now, device, false),
            _ => {
                self.station.session_ended(self.now, 1);
                self.station.session_opened(2, device);
            }
        }
    }

    /// Another process takes up the registrations; what was under way is gone.
    fn restart(&mut self) {
        let kept = (0..4).filter_map(|n| self.station.registration(self.now, DeviceNumber(n)));
        let kept: Vec<_> = kept.collect();
        self.station = station(kept.len() as u8);
        self.open.clear();
        self.exchanges.clear();
        for registration in &kept {
            assert!(self.station.restore(self.now, registration));
        }
    }

    fn take_outputs(&mut self) {
        while let Some(output) = self.station.poll() {
            match output {
                Output::Send { bytes, .. } => self.sent(&bytes),
                Output::Register { exchange, .. }
                | Output::Report {
                    exchange: Some(exchange),
                    ..
                } => {
                    self.exchanges.push(exchange);
                }
                Output::Written { tag, .. } => assert!(self.open.remove(&tag), "write {tag} ended twice"),
                Output::Report { exchange: None, .. }
                | Output::Awake { .. }
                | Output::Asleep { .. }
                | Output::Updated { .. }
                | Output::Gone { .. } => {}
            }
        }
        assert!(
            self.registered || self.went <= self.came,
            "strangers got more than they sent"
        );
    }

    fn sent(&mut self, bytes: &[u8]) {
        self.went += bytes.len();
        let message = Message::parse(bytes).expect("the station writes messages");
        if let Some(location) = message.values(option::LOCATION_PATH).nth(1) {
            self.location = location.to_vec();
        }
        if message.token.number().is_some() {
            self.mid = message.mid.to_be_bytes();
            self.token.copy_from_slice(message.token.as_slice());
        }
    }

    /// After a long time everything has ended and nothing is left.
    fn end(&mut self) {
        for _ in 0..10_000 {
            let Some(due) = self.station.next_wake() else {
                break;
            };
            self.now = self.now.max(due);
            self.station.tick(self.now);
            self.take_outputs();
        }
        assert_eq!(self.station.next_wake(), None, "something is due for ever");
        assert_eq!(self.station.counters().registrations, 0);
        assert!(self.open.is_empty(), "writes that never ended: {:?}", self.open);
    }
}
