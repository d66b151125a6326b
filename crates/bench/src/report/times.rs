//! Durations, and their percentiles.

use std::time::Duration;

/// Times kept one by one, up to a bound that a run of minutes does not reach; beyond it a sample of them, every second
/// one, then every fourth, and so on.
#[derive(Debug)]
pub(crate) struct Times {
    kept: Vec<Duration>,
    sorted: bool,
    /// One in so many is kept.
    every: u64,
    seen: u64,
}

const MOST: usize = 1 << 21;

impl Default for Times {
    fn default() -> Self {
        Self {
            kept: Vec::new(),
            sorted: false,
            every: 1,
            seen: 0,
        }
    }
}

impl Times {
    pub(crate) fn add(&mut self, time: Duration) {
        self.seen += 1;
        if !self.seen.is_multiple_of(self.every) {
            return;
        }
        if self.kept.len() == MOST {
            let mut at = 0;
            self.kept.retain(|_| {
                at += 1;
                at % 2 == 0
            });
            self.every *= 2;
        }
        self.kept.push(time);
        self.sorted = false;
    }

    /// The time that `share` of them do not exceed; zero if there are none.
    pub(crate) fn at(&mut self, share: f64) -> Duration {
        if !self.sorted {
            self.kept.sort_unstable();
            self.sorted = true;
        }
        let last = self.kept.len().saturating_sub(1);
        let place = (last as f64 * share).round() as usize;
        self.kept.get(place).copied().unwrap_or_default()
    }

    /// How many there were.
    pub(crate) fn count(&self) -> u64 {
        self.seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_times() {
        let mut times = Times::default();
        for ms in (1..=101).rev() {
            times.add(Duration::from_millis(ms));
        }
        assert_eq!(times.at(0.5), Duration::from_millis(51));
        assert_eq!(times.at(1.0), Duration::from_millis(101));
        assert_eq!(Times::default().at(0.5), Duration::ZERO);
    }
}
