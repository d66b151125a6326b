//! A network that loses, repeats and delays, between a station and its devices; and the time that both go by. All of it
//! follows from one seed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A small generator (xorshift64*): what the network does has to be told again from its seed, no more.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }

    pub(crate) fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

/// Where a datagram is on its way to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Parcel {
    /// To the station, from this port of this client.
    Up {
        client: usize,
        port: u16,
        bytes: Vec<u8>,
    },
    /// To this port of this client.
    Down {
        client: usize,
        port: u16,
        bytes: Vec<u8>,
    },
}

/// Chances in percent, and the longest delay.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weather {
    pub(crate) loss: u64,
    pub(crate) repeat: u64,
    pub(crate) delay_ms: u64,
}

pub(crate) struct Network {
    pub(crate) dice: Dice,
    pub(crate) weather: Weather,
    under_way: BinaryHeap<Reverse<(u64, u64, Parcel)>>,
    sent: u64,
}

impl Network {
    pub(crate) fn new(seed: u64, weather: Weather) -> Self {
        Self {
            dice: Dice::new(seed),
            weather,
            under_way: BinaryHeap::new(),
            sent: 0,
        }
    }

    pub(crate) fn post(&mut self, now: u64, parcel: &Parcel) {
        let copies = if self.dice.percent(self.weather.repeat) {
            2
        } else {
            1
        };
        for _ in 0..copies {
            if !self.dice.percent(self.weather.loss) {
                let at = now + 1 + self.dice.below(self.weather.delay_ms);
                self.sent += 1;
                self.under_way.push(Reverse((at, self.sent, parcel.clone())));
            }
        }
    }

    pub(crate) fn next_at(&self) -> Option<u64> {
        self.under_way.peek().map(|Reverse((at, _, _))| *at)
    }

    pub(crate) fn arrive(&mut self, now: u64) -> Option<Parcel> {
        if self.next_at()? > now {
            return None;
        }
        self.under_way.pop().map(|Reverse((_, _, parcel))| parcel)
    }
}
