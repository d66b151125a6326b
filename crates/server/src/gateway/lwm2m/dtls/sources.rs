//! How many hellos one source may send. A table of one size, whatever number of sources is forged.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Instant;

/// Slots for sources that sent a hello lately.
const SLOTS: usize = 4096;

/// What is one sender for the limits: an address of IPv4, the upper half of one of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Source(IpAddr);

impl From<IpAddr> for Source {
    fn from(ip: IpAddr) -> Self {
        Self(match ip.to_canonical() {
            IpAddr::V4(ip) => IpAddr::V4(ip),
            IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
        })
    }
}

/// A token bucket per source.
///
/// A source whose slot another one needs is forgotten, and starts again with a full bucket: a flood of forged
/// sources takes nothing from a real one.
pub(super) struct Rates {
    slots: Box<[Slot]>,
    hasher: RandomState,
    per_second: f64,
}

#[derive(Clone, Copy)]
struct Slot {
    source: u64,
    left: f64,
    at: Instant,
}

impl Rates {
    /// `per_second` on average, twice that at once.
    pub(super) fn new(now: Instant, per_second: u32) -> Self {
        let per_second = f64::from(per_second);
        let slot = Slot {
            source: 0,
            left: per_second * 2.0,
            at: now,
        };
        Self {
            slots: vec![slot; SLOTS].into(),
            hasher: RandomState::new(),
            per_second,
        }
    }

    /// Takes one hello of `source`, if it may still send one.
    pub(super) fn take(&mut self, now: Instant, source: Source) -> bool {
        let full = self.per_second * 2.0;
        let hash = self.hasher.hash_one(source);
        let slot = &mut self.slots[hash as usize % SLOTS];
        if slot.source != hash {
            *slot = Slot {
                source: hash,
                left: full,
                at: now,
            };
        }
        let gained = now.saturating_duration_since(slot.at).as_secs_f64() * self.per_second;
        slot.left = (slot.left + gained).min(full);
        slot.at = slot.at.max(now);
        let enough = slot.left >= 1.0;
        if enough {
            slot.left -= 1.0;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn source(ip: &str) -> Source {
        Source::from(ip.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn a_source_has_its_rate_and_takes_nothing_from_another() {
        let now = Instant::now();
        let mut rates = Rates::new(now, 5);
        let taken = (0..100).filter(|_| rates.take(now, source("127.0.0.1"))).count();
        assert_eq!(taken, 10);
        assert!(rates.take(now, source("127.0.0.2")));
        let later = now + Duration::from_secs(1);
        let taken = (0..100)
            .filter(|_| rates.take(later, source("127.0.0.1")))
            .count();
        assert_eq!(taken, 5);
    }

    #[test]
    fn one_network_of_ipv6_is_one_source_and_ipv4_inside_is_ipv4() {
        assert_eq!(source("2001:db8:1:2:3::4"), source("2001:db8:1:2::"));
        assert_ne!(source("2001:db8:1:2::"), source("2001:db8:1:3::"));
        assert_eq!(source("::ffff:127.0.0.1"), source("127.0.0.1"));
    }
}
