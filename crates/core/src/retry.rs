//! When a push that failed is tried again.

use crate::time::Span;

/// Exponential back-off with added jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The pause after the first failure.
    pub first: Span,
    /// The longest pause, before jitter.
    pub longest: Span,
}

impl Backoff {
    /// 1 s growing to 10 min.
    pub const PUSH: Self = Self {
        first: Span::from_secs(1),
        longest: Span::from_secs(600),
    };

    /// The pause after failure number `failures` (from 1): doubles each time up to `longest`, plus up to a quarter
    /// of itself by `random`, so that pauses never come closer than asked for and receivers are not hit in step.
    pub fn pause(&self, failures: u32, random: u32) -> Span {
        let doublings = failures.saturating_sub(1).min(20);
        let base = self.first.times(1 << doublings).min(self.longest).as_millis();
        let jitter = base / 4 * i64::from(random % 1024) / 1024;
        Span::from_millis(u32::try_from(base + jitter).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let pauses: Vec<i64> = (1..=12)
            .map(|n| Backoff::PUSH.pause(n, 0).as_millis() / 1000)
            .collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]);
    }

    #[test]
    fn jitter_only_adds_and_at_the_most_a_quarter() {
        for failures in [1, 5, 50, u32::MAX] {
            let base = Backoff::PUSH.pause(failures, 0);
            let most = Backoff::PUSH.pause(failures, 1023);
            assert!(most > base && most.as_millis() <= base.as_millis() * 5 / 4);
        }
    }
}
