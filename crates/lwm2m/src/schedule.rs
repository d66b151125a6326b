//! When an unanswered confirmable message is sent again (RFC 7252 §4.2).

use crate::random::Random;
use crate::settings::AckSchedule;
use crate::time::Millis;

/// The waits of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Resends {
    base_ms: u64,
    extra_ms: u64,
    done: u8,
    allowed: u8,
}

impl Resends {
    /// Draws the first wait. `cap` lowers the number of resends; `extra_ms` is added to every wait, for a device that
    /// hears only so often.
    pub(crate) fn begin(schedule: &AckSchedule, cap: Option<u8>, extra_ms: u64, random: &mut Random) -> Self {
        let base_ms = random.between(schedule.first_low_ms, schedule.first_high_ms);
        let allowed = cap.map_or(schedule.resends, |cap| cap.min(schedule.resends));
        Self {
            base_ms,
            extra_ms,
            done: 0,
            allowed,
        }
    }

    /// How long all waits together can be, in milliseconds.
    pub(crate) fn longest_ms(schedule: &AckSchedule, extra_ms: u64) -> u64 {
        let waits = u64::from(schedule.resends) + 1;
        let doubled = schedule.first_high_ms.saturating_mul((1 << waits.min(32)) - 1);
        doubled.saturating_add(extra_ms.saturating_mul(waits))
    }

    /// When the present wait ends, if it began at `now`.
    pub(crate) fn due(&self, now: Millis) -> Millis {
        let doubled = self.base_ms.saturating_mul(1 << self.done.min(16));
        now.after(doubled.saturating_add(self.extra_ms))
    }

    /// Counts one more resend; false if there is none left and the message has timed out.
    pub(crate) const fn again(&mut self) -> bool {
        if self.done >= self.allowed {
            return false;
        }
        self.done += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANDARD: AckSchedule = AckSchedule {
        first_low_ms: 10_000,
        first_high_ms: 15_000,
        resends: 3,
    };

    fn waits(cap: Option<u8>, extra_ms: u64, seed: u8) -> Vec<u64> {
        let mut resends = Resends::begin(&STANDARD, cap, extra_ms, &mut Random::new([seed; 32]));
        let mut waits = vec![resends.due(Millis(0)).0];
        while resends.again() {
            waits.push(resends.due(Millis(0)).0);
        }
        waits
    }

    #[test]
    fn the_documented_waits() {
        for seed in 0..50 {
            let waits = waits(None, 0, seed);
            let low = [10_000, 20_000, 40_000, 80_000];
            assert_eq!(waits.len(), low.len());
            for (wait, low) in waits.iter().zip(low) {
                assert!((low..=low * 3 / 2).contains(wait), "{wait} with seed {seed}");
            }
        }
    }

    #[test]
    fn the_longest_is_all_waits_at_their_longest() {
        assert_eq!(Resends::longest_ms(&STANDARD, 0), 225_000);
        assert_eq!(Resends::longest_ms(&STANDARD, 1_000), 229_000);
        let most: u64 = waits(None, 1_000, 3).iter().sum();
        assert!(most <= 229_000);
    }

    #[test]
    fn a_cap_lowers_the_resends_and_never_raises_them() {
        assert_eq!(waits(Some(0), 0, 1).len(), 1);
        assert_eq!(waits(Some(2), 0, 1).len(), 3);
        assert_eq!(waits(Some(9), 0, 1).len(), 4);
    }

    #[test]
    fn every_wait_is_longer_by_the_cycle() {
        let plain = waits(None, 0, 7);
        let long = waits(None, 20_000, 7);
        assert!(
            plain
                .iter()
                .zip(&long)
                .all(|(plain, long)| plain + 20_000 == *long)
        );
    }
}
