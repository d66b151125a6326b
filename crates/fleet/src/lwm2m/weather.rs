//! Bad radio weather between a device and its server: datagrams get lost, doubled and late, and so out of order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use super::random::Random;

/// How many datagrams of one device are under way at most; more are lost.
const UNDER_WAY: usize = 256;

/// How bad it is, in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Weather {
    /// How many of a hundred datagrams get lost.
    pub loss: u8,
    /// How many of a hundred arrive twice.
    pub duplicate: u8,
    /// The least time and the most that a datagram takes.
    pub delay: (Duration, Duration),
}

/// Which way a datagram goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    ToServer,
    ToDevice,
}

/// When it arrives, its place among those of that moment, and what it is.
type UnderWay = (Instant, u64, Way, Vec<u8>);

/// The datagrams of one device that are under way.
#[derive(Debug)]
pub(super) struct Air {
    weather: Weather,
    random: Random,
    /// What was put in so far: of two that are due at once the first comes first.
    order: u64,
    under_way: BinaryHeap<Reverse<UnderWay>>,
}

impl Air {
    pub(super) const fn new(weather: Weather, seed: u64) -> Self {
        Self {
            weather,
            random: Random::new(seed),
            order: 0,
            under_way: BinaryHeap::new(),
        }
    }

    /// A datagram sets out.
    pub(super) fn put(&mut self, way: Way, datagram: &[u8], now: Instant) {
        if self.random.chance(self.weather.loss) {
            return;
        }
        let copies = 1 + usize::from(self.random.chance(self.weather.duplicate));
        for _ in 0..copies {
            if self.under_way.len() < UNDER_WAY {
                let (least, most) = self.weather.delay;
                let at = now + self.random.between(least, most);
                self.order += 1;
                self.under_way
                    .push(Reverse((at, self.order, way, datagram.to_vec())));
            }
        }
    }

    /// A datagram that has arrived by now.
    pub(super) fn arrived(&mut self, now: Instant) -> Option<(Way, Vec<u8>)> {
        let due = self.due().is_some_and(|at| at <= now);
        let Reverse((_, _, way, datagram)) = due.then(|| self.under_way.pop())??;
        Some((way, datagram))
    }

    /// When the next one arrives.
    pub(super) fn due(&self) -> Option<Instant> {
        self.under_way.peek().map(|Reverse((at, ..))| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(weather: Weather, count: u8) -> Vec<u8> {
        let now = Instant::now();
        let mut air = Air::new(weather, 11);
        for number in 0..count {
            air.put(Way::ToServer, &[number], now);
        }
        let later = now + Duration::from_secs(60);
        std::iter::from_fn(|| air.arrived(later))
            .map(|(_, datagram)| datagram[0])
            .collect()
    }

    #[test]
    fn fair_weather_changes_nothing() {
        assert_eq!(arrivals(Weather::default(), 100), (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn loss_loses_and_duplicates_double() {
        let lost = arrivals(
            Weather {
                loss: 50,
                ..Weather::default()
            },
            200,
        );
        assert!((60..140).contains(&lost.len()), "{}", lost.len());
        let doubled = arrivals(
            Weather {
                duplicate: 100,
                ..Weather::default()
            },
            3,
        );
        assert_eq!(doubled, [0, 0, 1, 1, 2, 2]);
    }

    #[test]
    fn delays_bring_disorder_and_nothing_comes_early() {
        let (least, most) = (Duration::from_millis(10), Duration::from_millis(500));
        let weather = Weather {
            delay: (least, most),
            ..Weather::default()
        };
        let mut row = arrivals(weather, 100);
        assert!(!row.is_sorted());
        row.sort_unstable();
        assert_eq!(row, (0..100).collect::<Vec<_>>());
        let now = Instant::now();
        let mut air = Air::new(weather, 1);
        air.put(Way::ToDevice, &[1], now);
        assert_eq!(air.arrived(now + least / 2), None);
        assert!(air.arrived(now + most).is_some());
    }

    #[test]
    fn what_is_under_way_is_limited() {
        let now = Instant::now();
        let mut air = Air::new(Weather::default(), 1);
        for _ in 0..2 * UNDER_WAY {
            air.put(Way::ToServer, &[0], now);
        }
        assert_eq!(air.under_way.len(), UNDER_WAY);
    }
}
