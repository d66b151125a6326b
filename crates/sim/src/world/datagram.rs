//! Datagrams between the server and devices that sleep: they are lost, come twice, and overtake each other.

use std::net::SocketAddr;

use super::{Todo, World};

impl World {
    /// When a datagram arrives that leaves now: not at all, or more than once. `way`: from or to this sleeper.
    pub(super) fn datagram_times(&mut self, way: &'static str, place: usize) -> Vec<u64> {
        let device = self.devices.len() + place;
        let copies = match self.rough {
            false => 1,
            true => *self.chance.pick(&[0, 1, 1, 1, 1, 1, 1, 1, 1, 2]),
        };
        match copies {
            0 => self.meet_of("datagram lost", device),
            1 => {}
            _ => self.meet_of("datagram doubled", device),
        }
        (0..copies).map(|_| self.datagram_time(way, device)).collect()
    }

    fn datagram_time(&mut self, way: &'static str, device: usize) -> u64 {
        let most = if self.rough && self.chance.percent(10) {
            6_000
        } else {
            100
        };
        let after = self.chance.below(most);
        if self.is_overtaking(way, device, after) {
            self.meet_of("datagram overtaken", device);
        }
        after
    }

    /// Whether what arrives after so long does so before something that left earlier on this way.
    pub(super) fn is_overtaking(&mut self, way: &'static str, device: usize, after: u64) -> bool {
        let at = self.now + after;
        let latest = self.latest.entry((way, device)).or_default();
        let overtakes = at < *latest;
        *latest = at.max(*latest);
        overtakes
    }

    /// The server sends one.
    pub(super) fn datagram_out(&mut self, to: SocketAddr, bytes: &[u8]) {
        let Some(place) = self.sleepers.iter().position(|sleeper| sleeper.address == to) else {
            return;
        };
        for after in self.datagram_times("to the device", place) {
            self.plan(after, Todo::DatagramToSleeper(place, bytes.to_vec()));
        }
    }

    /// One arrives at the server, if that is there.
    pub(super) fn datagram_in(&mut self, place: usize, bytes: Vec<u8>) {
        let from = self.sleepers[place].address;
        if let Some(life) = &self.life {
            life.datagram(from, bytes);
        }
    }
}
