//! What has to hold for any datagrams, between those of real devices, whole or damaged: only who has the key opens a session,
//! only what a device said is received, tables keep their limits, and after a long silence nothing is left.
//!
//! A story is read from bytes: a step, its argument, and for a datagram its length and bytes. In one, 32 bytes `cc` stand for the
//! last cookie. The fuzz target and the tests that replay its corpus both call [`check`].

use std::collections::HashMap;
use std::time::Duration;

use super::world::{Device, KEY, World, address, settings};
use crate::gateway::lwm2m::dtls::Why;
use crate::gateway::lwm2m::dtls::hello::ANSWER;

const COOKIE: [u8; 32] = [0xcc; 32];
const SAID: &[u8] = b"said by a device";
/// Sessions, and handshakes under way, at the most.
const LIMIT: usize = 2;
/// Steps of one story, at the most: handshakes are slow.
const MOST: usize = 64;

/// Plays a story to its end.
pub(crate) fn check(script: &[u8]) {
    let mut story = Story::new();
    let (mut rest, mut steps) = (script, 0);
    while let [step, which, after @ ..] = rest {
        rest = story.step(*step, *which, after);
        story.holds();
        steps += 1;
        if steps == MOST {
            break;
        }
    }
    story.end();
}

struct Story {
    world: World,
    devices: HashMap<u8, Device>,
    cookie: Option<[u8; 32]>,
    seen: Vec<Vec<u8>>,
    said: usize,
}

impl Story {
    fn new() -> Self {
        let mut settings = settings();
        (settings.max_sessions, settings.max_handshakes) = (LIMIT, LIMIT);
        Self {
            world: World::new(settings),
            devices: HashMap::new(),
            cookie: None,
            seen: Vec::new(),
            said: 0,
        }
    }

    /// Does one step; what is left of the script after it.
    fn step<'a>(&mut self, step: u8, which: u8, rest: &'a [u8]) -> &'a [u8] {
        let at = address(u16::from(which % 4) + 1);
        match step % 10 {
            0 => {
                let (length, rest) = rest.split_first().unwrap_or((&0, rest));
                let (datagram, rest) = rest.split_at(rest.len().min(usize::from(*length)));
                let datagram = self.named(datagram);
                self.world.put(at, &datagram);
                return rest;
            }
            1 => drop(self.devices.insert(which % 4, self.device(which))),
            2 => self.carry(which, |_| {}),
            3 => {
                let [place, change, rest @ ..] = rest else {
                    return rest;
                };
                self.carry(which, |bytes| {
                    let place = usize::from(*place) % bytes.len();
                    bytes[place] ^= change;
                });
                return rest;
            }
            4 => self.pass(u64::from(which) * 100),
            5 => self.deliver(),
            6 => self.say(which),
            7 => self.replay(which),
            8 => self.settle(which),
            _ => self.pass(u64::from(which) * 20_000),
        }
        rest
    }

    /// Of four devices the last has another key, and the one before is unknown.
    fn device(&self, which: u8) -> Device {
        let (identity, key) = match which % 4 {
            2 => ("nobody", KEY),
            3 => ("dev-3", b"another key, 16.".as_slice()),
            n => (["dev-0", "dev-1"][usize::from(n)], KEY),
        };
        Device::new(self.world.now, address(u16::from(which % 4) + 1), identity, key)
    }

    fn named(&self, datagram: &[u8]) -> Vec<u8> {
        let mut named = datagram.to_vec();
        let place = named.windows(32).position(|window| window == COOKIE);
        if let (Some(place), Some(cookie)) = (place, self.cookie) {
            named[place..place + 32].copy_from_slice(&cookie);
        }
        named
    }

    fn carry(&mut self, which: u8, change: impl FnOnce(&mut Vec<u8>)) {
        let Some(device) = self.devices.get_mut(&(which % 4)) else {
            return;
        };
        let (at, Some(mut bytes)) = (device.at, device.out()) else {
            return;
        };
        if self.seen.len() < MOST {
            self.seen.push(bytes.clone());
        }
        change(&mut bytes);
        self.world.put(at, &bytes);
    }

    fn pass(&mut self, ms: u64) {
        self.world.pass(Duration::from_millis(ms));
        let now = self.world.now;
        self.devices.retain(|_, device| device.tick(now));
    }

    fn deliver(&mut self) {
        for (to, bytes) in std::mem::take(&mut self.world.sent) {
            if bytes.len() == ANSWER {
                self.cookie = bytes[ANSWER - 32..].try_into().ok();
            }
            let now = self.world.now;
            let device = self.devices.values_mut().find(|device| device.at == to);
            if let Some(device) = device {
                device.take(now, &bytes);
            }
        }
    }

    fn settle(&mut self, which: u8) {
        if let Some(mut device) = self.devices.remove(&(which % 4)) {
            self.world.settle(&mut device);
            self.devices.insert(which % 4, device);
        }
    }

    fn say(&mut self, which: u8) {
        let device = self.devices.get_mut(&(which % 4));
        if let Some(device) = device.filter(|device| device.connected && !device.told_bye) {
            device.say(SAID);
            self.said += 1;
        }
        if let Some((session, _)) = self.world.opened.last() {
            let session = *session;
            self.world.send(session, b"said by the server");
        }
    }

    /// What a device sent before comes again, from any address.
    fn replay(&mut self, which: u8) {
        let count = self.seen.len().max(1);
        if let Some(bytes) = self.seen.get(usize::from(which) / 4 % count).cloned() {
            self.world.put(address(u16::from(which % 4) + 1), &bytes);
        }
    }

    fn holds(&self) {
        let known = |(_, identity): &(u64, String)| identity == "dev-0" || identity == "dev-1";
        assert!(self.world.opened.iter().all(known), "{:?}", self.world.opened);
        assert!(
            self.world.received.len() <= self.said,
            "more was received than said"
        );
        assert!(self.world.received.iter().all(|(_, bytes)| bytes == SAID));
        // No device here says that it goes.
        let ended = |(_, why): &(u64, Why)| matches!(why, Why::ByPeer | Why::Asked);
        assert!(!self.world.closed.iter().any(ended), "{:?}", self.world.closed);
        assert!(self.world.dtls.handshakes() <= LIMIT);
        assert!(self.world.opened.len() <= self.world.closed.len() + LIMIT);
    }

    fn end(&mut self) {
        for _ in 0..20 {
            self.world.pass(Duration::from_secs(3600));
        }
        self.holds();
        assert_eq!(self.world.dtls.handshakes(), 0, "handshakes without an end");
        assert_eq!(
            self.world.opened.len(),
            self.world.closed.len(),
            "sessions without an end"
        );
    }
}
