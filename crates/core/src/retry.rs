//! When a push that failed is tried again.

use crate::time::Span;

/// Exponential back-off, with full jitter where it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The pause after the first failure.
    pub first: Span,
    /// The longest pause.
    pub longest: Span,
}

impl Backoff {
    /// 1 s growing to 10 min.
    pub const PUSH: Self = Self {
        first: Span::from_secs(1),
        longest: Span::from_secs(600),
    };

    /// The pause after failure number `failures` (from 1), without jitter: doubles each time up to `longest`.
    pub fn whole(&self, failures: u32) -> Span {
        let doublings = failures.saturating_sub(1).min(20);
        self.first.times(1 << doublings).min(self.longest)
    }

    /// The pause after failure number `failures` (from 1), with full jitter: spread evenly by `random` from the whole
    /// pause (0) down to half of the first one, so that what failed together does not come back together, and nothing comes
    /// back at once.
    pub fn pause(&self, failures: u32, random: u32) -> Span {
        let whole = self.whole(failures).as_millis();
        let least = (self.first.as_millis() / 2).min(whole);
        let less = (i128::from(whole - least) * i128::from(random)) >> 32;
        let ms = whole - i64::try_from(less).unwrap_or(0);
        Span::from_millis(u32::try_from(ms).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let pauses: Vec<i64> = (1..=12)
            .map(|n| Backoff::PUSH.whole(n).as_millis() / 1000)
            .collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]);
    }

    #[test]
    fn jitter_spreads_a_pause_evenly_over_its_whole_length() {
        for failures in [1, 5, 50, u32::MAX] {
            let whole = Backoff::PUSH.whole(failures).as_millis();
            assert_eq!(Backoff::PUSH.pause(failures, 0).as_millis(), whole);
            let least = Backoff::PUSH.pause(failures, u32::MAX).as_millis();
            assert!((500..=501).contains(&least), "{least}");
            let middle = Backoff::PUSH.pause(failures, u32::MAX / 2).as_millis();
            assert!((middle - (whole + 500) / 2).abs() <= 1, "{middle} of {whole}");
        }
    }

    #[test]
    fn a_longest_pause_below_the_first_is_kept_to() {
        let odd = Backoff {
            first: Span::from_secs(10),
            longest: Span::from_secs(1),
        };
        assert_eq!(odd.pause(9, u32::MAX), Span::from_secs(1));
    }
}
