//! A small source of random numbers that gives the same row for the same seed (splitmix64). Not for secrets.

use std::time::Duration;

/// Random numbers from a seed.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The row of this seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// True in `percent` of a hundred cases.
    pub const fn chance(&mut self, percent: u8) -> bool {
        self.next() % 100 < percent as u64
    }

    /// A time from `least` to `most`, to the microsecond; `least` if `most` is not longer.
    pub fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let room = most.saturating_sub(least).as_micros();
        let room = u64::try_from(room).unwrap_or(u64::MAX - 1);
        least + Duration::from_micros(self.next() % (room + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_row_and_another_seed_another() {
        let row = |seed| {
            let mut random = Random::new(seed);
            (0..4).map(|_| random.next()).collect::<Vec<_>>()
        };
        assert_eq!(row(1), row(1));
        assert_ne!(row(1), row(2));
    }

    #[test]
    fn chances_and_times_keep_to_their_bounds() {
        let mut random = Random::new(7);
        let (least, most) = (Duration::from_millis(10), Duration::from_millis(12));
        let mut hits = 0;
        for _ in 0..10_000 {
            assert!((least..=most).contains(&random.between(least, most)));
            assert!(!random.chance(0) && random.chance(100));
            hits += u32::from(random.chance(25));
        }
        assert!((2_000..3_000).contains(&hits), "{hits}");
        assert_eq!(random.between(most, least), most);
    }
}
